"""The folder a run leaves: rows kept the moment they are measured, tables and report written when it ends.

    run.json           arguments, environment, signature, status, failures; written first and rewritten at the end
    .rows-KIND.jsonl   one line per row, there only until the tables are
    KIND.parquet, KIND.csv, report.md

Every file but the growing `.jsonl` is replaced whole, `run.json` last: a folder is finished or says that it is not.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from harness import environment, strict_json
from harness.errors import CannotMeasure, UsageError
from harness.version import VERSION
from reports import atomic

Status = Literal["running", "complete", "interrupted", "failed"]
Row = dict[str, Any]

RUN_FILE = "run.json"


class RunFolder:
    """One run's folder. `append` may be called from several threads."""

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        """For `create` and `recover`."""
        self.path = path
        self._run = run
        self._lock = threading.Lock()
        self._final: dict[str, list[Row]] | None = None  # the rows of a folder that was closed here

    @classmethod
    def create(
        cls,
        command: str,
        arguments: Mapping[str, Any],
        out: Path | None = None,
        *,
        signature: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """Start a run in `out`, by default in runs/<UTC time>-<command>; an earlier run there is replaced.

        `facts` go into run.json as they are: `layers`, the network's layer names in order, gives the picture its axis.
        Raises UsageError where the folder cannot be written, holds something else, or belongs to a run under way.
        """
        run = {
            "alexbench": VERSION,
            "command": command,
            "arguments": dict(arguments),
            "status": "running",
            "started": _now(),
            "signature": signature,
            **(facts or {}),
            "process": {"host": socket.gethostname(), "pid": os.getpid()},
            "environment": environment.describe(),
        }
        try:
            path = _fresh_default(command) if out is None else _claimed(out)
            folder = cls(path, run)
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
        run = _read_run(path)
        if run is None:
            raise UsageError(f"{path} is not a run folder: it has no readable {RUN_FILE}")
        folder = cls(path, run)
        _refuse_alive(path, run)
        if run.get("status") == "running":
            folder.close("interrupted", failures=("the run broke off; its tables were written afterwards",))
        return folder

    @classmethod
    def reopen(cls, path: Path) -> RunFolder:
        """Go on with a run that ended or broke off: its rows are as `append` left them, its status `running` again.

        Raises UsageError where `path` holds no run, one that is still under way, or tables that cannot be read.
        """
        run = facts_of(path)
        folder = cls(path, run)
        try:
            closed = run.get("status") != "running"  # then the rows are in its tables
            kinds = list(run.get("rows") or {}) if closed else [_kind(file.name) for file in folder._kept()]
            for kind in kinds:  # a line that broke off is cut away, or the next would be written behind it
                folder.replace(kind, _read_table(path, kind) if closed else folder.rows(kind))
            for left in path.glob(".work-*"):  # arrays of a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            again = {"status": "running", "process": {"host": socket.gethostname(), "pid": os.getpid()}}
            folder._run = {**run, **again, "resumed": [*(run.get("resumed") or ()), _now()]}
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

    @property
    def status(self) -> Status:
        """`running` until the folder is closed."""
        found: Status = self._run["status"]
        return found

    def describe(self, **facts: Any) -> None:
        """Add facts to run.json that are known only once the run is under way, such as its signature.

        Raises CannotMeasure where it cannot be written.
        """
        self._run = {**self._run, **facts}
        try:
            self._write_run(self._run)
        except OSError as error:
            raise self._cannot_write(error, RUN_FILE) from None

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

    def note(self, **facts: Any) -> None:
        """Add to run.json what is known only once the run is under way (a framework's version, say).

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
        from reports import run_report  # here, because pandas takes half a second that a row need not wait for

        rows = {kind: self.rows(kind) for kind in (_kind(path.name) for path in self._kept())}
        ended = {"status": status, "finished": _now(), "failures": list(failures), "timings": dict(timings or {})}
        counts = {kind: len(found) for kind, found in rows.items()}
        run = {**self._run, **ended, "rows": counts}
        run.pop("process", None)
        try:
            written = run_report.write(self.path, run, rows)
            run["files"] = list(dict.fromkeys([*(run.get("files") or ()), *written]))  # the command may have named some
            self._write_run(run)
        except OSError as error:
            raise self._cannot_write(error, "tables and report") from None
        self._run, self._final = run, rows
        for path in self._kept():
            path.unlink(missing_ok=True)

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
    run = _read_run(path)
    if run is None:
        raise UsageError(f"{path} is not a run folder: it has no readable {RUN_FILE}")
    _refuse_alive(path, run)
    return run


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


def _claimed(path: Path) -> Path:
    """The folder the user named, emptied of an earlier run's files."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; --out needs a folder")
    path.mkdir(parents=True, exist_ok=True)
    run = _read_run(path)
    if run is None:
        if any(path.iterdir()):
            raise UsageError(f"{path} is not empty and not a run folder; choose another folder with --out")
        return path
    _refuse_alive(path, run)
    for left in path.glob(".work-*"):  # arrays of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    for name in _left_by(path, run):
        (path / name).unlink(missing_ok=True)
    return path


def _left_by(path: Path, run: Mapping[str, Any]) -> list[str]:
    """What an earlier run wrote, and nothing else: a note somebody laid beside it stays."""
    rows = [file.name for file in path.glob(".rows-*.jsonl")]
    tables = [f"{_kind(name)}.{ending}" for name in rows for ending in ("parquet", "csv")]
    partial = [file.name for file in path.glob(".*.partial")]
    listed = [str(name) for name in run.get("files", ()) if Path(str(name)).name == name]
    return [*rows, *tables, *partial, *listed]


def _kind(name: str) -> str:
    return name.removeprefix(".rows-").removesuffix(".jsonl")


def _refuse_alive(path: Path, run: Mapping[str, Any]) -> None:
    if run.get("status") == "running" and _alive(run.get("process")):
        raise UsageError(f"{path} belongs to a run under way (process {run['process']['pid']})")


def _alive(process: Any) -> bool:
    if not isinstance(process, dict) or process.get("host") != socket.gethostname():
        return False
    pid = process.get("pid")
    if not isinstance(pid, int) or pid in (0, os.getpid()):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it exists and is somebody else's
    return True


def _read_run(path: Path) -> dict[str, Any] | None:
    try:
        found = strict_json.loads((path / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "alexbench" in found else None


def _read_table(path: Path, kind: str) -> list[Row]:
    from reports import export_parquet, tables

    if Path(kind).name != kind:
        raise UsageError(f"{path} names a table {kind!r}, which is no file's name")
    try:
        return tables.records(export_parquet.read(kind, path / f"{kind}.parquet"))
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
    return [strict_json.loads(line) for line in lines[:-1]]  # what follows the last line break broke off in writing
