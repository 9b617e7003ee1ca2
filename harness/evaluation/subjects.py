"""What is scored: the weights files, each with its network, and the images that all of them can see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data.obtain import obtain
from harness.data.prepared import Prepared
from harness.data.preprocessing import METADATA_KEY, Preprocessing
from harness.data.views import test_windows
from harness.errors import UsageError
from harness.evaluation.options import ClassOrder, EvaluateOptions
from impls import catalog, tensor_file, weights
from impls.spec import Network
from impls.weights import WeightsError

SHORT_HASH = 12  # digits of the content hash that tell weights apart


@dataclass(frozen=True)
class Subject:
    """One weights file."""

    file: Path
    network: Network
    content_hash: str
    metadata: dict[str, str]
    number: int = 1  # among those with the same tensors that are scored otherwise

    @property
    def label(self) -> str:
        """What its rows are found by."""
        short = self.content_hash[:SHORT_HASH]
        return short if self.number == 1 else f"{short}-{self.number}"

    @property
    def identity(self) -> tuple[str, str, str | None]:
        """Files that are equal in this are scored alike: networks may have the same tensors and compute otherwise."""
        return self.content_hash, self.network.name, self.metadata.get(METADATA_KEY)


def subjects(options: EvaluateOptions, say: Callable[[str], None]) -> list[Subject]:
    """The weights files, each set of weights once. Raises WeightsError, UnknownNetwork, UsageError."""
    found: dict[tuple[str, str, str | None], Subject] = {}
    for file in options.weights:
        one = _subject(file, large=options.large)
        if (other := found.get(one.identity)) is not None:
            say(f"{file} holds the same weights as {other.file}: scored once")
            continue
        alike = sum(before.content_hash == one.content_hash for before in found.values())
        found[one.identity] = replace(one, number=alike + 1)
    if not found:
        raise UsageError("no weights given: pass one or more files with --weights")
    return list(found.values())


def _subject(file: Path, *, large: bool) -> Subject:
    name = tensor_file.read(file).metadata.get("network")
    if name is None:
        raise WeightsError(f"{str(file)!r} names no network in its metadata: `alexbench train` writes one that does")
    network = catalog.get(name)
    if network.large and not large:
        raise UsageError(f"network {network.name!r} needs some 16 GB of memory: pass --large to run it")
    loaded = weights.load(file, network)
    return Subject(file, network, loaded.content_hash, loaded.metadata)


def images_for(options: EvaluateOptions, found: Sequence[Subject], say: Callable[[str], None]) -> Prepared:
    """The prepared images. Raises UsageError where a network cannot take them, and what bad data raise."""
    answers = sorted({subject.network.classes for subject in found})
    if options.ensemble and len(answers) > 1:
        told = " and ".join(map(str, answers))
        raise UsageError(f"networks with {told} classes have no common ensemble: pass --no-ensemble")
    widest = max((subject.network for subject in found), key=lambda network: network.width)
    prepared = obtain(options.data, widest, parts=options.parts, say=say)
    if not len(prepared.part(options.part)):
        raise UsageError(f"part {options.part} of {prepared.path} has no images")
    for subject in found:
        _check_fit(subject, prepared, options.class_order)
    return prepared


def _check_fit(subject: Subject, prepared: Prepared, order: ClassOrder) -> None:
    network, classes = subject.network, len(prepared.classes)
    if classes > network.classes:
        raise UsageError(
            f"{prepared.path} has {classes} classes, {subject.file} answers with {network.classes}"
            f" ({network.name}): pass weights that were trained on these classes"
        )
    if order == "sorted" and classes != network.classes:
        raise UsageError(
            f"--class-order sorted needs all {network.classes} classes of {subject.file}: {prepared.path} names"
            f" {classes}, and which outputs are theirs is not known; prepare data that name them all"
        )
    text = subject.metadata.get(METADATA_KEY)
    found = Preprocessing.of(network, prepared) if text is None else Preprocessing.from_text(text)
    test_windows(network, prepared.side, 1)
    found.check(network, prepared.side)
