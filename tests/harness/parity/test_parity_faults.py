"""The planted faults: each is a real mistake, in a layer that has it, with the derivative of what it computes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.parity.bench import Bench
from harness.parity.cases import Case
from harness.parity.causes import Reference
from harness.parity.composed import ComposedImplementation, FaultyOperators, sgd_update
from harness.parity.fault import Distorted, Fault, Rearranged, Removed, Respecified, Swapped, WrongLoss, WrongUpdate
from harness.parity.faults import FAULTS
from harness.parity.miniature import MINIATURE
from impls.derive import facts, layer_facts
from impls.oracle import network as oracle
from impls.oracle import operators, sgd
from impls.protocol import Batch, UpdateRule
from impls.spec import Conv, Dense, Dropout, DropoutScaling, Layer, MaxPool, Padding, ReLU, Tanh

Array = NDArray[Any]
IN_LAYERS = {name: fault for name, fault in FAULTS.items() if fault.kind is not None}
LINEAR = {name: fault for name, fault in FAULTS.items() if isinstance(fault, Rearranged)}
PLAIN = Reference()

SHAPES: dict[str, tuple[int, ...]] = {row.layer.name: row.input_shape for row in facts(MINIATURE)}


def case_for(fault: Fault, seed: int = 0) -> Case:
    """The fault's layer of the miniature, on data of both signs with exact zeros and, where it takes one, a mask."""
    return case_of(MINIATURE.layer(fault.target), SHAPES[fault.target], seed)


def case_of(layer: Layer, shape: tuple[int, ...], seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(0, 20, (2, *shape)), 1).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = 0
    if isinstance(layer, Tanh):
        x /= 20
    row = layer_facts(layer, shape)
    dy = rng.standard_normal((2, *row.output_shape)).astype(np.float32)
    parameters = {
        name.split("/")[1]: rng.standard_normal(sides).astype(np.float32) for name, sides in row.parameters.items()
    }
    mask = (rng.random(x.shape) < 0.6).astype(np.float32) if isinstance(layer, Dropout) else None
    return Case(layer.name, layer, x, dy, parameters, mask)


def both(operators_: Any, case: Case) -> list[Array]:
    """Output and gradients of a case, in float64."""
    x, dy = case.x.astype(np.float64), np.asarray(case.dy, np.float64)
    y = operators_.forward(case.layer, x, case.parameters, case.mask)
    result = operators_.vjp(case.layer, x, case.parameters, dy, case.mask)
    return [y, result.dx, *(result.dparameters[name] for name in sorted(result.dparameters))]


def differ(one: list[Array], other: list[Array]) -> bool:
    return any(a.shape != b.shape or not np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


# --- the collection ---------------------------------------------------------------------------------------------------


def test_there_are_at_least_24_faults_with_names_and_descriptions_of_their_own() -> None:
    assert len(FAULTS) >= 24
    assert all(name == fault.name for name, fault in FAULTS.items())
    assert len({fault.name for fault in FAULTS.values()}) == len(FAULTS)
    # The same words for two kinds of layer are no confusion: the row names the layer.
    described = Counter((fault.description, fault.kind) for fault in FAULTS.values())
    assert [key for key, count in described.items() if count > 1] == []
    assert all(fault.description and fault.description == fault.description.strip() for fault in FAULTS.values())


def test_no_fault_is_lost_because_another_has_its_name() -> None:
    from harness.parity import faults

    groups = (faults.CONVOLUTION, faults.NORMALISATION, faults.POOLING, faults.UNITS, faults.LEAKS, faults.TRAINING)
    assert sum(map(len, groups)) == len(FAULTS)


@pytest.mark.parametrize(
    "words",
    [
        "α divided by n", "k = 1", "windows clipped at the edge between two towers", "SAME padding", "ceil mode",
        "channels first", "groups of kernels in the wrong order", "missing ReLU", "wrong order", "not scaled at test",
        "derivative of 1/2 at 0", "TF32", "bfloat16", "learning rate outside the velocity",
        "decay outside the velocity",
    ],
)  # fmt: skip
def test_the_mistakes_that_the_design_lists_are_all_planted(words: str) -> None:
    assert any(words in fault.description for fault in FAULTS.values())


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_stands_where_the_miniature_can_have_it(fault: Fault) -> None:
    if isinstance(fault, WrongLoss | WrongUpdate):
        assert fault.kind is None and fault.target == ("loss" if isinstance(fault, WrongLoss) else "sgd")
        assert not any(fault.hits(layer) for layer in MINIATURE.layers)
        return
    target = MINIATURE.layer(fault.target)
    if isinstance(fault, Swapped):
        assert MINIATURE.layers[-1] is not target
        assert not any(fault.hits(layer) for layer in MINIATURE.layers)
        return
    assert fault.concerns(target)
    assert [layer.name for layer in MINIATURE.layers if fault.hits(layer)] == [fault.target]
    assert fault.hits(replace(target, name="case:any"))


def test_a_fault_concerns_only_layers_that_can_have_it() -> None:
    conv = Conv(name="case:conv", kernels=4, size=3)
    assert not FAULTS["swapped-groups"].concerns(conv) and FAULTS["swapped-groups"].concerns(replace(conv, groups=2))
    assert not FAULTS["same-padding"].concerns(conv)
    assert not FAULTS["unscaled-dropout"].concerns(Dropout(name="x", rate=0.5, scaling=DropoutScaling.IN_TRAINING))
    assert not FAULTS["no-relu"].concerns(Tanh(name="x"))


# --- every fault is one -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", IN_LAYERS.values(), ids=IN_LAYERS)
def test_a_fault_changes_what_its_layer_computes(fault: Fault) -> None:
    case = case_for(fault)
    if fault.name == "nan-swallowed":
        case.x[0, 0, 0, 0] = np.nan
    found = [both(FaultyOperators(PLAIN, fault), case)]
    wanted = [both(PLAIN, case)]
    if isinstance(case.layer, Dropout):  # some are wrong in training, others at test time
        tested = replace(case, mask=None)
        found.append(both(FaultyOperators(PLAIN, fault), tested))
        wanted.append(both(PLAIN, tested))
    assert any(differ(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("fault", IN_LAYERS.values(), ids=IN_LAYERS)
def test_a_fault_leaves_other_layers_alone(fault: Fault) -> None:
    for name in ("conv1", "norm1", "pool1", "relu1", "fc6", "tanh4", "drop6"):
        if name == fault.target:
            continue
        case = case_of(MINIATURE.layer(name), SHAPES[name])
        assert not differ(both(FaultyOperators(PLAIN, fault), case), both(PLAIN, case)), name


def test_without_a_fault_the_operators_are_the_frameworks_own() -> None:
    for layer in MINIATURE.layers:
        case = case_of(layer, SHAPES[layer.name])
        assert not differ(both(FaultyOperators(PLAIN, None), case), both(PLAIN, case))
    logits, labels = np.random.default_rng(0).standard_normal((3, 5)), np.array([1, 0, 4])
    loss, gradient = FaultyOperators(PLAIN, None).cross_entropy(logits, labels)
    assert loss == operators.cross_entropy(logits, labels)[0]
    np.testing.assert_array_equal(gradient, operators.cross_entropy(logits, labels)[1])


@pytest.mark.parametrize("fault", IN_LAYERS.values(), ids=IN_LAYERS)
def test_a_fault_writes_to_nothing_it_is_given(fault: Fault) -> None:
    case = case_for(fault)
    given = [case.x, case.dy, case.mask, *case.parameters.values()]
    before = [None if array is None else array.copy() for array in given]
    for array in given:
        if array is not None:
            array.flags.writeable = False
    faulty = FaultyOperators(PLAIN, fault)
    faulty.forward(case.layer, case.x, case.parameters, case.mask)
    faulty.vjp(case.layer, case.x, case.parameters, case.dy, case.mask)
    for array, kept in zip(given, before, strict=True):
        assert array is None or np.array_equal(array, kept)


@pytest.mark.parametrize("fault", IN_LAYERS.values(), ids=IN_LAYERS)
def test_gradients_of_a_faulty_layer_have_the_shapes_of_the_right_ones(fault: Fault) -> None:
    case = case_for(fault)
    found = FaultyOperators(PLAIN, fault).vjp(case.layer, case.x, case.parameters, case.dy, case.mask)
    if fault.name != "no-pool":  # without the pool its output, and what comes back to it, has its input's shape
        assert found.dx.shape == case.x.shape
    for name, value in case.parameters.items():
        assert found.dparameters[name].shape == value.shape


# --- derivatives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", LINEAR.values(), ids=LINEAR)
def test_what_moves_gradients_back_is_the_transpose_of_what_moves_parameters(fault: Rearranged) -> None:
    layer, shape = MINIATURE.layer(fault.target), (2, *SHAPES[fault.target])
    sides = {name.split("/")[1]: s for name, s in layer_facts(layer, SHAPES[fault.target]).parameters.items()}
    rng = np.random.default_rng(1)
    for _ in range(3):
        p, g = ({name: rng.standard_normal(s) for name, s in sides.items()} for _ in range(2))
        moved, back = fault.move(layer, shape, p), fault.back(layer, shape, g)
        assert set(moved) == set(back) == set(sides)
        for name in sides:
            assert np.vdot(moved[name], g[name]) == pytest.approx(np.vdot(p[name], back[name]), rel=1e-9, abs=1e-9), (
                name
            )


@pytest.mark.parametrize("groups", [2, 3, 4])
@pytest.mark.parametrize("name", ["swapped-groups", "interleaved-groups"])
def test_groups_are_moved_back_whatever_their_number(name: str, groups: int) -> None:
    fault = FAULTS[name]
    assert isinstance(fault, Rearranged)
    layer = Conv(name="case:conv", kernels=5 * groups, size=1, groups=groups)
    rng = np.random.default_rng(1)
    p, g = (
        {"weight": rng.standard_normal((1, 1, 2, 5 * groups)), "bias": rng.standard_normal(5 * groups)} for _ in "pg"
    )
    moved, back = fault.move(layer, (1, 2, 2, 2 * groups), p), fault.back(layer, (1, 2, 2, 2 * groups), g)
    assert np.vdot(moved["weight"], g["weight"]) == pytest.approx(np.vdot(p["weight"], back["weight"]))
    assert not np.array_equal(moved["weight"], p["weight"])


SMOOTH = {
    name: fault
    for name, fault in IN_LAYERS.items()
    if isinstance(fault, Respecified | Rearranged | Removed) and fault.kind is not MaxPool
}


@pytest.mark.parametrize("fault", SMOOTH.values(), ids=SMOOTH)
def test_a_faulty_layers_gradient_is_that_of_what_it_computes(fault: Fault) -> None:
    """<dy, f(x + h d) - f(x - h d)> / 2h = <vjp, d>, with dy as the faulty output's shape has it."""
    case, rng, step = case_for(fault), np.random.default_rng(2), 1e-4
    faulty, x = FaultyOperators(PLAIN, fault), case.x.astype(np.float64)
    y = faulty.forward(case.layer, x, case.parameters, case.mask)
    dy = rng.standard_normal(y.shape)
    result = faulty.vjp(case.layer, x, case.parameters, dy, case.mask)
    direction = rng.standard_normal(x.shape)

    def along(h: float) -> float:
        return float(np.vdot(dy, faulty.forward(case.layer, x + h * direction, case.parameters, case.mask)))

    if not isinstance(case.layer, ReLU):
        slope = (along(step) - along(-step)) / (2 * step)
        assert slope == pytest.approx(np.vdot(result.dx, direction), rel=1e-4, abs=1e-3)
    for name, value in case.parameters.items():
        moved = rng.standard_normal(value.shape)
        ends = [
            float(np.vdot(dy, faulty.forward(case.layer, x, {**case.parameters, name: value + h * moved}, case.mask)))
            for h in (step, -step)
        ]
        found = np.vdot(result.dparameters[name], moved)
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(found, rel=1e-4, abs=1e-2), name


# --- what each mistake means ------------------------------------------------------------------------------------------


def faulty_output(name: str, layer: Layer, x: Array, **more: Any) -> Array:
    return FAULTS[name].forward(PLAIN, layer, x, more.get("parameters", {}), more.get("mask"))


@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (1, 6, 7, 2), (2, 9, 9, 1)])
def test_a_pool_padded_with_zeros_is_the_pool_of_the_map_with_zeros_around_it(shape: tuple[int, ...]) -> None:
    layer = MINIATURE.layer("pool3")
    assert isinstance(layer, MaxPool) and layer.padding == Padding.same(1)
    x = np.random.default_rng(0).standard_normal(shape) - 2.0
    around = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    wanted = operators.forward(replace(layer, padding=Padding()), around, {})
    np.testing.assert_array_equal(faulty_output("zero-padded-pool", layer, x), wanted)


def test_same_padding_gives_an_output_for_every_stride_begun() -> None:
    layer = Conv(name="case:conv", kernels=2, size=3, stride=2, padding=Padding.same(1))
    parameters = {"weight": np.ones((3, 3, 1, 2)), "bias": np.zeros(2)}
    for size, out in ((5, 3), (6, 3), (7, 4)):
        x = np.arange(size * size, dtype=float).reshape(1, size, size, 1)
        y = faulty_output("same-padding", layer, x, parameters=parameters)
        assert y.shape[1:3] == (out, out)
    # TensorFlow pads the odd pixel on the right and bottom: at 6, the first window starts at the first pixel.
    x = np.zeros((1, 6, 6, 1))
    x[0, 0, 0] = 1
    assert faulty_output("same-padding", layer, x, parameters=parameters)[0, 0, 0, 0] == 1
    x[0, 0, 0], x[0, 5, 5] = 0, 1
    assert faulty_output("same-padding", layer, x, parameters=parameters)[0, 2, 2, 0] == 1


@pytest.mark.parametrize(("size", "out"), [(7, 3), (8, 4), (9, 4), (10, 5)])
def test_ceil_pooling_rounds_the_side_up_and_leaves_the_floor_part_alone(size: int, out: int) -> None:
    layer = MaxPool(name="case:pool", size=3, stride=2)
    x = np.random.default_rng(0).standard_normal((1, size, size, 2))
    y, plain = faulty_output("ceil-pooling", layer, x), operators.forward(layer, x, {})
    assert y.shape[1:3] == (out, out)
    np.testing.assert_array_equal(y[:, : plain.shape[1], : plain.shape[2]], plain)


def test_nchw_flatten_is_the_transposed_inputs_product() -> None:
    layer = Dense(name="case:dense", units=4)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 5))
    parameters = {"weight": rng.standard_normal((60, 4)), "bias": np.zeros(4)}
    wanted = x.transpose(0, 3, 1, 2).reshape(2, -1) @ parameters["weight"]
    np.testing.assert_allclose(faulty_output("nchw-flatten", layer, x, parameters=parameters), wanted, rtol=1e-12)


def test_bgr_is_the_reversed_inputs_product() -> None:
    case = case_for(FAULTS["bgr"])
    wanted = operators.forward(case.layer, case.x[..., ::-1].astype(np.float64), case.parameters)
    np.testing.assert_allclose(
        faulty_output("bgr", case.layer, case.x.astype(np.float64), parameters=case.parameters), wanted, atol=1e-9
    )


def test_half_at_zero_changes_the_gradient_at_zero_alone() -> None:
    x, dy = np.array([[-1.0, 0.0, 2.0]]), np.array([[3.0, 5.0, 7.0]])
    assert FAULTS["relu-half-at-0"].vjp(PLAIN, ReLU(name="r"), x, {}, dy, None).dx.tolist() == [[0, 2.5, 7]]


def test_a_leaky_relus_gradient_leaks_as_well() -> None:
    x, dy = np.array([[-1.0, 2.0]]), np.array([[3.0, 5.0]])
    assert FAULTS["leaky-relu"].vjp(PLAIN, ReLU(name="r"), x, {}, dy, None).dx[0] == pytest.approx([0.03, 5])


def test_layers_in_the_wrong_order_are_the_two_exchanged() -> None:
    fault = FAULTS["pool-before-norm"]
    names = [layer.name for layer in fault.network(MINIATURE).layers]
    at = [layer.name for layer in MINIATURE.layers].index(fault.target)
    assert names[at : at + 2] == [layer.name for layer in MINIATURE.layers[at : at + 2]][::-1]
    assert sorted(names) == sorted(layer.name for layer in MINIATURE.layers)
    assert facts(fault.network(MINIATURE))[-1].output_shape == (MINIATURE.classes,)


# --- loss and update --------------------------------------------------------------------------------------------------

LOSSES = {name: fault for name, fault in FAULTS.items() if isinstance(fault, WrongLoss)}
UPDATES = {name: fault for name, fault in FAULTS.items() if isinstance(fault, WrongUpdate)}


@pytest.mark.parametrize("fault", LOSSES.values(), ids=LOSSES)
def test_a_wrong_loss_changes_the_loss_and_its_gradient_alike(fault: Fault) -> None:
    logits, labels = np.random.default_rng(0).standard_normal((4, 11)).astype(np.float32), np.array([0, 3, 10, 7])
    right, dright = operators.cross_entropy(logits, labels)
    loss, dlogits = FaultyOperators(PLAIN, fault).cross_entropy(logits, labels)
    assert abs(loss / right - 1) > 0.1 and dlogits.shape == dright.shape
    np.testing.assert_allclose(dlogits, dright * (loss / right), rtol=1e-5)


def test_a_summed_loss_is_the_batch_times_the_mean() -> None:
    loss, dlogits = FAULTS["summed-loss"].loss(2.0, np.ones((5, 3), np.float32))
    assert loss == 10 and np.all(dlogits == 5) and dlogits.dtype == np.float32


def trained(fault: Fault | None, rules: list[UpdateRule]) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    weight, velocity = rng.standard_normal(20), np.zeros(20)
    update = sgd_update if fault is None else fault.update
    for rule in rules:
        update(weight, velocity, rng.standard_normal(20), rule, rule.weight_decay)
    return weight, velocity


@pytest.mark.parametrize("fault", UPDATES.values(), ids=UPDATES)
def test_a_wrong_update_leads_elsewhere_where_the_learning_rate_drops(fault: Fault) -> None:
    rules = [UpdateRule(rate, 0.9, 0.1) for rate in (0.1, 0.1, 0.01, 0.01)]
    assert np.abs(trained(fault, rules)[0] - trained(None, rules)[0]).max() > 1e-3


def test_a_rate_outside_the_velocity_shows_only_once_the_rate_has_dropped() -> None:
    steady = [UpdateRule(0.1, 0.9, 0.1)] * 4
    np.testing.assert_allclose(trained(FAULTS["rate-outside"], steady)[0], trained(None, steady)[0], rtol=1e-12)


def test_the_right_update_is_the_papers() -> None:
    weight, velocity, gradient = np.array([2.0]), np.array([0.5]), np.array([3.0])
    sgd_update(weight, velocity, gradient, UpdateRule(0.1, 0.9, 0.25), 0.25)
    assert velocity[0] == pytest.approx(0.9 * 0.5 - 0.25 * 0.1 * 2 - 0.1 * 3) and weight[0] == pytest.approx(
        2 + velocity[0]
    )


@pytest.mark.parametrize("fault", [*LOSSES.values(), *IN_LAYERS.values()], ids=[*LOSSES, *IN_LAYERS])
def test_only_a_wrong_update_changes_the_update(fault: Fault) -> None:
    rules = [UpdateRule(rate, 0.9, 0.1) for rate in (0.1, 0.01)]
    np.testing.assert_array_equal(trained(fault, rules)[0], trained(None, rules)[0])


# --- whole networks ---------------------------------------------------------------------------------------------------


def composed(arrays: dict[str, Array], fault: Fault | None = None) -> ComposedImplementation:
    return ComposedImplementation(MINIATURE, arrays, FaultyOperators(PLAIN, fault), fault)


def test_a_network_composed_of_the_oracles_operators_is_the_oracles_network(
    bench: Bench, arrays: dict[str, Array]
) -> None:
    batch = bench.batch
    for masks in (None, batch.masks):
        found = composed(arrays).activations(batch.images, masks)
        wanted = oracle.forward(MINIATURE, arrays, batch.images, masks)
        assert list(found) == list(wanted)
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], value, name)


def test_its_gradients_are_the_oracles(bench: Bench, arrays: dict[str, Array]) -> None:
    loss, found = composed(arrays).gradients(bench.batch)
    wanted = oracle.gradients(MINIATURE, arrays, bench.batch)
    assert loss == pytest.approx(wanted.loss, rel=1e-14)
    assert set(found) == set(wanted.gradients) == set(arrays)
    for name, value in wanted.gradients.items():
        np.testing.assert_allclose(found[name], np.asarray(value), rtol=1e-9, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("decay_biases", [True, False])
def test_its_training_is_the_oracles(bench: Bench, arrays: dict[str, Array], decay_biases: bool) -> None:
    steps: list[tuple[Batch, UpdateRule]] = [
        (batch, replace(rule, decay_biases=decay_biases)) for batch, rule in bench.steps[:3]
    ]
    implementation = composed(arrays)
    losses = list(implementation.train(steps))
    wanted = sgd.train(MINIATURE, arrays, steps)
    assert losses == pytest.approx(wanted.losses, rel=1e-5)
    for name, value in wanted.weights.items():
        np.testing.assert_allclose(implementation.weights()[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(arrays["conv1/weight"], composed(arrays).weights()["conv1/weight"])


@pytest.mark.parametrize("name", ["no-relu", "alpha-over-n", "pool-before-norm", "nchw-flatten", "unscaled-dropout"])
def test_a_fault_in_a_network_shows_from_its_layer_on_and_not_before(
    bench: Bench, arrays: dict[str, Array], name: str
) -> None:
    fault = FAULTS[name]
    found = composed(arrays, fault).activations(bench.batch.images)
    wanted = oracle.forward(MINIATURE, arrays, bench.batch.images)
    differing = [layer for layer in wanted if differ([found[layer]], [wanted[layer]])]
    assert differing[0] == fault.target and MINIATURE.logits in differing


@pytest.mark.parametrize("fault", [f for f in IN_LAYERS.values() if isinstance(f, Distorted)], ids=lambda f: f.name)
def test_a_distorted_layer_without_a_mask_is_given_none(fault: Distorted) -> None:
    seen: list[Any] = []

    class Spy(Reference):
        def forward(self, layer: Any, x: Any, parameters: Any, mask: Any = None) -> Array:
            seen.append(mask)
            return super().forward(layer, x, parameters, mask)

    case = replace(case_for(fault), mask=None)
    fault.forward(Spy(), case.layer, case.x, case.parameters, None)
    assert seen == [None]
