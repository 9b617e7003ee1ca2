"""Mean files: Caffe's .binaryproto, its users' .npy, mean colours; what is none of these."""

from __future__ import annotations

import struct
from pathlib import Path

import caffe_bytes as made
import numpy as np
import pytest

from harness.exchange.foreign import FormatError
from harness.exchange.mean_file import read_mean

BGR = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5) * 2


def written(folder: Path, data: bytes, name: str = "mean.binaryproto") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def saved(folder: Path, array: np.ndarray) -> Path:
    path = folder / "mean.npy"
    np.save(path, array)
    return path


@pytest.mark.parametrize("how", [{"legacy": True}, {}, {"unpacked": True}, {"double": True}], ids=str)
def test_a_binaryproto_becomes_rgb_by_rows_and_columns(tmp_path, how):
    mean = read_mean(written(tmp_path, made.blob(BGR[None], **how)))
    assert (mean.shape, mean.dtype) == ((4, 5, 3), np.float32)
    for row, column in ((0, 0), (1, 4), (3, 2)):
        assert mean[row, column].tolist() == [BGR[2, row, column], BGR[1, row, column], BGR[0, row, column]]


@pytest.mark.parametrize("dtype", ["<f8", "<f4", ">f4", "<f2", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_file_becomes_the_same(tmp_path, dtype, order):
    mean = read_mean(saved(tmp_path, np.array(BGR, dtype=dtype, order=order)))
    np.testing.assert_array_equal(mean, read_mean(written(tmp_path, made.blob(BGR[None]))))
    assert mean.flags.c_contiguous and mean.dtype == np.float32


def test_a_mean_colour_is_turned_too(tmp_path):
    mean = read_mean(saved(tmp_path, np.array([104.0, 117.0, 123.0])))
    assert mean.shape == (1, 1, 3)
    assert mean.ravel().tolist() == [123.0, 117.0, 104.0]


def array_file(header: str) -> bytes:
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


BAD = {
    "empty": b"",
    "text": b"mean",
    "one-colour": made.blob(BGR[:1][None]),
    "several-images": made.blob(np.ones((2, 3, 4, 5))),
    "no-shape": made.floats(5, BGR),
    "other-count": made.blob(BGR, (1, 3, 4, 6)),
    "hundred-gigabytes": made.blob(BGR, (1, 3, 100_000, 100_000)),
    "negative": made.blob(BGR, (1, 3, -4, -5)),
    "nan": made.blob(np.full((1, 3, 2, 2), np.nan)),
    "infinite": made.blob(np.full((1, 3, 2, 2), np.inf)),
    "beyond-float32": made.blob(np.full((1, 3, 2, 2), 1e300), double=True),
    "below-zero": made.blob(-BGR[None] - 1),
    "above-255": made.blob(BGR[None] * 10),
    "a-network": made.tiny(),
    "cut": made.blob(BGR[None])[:100],
    "npy-objects": array_file("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"),
    "npy-words": array_file("{'descr': '<U5', 'fortran_order': False, 'shape': (3,), }") + b"\0" * 60,
    "npy-hundred-gigabytes": array_file("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4096, 4096), }"),
    "npy-call": array_file("{'descr': '<f8', 'fortran_order': False, 'shape': (__import__('os').getpid(),), }"),
    "npy-deep": array_file("(" * 5_000),
    "npy-cut-header": array_file("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }")[:30],
    "npy-no-values": array_file("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"),
    "npy-version": b"\x93NUMPY\x09\x00" + b"\0" * 100,
    "npy-long-header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b" " * 100,
    "npy-negative-side": array_file("{'descr': '<f8', 'fortran_order': False, 'shape': (3, -1, -1), }") + b"\0" * 24,
}


@pytest.mark.parametrize("data", BAD.values(), ids=list(BAD))
def test_what_is_no_mean_is_refused_in_one_line(tmp_path, data):
    path = written(tmp_path, data)
    with pytest.raises(FormatError) as caught:
        read_mean(path)
    assert repr(str(path)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickled_object_in_an_array_file_is_never_made(tmp_path):
    class Caller:
        def __reduce__(self) -> object:
            return Path.touch, (tmp_path / "was-called",)

    path = saved(tmp_path, np.array([Caller(), 1, 2], dtype=object))
    with pytest.raises(FormatError, match="expected numbers"):
        read_mean(path)
    assert not (tmp_path / "was-called").exists()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FormatError, match="cannot read"):
        read_mean(tmp_path / "absent.binaryproto")
