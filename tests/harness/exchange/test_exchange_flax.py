"""Flax' msgpack files: those that Flax has made, ours as Flax reads them, and those made to do harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest

from harness.environment import CHECKOUT
from harness.errors import CannotMeasure
from harness.exchange import flax_export, flax_file
from harness.exchange.foreign import ForeignWeights, FormatError
from impls import catalog, weights
from impls.spec import Dense

CIFAR = catalog.get("cifar-4layer")
LINEN = ["Conv_0", "Conv_1", "Dense_0", "Dense_1"]


def arrays_of(found: ForeignWeights) -> dict[str, np.ndarray]:
    pairs = [(layer.name, kind, tensor) for layer in found.layers
             for kind, tensor in (("kernel", layer.weight), ("bias", layer.bias)) if tensor is not None]  # fmt: skip
    return {f"{name}-{kind}": tensor.read() for name, kind, tensor in pairs}


def assert_equal(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    assert all(found[name].dtype == np.float32 and np.array_equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.needs("jax")
@pytest.mark.parametrize("name", ["linen", "params_alone", "state", "chunked"])
def test_what_flax_serialised_comes_back_bit_for_bit(flax_files: Path, name: str) -> None:
    found = flax_file.read(flax_files / f"{name}.msgpack")
    assert [layer.name for layer in found.layers] == LINEN
    assert [layer.axes for layer in found.layers] == ["hwio", "hwio", "io", "io"]
    assert found.flatten == "hwc"
    assert_equal(arrays_of(found), dict(np.load(flax_files / "linen.npz")))


@pytest.mark.needs("jax")
def test_an_nnx_state_comes_back(flax_files: Path) -> None:
    assert_equal(arrays_of(flax_file.read(flax_files / "modern.msgpack")), dict(np.load(flax_files / "modern.npz")))


@pytest.mark.needs("jax")
def test_bfloat16_is_widened_without_loss(flax_files: Path) -> None:
    found = flax_file.read(flax_files / "half.msgpack")
    assert found.layers[0].weight.dtype == "bfloat16"
    wanted = np.load(flax_files / "linen.npz")["Conv_0-kernel"]
    got = found.layers[0].weight.read()
    assert np.abs(got - wanted).max() <= np.abs(wanted).max() * 2**-8
    assert not (got.view(np.uint32) & 0xFFFF).any()


@pytest.mark.needs("jax")
def test_a_normalisations_state_is_refused_by_name(flax_files: Path) -> None:
    with pytest.raises(FormatError, match="BatchNorm_0"):
        flax_file.read(flax_files / "normalised.msgpack")


RESTORED = """
import sys
import numpy as np
from flax import serialization
serialization.MAX_CHUNK_SIZE = 1 << 30
found = serialization.msgpack_restore(open(sys.argv[1], "rb").read())
params = found["params"]
np.savez(sys.argv[2], **{f"{layer}-{kind}": value for layer, kinds in params.items() for kind, value in kinds.items()})
print(found["alexbench"])
"""


@pytest.mark.needs("jax")
@pytest.mark.parametrize("most_chunk", [flax_export.MOST_CHUNK, 4096], ids=["whole", "chunked"])
def test_flax_restores_what_we_export_and_so_do_we(tmp_path: Path, most_chunk: int) -> None:
    canonical = weights.generate(CIFAR)
    path, ours = tmp_path / "out.msgpack", json.dumps({"network": CIFAR.name, "preprocessing": "text"})
    flax_export.write(CIFAR, canonical, path, {"alexbench": ours}, most_chunk=most_chunk)
    done = subprocess.run(
        [sys.executable, "-c", RESTORED, str(path), str(tmp_path / "restored.npz")],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    wanted = {name.replace("/weight", "-kernel").replace("/bias", "-bias"): value for name, value in canonical.items()}
    assert json.loads(done.stdout) == json.loads(ours)
    assert_equal(dict(np.load(tmp_path / "restored.npz")), wanted)
    found = flax_file.read(path)
    assert (found.network, found.preprocessing) == (CIFAR.name, "text")
    assert_equal(arrays_of(found), wanted)
    assert not list(tmp_path.glob(".*"))


def array(shape: object, dtype: str = "float32", data: bytes = b"") -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb((shape, dtype, data)))


def layer(kernel: object, bias: object = None) -> dict:
    return {"params": {"Dense_0": {"kernel": kernel, **({"bias": bias} if bias is not None else {})}}}


GOOD = array((2, 1), data=bytes(8))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "wants 1 bytes"),
        (b"\x91" * 100_000, "containers in each other"),
        (b"\x81\xa1a" * 100_000, "containers in each other"),
        (b"\xdd\xff\xff\xff\xff", "4,294,967,295 entries"),
        (b"\xdf\xff\xff\xff\xff\x00", "4,294,967,295 entries"),
        (b"\xc6\xff\xff\xff\xff", "wants 4,294,967,295 bytes"),
        (b"\xc9\xff\xff\xff\xff\x01", "wants 4,294,967,295 bytes"),
        (b"\xdc\xff\xff" + b"\xc0" * 200_000, "bytes follow"),
        (b"\xdd\x00\x04\x00\x00" + b"\xc0" * 0x40000, "values"),
        (b"\x82\xa1a\x01\xa1a\x02", "twice"),
        (b"\xc1", "begins nothing"),
        (b"\x93\x01\x02\x03", "holds a list"),
        (msgpack.packb(layer(array((5_000_000, 5_000), data=bytes(8)))), "has 8 bytes"),
        (msgpack.packb(layer(array((2**39, 2**39)))), "has 0 bytes"),
        (msgpack.packb(layer(array((-1, 2), data=bytes(8)))), "no array as Flax"),
        (msgpack.packb(layer(array("ab", data=bytes(8)))), "no array as Flax"),
        (msgpack.packb(layer(array((2, 1), "float32", bytes(7)))), "has 7 bytes"),
        (msgpack.packb(layer(array((2, 1), "int32", bytes(8)))), "no weights"),
        (msgpack.packb(layer({"__msgpack_chunked_array__": True, "shape": {"0": 2, "1": 1}, "chunks": {}})),
         "no array"),
        (msgpack.packb(layer({"__msgpack_chunked_array__": True, "shape": {"0": 2, "2": 1}, "chunks": {"0": GOOD}})),
         "no array"),
        (msgpack.packb(layer({"__msgpack_chunked_array__": True, "shape": {"0": 9, "1": 9}, "chunks": {"0": GOOD}})),
         "has 8 bytes"),
        (msgpack.packb({**layer(GOOD), "alexbench": 5}), "alexbench"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_in_one_line(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.msgpack"
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        flax_file.read(path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_network_of_many_layers_is_ordered_by_number(tmp_path: Path) -> None:
    params = {f"Dense_{n}": {"kernel": array((n + 1, 1), data=bytes(4 * (n + 1)))} for n in (10, 9, 0, 1)}
    path = tmp_path / "many.msgpack"
    path.write_bytes(msgpack.packb({"params": params}))
    assert [found.weight.shape[0] for found in flax_file.read(path).layers] == [1, 2, 10, 11]


def test_an_export_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    network = replace(CIFAR, name="one", height=1, width=1, layers=(Dense(name="fc1", units=10),))
    with pytest.raises(FormatError, match="cannot write"):
        flax_export.write(network, weights.generate(network), tmp_path / "nowhere" / "out.msgpack", {})


def test_without_msgpack_the_command_that_installs_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(CannotMeasure, match=r"msgpack .*install .*formats"):
        flax_export.write(CIFAR, weights.generate(CIFAR), tmp_path / "out.msgpack", {})
    assert not list(tmp_path.iterdir())
