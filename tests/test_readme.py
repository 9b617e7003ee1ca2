"""The README is always true: its example runs, its table is the catalog's, the files it names are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import in_process
import pytest

from impls import catalog, derive

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def example() -> str:
    found = re.search(r"```python\n(# mine\.py\n.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.needs("torch")
def test_the_example_passes_and_the_mistake_beside_it_is_named_as_it_says(tmp_path: Path) -> None:
    """In one run: the paper's network in float64 takes longer than both of them."""
    (tmp_path / "mine.py").write_text(example())
    (tmp_path / "forgot.py").write_text(example().replace("alpha=5e-4", "alpha=1e-4"))
    command = [sys.executable, "-m", "harness.cli", "parity", "--out", "run"]
    command += ["--impl", "./mine.py:build", "--impl", "./forgot.py:build"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"\./mine\.py:build +23 .* pass \(3 of 22\)", done.stdout), done.stdout
    assert "likely cause: yours has the reference's α divided by n = 5" in done.stdout
    assert re.search(r"fail +forward +\./forgot\.py:build +norm1 and 3 more checks", done.stdout)
    assert not re.search(r"fail +forward +\./mine\.py:build", done.stdout)


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
    commands = ("parity", "speed", "compare", "prepare", "train", "evaluate", "paper", "audit", "report")
    for name in [*commands, "weights import", "weights export"]:
        shown += in_process.alexbench([*name.split(), "--help"], os.environ, ROOT, timeout=60).stdout
    section = README[: README.index("## Installing less")]
    for option in set(re.findall(r"`(--[a-z-]+)", section)) - {"--format"}:
        assert option in shown, option
