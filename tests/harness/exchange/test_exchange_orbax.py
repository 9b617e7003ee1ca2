"""Orbax' folders: those that Orbax has made give the values it put in; those made to do harm give one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.errors import CannotMeasure
from harness.exchange import orbax_folder
from harness.exchange.foreign import ForeignWeights, FormatError

tensorstore_needed = pytest.mark.needs("jax")
LINEN = ["Conv_0", "Conv_1", "Dense_0", "Dense_1"]


def arrays_of(found: ForeignWeights) -> dict[str, np.ndarray]:
    pairs = [(layer.name, kind, tensor) for layer in found.layers
             for kind, tensor in (("kernel", layer.weight), ("bias", layer.bias)) if tensor is not None]  # fmt: skip
    return {f"{name}-{kind}": tensor.read() for name, kind, tensor in pairs}


def assert_equal(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


@tensorstore_needed
@pytest.mark.parametrize("name", ["standard", "zarr", "zarr3"])
def test_what_orbax_saved_comes_back_bit_for_bit(flax_files: Path, name: str) -> None:
    found = orbax_folder.read(flax_files / name)
    assert [layer.name for layer in found.layers] == LINEN
    assert [layer.axes for layer in found.layers] == ["hwio", "hwio", "io", "io"]
    assert_equal(arrays_of(found), dict(np.load(flax_files / "linen.npz")))


@tensorstore_needed
def test_an_nnx_state_comes_back(flax_files: Path) -> None:
    assert_equal(arrays_of(orbax_folder.read(flax_files / "modern")), dict(np.load(flax_files / "modern.npz")))


@tensorstore_needed
def test_a_managers_last_step_is_taken_and_said(flax_files: Path) -> None:
    found = orbax_folder.read(flax_files / "managed")
    assert "10/default" in found.notes[0]
    wanted = {name: value + np.float32(10) for name, value in np.load(flax_files / "linen.npz").items()}
    assert_equal(arrays_of(found), wanted)


@tensorstore_needed
def test_bfloat16_is_widened(flax_files: Path) -> None:
    found = orbax_folder.read(flax_files / "half")
    assert found.layers[0].weight.dtype == "bfloat16"
    got, wanted = found.layers[0].weight.read(), np.load(flax_files / "linen.npz")["Conv_0-kernel"]
    assert got.dtype == np.float32
    assert np.abs(got - wanted).max() <= np.abs(wanted).max() * 2**-8


@tensorstore_needed
def test_a_path_that_goes_up_and_down_again_is_as_good_as_another(flax_files: Path) -> None:
    found = orbax_folder.read(flax_files / "zarr" / ".." / "standard")
    assert_equal(arrays_of(found), dict(np.load(flax_files / "linen.npz")))


def refused(folder: Path, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        arrays_of(orbax_folder.read(folder))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    refused(tmp_path, "no Orbax checkpoint")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "_METADATA").symlink_to("/etc/passwd")
    refused(tmp_path, "not followed")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.ocdbt")
    refused(tmp_path, "no regular file")


def metadata(*keys: str, **flags: object) -> dict:
    entry = {
        "key_metadata": [{"key": key, "key_type": 2} for key in keys],
        "value_metadata": {"value_type": "jax.Array"},
    }
    return {"tree_metadata": {str(keys): entry}, "use_ocdbt": False, "use_zarr3": False, **flags}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (metadata("params", "../../etc", "kernel"), "is a path"),
        (metadata("..", "x/y"), "is a path"),
        (metadata("params", "a\x00b"), "is a path"),
        (metadata(), "unknown way"),
        ({"tree_metadata": []}, "no tree of arrays"),
        ({"tree_metadata": {"a": 5}}, "unknown way"),
        ([1], "not a JSON object"),
    ],
)
def test_metadata_that_points_out_of_the_folder_or_nowhere_is_refused(value: object, said: str, tmp_path: Path) -> None:
    (tmp_path / "_METADATA").write_text(json.dumps(value))
    refused(tmp_path, said)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", '{"a": 1, "a": 1}', "1" * 5_000])
def test_metadata_that_is_not_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "_METADATA").write_text(text)
    refused(tmp_path, "JSON")


@pytest.fixture
def zarr(flax_files: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(flax_files / "zarr", tmp_path / "zarr"))


def change(folder: Path, **fields: object) -> None:
    file = folder / "params.Dense_0.kernel" / ".zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def lost_chunk(folder: Path) -> None:
    (folder / "params.Dense_0.kernel" / "0.0").unlink()


def lost_array(folder: Path) -> None:
    shutil.rmtree(folder / "params.Dense_0.kernel")


@tensorstore_needed
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: change(folder, shape=[25_000, 1_000_000]), "has shape"),
        (lambda folder: change(folder, shape=[10_000, 10_000], chunks=[10_000, 10_000]), "would unpack to"),
        (lambda folder: change(folder, compressor={"id": "made-up"}), "cannot be read"),
        (lambda folder: change(folder, dtype="|O"), "cannot be read"),
        (lost_chunk, "cannot be read"),
        (lost_array, "cannot be read"),
    ],
    ids=["huge", "bomb", "compressor", "objects", "lost-chunk", "lost-array"],
)
def test_a_hostile_array_is_refused(zarr: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(zarr)
    refused(zarr, said)


@tensorstore_needed
def test_without_tensorstore_the_command_that_installs_it_is_said(
    flax_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorstore.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)  # of the process that reads it
    with pytest.raises(CannotMeasure, match=r"tensorstore .*install .*formats"):
        orbax_folder.read(flax_files / "standard")
