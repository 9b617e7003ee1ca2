"""From any source to a prepared folder: listed, decoded by all cores, finished; gone on with where it broke off."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import environment, folder_lock, strict_json
from harness.data import crew, finish, inventory, mapped
from harness.data.images import SHORTEST_SIDE, resized_side
from harness.data.journal import ChunkDone, Journal
from harness.data.plan import DIGEST_BYTES, WORK, Plan, read_plan
from harness.data.prepared import FACTS_FILE, Prepared, is_prepared, open_prepared
from harness.data.sources.source import Source
from harness.errors import CannotMeasure, UsageError, WorkerFailed
from impls.spec import Network
from reports import atomic

LARGEST_SIDE = 4096
KEPT = "what was prepared until then is kept"
GO_ON = "go on with --resume (a full disk needs room first), or choose another folder with --out"
LONGEST_WAIT_S = 5.0  # for processes of a run that was killed: they end with the chunk they are at

Watch = Callable[[int, int], None]  # how many images are done, of how many


class Busy(UsageError):
    """Another run works on the folder."""


@dataclass(frozen=True)
class Outcome:
    """A prepared folder and what it took."""

    prepared: Prepared
    skipped: int
    images: int  # done by this run
    seconds: float
    found: bool = False  # it was finished already


def prepare(
    source: Source,
    out: Path,
    side: int,
    *,
    resume: bool = False,
    strict: bool = False,
    jobs: int | None = None,
    watch: Watch = lambda done, total: None,
    go_on: str = GO_ON,
) -> Outcome:
    """Prepare `source` in the folder `out`. Raises AlexbenchError.

    With `resume` a folder that was begun is gone on with. With `strict` nothing may be left out; the folder is then
    not finished, and says what it was. `jobs`: processes, one per core if not given. `go_on`: what to do when it has
    broken off, for the person who reads of it.
    """
    if not SHORTEST_SIDE <= side <= LARGEST_SIDE:
        raise UsageError(f"a side of {side} pixels: expected {SHORTEST_SIDE} to {LARGEST_SIDE}")
    started = time.monotonic()
    try:
        with _locked(out) as lock, contextlib.ExitStack() as stack:
            stamp = source.stamp()
            if is_prepared(out):
                return _as_found(source, stamp, out, side, strict)
            plan = _plan(source, stamp, out, side, resume, stack)
            try:
                images = _all_chunks(plan, jobs or environment.usable_cores(), lock, watch)
            except (CannotMeasure, WorkerFailed) as error:
                raise type(error)(f"{error}; {KEPT}: {go_on}") from None
            left_out = _finish(plan, strict)
    except OSError as error:
        begun = (out / WORK / "plan.json").exists()
        left = f"{KEPT}: {go_on}" if begun else "nothing was prepared yet"
        raise CannotMeasure(f"cannot prepare {out}: {error}; {left}") from None
    return Outcome(open_prepared(out), left_out, images, time.monotonic() - started)


def side_for(source: Source, network: Network | None) -> int:
    """The side to prepare for a network, or for none.

    Images that are all of one size keep it, or are made the network's input; photographs are made somewhat larger than
    the input, 256 for 224 as in the paper's section 2, for crops to be cut from.
    """
    if source.side is not None:
        return network.width if network else source.side
    return resized_side(network.width) if network else 256


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[int]:
    """The folder, made and locked for this run and the processes it starts. Raises Busy, UsageError, OSError.

    The lock goes with the last process that holds it. A run that was killed leaves some that end with their chunk.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: --out needs a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {out}: {error.strerror}; choose another folder with --out") from None
    descriptor = _lock_of(out)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock_of(out: Path) -> int:
    until = time.monotonic() + LONGEST_WAIT_S
    while True:
        try:
            return folder_lock.take(out)
        except folder_lock.Held:
            if time.monotonic() > until or _is_owned(out):
                raise Busy(f"another run prepares {out} (process {_owner(out)}): wait for its end") from None
            time.sleep(0.05)


def _is_owned(out: Path) -> bool:
    """Whether the run that works on the folder is alive itself, and not only processes that it started."""
    try:
        return folder_lock.is_held(out / WORK / "owner")
    except OSError:
        return False  # it has not come so far


def _owner(out: Path) -> str:
    try:
        return (out / WORK / "owner").read_text()[:20] or "unknown"
    except (OSError, ValueError):
        return "unknown"


def _as_found(source: Source, stamp: str, out: Path, side: int, strict: bool) -> Outcome:
    """A folder that is finished, if it is what is asked for. Raises UsageError, CannotMeasure."""
    prepared = open_prepared(out)
    facts = strict_json.loads((out / FACTS_FILE).read_text(encoding="utf-8"))
    if prepared.side != side or facts.get("stamp") != stamp:
        wanted = "another state of it" if prepared.source == source.title else source.title
        raise UsageError(
            f"{out} holds {prepared.source} with a side of {prepared.side}, asked for is {wanted} with a side of"
            f" {side}: choose another folder with --out"
        )
    shutil.rmtree(out / WORK, ignore_errors=True)  # of a run that was killed on its last line
    if strict:
        _refuse_missed(out, int(facts.get("missed", prepared.skipped)))
    return Outcome(prepared, prepared.skipped, 0, 0.0, found=True)


def _refuse_missed(out: Path, missed: int) -> None:
    if missed:
        raise CannotMeasure(
            f"images that cannot be used: {missed:,}, and --strict allows none; {out / 'skipped.csv'} lists them:"
            " mend them and begin again, or go on without them by --resume without --strict"
        )


def _plan(source: Source, stamp: str, out: Path, side: int, resume: bool, stack: contextlib.ExitStack) -> Plan:
    """What is to be done: the plan that was begun, or a new one. Raises UsageError, OSError."""
    begun = read_plan(out, source.root.resolve())
    if begun is None:
        return _new_plan(source, stamp, out, side, stack)
    if not resume:
        raise UsageError(f"{out} is not finished: go on with --resume, or choose another folder with --out")
    if (begun.title, begun.side, begun.stamp) != (source.title, side, stamp):
        changed = " in another state" if (begun.title, begun.side) == (source.title, side) else ""
        raise UsageError(
            f"{out} was begun with {begun.title} and a side of {begun.side}{changed}, not with {source.title} and"
            f" {side}: choose another folder with --out"
        )
    _own(out, stack)
    atomic.remove_partial(out)
    return begun


def _new_plan(source: Source, stamp: str, out: Path, side: int, stack: contextlib.ExitStack) -> Plan:
    if strange := sorted(entry.name for entry in out.iterdir() if entry.name != WORK):
        raise UsageError(f"{out} is not empty, it holds {strange[0]!r}: choose another folder with --out")
    shutil.rmtree(out / WORK, ignore_errors=True)  # a list that was not finished
    (out / WORK).mkdir()
    _own(out, stack)
    try:
        return inventory.take(source, stamp, out, side)
    except BaseException:  # nothing was prepared, so nothing is to be gone on with
        shutil.rmtree(out / WORK, ignore_errors=True)
        raise


def _own(out: Path, stack: contextlib.ExitStack) -> None:
    """Say who works on the folder, and hold that file alone until `stack` ends: the processes it starts do not."""
    owner = out / WORK / "owner"
    owner.write_text(str(os.getpid()))
    stack.callback(os.close, folder_lock.take(owner, wait=True))


def _all_chunks(plan: Plan, jobs: int, lock: int, watch: Watch) -> int:
    """Do what is not done yet; returns how many images that were. Raises AlexbenchError, OSError."""
    journal = Journal.open(plan.work / "journal.jsonl", lambda: _to_disk(plan))
    try:
        if not journal.done:
            _reserve(plan)
        tasks = [(part, chunk) for part in plan.counts for chunk in range(plan.chunks(part))]
        tasks = [task for task in tasks if task not in journal.done]
        total = sum(plan.counts.values())
        before = done = total - sum(len(plan.span(*task)) for task in tasks)
        watch(done, total)
        with contextlib.ExitStack() as stack:
            for one in _done(plan, tasks, jobs, lock, stack):
                journal.add(one)
                done += len(plan.span(one.part, one.chunk))
                watch(done, total)
        return done - before
    finally:
        journal.close()


def _to_disk(plan: Plan) -> None:
    """What chunks write. Raises OSError."""
    for part in plan.counts:
        atomic.to_disk(plan.images_file(part))
        atomic.to_disk(plan.work / f"{part}.digests")
    atomic.to_disk(plan.work / "sums")


def _done(
    plan: Plan, tasks: list[tuple[str, int]], jobs: int, lock: int, stack: contextlib.ExitStack
) -> Iterator[ChunkDone]:
    """By processes where images have to be decoded; copying what is in memory is quicker than starting them."""
    jobs = min(jobs, len(tasks))
    if jobs > 1 and plan.encoded:
        return stack.enter_context(crew.Crew(plan, jobs, lock)).do(tasks)
    return crew.alone(plan, tasks)


def _reserve(plan: Plan) -> None:
    """Room for all that is to come, before hours go into the first of it. Raises CannotMeasure."""
    for part, count in plan.counts.items():
        head = mapped.header((count, *plan.shape))
        mapped.reserve(plan.images_file(part), len(head) + count * plan.image_bytes)
        mapped.reserve(plan.work / f"{part}.digests", count * DIGEST_BYTES)
    mapped.reserve(plan.work / "sums", plan.chunks(plan.measured) * plan.image_bytes * 2)


def _finish(plan: Plan, strict: bool) -> int:
    """Finish the folder; returns how many files were left out. Raises CannotMeasure, OSError."""
    journal = Journal.open(plan.work / "journal.jsonl")
    journal.close()
    left_out = finish.skipped(plan, journal.done)
    finish.write_skipped(plan, left_out)
    if strict:
        _refuse_missed(plan.folder, sum(one.wanted for one in left_out))
    finish.finish(plan, journal.done, left_out)
    return sum(one.files for one in left_out)
