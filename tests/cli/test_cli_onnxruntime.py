"""`alexbench parity` with the framework that is forward only: what it compares, what it leaves, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from program import Done, alexbench, parity, rows, run_json, verdicts

NAME = "onnxruntime"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    out = tmp_path_factory.mktemp("onnxruntime") / "run"
    return parity("--frameworks", NAME, out=out, timeout=300), out


@pytest.mark.needs(NAME)
def test_it_is_equal_at_the_forward_levels_and_nothing_is_said_of_the_others(compared: tuple[Done, Path]) -> None:
    done, out = compared
    assert done.returncode == 0, done.stdout
    assert f"checks passed in {NAME}." in done.stdout
    assert {row["level"] for row in rows(out)} == {"operator", "layer", "forward"}
    for level in ("operator", "layer", "forward"):
        for tuning in ("stock", "tuned"):
            assert verdicts(rows(out, level=level, tuning=tuning)) == {"pass"}
    assert {row["tensor"] for row in rows(out, level="operator")} == {"y"}


@pytest.mark.needs(NAME)
def test_the_summary_and_the_report_say_that_it_is_forward_only(compared: tuple[Done, Path]) -> None:
    done, out = compared
    told = f"Forward only, without gradients, loss and training: {NAME}."
    assert told in done.stdout and told in (out / "report.md").read_text()
    assert run_json(out)["forward_only"] == [NAME]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("parity", "--frameworks", NAME, "--level", "gradient"), "is forward only: --level gradient is not among"),
        (("parity", "--frameworks", NAME, "--self-test"), "is forward only"),
        (("speed", "--frameworks", NAME), "is forward only, and taken by alexbench parity alone"),
        (("train", "--frameworks", NAME, "--data", "digits"), "is forward only, and taken by alexbench parity alone"),
    ],
    ids=["gradient", "self-test", "speed", "train"],
)
def test_what_it_cannot_do_is_refused_in_one_line(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = alexbench(*arguments, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
