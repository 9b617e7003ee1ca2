"""`alexbench compare`: read two run folders, hold them against each other, and say by the exit code what came out.

A folder may come from anywhere: sizes are bounded before anything is read, nothing in it is written, and whatever is
wrong with it is one line.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from harness import strict_json
from harness.errors import CannotMeasure, UsageError
from harness.run_folder import RUN_FILE
from reports import atomic, compare_view, tables
from reports.compare import Comparison, Rule, Run, broken, compare, judged, parse_rule

ALL_HELD, WANTING = 0, 1

MOST_RUN_BYTES = 16 << 20
MOST_TABLE_BYTES = 128 << 20  # of a file
MOST_UNPACKED_BYTES = 512 << 20  # of a Parquet file's columns
MOST_ROWS = {"speed": 20_000, "sample": 500_000}
BAD_FILE = (OSError, ValueError, RecursionError, OverflowError, pa.ArrowException)


def run(a: Path, b: Path, rules: Sequence[str] = (), form: str = "table", out: Path | None = None) -> int:
    """Compare, show or write, and return the exit code. Raises UsageError, CannotMeasure."""
    parsed = [_rule(given) for given in rules]
    if _same(a, b):
        raise UsageError(f"{a} and {b} are the same folder: give two runs")
    found = compare(read(a), read(b))
    met = {str(rule): pairs for rule in parsed if (pairs := broken(rule, found))}
    _tell(found, met, form, out)
    if not found.pairs:
        raise CannotMeasure(f"{a} and {b} have no measured setting in common: nothing was compared")
    if met:
        count = sum(len(pairs) for pairs in met.values())
        print(f"alexbench: --fail-if is met {count} {'time' if count == 1 else 'times'}:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in compare_view.broken_lines(met)), file=sys.stderr)
        return WANTING
    for rule in parsed:
        if not judged(rule, found):
            raise CannotMeasure(f"--fail-if '{rule}': no setting has {rule.column} in both runs, so nothing was judged")
    return ALL_HELD


def read(path: Path) -> Run:
    """A run of `speed`, finished or broken off; it is left as it is.

    Raises UsageError where the folder holds no such run, CannotMeasure where that has no rows.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder: give the folder of a run of alexbench speed")
    facts = _facts(path)
    command = facts.get("command")
    if command != "speed":
        raise UsageError(f"{path} is a run of {command!r}: compare reads runs of 'speed'")
    speed = _rows(path, "speed")
    if not speed:
        raise CannotMeasure(f"{path} has no rows of speed: nothing was measured there")
    return Run(str(path), facts, speed, _rows(path, "sample"))


def _rule(given: str) -> Rule:
    try:
        return parse_rule(given)
    except ValueError as error:
        raise UsageError(f"--fail-if {error}") from None


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False  # one of them is not there: reading says so


def _facts(path: Path) -> dict[str, Any]:
    file = path / RUN_FILE
    try:
        found = strict_json.loads(_bytes(file, MOST_RUN_BYTES).decode("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} is not a run folder: it has no {RUN_FILE}") from None
    except BAD_FILE as error:
        raise _unreadable(file, error) from None
    if not isinstance(found, dict) or "alexbench" not in found:
        raise UsageError(f"{path} is not a run folder: its {RUN_FILE} was not written by alexbench")
    return found


def _rows(path: Path, kind: str) -> list[dict[str, Any]]:
    """The rows of one kind: its table, and what a run that broke off (or is being resumed) has kept beside it."""
    found: list[dict[str, Any]] = []
    for file, reader in ((path / f"{kind}.parquet", _parquet), (path / f".rows-{kind}.jsonl", _lines)):
        try:
            if file.exists():
                found += tables.records(tables.frame(kind, reader(file, kind)))
        except BAD_FILE as error:
            raise _unreadable(file, error) from None
    return found


def _parquet(file: Path, kind: str) -> list[dict[str, Any]]:
    _check_size(file, MOST_TABLE_BYTES)
    wanted = [field for field in pa.parquet.read_schema(file) if field.name in tables.TABLES[kind]]
    nested = [field for field in wanted if pa.types.is_nested(field.type)]
    if nested:
        raise ValueError(f"column {nested[0].name} is {str(nested[0].type)[:40]}, where plain values are expected")
    # Texts stay a dictionary until their length is known: a small file can hold a long one a million times.
    texts = [field.name for field in wanted if not pa.types.is_primitive(field.type)]
    with pa.parquet.ParquetFile(file, read_dictionary=texts) as opened:
        _check_rows(opened.metadata.num_rows, kind)
        table = opened.read(columns=[field.name for field in wanted])
    _check_unpacked(sum(_unpacked(column) for column in table.columns))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _unpacked(column: Any) -> int:
    """Bytes that a column takes as plain values."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = (pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() for chunk in column.chunks)
    return sum(length or 0 for length in lengths)


def _lines(file: Path, kind: str) -> list[dict[str, Any]]:
    lines = _bytes(file, MOST_TABLE_BYTES).decode("utf-8", errors="replace").split("\n")[:-1]
    _check_rows(len(lines), kind)  # what follows the last line break broke off in writing
    rows = [strict_json.loads(line) for line in lines]
    columns = tables.TABLES[kind]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line is not a row")
    return [{name: value for name, value in row.items() if name in columns} for row in rows]


def _bytes(file: Path, most: int) -> bytes:
    _check_size(file, most)
    with file.open("rb") as opened:
        return opened.read(most)


def _check_size(file: Path, most: int) -> None:
    """Before it is opened: a pipe would wait for ever."""
    facts = file.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("not a file")
    if facts.st_size > most:
        raise ValueError(f"{facts.st_size} bytes, at most {most} are read")


def _check_unpacked(size: int) -> None:
    if size > MOST_UNPACKED_BYTES:
        raise ValueError(f"{size} bytes unpacked, at most {MOST_UNPACKED_BYTES} are read")


def _check_rows(count: int, kind: str) -> None:
    if count > MOST_ROWS[kind]:
        raise ValueError(f"{count} rows, at most {MOST_ROWS[kind]} are read")


def _unreadable(file: Path, error: BaseException) -> UsageError:
    why = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    return UsageError(f"cannot read {file}: {why[:200]}")


def _tell(found: Comparison, met: compare_view.Broken, form: str, out: Path | None) -> None:
    if out is not None:
        try:
            atomic.write_bytes(compare_view.render(found, met, form).encode("utf-8", errors="replace"), out)
        except OSError as error:
            raise UsageError(f"cannot write {out}: {error.strerror or error}") from None
    elif form == "table":
        compare_view.show(found, met)
    else:
        sys.stdout.write(compare_view.render(found, met, form))
