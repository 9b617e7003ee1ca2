"""Keras files read as networks without Keras: what Keras wrote is told in this project's words."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from harness.exchange.foreign import FormatError
from harness.reading import keras_archive
from impls.reading import Foreign
from impls.spec import Conv, Dense, Dropout, DropoutScaling, Init, MaxPool, Padding, ReLU, Tanh

pytestmark = pytest.mark.needs("tensorflow")
GLOROT = Init.GLOROT


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_sequential_model_is_read_layer_by_layer(keras_files: Path, suffix: str) -> None:
    found = keras_archive.read(keras_files / f"plain{suffix}")
    assert (found.height, found.width, found.channels, found.classes) == (13, 11, 3, 4)
    assert found.layers == (
        Conv(
            name="conv1",
            source="stem",
            kernels=8,
            size=3,
            stride=2,
            padding=Padding(0, 1, 2, 1),
            init=found.layers[0].init,
        ),
        ReLU(name="relu1", source="re_lu"),
        # 6 x 6 pixels, 3 / 2: TensorFlow's SAME gives 3 x 3 with one more pixel at the bottom and on the right
        MaxPool(name="pool1", source="max_pooling2d", size=3, stride=2, padding=Padding(0, 1, 0, 1)),
        Conv(
            name="conv2",
            source="conv2d",
            kernels=6,
            size=3,
            padding=Padding.same(1),
            groups=2,
            init=found.layers[3].init,
        ),
        ReLU(name="relu2", source="conv2d"),
        Dropout(name="drop2", source="dropout", rate=0.25, scaling=DropoutScaling.IN_TRAINING),
        Dense(name="fc3", source="dense", units=5, init=0.02),
        Tanh(name="tanh3", source="dense"),
        Dense(name="fc4", source="dense_1", units=4, init=found.layers[8].init),
    )
    assert found.preprocessing == "unit-scale" and found.silent == {"init"}  # its biases begin as random numbers
    assert found.network().classes == 4


def test_what_has_no_word_here_stands_as_it_is_called_there(keras_files: Path) -> None:
    found = keras_archive.read(keras_files / "functional.keras")
    assert [layer.name for layer in found.layers] == ["conv1", "conv2", "leakyrelu2", "pool2", "fc3"]
    leaky = found.layers[2]
    assert isinstance(leaky, Foreign) and leaky.kind == "LeakyReLU" and "0.1" in leaky.detail
    assert leaky.output_shape == (7, 8, 5)
    pool = found.layers[3]
    assert isinstance(pool, MaxPool) and pool.padding == Padding(0, 1, 0, 1)


def test_branches_are_one_foreign_piece_between_what_can_be_said(keras_files: Path) -> None:
    found = keras_archive.read(keras_files / "branched.keras")
    kinds = [layer.kind if isinstance(layer, Foreign) else type(layer).__name__ for layer in found.layers]
    assert kinds == ["Conv", "Branches", "Branches", "AveragePooling2D", "Dense"]
    assert [layer.output_shape for layer in found.foreign] == [(9, 10, 4), (9, 10, 4), (4, 5, 4)]
    assert "Conv2D" in found.foreign[0].detail and "Power" in found.foreign[1].detail


def test_a_batch_normalisation_is_counted(keras_files: Path) -> None:
    found = keras_archive.read(keras_files / "batch_normalised.keras")
    assert [(layer.kind, layer.parameters) for layer in found.foreign] == [
        ("BatchNormalization", 4), ("GlobalAveragePooling2D", 0)
    ]  # fmt: skip


def test_a_lambda_is_named_and_not_run(keras_files: Path) -> None:
    found = keras_archive.read(keras_files / "code.keras")
    assert found.foreign[0].kind == "Lambda" and "not run" in found.foreign[0].detail


def test_weights_alone_are_no_network(keras_files: Path) -> None:
    with pytest.raises(FormatError, match="weights alone"):
        keras_archive.read(keras_files / "plain.weights.h5")


def test_a_configuration_that_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "odd.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "MyModel", "config": {}}))
    with pytest.raises(FormatError, match="neither a Sequential nor a Functional") as caught:
        keras_archive.read(path)
    assert "\n" not in str(caught.value)
