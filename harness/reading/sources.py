"""The SOURCE of an audit as a `Reading`: a catalog name, a file, or somebody's class in a file.

A class is read where its framework is, in a worker with a time limit: that process alone runs the file's code.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from harness import errand
from harness.audit.options import DEFAULT_TIMEOUT_S
from harness.errors import UsageError
from harness.launch import WorkerSpec
from impls import catalog, reading, registry
from impls.nearest import question
from impls.protocol import Settings
from impls.reading import Facet, Reading

# What notes 000, 001 and 002 print is a network and no training: none says what is done to an image before it. The
# catalog has to put something there, since a Network is trained.
SILENT: dict[str, tuple[Facet, ...]] = {
    "note-000": ("preprocessing",),
    "note-001": ("preprocessing",),
    "note-002": ("preprocessing",),
}

# Each module has read(path) -> Reading, raising FormatError, and CannotMeasure where a library is missing.
FILES: dict[str, str] = {
    ".onnx": "harness.reading.onnx_network",
    ".prototxt": "harness.reading.caffe_network",
    ".caffemodel": "harness.reading.caffe_network",
    ".keras": "harness.reading.keras_archive",
    ".h5": "harness.reading.keras_archive",
}
FRAMEWORKS = {"torch": "torch", "keras": "tensorflow", "flax": "jax"}  # the prefix of a class -> who reads it
KERAS, KERAS_FILES = "keras", (".keras", ".h5")  # such a file says everything itself: no framework is needed
FORMS = (
    "a name of the catalog, an .onnx, .prototxt, .caffemodel, .keras or .h5 file, torch:./file.py:Class,"
    " keras:./file.py:name or flax:./file.py:Class"
)


class _Target(NamedTuple):
    """`torch:./file.py:Class`, taken apart."""

    prefix: str
    module: str  # ./file.py or package.module
    attribute: str


def read(
    source: str,
    side: int | None = None,
    pythons: Mapping[str, str] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Reading:
    """The network that `source` names. `side` is the side of the images for a class, which does not say it.

    `pythons` names the interpreter of a framework (torch, tensorflow, jax); `timeout_s` is what a class may take.
    Raises UsageError, CannotMeasure, WorkerFailed, FormatError.
    """
    target = _target(source)
    if target is not None:
        return _of_class(target, side, pythons or {}, timeout_s)
    source = source.removeprefix(f"{KERAS}:")
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in FILES and source not in catalog.NETWORKS:
        raise UsageError(_unknown(source))
    if side is not None:
        raise UsageError(f"{source} says itself how large its images are: --side {side} is for a class")
    if source in catalog.NETWORKS:
        return reading.of_network(catalog.NETWORKS[source], SILENT.get(source, ()))
    _require_file(path)
    found = importlib.import_module(FILES[suffix]).read(path)
    assert isinstance(found, Reading)
    return found


def module_of(source: str) -> str:
    """`./file.py` or the module that a source's code is in, which is run to read it; empty of a name and of a file.

    Raises UsageError.
    """
    target = _target(source)
    return "" if target is None else target.module


def _target(source: str) -> _Target | None:
    """None where the source names no code. Raises UsageError where a part is missing, or the file."""
    prefix, colon, rest = source.partition(":")
    if not colon or prefix not in FRAMEWORKS or (prefix == KERAS and Path(rest).suffix.lower() in KERAS_FILES):
        return None
    module, colon, attribute = rest.rpartition(":")
    if not colon or not module or not attribute:
        raise UsageError(
            f"{source!r} names no class: expected {prefix}:./file.py:Class, a class built without arguments, a function"
            " that returns a module, or a module"
        )
    if module.endswith(".py"):
        _require_file(Path(module))
    return _Target(prefix, module, attribute)


def _require_file(path: Path) -> None:
    if not path.is_file():
        what = "is a folder, expected a file" if path.is_dir() else "is not there"
        raise UsageError(f"{str(path)!r} {what}{_hint(str(path), _beside(path))}")


def _beside(path: Path) -> list[str]:
    """Files of the same kind in the same folder."""
    try:
        return [str(each) for each in sorted(path.parent.glob(f"*{path.suffix}"))[:100]]
    except (OSError, ValueError):
        return []


def _of_class(target: _Target, side: int | None, pythons: Mapping[str, str], timeout_s: float) -> Reading:
    framework = FRAMEWORKS[target.prefix]
    is_file = target.module.endswith(".py")
    # The worker may have another folder; a module by name is found as its interpreter finds it.
    where = str(Path(target.module).resolve()) if is_file else target.module
    spec = WorkerSpec(
        label=target.prefix,
        target=registry.READERS[target.prefix],
        python=pythons.get(framework, sys.executable),
        silence_limit_s=timeout_s,
        extra_environment=registry.environment(framework, Settings()),
    )
    answer = errand.run(spec, {"do": "read-network", "target": f"{where}:{target.attribute}", "side": side})
    try:
        found = reading.from_json(answer["reading"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{target.prefix}: what was read of {target.attribute} is no network ({error})") from None
    return replace(found, source=found.source.replace(where, target.module))


def _unknown(source: str) -> str:
    return f"{source!r} is no source of a network{_hint(source, catalog.NETWORKS)}: expected {FORMS}"


def _hint(name: str, known: Iterable[str]) -> str:
    asked = question(name, known).strip()
    return f" ({asked})" if asked else ""
