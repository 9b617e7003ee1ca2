"""`alexbench prepare` as its users run it: what it prints, how it ends, and a disk that fills."""

from __future__ import annotations

import contextlib
import io
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from program import Done, alexbench, command, complaint, is_plain, surroundings, told, wait_until

from harness.data.prepare import prepare as prepare_here
from harness.data.prepared import is_prepared, open_prepared
from harness.data.sources.opening import open_source
from harness.errors import CannotMeasure


@pytest.fixture(scope="module")
def pets(tmp_path_factory) -> Path:
    """120 photographs of two classes."""
    root = tmp_path_factory.mktemp("pets")
    random = np.random.default_rng(3)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for index in range(60):
            coarse = random.integers(0, 256, (5, 7, 3)).astype(np.uint8)
            stream = io.BytesIO()
            Image.fromarray(coarse).resize((70, 50)).save(stream, "JPEG")
            (root / name / f"{index:02d}.jpg").write_bytes(stream.getvalue())
    return root


def prepare(source: object, out: Path, *more: object, **options: Any) -> Done:
    return alexbench("prepare", "--data", source, "--out", out, *more, **options)


def test_digits_are_prepared_at_once_and_once(tmp_path):
    first = prepare("digits", tmp_path / "out")
    assert first.returncode == 0 and is_plain(first.stdout)
    assert "train 10 1,442 8 1 92,288" in told(first) and "left out: 0" in told(first)
    assert open_prepared(tmp_path / "out").content_hash in first.stdout
    again = prepare("digits", tmp_path / "out")
    assert again.returncode == 0 and "it was prepared already" in again.stdout
    assert first.stdout.splitlines()[-1] == again.stdout.splitlines()[-1]


def test_a_network_chooses_the_side(tmp_path):
    assert prepare("digits", tmp_path / "a", "--network", "cifar-4layer").returncode == 0
    assert open_prepared(tmp_path / "a").side == 32
    assert prepare("digits", tmp_path / "b", "--network", "cifar-4layer", "--side", 40).returncode == 0
    assert open_prepared(tmp_path / "b").side == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "mnits:x"), "unknown source of data 'mnits:x': did you mean 'mnist"),
        (("--data", "digits", "--side", 4), "a side of 4 pixels: expected 8 to 4096"),
        (("--data", "digits", "--side", 12, "--network", "cifar-4layer"), "images of 12x12 are smaller than the input"),
        (("--data", "digits", "--network", "alexnet"), "unknown network 'alexnet'"),
        (("--data", "cifar10:/dev"), "holds no data_batch_1, data_batch_1.bin or cifar-10-python.tar.gz"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, message):
    done = alexbench("prepare", "--out", tmp_path / "out", *arguments)
    assert message in complaint(done, 2)


def test_an_out_folder_that_is_not_ours(tmp_path, pets):
    assert "is not empty" in complaint(prepare("digits", pets), 2)
    file = tmp_path / "file"
    file.touch()
    assert "is a file" in complaint(prepare("digits", file), 2)


def test_strict_ends_with_3_where_an_image_is_broken(tmp_path, pets):
    source = tmp_path / "pets"
    source.mkdir()
    for name in ("cat", "dog"):
        (source / name).symlink_to(pets / name)
    (source / "bird").mkdir()
    (source / "bird" / "poem.jpg").write_text("a bird came down the walk")
    (source / "bird" / "bird.jpg").write_bytes((pets / "cat" / "00.jpg").read_bytes())
    strict = prepare(f"imagefolder:{source}", tmp_path / "out", "--side", 32, "--strict")
    assert "cannot be used: 1, and --strict allows none" in complaint(strict, 3)
    done = prepare(f"imagefolder:{source}", tmp_path / "out", "--side", 32, "--resume")
    assert done.returncode == 0 and "left out: 1, listed in" in told(done)
    assert "poem.jpg" in (tmp_path / "out" / "skipped.csv").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_keeps_what_was_prepared(tmp_path, pets, number):
    out = tmp_path / "out"
    process = subprocess.Popen(
        command("prepare", "--data", f"imagefolder:{pets}", "--out", out, "--side", "400", "--jobs", "2"),
        env=surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = out / ".prepare" / "journal.jsonl"
    wait_until(lambda: journal.is_file() and journal.stat().st_size)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and stdout == ""
    assert stderr.splitlines()[-1] == "alexbench: error: interrupted"
    assert f"go on with --resume --out {out}" in " ".join(stderr.split())
    assert prepare(f"imagefolder:{pets}", out, "--side", 400, "--resume").returncode == 0
    assert prepare(f"imagefolder:{pets}", tmp_path / "whole", "--side", 400).returncode == 0
    assert open_prepared(out).content_hash == open_prepared(tmp_path / "whole").content_hash


def test_a_disk_without_room_is_seen_before_the_work(tmp_path, pets, small_disk):
    disk = small_disk(800)
    if disk is None:
        pytest.skip("mounting a small disk needs root")
    line = complaint(prepare(f"imagefolder:{pets}", disk / "out", "--side", 64), 3)
    assert "cannot reserve 1,179,776 bytes" in line and "go on with --resume" in line
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    assert prepare(f"imagefolder:{pets}", disk / "out", "--side", 64, "--resume").returncode == 0
    assert prepare(f"imagefolder:{pets}", tmp_path / "whole", "--side", 64).returncode == 0
    assert open_prepared(disk / "out").content_hash == open_prepared(tmp_path / "whole").content_hash


def test_a_file_that_may_grow_no_further_ends_with_3(tmp_path, pets):
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))

    done = prepare(f"imagefolder:{pets}", tmp_path / "out", "--side", 64, preexec_fn=limited)
    assert "File too large" in complaint(done, 3)
    assert prepare(f"imagefolder:{pets}", tmp_path / "out", "--side", 64, "--resume").returncode == 0


def test_a_disk_that_fills_in_the_end_costs_nothing_that_was_prepared(tmp_path, pets, small_disk):
    disk = small_disk(4000)
    if disk is None:
        pytest.skip("mounting a small disk needs root")
    source, out = open_source(f"imagefolder:{pets}"), disk / "out"

    def fill(done: int, total: int) -> None:
        """When the pixels are there, and only what is small has yet to be written."""
        if done == total and not (disk / "ballast").exists():
            with (disk / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass

    with pytest.raises(CannotMeasure, match=r"No space left on device.*go on with --resume"):
        prepare_here(source, out, 64, jobs=1, watch=fill)
    assert not is_prepared(out)
    (disk / "ballast").unlink()
    again = prepare_here(source, out, 64, jobs=1, resume=True)
    assert again.images <= 16  # a chunk at most is done again
    whole = prepare_here(source, tmp_path / "whole", 64, jobs=1)
    assert again.prepared.content_hash == whole.prepared.content_hash
