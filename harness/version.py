"""The version of alexbench, said here and nowhere else.

Where no row changes its meaning, only the last number goes up: a run that broke off is then gone on with.
"""

VERSION = "0.1.0"
