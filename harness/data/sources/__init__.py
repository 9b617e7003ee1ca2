"""Where images come from, a file each: every source names its classes and lists its items."""
