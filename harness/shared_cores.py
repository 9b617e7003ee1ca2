"""Environment for processes that share their cores: threads that wait give the core away instead of spinning on it.

Parity runs several workers and the comparison beside them. OpenMP's and OpenBLAS' threads by default spin for
milliseconds at every barrier, at the cost of whoever has work to do.
"""

from __future__ import annotations

import os

YIELDING = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "KMP_BLOCKTIME": "0",
    "OPENBLAS_THREAD_TIMEOUT": "4",  # spins 2^4 cycles instead of 2^26
}


def yield_cores() -> None:
    """Apply it to this process. Takes effect only before NumPy is imported."""
    for name, value in YIELDING.items():
        os.environ.setdefault(name, value)
