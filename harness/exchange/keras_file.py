"""Weights in Keras' files: `.keras`, `.weights.h5` of Keras 3, the older `.h5` of whole models and of weights.

Keras 3 keeps a layer's weights under a path made of its class and a number (layers/conv2d_1/vars/0); which layer that
is, the configuration tells by its order. The older files name each layer and each weight. Values are HWIO and
[in, out] in all of them, whatever the model's data format; a channels-first one only flattens its maps otherwise.

References:
    keras/src/saving/saving_lib.py; keras/src/legacy/saving/legacy_h5_format.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.exchange import pairing
from harness.exchange.foreign import Flatten, ForeignTensor, ForeignWeights, FormatError
from harness.exchange.keras_contents import Contents, contents
from harness.exchange.shelf import Shelf
from impls.keras_model import config as keras_config
from impls.keras_model.graph import NotAModel
from impls.reading import Reading

DUMP = "harness.exchange.hdf5_datasets:dump"
VARIABLES: pairing.Suffixes = (("/vars/0", "/vars/1"),)
NAMED: pairing.Suffixes = (("/kernel:0", "/bias:0"), ("/kernel", "/bias"))
FORMER = "_layer_checkpoint_dependencies"  # what Keras 2.12 to 2.15 called `layers`
# State that is no part of the network, by the first part of its path.
ASIDE = ("optimizer", "optimizer_weights", "top_level_model_weights", "compile_metrics", "metrics")
NORMALIZATION = re.compile(r"(^|.*/)normalization(_\d+)?/")


class _Structure(NamedTuple):
    """What the configuration tells; nothing where there is none."""

    paths: tuple[str, ...] = ()  # of the learned layers in order
    flatten: Flatten | None = "hwc"
    reading: Reading | None = None
    notes: tuple[str, ...] = ()


def read(path: Path) -> ForeignWeights:
    """The learned layers of a Keras file. Raises FormatError, CannotMeasure."""
    return of_contents(path, contents(path))


def of_contents(path: Path, found: Contents) -> ForeignWeights:
    """The learned layers of what a Keras file has. Raises FormatError."""
    shelf = Shelf(found.weights, DUMP, kept=found.kept, shown=path)
    structure = _structure(path, found.config)
    group = _legacy_group(found.listing)
    if group is None:
        tensors, ordered, notes = _of_paths(path, found, structure, shelf)
    else:
        tensors, ordered, notes = list(_of_names(path, found.listing, group, shelf)), True, ()
    layers = pairing.pair(
        path, tensors, suffixes=VARIABLES if group is None else NAMED, conv_axes="hwio", dense_axes="io",
        ordered=ordered,
    )  # fmt: skip
    return ForeignWeights(
        path=path,
        format="Keras",
        layers=layers,
        flatten=structure.flatten,
        network=found.carried.network,
        preprocessing=found.carried.preprocessing,
        reading=structure.reading,
        notes=(*structure.notes, *notes),
    )


def _structure(path: Path, config: dict[str, Any] | None) -> _Structure:
    if config is None:
        return _Structure()
    try:
        nodes, flatten = keras_config.learned(config)
    except NotAModel as error:
        return _Structure(notes=(f"the order of the layers is taken from their names: {error}",))
    paths = tuple(dict.fromkeys(node.path for node in nodes))
    try:
        return _Structure(paths, flatten, keras_config.of_config(config, path.stem, path.name))
    except NotAModel as error:
        return _Structure(paths, flatten, notes=(f"its layers are not compared: {error}",))


def _legacy_group(listing: Mapping[str, Any]) -> str | None:
    """The group whose attributes name the layers, in the older files; None in Keras 3's."""
    for group in ("model_weights", ""):
        if isinstance(listing["attributes"].get(group, {}).get("layer_names", None), list):
            return group
        if isinstance(listing["attributes"].get(group, {}).get("layer_names0", None), list):
            return group
    return None


def _texts(attributes: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts, which Keras cuts into parts where it passes what an attribute holds."""
    found = list(attributes.get(name) or [])
    part = 0
    while isinstance(more := attributes.get(f"{name}{part}"), list):
        found += more
        part += 1
    return [text for text in found if isinstance(text, str)]


def _of_names(path: Path, listing: Mapping[str, Any], group: str, shelf: Shelf) -> Iterator[ForeignTensor]:
    """Weights of the older files, layer by layer, in the order of the attributes."""
    attributes, datasets = listing["attributes"], listing["datasets"]
    seen: set[str] = set()
    for layer in _texts(attributes.get(group, {}), "layer_names"):
        place = f"{group}/{layer}" if group else layer
        if place in seen:
            raise FormatError(f"{str(path)!r} names layer {layer[:80]!r} twice")
        seen.add(place)
        for weight in _texts(attributes.get(place, {}), "weight_names"):
            name = f"{place}/{weight}"
            if name not in datasets:
                raise FormatError(f"{str(path)!r} names a weight {name[:120]!r} and does not have it")
            shape, dtype = datasets[name]
            if not (NORMALIZATION.match(weight) and len(shape) < 2):
                yield shelf.tensor(name, shape, _float(path, name, dtype))


def _of_paths(
    path: Path, found: Contents, structure: _Structure, shelf: Shelf
) -> tuple[list[ForeignTensor], bool, tuple[str, ...]]:
    """Weights of Keras 3's files, whether they are in the network's order, and notes."""
    tensors: dict[str, list[ForeignTensor]] = {}
    notes: list[str] = []
    for name, (shape, dtype) in found.listing["datasets"].items():
        if name.split("/", 1)[0] in ASIDE or not dtype.startswith("float"):
            continue  # such as the counter of a dropout's seeds
        if NORMALIZATION.match(name) and len(shape) < 2:
            notes.append("the mean and variance of its Normalization layer are left out")
            continue
        tensors.setdefault(name.rpartition("/vars/")[0], []).append(shelf.tensor(name, shape, dtype))
    places = [_place(layer, tensors) for layer in structure.paths]
    ordered = bool(places) and None not in places
    if structure.paths and not ordered:
        lost = structure.paths[places.index(None)]
        raise FormatError(f"{str(path)!r}: its configuration has a layer {lost!r} that its weights lack")
    if not ordered:
        notes.append("convolutions and dense layers are ordered by the numbers in their names")
    order = [place for place in places if place is not None]
    order += [place for place in tensors if place not in order]
    return [tensor for place in order for tensor in tensors[place]], ordered, tuple(dict.fromkeys(notes))


def _place(layer: str, tensors: Mapping[str, Any]) -> str | None:
    """The group of a layer, by the name that Keras 3 or its forerunners give it."""
    candidates = (layer, re.sub(r"(^|/)layers/", rf"\g<1>{FORMER}/", layer))
    return next((place for place in candidates if place in tensors), None)


def _float(path: Path, name: str, dtype: str) -> str:
    if not dtype.startswith("float"):
        raise FormatError(f"{str(path)!r}: {name[:120]!r} has dtype {dtype!r}, expected floating-point numbers")
    return dtype
