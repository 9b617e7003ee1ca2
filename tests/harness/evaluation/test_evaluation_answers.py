"""What is kept of an answer: predictions in their file, ensembles, and where two frameworks part."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.data.prepared import Prepared, open_prepared
from harness.errors import UsageError
from harness.evaluation import agreement, comparison, metrics
from harness.evaluation.ensemble import Ensemble
from harness.evaluation.ground import Ground, ground_of
from harness.evaluation.predictions import PredictionsFile, said_of

CLASSES = ("cat", "dog", "owl", "yak", "bee", "ant", "fox", "elk")


def answers(images: int = 50, classes: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = metrics.softmax(rng.standard_normal((images, classes)).astype(np.float32))
    return probabilities, rng.integers(0, classes, images).astype(np.int32)


def test_what_is_kept_is_what_the_probabilities_say_also_beyond_the_first_piece() -> None:
    probabilities, labels = answers(images=9000)
    whole, order = said_of(probabilities, labels), np.argsort(-probabilities, axis=1)
    assert (whole["classes"] == order[:, :6]).all()
    assert (whole["probabilities"] == np.take_along_axis(probabilities, order[:, :6], axis=1)).all()
    assert (whole["top1"] == (order[:, 0] == labels)).all()
    assert (whole["top5"] == (order[:, :5] == labels[:, np.newaxis]).any(axis=1)).all()


def test_predictions_are_a_row_for_each_image_with_five_classes(tmp_path: Path) -> None:
    probabilities, labels = answers(images=30)
    names = [f"image {index}" for index in range(30)]
    with PredictionsFile(tmp_path, names, labels) as file:
        file.add("torch", "ab12", 10, said_of(probabilities, labels))
        assert not (tmp_path / "predictions.parquet").exists()
        file.add("jax", "ab12", 10, said_of(probabilities[:, ::-1], labels))
    table = pq.read_table(tmp_path / "predictions.parquet").to_pydict()
    assert list(table) == [
        "framework", "weights", "crops", "image", "name", "label", "class1", "class2", "class3", "class4", "class5",
        "probability1", "probability2", "probability3", "probability4", "probability5", "top1_credit", "top5_credit",
    ]  # fmt: skip
    assert table["framework"] == ["torch"] * 30 + ["jax"] * 30
    assert table["image"] == [*range(30), *range(30)] and table["name"][31] == "image 1"
    assert table["label"][:30] == labels.tolist()
    assert table["class1"][:30] == probabilities.argmax(axis=1).tolist()
    assert table["probability1"][:30] == probabilities.max(axis=1).tolist()
    assert table["top1_credit"][:30] == metrics.credit(probabilities, labels, 1).tolist()
    assert not list(tmp_path.glob(".*"))


def test_a_network_of_two_classes_has_no_third_guess(tmp_path: Path) -> None:
    probabilities, labels = answers(classes=2)
    with PredictionsFile(tmp_path, [""] * 50, labels) as file:
        file.add("torch", "ab12", 1, said_of(probabilities, labels))
    table = pq.read_table(tmp_path / "predictions.parquet").to_pydict()
    assert None not in table["class2"]
    assert set(table["class3"]) == set(table["probability5"]) == {None}
    assert set(table["top5_credit"]) == {1.0}


def test_what_was_predicted_before_an_interrupt_stands(tmp_path: Path) -> None:
    probabilities, labels = answers()

    def interrupted() -> None:
        with PredictionsFile(tmp_path, [""] * 50, labels) as file:
            file.add("torch", "ab12", 1, said_of(probabilities, labels))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert pq.read_metadata(tmp_path / "predictions.parquet").num_rows == 50


def test_a_run_that_predicted_nothing_leaves_no_predictions_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "predictions.parquet").write_text("of an earlier run")
    with PredictionsFile(tmp_path, [], np.empty(0, np.int32)):
        pass
    assert not list(tmp_path.iterdir())


def test_an_ensemble_is_the_mean_of_its_networks_probabilities(tmp_path: Path) -> None:
    members = [answers(seed=seed)[0] for seed in range(3)]
    ensemble = Ensemble(tmp_path)
    for member in members:
        ensemble.add(member)
    assert ensemble.networks == 3
    assert np.load(ensemble.mean()) == pytest.approx(np.mean(members, axis=0), rel=1e-15)


def test_networks_that_answer_otherwise_have_no_ensemble(tmp_path: Path) -> None:
    ensemble = Ensemble(tmp_path)
    ensemble.add(answers(classes=8)[0])
    with pytest.raises(UsageError, match="10 classes beside 8"):
        ensemble.add(answers(classes=10)[0])


def two_frameworks(first: list[list[float]], second: list[list[float]], labels: list[int]) -> list[agreement.Row]:
    own = np.array(labels, np.int32)
    ground = Ground([f"{index}.png" for index in range(len(own))], own, CLASSES)
    said = [said_of(np.array(values), own) for values in (first, second)]
    return list(agreement.rows(ground, "ab12", 10, ("torch", said[0]), ("jax", said[1])))


def test_frameworks_that_say_the_same_have_no_row() -> None:
    same, near = [[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]], [[0.6 - 1e-9, 0.3 + 1e-9, 0.1], [0.2, 0.2, 0.6]]
    assert not two_frameworks(same, near, [0, 1])


def test_a_disagreement_shows_both_probabilities_and_margins() -> None:
    (row,) = two_frameworks([[0.41, 0.40, 0.19], [1, 0, 0]], [[0.40, 0.42, 0.18], [1, 0, 0]], [1, 0])
    assert (row["image"], row["name"], row["label"], row["differs"]) == (0, "0.png", "dog", "top-1")
    assert (row["framework_a"], row["predicted_a"], row["probability_a"]) == ("torch", "cat", 0.41)
    assert (row["framework_b"], row["predicted_b"], row["probability_b"]) == ("jax", "dog", 0.42)
    assert (row["margin_a"], row["margin_b"]) == pytest.approx((0.01, 0.02))


def test_two_wrong_classes_that_differ_are_a_disagreement_too() -> None:
    (row,) = two_frameworks([[0.41, 0.40, 0.19]], [[0.40, 0.42, 0.18]], [2])
    assert row["differs"] == "class"


def test_a_label_that_leaves_the_first_five_shows_how_close_the_sixth_was() -> None:
    first = [[0.3, 0.2, 0.15, 0.12, 0.11, 0.10, 0.02, 0.0]]
    second = [[0.3, 0.2, 0.15, 0.12, 0.10, 0.105, 0.025, 0.0]]
    (row,) = two_frameworks(first, second, [5])
    assert row["differs"] == "top-5"
    assert (row["margin_a"], row["margin_b"]) == pytest.approx((0.01, 0.005))


def test_a_class_beyond_the_datas_is_named_by_its_number() -> None:
    ground = Ground(["one.png"], np.array([0]), CLASSES[:2])
    assert [ground.called(index) for index in (1, 2)] == ["dog", "class 2"]


def test_outputs_in_the_order_of_the_classes_names_get_labels_in_that_order(folder: Path) -> None:
    prepared = dataclasses.replace(open_prepared(folder), classes=tuple("jhbdifcage"))
    given, ordered = (ground_of(prepared, "val", 9, order) for order in ("data", "sorted"))
    assert list(ordered.classes) == sorted(prepared.classes)
    assert len(given.labels) == len(ordered.labels) == 9 and given.names == ordered.names
    for before, after in zip(given.labels, ordered.labels, strict=True):
        assert given.called(before) == ordered.called(after) == prepared.classes[before]


@pytest.fixture
def imagenet(folder: Path) -> Prepared:
    classes = tuple(f"n{index:08}" for index in range(1000))
    return dataclasses.replace(open_prepared(folder), source="imagenet:ILSVRC2012", classes=classes)


def test_the_whole_validation_part_of_2012_stands_beside_table_2(imagenet: Prepared) -> None:
    found = comparison.beside(["paper"], imagenet, "val", 50_000, 10)
    assert found == comparison.Beside(0.407, 0.182, "yes")
    assert comparison.beside(["paper"] * 5, imagenet, "val", 50_000, 10) == comparison.Beside(0.381, 0.164, "yes")
    assert comparison.beside(["caffenet"], imagenet, "val", 50_000, 1) == comparison.Beside(0.426, 0.196, "yes")


def test_the_test_part_of_2010_stands_beside_table_1(imagenet: Prepared) -> None:
    older = dataclasses.replace(imagenet, source="imagenet:ILSVRC2010")
    assert comparison.beside(["paper"], older, "test", 150_000, 10) == comparison.Beside(0.375, 0.17, "yes")
    assert comparison.beside(["paper"], older, "test", 150_000, 1) == comparison.Beside(0.39, 0.183, "yes")
    assert comparison.beside(["paper"], older, "val", 50_000, 10) == comparison.Beside()


def test_a_part_of_the_images_other_images_and_another_network_do_not_compare(imagenet: Prepared) -> None:
    assert comparison.beside(["paper"], imagenet, "val", 49_999, 10).comparable == "no"
    fewer = dataclasses.replace(imagenet, classes=imagenet.classes[:10])
    assert comparison.beside(["paper"], fewer, "val", 50_000, 10).comparable == "no"
    digits = dataclasses.replace(imagenet, source="digits")
    assert comparison.beside(["paper"], digits, "val", 50_000, 10) == comparison.Beside(0.407, 0.182, "no")
    for networks in (["cifar-4layer"], ["paper", "caffe"], ["torchvision"]):
        assert comparison.beside(networks, imagenet, "val", 50_000, 10) == comparison.Beside()
