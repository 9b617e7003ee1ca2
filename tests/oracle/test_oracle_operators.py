"""Forward values worked by hand or in closed form, and what NaN, ties, masks and labels do."""

from __future__ import annotations

import numpy as np
import pytest

from impls.derive import InvalidNetwork
from impls.oracle import operators
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, SpatialNorm, Tanh


def test_conv_of_ones_counts_the_pixels_under_each_window() -> None:
    layer = Conv(name="c", kernels=4, size=3, stride=2, padding=Padding(top=1, bottom=0, left=0, right=2), groups=2)
    x = np.ones((1, 4, 5, 6))
    y = operators.forward(layer, x, {"weight": np.ones((3, 3, 3, 4)), "bias": np.array([0.0, 1, 2, 3])})
    # windows cover rows -1..1 and 1..3, columns 0..2, 2..4 and 4..6 of a 4x5 map
    rows, columns = np.array([2, 3]), np.array([3, 3, 1])
    expected = rows[:, None] * columns[None, :] * 3
    assert np.array_equal(y[0], expected[..., None] + np.arange(4.0))


def test_conv_correlates_without_flipping_its_kernel() -> None:
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1] = 1
    weight = np.arange(9.0).reshape(3, 3, 1, 1)
    layer = Conv(name="c", kernels=1, size=3, padding=Padding.same(1))
    y = operators.forward(layer, x, {"weight": weight, "bias": np.zeros(1)})
    assert np.array_equal(y[0, :, :, 0], weight[::-1, ::-1, 0, 0])


def test_dense_flattens_height_then_width_then_channels() -> None:
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    parameters = {"weight": np.eye(24), "bias": np.zeros(24)}
    assert np.array_equal(operators.forward(Dense(name="d", units=24), x, parameters)[0], np.arange(24.0))


def test_large_float32_weight_is_cast_in_blocks_to_the_same_result() -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((3000, 1500), dtype=np.float32)  # more than one block
    x, dy = random.standard_normal((2, 3000)), random.standard_normal((2, 1500))
    layer, parameters = Dense(name="d", units=1500), {"weight": weight, "bias": np.ones(1500, np.float32)}
    y = operators.forward(layer, x, parameters)
    assert y.dtype == np.float64
    assert np.allclose(y, x @ weight.astype(np.float64) + 1, rtol=0, atol=1e-11)
    dx = operators.vjp(layer, x, parameters, dy).dx
    assert np.allclose(dx, dy @ weight.T.astype(np.float64), rtol=0, atol=1e-11)


def test_lrn_of_one_hot_touches_only_its_window() -> None:
    x = np.zeros((1, 1, 1, 7))
    x[..., 2] = 3
    x[..., 4] = 1
    y = operators.forward(LRN(name="n", size=3, alpha=0.5, beta=2.0, k=1.0), x, {})
    assert np.allclose(y[0, 0, 0], [0, 0, 3 / 5.5**2, 0, 1 / 1.5**2, 0, 0], rtol=1e-15)


def test_lrn_window_stops_at_the_towers_edge_and_at_the_last_channel() -> None:
    x = np.ones((1, 1, 1, 6))
    y = operators.forward(LRN(name="n", size=5, alpha=1.0, beta=1.0, k=1.0, groups=2), x, {})
    assert np.allclose(1 / y[0, 0, 0], [4, 4, 4, 4, 4, 4])
    y = operators.forward(LRN(name="n", size=5, alpha=1.0, beta=1.0, k=1.0), x, {})
    assert np.allclose(1 / y[0, 0, 0], [4, 5, 6, 6, 5, 4])


def test_spatial_norm_counts_the_pixels_of_a_clipped_window() -> None:
    y = operators.forward(SpatialNorm(name="s", size=3, alpha=1.0, beta=1.0, k=0.0), np.ones((1, 3, 4, 2)), {})
    expected = np.outer([2, 3, 2], [2, 3, 3, 2])
    assert np.allclose(1 / y[0], expected[..., None] * np.ones(2))


def test_max_pool_padding_never_wins_over_negative_values() -> None:
    x = -np.arange(1.0, 10).reshape(1, 3, 3, 1)
    layer = MaxPool(name="p", size=2, stride=2, padding=Padding(bottom=1, right=1))
    assert np.array_equal(operators.forward(layer, x, {})[0, :, :, 0], [[-1, -3], [-7, -9]])


def test_max_pool_gradient_goes_to_the_first_maximum_of_a_tie() -> None:
    x = np.array([[0.0, 5, 5], [5, 0, 5]]).reshape(1, 2, 3, 1)
    dx = operators.vjp(MaxPool(name="p", size=2, stride=1), x, {}, np.array([2.0, 3.0]).reshape(1, 1, 2, 1)).dx
    assert np.array_equal(dx[0, :, :, 0], [[0, 5, 0], [0, 0, 0]])


def test_max_pool_carries_nan_forward_and_its_gradient_back_once() -> None:
    x = np.array([[1.0, np.nan], [np.nan, 2.0]]).reshape(1, 2, 2, 1)
    layer = MaxPool(name="p", size=2, stride=1)
    assert np.isnan(operators.forward(layer, x, {})).all()
    dx = operators.vjp(layer, x, {}, np.ones((1, 1, 1, 1))).dx
    assert np.array_equal(dx[0, :, :, 0], [[0, 1], [0, 0]])


def test_relu_has_no_slope_at_zero_and_keeps_nan() -> None:
    x = np.array([[-1.0, 0.0, -0.0, 2.0, np.nan]])
    y = operators.forward(ReLU(name="r"), x, {})
    assert np.array_equal(y, [[0, 0, 0, 2, np.nan]], equal_nan=True)
    assert np.array_equal(operators.vjp(ReLU(name="r"), x[:, :4], {}, np.ones((1, 4))).dx, [[0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("scaling", "in_training", "at_test"),
    [(DropoutScaling.AT_TEST, [3.0, 0.0], [2.25, 3.0]), (DropoutScaling.IN_TRAINING, [4.0, 0.0], [3.0, 4.0])],
)
def test_dropout_scales_where_its_scaling_says(
    scaling: DropoutScaling, in_training: list[float], at_test: list[float]
) -> None:
    layer, x, mask = Dropout(name="d", rate=0.25, scaling=scaling), np.array([[3.0, 4.0]]), np.array([[1, 0]])
    assert operators.forward(layer, x, {}, mask).tolist() == [in_training]
    assert operators.forward(layer, x, {}).tolist() == [at_test]
    assert operators.vjp(layer, np.zeros((1, 2)), {}, x, mask).dx.tolist() == [in_training]


def test_dropout_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mask \(2,\) does not fit its input \(1, 2\)"):
        operators.forward(Dropout(name="d", rate=0.5), np.ones((1, 2)), {}, np.ones(2))


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_the_classes() -> None:
    loss, gradient = operators.cross_entropy(np.full((2, 5), 7.0), np.array([1, 4]))
    expected = np.full((2, 5), 0.2)
    expected[[0, 1], [1, 4]] -= 1
    assert loss == pytest.approx(np.log(5), rel=1e-15) and isinstance(loss, float)
    assert np.allclose(gradient, expected / 2, rtol=1e-15)


def test_cross_entropy_survives_large_logits_and_does_not_cancel() -> None:
    loss, gradient = operators.cross_entropy(np.array([[1e4, 1e4 - 50]]), np.array([0]))
    assert loss == pytest.approx(0, abs=1e-15)
    assert np.allclose(gradient, [[-np.exp(-50), np.exp(-50)]], rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "layer",
    [
        Conv(name="c", kernels=2, size=1),
        Dense(name="d", units=2),
        ReLU(name="r"),
        Tanh(name="t"),
        LRN(name="n", size=3, alpha=0.1, beta=0.75, k=1.0),
        SpatialNorm(name="s", size=3, alpha=0.1, beta=0.75, k=1.0),
        MaxPool(name="p", size=1, stride=1),
        Dropout(name="o", rate=0.3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_every_layer_computes_in_the_dtype_of_its_input(layer: Layer, dtype: type) -> None:
    x = np.ones((2, 1, 1, 3), dtype)
    shape = (1, 1, 3, 2) if isinstance(layer, Conv) else (3, 2)
    learned = isinstance(layer, Conv | Dense)
    parameters = {"weight": np.ones(shape, np.float32), "bias": np.ones(2)} if learned else {}
    y = operators.forward(layer, x, parameters)
    step = operators.vjp(layer, x, parameters, np.ones_like(y))
    assert y.dtype == dtype and step.dx.dtype == dtype and step.dx.shape == x.shape
    assert all(np.asarray(gradient).dtype == dtype for gradient in step.dparameters.values())
    assert operators.vjp(layer, x, parameters, np.ones_like(y), need_dx=False).dx.size == 0


def test_layers_that_do_not_fit_are_named() -> None:
    with pytest.raises(InvalidNetwork, match="'n': 5 channels in 2 groups"):
        operators.forward(LRN(name="n", size=3, alpha=1, beta=1, k=1, groups=2), np.ones((1, 1, 1, 5)), {})
    with pytest.raises(ValueError, match="does not take the 3 features"):
        operators.forward(Dense(name="d", units=2), np.ones((1, 3)), {"weight": np.ones((4, 2)), "bias": np.ones(2)})
