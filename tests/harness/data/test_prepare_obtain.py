"""Data named by a command: a prepared folder, or a source that is prepared once and kept."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import made_sources as made
import pytest

from harness.data.obtain import cache, obtain
from harness.data.prepare import prepare
from harness.data.sources.opening import open_source
from harness.errors import CannotMeasure, UsageError
from impls import catalog

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    """The cache, empty."""
    place = tmp_path / "cache"
    monkeypatch.setenv("ALEXBENCH_CACHE", str(place))
    return place


def test_a_source_is_prepared_once_for_each_side(kept):
    said: list[str] = []
    first = obtain("digits", catalog.get("cifar-4layer"), say=said.append)
    assert first.side == 32 and first.path.parent == kept and len(said) == 2
    assert obtain("digits", catalog.get("cifar-4layer"), say=said.append).content_hash == first.content_hash
    assert len(said) == 2
    assert obtain("digits", None, say=said.append).side == 8
    assert obtain("digits", None, side=12, say=said.append).side == 12
    assert len(list(kept.iterdir())) == 3


def test_a_source_that_changed_is_prepared_anew(kept, tmp_path):
    root = made.image_folder(tmp_path / "pets", count=5)
    first = obtain(f"imagefolder:{root}", None, side=16, say=lambda text: None)
    (root / "cat" / "000.jpg").write_bytes(made.jpeg(77))
    second = obtain(f"imagefolder:{root}", None, side=16, say=lambda text: None)
    assert first.path != second.path and first.content_hash != second.content_hash


def test_a_prepared_folder_is_taken_as_it_is(kept, tmp_path):
    prepare(open_source("digits"), tmp_path / "mine", 16)
    assert obtain(str(tmp_path / "mine"), catalog.get("cifar-4layer")).side == 16
    assert not kept.exists()
    with pytest.raises(UsageError, match="was prepared with a side of 16 pixels, and 32 are asked for"):
        obtain(str(tmp_path / "mine"), None, side=32)


def test_a_folder_that_is_not_prepared_says_what_to_do(kept, tmp_path):
    with pytest.raises(UsageError, match=f"say imagefolder:{tmp_path}"):
        obtain(str(tmp_path), None)
    with pytest.raises(UsageError, match="unknown source of data"):
        obtain(str(tmp_path / "nothing"), None)


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("ALEXBENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache() == tmp_path / "alexbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache() == Path.home() / ".cache" / "alexbench"


def test_a_cache_that_cannot_be_written_names_the_variable(kept):
    kept.write_text("a file")
    with pytest.raises(CannotMeasure, match="ALEXBENCH_CACHE"):
        obtain("digits", None, say=lambda text: None)


def test_several_at_once_wait_for_the_first(kept, tmp_path):
    root = made.image_folder(tmp_path / "pets", count=40)
    code = (
        "from harness.data.obtain import obtain\n"
        f"print(obtain('imagefolder:{root}', None, side=300, say=lambda text: None).content_hash)"
    )
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    hashes = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(set(hashes)) == 1 and len(hashes[0].strip()) == 64
    assert len(list(kept.iterdir())) == 1


def test_where_there_is_no_room_the_cache_is_named_and_no_option_of_another_command(kept):
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(CannotMeasure, match="ALEXBENCH_CACHE=DIR names another folder") as caught:
            obtain("photos", None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert "--" not in str(caught.value)
