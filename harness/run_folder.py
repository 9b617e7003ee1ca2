"""The folder a run leaves: rows kept the moment they are measured, tables and report written when it ends.

    run.json           command line, arguments, environment, signature, status, failures; written first and at the end
    .rows-KIND.jsonl   one line per row, there only until the tables are
    KIND.parquet, KIND.csv, dictionary.csv (what their columns mean), pictures, report.md, report.html

Every file but the growing `.jsonl` is replaced whole, `run.json` last: a folder is finished or says that it is not.
A folder that holds a run is written over only where the user says so (see `harness.run_claim`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from harness import environment, folder_lock, run_claim, strict_json
from harness.errors import CannotMeasure, UsageError
from harness.run_files import RUN_FILE, SCHEMA, check_schema, folders_of, kind_of, read_run
from harness.version import VERSION
from reports import atomic

Status = Literal["running", "complete", "interrupted", "failed"]
Row = dict[str, Any]


class RunFolder:
    """One run's folder. `append` may be called from several threads."""

    def __init__(self, path: Path, run: dict[str, Any], lock: int) -> None:
        """For `create`, `recover` and `reopen`."""
        self.path = path
        self._run = {**run, "schema": SCHEMA}
        self.let_go = weakref.finalize(self, os.close, lock)  # for others, as the end of the process does
        self._lock = threading.Lock()
        self._final: dict[str, list[Row]] | None = None  # the rows of a folder that was closed here

    @classmethod
    def create(
        cls,
        command: str,
        arguments: Mapping[str, Any],
        out: Path | None = None,
        *,
        overwrite: bool = False,
        reads: Iterable[Path] = (),
        signature: str = "",
        command_line: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """Start a run in `out`, by default in runs/<UTC time>-<command>. With `overwrite` an earlier run there goes.

        `command_line` does the run again (see `harness.command_line`). `facts` go into run.json as they are: `layers`,
        the network's layer names in order, gives the picture its axis; `files` are those that the command will write
        itself. `reads` are files and folders that the run reads.

        Raises UsageError where the folder cannot be written, holds a run or something else, or belongs to a run under
        way.
        """
        run = {
            "alexbench": VERSION,
            "schema": SCHEMA,
            "command": command,
            **({"command_line": command_line} if command_line else {}),
            "arguments": dict(arguments),
            "status": "running",
            "started": _now(),
            "signature": signature,
            **(facts or {}),
            "process": run_claim.this_process(),
            "environment": environment.describe(),
        }
        try:
            path = _fresh_default(command) if out is None else out
            leaves = (*(run.get("files") or ()), *folders_of(run))
            folder = cls(path, run, run_claim.claim(path, overwrite=overwrite, reads=reads, leaves=leaves))
            folder._write_run(run)
        except OSError as error:
            raise UsageError(
                f"cannot write to {out or 'runs/'}: {_why(error)}; choose another folder with --out"
            ) from None
        return folder

    @classmethod
    def recover(cls, path: Path) -> RunFolder:
        """Finish a folder whose run broke off: tables and report from the rows it kept, status `interrupted`.

        A folder that is finished already is left as it is. Raises UsageError where `path` holds no run, or one that is
        still under way.
        """
        folder = cls(path, *_taken(path))
        if folder.status == "running":
            folder.close("interrupted", failures=("the run broke off; its tables were written afterwards",))
        return folder

    @classmethod
    def reopen(cls, path: Path, changed: Sequence[Mapping[str, Any]] = ()) -> RunFolder:
        """Go on with a run that ended or broke off: its rows are as `append` left them, its status `running` again.

        `changed` is what is not as it was and changes no figure (see `harness.same_ground`). Raises UsageError where
        `path` holds no run, one that is still under way, or tables that cannot be read.
        """
        run, lock = _taken(path)
        folder = cls(path, run, lock)
        try:
            closed = run.get("status") != "running"  # then the rows are in its tables
            kinds = list(run.get("rows") or {}) if closed else [kind_of(file.name) for file in folder._kept()]
            for kind in kinds:  # a line that broke off is cut away, or the next would be written behind it
                folder.replace(kind, _read_table(path, kind) if closed else folder.rows(kind))
            for left in path.glob(".work-*"):  # arrays of a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            now = _now()
            again = {"status": "running", "process": run_claim.this_process()}
            folder._run = {**folder._run, **again, "resumed": [*(run.get("resumed") or ()), now]}
            if changed:
                folder._run["changed"] = [*(run.get("changed") or ()), *({"resumed": now, **one} for one in changed)]
            folder._write_run(folder._run)
        except OSError as error:
            raise UsageError(f"cannot go on with {path}: {_why(error)}") from None
        return folder

    @property
    def facts(self) -> Mapping[str, Any]:
        """What run.json holds."""
        return dict(self._run)

    def replace(self, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Let a kind have these rows and no others. Raises OSError."""
        text = "".join(strict_json.dumps(row) + "\n" for row in rows)
        atomic.write_bytes(text.encode(), self._rows_path(kind))

    def keep_only(self, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Let a kind have those of its rows that stand; without any it has no table. Raises OSError."""
        if rows:
            self.replace(kind, rows)
        else:
            self._rows_path(kind).unlink(missing_ok=True)

    @property
    def status(self) -> Status:
        """`running` until the folder is closed."""
        found: Status = self._run["status"]
        return found

    def append(self, kind: str, row: Mapping[str, Any]) -> None:
        """Keep one row. Raises CannotMeasure where it cannot be written; the rows before it stay readable."""
        line = (strict_json.dumps(row) + "\n").encode()
        path = self._rows_path(kind)
        try:
            with self._lock:
                _append_whole(path, line)
        except OSError as error:
            raise self._cannot_write(error, path.name) from None

    def rows(self, kind: str) -> list[Row]:
        """The rows kept so far, in order. A last line that broke off is no row."""
        return self._final.get(kind, []) if self._final is not None else _read_rows(self._rows_path(kind))

    def show(self, **facts: Any) -> None:
        """Print what the rows kept so far come to, as the report will say it; `facts` are said as if run.json had them.

        Whether the run ends well is not known yet, so its status goes unmentioned.
        """
        from reports import documents
        from reports.render import terminal

        terminal.show(documents.of_rows(self._all_rows(), {**self._run, "status": None, **facts}))

    def note(self, **facts: Any) -> None:
        """Add to run.json what is known only once the run is under way (its signature, a framework's version).

        Raises CannotMeasure where it cannot be written.
        """
        run = self._run | facts
        try:
            self._write_run(run)
        except OSError as error:
            raise self._cannot_write(error, RUN_FILE) from None
        self._run = run

    def close(
        self, status: Status, *, failures: Sequence[str] = (), timings: Mapping[str, float] | None = None
    ) -> None:
        """Write tables and report, then run.json with its final status. A second call does nothing.

        Raises CannotMeasure where the disk is full; the rows are then still there, and `recover` finishes the folder.
        """
        if self.status != "running":
            return
        from reports import write as run_report  # here, because pandas takes half a second that a row need not wait for

        rows = self._all_rows()
        ended = {"status": status, "finished": _now(), "failures": list(failures), "timings": dict(timings or {})}
        counts = {kind: len(found) for kind, found in rows.items()}
        run = {**self._run, **ended, "rows": counts}
        run.pop("process", None)
        # Tables of an earlier part whose rows did not stand are not this run's any more.
        gone = {name for kind in self._run.get("rows") or {} if kind not in rows for name in _tables_of(kind)}
        try:
            written = run_report.write(self.path, run, rows)
            named = [name for name in run.get("files") or () if name not in gone and (self.path / name).exists()]
            run["files"] = list(dict.fromkeys([*named, *written]))
            self._write_run(run)
            for name in gone:
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot_write(error, "tables and report") from None
        self._run, self._final = run, rows
        for path in self._kept():
            path.unlink(missing_ok=True)
        self.let_go()

    def _all_rows(self) -> dict[str, list[Row]]:
        return {kind: self.rows(kind) for kind in (kind_of(path.name) for path in self._kept())}

    def _kept(self) -> list[Path]:
        return sorted(self.path.glob(".rows-*.jsonl"))

    def _rows_path(self, kind: str) -> Path:
        return self.path / f".rows-{kind}.jsonl"

    def _write_run(self, run: Mapping[str, Any]) -> None:
        atomic.write_bytes((strict_json.dumps(run, indent=2) + "\n").encode(), self.path / RUN_FILE)

    def _cannot_write(self, error: OSError, what: str) -> CannotMeasure:
        return CannotMeasure(f"cannot write {what} in {self.path}: {_why(error)}; what was measured until then is kept")


def facts_of(path: Path) -> dict[str, Any]:
    """What the run.json of a run that is over holds. Raises UsageError where there is none, or it is under way."""
    run = read_run(path)
    if run is None:
        raise UsageError(f"{path} is not a run folder: it has no readable {RUN_FILE}")
    check_schema(path, run)
    try:
        if folder_lock.is_held(path):
            raise UsageError(run_claim.busy(path, run))
    except OSError as error:
        raise UsageError(f"cannot go on with {path}: {_why(error)}") from None
    return run


def _taken(path: Path) -> tuple[dict[str, Any], int]:
    """The same, and the folder's lock. Raises UsageError."""
    facts = facts_of(path)
    try:
        lock = run_claim.lock_of(path)
        atomic.remove_partial(path)
    except OSError as error:
        raise UsageError(f"cannot go on with {path}: {_why(error)}") from None
    return read_run(path) or facts, lock


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _fresh_default(command: str) -> Path:
    """A new folder under runs/; two runs within one second do not share one."""
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{command}"
    number = 1
    while True:
        path = Path("runs", stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not Path("runs").is_dir():
                raise
            number += 1
        else:
            return path


def _tables_of(kind: str) -> tuple[str, str]:
    return f"{kind}.parquet", f"{kind}.csv"


def _read_table(path: Path, kind: str) -> list[Row]:
    from reports import tables

    if Path(kind).name != kind:
        raise UsageError(f"{path} names a table {kind!r}, which is no file's name")
    try:
        return tables.records(tables.read_parquet(kind, path / f"{kind}.parquet"))
    except (OSError, ValueError) as error:  # what pyarrow raises for a damaged file is one of the two
        raise UsageError(f"cannot read {path / kind}.parquet: {str(error).splitlines()[0]}") from None


def _append_whole(path: Path, line: bytes) -> None:
    """Append the line or nothing: a full disk may take half of it, and that half is cut off again."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        before = os.fstat(descriptor).st_size
        try:
            left = memoryview(line)
            while left:
                left = left[os.write(descriptor, left) :]
        except BaseException:  # Ctrl-C between two halves included
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _read_rows(path: Path) -> list[Row]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    rows = []
    for line in lines[:-1]:  # what follows the last line break broke off in writing
        with contextlib.suppress(ValueError):  # zeros, where a power cut came before the disk had the line
            rows.append(strict_json.loads(line))
    return rows
