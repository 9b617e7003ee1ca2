"""`alexbench weights import` and `export` as users run them, above all on files that mean harm.

Each hostile file must end in one line and exit code 2, within a bounded address space, with nothing executed.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from program import Done, alexbench, complaint

from harness.data.preprocessing import Preprocessing
from impls import catalog, weights

ADDRESS_SPACE = 4 * 2**30  # bytes; libraries' threads reserve most of it and never touch it
NETWORK = catalog.get("cifar-4layer")


def within_bounds() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def imported(file: Path, *arguments: object, out: str = "back.safetensors") -> Done:
    return alexbench(
        "weights", "import", file, "--out", out, *arguments, cwd=file.parent, timeout=120, preexec_fn=within_bounds
    )


def arrays() -> dict[str, np.ndarray]:
    return dict(weights.generate(NETWORK, "scaled", 3))


class _Call:
    """Pickles as a call of os.system."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def calling_pickle(folder: Path) -> Path:
    (folder / "theirs.pkl").write_bytes(pickle.dumps({"model_state": _Call(f"touch {folder / 'executed'}")}, 2))
    return folder / "theirs.pkl"


def calling_npy(folder: Path) -> Path:
    np.save(folder / "theirs.npy", np.array(_Call(f"touch {folder / 'executed'}"), dtype=object), allow_pickle=True)
    return folder / "theirs.npy"


def calling_pt(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "theirs.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Call(f"touch {folder / 'executed'}"), 2))
        archive.writestr("archive/version", "3\n")
    return folder / "theirs.pt"


def calling_legacy_pth(folder: Path) -> Path:
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, _Call(f"touch {folder / 'executed'}"), []]
    (folder / "theirs.pth").write_bytes(b"".join(pickle.dumps(part, 2) for part in parts))
    return folder / "theirs.pth"


def zip_bomb(folder: Path) -> Path:
    """An array of 20 GB of zeros in 20 MB of an .npz."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (5, 5, 3, 2**26)})
    with (
        zipfile.ZipFile(folder / "theirs.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("conv1/weight.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.getvalue())
        for _ in range(300):
            member.write(bytes(2**20))
    return folder / "theirs.npz"


def hundred_gigabytes(folder: Path) -> Path:
    """A safetensors header that claims them, and the bytes it claims are not there."""
    header = json.dumps(
        {"conv1.weight": {"dtype": "F32", "shape": [32, 3, 50000, 5000], "data_offsets": [0, 96_000_000_000]}}
    ).encode()
    (folder / "theirs.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return folder / "theirs.safetensors"


def hundred_gigabytes_in_npy(folder: Path) -> Path:
    with (folder / "theirs.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**5, 10**6)})
    return folder / "theirs.npy"


def external_onnx(folder: Path) -> Path:
    """A model whose first kernels lie outside its folder."""
    import onnx
    from onnx import TensorProto, helper

    (folder / "model").mkdir()
    (folder / "secret.bin").write_bytes(bytes(4 * 32 * 3 * 25))
    kernels = TensorProto(name="conv1/weight", data_type=TensorProto.FLOAT, dims=[32, 3, 5, 5])
    kernels.data_location = TensorProto.EXTERNAL
    kernels.external_data.add(key="location", value="../secret.bin")
    bias = helper.make_tensor("conv1/bias", TensorProto.FLOAT, [32], [0.0] * 32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["images", "conv1/weight", "conv1/bias"], ["y"], pads=[2, 2, 2, 2])],
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [kernels, bias],
    )
    path = folder / "model" / "theirs.onnx"
    path.write_bytes(
        onnx.ModelProto(ir_version=8, graph=graph, opset_import=[helper.make_opsetid("", 17)]).SerializeToString()
    )
    return path


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def half_a_caffemodel(folder: Path) -> Path:
    """One convolution's blobs in Caffe's wire format, cut in the middle of the kernels."""
    values = np.zeros(32 * 3 * 25, "<f4").tobytes()
    shape = field(1, bytes([32, 3, 5, 5]))
    blob = field(7, shape) + field(5, values)
    layer = field(1, b"conv1") + field(2, b"Convolution") + field(7, blob)
    whole = field(1, b"net") + field(100, layer)
    (folder / "theirs.caffemodel").write_bytes(whole[: len(whole) // 2])
    return folder / "theirs.caffemodel"


def duplicated_members(folder: Path) -> Path:
    made = io.BytesIO()
    np.save(made, np.zeros((5, 5, 3, 32), np.float32))
    with zipfile.ZipFile(folder / "theirs.npz", "w") as archive:
        archive.writestr("conv1/weight.npy", made.getvalue())
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("conv1/weight.npy", made.getvalue())
    return folder / "theirs.npz"


def missing_bias(folder: Path) -> Path:
    np.savez(folder / "theirs.npz", **{name: value for name, value in arrays().items() if name != "conv2/bias"})
    return folder / "theirs.npz"


def missing_layer(folder: Path) -> Path:
    np.savez(folder / "theirs.npz", **{name: value for name, value in arrays().items() if "conv2" not in name})
    return folder / "theirs.npz"


def h5_linked_outside(folder: Path) -> Path:
    import h5py

    with h5py.File(folder / "theirs.h5", "w") as file:
        file["layers/conv2d/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")
    return folder / "theirs.h5"


def text_file(folder: Path) -> Path:
    (folder / "theirs.bin").write_text("this is no model")
    return folder / "theirs.bin"


def empty_file(folder: Path) -> Path:
    (folder / "theirs.onnx").write_bytes(b"")
    return folder / "theirs.onnx"


def no_file(folder: Path) -> Path:
    return folder / "missing.onnx"


HOSTILE = {
    calling_pickle: "os.system|posix.system",
    calling_npy: "os.system|posix.system",
    calling_pt: "os.system|posix.system",
    calling_legacy_pth: "os.system|posix.system",
    zip_bomb: "theirs.npz",
    hundred_gigabytes: "theirs.safetensors",
    hundred_gigabytes_in_npy: "theirs.npy",
    external_onnx: "secret.bin",
    half_a_caffemodel: "theirs.caffemodel",
    duplicated_members: "conv1/weight",
    missing_bias: "conv2",
    missing_layer: "conv",
    h5_linked_outside: "theirs.h5",
    text_file: "no known format",
    empty_file: "theirs.onnx",
    no_file: "No such file",
}


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_file_that_cannot_be_taken_in_is_refused_in_one_line(make: Callable[[Path], Path], tmp_path: Path) -> None:
    file = make(tmp_path)
    line = complaint(imported(file), 2)
    assert any(word in line for word in HOSTILE[make].split("|")), line
    assert len(line) < 600
    assert not (tmp_path / "executed").exists()
    assert not (file.parent / "back.safetensors").exists()
    assert not list(file.parent.glob(".*partial*"))


def test_what_was_exported_comes_in_again_and_is_scored(tmp_path: Path) -> None:
    text = Preprocessing("unit-scale", 32, 3).to_text()
    weights.save(tmp_path / "ours.safetensors", NETWORK.name, arrays(), preprocessing=text)
    done = alexbench("weights", "export", "ours.safetensors", "--to", "npz", "--out", "theirs.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "numpy.load('theirs.npz')" in done.stdout
    done = imported(tmp_path / "theirs.npz")
    assert done.returncode == 0, done.stderr
    hashes = [weights.load(tmp_path / name, NETWORK).content_hash for name in ("ours.safetensors", "back.safetensors")]
    assert hashes[0] == hashes[1]
    shown = alexbench("weights", "show", "back.safetensors", cwd=tmp_path)
    assert "imported from NumPy theirs.npz" in shown.stdout
    assert "preprocessing unit-scale" in shown.stdout


@pytest.mark.needs("torch")
def test_evaluate_uses_the_preprocessing_that_an_import_recorded(tmp_path: Path) -> None:
    np.savez(tmp_path / "theirs.npz", **arrays())
    done = imported(tmp_path / "theirs.npz", "--preprocessing", "per-image-standard")
    assert done.returncode == 0, done.stderr
    done = alexbench(
        "evaluate", "--weights", "back.safetensors", "--data", "digits", "--limit", "20", "--frameworks", "torch",
        "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "per-image-standard" in (tmp_path / "run" / "evaluation.csv").read_text()


def test_options_that_cannot_be_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "theirs.npz", **arrays())
    assert "'--preprocessing'" in complaint_of(imported(tmp_path / "theirs.npz", "--preprocessing", "magic"))
    assert "did you mean 'caffe'" in complaint_of(imported(tmp_path / "theirs.npz", "--network", "cafe"))
    assert "'conv1/weight' is 5x5x3x32" in complaint_of(imported(tmp_path / "theirs.npz", "--network", "caffe"))
    assert "cannot read" in complaint_of(imported(tmp_path / "theirs.npz", "--mean", "missing.npy"))


def complaint_of(done: Done) -> str:
    return complaint(done, 2)
