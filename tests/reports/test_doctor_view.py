"""The doctor's page names what is wanting and the command that mends it."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

from reports.documents import doctor
from reports.render import terminal

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
    terminal.show(doctor.document(diagnosis | changes), terminal.Console(file=file, width=80))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def test_frameworks_come_first_then_the_machine() -> None:
    two = WORKS | {"devices": ["cpu", "cuda:0 (Some GPU)"]}
    text = page(two, flags={"OMP_NUM_THREADS": "2", "XLA_FLAGS": "--x"})
    assert text == (Path(__file__).parent / "golden" / "doctor-80.txt").read_text()


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
    remedy = f"pip install '{'/a/long/path' * 9}[jax]'"
    text = page(WORKS, GONE | {"reason": "not installed: jax, flax", "remedy": remedy})
    assert f"What is missing, and what mends it:\njax: not installed: jax, flax\n  {remedy}\n\n" in text
    assert text.splitlines()[-1] == "Not ready: jax is missing."


def test_a_core_without_a_part_and_no_framework_are_not_ready() -> None:
    text = page(missing_core=["pillow"], core_remedy="pip install alexbench")
    assert "core: pillow not installed" in text
    assert text.splitlines()[-1] == "Not ready: the core is incomplete, no framework is registered."


def test_words_from_outside_are_shown_and_not_obeyed() -> None:
    text = page(WORKS | {"details": {"[red]x": "\x1b[2J"}}, GONE | {"reason": "[/bold]\x07", "remedy": "pip \x1b[2J"})
    assert "[red]x" in text and "[/bold]" in text
    assert not {"\x1b", "\x07"} & set(text)


def test_it_needs_none_of_what_may_be_missing() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('numpy', 'pandas', 'pyarrow', 'scipy', 'matplotlib')));"
        "from reports.documents import doctor; from reports.render import terminal; print(doctor.__name__)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("reports.documents.doctor\n", "")
