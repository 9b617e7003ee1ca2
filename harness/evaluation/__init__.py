"""Scoring weights as the paper did: `alexbench evaluate`."""
