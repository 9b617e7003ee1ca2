"""Ablation tables and figure 1's ratio against plain computations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.paper import ablation_rows, figure_four, figure_one, figure_three, ledger, subject, variants
from harness.paper.evidence import Evidence, Row
from impls import catalog, weights


def trial(variant: str, seed: int, error: float | None, crops: int = 1, framework: str = "torch") -> Row:
    return {
        "framework": framework, "variant": variant, "seed": seed, "crops": crops, "network": "miniature",
        "data": "digits", "images": 360, "epochs": 20, "top1_error": error, "top5_error": 0.0,
        "signature": f"alexbench:0|network:miniature|seed:{seed}|framework:{framework}-2",
    }  # fmt: skip


def ablation(name: str) -> variants.Ablation:
    return next(one for one in variants.ABLATIONS if one.name == name)


def test_pairs_are_of_one_seed_and_one_framework_and_need_both_sides() -> None:
    trials = [
        trial("base", 0, 0.05), trial("no-lrn", 0, 0.07), trial("base", 1, 0.04), trial("no-lrn", 2, 0.9),
        trial("base", 3, 0.05), trial("no-lrn", 3, None), trial("base", 0, 0.5, framework="jax"),
    ]  # fmt: skip
    found = ablation_rows.pairs(trials, [(ablation("no-lrn"), "base", "no-lrn")])
    assert [(row["seed"], row["framework"], round(row["difference"], 9)) for row in found] == [(0, "torch", 0.02)]


def test_crops_are_held_against_each_other_on_the_same_weights() -> None:
    trials = [trial("mirrored", 0, 0.08, crops=1), trial("mirrored", 0, 0.06, crops=10)]
    (found,) = ablation_rows.pairs(trials, [(ablation("one-crop"), "mirrored", "mirrored")])
    assert (found["baseline_error"], found["variant_error"], found["crops"]) == (0.06, 0.08, "1 against 10")


def pairs(*differences: float, framework: str = "torch") -> list[Row]:
    trials = [
        one
        for seed, difference in enumerate(differences)
        for one in (
            trial("base", seed, 0.05, framework=framework),
            trial("no-lrn", seed, 0.05 + difference, framework=framework),
        )
    ]
    return ablation_rows.pairs(trials, [(ablation("no-lrn"), "base", "no-lrn")])


def normalisation_row(rows: list[Row]) -> list[Row]:
    found = ledger.empirical(Evidence(ablation=tuple(rows)))
    return [row for row in found if "without local response normalisation" in row["claim"]]


def test_the_ledger_says_what_was_measured_and_on_what() -> None:
    (row,) = normalisation_row(pairs(0.010, 0.012, 0.011))
    assert row["verdict"] == "measured"
    assert row["ours"] == "+1.10 ± 0.25 points, n = 3 seeds"
    assert row["on"] == "digits, miniature in torch-2, 20 epochs"
    assert "a difference is shown" in row["note"]
    assert "not ImageNet" in row["note"]


def test_the_ledger_does_not_call_noise_a_difference() -> None:
    (row,) = normalisation_row(pairs(0.010, -0.012, 0.011))
    assert "no difference is shown" in row["note"]
    (single,) = normalisation_row(pairs(0.010))
    assert "one seed tells nothing" in single["note"]


def test_on_the_papers_own_data_nothing_is_said_of_other_data() -> None:
    (row,) = normalisation_row([{**one, "data": "imagenet-2012"} for one in pairs(0.010, 0.012, 0.011)])
    assert "other data" not in row["note"]


def test_the_claim_on_cifar_is_measured_on_cifar_only() -> None:
    def on(data: str) -> str:
        rows = tuple({**one, "data": data} for one in pairs(0.01, 0.02))
        (row,) = [row for row in ledger.empirical(Evidence(ablation=rows)) if "four-layer net on CIFAR" in row["claim"]]
        return str(row["verdict"])

    assert (on("digits"), on("cifar10:data")) == ("needs CIFAR-10", "measured")


def test_frameworks_are_not_mixed() -> None:
    found = normalisation_row([*pairs(0.01, 0.02), *pairs(0.5, 0.6, framework="jax")])
    assert [row["ours"].split(" ")[0] for row in found] == ["+1.50", "+55.00"]


def test_a_seed_measured_twice_counts_once() -> None:
    (row,) = normalisation_row([*pairs(0.010, 0.012, 0.011), *pairs(0.010, 0.012, 0.011)])
    assert row["ours"].endswith("n = 3 seeds")


def curve(variant: str, errors: list[float], seed: int = 0, rate: float = 0.01) -> list[Row]:
    return [
        {"framework": "torch", "variant": variant, "seed": seed, "epoch": number, "training_error": error,
         "learning_rate": rate, "data": "digits", "network": "miniature"}
        for number, error in enumerate(errors, start=1)
    ]  # fmt: skip


def test_epochs_until_the_target_lie_between_two_epochs() -> None:
    assert figure_one.epochs_until(curve("relu", [0.5, 0.3, 0.2])) == pytest.approx(2.5)
    assert figure_one.epochs_until(curve("relu", [0.25])) == pytest.approx(1.0)
    assert figure_one.epochs_until(curve("relu", [0.5, 0.3])) is None


def test_the_fastest_rate_is_first_at_the_target_or_ends_lowest() -> None:
    slow, fast, never = curve("relu", [0.6, 0.2]), curve("relu", [0.2, 0.3]), curve("relu", [0.3, 0.26])
    assert figure_one.fastest([slow, fast, never]) == fast
    assert figure_one.fastest([never, curve("relu", [0.9, 0.9])]) == never


def test_the_ratio_is_of_the_same_seed_and_seeds_without_one_are_counted() -> None:
    rows = [*curve("relu", [0.5, 0.25]), *curve("tanh", [0.9, 0.8, 0.7, 0.5, 0.35, 0.25]),
            *curve("relu", [0.25], seed=1), *curve("tanh", [0.9], seed=1)]  # fmt: skip
    found, missing = figure_one.ratio(rows)
    assert found is not None
    assert (found.value, found.blocks, missing) == (pytest.approx(3.0), 1, 1)
    assert not found.known


def test_figure_1_is_a_measured_claim_once_there_are_curves() -> None:
    rows = [*curve("relu", [0.5, 0.25]), *curve("tanh", [0.9, 0.8, 0.7, 0.25])]
    (row,) = [row for row in ledger.empirical(Evidence(training_error=tuple(rows))) if row["section"] == "3.1"]
    assert (row["verdict"], row["ours"]) == ("measured", "2.00 times, n = 1 seed")


def test_figure_1s_ratio_over_seeds_has_an_interval_above_zero() -> None:
    """Of ratios 1/3, 1 and 3: 15.3 times each way on the logarithms; around their mean it would cross zero."""
    rows = [
        one
        for seed, (relu, tanh) in enumerate([(3, 1), (2, 2), (1, 3)])
        for one in (
            *curve("relu", [0.9] * (relu - 1) + [0.25], seed),
            *curve("tanh", [0.9] * (tanh - 1) + [0.25], seed),
        )
    ]
    (row,) = [row for row in ledger.empirical(Evidence(training_error=tuple(rows))) if row["section"] == "3.1"]
    assert row["ours"] == "1.00 (0.07 to 15.32) times, n = 3 seeds"
    assert (row["low"], row["high"]) == (pytest.approx(1 / 15.32, rel=1e-3), pytest.approx(15.32, rel=1e-3))


def test_grey_kernels_have_no_colour_and_opponent_ones_nothing_else() -> None:
    grey = np.repeat(np.random.default_rng(0).normal(size=(3, 3, 1, 2)), 3, axis=2)
    opponent = np.zeros((3, 3, 3, 1))
    opponent[..., 0, 0], opponent[..., 1, 0] = 1.0, -1.0
    kernels = np.concatenate([grey, opponent, np.zeros((3, 3, 3, 1))], axis=3)
    assert figure_three.colour_shares(kernels) == pytest.approx([0.0, 0.0, 1.0, 0.0], abs=1e-12)


def subject_of(tmp_path: Path, **metadata: str) -> subject.Subject:
    """The first layer of the paper's network: one tower grey, the other seeing nothing but colour."""
    kernels = np.random.default_rng(0).normal(size=(11, 11, 1, 96)).repeat(3, axis=2).astype(np.float32)
    kernels[..., 48:] *= np.array([1, -1, 0], np.float32)[:, None]
    held = weights.Weights("paper", {"conv1/weight": kernels}, metadata)
    return subject.Subject(tmp_path / "w.safetensors", catalog.get("paper"), held)


def test_a_tower_of_colours_beside_a_grey_one_is_a_measured_claim(tmp_path: Path) -> None:
    row = figure_three.colour_row(subject_of(tmp_path, data="imagenet-2012", epoch="90"))
    assert row is not None
    assert (row["tower_1"], row["tower_2"]) == (pytest.approx(0, abs=1e-9), pytest.approx(1))
    (claim,) = [one for one in ledger.empirical(Evidence(colour=(row,))) if one["source"] == "figure 3"]
    assert (claim["verdict"], claim["on"]) == ("measured", "paper trained on imagenet-2012, 90 epochs")


def test_kernels_that_were_never_trained_measure_nothing(tmp_path: Path) -> None:
    assert figure_three.colour_row(subject_of(tmp_path)) is None


def test_the_nearest_are_found_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure_four, "ROWS", 7)
    rng = np.random.default_rng(1)
    queries, others = rng.normal(size=(3, 5)), rng.normal(size=(40, 5))
    found, distances = figure_four.nearest(queries, others, 6)
    plain = np.linalg.norm(queries[:, None] - others[None], axis=2)
    assert np.array_equal(found, np.argsort(plain, axis=1)[:, :6])
    assert distances == pytest.approx(np.sort(plain, axis=1)[:, :6])


@pytest.mark.parametrize(
    ("wrong", "images", "shown"),
    [
        ([3, 50, 51, 97, 98, 99], 100, [0, 3, 32, 50, 65, 97, 96, 99]),
        ([], 100, [0, 14, 28, 42, 56, 70, 84, 99]),
        ([7], 100, [0, 7, 17, 33, 50, 66, 82, 99]),
        (range(98), 100, [0, 19, 38, 58, 77, 97, 98, 99]),
        (range(100), 100, [0, 14, 28, 42, 56, 70, 84, 99]),
        ([1], 3, [0, 1, 2]),
    ],
    ids=["half", "none", "one", "few right", "none right", "few images"],
)
def test_half_of_figure_4_are_failures_where_there_are_so_many(wrong: list[int], images: int, shown: list[int]) -> None:
    mask = np.isin(np.arange(images), list(wrong))
    found = figure_four.mixed(mask, 8)
    assert found.tolist() == sorted(shown)
    failures = len(set(shown) & set(wrong))
    said = f"{failures} of the {len(shown)} shown were picked from the {len(wrong)} of {images} that are misclassified"
    assert figure_four.picked(mask, found) == (said if wrong else f"None of the {images} images is misclassified")


def test_images_of_figure_4_are_spread_over_the_part() -> None:
    assert figure_four.spread(100, 5).tolist() == [0, 24, 49, 74, 99]
    assert figure_four.spread(3, 8).tolist() == [0, 1, 2]
