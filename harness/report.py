"""`alexbench report`: one page of one run or several, or of a folder of runs.

Folders may come from anywhere (see `harness.run_reading`). One that cannot be read is named and left out.
"""

from __future__ import annotations

import hashlib
import os
import sys
import webbrowser
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from harness import folder_lock, run_claim, run_reading, strict_json
from harness.errors import AlexbenchError, CannotMeasure, UsageError
from harness.run_files import RUN_FILE, owner_of
from reports import atomic, documents, write
from reports.document import Block, Document, Picture, Section
from reports.documents import runs as several
from reports.documents.runs import Told
from reports.format import clean
from reports.render import html
from reports.render.html import Part
from reports.render.terminal import say
from reports.summaries import history
from reports.summaries.environments import GROUPS, RunTables

MAX_RUNS = 400  # on a page; of more the latest are taken
MAX_WHOLE = 25  # runs named one by one whose documents are on the page whole
MAX_ENTRIES = 20_000  # of a folder of runs that are looked at
MAX_KEPT_BYTES = 256 << 20  # of what is kept of all runs until the page is made
FACTS = ("command", "started", "signature", "command_line")  # that no two runs share, and what else is kept of run.json
SENSELESS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)  # it may hold anything


@dataclass(frozen=True)
class Found:
    """A run that was read, and where."""

    path: Path
    told: Told
    part: Part | None  # its own, None where it is wanted in the overview alone
    identity: str  # the same of a run and its copies
    size: int = 0  # bytes that all this takes


def run(paths: Sequence[Path], out: Path, *, opens: bool = False) -> int:
    """Write the page and return the exit code. Raises UsageError, CannotMeasure where no run can be read."""
    _check(paths, out)
    places: dict[str, tuple[Path, bool]] = {}  # each run once, however often it is given
    for path, named in (one for given in paths for one in _runs_of(given)):
        before = places.get(os.path.realpath(path))
        places[os.path.realpath(path)] = (path, named or (before is not None and before[1]))
    whole = sum(named and _is_run(path) for path, named in places.values()) <= MAX_WHOLE
    if not whole:
        _warn(f"more than {MAX_WHOLE} runs are named: the page has an overview of them, not each whole")
    found: list[Found] = []
    left: list[str] = []  # why others are not on the page
    room = MAX_KEPT_BYTES
    for path, named in places.values():
        try:
            one = _read(path, whole=named and whole)
            if one.size > room:
                raise UsageError(
                    f"no room for {path}: what a page keeps of all runs takes {MAX_KEPT_BYTES} bytes at most"
                )
            room -= one.size
            found.append(one)
        except (AlexbenchError, OSError) as error:
            if len(paths) == len(places) == 1:
                raise CannotMeasure(str(error)) from None
            left.append(str(error))
    if not found:
        _warn_of(left)
        where = ", ".join(map(str, paths))
        raise CannotMeasure(
            f"no run can be read in {where}: name run folders, or a folder that has some directly in it"
        )
    text = _text(_named(_once(found, left)), out, left)
    _warn_of(left)
    try:
        atomic.write_bytes(text.encode("utf-8", errors="replace"), out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from None
    say(f"wrote {out}")
    if opens:
        _open(out)
    return 0


def _check(paths: Sequence[Path], out: Path) -> None:
    """Raises UsageError where the page would take the place of a run's file, but for the page of a run given here."""
    owner = owner_of(out)
    if owner is None or out.name != write.PAGE or not any(_same(owner, path) for path in paths):
        run_claim.check_file(out)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _runs_of(path: Path) -> list[tuple[Path, bool]]:
    """Run folders, each with whether it was named itself: `path`, or those directly in it.

    A link in a folder is not followed: what it leads to lies elsewhere, or would be there twice.
    """
    try:
        inside = list(islice(path.iterdir(), MAX_ENTRIES)) if path.is_dir() and not _is_run(path) else None
    except OSError:
        inside = None
    if inside is None:
        return [(path, True)]
    runs = sorted(one for one in inside if not one.is_symlink() and _is_run(one))
    if len(runs) > MAX_RUNS or len(inside) == MAX_ENTRIES:
        _warn(f"{path} holds more than a page does: of {len(runs)} runs the last {MAX_RUNS} by name are shown")
    return [(one, False) for one in runs[-MAX_RUNS:]]


def _is_run(folder: Path) -> bool:
    """Whether it has a run.json, or cannot be looked into: then who reads it says why."""
    try:
        return (folder / RUN_FILE).exists()
    except OSError:
        return True


def _read(path: Path, *, whole: bool) -> Found:
    """A run as it is now. Raises UsageError where it cannot be read, or is not what it says."""
    facts, tables = run_reading.read(path)
    try:
        document = documents.document_of(tables, facts)
        part = write.part(document, write.drawings(document), path) if whole else None
        kept = {name: facts[name] for name in FACTS if name in facts}
        identity = hashlib.sha256(strict_json.dumps(kept if facts.get("started") else facts).encode()).hexdigest()
        told = Told(
            RunTables(path.name, kept | _ground(facts), history.needed(tables)), _status(path, facts), document.verdict
        )
        found = Found(path, told, part and replace(part, document=_drawn(document)), identity)
        return replace(found, size=_size(found))
    except SENSELESS as error:
        raise UsageError(f"cannot make sense of {path}: {_why(error)}") from None


def _why(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__


def _ground(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The environment, as far as runs are held against each other by it."""
    environment = facts.get("environment")
    if not isinstance(environment, dict):
        return {}
    return {"environment": {name: environment[name] for name in GROUPS if name in environment}}


def _drawn(document: Document) -> Document:
    """The document without what draws its pictures, and holds all tables for that."""

    def plain(block: Block) -> Block:
        if isinstance(block, Picture):
            return replace(block, draw=None)
        return replace(block, blocks=[plain(one) for one in block.blocks]) if isinstance(block, Section) else block

    sections = [replace(section, blocks=[plain(block) for block in section.blocks]) for section in document.sections]
    return replace(document, sections=sections)


def _size(value: Any) -> int:
    """Bytes that a value takes with all that it holds."""
    if isinstance(value, pd.DataFrame):
        return int(value.memory_usage(deep=True).sum())
    return sys.getsizeof(value) + sum(map(_size, _inner(value)))


def _inner(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value
    elif is_dataclass(value):
        yield from (getattr(value, one.name) for one in fields(value))


def _once(found: Sequence[Found], left: list[str]) -> list[Found]:
    """Each run without its copies: one measurement counts once. Of those that are on the page whole, one is kept.

    `left` is told of the others.
    """
    kept: dict[str, Found] = {}
    for one in sorted(found, key=lambda one: one.part is None):
        first = kept.setdefault(one.identity, one)
        if first is not one:
            left.append(f"{one.path} is a copy of {first.path}")
    return list(kept.values())


def _text(found: Sequence[Found], out: Path, left: list[str]) -> str:
    """The page of those runs that can be told, `left` of the others. Raises CannotMeasure where there is none."""
    try:
        return _page(found, out, left)
    except SENSELESS as error:
        why = _why(error)
    sound = [one for one in found if _is_sound(one, left)]
    try:
        if 0 < len(sound) < len(found):
            return _page(sound, out, left)
    except SENSELESS as error:
        why = _why(error)
    raise CannotMeasure(f"cannot make sense of {', '.join(str(one.path) for one in found[:3])}: {why}")


def _is_sound(one: Found, left: list[str]) -> bool:
    """Whether a page can be made of the run alone, and of it after itself."""
    try:
        html.page([write.overview(several.document([one.told, one.told])), *filter(None, [one.part])])
    except SENSELESS as error:
        left.append(f"cannot make sense of {one.path}: {_why(error)}")
        return False
    return True


def _status(path: Path, facts: Mapping[str, Any]) -> str:
    """What run.json says, and of a run that is not over whether a process is at work on it."""
    if facts.get("status") != "running":
        return clean(str(facts.get("status")))
    try:
        return "under way" if folder_lock.is_held(path) else "broken off"
    except OSError:
        return "broken off"


def _page(found: Sequence[Found], out: Path, left: Sequence[str]) -> str:
    """The only run's page; of several an overview, then each of those that are wanted whole."""
    whole = [one.part for one in found if one.part is not None]
    if len(found) == len(whole) == 1:
        return html.page(whole)
    overview = several.document([one.told for one in found], left)
    links = {one.told.run.name: address for one in found if (address := _address(one.path, out))}
    return html.page([write.overview(overview), *whole], overview.title, links)


def _address(run: Path, out: Path) -> str:
    """Where the run's own page lies, seen from the page that is written; empty where there is none."""
    page = Path(os.path.realpath(run)) / write.PAGE
    if not page.is_file():
        return ""
    return quote(os.fsencode(os.path.relpath(page, os.path.realpath(out.parent))))


def _named(found: Sequence[Found]) -> list[Found]:
    """In order of time, each run with a name of its own: its folder's, with the one above it where two share it."""
    folders = [Path(os.path.realpath(one.path)) for one in found]
    names = Counter(folder.name for folder in folders)
    made: list[Found] = []
    for one, folder in zip(found, folders, strict=True):
        name = clean(folder.name if names[folder.name] == 1 else f"{folder.parent.name}/{folder.name}")
        told = replace(one.told, run=one.told.run._replace(name=name))
        made.append(replace(one, told=told, part=one.part and replace(one.part, folder=name)))
    return sorted(made, key=lambda one: (one.told.started, one.told.run.name))


def _open(out: Path) -> None:
    try:
        shown = webbrowser.open(Path(os.path.realpath(out)).as_uri())
    except (OSError, webbrowser.Error):
        shown = False
    if not shown:
        _warn(f"no browser could be started: open {out} yourself")


def _warn_of(left: Sequence[str]) -> None:
    for reason in left:
        _warn(f"{reason}: left out")


def _warn(said: str) -> None:
    say(f"alexbench: warning: {clean(said)}", error=True)
