"""Weights in from others' files, and out to them."""
