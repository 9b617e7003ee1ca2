"""The tables keep their columns, their types, and the difference between missing and NaN."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from parity_rows import row, wanting

from reports import atomic, export_csv, export_parquet, schema, tables

GOLDEN = Path(__file__).parent / "golden"

# The contract with whoever reads the files: written out here once more, so that a change is a decision.
PARITY = [
    "level",
    "case",
    "tensor",
    "framework",
    "device",
    "precision",
    "elements",
    "max_abs_error",
    "rms_error",
    "max_ulp",
    "gauge_ratio",
    "baseline_ratio",
    "zeros",
    "ties",
    "verdict",
    "reason",
    "signature",
    "tuning",
    "layer",
    "cause",
]


def test_the_parity_table_has_the_promised_columns_in_the_promised_order() -> None:
    assert list(schema.dtypes("parity")) == PARITY
    assert list(tables.frame("parity", []).columns) == PARITY


def test_columns_have_their_types_even_where_nothing_was_measured() -> None:
    table = tables.frame("parity", [{"level": "layer"}])
    assert str(table["elements"].dtype) == "Int64"
    assert str(table["rms_error"].dtype) == "Float64"
    assert str(table["verdict"].dtype) == "string"
    assert table.drop(columns="level").isna().all(axis=None)


def test_undeclared_keys_follow_the_declared_columns() -> None:
    table = tables.frame("parity", [{"steps": 3}, {"gauge_rms": 1}, {"gauge_rms": 0.5, "note": "a", "flag": True}])
    assert list(table.columns) == [*PARITY, "steps", "gauge_rms", "note", "flag"]
    assert [str(table[name].dtype) for name in ("steps", "gauge_rms", "note", "flag")] == [
        "Int64",
        "Float64",
        "string",
        "string",
    ]


def test_numpy_scalars_are_numbers() -> None:
    table = tables.frame("parity", [{"elements": np.int32(7), "rms_error": np.float32(0.5)}])
    assert tables.records(table)[0]["elements"] == 7
    assert tables.records(table)[0]["rms_error"] == 0.5


@pytest.mark.parametrize(("column", "value"), [("elements", 1.5), ("elements", "many"), ("rms_error", "small")])
def test_a_value_that_does_not_fit_names_row_column_and_value(column: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"row 1, column '{column}': {value!r}"):
        tables.frame("parity", [{}, {column: value}])


@pytest.mark.parametrize("exporter", [export_parquet, export_csv])
def test_a_table_comes_back_as_it_went(exporter: object, tmp_path: Path) -> None:
    rows = [
        *wanting(),
        row("layer", "torch", "conv1", rms_error=math.nan, gauge_ratio=math.inf, baseline_ratio=-math.inf, zeros=None),
        row("layer", "torch", "conv1", reason='a "quoted", two-line\nreason | nan', cause="nan", rms_error=0.1 + 0.2),
    ]
    table = tables.frame("parity", rows)
    path = tmp_path / "table"
    exporter.write(table, path)  # type: ignore[attr-defined]
    back = exporter.read("parity", path)  # type: ignore[attr-defined]
    assert list(back.dtypes) == list(table.dtypes)
    assert repr(tables.records(back)) == repr(tables.records(table))  # repr, because NaN is not equal to itself
    assert tables.records(back)[-1]["cause"] == "nan"
    assert tables.records(back)[-2]["zeros"] is None


@pytest.mark.parametrize("exporter", [export_parquet, export_csv])
def test_an_empty_table_comes_back_empty_with_its_columns(exporter: object, tmp_path: Path) -> None:
    exporter.write(tables.frame("parity", []), tmp_path / "table")  # type: ignore[attr-defined]
    back = exporter.read("parity", tmp_path / "table")  # type: ignore[attr-defined]
    assert list(back.columns) == PARITY
    assert len(back) == 0


def test_the_csv_is_the_golden_one(tmp_path: Path) -> None:
    rows = [
        row("layer", "torch", "conv1"),
        row("forward", "jax", "", "", rms_error=math.nan, gauge_ratio=math.inf, zeros=None, reason="a, b"),
    ]
    export_csv.write(tables.frame("parity", rows), tmp_path / "parity.csv")
    assert (tmp_path / "parity.csv").read_bytes() == (GOLDEN / "parity.csv").read_bytes()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "parity.csv"
    path.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        export_csv.write(tables.frame("parity", []), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
