"""What the rows of a run amount to: plain functions on its tables."""
