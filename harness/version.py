"""The version of alexbench, said here and nowhere else."""

VERSION = "0.1.0"
