"""The trainings that the notes print, on small files in the true forms of their downloads."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import note_data
import numpy as np
import pytest
from program import alexbench, complaint, run_json, told
from train_program import table

from harness.data.obtain import obtain
from harness.data.prepared import Prepared
from harness.data.preprocessing import Preprocessing
from harness.data.stream import Stream
from harness.training.job import Job
from harness.training.rows import Row
from harness.training.run import train
from impls import catalog, weights
from impls.oracle import network as oracle
from impls.oracle import operators
from impls.spec import Conv, Dense, Network

PETS, DIGITS, CIFAR = (catalog.get(name) for name in ("note-003", "note-002", "note-004"))
WIDTHS = {"conv1": 5, "conv2": 6, "conv3": 7, "conv4": 6, "fc5": 16, "fc6": 12}
FEW = ("--framework", "jax", "--batch-size", "2", "--limit", "4", "--epochs", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Emptied at once: the weights of a whole network and their velocity take a gigabyte."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def first_loss(network: Network, prepared: Prepared, batch_size: int, limit: int | None = None) -> float:
    """The loss of the first batch in float64, by the reference."""
    stream = Stream(prepared, network, Preprocessing.of(network, prepared), seed=0, batch_size=batch_size, limit=limit)
    batch = stream.batch(0)
    begun = weights.generate(network, "own", 0)
    given = {name: np.asarray(begun[name], np.float64) for name in begun}
    found = oracle.forward(network, given, batch.images.astype(np.float64), masks=batch.masks)
    return float(operators.cross_entropy(found[network.logits], batch.labels)[0])


@pytest.mark.thorough
@pytest.mark.needs("jax")
def test_cats_and_dogs_of_the_competition_train_note_003(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = f"imagefolder:{note_data.cats_and_dogs(folder / 'data', flat=True)}"
    monkeypatch.setenv("ALEXBENCH_CACHE", str(folder / "cache"))
    done = alexbench("train", "--network", "note-003", "--data", data, *FEW, "--out", folder / "out", timeout=300)
    assert done.returncode == 0, done.stderr
    assert "stand for nothing" not in told(done)
    (row,) = table(folder / "out")
    assert (row["epoch"], row["step"], row["recipe"], row["learning_rate"]) == ("1", "2", "own", "0.001")
    assert 0 <= float(row["top1_error"]) <= 1 and float(row["top5_error"]) == 0.0  # two classes are all in the top 5
    begun = float(table(folder / "out", "loss")[0]["loss"])
    assert begun == pytest.approx(first_loss(PETS, obtain(data, PETS), 2, 4), abs=1e-5)


def test_the_folders_that_the_notes_script_reads_hold_the_same_training_and_a_test_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALEXBENCH_CACHE", str(tmp_path / "cache"))
    found = []
    for flat in (True, False):
        data = note_data.cats_and_dogs(tmp_path / f"data-{flat}", flat=flat)
        found.append(obtain(f"imagefolder:{data}", PETS, say=lambda text: None))
    parts = [{name: len(part) for name, part in prepared.parts.items()} for prepared in found]
    assert parts == [{"train": 8, "val": 2}, {"train": 8, "val": 2, "test": 10}]
    assert all((prepared.classes, prepared.side) == (("cat", "dog"), 256) for prepared in found)
    for name in ("train", "val"):
        one, other = (prepared.part(name) for prepared in found)
        sums = [np.sort(np.asarray(part.images).reshape(len(part), -1).sum(axis=1)) for part in (one, other)]
        assert np.array_equal(*sums) and np.array_equal(np.sort(one.labels), np.sort(other.labels))


@pytest.mark.thorough
@pytest.mark.needs("jax")
def test_mnist_trains_note_002_whose_other_outputs_are_said_to_stand_for_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = f"mnist:{note_data.mnist(folder / 'data')}"
    monkeypatch.setenv("ALEXBENCH_CACHE", str(folder / "cache"))
    done = alexbench("train", "--network", "note-002", "--data", data, *FEW, "--out", folder / "out", timeout=300)
    assert done.returncode == 0, done.stderr
    assert "has 10 classes, network 'note-002' answers with 1,000: the other 990 outputs" in told(done)
    losses = [float(row["loss"]) for row in table(folder / "out", "loss")]
    assert losses[0] == pytest.approx(math.log(1000), abs=0.2)  # weights that know nothing share it among all outputs
    assert len(losses) == 2 and run_json(folder / "out")["status"] == "complete"
    prepared = obtain(data, DIGITS)
    assert (prepared.channels, prepared.side) == (1, 227)  # grey digits, made as large as the input


def narrowed() -> Network:
    """Note 004's network with few kernels and units, its recipe as it is but for the batch."""
    layers = tuple(
        replace(layer, kernels=WIDTHS[layer.name])
        if isinstance(layer, Conv)
        else replace(layer, units=WIDTHS.get(layer.name, layer.units))
        if isinstance(layer, Dense)
        else layer
        for layer in CIFAR.layers
    )
    return replace(CIFAR, layers=layers, recipe=replace(CIFAR.recipe, batch_size=4, epochs=1, drop_epochs=(1,)))


@pytest.mark.parametrize(
    "framework", ["jax", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("torch", "tensorflow"))]
)
def test_cifar_10_trains_note_004_with_fewer_kernels_by_its_own_recipe(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALEXBENCH_CACHE", str(tmp_path / "cache"))
    network = narrowed()
    prepared = obtain(f"cifar10:{note_data.cifar_10(tmp_path / 'data')}", network, say=lambda text: None)
    assert (prepared.side, len(prepared.classes), network.preprocessing) == (256, 10, "per-image-standard")
    kept: list[Row] = []

    def keep(kind: str, row: Row) -> None:
        if kind == "loss":
            kept.append(row)

    job = Job(framework, network, prepared.path, tuning="stock")
    done = train(job, tmp_path / "out", keep, lambda text: None)
    assert done.steps == len(kept) == len(prepared.part("train")) // 4
    assert kept[0]["loss"] == pytest.approx(first_loss(network, prepared, 4), abs=1e-5)
    assert done.content_hash != weights.content_hash(weights.generate(network, "own", 0))
    assert done.top1_error is not None and {row["learning_rate"] for row in kept} == {0.01}


def test_note_004_itself_is_refused_without_saying_that_it_is_large(tmp_path: Path) -> None:
    data = note_data.cifar_10(tmp_path / "data")
    done = alexbench("train", "--network", "note-004", "--data", f"cifar10:{data}", "--out", tmp_path / "out")
    assert "pass --large" in complaint(done, 2)
    assert not (tmp_path / "out").exists()


def test_data_of_more_classes_than_the_network_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALEXBENCH_CACHE", str(tmp_path / "cache"))
    data = f"cifar10:{note_data.cifar_10(tmp_path / 'data')}"
    done = alexbench("train", "--network", "note-003", "--data", data, *FEW[2:], "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "network 'note-003' has 2 classes: choose data of at most 2 classes" in told(done)
