"""What a run left in its folder: by its run.json, and by the names that only runs give."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from harness import strict_json
from harness.errors import UsageError
from reports.schema import DICTIONARY

RUN_FILE = "run.json"
MAX_RUN_BYTES = 16 << 20  # of it
SCHEMA = 2  # of run.json and the folder, as they are written; version 0.1.0 wrote none, and is read as 1
CHECKPOINTS = "checkpoints"
TRAININGS = "trainings"
IMPL = "impl"  # copies of the user's own code
FOLDERS = {"train": (CHECKPOINTS,), "paper": (TRAININGS,)}  # of a command's run
TABLES, WEIGHTS, PICTURES = (".parquet", ".csv"), (".safetensors",), (".png", ".svg")


def read_run(path: Path) -> dict[str, Any] | None:
    """What the run.json of a folder holds; None where none can be read or something else wrote it."""
    try:
        found = strict_json.loads(read_bytes(path / RUN_FILE, MAX_RUN_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "alexbench" in found else None


@contextlib.contextmanager
def opened(file: Path, most: int) -> Iterator[BinaryIO]:
    """A file for reading. Raises OSError, and ValueError where it is none, such as a pipe, or larger than `most`."""
    with open(file, "rb", opener=_unblocked) as found:
        facts = os.fstat(found.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("not a file")
        if facts.st_size > most:
            raise ValueError(f"{facts.st_size} bytes, at most {most} are read")
        yield found


def _unblocked(file: str, flags: int) -> int:
    return os.open(file, flags | os.O_NONBLOCK)  # or a pipe would be waited for


def read_bytes(file: Path, most: int) -> bytes:
    """What a file holds, up to `most` bytes. Raises as `opened` does."""
    with opened(file, most) as found:
        return found.read(most)


def check_schema(path: Path, run: Mapping[str, Any]) -> None:
    """Raises UsageError for a run that a newer version wrote, or whose schema is damaged."""
    found = run.get("schema", 1)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise UsageError(f"{path} has a damaged {RUN_FILE}: its schema is {str(found)[:60]!r}, no number of a version")
    if found > SCHEMA:
        raise UsageError(
            f"{path} was written by a newer alexbench (schema {str(found)[:60]}, this one reads up to {SCHEMA}):"
            " upgrade it with pip install --upgrade alexbench"
        )


def kind_of(rows_file: str) -> str:
    """The kind of rows that a file `.rows-KIND.jsonl` keeps."""
    return rows_file.removeprefix(".rows-").removesuffix(".jsonl")


@dataclass(frozen=True)
class Left:
    """Files and folders of one run that are there. A note somebody laid beside them is not among them."""

    path: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, run: Mapping[str, Any]) -> Left:
        """By what run.json lists, and what a run that broke off could not list."""
        rows = [file.name for file in path.glob(".rows-*.jsonl")]
        tables = [f"{kind_of(name)}{ending}" for name in rows for ending in TABLES]
        partial = [file.name for file in path.glob(".*.partial")]
        listed = run.get("files")
        own = [name for name in map(str, listed if isinstance(listed, list) else ()) if Path(name).name == name]
        files = [name for name in dict.fromkeys([*own, *tables, *rows, *partial]) if (path / name).is_file()]
        folders = [name for name in folders_of(run) if (path / name).is_dir()]
        work = [folder.name for folder in path.glob(".work-*")]  # arrays of a run that was killed
        return cls(path, tuple(files), (*folders, *work))

    def told(self) -> str:
        """What it is, by kind: "weights torch.safetensors, tables loss, training, 2 pictures, checkpoints"."""
        shown = [name for name in self.files if not name.startswith(".")]
        tables = [name for name in _ending(shown, TABLES) if name != DICTIONARY]
        told = [
            _several("weights", _ending(shown, WEIGHTS)),
            _several("tables", sorted({Path(name).stem for name in tables})),
            _several("rows", [kind_of(name) for name in self.files if name.startswith(".rows-")]),
            _counted("picture", len({Path(name).stem for name in _ending(shown, PICTURES)})),
            *map(_plain, (name for name in shown if name not in tables and not name.endswith((*WEIGHTS, *PICTURES)))),
            *(name for name in self.folders if not name.startswith(".")),
        ]
        return ", ".join([*filter(None, told), RUN_FILE])

    def remove(self) -> None:
        """All of it but run.json: that says what there is until the next run replaces it. Raises OSError."""
        for name in self.folders:
            _remove_folder(self.path / name)
        for name in self.files:
            (self.path / name).unlink(missing_ok=True)


def folders_of(run: Mapping[str, Any]) -> tuple[str, ...]:
    """Folders that a run leaves, by name: those of its command, and kept copies of the user's code."""
    own, code = FOLDERS.get(str(run.get("command")), ()), run.get("impl")
    kept = isinstance(code, dict) and any(isinstance(one, dict) and one.get("kept") for one in code.values())
    return (*own, IMPL) if kept else own


def _remove_folder(folder: Path) -> None:
    """What is in it; the folder itself too, if it is no link to one on another disk."""
    if not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=folder.name.startswith("."))  # a killed run's worker may still write there
        return
    for inner in folder.iterdir():
        if inner.is_dir() and not inner.is_symlink():
            shutil.rmtree(inner)
        else:
            inner.unlink()


def _ending(names: Iterable[str], endings: tuple[str, ...]) -> list[str]:
    return [name for name in names if name.endswith(endings)]


def _several(kind: str, names: Iterable[str]) -> str:
    told = ", ".join(map(_plain, names))
    return f"{kind} {told}" if told else ""


def _counted(kind: str, count: int) -> str:
    return f"{count} {kind}{'s' if count > 1 else ''}" if count else ""


def _plain(name: str) -> str:
    return name if name.isprintable() else repr(name)


def owner_of(file: Path) -> Path | None:
    """The run folder that a file belongs to, if it is there and a run left it, be it in a folder of the run's."""
    place = Path(os.path.realpath(file))
    if not place.is_file():
        return None
    for folder in place.parents:
        with contextlib.suppress(OSError):
            run = read_run(folder)
            left = Left.of(folder, run) if run is not None else None
            if left is not None and place.relative_to(folder).parts[0] in (*left.files, *left.folders, RUN_FILE):
                return folder
    return None
