"""NumPy's files: the converters' dictionaries, archives of arrays, our own, and what no reader may believe."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import made_python2
import numpy as np
import pytest

from harness.exchange import npy_header
from harness.exchange.foreign import FormatError
from harness.exchange.numpy_file import read

RANDOM = np.random.default_rng(0)


def drawn(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


# Out of order, as the keys of a Python 2 dictionary are.
LAYERS = {
    "fc6": (drawn(54, 7), drawn(7)),
    "conv10": (drawn(3, 3, 2, 6), drawn(6)),
    "conv1": (drawn(5, 5, 3, 4), drawn(4)),
    "fc7": (drawn(7, 2), drawn(2)),
    "conv2": (drawn(3, 3, 4, 4), drawn(4)),
}
IN_ORDER = ["conv1", "conv2", "conv10", "fc6", "fc7"]
PAIRS = {name: [weight, bias] for name, (weight, bias) in LAYERS.items()}
NAMED = {name: {"weights": weight, "biases": bias} for name, (weight, bias) in LAYERS.items()}
FLAT = {f"{name}/{part}": array for name, both in LAYERS.items() for part, array in zip("Wb", both, strict=True)}
DICTIONARIES: dict[str, Any] = {
    "pairs": PAIRS, "named": NAMED, "flat": FLAT, "tuples": {name: tuple(both) for name, both in PAIRS.items()},
    "in a scope": {"alexnet": NAMED},
}  # fmt: skip


def assert_converted(path: Path) -> None:
    found = read(path)
    assert [layer.name.removeprefix("alexnet/") for layer in found.layers] == IN_ORDER
    for layer in found.layers:
        weight, bias = LAYERS[layer.name.removeprefix("alexnet/")]
        assert layer.axes == ("hwio" if weight.ndim == 4 else "io")
        np.testing.assert_array_equal(layer.weight.read(), weight)
        assert layer.bias is not None
        np.testing.assert_array_equal(layer.bias.read(), bias)
    assert (found.format, found.flatten, found.colours, found.inputs) == ("NumPy", "hwc", "bgr", "caffe")
    assert len(found.notes) == 1
    assert found.notes[0].startswith("taken for a converter's file")


@pytest.mark.parametrize("form", DICTIONARIES)
def test_a_converters_dictionary(tmp_path, form):
    path = tmp_path / "bvlc_alexnet.npy"
    np.save(path, DICTIONARIES[form])
    assert_converted(path)


def npy(body: bytes, kind: str = "|O", shape: str = "()", version: int = 1) -> bytes:
    """A .npy of the kind's header and these bytes."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    size = struct.pack("<H", len(text)) if version == 1 else struct.pack("<I", len(text))
    return npy_header.MAGIC + bytes([version, 0]) + size + text + body


@pytest.mark.parametrize("protocol", [0, 2])
def test_a_converters_dictionary_of_python_2(tmp_path, protocol):
    """As np.save pickled it there: an array without sides that holds one object."""
    head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    dtype = b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI63\ntb"
    value = made_python2.dumps(PAIRS, protocol).removeprefix(b"\x80\x02")[:-1]
    prefix = b"\x80\x02" if protocol else b""
    body = prefix + head + b"(I1\n(t" + dtype + b"I00\n(l" + value + b"atb."
    assert pickle.loads(body, encoding="latin1").item()["conv1"][0].shape == (5, 5, 3, 4)
    path = tmp_path / "alexnet.npy"
    path.write_bytes(npy(body))
    assert_converted(path)


@pytest.mark.parametrize("names", ["{}_W {}_b", "{}_weights {}_biases", "{}/weights {}/biases", "{}.w {}.b"])
@pytest.mark.parametrize("packed", [False, True])
def test_archives_by_the_usual_names(tmp_path, names, packed):
    weight_name, bias_name = names.split()
    arrays: dict[str, Any] = {}
    for name, (weight, bias) in LAYERS.items():
        arrays |= {weight_name.format(name): weight, bias_name.format(name): bias}
    path = tmp_path / "net.npz"
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    assert_converted(path)


@pytest.mark.parametrize("kind", ["<f2", "<f8", ">f4", ">f8"])
def test_other_floats(tmp_path, kind):
    path = tmp_path / "net.npz"
    weight = np.asfortranarray(LAYERS["conv1"][0]).astype(kind)
    arrays: dict[str, Any] = {"conv1_W": weight, "epoch": np.array(3)}
    np.savez(path, **arrays)
    found = read(path)
    np.testing.assert_array_equal(found.layers[0].weight.read(), weight)
    assert found.layers[0].weight.dtype == np.dtype(kind).name
    assert found.layers[0].bias is None
    assert found.notes[1:] == ("left out, since they are no weights: 'epoch'",)


def test_our_own_archive(tmp_path):
    path = tmp_path / "net.npz"
    said = np.array(json.dumps({"network": "caffe", "preprocessing": "tüxt"}))
    arrays = {f"{name}/{part}": LAYERS[name][place] for name in LAYERS for place, part in enumerate(("weight", "bias"))}
    np.savez(path, alexbench=said, **arrays)
    found = read(path)
    assert (found.network, found.preprocessing) == ("caffe", "tüxt")
    assert (found.colours, found.flatten, found.inputs, found.notes) == ("rgb", "hwc", None, ())
    assert [layer.name for layer in found.layers] == IN_ORDER


def test_a_state_dict_saved_by_numpy_is_told_by_its_shapes(tmp_path):
    path = tmp_path / "net.npz"
    arrays: dict[str, Any] = {"features.0.weight": drawn(4, 3, 5, 5), "classifier.1.weight": drawn(7, 54)}
    np.savez(path, **arrays)
    found = read(path)
    assert [layer.canonical_shape for layer in found.layers] == [(5, 5, 3, 4), (54, 7)]
    assert (found.colours, found.flatten, found.inputs) == ("rgb", "chw", None)
    assert found.notes[0].startswith("taken for PyTorch's layout")


@pytest.mark.parametrize("names", ["{}/kernel:0 {}/bias:0", "{}/weights:0 {}/biases:0"])
def test_variables_of_tensorflow_by_their_own_names(tmp_path, names):
    path = tmp_path / "net.npz"
    weight_name, bias_name = names.split()
    weight, bias = LAYERS["conv1"]
    np.savez(path, **{weight_name.format("conv1"): weight, bias_name.format("conv1"): bias})
    (layer,) = read(path).layers
    assert layer.name == "conv1"
    np.testing.assert_array_equal(layer.weight.read(), weight)
    assert layer.bias is not None
    np.testing.assert_array_equal(layer.bias.read(), bias)


def test_kernels_of_flax(tmp_path):
    path = tmp_path / "net.npz"
    arrays: dict[str, Any] = {"Conv_0/kernel": drawn(5, 5, 3, 4), "Conv_0/bias": drawn(4)}
    np.savez(path, **arrays)
    found = read(path)
    assert (found.layers[0].axes, found.colours, found.flatten, found.inputs) == ("hwio", "rgb", "hwc", None)


def zipped(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


SHELL = npy(b"cos\nsystem\n(S'touch x'\ntR.")
HUGE = "(158114, 158114)"
HOSTILE = {
    "a shell": (SHELL, r"asks for (os|posix)\.system, which no dictionary of arrays does"),
    "a shell in an archive": (zipped({"a_W.npy": SHELL}), "is of kind '|O', expected numbers"),
    "one array": (npy(bytes(16), "<f4", "(2, 2)"), r"holds one array of shape \(2, 2\), expected a dictionary"),
    "100 GB": (zipped({"a_W.npy": npy(bytes(16), "<f4", HUGE)}), r"\(158114, 158114\) of float32 are not"),
    "no numbers": (zipped({"a_W.npy": npy(b"", "<f4", "(0, 2)")}), r"has shape \(0, 2\)"),
    "sides without end": (zipped({"a_W.npy": npy(b"", "<f4", "(" + "1, " * 40 + ")")}), "no row of whole numbers"),
    "negative sides": (zipped({"a_W.npy": npy(bytes(16), "<f4", "(-2, -2)")}), "does not name one kind"),
    "a program for a shape": (zipped({"a_W.npy": npy(bytes(16), "<f4", "(print(1), 2)")}), "does not name one kind"),
    "a record": (zipped({"a_W.npy": npy(bytes(16), "f4, f4", "(2, 2)")}), "does not name one kind"),
    "a kind of nothing": (zipped({"a_W.npy": npy(bytes(16), "<f1", "(4, 4)")}), "is of kind '<f1', expected numbers"),
    "text without end": (zipped({"alexbench.npy": npy(bytes(16), "<U999999999")}), "which NumPy does not know"),
    "text that is none": (zipped({"alexbench.npy": npy(b"\xff" * 8, "<U2")}), "it is no text"),
    "numbers for text": (zipped({"alexbench.npy": npy(bytes(8), "<f8")}), "it is no text"),
    "a header of gigabytes": (npy_header.MAGIC + b"\2\0\xff\xff\xff\x7f" + bytes(100), "would have 2,147,483,659"),
    "a header cut short": (npy_header.MAGIC + b"\1\0\x76\0{'descr'", "does not name one kind"),
    "another version": (npy_header.MAGIC + b"\x09\0\0\0", "does not begin as a .npy file"),
    "no array in an archive": (zipped({"a.txt": b"hello"}), "does not begin as a .npy file"),
    "an archive of nothing": (zipped({}), "it has nothing"),
    "a name twice": (
        npy(b"}(X\x01\x00\x00\x00aNX\x01\x00\x00\x00aNu."), "two entries called 'a'"
    ),
    "a list": (npy(b"](K\x01K\x02e."), "holds no dictionary of layers' arrays"),
    "numbers for layers": (npy(b"}X\x01\x00\x00\x00aK\x01s."), "'a' is no array"),
    "keys that are numbers": (npy(b"}K\x01]s."), "has a key that is no name"),
    "a dictionary in itself": (npy(b"}q\x00X\x01\x00\x00\x00ah\x00s."), "'a/a/a/a' is no array"),
    "half of a pickle": (npy(pickle.dumps(np.array(PAIRS, object), 3)[:500]), "it ends at byte"),
    "not a zip": (b"PK\x03\x04" + bytes(50), "is no whole zip archive"),
    "nothing": (b"", "is no whole zip archive"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_or_damaged_is_refused(tmp_path, name):
    data, message = HOSTILE[name]
    path = tmp_path / "net.npy"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(FormatError, match=message) as caught:
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 3_000_000


def test_dictionaries_that_are_there_many_times_are_not_walked_as_often(tmp_path):
    """Each of four levels holds one dictionary 200 times: 1.6 billion arrays to whoever walks them all."""
    inner: Any = {"W": np.zeros((2, 2), np.float32)}
    for _ in range(3):
        inner = {str(place): inner for place in range(200)}
    path = tmp_path / "net.npy"
    np.save(path, inner)
    assert path.stat().st_size < 100_000
    with pytest.raises(FormatError, match="has over 20,000 entries"):
        read(path)
