"""Somebody else's network, read into this project's vocabulary as far as that goes. Standard library only.

A `Reading` is what a file or a class says of a network: its layers in order, those that `impls.spec` has no word for as
`Foreign`, and which facets its source is silent about. An ONNX file knows nothing of initial weights, a listing of a
class nothing of what is subtracted from an image: silence is no departure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from impls import derive
from impls.spec import LRN, Conv, Dense, Dropout, Layer, MaxPool, Network, Preprocessing, ReLU, SpatialNorm, Tanh
from impls.spec_json import layer_from_json, layer_to_json

# What a source may not say at all. `init` covers weights and biases, `preprocessing` what happens before layer 1;
# `dropout` stands here for files that keep test-time graphs alone, `dropout-scaling` for those that name a rate only.
Facet: TypeAlias = Literal["init", "dropout", "dropout-scaling", "preprocessing"]
FACETS: tuple[Facet, ...] = get_args(Facet)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A layer that `impls.spec` has no class for."""

    name: str
    kind: str  # as its framework calls it: BatchNorm2d, GELU, AdaptiveAvgPool2d
    detail: str = ""  # its settings in a few words
    parameters: int = 0  # weights and biases
    output_shape: derive.Shape = ()  # without the batch, (H, W, C) or (features,); empty where the source does not tell
    source: str = ""


ReadLayer: TypeAlias = Layer | Foreign


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One network as its source has it. A final softmax is left out: `Network` ends with the logits."""

    name: str  # for tables: a catalog name, a class, a file's stem
    source: str  # for people: "alexnet.prototxt", "class AlexNet of ./net.py"
    height: int
    width: int
    channels: int
    layers: tuple[ReadLayer, ...]  # named by `numbered`; `source` of each is the name it has over there
    preprocessing: Preprocessing | None = None  # None where `silent` has it
    silent: frozenset[Facet] = frozenset()
    biasless: tuple[str, ...] = ()  # names over there of learned layers without biases: `impls.spec` has none
    remarks: tuple[str, ...] = ()  # what else is worth a line, such as a loss that is inside the graph

    @property
    def foreign(self) -> tuple[Foreign, ...]:
        """The layers that have no class here."""
        return tuple(layer for layer in self.layers if isinstance(layer, Foreign))

    @property
    def without_bias(self) -> tuple[Conv | Dense, ...]:
        """The learned layers that have none."""
        names = set(self.biasless)
        return tuple(one for one in self.layers if isinstance(one, Conv | Dense) and (one.source or one.name) in names)

    @property
    def classes(self) -> int:
        """Outputs of the last dense layer; 0 where there is none."""
        dense = [layer for layer in self.layers if isinstance(layer, Dense)]
        return dense[-1].units if dense else 0

    def network(self) -> Network:
        """As a `Network`, foreign layers left out. Raises InvalidNetwork where what is left does not fit together."""
        layers = tuple(layer for layer in self.layers if not isinstance(layer, Foreign))
        found = Network(
            name=self.name,
            summary=f"read from {self.source}",
            source=self.source,
            height=self.height,
            width=self.width,
            channels=self.channels,
            classes=self.classes,
            layers=layers,
            preprocessing=self.preprocessing or "none",
        )
        derive.facts(found)
        return found


def of_network(network: Network, silent: Iterable[Facet] = ()) -> Reading:
    """A network of this project's own as a reading."""
    found = frozenset(silent)
    return Reading(
        name=network.name,
        source=network.source,
        height=network.height,
        width=network.width,
        channels=network.channels,
        layers=network.layers,
        preprocessing=None if "preprocessing" in found else network.preprocessing,
        silent=found,
    )


def _prefix(layer: ReadLayer) -> str:
    match layer:
        case Conv():
            return "conv"
        case Dense():
            return "fc"
        case ReLU():
            return "relu"
        case Tanh():
            return "tanh"
        case LRN():
            return "norm"
        case SpatialNorm():
            return "cnorm"
        case MaxPool():
            return "pool"
        case Dropout():
            return "drop"
        case Foreign():
            return "".join(letter for letter in layer.kind.lower() if letter.isalnum()) or "foreign"


def numbered(layers: Iterable[ReadLayer]) -> tuple[ReadLayer, ...]:
    """The layers renamed as the catalog names its own: conv1, relu1, …, fc6 after five convolutions.

    A layer's number is that of the last learned layer up to it; a second one of its kind there gets a letter: relu6b.
    Its name so far moves to `source` where that is empty.
    """
    number, seen, found = 0, Counter[str](), []
    for layer in layers:
        number += isinstance(layer, Conv | Dense)
        name = f"{_prefix(layer)}{number}"
        seen[name] += 1
        letter = "" if seen[name] == 1 else chr(ord("a") + min(seen[name] - 1, 25)) + "x" * max(0, seen[name] - 26)
        found.append(replace(layer, name=name + letter, source=layer.source or layer.name))
    return tuple(found)


def to_json(reading: Reading) -> dict[str, Any]:
    """A reading as a JSON object."""
    value = {name: getattr(reading, name) for name in ("name", "source", "height", "width", "channels")}
    layers = [
        {"kind": "Foreign", "foreign": asdict(layer)} if isinstance(layer, Foreign) else layer_to_json(layer)
        for layer in reading.layers
    ]
    return {
        **value, "layers": layers, "preprocessing": reading.preprocessing, "silent": sorted(reading.silent),
        "biasless": list(reading.biasless), "remarks": list(reading.remarks),
    }  # fmt: skip


def from_json(value: dict[str, Any]) -> Reading:
    """What `to_json` wrote. Raises KeyError, TypeError."""
    fields = dict(value)
    layers = tuple(_layer_from(layer) for layer in fields.pop("layers"))
    said = set(fields.pop("silent"))
    silent: frozenset[Facet] = frozenset(facet for facet in FACETS if facet in said)
    said_of_all = {name: tuple(fields[name]) for name in ("biasless", "remarks")}
    return Reading(**{**fields, "layers": layers, "silent": silent, **said_of_all})


def _layer_from(value: dict[str, Any]) -> ReadLayer:
    if value["kind"] != "Foreign":
        return layer_from_json(value)
    fields = dict(value["foreign"])
    return Foreign(**{**fields, "output_shape": tuple(fields["output_shape"])})
