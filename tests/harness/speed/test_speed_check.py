"""The check of the program that is timed: rounding passes, faults do not, whatever the batch's size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.parity import reference
from harness.parity.compare import rms
from harness.parity.miniature import MINIATURE
from harness.speed import check
from impls import weights
from impls.oracle import network as whole
from impls.oracle.rounding import PRECISIONS
from impls.protocol import Array, Arrays, Batch

FLOAT32 = PRECISIONS["float32"]
SHAPE = (2, MINIATURE.height, MINIATURE.width, MINIATURE.channels)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return dict(weights.generate(MINIATURE, "scaled", 0))


def batch(seed: int = 0, count: int = 2) -> Batch:
    rng = np.random.default_rng([seed, 3])
    return check.batch_of(MINIATURE, np.round(rng.normal(0, 60, (count, *SHAPE[1:]))).astype(np.float32), seed)


def found_by(arrays: Arrays, given: Batch) -> Arrays:
    """What a correct float32 loop leaves."""
    done = whole.gradients(MINIATURE, arrays, given, np.float32, FLOAT32)
    gradients = {f"gradient/{name}": np.asarray(value, np.float32) for name, value in done.gradients.items()}
    return {"loss": np.array([done.loss], np.float32), **gradients}


def made(arrays: Arrays, given: Batch, precision: str = "float32") -> check.Check:
    wanted = reference.gradient(MINIATURE, arrays, given, PRECISIONS[precision])
    return check.gradient_check(MINIATURE, wanted, PRECISIONS[precision])


def tiled(given: Batch, times: int) -> Batch:
    def tile(array: Array) -> Array:
        return np.tile(array, (times, *(1,) * (array.ndim - 1)))

    return Batch(
        tile(given.images), np.tile(given.labels, times), {name: tile(mask) for name, mask in given.masks.items()}
    )


def test_a_repeated_batch_has_the_loss_and_gradients_of_the_two_images(arrays: Arrays) -> None:
    given = batch()
    once, often = (whole.gradients(MINIATURE, arrays, some) for some in (given, tiled(given, 8)))
    assert often.loss == pytest.approx(once.loss, rel=1e-12)
    for name, value in once.gradients.items():
        difference = np.asarray(often.gradients[name]) - np.asarray(value)
        assert np.abs(difference).max() <= 1e-12 * rms(value) * 100


@pytest.mark.parametrize("seed", range(12))
def test_correct_float32_passes_on_any_batch_even_where_choices_turn(arrays: Arrays, seed: int) -> None:
    given = batch(seed)
    outcome = made(arrays, given).judge(found_by(arrays, tiled(given, 4)), 0.0)
    assert outcome.verdict == "pass", outcome.reason
    assert outcome.gauge < 1


def test_one_image_serves_an_odd_batch(arrays: Arrays) -> None:
    given = batch(count=1)
    assert made(arrays, given).judge(found_by(arrays, tiled(given, 3)), 1.0).verdict == "pass"


@pytest.mark.parametrize("tensor", [name for name in weights.generate(MINIATURE, "scaled", 0) if "weight" in name])
def test_a_gradient_a_tenth_too_large_fails(arrays: Arrays, tensor: str) -> None:
    found = found_by(arrays, batch())
    found[f"gradient/{tensor}"] *= np.float32(1.1)
    outcome = made(arrays, batch()).judge(found, 0.0)
    assert outcome.verdict == "fail" and f"gradient/{tensor}" in outcome.reason
    assert outcome.gauge > 1


def test_masks_of_other_rows_fail(arrays: Arrays) -> None:
    given = batch()
    turned = given._replace(masks={name: mask[::-1] for name, mask in given.masks.items()})
    assert given.masks
    assert made(arrays, given).judge(found_by(arrays, turned), 0.0).verdict == "fail"


def test_the_mean_of_half_the_batch_fails(arrays: Arrays) -> None:
    given = batch()
    half = Batch(given.images[:1], given.labels[:1], {name: mask[:1] for name, mask in given.masks.items()})
    assert made(arrays, given).judge(found_by(arrays, half), 0.0).verdict == "fail"


def test_nan_fails_and_a_missing_tensor_fails(arrays: Arrays) -> None:
    checked, found = made(arrays, batch()), found_by(arrays, batch())
    name = next(name for name in found if name.endswith("conv1/weight"))
    assert checked.judge({**found, name: np.full_like(found[name], np.nan)}, 0.0).verdict == "fail"
    assert checked.judge({key: value for key, value in found.items() if key != name}, 0.0).verdict == "fail"


def test_a_gradient_of_zeros_proves_nothing(arrays: Arrays) -> None:
    closed = {name: value * 0 if name.startswith("conv1") else value for name, value in arrays.items()}
    given = batch()
    outcome = made(closed, given).judge(found_by(closed, given), 0.0)
    assert outcome.verdict == "vacuous"


def test_an_update_that_is_not_the_papers_fails(arrays: Arrays) -> None:
    checked, found = made(arrays, batch()), found_by(arrays, batch())
    assert checked.judge(found, 2.0).verdict == "pass"
    assert "not w + v" in checked.judge(found, 5.0).reason


def test_bfloat16_passes_in_bfloat16_and_not_in_float32(arrays: Arrays) -> None:
    given = batch()
    low = whole.gradients(MINIATURE, arrays, given, np.float32, PRECISIONS["bfloat16"])
    found = {f"gradient/{name}": np.asarray(value, np.float32) for name, value in low.gradients.items()}
    found["loss"] = np.array([low.loss], np.float32)
    assert made(arrays, given, "bfloat16").judge(found, 0.0).verdict == "pass"
    assert made(arrays, given).judge(found, 0.0).verdict == "fail"


def test_logits_of_all_rows_are_compared(arrays: Arrays) -> None:
    given = batch()
    checked = check.forward_check(MINIATURE, arrays, given, FLOAT32)
    logits = whole.forward(MINIATURE, arrays, tiled(given, 3).images, None, np.float32)[MINIATURE.logits]
    assert checked.judge({"logits": logits}, None).verdict == "pass"
    logits[5] = logits[4]
    assert checked.judge({"logits": logits}, None).verdict == "fail"


def test_the_rate_is_a_power_of_two_at_which_hundreds_of_steps_stay_finite(arrays: Arrays) -> None:
    given = batch()
    rule = check.rule_for(reference.gradient(MINIATURE, arrays, given, FLOAT32))
    assert np.log2(rule.learning_rate) == round(np.log2(rule.learning_rate))
    from impls.oracle import sgd

    done = sgd.train(MINIATURE, arrays, [(given, rule)] * 300, np.float32)
    assert np.isfinite(done.losses).all()
    assert done.losses[-1] < 0.9 * done.losses[0]
    moved = [name for name, value in done.weights.items() if (value != arrays[name]).any()]
    assert {name for name in arrays if name.endswith("/weight")} <= set(moved)


def test_a_near_tie_is_excused_and_identical_patches_are_not_taken_for_one(arrays: Arrays) -> None:
    wanted = reference.gradient(MINIATURE, arrays, batch(), FLOAT32)
    certain = replace(wanted, sigma={name: sigma * 0 for name, sigma in wanted.sigma.items()})
    doubtful = replace(wanted, sigma={name: sigma * 1e4 for name, sigma in wanted.sigma.items()})
    assert all(row.share == 0 for row in check.likely_turned(MINIATURE, certain))
    assert all(row.share > 0 for row in check.likely_turned(MINIATURE, doubtful))
