"""From what a command names to a prepared folder: one that is there, or a source prepared once and kept in a cache."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from harness.data.plan import PLAN_FORMAT
from harness.data.prepare import Busy, Outcome, prepare, side_for
from harness.data.prepared import FORMAT, Prepared, is_prepared, open_prepared
from harness.data.sources.folder_parts import Parts
from harness.data.sources.opening import names_source, open_source
from harness.data.sources.source import Source
from harness.data.watching import watched
from harness.errors import CannotMeasure, UsageError
from impls.spec import Network

GO_ON = "say the same again (a full disk needs room first); ALEXBENCH_CACHE=DIR names another folder"
WAIT_S = 0.5  # between two looks at a folder that another run prepares


def obtain(
    data: str,
    network: Network | None,
    *,
    side: int | None = None,
    parts: Parts = (),
    say: Callable[[str], None] = print,
) -> Prepared:
    """Open a prepared folder, or prepare a source for `network` and open that. Raises AlexbenchError.

    `data` is a folder's path, `digits`, `photos`, or imagenet:, imagefolder:, cifar10: or mnist: with a path. What was
    prepared from a source stays in the cache, under a name that changes with the source and the side. `parts`: folders
    of an imagefolder's parts.
    """
    source = named(data, parts)
    if isinstance(source, Prepared):
        if parts:
            raise UsageError(f"{data} is prepared already: --parts is given to `alexbench prepare`, leave it out here")
        if side not in (None, source.side):
            raise UsageError(f"{data} was prepared with a side of {source.side} pixels, and {side} are asked for")
        return source
    side = side or side_for(source, network)
    place = cache() / _name(source, side)
    if is_prepared(place):
        return open_prepared(place)
    say(f"preparing {data} with a side of {side} pixels in {place}")
    outcome = _prepared(source, place, side, say)
    say(f"prepared {outcome.images:,} images in {outcome.seconds:.1f} s, {outcome.skipped:,} left out")
    return outcome.prepared


def named(data: str, parts: Parts = ()) -> Prepared | Source:
    """What `data` names, prepared or to be prepared. Raises AlexbenchError where it names nothing that is there."""
    if not names_source(data) and is_prepared(Path(data)):
        return open_prepared(Path(data))
    if not names_source(data) and _is_folder(data):
        raise UsageError(
            f"{data} is no finished folder of `alexbench prepare`: for a folder of images say imagefolder:{data}"
        )
    try:
        return open_source(data, parts)
    except UsageError as error:
        if names_source(data):
            raise
        raise UsageError(f"{error}; a folder of `alexbench prepare` is given by its path, and none is there") from None


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def cache() -> Path:
    """Where prepared sources are kept: $ALEXBENCH_CACHE, else alexbench in the user's cache folder."""
    if own := os.environ.get("ALEXBENCH_CACHE"):
        return Path(own)
    users = os.environ.get("XDG_CACHE_HOME")
    return (Path(users) if users else Path.home() / ".cache") / "alexbench"


def _name(source: Source, side: int) -> str:
    facts = json.dumps([FORMAT, PLAN_FORMAT, source.stamp(), side])
    return f"{source.title.partition(':')[0]}-{side}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"


def _prepared(source: Source, place: Path, side: int, say: Callable[[str], None]) -> Outcome:
    """Prepare, or wait for another run that does. Raises AlexbenchError."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotMeasure(
            f"cannot keep what is prepared in {place}: {error.strerror}; ALEXBENCH_CACHE=DIR names another folder"
        ) from None
    waits = False
    with watched(f"preparing {source.title}") as watch:
        while True:
            try:
                return prepare(source, place, side, resume=True, watch=watch, go_on=GO_ON)
            except Busy as busy:
                if not waits:
                    say(f"{busy}, which this run does")
                waits = True
                time.sleep(WAIT_S)
