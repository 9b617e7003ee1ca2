"""Checkpoints of cuda-convnet, pickled as Python 2 pickled them; the network is run as the format defines it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import made_python2
import numpy as np
import pytest
from made_convnet import DATA, RANDOM, Floats, checkpoint, conv, dense, matrix, plain
from made_python2 import OldInstance
from numpy.typing import NDArray

from harness.exchange import placing
from harness.exchange.convnet_file import read
from harness.exchange.foreign import FormatError
from harness.exchange.placing import Layout
from impls.oracle import operators
from impls.spec import Conv, Dense, MaxPool, Network, ReLU

END = [plain("probs", "softmax", "fc8"), plain("logprob", "cost.logreg", "labels", "probs")]

# 8x8 images; 3x3 and 3x3 convolutions, 2x2 pooling at stride 2, 3x3 convolution, dense layers.
SINGLE = [
    *DATA,
    conv("conv1", ["data"], [3], 4, 3),
    plain("pool1", "pool", "conv1_neuron"),
    conv("conv2", ["pool1"], [4], 6, 2, groups=2),
    dense("fc7", ["conv2_neuron"], [24], 5),
    dense("fc8", ["fc7"], [5], 3),
    *END,
    plain("conv1_neuron", "neuron", "conv1"),
    plain("conv2_neuron", "neuron", "conv2"),
]
# The same with two towers; conv3 and the dense layers see both, fc7b in the other order, as fc2048bb does.
TOWERS = [
    *DATA,
    conv("conv1a", ["data"], [3], 2, 3),
    conv("conv1b", ["data"], [3], 2, 3),
    plain("pool1a", "pool", "conv1a_neuron"),
    plain("pool1b", "pool", "conv1b_neuron"),
    conv("conv2a", ["pool1a"], [2], 4, 2),
    conv("conv2b", ["pool1b"], [2], 4, 2),
    conv("conv3a", ["conv2a_neuron", "conv2b_neuron"], [4, 4], 3, 1),
    conv("conv3b", ["conv2b_neuron", "conv2a_neuron"], [4, 4], 3, 1),
    dense("fc6a", ["conv3a", "conv3b"], [12, 12], 4),
    dense("fc6b", ["conv3a", "conv3b"], [12, 12], 4),
    plain("hs1a", "hs", "fc6a"),
    plain("hs1b", "hs", "fc6b"),
    dense("fc7a", ["hs1a", "hs1b"], [4, 4], 2),
    dense("fc7b", ["hs1b", "hs1a"], [4, 4], 2),
    dense("fc8", ["fc7a", "fc7b"], [2, 2], 3),
    *END,
    *(plain(f"{name}_neuron", "neuron", name) for name in ("conv1a", "conv1b", "conv2a", "conv2b")),
]


def written(folder: Path, data: bytes) -> Path:
    path = folder / "93.1"
    path.write_bytes(data)
    return path


def convnets_own(network: list[dict[str, Any]], image: Floats) -> NDArray[np.float64]:
    """The logits of one image [C, H, W], by the definition of each layer, in loops over places and filters."""
    found: dict[str, NDArray[np.float64]] = {"data": image.astype(np.float64), "labels": np.zeros(1)}
    waiting = [layer for layer in network if layer["name"] not in found]
    while waiting:
        layer = next(one for one in waiting if all(above in found for above in one["inputs"]))
        waiting.remove(layer)
        given = [found[above] for above in layer["inputs"]]
        match layer["type"]:
            case "conv":
                made = sum((convolved(layer, place, one) for place, one in enumerate(given)), np.zeros(1)) + layer[
                    "biases"
                ].reshape(-1, 1, 1)
            case "fc":
                products = [one.reshape(-1) @ w for one, w in zip(given, layer["weights"], strict=True)]
                made = sum(products, np.zeros(1)) + layer["biases"][0]
            case "pool":
                made = np.stack([given[0][:, y : y + 5 : 2, x : x + 5 : 2] for y in (0, 1) for x in (0, 1)]).max(0)
            case "neuron":
                made = np.maximum(given[0], 0)
            case _:
                made = given[0]
        found[layer["name"]] = made
    return found["fc8"]


def convolved(layer: dict[str, Any], place: int, image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row (channel, y, x) of a filter's column meets the channel of its group at that offset."""
    size, groups = layer["filterSize"][place], layer["groups"][place]
    weights, filters = layer["weights"][place], layer["filters"]
    each, side = image.shape[0] // groups, image.shape[1] - size + 1
    made = np.zeros((filters, side, side))
    for one in range(filters):
        group = one // (filters // groups)
        for row in range(weights.shape[0]):
            channel, y, x = row // size**2, row // size % size, row % size
            made[one] += weights[row, one] * image[group * each + channel, y : y + side, x : x + side]
    return made


def ours(name: str, *layers: Any) -> Network:
    return Network(name=name, summary="", source="", height=8, width=8, classes=3, layers=layers)


OURS = {
    "single": ours(
        "single",
        Conv(name="conv1", kernels=4, size=3), ReLU(name="relu1"), MaxPool(name="pool1", size=2, stride=2),
        Conv(name="conv2", kernels=6, size=2, groups=2), ReLU(name="relu2"),
        Dense(name="fc7", units=5), Dense(name="fc8", units=3),
    ),
    "towers": ours(
        "towers",
        Conv(name="conv1", kernels=4, size=3), ReLU(name="relu1"), MaxPool(name="pool1", size=2, stride=2),
        Conv(name="conv2", kernels=8, size=2, groups=2), ReLU(name="relu2"), Conv(name="conv3", kernels=6, size=1),
        Dense(name="fc6", units=8), Dense(name="fc7", units=4), Dense(name="fc8", units=3),
    ),
}  # fmt: skip
NETWORKS = {"single": SINGLE, "towers": TOWERS}


@pytest.mark.parametrize("protocol", [0, 2])
@pytest.mark.parametrize("form", ["by name", "listed"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_canonical_network_computes_what_the_checkpoint_does(tmp_path, name, form, protocol):
    found = read(written(tmp_path, checkpoint(NETWORKS[name], form, protocol)))
    assert (found.format, found.flatten, found.colours, found.inputs) == ("cuda-convnet", "chw", "rgb", "convnet")
    weights = dict(placing.tensors(found, OURS[name], Layout(found.flatten, found.colours)))
    image = RANDOM.integers(-3, 4, (3, 8, 8)).astype(np.float32)
    values: Any = image.transpose(1, 2, 0)[None].astype(np.float64)
    for layer in OURS[name].layers:
        own = {key.partition("/")[2]: w.astype(np.float64) for key, w in weights.items() if key.startswith(layer.name)}
        values = operators.forward(layer, values, own)
    np.testing.assert_array_equal(values[0], convnets_own(NETWORKS[name], image))


def test_towers_become_groups(tmp_path):
    found = read(written(tmp_path, checkpoint(TOWERS)))
    assert [layer.name for layer in found.layers] == [
        "conv1a+conv1b", "conv2a+conv2b", "conv3a+conv3b", "fc6a+fc6b", "fc7a+fc7b", "fc8"
    ]  # fmt: skip
    shapes = [layer.canonical_shape for layer in found.layers]
    assert shapes == [(3, 3, 3, 4), (2, 2, 2, 8), (1, 1, 8, 6), (24, 8), (8, 4), (4, 3)]
    assert len(found.notes) == 1
    assert "conv1a+conv1b, conv2a+conv2b, conv3a+conv3b, fc6a+fc6b, fc7a+fc7b" in found.notes[0]


def test_a_single_tower_needs_no_note(tmp_path):
    found = read(written(tmp_path, checkpoint(SINGLE)))
    assert [layer.name for layer in found.layers] == ["conv1", "conv2", "fc7", "fc8"]
    assert found.notes == ()


def test_each_value_has_its_place(tmp_path):
    found = read(written(tmp_path, checkpoint(TOWERS)))
    by_name = {layer["name"]: layer for layer in TOWERS}
    conv2, conv3, fc6, fc7 = (found.layers[place].weight.read() for place in (1, 2, 3, 4))
    for channel in range(2):
        for y in range(2):
            for x in range(2):
                row = channel * 4 + y * 2 + x
                assert conv2[channel, y, x, 3] == by_name["conv2a"]["weights"][0][row, 3]
                assert conv2[channel, y, x, 4] == by_name["conv2b"]["weights"][0][row, 0]
    assert conv3[1, 0, 0, 2] == by_name["conv3a"]["weights"][0][1, 2]
    assert conv3[5, 0, 0, 2] == by_name["conv3a"]["weights"][1][1, 2]
    assert conv3[1, 0, 0, 5] == by_name["conv3b"]["weights"][1][1, 2]  # its second input is tower a
    assert conv3[5, 0, 0, 5] == by_name["conv3b"]["weights"][0][1, 2]
    assert fc6[3 * 4 + 2, 1] == by_name["fc6a"]["weights"][1][2, 1]
    np.testing.assert_array_equal(fc7[:4, 2:], by_name["fc7b"]["weights"][1])
    np.testing.assert_array_equal(fc7[4:, 2:], by_name["fc7b"]["weights"][0])


def test_a_compressed_checkpoint(tmp_path):
    path = tmp_path / "93.2"
    plain_one = read(written(tmp_path, checkpoint(SINGLE))).layers[0].weight.read()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", checkpoint(SINGLE))
    np.testing.assert_array_equal(read(path).layers[0].weight.read(), plain_one)


def test_a_bomb_for_a_checkpoint(tmp_path):
    path = tmp_path / "93.1"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", bytes(20_000_000))
    with pytest.raises(FormatError, match="'data' would unpack to 20,000,000 bytes"):
        read(path)


def changed(network: list[dict[str, Any]], name: str, **changes: Any) -> bytes:
    return checkpoint([{**layer, **(changes if layer["name"] == name else {})} for layer in network])


def evil(module: str) -> bytes:
    return made_python2.dumps({"model_state": {}, "op": OldInstance(module, "system", command="touch x")}, 2)


FIT = "has weights that its inputs do not fit"
REFUSED = {
    "a shell": (evil("os"), r"asks for os\.system, which no checkpoint does"),
    "a class of the data's": (evil("convdata"), r"asks for convdata\.system"),
    "another pickle": (made_python2.dumps({"labels": [1]}, 2), "is no checkpoint of cuda-convnet"),
    "no layers": (made_python2.dumps({"model_state": {"layers": []}}, 2), "is no checkpoint of cuda-convnet"),
    "a layer of its own places": (
        changed(SINGLE, "conv2", type="local"), "layer 'conv2' is of type 'local': no network here has it"
    ),
    "a sum": (changed(SINGLE, "pool1", type="eltsum"), "layer 'pool1' is of type 'eltsum'"),
    "weights in a pool": (changed(SINGLE, "pool1", weights=[matrix(2, 2)]), "layer 'pool1' is of type 'pool'"),
    "a bias for each place": (changed(SINGLE, "conv1", biases=matrix(144, 1)), "expected one for each of its 4"),
    "random connections": (changed(SINGLE, "conv2", randSparse=[True]), "connected in a way that no network here"),
    "a matrix of another size": (changed(SINGLE, "conv2", weights=[matrix(9, 6)]), FIT),
    "rows of another image": (changed(SINGLE, "fc7", weights=[matrix(25, 5)]), FIT),
    "a size of nothing": (changed(SINGLE, "conv1", filterSize=[0]), "has no filterSize for each input"),
    "a size that is text": (changed(SINGLE, "conv1", filterSize=["3"]), "has no filterSize for each input"),
    "no matrix": (changed(SINGLE, "conv1", weights=[matrix(2, 2).reshape(4)]), "weights that are no matrices"),
    "an empty matrix": (changed(SINGLE, "fc8", weights=[np.zeros((5, 0), np.float32)]), "or none"),
    "whole numbers": (changed(SINGLE, "fc8", weights=[np.ones((5, 3), np.int32)]), "expected one float"),
    "no biases": (changed(SINGLE, "fc8", biases=None), "should have 1 weights and its biases"),
    "too few weights": (changed(TOWERS, "fc8", weights=[matrix(2, 3)]), "should have 2 weights"),
    "a layer of itself": (changed(SINGLE, "conv1", inputs=["conv1_neuron"]), "takes its inputs from itself"),
    "an input that is missing": (changed(SINGLE, "conv1", inputs=["nothing"]), "has inputs that are no layers"),
    "a name twice": (
        made_python2.dumps({"model_state": {"layers": [*DATA, *DATA]}}, 2), "two layers called 'data'"
    ),
    "no name": (made_python2.dumps({"model_state": {"layers": [{}]}}, 2), "has a layer without a name"),
    "no weights at all": (made_python2.dumps({"model_state": {"layers": DATA}}, 2), "no convolution and no dense"),
    "one tower twice": (changed(TOWERS, "conv3a", inputs=["conv2a_neuron"] * 2), "sees a part of its inputs twice"),
    "a tower left out": (
        changed(TOWERS, "fc7a", inputs=["hs1a"], weights=[matrix(4, 2)]), "in a way that no network here does"
    ),
    "crossed towers": (changed(TOWERS, "conv2a", inputs=["pool1b"]), "in a way that no network here does"),
    "towers that differ": (
        changed(TOWERS, "conv2b", filterSize=[1], weights=[matrix(2, 4)]), "are side by side and not alike"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_network_of_the_kind_is_refused(tmp_path, name):
    data, message = REFUSED[name]
    with pytest.raises(FormatError, match=message) as caught:
        read(written(tmp_path, data))
    assert "\n" not in str(caught.value)


def test_layers_that_see_each_other_many_times_over_are_not_walked(tmp_path):
    """Each joins the one before with itself: 2 ** 100 inputs."""
    joined = [plain(f"join{place}", "concat", *[f"join{place - 1}" if place else "conv1"] * 2) for place in range(100)]
    network = [*DATA, conv("conv1", ["data"], [3], 4, 3), *joined, dense("fc8", ["join99"], [4], 3)]
    with pytest.raises(FormatError, match="sees over 100 layers"):
        read(written(tmp_path, checkpoint(network)))
