"""A function is known by its values: the right formula is found with its numbers, and nothing else passes for one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from impls.derive import Shape
from impls.oracle import operators as oracle
from impls.reading import Foreign
from impls.spec import LRN, ReLU, SpatialNorm, Tanh
from impls.traced.probing import Array, probe
from impls.traced.settling import Scale

MAPS = (2, 7, 6, 12)

NORMS = [
    LRN(name="", size=5, alpha=1e-4, beta=0.75, k=2.0),
    LRN(name="", size=5, alpha=2e-5, beta=0.75, k=1.0),
    LRN(name="", size=5, alpha=2e-6, beta=0.75, k=1.0),
    LRN(name="", size=3, alpha=0.2, beta=0.5, k=1.0),
    LRN(name="", size=9, alpha=5e-5 / 9, beta=0.75, k=1.0),
    LRN(name="", size=5, alpha=2e-5, beta=0.75, k=2.0, groups=2),
    LRN(name="", size=5, alpha=1e-3, beta=1.0, k=0.5),
    SpatialNorm(name="", size=5, alpha=0.001 / 25, beta=0.75, k=1.0),
    SpatialNorm(name="", size=3, alpha=5e-5 / 9, beta=0.75, k=1.0),
]


def computed(layer: LRN | SpatialNorm) -> Callable[[Array], Array]:
    """The reference's own operator, in float32."""
    return lambda x: oracle.forward(layer, x.astype(np.float64), {}).astype(np.float32)


@pytest.mark.parametrize("layer", NORMS, ids=lambda layer: f"{type(layer).__name__}-{layer.size}-{layer.alpha:g}")
def test_a_norm_is_found_with_all_its_numbers(layer: LRN | SpatialNorm) -> None:
    found = probe(computed(layer), MAPS)
    assert type(found) is type(layer)
    assert isinstance(found, LRN | SpatialNorm)
    assert found.size == layer.size and getattr(found, "groups", 1) == getattr(layer, "groups", 1)
    assert found.alpha == pytest.approx(layer.alpha, rel=1e-12)
    assert (found.beta, found.k) == (layer.beta, layer.k)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x: np.maximum(x, 0), ReLU),
        (lambda x: np.where(x > 0, x, 0), ReLU),
        (np.tanh, Tanh),
        (lambda x: x * np.float32(0.25), Scale),
    ],
    ids=["maximum", "where", "tanh", "factor"],
)
@pytest.mark.parametrize("shape", [MAPS, (2, 40)], ids=["maps", "features"])
def test_elementwise_functions_are_found(function: Callable[[Array], Array], kind: type, shape: Shape) -> None:
    assert type(probe(function, shape)) is kind


def test_a_factor_is_found_exactly() -> None:
    found = probe(lambda x: x / np.float32(0.3), (2, 40))
    assert isinstance(found, Scale) and found.factor == pytest.approx(1 / 0.3, rel=1e-4)


def mean_and_deviation(x: Array) -> Array:
    return (x - x.mean(0)) / (x.std(0) + np.float32(1e-5))


def even_window(x: Array) -> Array:
    """PyTorch's norm with size 4: two channels before, one after."""
    padded = np.pad(x**2, [(0, 0), (0, 0), (0, 0), (2, 1)])
    total = np.sum([padded[..., shift : shift + x.shape[3]] for shift in range(4)], axis=0)
    return np.asarray(x / (1 + 1e-3 * total) ** 0.75, np.float32)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.where(x > 0, x, np.float32(0.02) * x),
        lambda x: np.minimum(np.maximum(x, 0), 7),
        lambda x: x[..., ::-1],
        lambda x: x + 1,
        mean_and_deviation,
        even_window,
        lambda x: x[..., :3],
        lambda x: np.full_like(x, np.nan),
        np.zeros_like,
    ],
    ids=["leaky", "clipped", "turned", "shifted", "normalised", "even", "sliced", "nan", "zeros"],
)
def test_what_is_none_of_them_is_not_taken_for_one(function: Callable[[Array], Array]) -> None:
    assert probe(function, MAPS) is None


def test_activations_without_a_class_are_named() -> None:
    found = probe(lambda x: x / (1 + np.exp(-x)), (2, 40))
    assert isinstance(found, Foreign) and found.kind == "SiLU"


def test_large_maps_are_not_tried() -> None:
    def refuse(x: Array) -> Array:
        raise AssertionError

    assert probe(refuse, (2, 4000, 4000, 3)) is None
