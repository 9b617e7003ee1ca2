"""The learned layers in a checkpoint of cuda-convnet, and which of each other's outputs they see.

A checkpoint is a pickled {"model_state": {"layers": …}, "op": …}. Layers are dictionaries: a list of them whose inputs
are places in the list (2011), or by name (2012 and cuda-convnet2). A learned layer has one matrix for each of its
inputs: [channels / groups * y * x, filters] in a convolution, [inputs, outputs] in a dense layer, whose inputs are in
the order channel, y, x. Layers without weights (neuron, pool, norms, dropout) hand their input's channels on as they
are.

Reference: github.com/akrizhevsky/cuda-convnet2, layer.py (make_weights, LocalLayerParser, FCLayerParser), gpumodel.py
(save_state); github.com/computerhistory/AlexNet-Source-Code, layer.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.exchange.foreign import FormatError
from harness.exchange.pickles import PickledArray, text_of

PASSING = frozenset({"neuron", "pool", "rnorm", "cnorm", "cmrnorm", "hs", "dropout", "dropout2", "softmax"})
JOINING = frozenset({"concat", "pass"})
LEARNED = frozenset({"conv", "fc"})
DATA = "data"
MOST_LAYERS = 500
MOST_INPUTS = 16
MOST_SOURCES = 100  # layers that one layer sees, through others
Entry = Mapping[Any, Any]


@dataclass(frozen=True, kw_only=True)
class ConvnetLayer:
    """One learned layer. Sources are names of learned layers; none for the images themselves."""

    name: str
    is_conv: bool
    depth: int  # learned layers on the way to it, itself included
    sources: tuple[tuple[str, ...], ...]  # of each input, in the order of its channels
    weights: tuple[PickledArray, ...]  # of each input
    bias: PickledArray
    sizes: tuple[int, ...] = ()  # a kernel's side, of each input
    groups: int = 1

    @property
    def outputs(self) -> int:
        """Kernels or units. Raises BadPickle."""
        return self.weights[0].shape[-1]


def learned_layers(path: Path, checkpoint: Any) -> tuple[ConvnetLayer, ...]:
    """The checkpoint's learned layers, in the order of its configuration. Raises FormatError, BadPickle."""
    state = checkpoint.get("model_state") if isinstance(checkpoint, dict) else None
    entries = _entries(path, state.get("layers") if isinstance(state, dict) else None)
    inputs = {name: _inputs(path, entry, tuple(entries)) for name, entry in entries.items()}
    sources: dict[str, tuple[str, ...]] = {}
    depths: dict[str, int] = {}
    found: dict[str, ConvnetLayer] = {}
    waiting = list(entries)
    # A layer follows its inputs, but not always in the file: what is applied to an output stands at the end there.
    while ready := [name for name in waiting if all(above in sources for above in inputs[name])]:
        for name in ready:
            kind = _text(path, entries[name], "type")
            above = tuple(source for one in inputs[name] for source in sources[one])
            if len(above) > MOST_SOURCES:
                raise FormatError(f"{str(path)!r}: layer {name[:80]!r} sees over {MOST_SOURCES} layers")
            depths[name] = max((depths[one] for one in inputs[name]), default=0)
            sources[name] = above
            if kind in LEARNED:
                depths[name] += 1
                sources[name] = (name,)
                found[name] = _learned(path, entries[name], [sources[one] for one in inputs[name]], depths[name])
            elif not _is_neutral(kind, len(inputs[name])) or "weights" in entries[name]:
                raise FormatError(
                    f"{str(path)!r}: layer {name[:80]!r} is of type {kind[:80]!r}: no network here has it"
                )
        waiting = [name for name in waiting if name not in sources]
    if waiting:
        raise FormatError(f"{str(path)!r}: layer {waiting[0][:80]!r} takes its inputs from itself")
    if not found:
        raise FormatError(f"{str(path)!r} has no convolution and no dense layer")
    return tuple(found[name] for name in entries if name in found)


def _is_neutral(kind: str, inputs: int) -> bool:
    if kind == DATA:
        return inputs == 0
    return kind.startswith("cost.") or kind in JOINING or (kind in PASSING and inputs == 1)


def _entries(path: Path, layers: Any) -> dict[str, Entry]:
    """Layers by name, in the configuration's order, which a Python 2 dictionary had lost: their ids tell it."""
    if isinstance(layers, dict):
        layers = list(layers.values())
        if all(isinstance(layer, dict) and type(layer.get("id")) is int for layer in layers):
            layers.sort(key=lambda layer: layer["id"])
    if not isinstance(layers, list) or not layers:
        raise FormatError(f"{str(path)!r} is no checkpoint of cuda-convnet: it has no model_state with layers")
    if len(layers) > MOST_LAYERS or not all(isinstance(layer, dict) for layer in layers):
        raise FormatError(f"{str(path)!r} has {len(layers):,} layers, expected at most {MOST_LAYERS:,} dictionaries")
    found: dict[str, Entry] = {}
    for layer in layers:
        name = _text(path, layer, "name")
        if name in found:
            raise FormatError(f"{str(path)!r} has two layers called {name[:80]!r}")
        found[name] = layer
    return found


def _inputs(path: Path, entry: Entry, names: tuple[str, ...]) -> list[str]:
    """Names of the layers that a layer takes its inputs from."""
    given = entry.get("inputs", [])
    given = given if isinstance(given, list) else [given]
    found = [names[one] if type(one) is int and 0 <= one < len(names) else text_of(one) for one in given]
    if len(found) > MOST_INPUTS or not all(name in names for name in found):
        raise FormatError(f"{str(path)!r}: layer {_text(path, entry, 'name')[:80]!r} has inputs that are no layers")
    return [name for name in found if name is not None]


def _learned(path: Path, entry: Entry, sources: list[tuple[str, ...]], depth: int) -> ConvnetLayer:
    name, count = _text(path, entry, "name"), len(sources)
    is_conv = _text(path, entry, "type") == "conv"
    weights = entry.get("weights")
    weights = [weights] if isinstance(weights, PickledArray) else weights
    bias = entry.get("biases")
    if not isinstance(weights, list) or len(weights) != count or not count or not isinstance(bias, PickledArray):
        raise FormatError(f"{str(path)!r}: layer {name[:80]!r} should have {count} weights and its biases")
    if not all(isinstance(matrix, PickledArray) and len(matrix.shape) == 2 for matrix in weights):
        raise FormatError(f"{str(path)!r}: layer {name[:80]!r} has weights that are no matrices")
    if len({matrix.shape[1] for matrix in weights}) > 1 or any(0 in matrix.shape for matrix in weights):
        raise FormatError(f"{str(path)!r}: layer {name[:80]!r} has weights for different numbers of outputs, or none")
    if not is_conv:
        return ConvnetLayer(
            name=name, is_conv=False, depth=depth, sources=tuple(sources), weights=tuple(weights), bias=bias
        )
    sizes, groups = _numbers(path, entry, "filterSize", count), _numbers(path, entry, "groups", count, default=1)
    random = entry.get("randSparse", False)
    if (count > 1 and max(groups) > 1) or random is True or (isinstance(random, list) and True in random):
        raise FormatError(f"{str(path)!r}: layer {name[:80]!r} is connected in a way that no network here is")
    return ConvnetLayer(
        name=name, is_conv=True, depth=depth, sources=tuple(sources), weights=tuple(weights), bias=bias, sizes=sizes,
        groups=groups[0],
    )  # fmt: skip


def _numbers(path: Path, entry: Entry, key: str, count: int, default: int | None = None) -> tuple[int, ...]:
    """A setting of each input, which the oldest form gives as one number."""
    given = entry.get(key, default)
    found = given if isinstance(given, list) else [given] * count
    if len(found) != count or not all(type(one) is int and 0 < one < 1 << 20 for one in found):
        raise FormatError(f"{str(path)!r}: layer {_text(path, entry, 'name')[:80]!r} has no {key} for each input")
    return tuple(found)


def _text(path: Path, entry: Entry, key: str) -> str:
    if not (found := text_of(entry.get(key))) or not found.isprintable():
        raise FormatError(f"{str(path)!r} has a layer without a {key}")
    return found
