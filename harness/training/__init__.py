"""Training a network as the paper did: `alexbench train`."""
