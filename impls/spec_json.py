"""Networks and layers as JSON values and back, so that a description crosses a process boundary without pickling."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from impls.spec import (
    LRN,
    Change,
    Conv,
    Dense,
    Dropout,
    DropoutScaling,
    Init,
    Layer,
    MaxPool,
    Network,
    Padding,
    Recipe,
    ReLU,
    SpatialNorm,
    Tanh,
)

LAYER_KINDS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Conv, Dense, ReLU, Tanh, LRN, SpatialNorm, MaxPool, Dropout)
}

JsonObject = dict[str, Any]


def layer_to_json(layer: Layer) -> JsonObject:
    """One layer as a JSON object; `kind` names its class."""
    return {"kind": type(layer).__name__, **asdict(layer)}


def layer_from_json(value: JsonObject) -> Layer:
    """The layer `layer_to_json` wrote. Raises KeyError for an unknown kind, TypeError for unknown fields."""
    fields = dict(value)
    kind = LAYER_KINDS[fields.pop("kind")]
    if "padding" in fields:
        fields["padding"] = Padding(*fields["padding"])
    if isinstance(fields.get("init"), str):
        fields["init"] = Init(fields["init"])
    if "scaling" in fields:
        fields["scaling"] = DropoutScaling(fields["scaling"])
    return kind(**fields)


def network_to_json(network: Network) -> JsonObject:
    """A network as a JSON object."""
    value = asdict(network)
    value["layers"] = [layer_to_json(layer) for layer in network.layers]
    return value


def network_from_json(value: JsonObject) -> Network:
    """The network `network_to_json` wrote."""
    fields = dict(value)
    fields["layers"] = tuple(layer_from_json(layer) for layer in fields["layers"])
    fields["recipe"] = recipe_from_json(fields["recipe"])
    return Network(**fields)


def recipe_from_json(value: JsonObject) -> Recipe:
    """The recipe that `dataclasses.asdict` and JSON made lists and objects of. Raises KeyError, TypeError."""
    fields = dict(value)
    fields["drop_epochs"] = tuple(fields.get("drop_epochs", ()))
    fields["changes"] = tuple(_change(change) for change in fields.get("changes", ()))
    return Recipe(**fields)


def _change(value: JsonObject) -> Change:
    factors = value.get("layer_factors")
    pairs = None if factors is None else tuple((str(name), float(factor)) for name, factor in factors)
    return Change(**{**value, "layer_factors": pairs})
