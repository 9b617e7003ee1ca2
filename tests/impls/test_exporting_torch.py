"""Weights under PyTorch's names and in its layouts: they load strictly into a module of PyTorch's own layers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impls import catalog, derive, weights
from impls.oracle import network as oracle
from impls.spec import LRN, Conv, Dense, MaxPool, Network, Padding, ReLU, Tanh
from impls.spec_json import network_to_json
from impls.torch_names import state_dict_names, torch_arrays

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

TINY = Network(
    name="tiny",
    summary="groups, padding on two sides, a map that is no square before the first dense layer",
    source="this test",
    height=13,
    width=10,
    channels=3,
    classes=5,
    layers=(
        Conv(name="conv1", kernels=8, size=3, padding=Padding(bottom=2, right=1)),
        ReLU(name="relu1"),
        LRN(name="norm1", size=3, alpha=0.1, beta=0.75, k=2.0, groups=2),
        MaxPool(name="pool1", size=3, stride=2),
        Conv(name="conv2", kernels=6, size=2, groups=2),
        Tanh(name="tanh2"),
        Dense(name="fc3", units=7),
        ReLU(name="relu3"),
        Dense(name="fc4", units=5),
    ),
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with what PyTorch wrote, loaded and computed, and the facts about it."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "network.json").write_text(json.dumps(network_to_json(TINY)))
    weights.save(folder / "weights.safetensors", TINY.name, weights.generate(TINY))
    np.save(folder / "images.npy", images())
    done = subprocess.run(
        [sys.executable, str(HERE / "exporting_program.py"), str(folder)], capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, json.loads((folder / "facts.json").read_text())


def images() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(5).normal(0, 50, (4, TINY.height, TINY.width, 3)).astype(np.float32)


@pytest.mark.needs("torch")
def test_the_logits_of_the_loaded_module_are_the_oracles(exported: tuple[Path, dict[str, Any]]) -> None:
    ours = oracle.forward(TINY, weights.generate(TINY), images())[TINY.logits]
    theirs = np.load(exported[0] / "logits.npy")
    assert np.abs(ours).max() > 0.1
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5 * float(np.abs(ours).max()))


@pytest.mark.needs("torch")
def test_the_file_holds_tensors_and_what_it_is(exported: tuple[Path, dict[str, Any]]) -> None:
    facts = exported[1]
    assert facts["mark"] == '{"network":"tiny"}'
    assert facts["kinds"] == ["Tensor"] and facts["container"] == "OrderedDict" and facts["contiguous"]


@pytest.mark.needs("torch")
def test_torchvisions_network_has_torchvisions_own_keys_and_shapes(exported: tuple[Path, dict[str, Any]]) -> None:
    shapes = derive.parameter_shapes(catalog.TORCHVISION)
    names = state_dict_names(catalog.TORCHVISION)
    found = {names[name]: list(shape if len(shape) == 1 else _turned(shape)) for name, shape in shapes.items()}
    assert found == exported[1]["torchvision"]


def _turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]


def test_every_other_network_keeps_its_layers_names() -> None:
    assert state_dict_names(catalog.PAPER)["conv1/weight"] == "conv1.weight"
    assert list(state_dict_names(TINY).values()) == [
        f"{layer}.{kind}" for layer in ("conv1", "conv2", "fc3", "fc4") for kind in ("weight", "bias")
    ]


def test_layouts_are_pytorchs_and_the_first_dense_layer_takes_channels_first() -> None:
    canonical = weights.generate(TINY)
    found = torch_arrays(TINY, canonical)
    height, width, channels = next(row.input_shape for row in derive.facts(TINY) if row.layer.name == "fc3")
    assert height != width
    for unit, place in ((2, (1, 0, 4)), (6, (0, 2, 5))):
        row, column, channel = place
        ours = canonical["fc3/weight"][(row * width + column) * channels + channel, unit]
        assert found["fc3.weight"][unit, (channel * height + row) * width + column] == ours
    assert found["conv2.weight"].shape == (6, 4, 2, 2)
    assert found["conv2.weight"][5, 3, 1, 0] == canonical["conv2/weight"][1, 0, 3, 5]
    assert found["fc4.weight"][4, 6] == canonical["fc4/weight"][6, 4]
    assert all(array.flags.c_contiguous and array.dtype == np.float32 for array in found.values())


def test_a_missing_tensor_is_named() -> None:
    arrays = weights.generate(TINY)
    del arrays["fc3/bias"]
    with pytest.raises(ValueError, match="fc3/bias"):
        torch_arrays(TINY, arrays)
