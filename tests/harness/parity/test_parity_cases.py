"""The cases: shapes that cannot be mixed up, data that separates meaning from rounding, the same for the same seed."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from harness.parity.cases import Case, LossCase, loss_cases, operator_cases
from harness.parity.levels import count_ties
from harness.parity.verdict import LEAST_NONZERO_SHARE
from impls.derive import layer_facts
from impls.oracle import gauges, operators
from impls.oracle.rounding import PRECISIONS, Precision
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, MaxPool, ReLU, SpatialNorm, Tanh

NAMES = ("float32", "tf32", "bfloat16", "float16")
SEEDS = range(5)


@pytest.fixture(params=NAMES)
def precision(request: pytest.FixtureRequest) -> Precision:
    return PRECISIONS[request.param]


def fingerprint(case: Case | LossCase) -> str:
    """All of a case's numbers in one."""
    arrays = (
        (case.x, case.dy, case.mask, *case.parameters.values())
        if isinstance(case, Case)
        else (case.logits, case.labels)
    )
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(b"none" if array is None else array.tobytes())
    return digest.hexdigest()


# --- exactness --------------------------------------------------------------------------------------------------------


def largest_sums(case: Case) -> dict[str, float]:
    """The largest sum of absolute values behind an element of each result: no partial sum, in any order, is larger."""
    found = {"y": gauges.forward(case.layer, case.x, case.parameters).scale}
    if case.dy is not None:
        found |= {name: gauge.scale for name, gauge in gauges.vjp(case.layer, case.x, case.parameters, case.dy).items()}
    return {name: float(np.nanmax(np.asarray(scale))) for name, scale in found.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_exact_case_is_exact_in_its_precision(precision: Precision, seed: int) -> None:
    exact = [case for case in operator_cases(precision, seed) if case.exact]
    assert {type(case.layer) for case in exact} == {Conv, Dense, ReLU, MaxPool}
    unit = max(precision.unit, precision.unit_product)
    for case in exact:
        for array in (case.x, *([] if case.dy is None else [case.dy]), *case.parameters.values()):
            np.testing.assert_array_equal(array, np.rint(array), case.name)
            np.testing.assert_array_equal(array, precision.operand(precision.round(array)), case.name)
        for tensor, largest in largest_sums(case).items():
            assert largest <= 1 / unit, f"{case.name}: {tensor} sums integers to {largest}"


def test_no_exact_case_is_all_zeros_whatever_the_seed(precision: Precision) -> None:
    for seed in range(8):
        for case in operator_cases(precision, seed):
            if not case.exact:
                continue
            results = [operators.forward(case.layer, case.x, case.parameters)]
            if case.dy is not None:
                result = operators.vjp(case.layer, case.x, case.parameters, case.dy)
                results += [result.dx, *map(np.asarray, result.dparameters.values())]
            for found in results:
                share = np.count_nonzero(found) / found.size
                assert share >= LEAST_NONZERO_SHARE, f"seed {seed}, {case.name}: {share:.1%} of {found.shape} not zero"


def test_the_oracle_in_low_precision_gives_exact_cases_exactly(precision: Precision) -> None:
    for case in operator_cases(precision, 0):
        if not case.exact or case.dy is None:
            continue
        low = operators.vjp(case.layer, case.x, case.parameters, case.dy)
        high = operators.vjp(case.layer, case.x.astype(np.float64), case.parameters, case.dy.astype(np.float64))
        np.testing.assert_array_equal(precision.round(low.dx), high.dx, case.name)
        for name, gradient in high.dparameters.items():
            found = precision.round(np.asarray(low.dparameters[name]))
            np.testing.assert_array_equal(found, np.asarray(gradient), f"{case.name} {name}")


def test_every_input_is_a_number_of_its_precision(precision: Precision) -> None:
    for case in operator_cases(precision, 0):
        for array in (case.x, *([] if case.dy is None else [case.dy]), *case.parameters.values()):
            assert array.dtype == np.float32, case.name
            np.testing.assert_array_equal(array, precision.round(array), case.name)


def test_no_gaussian_case_is_called_exact() -> None:
    for case in operator_cases(PRECISIONS["float32"], 0):
        assert case.exact == ("integers" in case.name or case.name in ("relu, with zeros", "max-pool 3 stride 2, ties"))


def test_integers_leave_no_tie_in_a_window_and_zeros_and_ones_do() -> None:
    for case in operator_cases(PRECISIONS["bfloat16"], 3):
        if "integers" in case.name and isinstance(case.layer, MaxPool):
            assert count_ties(case) == 0, case.name
        if case.name.endswith("ties"):
            assert (count_ties(case) or 0) > 20


def test_the_relu_cases_have_zeros_and_a_nan() -> None:
    by_name = {case.name: case for case in operator_cases(PRECISIONS["float32"], 0)}
    zeros = by_name["relu, with zeros"]
    assert np.sum(zeros.x == 0) > 5 and np.sum(zeros.x < 0) > 20
    assert zeros.dy is not None and np.all(zeros.dy != 0), "a zero cotangent hides the derivative at 0"
    assert np.isnan(by_name["relu, with a NaN"].x).sum() == 1


def test_results_stay_finite_in_their_precision(precision: Precision) -> None:
    largest = {"float16": 65504.0}.get(precision.name, 3e38)
    for case in operator_cases(precision, 1):
        if "NaN" in case.name:
            continue
        y = operators.forward(case.layer, case.x.astype(np.float64), case.parameters, case.mask)
        assert np.abs(y).max() < largest, case.name
        if isinstance(case.layer, LRN):
            assert np.square(case.x.astype(np.float64)).max() < largest, case.name


# --- shapes -----------------------------------------------------------------------------------------------------------

ON_PURPOSE = ("one pixel", "one window")  # sides that are equal are their point


def test_all_sides_of_an_input_differ_and_the_batch_is_not_the_channels() -> None:
    for case in operator_cases(PRECISIONS["float32"], 0):
        if any(words in case.name for words in ON_PURPOSE):
            continue
        assert len(set(case.x.shape)) == case.x.ndim, f"{case.name}: {case.x.shape}"
        assert case.x.shape[0] != case.x.shape[-1], case.name


def test_height_and_width_of_an_output_differ_and_no_kernel_count_is_a_batch() -> None:
    for case in operator_cases(PRECISIONS["float32"], 0):
        if any(words in case.name for words in ON_PURPOSE):
            continue
        out = layer_facts(case.layer, case.x.shape[1:]).output_shape
        if len(out) == 3:
            assert out[0] != out[1], f"{case.name}: {out}"
        assert out[-1] != len(case.x), f"{case.name}: {out}"


def test_the_shapes_hold_what_breaks_ports() -> None:
    found = list(operator_cases(PRECISIONS["float32"], 0))
    convolutions = [case for case in found if isinstance(case.layer, Conv)]
    norms = [case for case in found if isinstance(case.layer, LRN)]
    pools = [case for case in found if isinstance(case.layer, MaxPool)]

    def rest(case: Case) -> tuple[int, int]:
        pad = case.layer.padding
        height, width = case.x.shape[1] + pad.top + pad.bottom, case.x.shape[2] + pad.left + pad.right
        return (height - case.layer.size) % case.layer.stride, (width - case.layer.size) % case.layer.stride

    assert {case.layer.groups for case in convolutions} >= {1, 2, 3}
    assert any(case.layer.padding.top != case.layer.padding.bottom for case in convolutions)
    assert any(any(rest(case)) for case in convolutions) and any(any(rest(case)) for case in pools)
    assert any(case.x.shape[-1] < case.layer.size for case in norms)
    assert any(case.layer.groups > 1 for case in norms)
    assert any(case.x.shape[1:3] == (1, 1) for case in found)
    assert any(len(case.x) == 1 for case in found)
    assert {case.layer.padding.top != case.layer.padding.bottom for case in pools} == {True, False}
    dropouts = [case for case in found if isinstance(case.layer, Dropout)]
    assert {(case.layer.scaling, case.mask is None) for case in dropouts} == {
        (scaling, without) for scaling in DropoutScaling for without in (True, False)
    }
    kinds = {type(case.layer) for case in found}
    assert kinds == {Conv, Dense, ReLU, Tanh, LRN, SpatialNorm, MaxPool, Dropout}


def test_every_cotangent_has_the_shape_of_the_output() -> None:
    for case in operator_cases(PRECISIONS["float32"], 0):
        y = operators.forward(case.layer, case.x, case.parameters, case.mask)
        assert case.dy is None or case.dy.shape == y.shape, case.name
        assert case.mask is None or case.mask.shape == case.x.shape, case.name


def test_case_names_are_unique() -> None:
    names = [case.name for case in operator_cases(PRECISIONS["float32"], 0)] + [
        c.name for c in loss_cases(PRECISIONS["float32"], 0)
    ]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_every_layer_of_a_case_is_marked_as_standing_alone() -> None:
    assert all(case.layer.name.startswith("case:") for case in operator_cases(PRECISIONS["float32"], 0))


# --- randomness -------------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_cases_every_time(precision: Precision) -> None:
    first, second = (list(map(fingerprint, operator_cases(precision, 7))) for _ in range(2))
    assert first == second
    assert list(map(fingerprint, loss_cases(precision, 7))) == list(map(fingerprint, loss_cases(precision, 7)))


def test_another_seed_gives_other_numbers_in_the_same_cases() -> None:
    first, second = (list(operator_cases(PRECISIONS["float32"], seed)) for seed in (0, 1))
    assert [case.name for case in first] == [case.name for case in second]
    alike = [a.name for a, b in zip(first, second, strict=True) if fingerprint(a) == fingerprint(b)]
    assert alike == []
    losses = list(zip(loss_cases(PRECISIONS["float32"], 0), loss_cases(PRECISIONS["float32"], 1), strict=True))
    assert [a.name for a, b in losses if fingerprint(a) == fingerprint(b)] == ["cross-entropy, all equal"]


def test_the_losses_are_ordinary_extreme_and_equal() -> None:
    found = list(loss_cases(PRECISIONS["float32"], 0))
    assert max(float(np.ptp(case.logits)) for case in found) > 100
    assert any(case.logits.min() > 9000 for case in found)
    assert any(np.ptp(case.logits) == 0 for case in found)
    for case in found:
        assert case.logits.shape[0] != case.logits.shape[1]
        assert case.labels.dtype == np.int64 and case.labels.min() >= 0 and case.labels.max() < case.logits.shape[1]
