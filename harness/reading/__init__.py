"""Others' networks, read from files and classes into `impls.reading`."""
