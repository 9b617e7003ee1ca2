"""The tables of a speed run keep their columns and their order."""

from __future__ import annotations

from pathlib import Path

import pytest
import speed_rows

from reports import schema, tables

GOLDEN = Path(__file__).parent / "golden"

# The contract with whoever reads the files: written out here once more, so that a change is a decision.
COLUMNS = {
    "speed": (
        "framework tuning network device devices split emulated precision batch_size input phase compile_s "
        "first_step_s samples step_ms step_ms_low step_ms_high images_per_s peak_memory_mb tflops fraction_of_peak "
        "joules_per_image loss_first loss_last stable note signature status reason verdict gauge bytes_exchanged "
        "exchange_share block_spread clock_mhz throttled weights_changed"
    ),
    "sample": (
        "framework tuning network device devices split precision batch_size input phase block index steps seconds warm"
    ),
    "layer": (
        "framework tuning network device precision batch_size layer pass step_ms step_ms_low step_ms_high share gflops "
        "mbytes tflops gb_per_s roof_tflops fraction_of_roof bound signature note"
    ),
    "peak": ("framework device precision probe size step_ms step_ms_low step_ms_high tflops gb_per_s best signature"),
    "exchange": "network split devices batch_size precision where what bytes share",
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_table_has_the_promised_columns_in_the_promised_order(kind: str) -> None:
    assert list(schema.dtypes(kind)) == COLUMNS[kind].split()
    assert list(tables.frame(kind, []).columns) == COLUMNS[kind].split()


@pytest.mark.parametrize("kind", COLUMNS)
def test_rows_fill_their_table_and_come_back(kind: str, tmp_path: Path) -> None:
    rows = (speed_rows.layered() | speed_rows.split_tables() | {"layer": speed_rows.layers("jax", "stock")})[kind]
    table = tables.frame(kind, rows)
    assert list(table.columns) == COLUMNS[kind].split()
    for write, read in ((tables.write_csv, tables.read_csv), (tables.write_parquet, tables.read_parquet)):
        write(table, tmp_path / "table")
        assert repr(tables.records(read(kind, tmp_path / "table"))) == repr(tables.records(table))


def test_what_was_not_measured_is_missing_and_never_a_number() -> None:
    row = speed_rows.failed("jax", "tuned", "crashed", "killed")
    [back] = tables.records(tables.frame("speed", [row]))
    assert {back[name] for name in speed_rows.FIGURES} == {None}


def test_the_csv_is_the_golden_one(tmp_path: Path) -> None:
    rows = [
        speed_rows.speed("torch", "tuned"),
        speed_rows.emulated("jax", "model"),
        speed_rows.failed("jax", "stock", "does-not-fit", "needs 31 GiB, 24 GiB are free", batch_size=512),
    ]
    tables.write_csv(tables.frame("speed", rows), tmp_path / "speed.csv")
    assert (tmp_path / "speed.csv").read_bytes() == (GOLDEN / "speed.csv").read_bytes()
