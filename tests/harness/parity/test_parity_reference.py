"""References, baselines and the twin one unit in the last place away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray

from harness.parity import reference
from harness.parity.bench import Bench, Material
from harness.parity.cases import Case, loss_cases, operator_cases
from harness.parity.miniature import MINIATURE
from harness.parity.verdict import judge
from impls.oracle import network as oracle
from impls.oracle import operators, sgd
from impls.oracle.rounding import PRECISIONS

Array = NDArray[Any]
FLOAT32 = PRECISIONS["float32"]


# --- single layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_every_case_expects_what_the_oracle_computes_and_accepts_its_low_precision(name: str) -> None:
    precision = PRECISIONS[name]
    for case in operator_cases(precision, 0):
        expected = reference.expected_layer(case, precision)
        x = case.x.astype(np.float64)
        y = operators.forward(case.layer, x, case.parameters, case.mask)
        np.testing.assert_array_equal(expected["y"].value, y, case.name)
        low = {"y": precision.round(operators.forward(case.layer, case.x, case.parameters, case.mask))}
        if case.dy is None:
            assert set(expected) == {"y"}
        else:
            wanted = operators.vjp(case.layer, x, case.parameters, case.dy.astype(np.float64), case.mask)
            found = operators.vjp(case.layer, case.x, case.parameters, case.dy, case.mask)
            assert set(expected) == {"y", "dx", *wanted.dparameters}
            np.testing.assert_array_equal(expected["dx"].value, wanted.dx, case.name)
            low["dx"] = precision.round(found.dx)
            low |= {name: precision.round(np.asarray(value)) for name, value in found.dparameters.items()}
        for tensor, value in low.items():
            judgement = judge(value, expected[tensor], precision)
            assert judgement.verdict == "pass", f"{case.name} {tensor}: {judgement.reason}"


@pytest.mark.parametrize("tensor", ["y", "dx", "weight", "bias"])
def test_an_error_of_a_thousandth_fails_in_every_tensor_of_every_case(tensor: str) -> None:
    for case in operator_cases(FLOAT32, 0):
        expected = reference.expected_layer(case, FLOAT32).get(tensor)
        if expected is None or not np.any(np.nan_to_num(np.asarray(expected.value))):
            continue
        found = (np.asarray(expected.value) * 1.001).astype(np.float32)
        assert judge(found, expected, FLOAT32).verdict == "fail", case.name


def test_cross_entropy_expects_what_the_oracle_computes_and_accepts_float32() -> None:
    for case in loss_cases(FLOAT32, 0):
        expected = reference.expected_loss(case, FLOAT32)
        loss, dlogits = operators.cross_entropy(case.logits.astype(np.float64), case.labels)
        assert np.asarray(expected["loss"].value).tolist() == [loss]
        np.testing.assert_array_equal(expected["dlogits"].value, dlogits)
        low_loss, low_dlogits = operators.cross_entropy(case.logits, case.labels)
        assert judge(np.array([low_loss], np.float32), expected["loss"], FLOAT32).verdict == "pass", case.name
        assert judge(low_dlogits, expected["dlogits"], FLOAT32).verdict == "pass", case.name
        assert judge(low_dlogits * np.float32(1.001), expected["dlogits"], FLOAT32).verdict == "fail", case.name


def test_tf32_widens_the_bound_of_products_and_of_nothing_else() -> None:
    tf32 = PRECISIONS["tf32"]
    for case in operator_cases(tf32, 0):
        narrow, wide = (reference.expected_layer(case, precision)["y"].gauge for precision in (FLOAT32, tf32))
        assert narrow is not None and wide is not None
        ratio = np.nanmax(np.asarray(wide.scale)) / np.nanmax(np.asarray(narrow.scale))
        product = type(case.layer).__name__ in ("Conv", "Dense")
        assert ratio == pytest.approx(2.0**13 if product else 1.0), case.name


# --- the twin ---------------------------------------------------------------------------------------------------------


@given(
    arrays_of.arrays(
        np.float32,
        st.integers(1, 40),
        elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_nan=False),
    )
)
@settings(max_examples=60, deadline=None)
def test_the_twin_moves_every_weight_to_a_neighbour(weight: Array) -> None:
    moved = reference._one_ulp_away({"w": weight})["w"]
    above, below = np.nextafter(weight, np.float32(np.inf)), np.nextafter(weight, np.float32(-np.inf))
    assert np.all((moved == above) | (moved == below))


def test_the_twin_moves_up_and_down_in_turn_and_leaves_the_weights_alone() -> None:
    weight = np.array([[1.0, 2.0, -3.0], [-4.0, 5.0, 6.0]], np.float32)
    weight.flags.writeable = False
    moved = reference._one_ulp_away({"w": weight})["w"]
    assert moved.shape == weight.shape and moved.dtype == np.float32
    np.testing.assert_array_equal(np.sign(np.abs(moved) - np.abs(weight)).ravel(), [1, -1, 1, -1, 1, -1])
    assert np.all(moved != weight)


# --- whole passes -----------------------------------------------------------------------------------------------------


def test_the_forward_reference_is_the_oracles_and_accepts_float32(bench: Bench, arrays: dict[str, Array]) -> None:
    images = bench.material.images[:2]
    wanted = reference.forward(MINIATURE, arrays, images, FLOAT32)
    exact = oracle.forward(MINIATURE, arrays, images)
    low = oracle.forward(MINIATURE, arrays, images, dtype=np.float32)
    assert list(wanted.expected) == [layer.name for layer in MINIATURE.layers]
    for name, expected in wanted.expected.items():
        np.testing.assert_array_equal(expected.value, exact[name])
        assert judge(low[name], expected, FLOAT32).verdict == "pass", name
        assert expected.sigma is not None and expected.sigma.shape == exact[name].shape
        assert judge((exact[name] * 1.001).astype(np.float32), expected, FLOAT32).verdict == "fail", name


def test_the_gradient_reference_is_the_oracles_and_accepts_float32(bench: Bench, arrays: dict[str, Array]) -> None:
    exact = oracle.gradients(MINIATURE, arrays, bench.batch)
    low = oracle.gradients(MINIATURE, arrays, bench.batch, dtype=np.float32)
    assert set(bench.gradient.expected) == {"loss", *arrays}
    for name, gradient in exact.gradients.items():
        expected = bench.gradient.expected[name]
        np.testing.assert_array_equal(np.asarray(expected.value), np.asarray(gradient))
        assert judge(np.asarray(low.gradients[name]), expected, FLOAT32).verdict == "pass", name
        assert judge(np.asarray(gradient) * 1.01, expected, FLOAT32).verdict == "fail", name
    assert judge(np.array([low.loss]), bench.gradient.expected["loss"], FLOAT32).verdict == "pass"


def test_the_training_reference_is_the_oracles_and_accepts_float32(bench: Bench) -> None:
    arrays = bench.training_start
    exact = sgd.train(MINIATURE, arrays, bench.steps)
    low = sgd.train(MINIATURE, arrays, bench.steps, dtype=np.float32)
    wanted = bench.training
    assert set(wanted.expected) == {"losses", *arrays}
    assert np.asarray(wanted.expected["losses"].value).tolist() == exact.losses
    for name, weight in exact.weights.items():
        assert judge(low.weights[name], wanted.expected[name], FLOAT32).verdict == "pass", name
        assert judge(arrays[name], wanted.expected[name], FLOAT32).verdict == "fail", f"{name}: training left no trace"
        assert wanted.moved_rms[name] == pytest.approx(np.sqrt(np.mean((weight - arrays[name]) ** 2)))
    assert wanted.followed == ("conv1/weight", "fc8/weight")
    assert len(wanted.passes) == len(bench.steps)


def test_two_training_steps_too_few_are_seen(bench: Bench) -> None:
    arrays = bench.training_start
    short = sgd.train(MINIATURE, arrays, bench.steps[:-2], dtype=np.float32)
    failed = [n for n, w in short.weights.items() if judge(w, bench.training.expected[n], FLOAT32).verdict == "fail"]
    assert len(failed) > len(arrays) / 2


# --- what a run compares on -------------------------------------------------------------------------------------------


def made_bench(bench: Bench, folder: Path, photographs: tuple[str, ...], each: int = 1) -> Bench:
    """A bench of its own with so many photographs, each in `each` views of its own."""
    count = each * len(photographs)
    images = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1) + np.zeros(
        (count, *bench.material.images.shape[1:])
    )
    material: Material = replace(
        bench.material,
        images=images.astype(np.float32),
        photographs=photographs,
        centres=tuple(range(0, count, each)),
        folder=folder,
    )
    return Bench(material)


def test_the_chunks_cover_every_view_once_and_in_order(bench: Bench, tmp_path: Path) -> None:
    made = made_bench(bench, tmp_path, tuple(f"{i}.jpg" for i in range(5)), each=10)
    assert [name for name, _ in made.chunks] == ["0.jpg, 1.jpg", "2.jpg, 3.jpg", "4.jpg"]
    np.testing.assert_array_equal(np.concatenate([images for _, images in made.chunks]), made.material.images)


def test_photographs_of_one_name_in_two_folders_are_both_compared(bench: Bench, tmp_path: Path) -> None:
    from harness.parity.levels import forward_jobs

    made = made_bench(bench, tmp_path, ("1.jpg",) * 3, each=20)
    jobs = list(forward_jobs(made))
    assert len({job.task["inputs"] for job in jobs}) == 3
    assert len({job.case for job in jobs}) == 3
    first, last = made.chunks[0], made.chunks[-1]
    assert made.forward(*first).images is not made.forward(*last).images


def test_a_photographs_name_may_be_as_long_as_a_file_system_allows(bench: Bench, tmp_path: Path) -> None:
    from harness.parity.levels import forward_jobs

    made = made_bench(bench, tmp_path, ("a" * 200 + ".jpg", "b" * 200 + ".jpg"))
    assert Path(next(iter(forward_jobs(made))).task["inputs"]).is_file()


def test_a_batch_has_a_mask_for_every_dropout_layer_with_its_rate(bench: Bench) -> None:
    assert set(bench.batch.masks) == {"drop6", "drop7"}
    for index in range(5):
        batch, rule = bench.steps[index]
        assert batch.images.shape[0] == len(batch.labels) == 2
        assert {name: mask.shape for name, mask in batch.masks.items()} == {"drop6": (2, 30), "drop7": (2, 26)}
        assert all(set(np.unique(mask)) <= {0.0, 1.0} for mask in batch.masks.values())
        assert rule.momentum == 0.9
    kept = np.mean([batch.masks["drop6"].mean() for batch, _ in bench.steps])
    assert 0.45 < kept < 0.75  # 1 - rate = 0.6 of 300 units


def test_the_learning_rate_drops_while_momentum_is_under_way(bench: Bench) -> None:
    rates = [rule.learning_rate for _, rule in bench.steps]
    assert len(set(rates)) == 2 and rates == sorted(rates, reverse=True)
    assert 1 <= rates.index(min(rates)) <= len(rates) - 2, (
        "both rates need two steps to tell the forms of momentum apart"
    )


def test_another_seed_draws_another_batch(bench: Bench, tmp_path: Path) -> None:
    other = Bench(replace(bench.material, seed=1, folder=tmp_path))
    again = Bench(replace(bench.material, folder=tmp_path))
    assert not np.array_equal(other.batch.masks["drop6"], bench.batch.masks["drop6"])
    np.testing.assert_array_equal(again.batch.masks["drop6"], bench.batch.masks["drop6"])
    np.testing.assert_array_equal(again.batch.labels, bench.batch.labels)


def test_layer_cases_are_fed_the_references_own_activations(bench: Bench) -> None:
    cases: dict[str, Case] = {case.name: case for case in bench.layer_cases}
    assert [n for n in cases if not n.endswith("test time")] == [layer.name for layer in MINIATURE.layers]
    assert set(cases) - {layer.name for layer in MINIATURE.layers} == {"drop6, test time", "drop7, test time"}
    exact = oracle.forward(MINIATURE, bench.material.weights, bench.batch.images, bench.batch.masks)
    np.testing.assert_array_equal(cases["norm1"].x, exact["relu1"].astype(np.float32))
    np.testing.assert_array_equal(cases["fc4"].parameters["weight"], bench.material.weights["fc4/weight"])
    assert cases["drop6"].mask is not None and cases["drop6, test time"].mask is None
