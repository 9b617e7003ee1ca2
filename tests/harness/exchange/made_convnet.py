"""Checkpoints of cuda-convnet as Python 2 pickled them: the layers' dictionaries, in both forms."""

from __future__ import annotations

from typing import Any, Literal

import made_python2
import numpy as np
from made_python2 import OldClass, OldInstance
from numpy.typing import NDArray

Floats = NDArray[np.float32]
RANDOM = np.random.default_rng(0)
TYPES = {"pool": {"pool": "max", "sizeX": 2}, "neuron": {"neuron": {"type": "relu", "params": {}}}}


def matrix(rows: int, columns: int, order: Literal["C", "F"] = "C") -> Floats:
    return np.array(RANDOM.integers(-4, 5, (rows, columns)), np.float32, order=order)


def conv(name: str, inputs: list[Any], channels: list[int], filters: int, size: int, groups: int = 1) -> dict[str, Any]:
    count = len(inputs)
    return {
        "name": name, "type": "conv", "inputs": inputs, "channels": channels, "filters": filters,
        "filterSize": [size] * count, "filterPixels": [size**2] * count, "groups": [groups] * count,
        "filterChannels": [each // groups for each in channels], "sharedBiases": True, "randSparse": [False] * count,
        "weights": [matrix(each // groups * size**2, filters) for each in channels],
        "weightsInc": [np.zeros((each // groups * size**2, filters), np.float32) for each in channels],
        "biases": matrix(filters, 1), "initW": [0.01] * count, "momW": [0.9] * count, "gpu": 0,
    }  # fmt: skip


def dense(name: str, inputs: list[Any], rows: list[int], outputs: int) -> dict[str, Any]:
    return {
        "name": name, "type": "fc", "inputs": inputs, "outputs": outputs, "numInputs": rows,
        "weights": [matrix(each, outputs, "F") for each in rows], "biases": matrix(1, outputs, "F"),
    }  # fmt: skip


def plain(name: str, kind: str, *inputs: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "inputs": list(inputs), **TYPES.get(kind, {})}


DATA = [{"name": "data", "type": "data", "dataIdx": 0}, {"name": "labels", "type": "data", "dataIdx": 1}]
OPTIONS = OldInstance(
    "options", "OptionsParser", options={"gpu": OldInstance("options", "Option", parser=OldClass("options", "List"))}
)


def layers_of(network: list[dict[str, Any]], form: str) -> Any:
    """By name with ids, as since 2012, out of order as a dictionary was; or the list of 2011, inputs by place."""
    if form == "by name":
        return {layer["name"]: {**layer, "id": place} for place, layer in reversed(list(enumerate(network)))}
    names = [layer["name"] for layer in network]
    listed = [{**layer, "inputs": [names.index(one) for one in layer.get("inputs", [])]} for layer in network]
    for layer in listed:
        if layer["type"] == "conv" and len(layer["inputs"]) == 1:  # one input then was no list
            layer |= {key: layer[key][0] for key in ("weights", "filterSize", "groups", "channels")}
    return listed


def checkpoint(network: list[dict[str, Any]], form: str = "by name", protocol: Literal[0, 2] = 2) -> bytes:
    state = {"layers": layers_of(network, form), "epoch": 93, "test_outputs": [({"logprob": [1.5, 0.25]}, 128)]}
    return made_python2.dumps({"model_state": state, "op": OPTIONS}, protocol)
