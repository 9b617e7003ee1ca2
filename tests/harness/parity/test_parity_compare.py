"""Error statistics and verdicts against straightforward NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.parity import compare
from harness.parity.compare import SIGMAS, Expected, measure, rms, rms_difference
from harness.parity.verdict import LEAST_NONZERO_SHARE, judge
from impls.oracle.gauges import Gauge, c
from impls.oracle.product import OuterProduct
from impls.oracle.rounding import PRECISIONS, Precision

Array = NDArray[Any]
FLOAT32 = PRECISIONS["float32"]
SHAPES = st.sampled_from([(1,), (3,), (2, 5), (4, 3, 2, 6), (70_000,), (300, 500), (2, 40_000), (1, 1, 1, 1)])
PRECISION = st.sampled_from([PRECISIONS[name] for name in ("float32", "bfloat16", "float16")])
EXAMPLES = settings(max_examples=25, deadline=None)


def pair(shape: tuple[int, ...], seed: int, error: float = 1e-6) -> tuple[Array, Array]:
    """(found in float32, reference in float64), some of the reference zero."""
    rng = np.random.default_rng(seed)
    reference = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 6, shape)
    reference[rng.random(shape) < 0.2] = 0
    found = reference * (1 + error * rng.standard_normal(shape)) + 1e-9 * rng.standard_normal(shape)
    return found.astype(np.float32), reference


def ulp(reference: Array, precision: Precision) -> Array:
    """The distance between neighbours at the reference; 0 where it is no normal float32 number."""
    narrow = np.abs(reference.astype(np.float32)).astype(np.float64)
    with np.errstate(divide="ignore"):
        distance = 2.0 ** (np.floor(np.log2(narrow)) + 1) * precision.unit
    return np.where(narrow < np.finfo(np.float32).tiny, 0.0, distance)


# --- statistics -------------------------------------------------------------------------------------------------------


@EXAMPLES
@given(SHAPES, st.integers(0, 999), PRECISION)
def test_the_statistics_are_those_of_plain_numpy(shape: tuple[int, ...], seed: int, precision: Precision) -> None:
    found, reference = pair(shape, seed)
    errors = measure(found, Expected(reference), precision)
    difference = np.abs(found - reference)
    distance = ulp(reference, precision)
    ulps = difference[distance > 0] / distance[distance > 0]
    assert errors.elements == errors.finite == reference.size
    assert errors.max_abs_error == difference.max()
    assert errors.rms_error == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-12)
    assert errors.reference_rms == pytest.approx(np.sqrt(np.mean(reference**2)), rel=1e-12)
    assert errors.max_ulp == pytest.approx(ulps.max() if ulps.size else 0.0, rel=1e-5)
    assert errors.zeros == np.sum(reference == 0)
    assert errors.mismatched_nonfinite == 0
    assert math.isnan(errors.gauge_ratio)


@EXAMPLES
@given(SHAPES, st.integers(0, 999), st.integers(1, 400), PRECISION)
def test_the_gauge_ratio_is_the_largest_share_of_the_bound(
    shape: tuple[int, ...], seed: int, terms: int, precision: Precision
) -> None:
    found, reference = pair(shape, seed)
    scale = np.abs(np.random.default_rng(seed + 1).standard_normal(shape))
    errors = measure(found, Expected(reference, gauge=Gauge(scale, terms, 0.0)), precision)
    bound = max(8.0, math.sqrt(terms)) * precision.unit * scale + terms * precision.smallest
    assert errors.gauge_ratio == pytest.approx((np.abs(found - reference) / bound).max(), rel=1e-12)
    assert c(terms) == max(8.0, math.sqrt(terms))


@EXAMPLES
@given(SHAPES, st.integers(0, 999))
def test_an_accumulated_error_is_measured_in_predicted_deviations(shape: tuple[int, ...], seed: int) -> None:
    found, reference = pair(shape, seed)
    sigma = np.abs(np.random.default_rng(seed + 1).standard_normal(shape)).astype(np.float32)
    errors = measure(found, Expected(reference, sigma=sigma), FLOAT32)
    bound = SIGMAS * sigma.astype(np.float64) + FLOAT32.smallest
    assert errors.gauge_ratio == pytest.approx((np.abs(found - reference) / bound).max(), rel=1e-5)


@EXAMPLES
@given(st.integers(1, 5), st.integers(1, 700), st.integers(1, 600), st.integers(0, 99))
def test_an_outer_product_is_compared_as_its_matrix(batch: int, rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    product = OuterProduct(rng.standard_normal((batch, rows)), rng.standard_normal((batch, columns)))
    scale = OuterProduct(np.abs(product.a), np.abs(product.b))
    whole = np.asarray(product)
    found = (whole * (1 + 1e-6 * rng.standard_normal(whole.shape))).astype(np.float32)
    lazy = measure(found, Expected(product, gauge=Gauge(scale, batch, 0.0)), FLOAT32)
    plain = measure(found, Expected(whole, gauge=Gauge(np.asarray(scale), batch, 0.0)), FLOAT32)
    for name in ("elements", "finite", "zeros", "mismatched_nonfinite"):
        assert getattr(lazy, name) == getattr(plain, name)
    for name in ("max_abs_error", "rms_error", "reference_rms", "gauge_ratio"):
        assert getattr(lazy, name) == pytest.approx(getattr(plain, name), rel=1e-6)
    assert rms(product) == pytest.approx(np.sqrt(np.mean(whole**2)), rel=1e-10)
    assert rms_difference(found, product) == pytest.approx(np.sqrt(np.mean((found - whole) ** 2)), rel=1e-6)


def test_an_error_in_the_last_element_of_a_long_tensor_is_seen() -> None:
    reference = np.ones((3, compare.BLOCK + 7))
    found = reference.astype(np.float32)
    found[-1, -1] = 2
    assert measure(found, Expected(reference), FLOAT32).max_abs_error == 1


def test_a_neighbouring_float_is_one_ulp_away() -> None:
    for value in (1.0, -1.5, 3e-30, 0.1):
        reference = np.array([np.float32(value)], np.float64)
        found = np.nextafter(reference.astype(np.float32), np.float32(np.inf))
        assert measure(found, Expected(reference), FLOAT32).max_ulp == 1.0


def test_rms_difference_leaves_out_what_is_not_finite_in_either() -> None:
    a, b = np.array([1.0, np.nan, 3.0, np.inf]), np.array([2.0, 5.0, 3.0, 1.0])
    assert rms_difference(a, b) == pytest.approx(math.sqrt(0.5))
    assert rms(np.array([3.0, np.nan, 4.0])) == pytest.approx(math.sqrt(12.5))
    assert rms_difference(np.array([np.nan]), np.array([1.0])) == 0
    assert compare.count_differing(np.array([1, 2, 3]), np.array([1, 0, 0])) == 2


# --- what is not finite -----------------------------------------------------------------------------------------------

NONFINITE = (np.nan, np.inf, -np.inf)


@pytest.mark.parametrize("here", [*NONFINITE, 1.0])
@pytest.mark.parametrize("there", [*NONFINITE, 1.0])
@pytest.mark.filterwarnings("error")
def test_nan_and_infinity_must_stand_where_the_reference_has_them(here: float, there: float) -> None:
    reference, found = np.ones((4, 5)), np.ones((4, 5), np.float32)
    reference[2, 3], found[2, 3] = here, there
    same = here == there or (math.isnan(here) and math.isnan(there))
    judgement = judge(found, Expected(reference), FLOAT32)
    assert judgement.verdict == ("pass" if same else "fail")
    assert judgement.errors is not None
    assert judgement.errors.mismatched_nonfinite == (0 if same else 1)
    if not same:
        assert "1 of 20" in judgement.reason


def test_a_nan_hides_no_error_beside_it() -> None:
    reference = np.ones((2, 50))
    reference[0, 0] = np.nan
    found = reference.astype(np.float32)
    found[1, 30] = 1.5
    gauge = Gauge(np.abs(reference), 3, 1.0)
    errors = measure(found, Expected(reference, gauge=gauge), FLOAT32)
    assert (errors.finite, errors.max_abs_error) == (99, 0.5)
    assert errors.gauge_ratio == pytest.approx(0.5 / (8 * FLOAT32.unit))
    assert judge(found, Expected(reference, gauge=gauge), FLOAT32).verdict == "fail"


def test_a_bound_that_is_not_a_number_excuses_nothing() -> None:
    reference = np.ones(20)
    found = reference.astype(np.float32)
    found[3] = 100
    sigma = np.full(20, 1e-7)
    sigma[7] = np.nan
    assert judge(found, Expected(reference, sigma=sigma), FLOAT32).verdict == "fail"


def test_a_baseline_that_is_not_a_number_excuses_nothing() -> None:
    expected = Expected(np.ones(20), baseline_rms=math.nan)
    assert judge(np.full(20, 100, np.float32), expected, FLOAT32).verdict != "pass"


# --- verdicts ---------------------------------------------------------------------------------------------------------


def near(value: float, error: float) -> tuple[Array, Array]:
    """(found, reference) of 100 elements, one of them off by `error`."""
    reference = np.full(100, value)
    found = reference.copy()
    found[41] += error
    return found, reference


def test_within_the_gauge_passes_and_beyond_it_fails() -> None:
    limit = 8 * FLOAT32.unit * 3.0
    gauge = Gauge(np.full(100, 3.0), 4, 1.0)
    for share, verdict in ((0.99, "pass"), (1.01, "fail")):
        found, reference = near(1.0, share * limit)
        judgement = judge(found, Expected(reference, gauge=gauge), FLOAT32)
        assert judgement.verdict == verdict
    assert judgement.reason.startswith("gauge: error 1.01 times")


def test_a_sum_of_more_terms_has_more_room() -> None:
    found, reference = near(1.0, 15 * FLOAT32.unit)
    assert judge(found, Expected(reference, gauge=Gauge(np.ones(100), 64, 1.0)), FLOAT32).verdict == "fail"
    assert judge(found, Expected(reference, gauge=Gauge(np.ones(100), 256, 1.0)), FLOAT32).verdict == "pass"


def test_eight_predicted_deviations_pass_and_more_fail() -> None:
    sigma = np.full(100, 1e-5)
    assert judge(*_swap(near(1.0, 7.9e-5), sigma=sigma)).verdict == "pass"
    assert judge(*_swap(near(1.0, 8.1e-5), sigma=sigma)).verdict == "fail"


def _swap(found_and_reference: tuple[Array, Array], **more: Any) -> tuple[Array, Expected, Precision]:
    found, reference = found_and_reference
    return found, Expected(reference, **more), FLOAT32


def test_twice_the_baseline_passes_and_more_fails() -> None:
    found, reference = near(1.0, 1e-3)  # rms 1e-4
    for baseline, verdict in ((0.51e-4, "pass"), (0.49e-4, "fail")):
        judgement = judge(found, Expected(reference, baseline_rms=baseline), FLOAT32)
        assert judgement.verdict == verdict
        assert judgement.baseline_ratio == pytest.approx(1e-4 / baseline)
    assert "rms error 2.04 times the baseline (limit 2)" in judgement.reason


def test_the_larger_of_baseline_and_floor_is_the_yardstick_and_the_allowance_is_added() -> None:
    assert Expected(np.ones(1), baseline_rms=2.0, floor_rms=3.0, allowance_rms=4.0).yardstick_rms == 7
    assert Expected(np.ones(1), baseline_rms=3.0, floor_rms=2.0).yardstick_rms == 3
    assert Expected(np.ones(1), floor_rms=2.0, allowance_rms=4.0).yardstick_rms is None


def test_the_multiple_is_the_one_asked_for() -> None:
    found, reference = near(1.0, 1e-3)
    assert judge(found, Expected(reference, baseline_rms=0.15e-4, multiple=8.0), FLOAT32).verdict == "pass"
    assert judge(found, Expected(reference, baseline_rms=0.12e-4, multiple=8.0), FLOAT32).verdict == "fail"


def test_without_any_yardstick_only_an_exact_baseline_can_hold() -> None:
    reference = np.ones(100)
    expected = Expected(reference, baseline_rms=0.0)
    exact = judge(reference.copy(), expected, FLOAT32)
    assert (exact.verdict, exact.baseline_ratio) == ("pass", 0.0)
    wrong = judge(reference + 1e-12, expected, FLOAT32)
    assert (wrong.verdict, wrong.baseline_ratio) == ("fail", math.inf)


@given(st.integers(0, 99), st.sampled_from([-1, 1]))
def test_the_exact_test_forgives_not_one_bit(index: int, sign: int) -> None:
    reference = np.random.default_rng(0).integers(-9, 9, 100).astype(np.float64)
    found = reference.astype(np.float32)
    # A gauge and a baseline so wide that they could excuse it.
    expected = Expected(reference, exact=True, gauge=Gauge(np.full(100, 1e9), 1, 1e9), baseline_rms=1e9)
    assert judge(found, expected, FLOAT32).verdict == "pass"
    found[index] = np.nextafter(found[index], np.float32(sign * np.inf))
    judgement = judge(found, expected, FLOAT32)
    assert judgement.verdict == "fail" and judgement.reason.startswith("exact test: differs by up to")


def test_the_worst_test_names_the_verdict() -> None:
    found, reference = near(1.0, 1e-3)
    gauge = Gauge(np.ones(100), 1, 1.0)  # 2097 times the bound
    by_gauge = judge(found, Expected(reference, gauge=gauge, baseline_rms=1e-5), FLOAT32)
    by_baseline = judge(found, Expected(reference, gauge=gauge, baseline_rms=1e-9), FLOAT32)
    assert by_gauge.reason.startswith("gauge:") and by_baseline.reason.startswith("baseline:")


@pytest.mark.parametrize("shape", [(100, 1), (99,), (10, 10), ()])
def test_another_shape_fails_and_both_are_said(shape: tuple[int, ...]) -> None:
    judgement = judge(np.ones(shape), Expected(np.ones(100)), FLOAT32)
    assert judgement.verdict == "fail"
    assert judgement.reason == f"shape {list(shape)}, expected [100]"
    assert judgement.errors is None and judgement.baseline_ratio is None


def test_what_was_not_returned_is_not_observed() -> None:
    judgement = judge(None, Expected(np.ones(3)), FLOAT32)
    assert judgement.verdict == "not-observed" and judgement.errors is None and judgement.reason


def test_a_reference_of_zeros_is_no_evidence_unless_that_is_its_point() -> None:
    zeros = np.zeros(1000)
    assert judge(zeros, Expected(zeros), FLOAT32).verdict == "vacuous"
    assert judge(zeros, Expected(zeros, may_be_zero=True), FLOAT32).verdict == "pass"
    assert judge(zeros + 1, Expected(zeros, exact=True), FLOAT32).verdict == "fail", "a failure comes before vacuity"


def test_one_element_in_a_hundred_is_evidence_enough() -> None:
    reference = np.zeros(1000)
    reference[: int(1000 * LEAST_NONZERO_SHARE)] = 1
    assert judge(reference, Expected(reference), FLOAT32).verdict == "pass"
    reference[0] = 0
    judgement = judge(reference, Expected(reference), FLOAT32)
    assert judgement.verdict == "vacuous" and "only 9 of 1000" in judgement.reason
    reference[0] = np.nan
    assert judge(reference, Expected(reference), FLOAT32).verdict == "vacuous"


def test_a_tensor_without_elements_is_vacuous() -> None:
    empty = np.ones((0, 3))
    assert judge(empty.astype(np.float32), Expected(empty), FLOAT32).reason == "no elements"
