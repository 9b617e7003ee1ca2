"""Any run folder is read in one place: finished, broken off or under way, every table that the schema knows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from harness import run_reading
from harness.errors import UsageError
from harness.run_folder import RunFolder
from reports import tables

PARITY = {"level": "forward", "tensor": "conv1", "verdict": "pass", "reference_rms": 2.0, "of_mine": "x"}
LOSS = {"framework": "torch", "label": "torch", "step": 1, "loss": float("nan")}


def started(out: Path) -> RunFolder:
    folder = RunFolder.create("parity", {}, out)
    folder.append("parity", PARITY)
    folder.append("loss", LOSS)
    folder.append("of-mine", {"a": 1})
    return folder


def counts(out: Path) -> dict[str, int]:
    return {kind: len(table) for kind, table in run_reading.read(out)[1].items()}


@pytest.mark.parametrize("state", ["running", "broken off", "complete", "going on"])
def test_every_table_that_the_schema_knows_is_read(state: str, tmp_path: Path) -> None:
    folder = started(tmp_path)
    if state == "broken off":
        folder.let_go()
        with (tmp_path / ".rows-loss.jsonl").open("a") as file:
            file.write('{"framework": "tor')
    elif state != "running":
        folder.close("complete")
    if state == "going on":
        folder = RunFolder.reopen(tmp_path)
    facts, found = run_reading.read(tmp_path)
    assert facts["status"] == ("complete" if state == "complete" else "running")
    assert list(found) == ["parity", "loss"]
    [row] = tables.records(found["parity"])
    assert (row["verdict"], row["reference_rms"], row["max_ulp"]) == ("pass", 2.0, None)
    assert "of_mine" not in row
    [row] = tables.records(found["loss"])
    assert row["loss"] != row["loss"] and row["learning_rate"] is None  # NaN is not missing
    assert run_reading.rows(tmp_path, "parity") == tables.records(found["parity"])
    assert run_reading.rows(tmp_path, "speed") == []


def test_rows_that_are_kept_beside_their_file_count_once(tmp_path: Path) -> None:
    started(tmp_path).close("interrupted")
    folder = RunFolder.reopen(tmp_path)
    folder.append("loss", {**LOSS, "step": 2})
    assert (tmp_path / "loss.parquet").exists()
    assert counts(tmp_path) == {"parity": 1, "loss": 2}
    folder.close("complete")
    assert counts(tmp_path) == {"parity": 1, "loss": 2}


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    started(tmp_path).close("complete")
    (tmp_path / "loss.parquet").write_bytes(b"damaged")
    assert list(run_reading.read(tmp_path, ["parity", "speed"])[1]) == ["parity"]
    with pytest.raises(UsageError, match=r"cannot read .*loss\.parquet"):
        run_reading.read(tmp_path)


def test_a_table_of_a_row_for_each_image_is_left_to_its_file(tmp_path: Path) -> None:
    started(tmp_path).close("complete")
    pyarrow.parquet.write_table(pa.table({"image": [0, 1]}), tmp_path / "predictions.parquet")
    assert list(counts(tmp_path)) == ["parity", "loss"]


def test_all_tables_together_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = started(tmp_path)
    for number in range(200):
        folder.append("parity", {**PARITY, "case": "x" * 100, "elements": number})
    folder.close("complete")
    monkeypatch.setattr(run_reading, "MAX_UNPACKED_BYTES", 100_000)
    assert len(run_reading.rows(tmp_path, "parity")) == 201
    monkeypatch.setattr(run_reading, "MAX_UNPACKED_BYTES", 40_000)
    with pytest.raises(UsageError, match=r"its tables take over 40000 bytes"):
        run_reading.read(tmp_path)


GREEDY = """
import resource, sys
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as parquet
from harness import run_reading
from harness.errors import UsageError

folder = Path(sys.argv[1])
run_reading.MAX_UNPACKED_BYTES = 40 << 20
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
before = peak()
try:
    run_reading.table(folder, "parity")
except UsageError as error:
    print(peak() - before, error)
"""


@pytest.mark.parametrize(
    ("texts", "size", "rows"), [(("verdict", "tensor", "case"), 60 << 20, 1), (("case",), 1 << 20, 20_000)]
)
def test_a_small_file_that_unpacks_to_much_is_refused_before_it_takes_the_memory(
    texts: tuple[str, ...], size: int, rows: int, tmp_path: Path
) -> None:
    indices = pa.array([0] * rows, pa.int32())
    table = pa.table({name: pa.DictionaryArray.from_arrays(indices, ["x" * size]) for name in texts})
    pyarrow.parquet.write_table(table, tmp_path / "parity.parquet", compression="zstd")
    assert (tmp_path / "parity.parquet").stat().st_size < 100_000
    done = subprocess.run(
        [sys.executable, "-c", GREEDY, tmp_path], capture_output=True, text=True, check=True, timeout=60
    )
    taken, _, said = done.stdout.partition(" ")
    assert "bytes unpacked, at most" in said
    assert int(taken) < 50  # MiB


def test_columns_of_another_type_are_read_where_their_values_fit(tmp_path: Path) -> None:
    started(tmp_path).close("complete")
    table = pa.table(
        {"elements": pa.array([3, None], pa.int32()), "verdict": ["pass", None], "rms_error": ["nan", "1e-7"]}
    )
    pyarrow.parquet.write_table(table, tmp_path / "parity.parquet")
    first, second = run_reading.rows(tmp_path, "parity")
    assert (first["elements"], second["elements"], second["verdict"], second["rms_error"]) == (3, None, None, 1e-7)
    assert first["rms_error"] != first["rms_error"]


@pytest.mark.parametrize("text", ["[]", "{}", '"alexbench"', '{"schema": 2}'])
def test_a_folder_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no run\.json"):
        run_reading.read(tmp_path)
    (tmp_path / "run.json").write_text(text)
    assert json.loads(text) is not None
    with pytest.raises(UsageError, match="was not written by alexbench"):
        run_reading.read(tmp_path)
