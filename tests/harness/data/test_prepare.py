"""Preparing: what a folder holds in the end, whatever happened on the way."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_sources as made
import numpy as np
import pytest

from harness import folder_lock
from harness.data import crew, finish, images
from harness.data.chunk import colour_products
from harness.data.journal import ChunkDone, Journal
from harness.data.plan import Plan, read_plan
from harness.data.prepare import Busy, prepare
from harness.data.prepared import is_prepared, open_prepared
from harness.data.sources.opening import open_source
from harness.data.sources.source import Source
from harness.errors import CannotMeasure, UsageError, WorkerFailed

ROOT = Path(__file__).resolve().parents[3]
SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """160 images of two classes, of which some cannot be read."""
    root = made.image_folder(tmp_path_factory.mktemp("in") / "pets", count=80)
    for name in ("cat/003.jpg", "cat/004.jpg", "dog/079.jpg", "dog/040.jpg"):
        (root / name).write_text("this is no image\n")
    return root


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> Path:
    """The same, prepared in one go in one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    prepare(open_source(f"imagefolder:{folder}"), out, SIDE, jobs=1)
    return out


def contents(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def start(source: str, out: Path, *more: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "harness.cli", "prepare", "--data", source, "--out", str(out), *more]
    return subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not true() and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.005)


def journal_lines(out: Path) -> int:
    try:
        return (out / ".prepare" / "journal.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def test_broken_images_leave_no_hole_and_are_listed(folder, whole):
    found = open_prepared(whole)
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 126, "val": 30}
    with (whole / "skipped.csv").open(newline="") as file:
        left_out = {(row["part"], row["name"]) for row in csv.DictReader(file) if "not an image" in row["reason"]}
    assert left_out == {
        ("train", "cat/003.jpg"),
        ("val", "cat/004.jpg"),
        ("val", "dog/079.jpg"),
        ("train", "dog/040.jpg"),
    }
    for part in found.parts.values():
        names = part.names()
        assert len(set(names)) == len(part)
        assert not {name for _, name in left_out} & set(names)
        for name, label, image in zip(names, part.labels, part.images, strict=True):
            assert found.classes[label] == name.split("/")[0]
            data = (folder / name).read_bytes()
            assert np.array_equal(image, made_square(data)), name


def made_square(data: bytes) -> np.ndarray:
    return images.resize_and_crop(np.asarray(images.decode(Path("made"), data)), SIDE)


def test_mean_and_colours_are_those_of_the_training_images(whole):
    found = open_prepared(whole)
    pixels = found.part("train").images.astype(np.float64)
    assert np.array_equal(found.mean, pixels.mean(axis=0).astype(np.float32))
    covariance = np.cov(pixels.reshape(-1, 3), rowvar=False, bias=True)
    np.testing.assert_allclose(
        found.eigenvectors @ np.diag(found.eigenvalues) @ found.eigenvectors.T, covariance, rtol=1e-9, atol=1e-6
    )
    assert found.eigenvalues[0] >= found.eigenvalues[1] >= found.eigenvalues[2] >= 0
    assert (found.eigenvectors[np.abs(found.eigenvectors).argmax(axis=0), range(3)] > 0).all()


@pytest.mark.parametrize("side", [8, 13, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_sums_of_products_are_exact(side, channels):
    random = np.random.default_rng(side)
    images = random.integers(0, 256, (5, side, side, channels)).astype(np.uint8)
    images[0] = 255
    colours = images.reshape(-1, channels).astype(np.int64)
    assert np.array_equal(colour_products(images), colours.T @ colours)


def test_the_number_of_processes_changes_nothing(folder, whole, tmp_path):
    outcome = prepare(open_source(f"imagefolder:{folder}"), tmp_path / "out", SIDE, jobs=3)
    assert outcome.skipped == 4 and outcome.images == 160
    assert contents(tmp_path / "out") == contents(whole)


# A run that kills itself as soon as the journal has so many lines, or where a file is to get its name.
KILLED = """
import os, signal, sys
from pathlib import Path
from harness.data import journal
from harness.data.prepare import prepare
from harness.data.sources.opening import open_source

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def watch(done, total):
    if moment.isdigit() and (work / "journal.jsonl").read_bytes().count(b"\\n") >= int(moment):
        die()

class Timeless:  # a disk that takes no time: each chunk has its line at once
    monotonic = staticmethod(lambda: 0.0)

source, out, side, moment = sys.argv[1:]
work, journal.time, replace = Path(out) / ".prepare", Timeless, Path.replace
Path.replace = lambda path, target: die() if target.name == moment else replace(path, target)
prepare(open_source(source), Path(out), int(side), jobs=2, watch=watch)
"""


@pytest.mark.parametrize("moment", ["0", "1", "4", "skipped.csv", "mean.npy", "prepared.json"])
def test_a_killed_run_is_gone_on_with_to_the_same_bytes(folder, whole, tmp_path, moment):
    out, source = tmp_path / "out", f"imagefolder:{folder}"
    command = [sys.executable, "-c", KILLED, source, str(out), str(SIDE), moment]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not is_prepared(out)
    assert len(list(out.glob(".*.partial"))) == (not moment.isdigit())
    left = 160 - 16 * int(moment) if moment.isdigit() else 0
    assert prepare(open_source(source), out, SIDE, resume=True, jobs=2).images == left
    assert contents(out) == contents(whole)


def broken_off(source: Source, out: Path) -> None:
    """Prepare with two processes until a chunk is done."""

    def watch(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, out, SIDE, jobs=2, watch=watch)


def test_a_source_that_was_moved_meanwhile_is_gone_on_with(folder, whole, tmp_path):
    (tmp_path / "before").mkdir()
    root = Path(shutil.copytree(folder, tmp_path / "before" / folder.name))
    before = root.parent
    out = tmp_path / "out"
    broken_off(open_source(f"imagefolder:{root}"), out)
    before.rename(tmp_path / "after")
    outcome = prepare(open_source(f"imagefolder:{tmp_path}/after/{folder.name}"), out, SIDE, resume=True, jobs=2)
    assert outcome.skipped == 4
    assert open_prepared(out).content_hash == open_prepared(whole).content_hash


@pytest.mark.parametrize("damage", [b'{"part": "train", "chu', bytes(40) + b"\n" + b"{}\n"])
def test_a_damaged_journal_costs_what_follows_the_damage(folder, whole, tmp_path, damage):
    out = tmp_path / "out"
    broken_off(open_source(f"imagefolder:{folder}"), out)
    with (out / ".prepare" / "journal.jsonl").open("ab") as file:
        file.write(damage)
    prepare(open_source(f"imagefolder:{folder}"), out, SIDE, resume=True, jobs=1)
    assert contents(out) == contents(whole)


class Disk:
    """What a disk holds of the files that were flushed to it. The rest is lost in a power cut, but for their room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._held: dict[Path, bytes] = {}
        monkeypatch.setattr(os, "fsync", self._flush)

    def _flush(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_file():
            # Under the name that an atomic write gives it.
            self._held[path.with_name(re.sub(r"^\.(.*)\.\d+\.partial$", r"\1", path.name))] = path.read_bytes()

    def lose_power(self, out: Path, survives: str) -> None:
        for path in (path for path in out.rglob("*") if path.is_file() and path.name != survives):
            size = path.stat().st_size
            path.write_bytes(self._held.get(path, b"").ljust(size, b"\0")[:size])


@pytest.mark.parametrize("after", [1, 3, 9])
def test_a_power_cut_costs_what_the_disk_did_not_hold(folder, whole, tmp_path, monkeypatch, after):
    """The worst of it: every line of the journal has reached the disk, and no pixel that was not waited for."""
    out, source, chunks = tmp_path / "out", open_source(f"imagefolder:{folder}"), []

    def watch(done: int, total: int) -> None:
        if done:
            chunks.append(done)
        if len(chunks) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        disk = Disk(patch)
        patch.setattr(Journal, "close", lambda journal: journal._file.close())  # what waits is lost with the power
        with pytest.raises(KeyboardInterrupt):
            prepare(source, out, SIDE, jobs=1, watch=watch)
        disk.lose_power(out.resolve(), "journal.jsonl")
    assert prepare(source, out, SIDE, resume=True, jobs=1).images < 160
    assert contents(out) == contents(whole)


def test_the_disk_is_waited_for_in_a_tenth_of_the_time(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("harness.data.journal.time.monotonic", lambda: now[0])
    waits = []

    def to_disk() -> None:
        waits.append(now[0])
        now[0] += 2.0

    journal = Journal.open(tmp_path / "journal.jsonl", to_disk)
    for chunk in range(100):
        journal.add(ChunkDone("train", chunk, (), 0, (), ()))
        now[0] += 1.0
    assert waits == [100.0, 120.0, 140.0, 160.0, 180.0, 200.0]
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) < 100
    journal.close()
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 100


@pytest.mark.parametrize("step", ["_close_up", "_labels_and_names", "_mean", "colour_axes"])
def test_finishing_may_break_off_at_every_step(folder, whole, tmp_path, monkeypatch, step):
    out, source = tmp_path / "out", open_source(f"imagefolder:{folder}")
    real = getattr(finish, step)

    def then_break(*arguments: object) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finish, step, then_break)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, out, SIDE, jobs=1)
    assert not is_prepared(out)
    assert prepare(source, out, SIDE, resume=True, jobs=1).images == 0
    assert contents(out) == contents(whole)


def test_images_are_moved_again_where_a_run_broke_off_between_two_moves(folder, whole, tmp_path, monkeypatch):
    out, source, moved = tmp_path / "out", open_source(f"imagefolder:{folder}"), []
    real = finish._copy

    def then_break(*arguments: object) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.append(arguments[1:])
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(finish, "_copy", then_break)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, out, SIDE, jobs=1)
    assert len(moved) == 1
    prepare(source, out, SIDE, resume=True, jobs=1)
    assert contents(out) == contents(whole)


def test_every_item_that_stays_has_one_place():
    holes = [0, 3, 8, 9]
    plan = Plan(Path(), "made", "", Path(), True, 8, 1, ("a",), {"train": 10})
    done = {("train", 0): ChunkDone("train", 0, tuple((hole, "broken") for hole in holes), 0, (), ())}
    order = finish.order_of(plan, "train", done)
    assert list(order) == [6, 1, 2, 7, 4, 5]


def test_strict_says_what_is_broken_and_lets_go_on_without_it(folder, whole, tmp_path):
    out, source = tmp_path / "out", open_source(f"imagefolder:{folder}")
    with pytest.raises(CannotMeasure, match=r"cannot be used: 4, and --strict allows none; .*skipped\.csv"):
        prepare(source, out, SIDE, strict=True, jobs=1)
    assert not is_prepared(out) and len((out / "skipped.csv").read_text().splitlines()) == 5
    assert prepare(source, out, SIDE, resume=True, jobs=1).images == 0
    assert contents(out) == contents(whole)
    with pytest.raises(CannotMeasure, match="cannot be used: 4"):
        prepare(source, out, SIDE, strict=True, jobs=1)


def test_a_folder_is_prepared_once(folder, whole, tmp_path):
    before = contents(whole)
    outcome = prepare(open_source(f"imagefolder:{folder}"), whole, SIDE, jobs=1)
    assert outcome.found and outcome.images == 0 and outcome.skipped == 4
    assert contents(whole) == before
    with pytest.raises(UsageError, match="with a side of 32, asked for is another state of it with a side of 24"):
        prepare(open_source(f"imagefolder:{folder}"), whole, 24, jobs=1)


def begun(source: str, out: Path) -> None:
    """A folder left by a run that was killed."""
    process = start(source, out, "--side", str(SIDE), "--jobs", "1")
    wait_for(lambda: journal_lines(out) > 0, process)
    process.kill()
    process.communicate()


def test_only_what_was_begun_is_gone_on_with(tmp_path):
    root = made.image_folder(tmp_path / "pets", count=40)
    source, out = f"imagefolder:{root}", tmp_path / "out"
    begun(source, out)
    with pytest.raises(UsageError, match="is not finished: go on with --resume"):
        prepare(open_source(source), out, SIDE, jobs=1)
    with pytest.raises(UsageError, match=r"was begun with imagefolder:pets and a side of 32, not with .* and 24"):
        prepare(open_source(source), out, 24, resume=True, jobs=1)
    with pytest.raises(UsageError, match="not with digits"):
        prepare(open_source("digits"), out, SIDE, resume=True, jobs=1)
    (root / "cat" / "000.jpg").write_bytes(made.jpeg(7))
    with pytest.raises(UsageError, match="in another state"):
        prepare(open_source(source), out, SIDE, resume=True, jobs=1)


def test_two_runs_do_not_share_a_folder(tmp_path):
    root = made.image_folder(tmp_path / "pets", count=150)
    source, out = f"imagefolder:{root}", tmp_path / "out"
    process = start(source, out, "--side", "512", "--jobs", "2")
    try:
        wait_for(lambda: journal_lines(out) > 0, process)
        process.send_signal(signal.SIGSTOP)  # so that it is still there
        assert not is_prepared(out)
        with pytest.raises(Busy, match=rf"another run prepares .*\(process {process.pid}\)"):
            prepare(open_source(source), out, 512, resume=True, jobs=1)
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
    assert len(open_prepared(out).part("train")) == 240


def test_processes_of_a_run_that_was_killed_are_waited_for(folder, whole, tmp_path):
    """They end with their chunk. The number of the run itself may by then be that of another process."""
    out, source = tmp_path / "out", open_source(f"imagefolder:{folder}")
    broken_off(source, out)
    (out / ".prepare" / "owner").write_text(str(os.getppid()))
    theirs = folder_lock.take(out)
    end = threading.Timer(0.5, os.close, [theirs])
    end.start()
    prepare(source, out, SIDE, resume=True, jobs=1)
    end.join()
    assert contents(out) == contents(whole)


def test_a_folder_that_holds_something_else_is_left_alone(folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty, it holds 'notes\.txt'"):
        prepare(open_source(f"imagefolder:{folder}"), tmp_path, SIDE, jobs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_process_that_is_killed_costs_its_chunk_only(folder, whole, tmp_path, monkeypatch):
    """One of two, which stands still with its first chunk until the other has done all the rest."""
    out, source = tmp_path / "out", open_source(f"imagefolder:{folder}")
    begin, processes = crew._start, []

    def start_one(*arguments: Any) -> subprocess.Popen[str]:
        processes.append(begin(*arguments))
        if len(processes) == 1:
            processes[0].send_signal(signal.SIGSTOP)
        return processes[-1]

    def kill_it(done: int, total: int) -> None:
        if done == total - 16:
            processes[0].kill()

    with monkeypatch.context() as patch:
        patch.setattr(crew, "_start", start_one)
        with pytest.raises(WorkerFailed, match=r"killed by signal 9\) at images 0 to 15 of .*go on with --resume"):
            prepare(source, out, SIDE, jobs=2, watch=kill_it)
    assert prepare(source, out, SIDE, resume=True, jobs=2).images == 16
    assert contents(out) == contents(whole)


def test_a_last_line_of_the_journal_that_broke_off_is_cut_away(tmp_path):
    one = ChunkDone("train", 3, ((5, "broken"),), 64, (1, 2, 3), tuple(range(9)))
    path = tmp_path / "journal.jsonl"
    path.write_text(one.to_text() + "\n" + one.to_text()[:20])
    journal = Journal.open(path)
    assert journal.done == {("train", 3): one}
    other = ChunkDone("val", 0, (), 0, (), ())
    journal.add(other)
    journal.close()
    assert [json.loads(line)["chunk"] for line in path.read_text().splitlines()] == [3, 0]


def test_a_few_items_are_read_without_the_others(tmp_path):
    root = made.image_folder(tmp_path / "pets", count=100)
    out = tmp_path / "out"
    begun(f"imagefolder:{root}", out)
    plan = read_plan(out)
    assert plan is not None
    assert [item.name for item in plan.all_items("train")][70:72] == [
        item.name for item in plan.items("train", range(70, 72))
    ]
    assert (out / ".prepare" / "train.offsets").stat().st_size == 8 * 161
