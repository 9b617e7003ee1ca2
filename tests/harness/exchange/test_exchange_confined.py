"""A confined child may die in any way: one line is left of the file it died of, and the other files' answers."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import psutil
import pytest

from harness.errors import CannotMeasure
from harness.exchange import confined
from harness.exchange.foreign import FormatError
from harness.exchange.shelf import Shelf
from impls import child_process

PROBE = "hdf5_probe"
SHORT = confined.Limits(memory=1 << 30, seconds=1.0)


@pytest.fixture(autouse=True)
def _the_child_finds_these_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def test_the_answer_and_the_arguments_cross_the_border() -> None:
    found = confined.run(f"{PROBE}:echoed", Path("a.h5"), number=3, names=["ä", "b"])
    assert found == ["a.h5", {"number": 3, "names": ["ä", "b"]}]


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("segfault", "signal 11"),
        ("abort", "signal 6"),
        ("exit", "exit code 3"),
        ("hang", "more than 1 s"),
        ("spin", "more than 1 s"),
        ("memory", "too much memory"),
        ("raises", "RuntimeError: first line second line"),
        ("refuses", "this one is refused"),
    ],
)
def test_every_bad_end_is_one_line_that_names_the_file_or_says_why(ending: str, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        confined.run(f"{PROBE}:ending", Path(ending), SHORT)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_message_names_the_file_as_the_user_does() -> None:
    with pytest.raises(FormatError, match=r"^'raises' cannot be read"):
        confined.run(f"{PROBE}:ending", Path("raises"))
    for ending in ("raises", "segfault"):
        with pytest.raises(FormatError, match=r"^'given\.keras' cannot be read"):
            confined.run(f"{PROBE}:ending", Path(ending), shown=Path("given.keras"))


def test_a_missing_library_arrives_as_such() -> None:
    with pytest.raises(CannotMeasure, match="install it"):
        confined.run(f"{PROBE}:ending", Path("missing"))


@pytest.mark.parametrize("want", ["memory of the child", "memory of a process", "a thread"])
def test_a_child_that_cannot_be_started_is_not_the_files_fault(want: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = psutil.Process().children()
    if want == "memory of the child":
        monkeypatch.setattr(child_process, "command", lambda _module: [sys.executable, "-c", "raise MemoryError"])
    elif want == "memory of a process":
        lacking = OSError(errno.ENOMEM, "Cannot allocate memory")
        monkeypatch.setattr(confined.subprocess, "Popen", Mock(side_effect=lacking))
    else:
        lacking = RuntimeError("can't start new thread")
        monkeypatch.setattr(confined.threading, "Thread", Mock(return_value=Mock(start=Mock(side_effect=lacking))))
    with pytest.raises(CannotMeasure, match=r"^'given\.h5' cannot be read: the process for it cannot be started"):
        confined.run(f"{PROBE}:echoed", Path("x"), shown=Path("given.h5"))
    assert set(psutil.Process().children()) <= set(before)


def test_what_a_library_prints_is_no_answer() -> None:
    assert confined.run(f"{PROBE}:ending", Path("prints")) == "prints"


def test_the_files_after_one_that_kills_the_child_are_still_read() -> None:
    names = ["one", "segfault", "two", "refuses", "exit", "exit", "three"]
    found = list(confined.each(f"{PROBE}:ending", [confined.Request(Path(name)) for name in names], SHORT))
    assert [type(answer).__name__ for answer in found] == [
        "str", "FormatError", "str", "FormatError", "FormatError", "FormatError", "str"
    ]  # fmt: skip
    assert [answer for answer in found if isinstance(answer, str)] == ["one", "two", "three"]


def test_a_hanging_file_is_given_up_about_when_its_time_is_over() -> None:
    confined.run(f"{PROBE}:echoed", Path("warm"))
    started = time.monotonic()
    answers = list(confined.each(f"{PROBE}:ending", [confined.Request(Path(n)) for n in ("one", "hang")], SHORT))
    assert isinstance(answers[1], FormatError)
    assert time.monotonic() - started < 30


def test_the_child_does_not_inherit_what_the_environment_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "token")
    monkeypatch.setenv("HDF5_PLUGIN_PATH", "/somewhere")
    found = confined.run(f"{PROBE}:environment", Path("x"))
    assert "SOME_SECRET" not in found and "HDF5_PLUGIN_PATH" not in found
    assert found["HDF5_PLUGIN_PRELOAD"] == "::"


def written(path: Path, folder: str, names: list[str], lie: str = "") -> list[str]:
    """Runs in the child: the tensors of a shelf."""
    values = json.loads(path.read_text())
    for place, name in enumerate(names):
        np.asarray(values[name], "<f4").tofile(Path(folder) / str(place))
        if lie == "short":
            os.truncate(Path(folder) / str(place), 4)
        if lie == "link":
            (Path(folder) / str(place)).unlink()
            (Path(folder) / str(place)).symlink_to("/etc/passwd")
    return ["float32"] * len(names) if lie != "dtype" else ["object"] * len(names)


def test_a_shelf_maps_what_the_child_wrote_and_asks_it_once(tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    file.write_text(json.dumps({"a": [[1, 2], [3, 4]], "b": [5]}))
    shelf = Shelf(file, "test_exchange_confined:written")
    a, b = shelf.tensor("a", [2, 2], "float32"), shelf.tensor("b", [1], "float32", shown="bias")
    assert a.read().tolist() == [[1, 2], [3, 4]]
    file.unlink()
    assert (b.name, b.read().tolist()) == ("bias", [5])


@pytest.mark.parametrize("lie", ["short", "link", "dtype"])
def test_a_child_that_writes_something_else_is_not_believed(lie: str, tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    file.write_text(json.dumps({"a": [1, 2]}))
    tensor = Shelf(file, "test_exchange_confined:written", lie=lie).tensor("a", [2], "float32")
    with pytest.raises(FormatError, match="could not be taken out"):
        tensor.read()
