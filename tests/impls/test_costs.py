"""Floating-point operations and least bytes of a layer."""

from __future__ import annotations

import pytest

from impls import catalog, costs, derive
from impls.derive import LayerFacts, facts

PAPER = catalog.get("paper")
ROWS = {row.layer.name: row for row in facts(PAPER)}


def row(name: str) -> LayerFacts:
    return ROWS[name]


def test_a_convolutions_work_is_two_operations_per_multiply_add() -> None:
    cost = costs.forward(row("conv3"), 10)
    assert cost.flops == 2 * 10 * 149_520_384
    moved = 10 * (13 * 13 * 256 + 13 * 13 * 384) + 885_120
    assert cost.bytes == 4 * moved
    assert cost.intensity == cost.flops / cost.bytes


def test_a_backward_pass_is_two_products_and_moves_each_tensor_once() -> None:
    cost = costs.backward(row("fc7"), 128)
    assert cost.flops == 4 * 128 * 16_777_216
    assert cost.bytes == 4 * (2 * 128 * 4096 + 128 * 4096 + 2 * 16_781_312)


def test_all_layers_together_are_a_step_where_the_images_need_no_gradient() -> None:
    learned = [r for r in facts(PAPER) if r.multiply_adds]
    total = sum(
        costs.forward(r, 1).flops + costs.backward(r, 1, of_input=r.layer.name != "conv1").flops for r in learned
    )
    assert total == derive.training_flops(PAPER)


def test_a_gradient_of_the_weights_alone_moves_each_tensor_once() -> None:
    cost = costs.backward(row("conv1"), 10, of_input=False)
    assert cost.flops == 2 * 10 * 105_415_200
    assert cost.bytes == 4 * (10 * (224 * 224 * 3 + 55 * 55 * 96) + 34_944)


@pytest.mark.parametrize("name", list(ROWS))
def test_half_the_bytes_in_a_type_of_half_the_size(name: str) -> None:
    for cost in (costs.forward, costs.backward):
        wide, narrow = cost(row(name), 4), cost(row(name), 4, "bfloat16")
        assert (wide.flops, wide.bytes) == (narrow.flops, 2 * narrow.bytes)
        assert wide.flops > 0 < wide.bytes


def test_layers_without_a_product_are_bound_by_memory_on_any_machine() -> None:
    light = [r for r in facts(PAPER) if not r.parameters]
    assert light
    assert all(costs.forward(r, 128).intensity < 4 for r in light)
    assert costs.forward(row("conv2"), 128).intensity > 100
