"""Reading run folders that anybody may have made: sizes are bounded before anything is read, and nothing is written.

A run may be finished, broken off or still under way. Whatever is wrong with a folder is one line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from harness import strict_json
from harness.errors import UsageError
from harness.run_files import MAX_RUN_BYTES, RUN_FILE, check_schema, opened, read_bytes
from reports import schema, tables

MAX_TABLE_BYTES = 128 << 20  # of a file
MAX_LINE_BYTES = 1 << 20  # of a row that is kept as JSON
MAX_UNPACKED_BYTES = 512 << 20  # of a Parquet file's columns, and of all tables of a run together
MAX_ROWS = 500_000
MAX_ROWS_OF = {"speed": 20_000}
BAD_FILE = (OSError, ValueError, RecursionError, OverflowError, pa.ArrowException)


def facts(path: Path) -> dict[str, Any]:
    """What run.json holds, of a run that may still be under way. Raises UsageError."""
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder: give the folder of a run of alexbench")
    file = path / RUN_FILE
    try:
        found = strict_json.loads(read_bytes(file, MAX_RUN_BYTES).decode("utf-8"))
        if not isinstance(found, dict) or "alexbench" not in found:
            raise UsageError(f"{path} is not a run folder: its {RUN_FILE} was not written by alexbench")
        check_schema(path, found)
    except FileNotFoundError:
        raise UsageError(f"{path} is not a run folder: it has no {RUN_FILE}") from None
    except BAD_FILE as error:
        raise _unreadable(file, error) from None
    return dict(found)


def read(path: Path, kinds: Iterable[str] = ()) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """What run.json holds, and every table that is there: kind -> rows. `kinds` are those wanted, if not all.

    A table that is large by its kind (see `schema.Kind`) is left to its file. Raises UsageError.
    """
    run = facts(path)
    wanted = [name for name in kinds or schema.TABLES if not schema.TABLES[name].large]
    found: dict[str, pd.DataFrame] = {}
    size = 0
    for kind in wanted:
        if (read_in := table(path, kind)) is not None:
            found[kind] = read_in
            size += int(read_in.memory_usage(deep=True).sum())
            if size > MAX_UNPACKED_BYTES:
                raise UsageError(f"cannot read {path}: its tables take over {MAX_UNPACKED_BYTES} bytes unpacked")
    counts: Any = run.get("rows")
    for kind, count in counts.items() if isinstance(counts, dict) else ():
        if kind in wanted and kind not in found and isinstance(count, int) and count > 0:
            raise UsageError(f"{path} is damaged: its table {kind}, of {count} rows, is missing")
    return run, found


def rows(path: Path, kind: str) -> list[dict[str, Any]]:
    """The rows of one kind, none where the folder has no such table. Raises UsageError."""
    found = table(path, kind)
    return [] if found is None else tables.records(found)


def table(path: Path, kind: str) -> pd.DataFrame | None:
    """The table of one kind, None where there is none: the rows kept so far, or, of a run that is over, its file.

    Rows are kept beside a file where the run goes on: they hold all of the file's that stand. Raises UsageError.
    """
    for file, reader in ((path / f".rows-{kind}.jsonl", _lines), (path / f"{kind}.parquet", _parquet)):
        try:
            return reader(file, kind)
        except FileNotFoundError:
            continue  # it may be ending just now
        except BAD_FILE as error:
            raise _unreadable(file, error) from None
    return None


def _parquet(file: Path, kind: str) -> pd.DataFrame:
    known = schema.dtypes(kind, optional=True)
    with opened(file, MAX_TABLE_BYTES) as source:
        wanted = [field for field in pa.parquet.read_schema(source) if field.name in known]
        nested = [field for field in wanted if pa.types.is_nested(field.type)]
        if nested:
            raise ValueError(f"column {nested[0].name} is {str(nested[0].type)[:40]}, where plain values are expected")
        # Texts stay a dictionary until their length is known: a small file can hold a long one a million times.
        texts = [field.name for field in wanted if not pa.types.is_primitive(field.type)]
        file_of = pa.parquet.ParquetFile(source, read_dictionary=texts)
        _check_rows(file_of.metadata.num_rows, kind)
        _check_unpacked(_announced(file_of.metadata, {field.name for field in wanted}))
        found: dict[str, Any] = {}
        size = 0
        for field in wanted:  # one by one: a file may announce less than it holds
            found[field.name] = file_of.read(columns=[field.name], use_threads=False).column(0)
            size += _unpacked(found[field.name])
            _check_unpacked(size)
    return tables.of_columns(kind, found)


def _announced(metadata: Any, names: set[str]) -> int:
    """Bytes of these columns' pages, as the file says before they are read."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(place) for group in groups for place in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in names)


def _unpacked(column: Any) -> int:
    """Bytes that a column takes as plain values."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = (pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() for chunk in column.chunks)
    return sum(length or 0 for length in lengths)


def _lines(file: Path, kind: str) -> pd.DataFrame:
    lines = read_bytes(file, MAX_TABLE_BYTES).decode("utf-8", errors="replace").split("\n")[:-1]
    _check_rows(len(lines), kind)  # what follows the last line break broke off in writing
    columns = schema.dtypes(kind, optional=True)
    return tables.frame(kind, [_row(line, columns) for line in lines])


def _row(line: str, columns: Iterable[str]) -> dict[str, Any]:
    """The values of these columns; lists and the like as text, which takes far less memory."""
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"a row of {len(line)} bytes, at most {MAX_LINE_BYTES} are read")
    row = strict_json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("a line is not a row")  # noqa: TRY004
    kept = {name: row[name] for name in columns if name in row}
    return {name: json.dumps(one) if isinstance(one, list | dict) else one for name, one in kept.items()}


def _check_unpacked(size: int) -> None:
    if size > MAX_UNPACKED_BYTES:
        raise ValueError(f"{size} bytes unpacked, at most {MAX_UNPACKED_BYTES} are read")


def _check_rows(count: int, kind: str) -> None:
    most = MAX_ROWS_OF.get(kind, MAX_ROWS)
    if count > most:
        raise ValueError(f"{count} rows, at most {most} are read")


def _unreadable(file: Path, error: BaseException) -> UsageError:
    why = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    return UsageError(f"cannot read {file}: {why[:200]}")
