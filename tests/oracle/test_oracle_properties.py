"""Laws that hold for every shape: direct loops, linearity, adjoints, groups, translation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from impls.derive import layer_facts
from impls.oracle import operators
from impls.spec import LRN, Conv, MaxPool, Padding, SpatialNorm

quick = settings(max_examples=40, deadline=None)


@st.composite
def convolutions(draw: st.DrawFn, least_groups: int = 1) -> tuple[Conv, tuple[int, ...]]:
    """A layer and an input shape [N, H, W, C] that fits it."""
    size, group_count = draw(st.integers(1, 4)), draw(st.integers(least_groups, 3))
    padding = Padding(*(draw(st.integers(0, 2)) for _ in range(4)))
    layer = Conv(
        name="c",
        kernels=group_count * draw(st.integers(1, 3)),
        size=size,
        stride=draw(st.integers(1, 3)),
        padding=padding,
        groups=group_count,
    )
    height = max(1, size - padding.top - padding.bottom) + draw(st.integers(0, 5))
    width = max(1, size - padding.left - padding.right) + draw(st.integers(0, 6))
    return layer, (draw(st.integers(1, 3)), height, width, group_count * draw(st.integers(1, 4)))


def filled(layer: Conv, shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    random = np.random.default_rng(seed)
    weight = random.standard_normal(layer_facts(layer, shape[1:]).parameters["c/weight"])
    return random.standard_normal(shape), {"weight": weight, "bias": random.standard_normal(layer.kernels)}


@quick
@given(case=convolutions())
def test_conv_equals_direct_loops(case: tuple[Conv, tuple[int, ...]]) -> None:
    layer, shape = case
    x, parameters = filled(layer, shape)
    p, weight = layer.padding, parameters["weight"]
    padded = np.pad(x, ((0, 0), (p.top, p.bottom), (p.left, p.right), (0, 0)))
    y = operators.forward(layer, x, parameters)
    assert y.shape[1:] == layer_facts(layer, shape[1:]).output_shape
    inside, outside = weight.shape[2], layer.kernels // layer.groups
    for _, i, j, kernel in np.ndindex(*y.shape):
        first = kernel // outside * inside
        rows, columns = slice(i * layer.stride, i * layer.stride + layer.size), j * layer.stride
        window = padded[:, rows, columns : columns + layer.size, first : first + inside]
        expected = (window * weight[..., kernel]).sum(axis=(1, 2, 3)) + parameters["bias"][kernel]
        assert np.allclose(y[:, i, j, kernel], expected, rtol=1e-12, atol=1e-12)


@quick
@given(case=convolutions(), factor=st.floats(-3, 3))
def test_conv_without_bias_is_linear_and_vjp_is_its_adjoint(case: tuple[Conv, tuple[int, ...]], factor: float) -> None:
    layer, shape = case
    x, parameters = filled(layer, shape)
    other, _ = filled(layer, shape, seed=1)
    parameters["bias"][:] = 0
    y, z = operators.forward(layer, x, parameters), operators.forward(layer, other, parameters)
    assert np.allclose(operators.forward(layer, x + factor * other, parameters), y + factor * z, atol=1e-11)
    dy = np.random.default_rng(2).standard_normal(y.shape)
    step = operators.vjp(layer, x, parameters, dy)
    assert np.isclose((dy * y).sum(), (step.dx * x).sum(), rtol=1e-11, atol=1e-11)
    assert np.isclose((dy * y).sum(), (step.dparameters["weight"] * parameters["weight"]).sum(), rtol=1e-11, atol=1e-11)
    assert np.allclose(step.dparameters["bias"], dy.sum(axis=(0, 1, 2)), atol=1e-12)
    without = operators.vjp(layer, x, parameters, dy, need_dx=False)
    assert np.array_equal(without.dparameters["weight"], step.dparameters["weight"])


@quick
@given(case=convolutions(least_groups=2))
def test_grouped_conv_equals_separate_convs(case: tuple[Conv, tuple[int, ...]]) -> None:
    layer, shape = case
    x, parameters = filled(layer, shape)
    inside, outside = shape[3] // layer.groups, layer.kernels // layer.groups
    parts = []
    for g in range(layer.groups):
        own = slice(g * outside, (g + 1) * outside)
        part = {"weight": parameters["weight"][..., own], "bias": parameters["bias"][own]}
        single = replace(layer, kernels=outside, groups=1)
        parts.append(operators.forward(single, x[..., g * inside : (g + 1) * inside], part))
    assert np.allclose(operators.forward(layer, x, parameters), np.concatenate(parts, axis=3), atol=1e-12)


@quick
@given(size=st.integers(1, 4), stride=st.integers(1, 3), down=st.integers(0, 2), right=st.integers(0, 2))
def test_shifting_by_whole_strides_shifts_conv_and_pool(size: int, stride: int, down: int, right: int) -> None:
    x, canvas = np.random.default_rng(0).standard_normal((1, 10, 9, 2)), np.full((1, 18, 17, 2), -9.0)
    canvas[:, :10, :9] = x
    moved = np.roll(canvas, (down * stride, right * stride), axis=(1, 2))
    conv = Conv(name="c", kernels=3, size=size, stride=stride)
    weight = np.random.default_rng(1).standard_normal((size, size, 2, 3))
    for layer, parameters in (
        (conv, {"weight": weight, "bias": np.zeros(3)}),
        (MaxPool(name="p", size=size, stride=stride), {}),
    ):
        y = operators.forward(layer, x, parameters)
        z = operators.forward(layer, moved, parameters)[:, down : down + y.shape[1], right : right + y.shape[2]]
        assert np.allclose(z, y, atol=1e-12)


def test_images_in_several_chunks_give_the_same_result(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    layer, shape = Conv(name="c", kernels=4, size=3, padding=Padding(1, 0, 1, 0), groups=2), (5, 6, 7, 4)
    x, parameters = filled(layer, shape)
    whole = operators.forward(layer, x, parameters)
    once = operators.vjp(layer, x, parameters, whole)
    monkeypatch.setattr("impls.oracle.convolution._PATCH_BYTES", 2 * 5 * 6 * 18 * 8)
    assert np.allclose(operators.forward(layer, x, parameters), whole, atol=1e-13)
    chunked = operators.vjp(layer, x, parameters, whole)
    assert np.allclose(chunked.dx, once.dx, atol=1e-12)
    assert np.allclose(chunked.dparameters["weight"], once.dparameters["weight"], atol=1e-11)


@quick
@given(groups=st.integers(1, 3), inside=st.integers(1, 6), half=st.integers(0, 4))
def test_lrn_in_groups_equals_separate_lrns_and_direct_sums(groups: int, inside: int, half: int) -> None:
    layer = LRN(name="n", size=2 * half + 1, alpha=0.7, beta=0.75, k=1.5, groups=groups)
    x = np.random.default_rng(inside).standard_normal((2, 3, 1, groups * inside))
    parts = np.split(x, groups, axis=3)
    y = operators.forward(layer, x, {})
    separate = [operators.forward(replace(layer, groups=1), part, {}) for part in parts]
    assert np.allclose(y, np.concatenate(separate, axis=3), rtol=1e-14)
    for g, part in enumerate(parts):
        for i in range(inside):
            total = (part[..., max(0, i - half) : i + half + 1] ** 2).sum(axis=3)
            expected = part[..., i] / (1.5 + 0.7 * total) ** 0.75
            assert np.allclose(y[..., g * inside + i], expected, rtol=1e-13)


@quick
@given(height=st.integers(1, 6), width=st.integers(1, 5), half=st.integers(0, 3))
def test_spatial_norm_equals_direct_sums(height: int, width: int, half: int) -> None:
    x = np.random.default_rng(height).standard_normal((2, height, width, 3))
    y = operators.forward(SpatialNorm(name="s", size=2 * half + 1, alpha=0.7, beta=0.5, k=1.5), x, {})
    for i, j in np.ndindex(height, width):
        window = x[:, max(0, i - half) : i + half + 1, max(0, j - half) : j + half + 1]
        expected = x[:, i, j] / np.sqrt(1.5 + 0.7 * (window**2).sum(axis=(1, 2)))
        assert np.allclose(y[:, i, j], expected, rtol=1e-13)


@quick
@given(case=convolutions())
def test_max_pool_gradient_keeps_the_sum_and_lands_on_maxima(case: tuple[Conv, tuple[int, ...]]) -> None:
    conv, shape = case
    keep = Padding(*(min(side, conv.size - 1) for side in conv.padding))
    height, width = max(shape[1], conv.size), max(shape[2], conv.size)
    layer = MaxPool(name="p", size=conv.size, stride=conv.stride, padding=keep)
    # few distinct values, so that ties are everywhere
    x = np.random.default_rng(0).integers(-2, 3, (shape[0], height, width, shape[3])).astype(float)
    y = operators.forward(layer, x, {})
    dx = operators.vjp(layer, x, {}, np.ones_like(y)).dx
    seen = np.isfinite(y)
    assert dx.sum() == seen.sum()
    assert (dx * x).sum() == y[seen].sum()
