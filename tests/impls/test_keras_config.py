"""Keras' configurations in the spellings of its versions, and those that no Keras would write."""

from __future__ import annotations

from typing import Any

import pytest

from impls.keras_model import config as keras_config
from impls.keras_model.graph import NotAModel
from impls.reading import Foreign, Reading
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Init, MaxPool, Padding, ReLU


def layer(kind: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": kind.lower(), **config}}


def conv(filters: int = 4, size: int = 3, **config: Any) -> dict[str, Any]:
    return layer("Conv2D", filters=filters, kernel_size=[size, size], **config)


def sequential(*layers: dict[str, Any], shape: tuple = (None, 12, 10, 3), **config: Any) -> dict[str, Any]:
    first = layer("InputLayer", batch_shape=list(shape))
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [first, *layers], **config}}


def read(*layers: dict[str, Any], **given: Any) -> Reading:
    return keras_config.of_config(sequential(*layers, **given), "name", "source")


def test_keras_2_gives_the_input_on_the_first_layer_and_activations_as_text() -> None:
    config = {"class_name": "Sequential", "config": [
        conv(batch_input_shape=[None, 12, 10, 3], activation="relu", strides=[2, 2], padding="same"),
        layer("Flatten"), layer("Dense", units=7, activation="softmax"),
    ]}  # fmt: skip
    found = keras_config.of_config(config, "name", "source")
    assert [type(each).__name__ for each in found.layers] == ["Conv", "ReLU", "Dense"]
    assert found.layers[0] == Conv(name="conv1", source="conv2d", kernels=4, size=3, stride=2, init=Init.GLOROT,
                                   padding=Padding(0, 1, 0, 1))  # fmt: skip


def functional_2(*, twice: bool = False) -> dict[str, Any]:
    def node(kind: str, name: str, *inputs: str, **config: Any) -> dict[str, Any]:
        return {"class_name": kind, "name": name, "config": {"name": name, **config},
                "inbound_nodes": [[[source, 0, 0, {}] for source in inputs]] if inputs else []}  # fmt: skip

    layers = [
        node("Dense", "last", "flat", units=3),  # not in the order of the connections
        node("InputLayer", "in", batch_input_shape=[None, 8, 9, 3]),
        node("Conv2D", "a", "in", filters=4, kernel_size=[3, 3]),
        node("Conv2D", "b", "a", filters=5, kernel_size=[3, 3]),
        node("Flatten", "flat", "a" if twice else "b"),
    ]
    config = {"layers": layers, "input_layers": [["in", 0, 0]], "output_layers": [["last", 0, 0]]}
    return {"class_name": "Functional", "config": config}


def test_a_functional_model_follows_its_connections_not_its_list() -> None:
    found = keras_config.of_config(functional_2(), "name", "source")
    assert [each.source for each in found.layers] == ["a", "b", "last"]


def test_layers_that_the_output_does_not_need_are_left_out() -> None:
    found = keras_config.of_config(functional_2(twice=True), "name", "source")
    assert [each.source for each in found.layers] == ["a", "last"]


def test_a_circle_is_refused() -> None:
    config = functional_2()
    config["config"]["layers"][2]["inbound_nodes"][0][0][0] = "b"
    with pytest.raises(NotAModel, match=r"its own output|does not depend"):
        keras_config.of_config(config, "name", "source")


@pytest.mark.parametrize(
    ("length", "size", "stride", "sides"),
    [(224, 11, 4, (3, 4)), (32, 3, 2, (0, 1)), (33, 3, 2, (1, 1)), (7, 1, 2, (0, 0)), (10, 4, 1, (1, 2))],
)
def test_same_padding_is_what_tensorflow_adds(length: int, size: int, stride: int, sides: tuple[int, int]) -> None:
    found = read(conv(size=size, strides=[stride, stride], padding="same"), shape=(None, length, length, 3))
    assert found.layers[0].padding == Padding(*sides, *sides)


def test_zeros_before_a_convolution_are_its_padding() -> None:
    found = read(layer("ZeroPadding2D", padding=[[1, 2], [3, 4]]), conv(padding="valid"))
    assert found.layers[0].padding == Padding(1, 2, 3, 4)


def test_zeros_before_a_pool_are_its_padding_only_where_nothing_is_below_zero() -> None:
    pad, pool = layer("ZeroPadding2D", padding=1), layer("MaxPooling2D", pool_size=[3, 3], strides=[2, 2])
    after_relu = read(conv(activation="relu"), pad, pool)
    assert after_relu.layers[-1] == MaxPool(
        name="pool1", source="maxpooling2d", size=3, stride=2, padding=Padding.same(1)
    )
    assert "padded with zeros" in after_relu.remarks[0]
    before = read(conv(), pad, pool)
    assert [type(each).__name__ for each in before.layers] == ["Conv", "Foreign", "MaxPool"]
    assert before.layers[-1].padding == Padding()


def test_a_pools_stride_is_its_size_where_it_is_not_given() -> None:
    assert read(layer("MaxPooling2D", pool_size=[3, 3], strides=None)).layers[0].stride == 3


@pytest.mark.parametrize(
    ("kernel", "bias", "init", "init_bias", "silent"),
    [
        ({"class_name": "GlorotUniform", "config": {}}, {"class_name": "Zeros", "config": {}}, Init.GLOROT, 0, False),
        ({"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.01}},
         {"class_name": "Ones", "config": {}}, 0.01, 1, False),
        ({"class_name": "RandomNormal", "config": {"stddev": 0.03}},
         {"class_name": "Constant", "config": {"value": 0.1}}, 0.03, 0.1, False),
        ({"class_name": "HeNormal", "config": {}}, {"class_name": "Zeros", "config": {}}, 0, 0, True),
        ({"class_name": "RandomNormal", "config": {"mean": 1.0}}, {"class_name": "Zeros", "config": {}}, 0, 0, True),
    ],
)  # fmt: skip
def test_initial_weights_are_named_or_not_said(kernel, bias, init, init_bias, silent) -> None:
    found = read(conv(kernel_initializer=kernel, bias_initializer=bias))
    assert (found.layers[0].init, found.layers[0].init_bias) == (init, init_bias)
    assert ("init" in found.silent) == silent


def test_a_factor_behind_a_dropout_is_the_papers_scaling() -> None:
    found = read(layer("Dropout", rate=0.25), layer("Rescaling", scale=0.75, offset=0.0))
    assert found.layers == (
        Dropout(name="drop0", source="rescaling", rate=0.25, scaling=DropoutScaling.AT_TEST),
    )  # fmt: skip
    other = read(layer("Dropout", rate=0.25), layer("Rescaling", scale=0.5, offset=0.0))
    assert [type(each).__name__ for each in other.layers] == ["Dropout", "Foreign"]


def test_a_division_by_255_is_preprocessing_and_with_imagenets_mean_torchvisions() -> None:
    unit = layer("Rescaling", scale=1 / 255, offset=0.0)
    normal = layer("Normalization", mean=[[[[0.485, 0.456, 0.406]]]], variance=[0.229**2, 0.224**2, 0.225**2])
    assert read(unit, conv()).preprocessing == "unit-scale"
    assert read(unit, normal, conv()).preprocessing == "mean-and-std"
    assert read(conv()).silent == {"preprocessing"}
    odd = read(layer("Rescaling", scale=1 / 127.5, offset=-1.0), conv())
    assert odd.preprocessing is None and odd.foreign[0].kind == "Rescaling"


def test_a_dense_layer_without_flatten_acts_on_each_pixel_and_is_foreign() -> None:
    found = read(layer("Dense", units=5), layer("Flatten"), layer("Dense", units=3))
    assert isinstance(found.layers[0], Foreign) and found.layers[0].parameters == 20
    assert found.layers[0].output_shape == (12, 10, 5)


@pytest.mark.parametrize(
    "odd",
    [
        conv(dilation_rate=[2, 2]), layer("Conv2D", filters=4, kernel_size=[3, 1]), conv(strides=[1, 2]),
        layer("DepthwiseConv2D", kernel_size=[3, 3]), layer("ReLU", max_value=6.0), layer("GELU"),
        layer("Activation", activation="gelu"), layer("MaxPooling2D", pool_size=[2, 3]),
    ],
)  # fmt: skip
def test_what_is_not_a_plain_layer_is_foreign(odd: dict[str, Any]) -> None:
    assert len(read(odd).foreign) == 1


def test_channels_first_is_turned_and_only_a_flatten_that_does_not_know_keeps_it() -> None:
    first = {"data_format": "channels_first"}
    model = [conv(**first), layer("Flatten", data_format="channels_last"), layer("Dense", units=3)]
    config = sequential(*model, shape=(None, 3, 12, 10))
    found = keras_config.of_config(config, "name", "source")
    assert (found.height, found.width, found.channels) == (12, 10, 3)
    assert keras_config.learned(config)[1] == "chw"
    knows = sequential(conv(**first), layer("Flatten", **first), layer("Dense", units=3), shape=(None, 3, 12, 10))
    assert keras_config.learned(knows)[1] == "hwc"


@pytest.mark.parametrize("turns", ["Permute", "Transpose"])
def test_an_order_that_a_layer_has_changed_is_not_guessed(turns: str) -> None:
    turned = layer(turns, dims=[3, 1, 2], axes=[0, 3, 1, 2])
    dense = [layer("Flatten"), layer("Dense", units=3)]
    assert keras_config.learned(sequential(conv(), turned, *dense))[1] is None
    assert keras_config.learned(sequential(turned, conv(), *dense))[1] == "hwc"  # before the first kernels
    assert keras_config.learned(sequential(conv(), *dense, turned))[1] == "hwc"


def test_a_known_layer_stands_for_code() -> None:
    known = {"code": LRN(name="", size=5, alpha=1e-4, beta=0.75, k=2.0)}
    config = sequential(conv(), layer("Lambda", name="code", function="…"))
    found = keras_config.of_config(config, "name", "source", known=known)
    assert found.layers[1] == LRN(name="norm1", source="code", size=5, alpha=1e-4, beta=0.75, k=2.0)


def test_a_side_is_used_where_the_model_takes_any() -> None:
    config = sequential(conv(), shape=(None, None, None, 3))
    assert keras_config.of_config(config, "name", "source", side=64).height == 64
    with pytest.raises(NotAModel, match="sizes of images"):
        keras_config.of_config(config, "name", "source")


def test_a_shared_relu_is_two_and_a_shared_convolution_is_foreign() -> None:
    def shared(kind: str, **config: Any) -> Reading:
        nodes = [[[source, 0, 0, {}]] for source in ("in", "between")]
        layers = [
            {"class_name": "InputLayer", "name": "in", "config": {"batch_shape": [None, 8, 8, 4]}, "inbound_nodes": []},
            {"class_name": kind, "name": "shared", "config": {"name": "shared", **config}, "inbound_nodes": nodes},
            {"class_name": "ReLU", "name": "between", "config": {}, "inbound_nodes": [[["shared", 0, 0, {}]]]},
        ]
        ends = {"input_layers": [["in", 0, 0]], "output_layers": [["shared", 1, 0]]}
        return keras_config.of_config({"class_name": "Functional", "config": {"layers": layers, **ends}}, "n", "s")

    assert all(isinstance(each, ReLU) for each in shared("ReLU").layers)
    found = shared("Conv2D", filters=4, kernel_size=[1, 1])
    assert [type(each).__name__ for each in found.layers] == ["Conv", "ReLU", "Foreign"]


def nested(depth: int, calls: int) -> dict[str, Any]:
    """Models in models, each called several times: small as a file, endless when it is followed."""
    inner: dict[str, Any] = layer("ReLU")
    for level in range(depth):
        inbound = [[["in", 0, 0, {}]] for _ in range(calls)]
        name = f"m{level}"
        layers = [
            {"class_name": "InputLayer", "name": "in", "config": {"batch_shape": [None, 8, 8, 4]}, "inbound_nodes": []},
            {**inner, "name": name, "inbound_nodes": inbound},
        ]
        ends = {"input_layers": [["in", 0, 0]], "output_layers": [[name, 0, 0]]}
        inner = {"class_name": "Functional", "config": {"layers": layers, **ends}}
    return inner


@pytest.mark.parametrize(("depth", "calls"), [(30, 1), (15, 50)])
def test_models_that_unfold_without_end_are_refused(depth: int, calls: int) -> None:
    with pytest.raises(NotAModel, match=r"deep|over"):
        keras_config.of_config(nested(depth, calls), "name", "source")


def test_the_last_softmax_is_left_out_and_one_inside_is_not() -> None:
    flat, dense = layer("Flatten"), layer("Dense", units=3)
    assert isinstance(read(flat, dense, layer("Softmax")).layers[-1], Dense)
    assert [type(each).__name__ for each in read(flat, layer("Softmax"), dense).layers] == ["Foreign", "Dense"]
