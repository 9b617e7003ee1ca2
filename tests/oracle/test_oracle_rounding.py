"""Rounding against slow exact arithmetic, and at the edges of each format."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impls.oracle.rounding import PRECISIONS

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
finite32 = st.floats(allow_nan=False, allow_infinity=False, width=32)


def nearest_even(x: float, bits: int) -> float:
    """Nearest number with `bits` mantissa bits and float32's exponents; Fraction's round() breaks ties to even."""
    if x == 0:
        return x
    exponent = max(int(np.frexp(x)[1]) - 1, -126)
    spacing = Fraction(2) ** (exponent - bits)
    rounded = round(Fraction(x) / spacing) * spacing
    if abs(rounded) >= Fraction(2) ** 128:
        return float(np.copysign(np.inf, x))
    return float(np.copysign(float(rounded), x))


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


@settings(max_examples=300, deadline=None)
@given(x=finite | finite32)
def test_float64_values_round_once_to_nearest_even(x: float) -> None:
    for name, bits in (("bfloat16", 7), ("tf32", 10)):
        found = PRECISIONS[name].operand(np.array([x]))
        assert same_bits(found, np.array([nearest_even(x, bits)]))


@settings(max_examples=300, deadline=None)
@given(x=finite32)
def test_float32_values_round_to_nearest_even_by_their_bits(x: float) -> None:
    for name, bits in (("bfloat16", 7), ("tf32", 10)):
        found = PRECISIONS[name].operand(np.array([x], np.float32))
        assert same_bits(found, np.array([nearest_even(x, bits)], np.float32))


def test_every_tie_and_neighbour_of_bfloat16_is_exact() -> None:
    high = np.arange(0, 2**16, 37, dtype=np.uint32) << 16
    for low in (0x0000, 0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF):
        x = (high | low).view(np.float32)
        x = x[np.isfinite(x)]
        expected = np.array([nearest_even(float(v), 7) for v in x], np.float32)
        assert same_bits(PRECISIONS["bfloat16"].round(x), expected)


def test_bfloat16_does_not_round_twice() -> None:
    just_above_tie = 1 + 2.0**-8 + 2.0**-40  # float32 would drop the last part and then break the tie downwards
    assert PRECISIONS["bfloat16"].round(np.array([just_above_tie]))[0] == 1 + 2.0**-7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float16_rounds_as_numpy_does(dtype: type) -> None:
    x = (np.random.default_rng(0).standard_normal(4000) * 10.0 ** np.linspace(-9, 6, 4000)).astype(dtype)
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16).astype(dtype)
    assert same_bits(PRECISIONS["float16"].round(x), expected)
    assert np.isinf(PRECISIONS["float16"].round(np.array([65520.0], dtype)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PRECISIONS)
def test_infinities_nan_and_signed_zeros_stay(name: str, dtype: type) -> None:
    x = np.array([np.inf, -np.inf, np.nan, -0.0, 0.0], dtype)
    for found in (PRECISIONS[name].round(x), PRECISIONS[name].operand(x)):
        assert found.dtype == dtype
        assert np.array_equal(found, x, equal_nan=True)
        assert np.signbit(found[3]) and not np.signbit(found[4])


def test_nan_with_every_payload_bit_stays_nan() -> None:
    x = np.array([0x7FFFFFFF, 0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(PRECISIONS["bfloat16"].round(x)).all()
    assert np.isnan(PRECISIONS["tf32"].operand(x)).all()


def test_tf32_stores_float32_and_multiplies_ten_bits() -> None:
    x = np.array([1 + 2.0**-20], np.float32)
    assert PRECISIONS["tf32"].round(x)[0] == x[0]
    assert PRECISIONS["tf32"].operand(x)[0] == 1


def test_float32_is_the_identity_on_float32_and_rounds_float64() -> None:
    x = np.array([0.1], np.float32)
    assert PRECISIONS["float32"].round(x) is x
    assert PRECISIONS["float32"].round(np.array([0.1]))[0] == float(np.float32(0.1))


@pytest.mark.parametrize("name", PRECISIONS)
def test_the_declared_units_bound_the_errors_and_are_reached(name: str) -> None:
    precision = PRECISIONS[name]
    x = np.random.default_rng(0).uniform(1, 2, 100_000)
    error = np.abs(precision.round(x) - x) / x
    assert 0.9 * precision.unit < error.max() <= precision.unit
    if precision.unit_product:
        error = np.abs(precision.operand(x) - x) / x
        assert 0.9 * precision.unit_product < error.max() <= precision.unit_product


def test_shape_survives_for_0d_and_strided_arrays() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7
    assert np.array_equal(PRECISIONS["bfloat16"].round(x[:, ::2]), PRECISIONS["bfloat16"].round(x)[:, ::2])
    assert PRECISIONS["bfloat16"].round(np.float32(0.1).reshape(())).shape == ()
    with pytest.raises(TypeError, match="complex128"):
        PRECISIONS["bfloat16"].round(np.ones(2, complex))
