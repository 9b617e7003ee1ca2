"""Which reader a file is for, by its first bytes and its name. Formats are loaded by those who meet them."""

from __future__ import annotations

import importlib
from pathlib import Path

from harness.exchange.file_bytes import BoundedFile, readable
from harness.exchange.foreign import ForeignWeights, FormatError
from harness.exchange.zip_members import Archive

# Each module has read(path) -> ForeignWeights, raising FormatError, and CannotMeasure where a library is missing.
READERS: dict[str, str] = {
    "ONNX": "harness.exchange.onnx_file",
    "Caffe": "harness.exchange.caffe_file",
    "PyTorch": "harness.exchange.torch_file",
    "safetensors": "harness.exchange.safetensors_file",
    "NumPy": "harness.exchange.numpy_file",
    "Keras": "harness.exchange.keras_file",
    "Flax": "harness.exchange.flax_file",
    "Orbax": "harness.exchange.orbax_folder",
    "cuda-convnet": "harness.exchange.convnet_file",
}
SUFFIXES: dict[str, str] = {
    ".onnx": "ONNX", ".caffemodel": "Caffe", ".pth": "PyTorch", ".pt": "PyTorch", ".safetensors": "safetensors",
    ".npy": "NumPy", ".npz": "NumPy", ".keras": "Keras", ".h5": "Keras", ".hdf5": "Keras", ".msgpack": "Flax",
}  # fmt: skip
MOST_HEAD = 8  # bytes
HDF5 = b"\x89HDF\r\n\x1a\n"
NUMPY = b"\x93NUMPY"
ZIP = b"PK\x03\x04"
PICKLE_2 = b"\x80"


def read(path: Path) -> ForeignWeights:
    """Read a file (or an Orbax folder) by the reader for its format. Raises FormatError, CannotMeasure."""
    found = importlib.import_module(READERS[format_of(path)]).read(path)
    assert isinstance(found, ForeignWeights)
    return found


def format_of(path: Path) -> str:
    """The name of the format. Raises FormatError where nothing tells it."""
    if path.is_dir():
        return "Orbax"
    with readable(path), BoundedFile(path, MOST_HEAD) as file:
        head = file.read(MOST_HEAD)
    suffix = SUFFIXES.get(path.suffix.lower())
    if head.startswith(HDF5):
        return "Keras"
    if head.startswith(NUMPY):
        return "NumPy"
    if head.startswith(ZIP):
        return _of_zip(path) or suffix or _unknown(path)
    if suffix is not None:
        return suffix
    # A checkpoint of cuda-convnet has no suffix: a pickle, of protocol 2 or of the older ones that begin with a mark.
    if head[:1] in (PICKLE_2, b"(", b"}"):
        return "cuda-convnet"
    return _unknown(path)


def _of_zip(path: Path) -> str | None:
    try:
        with Archive(path) as archive:
            names = archive.names
    except FormatError:
        return None
    if any(name.endswith("data.pkl") for name in names):
        return "PyTorch"
    if "config.json" in names:
        return "Keras"
    if names == ("data",):  # --zip-save
        return "cuda-convnet"
    return "NumPy" if names and all(name.endswith(".npy") for name in names) else None


def _unknown(path: Path) -> str:
    raise FormatError(
        f"{str(path)!r} is of no known format: expected ONNX, a .caffemodel, .pth, .pt, .safetensors, .npy, .npz,"
        " .keras, .h5, .msgpack, an Orbax folder or a checkpoint of cuda-convnet"
    )
