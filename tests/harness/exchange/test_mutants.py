"""Damaged files of every kind, read in a child process: each is read to the last value, or refused in one line.

A child that dies, hangs or wants gigabytes is a fault of the reader, but for those whose library runs confined anyhow.
"""

from __future__ import annotations

import collections
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mutant_readers
import pytest
from mutant_readers import READERS, Reader

from harness.exchange import confined, orbax_folder
from harness.exchange.foreign import FormatError

REQUIRE_ALL = os.environ.get("ALEXBENCH_REQUIRE_ALL", "0") not in ("", "0")
SEED = 0
FEW, MANY = 500, 10_000  # over all readers; through each of them
FEW_EACH = -(-FEW // len(READERS))
LIMITS = confined.Limits(memory=orbax_folder.MEMORY, seconds=60.0)  # the child itself keeps narrower ones
MOST_SHOWN = 10
Ends = list[tuple[str, str]]  # "read", "refused" or "wrong", and what was said


def ends_of(readers: Sequence[str], count: int, folder: Path) -> dict[str, Ends]:
    """How the originals end, and then each mutant. One child takes them all, and is started again where it dies."""
    asked = [{"name": name, "seed": SEED, "number": number} for name in readers for number in (None, *range(count))]
    found: dict[str, Ends] = {name: [] for name in readers}
    with pytest.MonkeyPatch.context() as patch:  # the child finds the modules of these tests
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        answers = confined.each("mutant_readers:tried", [confined.Request(folder, one) for one in asked], LIMITS)
        for one, answer in zip(asked, answers, strict=True):
            found[one["name"]].append(end_of(READERS[one["name"]], answer))
    return found


def end_of(reader: Reader, answer: Any) -> tuple[str, str]:
    if isinstance(answer, list):
        return answer[0], answer[1]
    may_be = reader.is_native and isinstance(answer, FormatError) and mutant_readers.is_a_line(str(answer))
    return "refused" if may_be else "wrong", str(answer)


def assert_good(name: str, ends: Ends) -> None:
    (of_originals, said), *of_mutants = ends
    assert of_originals == "read", said
    places = [(number, said) for number, (end, said) in enumerate(of_mutants) if end == "wrong"]
    assert not places, f"{name}, seed {SEED}: {len(places)} wrong, such as " + "".join(
        f"\nmutant {number}: {said}" for number, said in places[:MOST_SHOWN]
    )


def has_its_library(name: str) -> bool:
    try:
        return REQUIRE_ALL or importlib.util.find_spec(READERS[name].library) is not None
    except ModuleNotFoundError:  # not even the package that it is a part of
        return False


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ends]:
    return ends_of([name for name in READERS if has_its_library(name)], FEW_EACH, tmp_path_factory.mktemp("mutants"))


@pytest.mark.parametrize("name", READERS)
def test_mutants_are_read_or_refused(name: str, few: dict[str, Ends]) -> None:
    if name not in few:
        pytest.skip(f"{READERS[name].library} is not installed")
    assert_good(name, few[name])
    assert any(end == "refused" for end, _ in few[name])


@pytest.mark.thorough
@pytest.mark.parametrize("name", READERS)
def test_ten_thousand_mutants_are_read_or_refused(name: str, tmp_path: Path) -> None:
    if not has_its_library(name):
        pytest.skip(f"{READERS[name].library} is not installed")
    ends = ends_of([name], MANY, tmp_path)[name]
    assert_good(name, ends)
    counts = collections.Counter(end for end, _ in ends)
    assert all(counts[end] >= least for end, least in zip(("read", "refused"), READERS[name].least, strict=True)), (
        counts
    )


def breaks(path: Path) -> None:
    raise ValueError("what a reader forgot")


def says_two_lines(path: Path) -> None:
    raise FormatError("one\ntwo")


def speaks_to_the_terminal(path: Path) -> None:
    raise FormatError("\x1b[2J")


def wants_gigabytes(path: Path) -> None:
    bytearray(2 << 30)


def leaves_a_file(path: Path) -> None:
    path.with_name("left").touch()


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (breaks, "ValueError: 'what a reader forgot'"),
        (says_two_lines, "refused by"),
        (speaks_to_the_terminal, "refused by"),
        pytest.param(wants_gigabytes, "MemoryError", marks=pytest.mark.skipif(sys.platform != "linux", reason="/proc")),
        (leaves_a_file, "left behind: ['left']"),
    ],
)
def test_what_is_no_good_end_is_called_wrong(read: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    how, why = mutant_readers.end(tmp_path, Reader(read, list, (), (0, 0)), b"data")
    assert how == "wrong" and why.startswith(said)


def test_a_death_is_wrong_unless_the_reader_is_a_library_in_a_child_of_its_own() -> None:
    died = FormatError("'net' cannot be read: the library that reads it was stopped by signal 11")
    assert end_of(READERS["pickles"], died)[0] == "wrong"
    assert end_of(READERS["HDF5"], died)[0] == "refused"
