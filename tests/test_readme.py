"""The README is always true: its example runs, its table is the catalog's, the files it names are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from impls import catalog, derive

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def example() -> str:
    found = re.search(r"```python\n(# mine\.py\n.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def parity(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    (folder / "mine.py").write_text(code)
    command = [sys.executable, "-m", "harness.cli", "parity", "--impl", "./mine.py:build", "--out", "run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.needs("torch")
def test_the_example_of_an_outside_implementation_passes(tmp_path: Path) -> None:
    done = parity(tmp_path, example())
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "Equal in the 3 of 22 layers that were returned: 4 checks passed in ./mine.py:build." in said


@pytest.mark.needs("torch")
def test_the_mistake_the_readme_describes_is_named_as_it_says(tmp_path: Path) -> None:
    done = parity(tmp_path, example().replace("alpha=5e-4", "alpha=1e-4"))
    assert done.returncode == 1
    assert "likely cause: yours has the reference's α divided by n = 5" in done.stdout
    assert re.search(r"fail +forward +\S+ +norm1 and 3 more checks", done.stdout)


def test_the_catalog_table_is_the_catalog() -> None:
    for network in catalog.NETWORKS.values():
        counts = f"{derive.parameter_count(network):,} | {derive.multiply_adds(network):,}"
        assert f"| `{network.name}` | {counts} | {network.height}×{network.width}×{network.channels} |" in README


def test_the_files_it_links_are_there() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_option_it_names_exists() -> None:
    shown = ""
    commands = ("parity", "speed", "compare", "prepare", "train", "evaluate", "paper", "audit")
    for name in [*commands, "weights import", "weights export"]:
        command = [sys.executable, "-m", "harness.cli", *name.split(), "--help"]
        shown += subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    section = README[: README.index("## Installing less")]
    for option in set(re.findall(r"`(--[a-z-]+)", section)) - {"--format"}:
        assert option in shown, option
