"""Which weights and which images go together, and what is said of those that do not."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.data.preprocessing import Preprocessing
from harness.errors import UsageError
from harness.evaluation.options import EvaluateOptions
from harness.evaluation.subjects import Subject, images_for, subjects
from impls import catalog, weights
from impls.catalog import UnknownNetwork
from impls.weights import WeightsError

NETWORK = catalog.get("cifar-4layer")


def silent(text: str) -> None:
    """Nobody reads it."""


def asked(folder: Path, *files: Path) -> EvaluateOptions:
    return EvaluateOptions(weights=files, data=str(folder))


def subject(network: str, metadata: dict[str, str] | None = None) -> Subject:
    return Subject(Path(f"{network}.safetensors"), catalog.get(network), "0" * 64, metadata or {})


def test_a_file_is_known_by_its_hash_and_its_network(weights_files: list[Path], folder: Path) -> None:
    found = subjects(asked(folder, *weights_files), silent)
    assert [one.file for one in found] == weights_files
    assert [one.label for one in found] == [weights.load(file, NETWORK).content_hash[:12] for file in weights_files]


def test_the_same_tensors_with_other_preprocessing_are_other_weights(tmp_path: Path, folder: Path) -> None:
    arrays, said = weights.generate(NETWORK, "scaled", 0), []
    means = [np.full((1, 1, 3), value, np.float32) for value in (100, 120)]
    texts = [Preprocessing("mean-colour", 36, 3, mean).to_text() for mean in means]
    for name, text in (("a", texts[0]), ("b", texts[1]), ("c", texts[1])):
        weights.save(tmp_path / name, NETWORK.name, arrays, preprocessing=text)
    found = subjects(asked(folder, *(tmp_path / name for name in "abc")), said.append)
    assert [one.file.name for one in found] == ["a", "b"]
    assert [one.label.removeprefix(found[0].label) for one in found] == ["", "-2"]
    assert len(said) == 1 and "holds the same weights as" in said[0]


def test_the_sorted_order_needs_all_classes(folder: Path) -> None:
    options = dataclasses.replace(asked(folder), class_order="sorted")
    with pytest.raises(UsageError, match=r"--class-order sorted needs all 1000 classes of note-2.*"):
        images_for(options, [dataclasses.replace(subject("caffe"), file=Path("note-2"))], silent)


def test_a_file_that_names_no_network_or_one_nobody_knows_is_refused(tmp_path: Path, folder: Path) -> None:
    arrays = weights.generate(NETWORK, "scaled", 0)
    for name, error in (("cifar-5layer", UnknownNetwork), ("", UnknownNetwork)):
        weights.save(tmp_path / "w.safetensors", name, arrays)
        with pytest.raises(error, match="unknown network"):
            subjects(asked(folder, tmp_path / "w.safetensors"), silent)
    arrays["fc4/bias"][3] = np.nan
    weights.save(tmp_path / "w.safetensors", NETWORK.name, arrays)
    with pytest.raises(WeightsError, match="'fc4/bias' is nan at index"):
        subjects(asked(folder, tmp_path / "w.safetensors"), silent)


def test_a_network_that_fills_the_memory_asks_to_be_allowed(tmp_path: Path, folder: Path) -> None:
    weights.save(tmp_path / "w.safetensors", "note-004", weights.generate(NETWORK, "scaled", 0))
    with pytest.raises(UsageError, match="--large"):
        subjects(asked(folder, tmp_path / "w.safetensors"), silent)


def test_networks_with_other_numbers_of_classes_have_no_ensemble(folder: Path) -> None:
    found = [subject("cifar-4layer"), subject("paper")]
    with pytest.raises(UsageError, match="10 and 1000 classes have no common ensemble: pass --no-ensemble"):
        images_for(asked(folder), found, silent)
    with pytest.raises(UsageError, match="36x36 are smaller than the input of network 'paper', 224x224"):
        images_for(dataclasses.replace(asked(folder), ensemble=False), found, silent)


def test_a_mean_image_of_another_side_is_refused(folder: Path) -> None:
    mean = Preprocessing("mean-image", 40, 3, np.zeros((40, 40, 3), np.float32))
    with pytest.raises(UsageError, match="mean image is of side 40, the data's images of 36"):
        images_for(asked(folder), [subject("cifar-4layer", {"preprocessing": mean.to_text()})], silent)


def test_a_part_without_images_is_refused(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    shutil.copytree(folder, empty)
    np.save(empty / "val.images.npy", np.empty((0, 36, 36, 3), np.uint8))
    np.save(empty / "val.labels.npy", np.empty(0, np.int32))
    facts = json.loads((empty / "prepared.json").read_text())
    facts["parts"]["val"]["images"] = 0
    (empty / "prepared.json").write_text(json.dumps(facts))
    with pytest.raises(UsageError, match=r"part val of .*empty has no images"):
        images_for(asked(empty), [subject("cifar-4layer")], silent)
