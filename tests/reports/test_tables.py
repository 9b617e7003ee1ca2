"""The tables keep their columns, their types, and the difference between missing and NaN."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parity_rows import row, wanting

from reports import atomic, schema, tables
from reports.format import FORMATS, written

GOLDEN = Path(__file__).parent / "golden"
FORMS = ((tables.write_parquet, tables.read_parquet), (tables.write_csv, tables.read_csv))

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


# What a stored number is counted or measured in; "1" is of what has no unit.
UNITS = {
    "1", "ulp", "elements", "devices", "images", "samples", "steps", "epochs", "views", "networks", "parameters",
    "multiply-adds", "bytes", "MB", "MiB", "ms", "s", "images/s", "TFLOP/s", "GFLOP", "GB/s", "J", "MHz",
}  # fmt: skip


@pytest.mark.parametrize("kind", schema.TABLES)
def test_every_column_says_what_it_means_in_which_unit_and_how_it_is_written(kind: str) -> None:
    for column in schema.TABLES[kind].columns:
        assert column.meaning.endswith(".") and "\n" not in column.meaning, column
        assert FORMATS[column.written_as].numeric == (column.type != "string"), column
        assert column.unit in (UNITS if column.type != "string" else {""}), column


def test_every_table_says_what_a_row_is_and_names_no_column_twice() -> None:
    for name, kind in schema.TABLES.items():
        assert kind.name == name and kind.meaning.endswith(".")
        assert len({column.name for column in kind.columns}) == len(kind.columns)
        required = [column.optional for column in kind.columns]
        assert required == sorted(required)  # what a table need not have stands behind


def test_errors_are_shares_in_a_table_and_percents_to_an_eye() -> None:
    errors = ("top1_error", "top5_low", "paper_top1", "ours_top5", "ours_high1", "training_error", "difference")
    found = [one for kind in schema.TABLES.values() for one in kind.columns if one.name in errors]
    assert {one.name for one in found} == set(errors)
    assert {(one.unit, written(0.25, one.written_as)) for one in found} == {("1", "25.00")}


def test_the_dictionary_says_first_what_a_row_is_and_then_every_column() -> None:
    rows = schema.dictionary(["exchange", "nonesuch", "loss"])
    assert rows[0] == {
        "table": "exchange", "column": "", "type": "row", "unit": "",
        "meaning": "One exchange between the devices that share a network.",
    }  # fmt: skip
    assert [row["column"] for row in rows if row["table"] == "loss"] == ["", *schema.dtypes("loss")]
    assert {
        "table": "loss",
        "column": "loss",
        "type": "number",
        "unit": "1",
        "meaning": "Loss of the step's batch.",
    } in rows
    assert {row["type"] for row in rows} == {"row", "text", "integer", "number"}


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


@pytest.mark.parametrize(("write", "read"), FORMS)
def test_a_table_comes_back_as_it_went(write: Any, read: Any, tmp_path: Path) -> None:
    rows = [
        *wanting(),
        row("layer", "torch", "conv1", rms_error=math.nan, gauge_ratio=math.inf, baseline_ratio=-math.inf, zeros=None),
        row("layer", "torch", "conv1", reason='a "quoted", two-line\nreason | nan', cause="nan", rms_error=0.1 + 0.2),
    ]
    table = tables.frame("parity", rows)
    path = tmp_path / "table"
    write(table, path)
    back = read("parity", path)
    assert list(back.dtypes) == list(table.dtypes)
    assert repr(tables.records(back)) == repr(tables.records(table))  # repr, because NaN is not equal to itself
    assert tables.records(back)[-1]["cause"] == "nan"
    assert tables.records(back)[-2]["zeros"] is None


@pytest.mark.parametrize(("write", "read"), FORMS)
def test_an_empty_table_comes_back_empty_with_its_columns(write: Any, read: Any, tmp_path: Path) -> None:
    write(tables.frame("parity", []), tmp_path / "table")
    back = read("parity", tmp_path / "table")
    assert list(back.columns) == PARITY
    assert len(back) == 0


def test_the_csv_is_the_golden_one(tmp_path: Path) -> None:
    rows = [
        row("layer", "torch", "conv1"),
        row("forward", "jax", "", "", rms_error=math.nan, gauge_ratio=math.inf, zeros=None, reason="a, b"),
    ]
    tables.write_csv(tables.frame("parity", rows), tmp_path / "parity.csv")
    assert (tmp_path / "parity.csv").read_bytes() == (GOLDEN / "parity.csv").read_bytes()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "parity.csv"
    path.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        tables.write_csv(tables.frame("parity", []), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
