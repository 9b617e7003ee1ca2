"""The doctor's page names what is wanting and the command that mends it."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from reports import doctor_view

WORKS = {"name": "torch", "state": "works", "version": "2.13.0", "needed": "torch>=2.11", "devices": ["cpu"]}
GONE = {"name": "jax", "state": "missing", "version": "", "needed": "jax>=0.10", "devices": []}
REST = {"details": {}, "reason": "", "remedy": "", "no_cuda": ""}


def page(*frameworks: dict[str, Any], **changes: Any) -> str:
    diagnosis = {
        "version": "0.1.0",
        "python": "3.11.7",
        "frameworks": [REST | found for found in frameworks],
        "missing_core": [],
        "core_remedy": "",
        "machine": {"cpu": "A [fast] CPU", "cores": 2, "memory_gb": None, "os": "Linux 6", "architecture": "x86_64"},
        "cpu_features": {"avx2": True, "amx_tile": False},
        "available_memory_gb": 3.5,
        "free_disk_gb": 9.0,
        "flags": {"OMP_NUM_THREADS": "2"},
        "packages": {"numpy": "2.4.6"},
    }
    file = io.StringIO()
    doctor_view.show(diagnosis | changes, Console(file=file, width=80))
    return file.getvalue()


def test_a_machine_with_everything_is_ready() -> None:
    text = page(WORKS | {"details": {"threads": "2"}, "no_cuda": "found cpu"})
    assert text.splitlines()[-1] == "Ready."
    assert "mends it" not in text
    assert "A [fast] CPU, 2 usable cores" in text
    assert "? GiB, 3.5 available" in text
    assert "avx2" in text
    assert "amx" not in text
    assert "threads 2, no GPU: found cpu" in text
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_what_is_missing_stands_beside_its_remedy() -> None:
    text = page(WORKS, GONE | {"reason": "not installed: jax, flax", "remedy": "pip install 'alexbench[jax]'"})
    assert "  jax: not installed: jax, flax" in text
    assert "    pip install 'alexbench[jax]'" in text
    assert text.splitlines()[-1] == "Not ready: jax is missing."


def test_a_core_without_a_part_and_no_framework_are_not_ready() -> None:
    text = page(missing_core=["pillow"], core_remedy="pip install alexbench")
    assert "core: pillow not installed" in text
    assert text.splitlines()[-1] == "Not ready: the core is incomplete, no framework is registered."
