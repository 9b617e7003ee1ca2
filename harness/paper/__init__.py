"""The paper's tables and claims beside ours: `alexbench paper`."""
