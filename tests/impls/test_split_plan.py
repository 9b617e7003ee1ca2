"""A split's plan: followed device by device in float64 it gives the whole network, and its bytes are what moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract_inputs import draw, draw_mask, wide
from numpy.typing import NDArray

from impls import catalog
from impls.derive import facts, parameter_shapes
from impls.oracle import network as oracle
from impls.oracle import operators
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, MaxPool, Network, Padding, ReLU, SpatialNorm
from impls.split import Exchange, InvalidSplit, Lies, Plan, Split, Stage, bytes_exchanged, plan, possible, traffic

Shares = list[NDArray[Any]]  # what each device holds

TOWERS = Network(
    name="towers",
    summary="every exchange there is",
    source="this test",
    height=11,
    width=9,
    classes=12,
    layers=(
        Conv(name="conv1", kernels=8, size=3, stride=2, padding=Padding(bottom=1, right=2)),
        ReLU(name="relu1"),
        LRN(name="norm1", size=5, alpha=0.3, beta=0.75, k=2.0),  # windows cross from tower to tower
        MaxPool(name="pool1", size=3, stride=1, padding=Padding(0, 1, 1, 0)),
        Conv(name="conv2", kernels=12, size=3, padding=Padding.same(1), groups=2),
        LRN(name="norm2", size=5, alpha=0.3, beta=0.75, k=2.0, groups=2),
        SpatialNorm(name="spatial2", size=3, alpha=0.2, beta=0.75, k=1.0),
        Conv(name="conv3", kernels=8, size=1),
        Dropout(name="drop3", rate=0.25, scaling=DropoutScaling.IN_TRAINING),
        Dense(name="fc4", units=24),
        ReLU(name="relu4"),
        Dropout(name="drop4", rate=0.5),
        Dense(name="fc5", units=12),
    ),
)


def exchanged(stage: Stage, shares: Shares) -> Shares:
    match stage.exchange:
        case Exchange.NONE:
            return shares
        case Exchange.GATHER_BATCH:
            return [np.concatenate(shares, axis=0)] * len(shares)
        case Exchange.GATHER_CHANNELS:
            return [np.concatenate(shares, axis=-1)] * len(shares)
        case Exchange.HALO:
            nothing = np.zeros_like(shares[0][..., : stage.reach])
            left = [nothing, *(share[..., -stage.reach :] for share in shares[:-1])]
            right = [*(share[..., : stage.reach] for share in shares[1:]), nothing]
            return [np.concatenate(three, axis=-1) for three in zip(left, shares, right, strict=True)]


def shares_of(x: NDArray[Any], lies: Lies, devices: int) -> Shares:
    return [x] * devices if lies is Lies.WHOLE else np.split(x, devices, axis=0 if lies is Lies.BATCH else -1)


def assembled(shares: Shares, lies: Lies) -> NDArray[Any]:
    return shares[0] if lies is Lies.WHOLE else np.concatenate(shares, axis=0 if lies is Lies.BATCH else -1)


def followed(made: Plan, weights: dict[str, NDArray[Any]], images: Any, masks: Any) -> dict[str, NDArray[Any]]:
    """Every layer's output, computed by each device from what it holds and put together again."""
    shares = shares_of(images, made.stages[0].before, made.devices)
    found = {}
    for stage in made.stages:
        name, outputs = stage.layer.name, []
        for device, x in enumerate(exchanged(stage, shares)):
            names = {kind: f"{name}/{kind}" for kind in ("weight", "bias") if f"{name}/{kind}" in weights}
            parameters = {k: weights[n][..., made.share(n, weights[n].shape, device)] for k, n in names.items()}
            mask = shares_of(masks[name], stage.before, made.devices)[device] if name in masks else None
            y = operators.forward(stage.layer, x, parameters, mask)
            outputs.append(y[..., stage.reach : y.shape[-1] - stage.reach])
        shares = outputs
        found[name] = assembled(shares, stage.after)
    return found


SETTINGS: tuple[tuple[Split, int], ...] = (
    ("model", 2),
    ("data", 2),
    ("hybrid", 2),
    ("data", 3),
    ("hybrid", 3),
    ("data", 4),
    ("hybrid", 4),
)


@pytest.mark.parametrize(("split", "devices"), SETTINGS)
def test_devices_that_follow_the_plan_compute_the_whole_network(split: Split, devices: int) -> None:
    weights = wide({name: draw(shape, i, 0.4) for i, (name, shape) in enumerate(parameter_shapes(TOWERS).items())})
    images = draw((12, TOWERS.height, TOWERS.width, TOWERS.channels), 50).astype(np.float64)
    rows = [row for row in facts(TOWERS) if isinstance(row.layer, Dropout)]
    masks = {row.layer.name: draw_mask((12, *row.input_shape), 0.5, 60).astype(np.float64) for row in rows}
    expected = oracle.forward(TOWERS, weights, images, masks)
    found = followed(plan(TOWERS, split, devices), weights, images, masks)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-12, err_msg=name)


def test_towers_meet_where_the_paper_says() -> None:
    """Section 3.5: conv3 sees both towers, conv2, conv4 and conv5 their own; the dense layers see all."""
    stages = plan(catalog.get("original-2012"), "model", 2).stages
    gathers = [stage.layer.name for stage in stages if stage.exchange is not Exchange.NONE]
    assert gathers == ["conv3", "fc6", "fc7", "fc8"]
    assert {stage.exchange for stage in stages} == {Exchange.NONE, Exchange.GATHER_CHANNELS}


def test_the_papers_own_norm_reaches_into_the_other_tower() -> None:
    halos = [(stage.layer.name, stage.reach) for stage in plan(catalog.PAPER, "model", 2).stages if stage.reach]
    assert halos == [("norm1", 2), ("norm2", 2)]


def test_half_the_weights_lie_on_each_of_two_towers() -> None:
    made = plan(catalog.PAPER, "model", 2)
    for name, shape in parameter_shapes(catalog.PAPER).items():
        first, second = (made.share(name, shape, device) for device in (0, 1))
        assert (first.start, first.stop, second.stop) == (0, shape[-1] // 2, shape[-1]), name
        assert second.start == first.stop


def test_data_parallel_gradients_travel_once_around_the_ring() -> None:
    made = plan(catalog.PAPER, "data", 2)
    assert bytes_exchanged(made, 128) == bytes_exchanged(made, 4096) == 2 * 60_965_224 * 4 // 2
    assert [row.what for row in traffic(made, 128)] == ["all-reduce"]
    assert bytes_exchanged(plan(catalog.PAPER, "data", 4), 128) == 2 * 60_965_224 * 4 * 3 // 4


def test_bytes_of_the_towers_counted_by_hand() -> None:
    """Maps before conv3 13 x 13 x 256, before fc6 6 x 6 x 256, 4096 twice, 1000 logits; a half, there and back."""
    moved = {row.where: row.sent for row in traffic(plan(catalog.get("original-2012"), "model", 2), 128)}
    elements = {"conv3": 13 * 13 * 256, "fc6": 6 * 6 * 256, "fc7": 4096, "fc8": 4096, "logits": 1000}
    assert moved == {where: 128 * count * 4 for where, count in elements.items()}


def test_half_precision_halves_maps_and_not_gradients() -> None:
    made = plan(catalog.PAPER, "hybrid", 2)
    full, half = ({row.where: row.sent for row in traffic(made, 128, size)} for size in (4, 2))
    assert full.pop("gradients") == half.pop("gradients")
    assert full == {where: 2 * sent for where, sent in half.items()}


def test_one_weird_trick_exchanges_less_than_data_parallel() -> None:
    data, hybrid = (bytes_exchanged(plan(catalog.PAPER, split, 2), 128) for split in ("data", "hybrid"))
    assert hybrid < data / 10


def test_networks_of_one_tower_have_data_and_hybrid() -> None:
    towers = {"paper", "original-2012", "caffe", "caffenet"}
    for name, network in catalog.NETWORKS.items():
        assert possible(network) == (("model", "data", "hybrid") if name in towers else ("data", "hybrid")), name


@pytest.mark.parametrize(
    ("network", "split", "devices", "words"),
    [
        ("torchvision", "model", 2, "one tower"),
        ("paper", "model", 4, "'conv2' has 2 groups"),
        ("paper", "hybrid", 3, "4096 units cannot be shared equally by 3"),
        ("paper", "data", 1, "two devices or more"),
        ("paper", "none", 2, "'none' on 2 devices"),
    ],
)
def test_what_cannot_be_split_says_why(network: str, split: Split, devices: int, words: str) -> None:
    with pytest.raises(InvalidSplit, match=words):
        plan(catalog.get(network), split, devices)
