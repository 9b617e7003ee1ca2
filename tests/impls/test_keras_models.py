"""Our exports as Keras loads them, held against the oracle; somebody's Keras models as our reader tells them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.environment import CHECKOUT
from harness.exchange import keras_file
from harness.reading import keras_archive
from impls import catalog, reading, tensor_file, weights
from impls.keras_model import config as keras_config
from impls.oracle import network as oracle
from impls.reading import Foreign
from impls.spec import LRN, Conv, Dense, Layer, Network
from impls.spec_json import network_to_json

pytestmark = pytest.mark.needs("tensorflow")
PROGRAM = Path(__file__).with_name("keras_model_program.py")
# The largest are 32 times narrower here: their layers, sizes of windows and orders are what is compared.
NETWORKS = [name for name, network in catalog.NETWORKS.items() if not network.large]

LISTING = """
import keras
import tensorflow as tf
from keras import layers

model = keras.Sequential([
    layers.Conv2D(8, 11, strides=4, activation="relu"),
    layers.Lambda(lambda x: tf.nn.local_response_normalization(x, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)),
    layers.MaxPooling2D(3, 2),
    layers.Lambda(lambda x: 2 * tf.nn.local_response_normalization(x)),
    layers.Flatten(),
    layers.Dense(5),
])


class Norm(layers.Layer):
    def call(self, x):
        return tf.nn.lrn(x, 2, 1.0, 2e-5, 0.75)


def build():
    images = layers.Input((None, None, 3))
    x = Norm()(layers.Conv2D(4, 3, padding="same", name="first")(images))
    return keras.Model(images, layers.Dense(3, activation="softmax")(layers.GlobalMaxPooling2D()(x)))


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv, self.relu = layers.Conv2D(4, 3), layers.ReLU()
        self.flat, self.last = layers.Flatten(), layers.Dense(3)

    def call(self, x):
        return self.last(self.flat(self.relu(self.conv(x))))


class Opaque(keras.Model):
    def call(self, x):
        return tf.reshape(tf.nn.relu(x), [-1])


class Radius(layers.Layer):
    def __init__(self, radius, **kwargs):  # without a get_config, so that its JSON has no name for it
        super().__init__(**kwargs)
        self.radius = radius

    def call(self, x):
        return tf.nn.lrn(x, depth_radius=self.radius, bias=2.0, alpha=1e-4, beta=0.75)


def named():
    return keras.Sequential([
        layers.Input((20, 20, 3)), layers.Conv2D(4, 3), Radius(3), layers.Flatten(), layers.Dense(3),
    ])


def relu(x):
    return 2 * tf.nn.relu(x)


def fixed():
    images = layers.Input((20, 24, 3))
    x = layers.Conv2D(4, 3, activation=lambda x: 2 * tf.nn.relu(x))(images)
    x = layers.Conv2D(4, 3, activation=relu)(x)
    x = layers.Conv2D(4, 3, activation=layers.ReLU(6.0))(x)
    x = layers.Conv2D(4, 3, activation=lambda x: tf.maximum(x, 0))(x)
    x = layers.Conv2D(4, 3, activation=layers.ReLU())(x)
    return keras.Model(images, layers.Dense(3)(layers.Flatten()(x)))


def needs(x):
    return x


number = 5
"""


def narrow(network: Network) -> Network:
    """The same layers with few kernels and units."""

    def thinner(layer: Layer) -> Layer:
        if isinstance(layer, Conv):
            return replace(layer, kernels=max(4 * layer.groups, layer.kernels // 32))
        if isinstance(layer, Dense):
            return replace(layer, units=10 if layer.name == network.logits else 8)
        return layer

    return replace(network, classes=10, layers=tuple(map(thinner, network.layers)))


def special() -> Network:
    """The 2012 source's layers on smaller images: norms per tower and within a map, padding on two sides."""
    return replace(narrow(catalog.get("original-2012")), name="special", height=67, width=71)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("keras-models")
    (found / "listing.py").write_text(LISTING)
    exports = {"cifar": catalog.get("cifar-4layer"), "special": special()}
    rng = np.random.default_rng(3)
    for name, network in exports.items():
        arrays = weights.generate(network)
        shapes = {key: value.shape for key, value in arrays.items()}
        tensor_file.write(found / f"{name}.safetensors", shapes, (a.reshape(-1) for a in arrays.values()), {})
        images = rng.normal(0, 64, (2, network.height, network.width, 3)).astype(np.float32)
        np.save(found / f"{name}-images.npy", images)
    for name, network in {**exports, **{name: narrow(catalog.get(name)) for name in NETWORKS}}.items():
        (found / f"{name}.json").write_text(json.dumps(network_to_json(network)))
    targets = {"model": 64, "build": 40, "Net": 9, "Opaque": 9, "needs": 9, "number": 9, "named": 9, "fixed": 9}
    (found / "asked.json").write_text(json.dumps({"export": list(exports), "structure": NETWORKS, "read": targets}))
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(found)], capture_output=True, text=True, timeout=500,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "",
                          "KERAS_BACKEND": "tensorflow"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return found


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "answers.json").read_text())


def exported_network(name: str) -> Network:
    return catalog.get("cifar-4layer") if name == "cifar" else special()


@pytest.mark.parametrize("loaded", ["logits", "again"])
@pytest.mark.parametrize("name", ["cifar", "special"])
def test_keras_computes_what_the_oracle_does_from_what_we_export(folder: Path, name: str, loaded: str) -> None:
    network = exported_network(name)
    arrays, images = weights.generate(network), np.load(folder / f"{name}-images.npy")
    wanted = oracle.forward(network, arrays, images)[network.logits]
    plain = oracle.forward(network, arrays, images, dtype=np.float32)[network.logits]
    found = np.load(folder / f"{name}-{loaded}.npy")
    allowed = 4 * np.abs(plain - wanted).max() + 1e-6 * np.abs(wanted).max()
    assert np.abs(wanted).max() > 0.05 and np.ptp(wanted) > 0.05
    assert np.abs(found - wanted).max() <= allowed


def test_the_file_has_our_member_beside_keras_own_and_layers_of_our_names(answers: dict[str, Any]) -> None:
    found = answers["exported"]["special"]
    assert found["members"] == ["alexbench.json", "config.json", "metadata.json", "model.weights.h5"]
    assert {layer.name for layer in special().layers} <= set(found["layers"])


@pytest.mark.parametrize("name", ["cifar", "special"])
def test_what_we_export_we_read_back_to_the_last_bit(folder: Path, name: str) -> None:
    network = exported_network(name)
    found = keras_file.read(folder / f"{name}.keras")
    assert (found.network, found.preprocessing) == (network.name, "text")
    tensors = [tensor.read() for layer in found.layers for tensor in (layer.weight, layer.bias) if tensor is not None]
    wanted = list(weights.generate(network).values())
    assert len(tensors) == len(wanted)
    assert all(np.array_equal(a, b) for a, b in zip(tensors, wanted, strict=True))
    assert bare(keras_archive.read(folder / f"{name}.keras").layers) == bare(network.layers)


def bare(layers: tuple[Any, ...]) -> list[Any]:
    """Layers without what they are called and where they come from."""
    return [replace(layer, name="", source="") for layer in layers]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_from_its_own_export_with_nothing_changed(answers: dict[str, Any], name: str) -> None:
    found = reading.from_json(answers["structure"][name])
    network = narrow(catalog.get(name))
    assert bare(found.layers) == bare(network.layers)
    assert [layer.source for layer in found.layers] == [layer.name for layer in network.layers]
    assert (found.height, found.width, found.channels) == (network.height, network.width, network.channels)
    assert found.silent == {"preprocessing"} and found.remarks == ()


def test_the_papers_dropout_is_a_plain_mask_in_training_and_a_factor_at_test(answers: dict[str, Any]) -> None:
    training, test = answers["dropped"]
    assert test == pytest.approx(0.6, rel=1e-4)  # a float32 sum of 10,000 terms
    assert training == pytest.approx(0.6, abs=0.03)  # 10,000 ones, 40 % of them dropped and the others left as they are


def test_a_lambda_around_lrn_is_that_lrn_and_another_is_foreign(answers: dict[str, Any]) -> None:
    found = reading.from_json(answers["read"]["model"])
    assert (found.height, found.name) == (64, "model")
    norm = found.layers[2]
    assert isinstance(norm, LRN) and (norm.size, norm.alpha, norm.beta, norm.k) == (5, 1e-4, 0.75, 2.0)
    assert [layer.kind for layer in found.foreign] == ["Lambda"]


def test_somebodys_layer_around_lrn_is_that_lrn_in_a_model_of_any_size(answers: dict[str, Any]) -> None:
    found = reading.from_json(answers["read"]["build"])
    assert [layer.name for layer in found.layers] == ["conv1", "norm1", "globalmaxpooling2d1", "fc2"]
    norm = found.layers[1]
    assert isinstance(norm, LRN) and (norm.size, norm.alpha, norm.k) == (5, 2e-5, 1.0)
    assert found.height == 40


def test_a_class_whose_call_connects_layers_is_followed(answers: dict[str, Any]) -> None:
    found = reading.from_json(answers["read"]["Net"])
    assert [layer.name for layer in found.layers] == ["conv1", "relu1", "fc2"]
    assert found.source == "Net of listing.py"


def test_an_own_layer_is_known_by_what_it_computes_though_its_configuration_has_no_name(
    answers: dict[str, Any],
) -> None:
    norm = reading.from_json(answers["read"]["named"]).layers[1]
    assert isinstance(norm, LRN) and (norm.size, norm.alpha, norm.beta, norm.k) == (7, 1e-4, 0.75, 2.0)


def test_an_activation_is_what_it_computes_and_not_what_it_is_called(answers: dict[str, Any]) -> None:
    found = reading.from_json(answers["read"]["fixed"])

    assert (found.height, found.width) == (20, 24)  # a functional model says it itself
    assert [layer.kind if isinstance(layer, Foreign) else type(layer).__name__ for layer in found.layers] == [
        "Conv", "function", "Conv", "relu of the file", "Conv", "relu layer", "Conv", "ReLU", "Conv", "ReLU", "Dense",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "said"),
    [("Opaque", "cannot be followed"), ("needs", "without arguments"), ("number", "expected a Keras model")],
)
def test_what_is_no_model_is_said(answers: dict[str, Any], name: str, said: str) -> None:
    found = answers["read"][name]
    assert found["error"] == "NotLoadable" and said in found["message"] and "\n" not in found["message"]


def edited(folder: Path, kind: str, change: Any) -> list[type]:
    """Kinds of the layers that are left of the special network when the first node of a kind is changed."""
    with zipfile.ZipFile(folder / "special.keras") as archive:
        config = json.loads(archive.read("config.json"))
    change(next(layer for layer in config["config"]["layers"] if layer["class_name"] == kind))
    return [type(layer) for layer in keras_config.of_config(config, "name", "source").layers]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Square", lambda node: node.update(class_name="Abs")),
        ("Pad", lambda node: node["config"].update(pad_width=[[0, 0], [0, 0], [1, 3], [0, 0]])),
        ("Pad", lambda node: node["config"].update(mode="reflect")),
        ("Pad", lambda node: node["inbound_nodes"][0]["kwargs"].update(constant_values=1.0)),
        ("AveragePool", lambda node: node["config"].update(strides=2)),
        ("AveragePool", lambda node: node["config"].update(padding="same")),
        ("AveragePool", lambda node: node["config"].update(pool_size=[5, 1])),
        ("Multiply", lambda node: node["inbound_nodes"][0]["args"].__setitem__(1, 4.0)),
        ("Reshape", lambda node: node["config"].update(newshape=[-1, 45, 4, 2])),
        ("Power", lambda node: node["inbound_nodes"][0]["args"].reverse()),
        ("Add", lambda node: node["inbound_nodes"][0]["args"].__setitem__(1, "2")),
        ("Divide", lambda node: node["inbound_nodes"][0]["args"].reverse()),
    ],
)
def test_a_normalisation_composed_a_little_otherwise_is_not_taken_for_ours(
    folder: Path, kind: str, change: Any
) -> None:
    assert edited(folder, kind, lambda node: None).count(LRN) == 2
    found = edited(folder, kind, change)
    assert found.count(LRN) == 1 and found.count(Foreign) >= 1
