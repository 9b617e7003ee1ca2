"""Tables of training, evaluation and of the paper: the promised columns, and rows that come back as they went."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import evaluation_rows
import paper_rows
import pytest
import training_rows

from reports import tables

FORMS = ((tables.write_parquet, tables.read_parquet), (tables.write_csv, tables.read_csv))

# The contract with whoever reads the files: written out here once more, so that a change is a decision.
PROMISED = {
    "training": (
        "framework network data epoch step learning_rate loss top1_error top5_error images_per_s signature label seed "
        "recipe phase seconds best tuning precision device devices split"
    ),
    "loss": "framework label step loss learning_rate",
    "evaluation": (
        "framework network weights data images crops top1_error top1_low top1_high top5_error top5_low top5_high "
        "paper_top1 paper_top5 comparable signature part file status reason tuning precision device images_per_s "
        "differing_views"
    ),
    "class-error": "framework weights crops class name images top1_error top5_error",
    "agreement": (
        "weights crops image name label framework_a predicted_a probability_a framework_b predicted_b probability_b "
        "margin_a margin_b"
    ),
    "ledger": "section claim source paper ours low high verdict on command note signature",
    "ablation": "ablation variant seed baseline_error variant_error difference epochs data signature",
    "published": (
        "table model paper_top1 paper_top5 ours_top1 ours_low1 ours_high1 ours_top5 ours_low5 ours_high5 data "
        "comparable note run"
    ),
}


@pytest.mark.parametrize("kind", PROMISED)
def test_a_table_has_the_promised_columns_in_the_promised_order(kind: str) -> None:
    assert list(tables.frame(kind, []).columns) == PROMISED[kind].split()


def made() -> dict[str, list[dict[str, Any]]]:
    """Rows of every kind, with what is missing and what is no number."""
    found = {**training_rows.tables(("torch",)), **evaluation_rows.tables(("jax",)), **paper_rows.tables()}
    found["training"].append(training_rows.epoch("jax", 1, loss=math.nan, top1_error=None, best=None))
    found["evaluation"].append(evaluation_rows.failed("torch", "crashed", 'two\nlines, "quoted"'))
    return found | {"agreement": [evaluation_rows.apart(7)]}


@pytest.mark.parametrize(("write", "read"), FORMS)
@pytest.mark.parametrize("kind", PROMISED)
def test_rows_come_back_as_they_went(kind: str, write: Any, read: Any, tmp_path: Path) -> None:
    table = tables.frame(kind, made()[kind])
    write(table, tmp_path / "table")
    back = read(kind, tmp_path / "table")
    assert list(back.columns) == list(table.columns)
    assert repr(tables.records(back)) == repr(tables.records(table))  # repr, because NaN is not equal to itself


def test_missing_and_not_a_number_are_told_apart() -> None:
    rows = tables.records(tables.frame("training", made()["training"]))
    assert math.isnan(rows[-1]["loss"])
    assert rows[-1]["top1_error"] is None
