"""The development kit of an ILSVRC: which synset has which number, and the labels of the validation images.

Class i of a prepared folder is the synset with ILSVRC number i + 1. Only leaves of the WordNet tree have images; they
have the numbers 1 to 1000.

References:
    readme.txt of ILSVRC2010_devkit-1.0 and ILSVRC2012_devkit_t12
"""

from __future__ import annotations

import io
import re
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.sources.tar_members import files_in
from harness.errors import CannotMeasure, UsageError
from harness.exchange import confined
from harness.exchange.foreign import FormatError
from harness.requirements import pip
from reports.format import clean

META = "meta.mat"
TRUTH = "validation_ground_truth.txt"
TEST_TRUTH = "test_ground_truth.txt"
MOST_BYTES = 1 << 26  # of meta.mat unpacked; the published ones need 2 MB
COMPRESSED, LONG = 15, 8  # data type of a zlib stream in a MAT-file, and the bytes before it


@dataclass(frozen=True)
class DevelopmentKit:
    """What is needed of it."""

    edition: str  # such as ILSVRC2012
    synsets: tuple[str, ...]  # WordNet ids in the order of their numbers
    words: tuple[str, ...]
    truth: dict[str, tuple[int, ...]]  # part -> label of each image, counted from 0
    files: tuple[Path, ...]  # it was read from


def find(root: Path) -> DevelopmentKit | None:
    """The kit that lies in a folder, as its archive or unpacked; None where there is none. Raises UsageError."""
    archives = [path for ending in ("tar.gz", "tgz", "tar") for path in sorted(root.glob(f"*devkit*.{ending}"))]
    folders = [root, *sorted(path for path in root.glob("*devkit*") if path.is_dir())]
    for folder in folders:
        for place in (folder / "data", folder):
            if (place / META).is_file():
                files = sorted({place / META, *place.glob(f"*_{TRUTH}"), *place.glob(f"*{TEST_TRUTH}")})
                files += sorted(set(root.glob(f"*{TEST_TRUTH}")) - set(files))
                return _kit({path.name: _bounded(path) for path in files}, place, tuple(files))
    if archives:
        beside = sorted(root.glob(f"*{TEST_TRUTH}"))
        found = _members(archives[0]) | {path.name: _bounded(path) for path in beside}
        if META not in found:
            raise UsageError(f"{archives[0]} holds no data/{META}: it is no development kit of the classification task")
        return _kit(found, archives[0], (archives[0], *beside))
    return None


def _kit(texts: dict[str, bytes], place: Path, files: tuple[Path, ...]) -> DevelopmentKit:
    edition, leaves = _leaves(texts[META], place)
    synsets = tuple(synset for synset, _ in leaves)
    truth = {}
    for part, ending in (("val", TRUTH), ("test", TEST_TRUTH)):
        for name in sorted(name for name in texts if name.endswith(ending)):
            truth[part] = _labels(texts[name], name, len(synsets))
    return DevelopmentKit(edition, synsets, tuple(words for _, words in leaves), truth, files)


def _labels(data: bytes, name: str, classes: int) -> tuple[int, ...]:
    labels = []
    for number, line in enumerate(data.decode("ascii", "replace").split(), start=1):
        if not re.fullmatch(r"[0-9]{1,6}", line) or not 1 <= int(line) <= classes:
            raise UsageError(f"{name} gives image {number} the label {line[:40]!r}: expected 1 to {classes}")
        labels.append(int(line) - 1)
    return tuple(labels)


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UsageError(f"{path} has more than {MOST_BYTES:,} bytes: it is no file of a development kit")
    return data


def _members(archive: Path) -> dict[str, bytes]:
    """The kit's files in its archive, by their names without folders. Raises UsageError."""
    return dict(files_in(archive, lambda name: name == META or name.endswith((TRUTH, TEST_TRUTH)), MOST_BYTES))


def _leaves(data: bytes, file: Path) -> tuple[str, list[tuple[str, str]]]:
    """The edition, and WordNet id and words of each leaf in the order of their numbers.

    SciPy reads the table in a confined child, since a damaged one has killed it. Raises UsageError, CannotMeasure.
    """
    with tempfile.TemporaryDirectory(prefix="alexbench-kit-") as folder:
        copy = Path(folder) / META
        copy.write_bytes(data)
        try:
            edition, found = confined.run("harness.data.sources.devkit:leaves", copy, shown=file)
        except FormatError as error:
            raise UsageError(f"{META} in {file} is damaged ({error}): download the kit again") from None
    numbered = {number: (synset, words) for number, synset, words in found}
    if sorted(numbered) != list(range(1, len(numbered) + 1)) or not numbered:
        count = len(numbered)
        raise UsageError(f"{META} in {file} numbers its {count} leaf synsets otherwise than 1 to {count}")
    rows = [numbered[number] for number in sorted(numbered)]
    synsets = {synset for synset, _ in rows}
    if not all(re.fullmatch(r"n[0-9]{8}", synset) for synset in synsets) or len(synsets) != len(rows):
        raise UsageError(f"{META} in {file} holds WordNet ids that are none, or not all different")
    return edition, rows


def leaves(path: Path) -> tuple[str, list[tuple[int, str, str]]]:
    """Runs in a confined child: the edition, and number, WordNet id and words of each leaf. Raises FormatError."""
    try:
        table = _table(path.read_bytes())
        key = next(name for name in table.dtype.names if re.fullmatch(r"ILSVRC[0-9]{4}_ID", name))
        rows = [row for row in table if int(row["num_children"].item()) == 0]
        found = [(int(row[key].item()), str(row["WNID"].item()), str(row["words"].item())) for row in rows]
    except CannotMeasure:
        raise
    except Exception as error:  # what SciPy raises for a damaged file depends on where it is damaged
        raise FormatError(clean(str(error)) or type(error).__name__) from None
    return key.removesuffix("_ID"), found


def _table(data: bytes) -> Any:
    """The structure array `synsets` of a MAT-file, one row per synset."""
    _refuse_swollen(data)
    try:
        import scipy.io
    except ImportError:
        raise CannotMeasure(f"reading the development kit needs SciPy: {pip()} install scipy") from None
    return scipy.io.loadmat(io.BytesIO(data), variable_names=["synsets"])["synsets"].ravel()


def _refuse_swollen(data: bytes) -> None:
    """Unpack what is compressed, piece by piece and only to count: a few bytes may stand for gigabytes."""
    place, total = 128, 0  # behind the file's header
    while place + LONG <= len(data):
        kind, size = struct.unpack_from("<II", data, place)
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            rest = data[place + LONG : place + LONG + size]
            while rest and not unpacker.eof:
                total += len(unpacker.decompress(rest, 1 << 20))
                rest = unpacker.unconsumed_tail
                if total > MOST_BYTES:
                    raise ValueError(f"it swells to more than {MOST_BYTES:,} bytes")
        place += LONG + size
