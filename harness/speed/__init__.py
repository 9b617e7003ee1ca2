"""What training costs: `alexbench speed`."""
