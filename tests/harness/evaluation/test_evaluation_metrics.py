"""Credit, errors and intervals, held against counts by hand, orderings one by one, and published intervals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.evaluation import metrics


def test_a_label_among_the_k_most_probable_earns_one_and_beyond_them_nothing() -> None:
    probabilities = np.array([[0.5, 0.3, 0.15, 0.05]] * 4)
    labels = np.arange(4)
    assert metrics.credit(probabilities, labels, 1).tolist() == [1, 0, 0, 0]
    assert metrics.credit(probabilities, labels, 2).tolist() == [1, 1, 0, 0]
    assert metrics.credit(probabilities, labels, 5).tolist() == [1, 1, 1, 1]


@given(arrays.arrays(np.int64, st.integers(2, 6), elements=st.integers(0, 2)), st.integers(0, 5), st.integers(1, 6))
def test_a_tie_earns_the_share_of_its_orders_that_put_the_label_first(scores: np.ndarray, label: int, k: int) -> None:
    label %= len(scores)
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    expected = sum(label in order[:k] for order in orders) / len(orders)
    found = metrics.credit(scores[np.newaxis].astype(np.float64), np.array([label]), k)
    assert found[0] == pytest.approx(expected, abs=1e-12)


def test_a_network_that_knows_nothing_errs_as_often_as_chance() -> None:
    probabilities = np.full((30, 10), 0.1)
    labels = np.arange(30) % 10
    assert metrics.rate(metrics.credit(probabilities, labels, 1)).error == pytest.approx(0.9)
    assert metrics.rate(metrics.credit(probabilities, labels, 5)).error == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(bad: float) -> None:
    spoiled = np.array([[0.5, bad, 0.5]])
    with pytest.raises(metrics.NotFinite):
        metrics.softmax(spoiled)
    with pytest.raises(metrics.NotFinite):
        metrics.credit(spoiled, np.array([0]), 1)


def test_softmax_is_computed_in_float64_and_does_not_overflow() -> None:
    logits = np.array([[1000.0, 0.0], [-1000.0, -1000.0], [3e38, -3e38]], np.float32)
    found = metrics.softmax(logits)
    assert found.dtype == np.float64
    assert found.tolist() == [[1, 0], [0.5, 0.5], [1, 0]]
    x = np.array([0.1, 0.2, 0.7], np.float32)
    exact = [math.exp(float(v)) / math.fsum(math.exp(float(w)) for w in x) for v in x]
    assert metrics.softmax(x[np.newaxis])[0] == pytest.approx(exact, rel=1e-15)


def test_the_outputs_of_the_views_are_averaged_and_not_their_logits() -> None:
    logits = np.array([[[10.0, 0.0], [0.0, 1.0]]], np.float32)
    mean = (metrics.softmax(logits[:, 0]) + metrics.softmax(logits[:, 1])) / 2
    assert metrics.averaged(logits) == pytest.approx(mean)
    assert metrics.averaged(logits) != pytest.approx(metrics.softmax(logits.mean(axis=1)))


@pytest.mark.parametrize(
    ("error", "images", "low", "high"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81/263, 15/148, 0/20, 1/29
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0.0, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(error: float, images: int, low: float, high: float) -> None:
    assert metrics.error_interval(error, images) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 50), st.integers(1, 50))
def test_an_interval_holds_its_error_and_mirrors(wrong: int, images: int) -> None:
    error = min(wrong, images) / images
    low, high = metrics.error_interval(error, images)
    assert 0 <= low <= error <= high <= 1
    assert metrics.error_interval(1 - error, images) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_no_images_have_no_error() -> None:
    with pytest.raises(ValueError, match="no images"):
        metrics.rate(np.empty(0))
    with pytest.raises(ValueError, match="no interval"):
        metrics.error_interval(0.5, 0)


def test_an_error_is_the_exact_share_of_wrong_images() -> None:
    for images, wrong in ((10, 3), (50_000, 20_332), (7, 7)):
        earned = np.ones(images)
        earned[:wrong] = 0
        assert metrics.rate(earned).error == wrong / images


def test_the_most_probable_classes_come_in_order_and_equals_by_number() -> None:
    probabilities = np.array([[0.1, 0.4, 0.1, 0.4], [0.7, 0.1, 0.1, 0.1]])
    classes, values = metrics.most_probable(probabilities, 6)
    assert classes.tolist() == [[1, 3, 0, 2, -1, -1], [0, 1, 2, 3, -1, -1]]
    assert values[:, :4].tolist() == [[0.4, 0.4, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1]]
    assert np.isnan(values[:, 4:]).all()


def test_each_class_has_its_own_error_and_a_class_without_images_none() -> None:
    earned, labels = np.array([1.0, 0.0, 0.5, 1.0]), np.array([0, 0, 2, 2])
    images, errors = metrics.class_errors(earned, labels, 4)
    assert images.tolist() == [2, 0, 2, 0]
    assert errors[[0, 2]].tolist() == [0.5, 0.25]
    assert np.isnan(errors[[1, 3]]).all()
    weighted = np.nansum(errors * images) / images.sum()
    assert metrics.rate(earned).error == pytest.approx(weighted)
