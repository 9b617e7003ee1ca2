"""Random numbers: the same everywhere, whatever the chunk, and truly Gaussian."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impls import random_stream
from impls.random_stream import Kind

COUNT = 1_000_000
FIRST_NORMALS = [-0.514134407043457, 1.1776609420776367, 0.819394052028656, -0.07489534467458725]
FIRST_UNIFORMS = [-0.39284205436706543, 0.7610681056976318, 0.5874383449554443, -0.05970203876495361]


def draw(kind: Kind, count: int, *, seed: int = 0, name: str = "x", chunk: int = 1 << 16) -> np.ndarray:
    return np.concatenate(list(random_stream.stream(kind, seed, name, count, chunk)))


@pytest.fixture(scope="module")
def normals() -> np.ndarray:
    return draw("normal", COUNT).astype(np.float64)


def test_the_table_of_quantiles_is_the_same_on_every_machine() -> None:
    knots, _ = random_stream.quantile_table()
    found = hashlib.sha256(knots.astype("<f4").tobytes()).hexdigest()
    assert found == "37fce9c9c123d962bbe20656d2374e3a4d8ff18901fa7f848636014980ee09f3"


def test_the_table_is_symmetric_and_increasing() -> None:
    knots, slopes = random_stream.quantile_table()
    assert np.array_equal(knots, -knots[::-1])
    assert (slopes > 0).all()


def test_the_first_values_are_those_they_have_always_been() -> None:
    assert draw("normal", 4, seed=7, name="conv1/weight").tolist() == FIRST_NORMALS
    assert draw("uniform", 4, seed=7, name="conv1/weight").tolist() == FIRST_UNIFORMS


@given(count=st.integers(1, 5000), chunk=st.integers(1, 700).map(lambda half: 2 * half))
def test_values_do_not_depend_on_the_chunk(count: int, chunk: int) -> None:
    assert np.array_equal(draw("normal", count, chunk=chunk), draw("normal", 5000)[:count])


@pytest.mark.parametrize("chunk", [0, -2, 3])
def test_a_chunk_that_would_split_a_word_is_refused(chunk: int) -> None:
    with pytest.raises(ValueError, match=f"chunk = {chunk} must be even and positive"):
        draw("normal", 10, chunk=chunk)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"name": "y"}])
def test_another_seed_or_name_is_another_stream(changes: dict[str, object]) -> None:
    other = draw("normal", 10_000, **changes)  # type: ignore[arg-type]
    assert abs(np.corrcoef(draw("normal", 10_000), other)[0, 1]) < 0.05


def test_normals_have_the_moments_of_a_gaussian(normals: np.ndarray) -> None:
    error = 5 / math.sqrt(COUNT)  # five standard errors of the mean
    assert abs(normals.mean()) < error
    assert abs(normals.std() - 1) < error
    assert abs((normals**3).mean()) < error * math.sqrt(15)
    assert abs((normals**4).mean() - 3) < error * math.sqrt(96)


def test_normals_have_the_distribution_of_a_gaussian(normals: np.ndarray) -> None:
    ordered = np.sort(normals)[::50]
    expected = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in ordered])
    empirical = np.arange(0, COUNT, 50) / COUNT
    assert np.abs(empirical - expected).max() < 1.95 / math.sqrt(COUNT)  # Kolmogorov-Smirnov at p = 0.001


def test_neighbouring_normals_are_independent(normals: np.ndarray) -> None:
    assert abs(np.corrcoef(normals[:-1], normals[1:])[0, 1]) < 5 / math.sqrt(COUNT)


def test_the_tail_is_there_and_bounded(normals: np.ndarray) -> None:
    assert 4.5 < np.abs(normals).max() <= 4.6213
    assert abs((np.abs(normals) > 3).mean() - 0.0026998) < 5 * math.sqrt(0.0027 / COUNT)


def test_uniforms_fill_minus_one_to_one() -> None:
    values = draw("uniform", COUNT).astype(np.float64)
    assert -1 <= values.min() < -0.99999
    assert 0.99999 < values.max() < 1
    assert abs(values.mean()) < 5 / math.sqrt(3 * COUNT)
    assert abs((values**2).mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / COUNT)
