"""Caffe's two published networks, read from their definitions in either format, are the catalog's."""

from __future__ import annotations

from dataclasses import replace

import caffe_text
import pytest

from harness.exchange.foreign import FormatError
from harness.exchange.recognise import is_same
from impls import catalog
from impls.reading import Reading, ReadLayer

NAMES = {"AlexNet": "caffe", "CaffeNet": "caffenet"}
MODELS = pytest.mark.parametrize("model", list(NAMES))
FORMATS = pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])


def text_of(model, part, is_old):
    text = caffe_text.published(model, part)
    return caffe_text.old(text.replace('type: "Input"', "")) if is_old else text


def without_sources(layers: tuple[ReadLayer, ...]) -> list[ReadLayer]:
    return [replace(layer, source="") for layer in layers]


@FORMATS
@MODELS
def test_a_training_definition_gives_the_catalogs_layers_to_the_last_number(tmp_path, model, is_old):
    reading = caffe_text.read(tmp_path, text_of(model, "train_val", is_old))
    network = catalog.get(NAMES[model])
    assert without_sources(reading.layers) == without_sources(network.layers)
    assert (reading.height, reading.width, reading.channels, reading.classes) == (227, 227, 3, 1000)
    assert reading.preprocessing == network.preprocessing == "mean-image"
    assert reading.silent == frozenset()
    assert (reading.name, reading.source) == ("net", "net.prototxt")


@MODELS
def test_a_deployment_definition_gives_the_same_but_for_what_it_leaves_out(tmp_path, model):
    reading = caffe_text.read(tmp_path, caffe_text.published(model, "deploy"))
    network = catalog.get(NAMES[model])
    unsaid = {"init": 0.01, "init_bias": 0.0}
    expected = [replace(layer, **unsaid) if hasattr(layer, "init") else layer for layer in network.layers]
    assert without_sources(reading.layers) == without_sources(tuple(expected))
    assert reading.silent == {"init", "preprocessing"}
    assert reading.preprocessing is None
    assert reading.remarks == ()


@MODELS
def test_a_reading_is_recognised_as_its_own_network_and_no_other(tmp_path, model):
    reading = caffe_text.read(tmp_path, caffe_text.published(model, "deploy"))
    assert [name for name, network in catalog.NETWORKS.items() if is_same(reading, network)] == [NAMES[model]]


def test_each_layer_names_what_it_was_called(tmp_path):
    text = caffe_text.published("AlexNet", "deploy").replace('"conv2"', '"second"')
    reading = caffe_text.read(tmp_path, text)
    assert [layer.source for layer in reading.layers[:6]] == ["conv1", "relu1", "norm1", "pool1", "second", "relu2"]
    assert reading.layers[4].name == "conv2"


@pytest.mark.parametrize(
    "declared",
    [
        'input: "data" input_dim: 10 input_dim: 3 input_dim: 227 input_dim: 227\n',
        'input: "data" input_shape { dim: 10 dim: 3 dim: 227 dim: 227 }\n',
    ],
    ids=["input_dim", "input_shape"],
)
@FORMATS
def test_the_older_ways_of_declaring_an_input_are_read(tmp_path, declared, is_old):
    lines = caffe_text.published("AlexNet", "deploy").splitlines(keepends=True)
    text = declared + "".join(line for line in lines if '"Input"' not in line)
    reading = caffe_text.read(tmp_path, caffe_text.old(text) if is_old else text)
    assert is_same(reading, catalog.get("caffe"))


def test_the_images_are_the_declared_input_that_the_layers_read(tmp_path):
    text = 'input: "label" input_dim: [1, 1, 1, 1] input: "data" input_dim: [1, 3, 9, 7]\n'
    reading = caffe_text.read(tmp_path, text + caffe_text.dense(1, "data", 5, ""))
    assert (reading.height, reading.width, reading.channels) == (9, 7, 3)


def test_a_mean_colour_a_scale_and_nothing_are_told_apart(tmp_path):
    def of(transform: str) -> Reading:
        body = f"transform_param {{ crop_size: 8 {transform} }}"
        text = caffe_text.layer("data", "Data", "", "data", body) + caffe_text.dense(1, "data", 5, "")
        return caffe_text.read(tmp_path, text)

    colour = of("mean_value: 104 mean_value: 117 mean_value: 123")
    assert (colour.preprocessing, colour.channels, colour.remarks) == ("mean-colour", 3, ())
    assert of("").preprocessing == "none"
    assert of("scale: 0.0039215684").preprocessing == "unit-scale"
    assert of("scale: 0.00390625").preprocessing == "none"
    assert "multiplied by 0.00390625" in of("scale: 0.00390625").remarks[-1]
    scaled = of("scale: 0.017 mean_value: 100 mean_value: 110 mean_value: 120")
    assert scaled.preprocessing == "mean-colour" and "multiplied by 0.017 once" in scaled.remarks[0]
    grey = of("force_gray: true")
    assert (grey.channels, grey.silent) == (1, {"init"})


def test_a_transformation_in_the_place_it_had_before_is_read(tmp_path):
    body = 'data_param { scale: 0.5 mean_file: "m.binaryproto" crop_size: 8 }'
    text = caffe_text.layer("data", "Data", "", "data", body) + caffe_text.dense(1, "data", 5, "")
    reading = caffe_text.read(tmp_path, caffe_text.old(text))
    assert (reading.height, reading.preprocessing) == (8, "mean-image")
    assert any("multiplied by 0.5" in remark for remark in reading.remarks)


def test_the_training_data_decide_where_training_and_testing_differ(tmp_path):
    text = caffe_text.published("AlexNet", "train_val")
    first, _, rest = text.partition("phase: TEST")
    reading = caffe_text.read(tmp_path, first + "phase: TEST" + rest.replace("crop_size: 227", "crop_size: 224", 1))
    assert reading.height == 227
    swapped = caffe_text.read(tmp_path, text.replace("crop_size: 227", "crop_size: 231", 1))
    assert swapped.height == 231


def test_layers_of_the_test_net_alone_are_left_out_and_named(tmp_path):
    text = caffe_text.published("AlexNet", "train_val")
    extra = caffe_text.layer("squash", "Sigmoid", "fc8", "squashed", "include { phase: TEST }")
    reading = caffe_text.read(tmp_path, text + extra)
    assert reading.foreign == ()
    assert "squash: only in its test net, left out" in reading.remarks


def test_a_definition_for_the_test_alone_is_read(tmp_path):
    text = caffe_text.published("AlexNet", "train_val")
    first, _, rest = text.partition("phase: TEST")
    _, _, without_training = first.partition("\n")
    lines = [line for line in f"{without_training}phase: TEST{rest}".splitlines(keepends=True) if "TRAIN" not in line]
    reading = caffe_text.read(tmp_path, "".join(lines))
    assert is_same(reading, catalog.get("caffe"))


def test_layers_that_share_a_parameter_are_remarked_on(tmp_path):
    text = caffe_text.dense(1, "data", 5, "") + caffe_text.dense(2, "fc1", 5, "")
    shared = text.replace("inner_product_param", 'param { name: "w" } inner_product_param')
    assert caffe_text.read(tmp_path, caffe_text.tiny(shared)).remarks == ("fc1 and fc2 share the parameter 'w'",)


@pytest.mark.parametrize(
    ("rule", "is_in"),
    [
        ("include { phase: TRAIN }", True), ("include { phase: TEST }", False), ("exclude { phase: TRAIN }", False),
        ("exclude { phase: TEST }", True), ("include { min_level: 1 }", False), ("include { max_level: 0 }", True),
        ('include { stage: "deploy" }', False), ('include { not_stage: "deploy" }', True),
        ("include { phase: TEST } include { phase: TRAIN }", True), ('exclude { stage: "deploy" }', True),
    ],
)  # fmt: skip
def test_rules_say_which_layers_are_trained(tmp_path, rule, is_in):
    text = caffe_text.tiny(
        caffe_text.layer("odd", "TanH", "data", "", rule), caffe_text.dense(1, "data", 5, ""),
    )  # fmt: skip
    assert len(caffe_text.read(tmp_path, text).layers) == (2 if is_in else 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('net: "train_val.prototxt" base_lr: 0.01', "defines no layers"),
        ("", "defines no layers"),
        (caffe_text.dense(1, "data", 5, ""), "reads 'data', which no layer before it writes"),
        ('input: "data"\n' + caffe_text.dense(1, "data", 5, ""), "has 0 sides"),
        (caffe_text.layer("data", "Data", "", "data") + caffe_text.dense(1, "data", 5, ""), "no crop_size"),
        (caffe_text.tiny(caffe_text.layer("p", "Softmax", "data", "p")), "no layer between its data and its loss"),
        ("layers { layer { name: 'conv1' type: 'conv' } }", "oldest format"),
        (caffe_text.tiny(sides=(3, 0, 8)) + caffe_text.dense(1, "data", 5, ""), "no size of an image"),
        (caffe_text.tiny(sides=(3, 99_999, 99_999)) + caffe_text.dense(1, "data", 5, ""), "no size of an image"),
        (caffe_text.tiny(sides=(3, -8, -8)) + caffe_text.dense(1, "data", 5, ""), "no size of an image"),
        ("layer { type: 'ReLU' } layers { type: RELU }", "both `layer` and `layers`"),
    ],
    ids=lambda value: None if "{" in value else value[:20],
)
def test_what_is_no_network_is_refused_with_its_reason(tmp_path, text, says):
    with pytest.raises(FormatError) as caught:
        caffe_text.read(tmp_path, text)
    assert says in str(caught.value)
    assert "net.prototxt" in str(caught.value)
