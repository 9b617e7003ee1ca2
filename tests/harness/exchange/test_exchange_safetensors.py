"""Safetensors of others: files that the safetensors library wrote, and headers that lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from harness.exchange.foreign import FormatError
from harness.exchange.safetensors_file import read
from impls import catalog, weights

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "features.0.weight": RANDOM.normal(size=(4, 3, 5, 5)).astype(np.float32),
    "features.0.bias": RANDOM.normal(size=4).astype(np.float32),
    "features.10.weight": RANDOM.normal(size=(6, 2, 3, 3)).astype(np.float32),
    "features.3.weight": RANDOM.normal(size=(4, 4, 3, 3)).astype(np.float32),
    "classifier.1.weight": RANDOM.normal(size=(7, 54)).astype(np.float32),
    "classifier.1.bias": RANDOM.normal(size=7).astype(np.float32),
}


@pytest.mark.parametrize("kind", ["float32", "float16", "float64"])
def test_a_file_by_the_library(tmp_path, kind):
    path = tmp_path / "net.safetensors"
    arrays = {name: array.astype(kind) for name, array in ARRAYS.items()}
    safetensors.numpy.save_file(arrays, path, metadata={"format": "pt"})
    found = read(path)
    assert [layer.name for layer in found.layers] == ["features.0", "features.3", "features.10", "classifier.1"]
    assert [layer.axes for layer in found.layers] == ["oihw", "oihw", "oihw", "oi"]
    assert (found.flatten, found.colours, found.inputs, found.notes) == ("chw", "rgb", None, ())
    for layer in found.layers:
        assert layer.weight.dtype == kind
        np.testing.assert_array_equal(layer.weight.read(), arrays[layer.weight.name])
        assert (layer.bias is None) == (f"{layer.name}.bias" not in arrays)
    assert found.layers[0].bias is not None
    np.testing.assert_array_equal(found.layers[0].bias.read(), arrays["features.0.bias"])


def test_bfloat16_is_widened_exactly(tmp_path):
    wide = np.array([[1.0, -2.5], [3.140625, 1e-38]], np.float32)
    bits = (wide.view(np.uint32) >> 16).astype("<u2")
    path = tmp_path / "net.safetensors"
    path.write_bytes(file_of({"fc.weight": entry("BF16", end=8)}, bits.tobytes()))
    ((_, as_the_library_has_it),) = safetensors.deserialize(path.read_bytes())
    assert as_the_library_has_it["dtype"] == "BF16"
    (layer,) = read(path).layers
    assert layer.weight.dtype == "bfloat16"
    np.testing.assert_array_equal(layer.weight.read(), (bits.astype(np.uint32) << 16).view(np.float32))


def test_names_of_wrappers_and_counters(tmp_path):
    path = tmp_path / "net.safetensors"
    arrays: dict[str, np.ndarray] = {f"module.{name}": array for name, array in ARRAYS.items()}
    arrays["module.steps"] = np.array([3], np.int64)
    safetensors.numpy.save_file(arrays, path)
    found = read(path)
    assert found.layers[0].name == "features.0"
    assert found.notes == (
        "left out, since they are no weights: 'module.steps'",
        'every name begins with "module.", which is left out',
    )


def test_what_our_own_export_says_of_itself(tmp_path):
    path = tmp_path / "net.safetensors"
    said = json.dumps({"network": "caffe", "preprocessing": "text"})
    safetensors.numpy.save_file(ARRAYS, path, metadata={"alexbench": said})
    assert (read(path).network, read(path).preprocessing) == ("caffe", "text")


def test_canonical_weights_need_no_import(tmp_path):
    path = tmp_path / "net.safetensors"
    weights.write(catalog.get("cifar-4layer"), "scaled", 0, path)
    with pytest.raises(FormatError, match="canonical weights of 'cifar-4layer' already: use it as it is"):
        read(path)


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: Any = "F32", shape: Any = (2, 2), begin: Any = 0, end: Any = 16) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


HUGE = 158_114
DATA = bytes(16)
TWICE = b'{"fc.weight": %s, "fc.weight": %s}' % ((json.dumps(entry()).encode(),) * 2)
HOSTILE = {
    "100 GB": (file_of({"fc.weight": entry(shape=[HUGE, HUGE], end=4 * HUGE * HUGE)}, DATA), "is truncated"),
    "more than its bytes": (file_of({"fc.weight": entry(shape=[HUGE, HUGE])}, DATA), "needs 100000147984 bytes"),
    "numbers of a thousand digits": (file_of({"a.weight": entry(shape=[10**1000] * 30)}, DATA), "has shape"),
    "sides without end": (file_of({"a.weight": entry(shape=[1] * 100_000)}, DATA), "has 100,000 sides"),
    "a header of exabytes": (file_of(b"{}", length=1 << 60), "its header would have"),
    "a name twice": (file_of(TWICE, DATA), "repeats a name"),
    "bytes shared": (
        file_of({"a.weight": entry(), "b.weight": entry()}, DATA), "starts at byte 0, expected 16"
    ),
    "bytes that are nobody's": (file_of({"a.weight": entry()}, bytes(17)), "1 bytes after its last tensor"),
    "a negative place": (file_of({"a.weight": entry(begin=-16, end=0)}, DATA), "has shape"),
    "a kind nobody knows": (file_of({"a.weight": entry("F8_E4M3")}, DATA), "has dtype 'F8_E4M3', expected F32 or"),
    "a kind that is a list": (file_of({"a.weight": entry([[[]]])}, DATA), "has dtype"),
    "an empty tensor": (file_of({"a.weight": entry(shape=[0, 2], end=0)}), r"has shape \(0, 2\)"),
    "a million brackets": (file_of(b"[" * 1_100_000), "over 1,000,000 parts"),
    "brackets": (file_of(b"[" * 100_000), "header is not JSON"),
    "no tensors": (file_of({}), "has no weights of convolutions or dense layers: it has nothing"),
    "another layer": (file_of({"a.weight": entry(shape=[4])}, DATA), r"no convolution's and no dense .* 'a\.weight'"),
    "a long name": (file_of({"a" * 10_000: entry("X")}, DATA), "tensor 'aaaa"),
    "lines in a name": (file_of({"a\nb.weight": entry()}, DATA), "no name of a tensor"),
    "nothing": (b"", "has 0 bytes and no header"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_or_damaged_is_refused(tmp_path, name):
    data, message = HOSTILE[name]
    path = tmp_path / "net.safetensors"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_a_file_cut_in_half(tmp_path):
    path = tmp_path / "net.safetensors"
    safetensors.numpy.save_file(ARRAYS, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FormatError, match="is truncated"):
        read(path)


def test_a_file_that_shrinks_before_its_values_are_read(tmp_path):
    path = tmp_path / "net.safetensors"
    safetensors.numpy.save_file(ARRAYS, path)
    found = read(path)
    Path(path).unlink()
    path.write_bytes(b"short")
    with pytest.raises(FormatError, match="is truncated: it lacks bytes"):
        found.layers[0].weight.read()
