"""Single layers of Caffe: what each becomes, what is Foreign, what Caffe would refuse."""

from __future__ import annotations

import itertools
import math

import caffe_text
import pytest
from caffe_text import dense, layer, tiny

from harness.exchange.foreign import FormatError
from impls import derive
from impls.reading import Foreign
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Init, MaxPool, Padding, SpatialNorm, Tanh

END = dense(9, "x", 2, "")


def only(folder, kind, body, sides=(3, 8, 8)):
    """The reading of one layer between an input and a dense layer, and that layer."""
    reading = caffe_text.read(folder, tiny(layer("x", kind, "data", "x", body), END, sides=sides))
    return reading, reading.layers[0]


def conv_of(folder, settings, sides=(3, 8, 8)):
    return only(folder, "Convolution", f"convolution_param {{ {settings} }}", sides)


@pytest.mark.parametrize(
    "settings",
    [
        "num_output: 4 kernel_size: 3 stride: 2 pad: 1",
        "num_output: 4 kernel_size: 3 kernel_size: 3 stride: 2 stride: 2 pad: 1 pad: 1",
        "num_output: 4 kernel_h: 3 kernel_w: 3 stride_h: 2 stride_w: 2 pad_h: 1 pad_w: 1",
    ],
    ids=["once", "each", "h-and-w"],
)
def test_a_convolutions_window_is_read_in_every_spelling(tmp_path, settings):
    _, conv = conv_of(tmp_path, settings)
    assert isinstance(conv, Conv)
    assert (conv.kernels, conv.size, conv.stride, conv.padding) == (4, 3, 2, Padding.same(1))


def test_padding_may_differ_by_direction(tmp_path):
    _, conv = conv_of(tmp_path, "num_output: 4 kernel_size: 3 pad_h: 1 pad_w: 2")
    assert isinstance(conv, Conv) and conv.padding == Padding(1, 1, 2, 2)


@pytest.mark.parametrize(
    ("settings", "detail", "shape", "parameters"),
    [
        ("num_output: 4 kernel_h: 3 kernel_w: 5", "3x5, stride 1x1", (6, 4, 4), 3 * 15 * 4 + 4),
        ("num_output: 4 kernel_size: 3 stride: 1 stride: 2", "3x3, stride 1x2", (6, 3, 4), 3 * 9 * 4 + 4),
        ("num_output: 4 kernel_size: 3 dilation: 2 bias_term: false", "dilation 2x2", (4, 4, 4), 3 * 9 * 4),
    ],
    ids=["kernel", "stride", "dilation"],
)
def test_a_convolution_we_have_no_word_for_is_foreign_with_its_size(tmp_path, settings, detail, shape, parameters):
    reading, found = conv_of(tmp_path, settings)
    assert isinstance(found, Foreign)
    assert found.kind == "Convolution" and detail in found.detail
    assert (found.output_shape, found.parameters) == (shape, parameters)
    assert isinstance(reading.layers[1], Dense)


def caffes_pool(length, size, stride, pad):
    """The windows of PoolingLayer::Reshape and Forward_cpu in one direction: (first, last + 1) of the true pixels."""
    count = math.ceil((length + 2 * pad - size) / stride) + 1
    if pad and (count - 1) * stride >= length + pad:
        count -= 1
    starts = [place * stride - pad for place in range(count)]
    return [(max(start, 0), min(start + size, length)) for start in starts]


def our_pool(length, size, stride, before, after):
    count = (length + before + after - size) // stride + 1
    starts = [place * stride - before for place in range(count)]
    return [(max(start, 0), min(start + size, length)) for start in starts]


POOLS = [
    (length, size, stride, pad)
    for length in range(1, 12) for size in range(1, 5) for stride in range(1, 5) for pad in range(size)
    if length + 2 * pad - size > -stride
]  # fmt: skip


def test_pools_see_the_same_pixels_as_caffes_in_every_size(tmp_path):
    for length, size, stride, pad in POOLS:
        body = f"pooling_param {{ kernel_size: {size} stride: {stride} pad: {pad} }}"
        _, pool = only(tmp_path, "Pooling", body, (3, length, length + 1))
        assert isinstance(pool, MaxPool)
        top, bottom, left, right = pool.padding
        for side, before, after in ((length, top, bottom), (length + 1, left, right)):
            assert our_pool(side, size, stride, before, after) == caffes_pool(side, size, stride, pad)
            rounding_down = (side + 2 * pad - size) // stride + 1
            if len(caffes_pool(side, size, stride, pad)) == rounding_down:
                assert (before, after) == (pad, pad)  # nothing is added where rounding up changes nothing


def test_floor_rounding_global_pools_and_spelled_out_sides_are_read(tmp_path):
    _, floor = only(tmp_path, "Pooling", "pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }")
    assert isinstance(floor, MaxPool) and floor.padding == Padding()
    _, whole = only(tmp_path, "Pooling", "pooling_param { global_pooling: true }")
    assert isinstance(whole, MaxPool) and (whole.size, whole.stride) == (8, 1)
    settings = "kernel_h: 2 kernel_w: 2 stride_h: 2 stride_w: 2 pad_h: 0 pad_w: 1"
    _, spelled = only(tmp_path, "Pooling", f"pooling_param {{ {settings} }}")
    assert isinstance(spelled, MaxPool) and spelled.padding == Padding(0, 0, 1, 1)


def test_windows_beyond_the_map_are_remarked_on(tmp_path):
    reading, pool = only(tmp_path, "Pooling", "pooling_param { kernel_size: 1 stride: 7 }")
    assert isinstance(pool, MaxPool) and reading.remarks == ()  # windows at 0 and 7 of 8 pixels
    reading, pool = only(tmp_path, "Pooling", "pooling_param { kernel_size: 1 stride: 3 }")  # at 0, 3, 6 and 9
    assert isinstance(pool, MaxPool)
    assert reading.remarks[0].startswith("x: its last windows see no pixel")


def test_average_pools_are_foreign_and_their_size_goes_on(tmp_path):
    reading, pool = only(tmp_path, "Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 }")
    assert isinstance(pool, Foreign)
    assert (pool.kind, pool.detail, pool.output_shape) == (
        "Pooling",
        "average 3x3, stride 2x2, padding 0/1/0/1",
        (4, 4, 3),
    )
    assert [type(layer) for layer in reading.layers] == [Foreign, Dense]


def test_lrn_is_put_on_the_plain_sum(tmp_path):
    _, norm = only(tmp_path, "LRN", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 k: 2 }")
    assert isinstance(norm, LRN)
    assert (norm.size, norm.alpha, norm.beta, norm.k, norm.groups) == (5, 2e-5, 0.75, 2.0, 1)
    _, plain = only(tmp_path, "LRN", "")
    assert isinstance(plain, LRN) and (plain.size, plain.alpha, plain.k) == (5, 0.2, 1.0)


def test_lrn_within_a_channel_is_a_spatial_norm_that_ignores_k(tmp_path):
    body = "lrn_param { local_size: 3 alpha: 0.9 beta: 0.75 k: 2 norm_region: WITHIN_CHANNEL }"
    reading, norm = only(tmp_path, "LRN", body)
    assert isinstance(norm, SpatialNorm)
    assert (norm.size, norm.alpha, norm.beta, norm.k) == (3, 0.9 / 9, 0.75, 1.0)
    assert reading.remarks == ("x: k = 2 is ignored: within a channel Caffe always takes 1",)


def test_activations_and_dropout(tmp_path):
    assert isinstance(only(tmp_path, "TanH", "")[1], Tanh)
    leaky = only(tmp_path, "ReLU", "relu_param { negative_slope: 0.1 }")[1]
    assert isinstance(leaky, Foreign) and (leaky.kind, leaky.detail) == ("ReLU", "negative slope 0.1")
    dropped = only(tmp_path, "Dropout", "dropout_param { dropout_ratio: 0.3 }")[1]
    assert isinstance(dropped, Dropout)
    assert (dropped.rate, dropped.scaling) == (0.3, DropoutScaling.IN_TRAINING)


@pytest.mark.parametrize(
    ("kind", "body", "parameters"),
    [
        ("BatchNorm", "", 7), ("Scale", "scale_param { bias_term: true }", 6), ("Scale", "", 3), ("PReLU", "", 3),
        ("PReLU", "prelu_param { channel_shared: true }", 1), ("Bias", "", 3), ("Sigmoid", "", 0), ("ELU", "", 0),
    ],
)  # fmt: skip
def test_what_has_no_class_is_foreign_and_the_rest_is_read(tmp_path, kind, body, parameters):
    reading, found = only(tmp_path, kind, body)
    assert isinstance(found, Foreign)
    assert (found.kind, found.parameters, found.output_shape, found.source) == (kind, parameters, (8, 8, 3), "x")
    assert isinstance(reading.layers[1], Dense)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("Flatten", ""), ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }"), ("Split", "")],
)
def test_rearrangements_before_a_dense_layer_are_left_out(tmp_path, kind, body):
    reading, first = only(tmp_path, kind, body)
    assert isinstance(first, Dense) and len(reading.layers) == 1


def test_an_unknown_kind_hides_the_shapes_after_it_and_says_so(tmp_path):
    reading, first = only(tmp_path, "Tile", "")
    assert [type(layer) for layer in reading.layers] == [Foreign, Foreign]
    assert isinstance(first, Foreign) and first.kind == "Tile"
    assert reading.layers[1].detail == "the shape of its input is not known"


def starts(folder, filler, bias=""):
    body = f"convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ {filler} }} {bias} }}"
    reading, conv = only(folder, "Convolution", body)
    assert isinstance(conv, Conv)
    return conv.init, conv.init_bias, reading


@pytest.mark.parametrize(
    ("filler", "init", "said"),
    [
        ("type: 'gaussian' std: 0.03", 0.03, ""),
        ("type: 'gaussian'", 1.0, ""),
        ("type: 'gaussian' std: 0.1 mean: 0.5", 0.1, "weights start around 0.5"),
        ("type: 'gaussian' std: 0.1 sparse: 7", 0.1, "sparse"),
        ("type: 'constant'", 0.0, ""),
        ("type: 'constant' value: 2", 0.0, "all start as 2"),
        ("type: 'msra'", math.sqrt(2 / 27), ""),
        ("type: 'msra' variance_norm: FAN_OUT", math.sqrt(2 / 36), ""),
        ("type: 'xavier' variance_norm: AVERAGE", Init.GLOROT, ""),
        ("type: 'xavier'", math.sqrt(1 / 27), "xavier"),
        ("type: 'uniform' min: -1 max: 1", 2 / math.sqrt(12), "uniform between -1 and 1"),
        ("type: 'bilinear'", 0.0, "'bilinear'"),
    ],
)
def test_fillers_become_initial_weights_or_are_remarked_on(tmp_path, filler, init, said):
    found, bias, reading = starts(tmp_path, filler)
    assert found == (init if isinstance(init, Init) else pytest.approx(init, rel=1e-15))
    assert bias == 0
    remarks = [remark for remark in reading.remarks if remark.startswith("x: ")]
    assert len(remarks) == bool(said)
    assert all(said in remark for remark in remarks)
    assert reading.silent == {"preprocessing"}


def test_bias_fillers_are_read(tmp_path):
    assert starts(tmp_path, "type: 'gaussian' std: 0.01", "bias_filler { value: 0.1 }")[:2] == (0.01, 0.1)
    _, bias, reading = starts(tmp_path, "type: 'gaussian'", "bias_filler { type: 'gaussian' std: 0.1 }")
    assert bias == 0 and any("biases start by the filler 'gaussian'" in remark for remark in reading.remarks)


def test_remarks_on_many_layers_are_said_once(tmp_path):
    names = ["data", *"abcde"]
    filled = "inner_product_param { num_output: 3 weight_filler { type: 'xavier' } }"
    layers = [layer(name, "InnerProduct", before, name, filled) for before, name in itertools.pairwise(names)]
    reading = caffe_text.read(tmp_path, tiny(*layers))
    assert len(reading.remarks) == 1 and reading.remarks[0].startswith("a, b, c and 2 more: weights start")


def test_a_loss_other_than_the_usual_is_remarked_on(tmp_path):
    text = tiny(dense(1, "data", 2, ""), layer("l", "HingeLoss", "fc1 data", "l"))
    assert caffe_text.read(tmp_path, text).remarks == (
        "it is trained with HingeLoss, not with softmax and cross-entropy",
    )


def test_a_softmax_inside_the_network_is_foreign(tmp_path):
    reading, found = only(tmp_path, "Softmax", "")
    assert isinstance(found, Foreign) and found.kind == "Softmax" and len(reading.layers) == 2


def test_a_shortcut_is_foreign_and_never_a_chain(tmp_path):
    """A residual block: the sum takes the input too."""
    block = "convolution_param { num_output: 3 kernel_size: 3 pad: 1 }"
    text = tiny(
        layer("a", "Convolution", "data", "a", block), layer("b", "ReLU", "a", "b"),
        layer("sum", "Eltwise", "b data", "x"), END,
    )  # fmt: skip
    reading = caffe_text.read(tmp_path, text)
    kinds = [type(layer).__name__ for layer in reading.layers]
    assert kinds == ["Conv", "ReLU", "Foreign", "Dense"]
    assert reading.foreign[0].detail == "of 2 inputs" and reading.foreign[0].output_shape == (8, 8, 3)


def test_parallel_branches_are_foreign_but_the_first(tmp_path):
    def branch(name: str, kernels: int) -> str:
        return layer(name, "Convolution", "data", name, f"convolution_param {{ num_output: {kernels} kernel_size: 1 }}")

    reading = caffe_text.read(tmp_path, tiny(branch("a", 4), branch("b", 5), layer("c", "Concat", "a b", "x"), END))
    first, second, joined, last = reading.layers
    assert isinstance(first, Conv) and isinstance(last, Dense)
    assert isinstance(second, Foreign) and isinstance(joined, Foreign)
    assert (second.detail, second.parameters) == ("reads 'data', not the layer before", 20)
    assert joined.output_shape == (8, 8, 9)


def test_a_side_way_is_foreign_and_says_that_it_is_one(tmp_path):
    outputs = "inner_product_param { num_output: 7 }"
    text = tiny(
        layer("x", "ReLU", "data", "x"), layer("side", "InnerProduct", "x", "side", outputs),
        layer("extra", "SoftmaxWithLoss", "side data", "extra"), END,
    )  # fmt: skip
    reading = caffe_text.read(tmp_path, text)
    assert [layer.source for layer in reading.layers] == ["x", "fc9", "side"]
    assert reading.foreign[0].detail == "beside the way to the logits"
    assert (reading.foreign[0].parameters, reading.classes) == (7 * 193, 2)


def test_a_blob_written_again_is_another_value(tmp_path):
    """After the in-place ReLU the name x means its output; both layers that follow read that, so one is a branch."""
    text = tiny(layer("x", "TanH", "data", "x"), layer("r", "ReLU", "x"), layer("y", "TanH", "x", "y"),
                layer("z", "Eltwise", "x y", "z"), dense(9, "z", 2, ""))  # fmt: skip
    reading = caffe_text.read(tmp_path, text)
    assert [type(layer).__name__ for layer in reading.layers] == ["Tanh", "ReLU", "Tanh", "Foreign", "Dense"]


def test_what_was_read_fits_together(tmp_path):
    text = tiny(
        layer("x", "Convolution", "data", "x", "convolution_param { num_output: 4 kernel_size: 3 group: 1 }"),
        layer("p", "Pooling", "x", "p", "pooling_param { kernel_size: 3 stride: 2 }"),
        dense(1, "p", 6, ""), layer("r", "ReLU", "fc1"), dense(2, "fc1", 5, ""), layer("s", "Softmax", "fc2", "s"),
    )  # fmt: skip
    network = caffe_text.read(tmp_path, text).network()
    assert [row.output_shape for row in derive.facts(network)] == [(6, 6, 4), (3, 3, 4), (6,), (6,), (5,)]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Convolution", "convolution_param { num_output: 0 kernel_size: 3 }"),
        ("Convolution", "convolution_param { num_output: 4 }"),
        ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 stride: 0 }"),
        ("Convolution", "convolution_param { num_output: 4 kernel_size: 9 }"),
        ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 group: 2 }"),
        ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 group: 0 }"),
        ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 kernel_h: 3 }"),
        ("Convolution", "convolution_param { num_output: 4000000000 kernel_size: 1 }"),
        ("InnerProduct", "inner_product_param { }"),
        ("LRN", "lrn_param { local_size: 4 }"),
        ("LRN", "lrn_param { alpha: nan }"),
        ("Pooling", "pooling_param { kernel_size: 3 stride: 0 }"),
        ("Pooling", "pooling_param { kernel_size: 2 pad: 2 }"),
        ("Pooling", "pooling_param { kernel_size: 30 }"),
        ("Pooling", ""),
        ("Pooling", "pooling_param { global_pooling: true stride: 2 }"),
        ("Dropout", "dropout_param { dropout_ratio: 1 }"),
        ("Dropout", "dropout_param { dropout_ratio: nan }"),
        (
            "Convolution",
            "convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: 'gaussian' std: inf } }",
        ),
    ],
)
def test_what_caffe_refuses_is_refused_by_the_layers_name(tmp_path, kind, body):
    with pytest.raises(FormatError, match="'x'"):
        only(tmp_path, kind, body)
