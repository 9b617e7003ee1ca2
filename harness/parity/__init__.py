"""Parity: is the same network computed, and where not, which layer parts first and why."""
