"""`alexbench parity` with one framework: what it prints, what it leaves, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import WriteImpl
from PIL import Image
from program import LAYERS, Done, alexbench, is_plain, parity, rows, run_json, verdicts

LEVELS = ["operator", "layer", "forward", "gradient", "training"]
COLUMNS = """
level case tensor framework device precision elements max_abs_error rms_error max_ulp gauge_ratio baseline_ratio
zeros ties verdict reason signature
"""


@pytest.fixture(scope="module", params=["torch", "tensorflow", "jax"])
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def compared(framework: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """The run of one framework, made once: it is looked at from several sides."""
    out = tmp_path_factory.mktemp("alone") / framework
    return parity("--frameworks", framework, out=out, timeout=400), out


def test_a_framework_alone_is_equal_at_every_level(framework: str, compared: tuple[Done, Path]) -> None:
    done, out = compared
    assert done.returncode == 0, done.stdout
    assert f"checks passed in {framework}." in done.stdout
    for level in LEVELS:
        for tuning in ("stock", "tuned"):
            assert verdicts(rows(out, level=level, tuning=tuning)) == {"pass"}
    assert {row["framework"] for row in rows(out)} == {framework}


def test_the_summary_is_read_in_ten_seconds(framework: str, compared: tuple[Done, Path]) -> None:
    shown = compared[0].stdout
    assert is_plain(shown)
    lines = shown.splitlines()
    assert len(lines) <= 12
    assert [line.split()[0] for line in lines[1:6]] == LEVELS
    assert max(map(len, lines)) <= 80
    assert is_plain(compared[0].stderr)


def test_csv_and_parquet_hold_the_same_in_the_agreed_order(framework: str, compared: tuple[Done, Path]) -> None:
    _, out = compared
    parquet = pd.read_parquet(out / "parity.parquet")
    csv = pd.read_csv(out / "parity.csv", dtype=dict(parquet.dtypes), keep_default_na=False, na_values=[""])
    assert list(parquet.columns)[: len(COLUMNS.split())] == COLUMNS.split()
    assert len(parquet) > 100
    pd.testing.assert_frame_equal(csv, parquet, check_exact=True)


def test_no_row_is_without_its_signature(framework: str, compared: tuple[Done, Path]) -> None:
    signatures = {row["signature"] for row in rows(compared[1])}
    assert len(signatures) == 2  # stock and tuned
    for signature in signatures:
        fields = dict(field.split(":", 1) for field in signature.split("|"))
        assert (fields["network"], fields["precision"], fields["seed"]) == ("cifar-4layer", "float32", "0")
        assert fields["framework"].startswith(f"{framework}-")
        assert len(fields["weights"]) == 12


def test_run_json_says_what_was_done(framework: str, compared: tuple[Done, Path]) -> None:
    _, out = compared
    run = run_json(out)
    assert run["status"] == "complete"
    assert run["failures"] == []
    assert run["arguments"]["network"] == "cifar-4layer"
    assert run["arguments"]["frameworks"] == [framework]
    assert run["rows"] == {"parity": len(rows(out))}
    assert set(run["files"]) == {file.name for file in out.iterdir()} - {"run.json"}
    assert "process" not in run
    assert {"cores", "memory_gb", "cpu"} <= set(run["environment"]["machine"])
    fields = dict(field.split(":", 1) for field in run["signature"].split("|"))
    assert fields["network"] == "cifar-4layer"
    assert all(fields.values()), f"an empty field in {run['signature']}"


def test_the_report_shows_the_picture(framework: str, compared: tuple[Done, Path]) -> None:
    _, out = compared
    report = (out / "report.md").read_text()
    assert "](error-by-layer.png)" in report
    assert run_json(out)["signature"] in report
    with Image.open(out / "error-by-layer.png") as picture:
        assert picture.format == "PNG"
        picture.load()
        assert min(picture.size) >= 400
        assert len(set(picture.convert("RGB").resize((64, 64)).get_flattened_data())) > 4  # something is drawn


def test_every_layer_and_parameter_is_observed(framework: str, compared: tuple[Done, Path]) -> None:
    _, out = compared
    assert {row["tensor"] for row in rows(out, level="forward")} == {*LAYERS, "top5"}
    parameters = {f"{layer}/{part}" for layer in ("conv1", "conv2", "conv3", "fc4") for part in ("weight", "bias")}
    assert parameters <= {row["tensor"] for row in rows(out, level="gradient")}
    assert parameters <= {row["tensor"] for row in rows(out, level="training")}
    assert set(LAYERS) == {row["layer"] for row in rows(out, level="layer")}


@pytest.mark.parametrize(
    "framework",
    ["torch", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("tensorflow", "jax"))],
    scope="function",
)
def test_a_low_precision_is_judged_by_its_own_rounding(framework: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    low = ("--precision", "bfloat16", "--level", "forward,gradient", "--tuning", "stock")
    done = parity("--frameworks", framework, *low, out=out)
    assert done.returncode == 0, done.stdout
    found = rows(out)
    assert {row["precision"] for row in found} == {"bfloat16"}
    (logits,) = [row for row in found if row["tensor"] == "fc4"]
    assert float(logits["max_abs_error"]) > 1e-4  # it did compute in eight bits


def test_without_out_the_run_lies_in_runs(mine: WriteImpl, tmp_path: Path) -> None:
    mine("")
    done = alexbench("parity", "--network", "cifar-4layer", "--impl", "./mine.py:build", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.endswith("-parity")
    assert f"runs/{made.name}/report.md" in done.stderr
    assert json.loads((made / "run.json").read_text())["status"] == "complete"


def test_verbose_says_every_row(mine: WriteImpl, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = parity("--impl", f"{mine('')}:build", "--verbose", out=out)
    assert done.returncode == 0
    assert sum(": pass gauge_ratio" in line for line in done.stderr.splitlines()) == len(rows(out)) == 13


def test_another_seed_or_recipe_is_another_network(mine: WriteImpl, tmp_path: Path) -> None:
    hashes = set()
    for number, options in enumerate([(), ("--seed", 1), ("--recipe", "own")]):
        out = tmp_path / str(number)
        done = parity("--impl", f"{mine('')}:build", *options, out=out)
        assert done.returncode == 0, done.stdout
        hashes |= {row["signature"].split("|weights:")[1].split("|")[0] for row in rows(out)}
    assert len(hashes) == 3
