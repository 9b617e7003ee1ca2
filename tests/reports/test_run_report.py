"""Each command's folder gets its own tables, pictures and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import evaluation_rows
import paper_rows
import pytest
import training_rows
from parity_rows import passing

from reports import write as run_report

TRAINING = training_rows.tables(("torch",), epochs=2)


@pytest.mark.parametrize(
    ("run", "rows", "pictures"),
    [
        (training_rows.RUN, TRAINING, ["curves.png"]),
        (training_rows.RUN, {"loss": TRAINING["loss"]}, ["curves.png"]),
        (training_rows.RUN, {}, []),
        (evaluation_rows.RUN, evaluation_rows.tables(), []),
        (evaluation_rows.RUN, {}, []),
        (paper_rows.RUN, paper_rows.tables(), ["figure1.png"]),
        (paper_rows.RUN, {"ledger": paper_rows.ledger()}, []),
    ],
)
def test_a_folder_holds_what_its_rows_give(
    run: dict[str, Any], rows: dict[str, Any], pictures: list[str], tmp_path: Path
) -> None:
    written = run_report.write(tmp_path, run, rows)
    assert {path.name for path in tmp_path.iterdir()} == set(written)
    assert [name for name in written if name.endswith(".png")] == pictures
    assert {f"{kind}.{ending}" for kind in rows for ending in ("parquet", "csv")} <= set(written)
    report = (tmp_path / "report.md").read_text()
    assert report.startswith(f"# alexbench {run['command']}\n")
    assert all(f"]({name})" in report for name in pictures)
    assert "None" not in report.replace("None of", "")


@pytest.mark.parametrize(
    ("rows", "section"),
    [
        ({"training": TRAINING["training"]}, "## Epochs"),
        (evaluation_rows.tables(), "## Agreement between the frameworks"),
        ({"ledger": paper_rows.ledger()}, "## Measured"),
        ({"parity": passing()}, "## Levels"),
        ({}, "Nothing was compared."),
    ],
)
def test_a_command_nobody_knows_is_reported_by_its_tables(rows: dict[str, Any], section: str, tmp_path: Path) -> None:
    run_report.write(tmp_path, {"command": "another"}, rows)
    assert section in (tmp_path / "report.md").read_text()
