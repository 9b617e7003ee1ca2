"""Taking a folder for a run: an empty one, or one whose earlier run the user gives up by --overwrite.

`check` looks before anything is read or measured, `claim` when everything has been read and the first row may come.
"""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import folder_lock
from harness.errors import UsageError
from harness.run_files import Left, check_schema, owner_of, read_run

STATES = {"complete": "finished", "interrupted": "interrupted", "failed": "failed"}  # what is still "running" broke off
RESUMABLE = ("speed", "train", "paper")


def check(out: Path | None, *, overwrite: bool = False, reads: Iterable[Path] = ()) -> None:
    """Raises UsageError where `claim` would as things stand; changes nothing. None stands for a new folder."""
    if out is None:
        return
    try:
        _look(out, overwrite, reads)
    except OSError as error:
        raise UsageError(
            f"cannot write to {out}: {error.strerror or error}; choose another folder with --out"
        ) from None


def _look(out: Path, overwrite: bool, reads: Iterable[Path]) -> None:
    """Raises UsageError, OSError."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; --out needs a folder")
    _spare(out, reads)
    if not out.is_dir():
        return
    if folder_lock.is_held(out):
        raise UsageError(busy(out, read_run(out)))
    _judge(out, read_run(out), overwrite)


def _judge(out: Path, run: Mapping[str, Any] | None, overwrite: bool) -> None:
    """Raises UsageError where the folder's content, which no run is at work on here, is not to be written over.

    Raises OSError.
    """
    if run is None:
        if any(out.iterdir()):
            raise UsageError(f"{out} is not empty and not a run folder; choose another folder with --out")
        return
    if not overwrite:
        raise UsageError(_holds_a_run(out, run))
    check_schema(out, run)  # what a newer version left is not known here
    if _may_run_elsewhere(run):
        raise UsageError(
            f"{out} holds {_named(run)}, and host {_text(run['process']['host'])} may still be at work on it: remove it"
            " by hand if not, or choose another folder with --out"
        )


def claim(out: Path, *, overwrite: bool, reads: Iterable[Path] = (), leaves: Iterable[str] = ()) -> int:
    """The folder made, locked and without an earlier run's files; returns the lock's descriptor.

    `reads`: what the run reads, which must not lie there. `leaves`: files and folders that it is going to write. Raises
    UsageError, OSError.
    """
    check(out, overwrite=overwrite, reads=reads)
    out.mkdir(parents=True, exist_ok=True)
    lock = lock_of(out)
    try:
        run = read_run(out)
        _judge(out, run, overwrite)  # once more, now that nobody can come between
        if run is not None:
            _remove(Left.of(out, run), _named(run), leaves)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _remove(left: Left, named: str, leaves: Iterable[str]) -> None:
    for name in leaves:
        if (left.path / name).exists() and name not in (*left.files, *left.folders):
            raise UsageError(f"{left.path} holds {name}, which no run left there: move it, or choose another --out")
    from reports.render.terminal import say  # here, because nothing else of a run's folder needs rich

    say(f"removing {named} from {left.path}: {left.told()}", error=True)
    left.remove()


def lock_of(path: Path) -> int:
    """The lock of a run's folder. Raises UsageError where the run is under way, OSError."""
    try:
        return folder_lock.take(path)
    except folder_lock.Held:
        raise UsageError(busy(path, read_run(path))) from None


def this_process() -> dict[str, Any]:
    """Who is at work, as run.json says it. The lock tells whether it still is; this is for a person, and elsewhere."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "boot": _boot()}


def _boot() -> str | None:
    """The system's number of its own start, the same in all of a machine's containers; None where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _may_run_elsewhere(run: Mapping[str, Any]) -> bool:
    """Whether a run that is not finished was begun on another machine, whose locks are not seen from here."""
    process = run.get("process")
    if run.get("status") != "running" or not isinstance(process, dict):
        return False
    boot = process.get("boot")
    return process.get("host") != socket.gethostname() and (boot is None or boot != _boot())


def busy(path: Path, run: Mapping[str, Any] | None) -> str:
    """What is said of a folder whose run is under way."""
    process = (run or {}).get("process")
    number = process.get("pid") if isinstance(process, dict) else None
    return f"{path} belongs to a run under way (process {number if isinstance(number, int) else 'unknown'})"


def check_file(out: Path) -> None:
    """Raises UsageError where a file that a command is to write is one that a run left, or one of prepared data."""
    from harness.data.prepared import is_prepared  # here, because it loads NumPy

    if out.is_file() and is_prepared(Path(os.path.realpath(out)).parent):
        raise UsageError(f"{out} lies in a folder of prepared data: choose another name with --out")
    folder = owner_of(out)
    if folder is not None:
        raise UsageError(
            f"{out} belongs to {_named(read_run(folder) or {})} in {folder}: choose another name with --out"
        )


def _spare(out: Path, reads: Iterable[Path]) -> None:
    """Raises UsageError where what is read lies in the folder that is to be written."""
    folder = Path(os.path.realpath(out))
    for read in reads:
        found = Path(os.path.realpath(read))
        if found == folder or folder in found.parents:
            raise UsageError(f"{read} is read here and must not lie in --out {out}: choose another folder")


def _holds_a_run(out: Path, run: Mapping[str, Any]) -> str:
    command, ways = run.get("command"), ""
    if command in RESUMABLE and run.get("status") != "complete":
        ways = f"go on with it by alexbench {command} --resume {shlex.quote(str(out))}, "
    return f"{out} holds {_named(run)}: {ways}choose another folder with --out, or give it up with --overwrite"


def _named(run: Mapping[str, Any]) -> str:
    """As a person reads it: the finished run of train, begun at 2026-01-01T00:00:00.000Z."""
    state = STATES.get(str(run.get("status")), "broken-off")
    command, began = (_text(run.get(name)) for name in ("command", "started"))
    return f"the {state} run of {command}, begun at {began}"


def _text(value: Any) -> str:
    text = str(value)[:60]
    return text if text.isprintable() else repr(text)
