"""Who reads what a measuring command prints: nobody any more, or a terminal that must not obey words from outside."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from program import ROOT, command, surroundings
from train_program import installed, recipe_file, small_data, table

from harness import cli_exit
from harness.cli import cli

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
RAISES = """
print("\\x1b]0;a title\\x07")
def build(network, weights):
    raise ValueError("\\x1b[2J<script>`x` \\x9b31m \\u202etxet")
"""


def test_a_training_goes_on_when_the_reader_of_all_it_says_has_gone(tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ("--network", "cifar-4layer", "--data", small_data(tmp_path), "--frameworks", "numpy")
    arguments += ("--recipe", recipe_file(tmp_path, epochs=2, drop_epochs=[]), "--tuning", "stock", "--verbose")
    line = " ".join(map(str, command("train", *arguments, "--out", out)))
    done = subprocess.run(
        ["bash", "-c", f"{line} 2>&1 | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT, env=surroundings(**installed(tmp_path)), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert json.loads((out / "run.json").read_text())["status"] == "complete"
    assert [row["epoch"] for row in table(out)][-1] == "2"
    assert (out / "numpy-best.safetensors").is_file()


def test_neither_a_name_nor_a_message_of_somebodys_file_is_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "\x1b[31m\u202emine.py"
    Path(name).write_text(RAISES)
    arguments = ["parity", "--network", "cifar-4layer", "--impl", f"./{name}:build", "--out", "run", "--verbose"]
    assert cli_exit.run(cli, arguments) == 4
    said = "".join(capsys.readouterr())
    assert not OBEYED.search(said)
    assert r"\x1b[31m\u202emine.py" in "".join(said.split())
    report = Path("run/report.md").read_text()
    for text in (report, Path("run/parity.csv").read_text(), Path("run/run.json").read_text()):
        assert not OBEYED.search(text)
        assert "txet" in text
    assert not re.search(r"(?<!\\)<script>", report)
    assert json.loads(Path("run/run.json").read_text())["arguments"]["impls"] == [f"./{name}:build"]
