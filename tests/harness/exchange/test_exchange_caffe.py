"""Caffe's .caffemodel: files written byte by byte, read, and their networks run as Caffe would run them."""

from __future__ import annotations

import sys
from pathlib import Path

import caffe_bytes as made
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.errors import CannotMeasure
from harness.exchange import caffe_file, import_command, opening, placing
from harness.exchange.foreign import ForeignWeights, FormatError
from harness.reading import caffe_network, caffe_schema
from impls import catalog, derive, weights
from impls.oracle import network as oracle
from impls.reading import Reading
from impls.spec import Conv, Dense, MaxPool, Network, Padding, ReLU

WAYS = {
    "new": {},
    "old": {"is_old": True},
    "old-legacy-sides": {"is_old": True, "legacy": True},
    "new-legacy-sides": {"legacy": True},
    "new-unpacked": {"unpacked": True},
    "old-unpacked": {"is_old": True, "unpacked": True, "legacy": True},
    "new-double": {"double": True},
    "old-double-unpacked": {"is_old": True, "double": True, "unpacked": True},
}
EVERY_WAY = pytest.mark.parametrize("how", WAYS.values(), ids=list(WAYS))


def of_bytes(folder: Path, data: bytes) -> ForeignWeights:
    path = folder / "net.caffemodel"
    path.write_bytes(data)
    return caffe_file.read(path)


def caffes_logits(given: made.Arrays, images: NDArray[np.float64]) -> NDArray[np.float64]:
    """The tiny network in Caffe's own order of everything: images [N, 3, H, W] are BGR. Loops, no library of ours."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    count, side = len(images), made.SIDE
    maps = np.zeros((count, made.KERNELS, side + 1, side + 1))  # one row and column more: pooling rounds up
    maps[:, :, side] = maps[:, :, :, side] = -np.inf
    for row in range(side):
        for column in range(side):
            window = padded[:, :, row : row + 3, column : column + 3]
            maps[:, :, row, column] = np.maximum(np.einsum("nihw,oihw->no", window, given.conv) + given.conv_bias, 0)
    pooled = maps.reshape(count, made.KERNELS, 4, 2, 4, 2).max(axis=(3, 5))
    return pooled.reshape(count, -1) @ given.dense.T.astype(np.float64) + given.dense_bias


@EVERY_WAY
def test_the_network_that_was_read_computes_what_caffes_computes(tmp_path, how):
    found = of_bytes(tmp_path, made.tiny(**how))
    assert found.reading is not None
    network = found.reading.network()
    arrays = dict(placing.tensors(found, network, placing.Layout(found.flatten, found.colours)))
    images = np.random.default_rng(1).normal(size=(2, made.SIDE, made.SIDE, 3))  # RGB
    ours = oracle.forward(network, arrays, images)[network.logits]
    bgr = images[..., ::-1].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(ours, caffes_logits(made.arrays(), bgr), rtol=1e-12, atol=1e-12)


@EVERY_WAY
def test_a_files_arrays_are_those_that_were_written(tmp_path, how):
    found, given = of_bytes(tmp_path, made.tiny(**how)), made.arrays()
    conv, dense = found.layers
    assert [layer.name for layer in found.layers] == ["conv1", "fc2"]
    assert (conv.axes, dense.axes) == ("oihw", "oi")
    assert conv.bias is not None and dense.bias is not None
    read = [conv.weight.read(), conv.bias.read(), dense.weight.read(), dense.bias.read()]
    assert [tensor.dtype for tensor in (conv.weight, dense.bias)] == ["float64" if "double" in how else "float32"] * 2
    for array, expected in zip(read, given, strict=True):
        assert array.shape == expected.shape
        np.testing.assert_array_equal(array, expected)


def test_a_file_says_what_its_format_implies(tmp_path):
    found = of_bytes(tmp_path, made.tiny())
    assert (found.format, found.flatten, found.colours, found.inputs) == ("Caffe", "chw", "bgr", "caffe")
    assert found.hint == 'its net is called "TinyNet"'
    assert found.notes == ()
    assert found.network is None


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_the_structure_of_the_file_is_read_with_its_weights(tmp_path, is_old):
    reading = of_bytes(tmp_path, made.tiny(is_old=is_old)).reading
    assert isinstance(reading, Reading)
    assert (reading.height, reading.width, reading.channels, reading.classes) == (7, 7, 3, 5)
    conv, relu, pool, dense = reading.layers
    assert isinstance(conv, Conv) and (conv.kernels, conv.size, conv.padding) == (4, 3, Padding.same(1))
    assert isinstance(relu, ReLU)
    assert isinstance(pool, MaxPool) and pool.padding == Padding(bottom=1, right=1)
    assert isinstance(dense, Dense) and (dense.name, dense.units) == ("fc2", 5)
    assert reading.silent == {"init", "preprocessing"}


def test_the_structure_alone_is_read_for_an_audit(tmp_path):
    found = of_bytes(tmp_path, made.tiny())
    reading = caffe_network.read(found.path)
    assert found.reading is not None and reading.layers == found.reading.layers
    assert (reading.name, reading.source) == ("net", "net.caffemodel")
    found.path.write_bytes(made.tiny()[:500])
    with pytest.raises(FormatError, match="cut short"):
        caffe_network.read(found.path)


def test_files_are_opened_by_their_suffix(tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(made.tiny())
    assert opening.read(path).format == "Caffe"


def test_numbers_in_several_pieces_are_put_together(tmp_path):
    given = made.arrays()
    flat = given.conv.ravel()
    parts = made.floats(5, flat[:10]) + made.floats(5, flat[10:13], is_packed=False) + made.floats(5, flat[13:])
    steps = made.steps(given)
    shape = made.inside(7, made.blob_shape(given.conv.shape))
    gradient = made.floats(6, flat) + made.floats(6, flat[:3], is_packed=False)  # which is left out
    steps[0] = steps[0]._replace(blobs=(gradient + parts + shape, steps[0].blobs[1]))
    found = of_bytes(tmp_path, made.net(steps, made.INPUT, is_old=False))
    np.testing.assert_array_equal(found.layers[0].weight.read(), given.conv)


def test_more_unpacked_numbers_than_are_looked_at_together_are_read(tmp_path):
    weight = np.arange(5 * 40_000, dtype=np.float32).reshape(5, -1)
    blobs = (made.blob(weight, unpacked=True), made.blob(np.zeros(5, np.float32)))
    step = made.Step("fc1", "data", "fc1", "InnerProduct", 14, made.number(1, 5), 117, 17, blobs)
    found = of_bytes(tmp_path, made.net([step], (1, 1, 200, 200), is_old=False))
    np.testing.assert_array_equal(found.layers[0].weight.read(), weight)


def test_a_transposed_dense_layer_is_said_to_be_one(tmp_path):
    given = made.arrays()
    steps = made.steps(given)
    blobs = (made.blob(np.ascontiguousarray(given.dense.T)), made.blob(given.dense_bias))
    transposed = made.number(1, made.CLASSES) + made.number(6, 1)
    steps[3] = steps[3]._replace(parameters=transposed, blobs=blobs)
    found = of_bytes(tmp_path, made.net(steps, made.INPUT, is_old=False))
    assert found.layers[1].axes == "io"
    assert found.layers[1].canonical_shape == (64, 5)
    np.testing.assert_array_equal(found.layers[1].weight.read().T, given.dense)


def test_a_layer_without_biases_has_none_and_note_and_reading_say_so(tmp_path):
    steps = made.steps(made.arrays())
    steps[0] = steps[0]._replace(parameters=steps[0].parameters + made.number(2, 0), blobs=steps[0].blobs[:1])
    found = of_bytes(tmp_path, made.net(steps, made.INPUT, is_old=False))
    assert found.layers[0].bias is None
    assert found.notes == ("without biases: conv1",)
    assert found.reading is not None and found.reading.biasless == ("conv1",)


def test_blobs_without_a_structure_are_read_and_a_note_says_so(tmp_path):
    bare = [step._replace(parameters=b"", field=0) for step in made.steps(made.arrays()) if step.blobs]
    data = b"".join(made.inside(100, made.layer(step._replace(bottom="", top=""))) for step in bare)
    found = of_bytes(tmp_path, data)
    assert [layer.name for layer in found.layers] == ["conv1", "fc2"]
    assert found.reading is None
    assert "structure" in found.notes[0]


def test_fields_that_only_a_fork_of_caffe_has_are_passed_over(tmp_path):
    fork = made.inside(2047, b"\x08\x01") + made.number(1999, 7) + made.single(1998, 1.0)
    found = of_bytes(tmp_path, fork + made.tiny() + fork)
    assert len(found.layers) == 2


def test_the_colours_of_a_data_layers_images_are_counted_by_the_first_kernels(tmp_path):
    """A file that Caffe saved after training names its database, and that knows how many channels there are."""
    given = made.arrays()
    data = (
        made.inside(1, "data") + made.inside(2, "Data") + made.inside(4, "data")
        + made.inside(100, made.number(3, made.SIDE) + made.inside(4, "mean.binaryproto"))
    )  # fmt: skip
    layers = b"".join(made.inside(100, made.layer(step)) for step in made.steps(given))
    reading = of_bytes(tmp_path, made.inside(100, data) + layers).reading
    assert reading is not None
    assert (reading.channels, reading.height, reading.preprocessing) == (3, 7, "mean-image")
    assert reading.remarks == ()


def test_the_oldest_format_is_refused_with_what_converts_it(tmp_path):
    old = made.inside(1, made.inside(1, "conv1") + made.inside(2, "conv") + made.inside(50, made.blob(np.ones(3))))
    with pytest.raises(FormatError, match=r"oldest format.*upgrade_net_proto"):
        of_bytes(tmp_path, made.inside(2, old))


def test_without_protobuf_it_is_said_what_installs_it(tmp_path, monkeypatch):
    caffe_schema._classes.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(CannotMeasure, match=r"protobuf.*pip install"):
        of_bytes(tmp_path, made.tiny())


def test_the_schema_agrees_with_the_bytes_on_what_a_file_says(tmp_path):
    """The message classes and this folder's encoder were written apart from each other."""
    net = caffe_schema.parsed("NetParameter", made.tiny(is_old=True, legacy=True), "it")
    assert (net.name, list(net.input_dim)) == ("TinyNet", [1, 3, 7, 7])
    assert [layer.name for layer in net.layers] == ["conv1", "relu1", "pool1", "fc2", "prob"]
    assert list(net.layers[0].convolution_param.kernel_size) == [3]
    assert net.layers[0].convolution_param.bias_term is True
    assert caffe_schema.blob_shape(net.layers[3].blobs[0]) == (1, 1, 5, 64)
    np.testing.assert_array_equal(net.layers[0].blobs[0].data, made.arrays().conv.ravel())


def in_caffes_layout(network: Network, arrays: dict[str, NDArray[np.float32]], *, is_old: bool) -> bytes:
    """Weights of a network of the catalog as Caffe would have saved them: blobs and types, the older ones 4-D."""
    field, layer = (2, made.old_layer) if is_old else (100, made.layer)
    data = b""
    for place, row in enumerate(row for row in derive.facts(network) if row.parameters):
        name = row.layer.name
        weight = arrays[f"{name}/weight"]
        if isinstance(row.layer, Conv):
            kind, old_kind = "Convolution", made.V1_CONVOLUTION
            weight = (weight[:, :, ::-1] if place == 0 else weight).transpose(3, 2, 0, 1)
        else:
            kind, old_kind = "InnerProduct", made.V1_INNER_PRODUCT
            weight = weight.reshape(*row.input_shape, -1)
            weight = np.moveaxis(weight, (-1, -2), (0, 1)).reshape(len(arrays[f"{name}/bias"]), -1)
        blobs = tuple(made.blob(array, legacy=is_old) for array in (weight, arrays[f"{name}/bias"]))
        data += made.inside(field, layer(made.Step(name, "", "", kind, old_kind, blobs=blobs)))
    return data


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_an_import_gives_back_the_weights_bit_for_bit(tmp_path, is_old, capsys):
    network = catalog.get("cifar-4layer")
    arrays = weights.generate(network, "scaled", 5)
    file, out = tmp_path / "net.caffemodel", tmp_path / "net.safetensors"
    file.write_bytes(in_caffes_layout(network, arrays, is_old=is_old))
    import_command.run(import_command.ImportOptions(file=file, out=out, preprocessing="none"))
    assert weights.load(out, network).content_hash == weights.content_hash(arrays)
    printed = capsys.readouterr().out
    assert "cifar-4layer, from Caffe net.caffemodel" in printed
    assert "BGR to RGB" in printed
