"""Likely causes: a planted mistake is named, and nothing is named where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.parity import causes
from harness.parity.bench import Bench
from harness.parity.cases import Case
from harness.parity.causes import Reference
from harness.parity.composed import ComposedImplementation, FaultyOperators, sgd_update
from harness.parity.fault import Fault, WrongLoss, WrongUpdate
from harness.parity.faults import FAULTS
from harness.parity.forward_level import check as check_forward
from harness.parity.levels import check_gradient, check_training
from harness.parity.miniature import MINIATURE
from impls.oracle import network as oracle
from impls.oracle import operators
from impls.oracle.product import OuterProduct
from impls.protocol import Arrays, UpdateRule, Vjp
from impls.spec import Conv, Dense, Dropout, MaxPool, Network, Padding, ReLU

Array = NDArray[Any]
IN_LAYERS = {name: fault for name, fault in FAULTS.items() if fault.kind is not None}

# What shows in no tensor of a layer of the miniature, and why: the single operators have cases for these.
INVISIBLE = {
    "nan-swallowed": "needs a NaN",
    "relu-half-at-0": "needs an input of exactly 0",
}
# What computes the same as another fault, and why: the first of the two in FAULTS is named.
SAME_AS = {
    "fp16-dense": ("tf32-dense", "both keep ten bits of a mantissa; they part where float16 overflows or underflows"),
    # On the miniature's 104 x 88 pixels both begin three pixels before the map. SAME has one more output on each side,
    # to which no gradient comes: only y tells them apart.
    "other-side dx": ("same-padding", ""),
    "other-side weight": ("same-padding", ""),
    "pool-other-side dx": ("pool-both-sides", ""),
}
# Tensors on which a fault leaves no trace, by its nature.
UNTOUCHED = {"conv-no-bias": ("dx", "weight"), "dense-no-bias": ("dx", "weight")}


def matches(fault: Fault, tensor: str = "y") -> str:
    """What is said of a fault that is seen in a tensor of its target."""
    name, _ = SAME_AS.get(f"{fault.name} {tensor}") or SAME_AS.get(fault.name) or (fault.name, "")
    places = [layer for layer in MINIATURE.layers if layer.name == fault.target]
    return f"yours has {FAULTS[name].told(places[0])}" if fault.kind else f"yours has {FAULTS[name].description}"


def layer_case(bench: Bench, fault: Fault) -> Case:
    """The fault's layer on the reference's own input; dropout as the fault shows it."""
    wanted = fault.target
    if fault.name == "unscaled-dropout":
        wanted = f"{wanted}, test time"
    return next(case for case in bench.layer_cases if case.name == wanted)


def single(operators_: Any, case: Case) -> dict[str, Array]:
    """All tensors of a case, computed in float32 as an implementation would."""
    y = operators_.forward(case.layer, case.x, case.parameters, case.mask)
    result = operators_.vjp(case.layer, case.x, case.parameters, case.dy, case.mask)
    return {
        name: np.asarray(value, np.float32) for name, value in {"y": y, "dx": result.dx, **result.dparameters}.items()
    }


def exact(case: Case) -> dict[str, Array]:
    x, dy = case.x.astype(np.float64), np.asarray(case.dy, np.float64)
    result = operators.vjp(case.layer, x, case.parameters, dy, case.mask)
    y = operators.forward(case.layer, x, case.parameters, case.mask)
    return {"y": y, "dx": result.dx, **{name: np.asarray(value) for name, value in result.dparameters.items()}}


class Float32Operators(Reference):
    """The oracle in float32: right, with rounding of its own."""

    def forward(self, layer: Any, x: Array, parameters: Any, mask: Any = None) -> Array:
        return operators.forward(layer, x.astype(np.float32), parameters, mask)

    def vjp(self, layer: Any, x: Array, parameters: Any, dy: Array, mask: Any = None) -> Any:
        found = operators.vjp(layer, x.astype(np.float32), parameters, dy.astype(np.float32), mask)
        return Vjp(found.dx, {name: np.asarray(value) for name, value in found.dparameters.items()})


# --- single layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", IN_LAYERS.values(), ids=IN_LAYERS)
def test_a_fault_in_a_layer_is_named_by_every_tensor_it_touches(bench: Bench, fault: Fault) -> None:
    case = layer_case(bench, fault)
    found, wanted = single(FaultyOperators(Float32Operators(), fault), case), exact(case)
    right = single(Float32Operators(), case)
    told = {}
    for tensor, value in found.items():
        same = value.shape == right[tensor].shape and np.array_equal(value, right[tensor])
        if not same:
            told[tensor] = causes.explain_layer(case, tensor, value, wanted[tensor])
    if fault.name in INVISIBLE:
        assert told == {}
        return
    assert told, "the fault leaves no trace"
    for tensor, cause in told.items():
        assert cause == matches(fault, tensor), tensor
    assert not set(told) & set(UNTOUCHED.get(fault.name, ()))


def test_nan_swallowed_is_named_where_there_is_a_nan() -> None:
    x = np.array([[1.0, np.nan, -2.0]], np.float32)
    case = Case("relu", ReLU(name="case:relu"), x)
    wanted = operators.forward(case.layer, x.astype(np.float64), {})
    found = np.array([[1.0, 0.0, 0.0]], np.float32)
    assert causes.explain_layer(case, "y", found, wanted) == f"yours has {FAULTS['nan-swallowed'].description}"


def test_a_correct_layer_has_no_cause(bench: Bench) -> None:
    for case in few(bench):
        wanted = exact(case)
        for tensor, value in single(Float32Operators(), case).items():
            assert causes.explain_layer(case, tensor, value, wanted[tensor]) == "", (case.name, tensor)
            assert causes.explain_layer(case, tensor, wanted[tensor], wanted[tensor]) == "", (case.name, tensor)


SOME = ("conv2", "norm1", "cnorm2", "pool1", "pool3", "relu1", "tanh4", "fc4", "drop6", "drop7")


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
def test_noise_has_no_cause(bench: Bench, size: float) -> None:
    rng = np.random.default_rng(0)
    for case in few(bench):
        for tensor, value in exact(case).items():
            scale = size * float(np.sqrt(np.mean(np.square(value))))
            noisy = (value + rng.normal(0, scale, value.shape)).astype(np.float32)
            assert causes.explain_layer(case, tensor, noisy, value) == "", (case.name, tensor)


def few(bench: Bench) -> list[Case]:
    """One layer of every kind on one image."""
    chosen = [case for case in bench.layer_cases if case.name in SOME]
    return [
        replace(
            case,
            x=case.x[:1],
            dy=None if case.dy is None else case.dy[:1],
            mask=None if case.mask is None else case.mask[:1],
        )
        for case in chosen
    ]


def test_another_mistake_has_no_cause(bench: Bench) -> None:
    for case in few(bench):
        for tensor, value in exact(case).items():
            for wrong in (value * 1.37, np.roll(value, 1, axis=-1), np.full_like(value, np.nan)):
                assert causes.explain_layer(case, tensor, wrong, value) == "", (case.name, tensor)


def test_an_output_of_a_wrong_shape_is_explained_by_what_has_that_shape(bench: Bench) -> None:
    case = layer_case(bench, FAULTS["ceil-pooling"])
    y = exact(case)["y"]
    assert causes.explain_layer(case, "y", np.zeros((*y.shape, 1), np.float32), y) == ""
    rounded_up = FAULTS["ceil-pooling"].forward(Reference(), case.layer, case.x, {}, None)
    assert rounded_up.shape != y.shape
    assert "ceil mode" in causes.explain_layer(case, "y", rounded_up, y)
    assert causes.explain_layer(case, "y", rounded_up * 2, y) == "", "the shape alone is no match"


def test_a_dense_weights_gradient_is_explained_from_its_factors(bench: Bench) -> None:
    fault = FAULTS["nchw-flatten"]
    case = layer_case(bench, fault)
    product = operators.vjp(case.layer, case.x.astype(np.float64), case.parameters, np.asarray(case.dy, np.float64))
    assert isinstance(product.dparameters["weight"], OuterProduct)
    found = single(FaultyOperators(Float32Operators(), fault), case)["weight"]
    told = causes.explain_layer(case, "weight", found, product.dparameters["weight"])
    assert told == f"yours has {fault.description}"


def test_a_fault_with_errors_of_its_own_is_still_named_and_half_a_fault_is_not(bench: Bench) -> None:
    fault = FAULTS["alpha-over-n"]
    case = layer_case(bench, fault)
    right, wrong = exact(case)["y"], FAULTS["alpha-over-n"].forward(Reference(), case.layer, case.x, {}, None)
    rng = np.random.default_rng(0)
    size = float(np.sqrt(np.mean((wrong - right) ** 2)))
    noisy = wrong + rng.normal(0, 0.05 * size, wrong.shape)
    assert causes.explain_layer(case, "y", noisy, right) == "yours has the reference's α divided by n = 5"
    assert causes.explain_layer(case, "y", right + 0.5 * (wrong - right), right) == ""


@pytest.mark.parametrize("name", ["leaky-relu", "rough-tanh", "zero-padded-pool"])
def test_a_mistake_made_in_earnest_is_named_forward_and_backward(bench: Bench, name: str) -> None:
    """Not the fault's own function: the layer somebody would write, with its true derivative."""
    case = layer_case(bench, FAULTS[name])
    x, dy, wanted = case.x.astype(np.float64), np.asarray(case.dy, np.float64), exact(case)
    if name == "leaky-relu":
        y, dx = np.where(x > 0, x, 0.01 * x), np.where(x > 0, dy, 0.01 * dy)
    elif name == "rough-tanh":
        z = np.clip(x, -2.0, 2.0)
        q = 15 + 6 * z * z
        y = np.clip(x * (15 + x * x) / (15 + 6 * x * x), -1, 1)
        slope = ((15 + 3 * z * z) * q - z * (15 + z * z) * 12 * z) / (q * q)
        dx = dy * np.where(np.abs(y) < 1, slope, 0)
    else:
        assert isinstance(case.layer, MaxPool)
        plain = replace(case.layer, padding=Padding())
        around = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        y, dx = operators.forward(plain, around, {}), operators.vjp(plain, around, {}, dy).dx[:, 1:-1, 1:-1]
    told = f"yours has {FAULTS[name].description}"
    assert causes.explain_layer(case, "y", y, wanted["y"]) == told
    if not np.allclose(dx, wanted["dx"]):
        assert causes.explain_layer(case, "dx", dx, wanted["dx"]) == told


# --- order ------------------------------------------------------------------------------------------------------------


def test_two_layers_in_the_wrong_order_are_named(bench: Bench) -> None:
    case = next(case for case in bench.layer_cases if case.name == "norm1")
    following = MINIATURE.layer("pool1")
    pooled = operators.forward(following, case.x, {})
    found = operators.forward(case.layer, pooled, {})
    assert causes.explain_order(case, following, {}, found) == "yours has this layer and the next in the wrong order"
    assert causes.explain_order(case, following, {}, found * 1.01) == ""
    assert causes.explain_order(case, following, {}, exact(case)["y"]) == ""
    parameters = {kind: bench.material.weights[f"fc6/{kind}"] for kind in ("weight", "bias")}
    assert causes.explain_order(case, MINIATURE.layer("fc6"), parameters, found) == "", "they cannot be exchanged"


# --- loss and update --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if isinstance(f, WrongLoss)], ids=lambda f: f.name)
def test_a_wrong_loss_is_named_by_the_gradients(bench: Bench, fault: WrongLoss) -> None:
    wanted = bench.gradient.result.gradients
    found = {name: np.asarray(value) * fault.factor(4) for name, value in wanted.items()}
    assert causes.explain_loss(found, wanted, 4) == f"yours has {fault.description}"


def test_gradients_of_another_multiple_say_which(bench: Bench) -> None:
    wanted = bench.gradient.result.gradients
    found = {name: np.asarray(value) * 7.5 for name, value in wanted.items()}
    assert causes.explain_loss(found, wanted, 2) == "all gradients are 7.5 times the reference's"


def test_right_gradients_and_gradients_without_a_common_multiple_have_no_cause_in_the_loss(bench: Bench) -> None:
    wanted = bench.gradient.result.gradients
    right = {name: np.asarray(value) for name, value in wanted.items()}
    assert causes.explain_loss(right, wanted, 2) == ""
    one_wrong = {name: value * (2.0 if name == "conv1/weight" else 1.0) for name, value in right.items()}
    assert causes.explain_loss(one_wrong, wanted, 2) == ""
    assert causes.explain_loss({}, wanted, 2) == ""
    assert causes.explain_loss({name: value.T[:1] * 2 for name, value in right.items()}, wanted, 2) == ""
    assert causes.explain_loss({name: np.full_like(value, np.nan) for name, value in right.items()}, wanted, 2) == ""


def trajectory(update: Any) -> tuple[Array, Array, Array, list[Array], list[tuple[UpdateRule, float]]]:
    """Start, this rule's end, the reference's end, and the gradients and rules of both."""
    rng = np.random.default_rng(3)
    start = rng.standard_normal((4, 5))
    gradients = [rng.standard_normal((4, 5)) for _ in range(5)]
    rules = [(UpdateRule(rate, 0.9, 0.1), 0.1) for rate in (0.1, 0.1, 0.1, 0.01, 0.01)]
    ends = []
    for rule_of in (update, sgd_update):
        weight, velocity = start.copy(), np.zeros_like(start)
        for gradient, (rule, decay) in zip(gradients, rules, strict=True):
            rule_of(weight, velocity, gradient, rule, decay)
        ends.append(weight)
    return start, ends[0], ends[1], gradients, rules


@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if isinstance(f, WrongUpdate)], ids=lambda f: f.name)
def test_a_wrong_update_is_named_by_where_the_weights_went(fault: WrongUpdate) -> None:
    start, found, end, gradients, rules = trajectory(fault.rule)
    assert causes.explain_update(start, found, end, gradients, rules)[1] == f"yours has {fault.description}"


def test_the_right_update_and_an_unknown_one_have_no_cause() -> None:
    start, found, end, gradients, rules = trajectory(sgd_update)
    assert causes.explain_update(start, found, end, gradients, rules)[1] == ""
    noisy = end + np.random.default_rng(0).normal(0, 0.1, end.shape)
    assert causes.explain_update(start, noisy, end, gradients, rules)[1] == ""
    assert causes.explain_update(start, np.full_like(end, np.nan), end, gradients, rules)[1] == ""


# --- at the levels: where a fault in a whole network is told ----------------------------------------------------------


def composed(bench: Bench, fault: Fault | None, start: Arrays | None = None) -> ComposedImplementation:
    weights = bench.material.weights if start is None else start
    return ComposedImplementation(MINIATURE, weights, FaultyOperators(Float32Operators(), fault), fault)


def told(findings: Any) -> list[tuple[str, str]]:
    """(layer, cause) of the findings that fail, each once."""
    failed = [finding for finding in findings if finding.judgement.verdict == "fail"]
    return list(dict.fromkeys((finding.layer, finding.cause) for finding in failed if finding.cause))


# Faults that show at test time and leave shapes that later layers can take.
# Not seen in a test-time pass of the miniature, or of a shape that its dense layer does not take.
HIDDEN_FORWARD = (
    "relu-half-at-0", "nan-swallowed", "dropout-scaled-late", "mask-inverted", "no-pool", "ceil-pooling",
    "same-padding", "plain-pooling", "pool-both-sides",
)  # fmt: skip
SHOWN_FORWARD = [
    name
    for name, fault in FAULTS.items()
    if (fault.kind is not None or name == "pool-before-norm") and name not in HIDDEN_FORWARD
]


@pytest.mark.parametrize("name", SHOWN_FORWARD)
def test_the_forward_level_names_the_first_layer_at_fault_and_why(bench: Bench, name: str) -> None:
    fault = FAULTS[name]
    (chunk,) = bench.chunks
    outputs = composed(bench, fault).activations(chunk[1])
    found = told(check_forward(bench, *chunk, {name: np.asarray(y, np.float32) for name, y in outputs.items()}))
    assert found == [(fault.target, matches(fault))]


def test_the_forward_level_passes_what_is_right_and_says_what_is_missing(bench: Bench) -> None:
    (chunk,) = bench.chunks
    outputs = composed(bench, None).activations(chunk[1])
    findings = list(check_forward(bench, *chunk, outputs))
    assert {finding.judgement.verdict for finding in findings} == {"pass"}
    assert [finding.tensor for finding in findings] == [*(layer.name for layer in MINIATURE.layers), "top5"]
    findings = list(check_forward(bench, *chunk, {"fc8": outputs["fc8"]}))
    verdicts = {finding.tensor: finding.judgement.verdict for finding in findings}
    assert verdicts.pop("fc8") == verdicts.pop("top5") == "pass"
    assert set(verdicts.values()) == {"not-observed"}
    findings = list(check_forward(bench, *chunk, {}))
    assert {finding.judgement.verdict for finding in findings} == {"not-observed"}


def test_with_the_logits_alone_the_layer_at_fault_is_still_named(bench: Bench) -> None:
    fault = FAULTS["alpha-over-n"]
    (chunk,) = bench.chunks
    logits = composed(bench, fault).activations(chunk[1])["fc8"]
    findings = list(check_forward(bench, *chunk, {"fc8": logits}))
    assert ("norm1", "yours has the reference's α divided by n = 5") in told(findings)
    failed = next(finding for finding in findings if finding.tensor == "fc8")
    assert "first layer at fault" in failed.judgement.reason and "norm1" in failed.judgement.reason


def test_what_nothing_explains_has_its_range_and_what_to_return_to_narrow_it(bench: Bench) -> None:
    (chunk,) = bench.chunks
    outputs = composed(bench, None).activations(chunk[1])
    for given, place in (
        ({"relu7": outputs["relu7"]}, "between relu7, which agrees, and fc8, in drop7 to fc8: return drop7 as well to"),
        ({}, "between the images and fc8, in conv1 to fc8: return conv2, conv3 and relu6 as well to narrow it"),
    ):
        findings = list(check_forward(bench, *chunk, given | {"fc8": outputs["fc8"] + 3}))
        (failed,) = [finding for finding in findings if finding.tensor == "fc8"]
        assert failed.layer == "fc8" and failed.cause == "", "nothing is made up"
        assert f"the fault lies {place}" in failed.judgement.reason


def test_five_classes_in_another_order_fail_only_by_a_clear_margin(bench: Bench) -> None:
    (chunk,) = bench.chunks
    logits = np.array(bench.forward(*chunk).activations["fc8"])
    first, second = np.argsort(-logits[0])[:2]

    def top5(found: Array) -> Any:
        findings = check_forward(bench, *chunk, {"fc8": found.astype(np.float32)})
        return next(finding for finding in findings if finding.tensor == "top5")

    assert top5(logits).judgement.verdict == "pass"
    swapped = logits.copy()
    swapped[0, [first, second]] = logits[0, [second, first]]
    assert top5(swapped).judgement.verdict == "fail"
    assert top5(swapped).judgement.reason == f"2 of {5 * len(logits)} places hold another class by a clear margin"
    assert top5(np.full_like(logits, np.nan)).judgement.verdict in ("fail", "not-observed")
    assert top5(logits[:, :-1]).judgement.verdict == "not-observed"


@pytest.mark.parametrize("name", ["summed-loss", "loss-per-class"])
def test_the_gradient_level_names_a_wrong_loss(bench: Bench, name: str) -> None:
    implementation = composed(bench, FAULTS[name])
    loss, gradients = implementation.gradients(bench.batch)
    outputs = {
        f"activation/{n}": y for n, y in implementation.activations(bench.batch.images, bench.batch.masks).items()
    }
    outputs |= {f"gradient/{n}": np.asarray(g) for n, g in gradients.items()} | {"loss": np.array([loss])}
    assert told(check_gradient(bench, outputs)) == [("loss", f"yours has {FAULTS[name].description}")]


@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if isinstance(f, WrongUpdate)], ids=lambda f: f.name)
def test_the_training_level_names_a_wrong_update(bench: Bench, fault: WrongUpdate) -> None:
    implementation = composed(bench, fault, bench.training_start)
    losses = list(implementation.train(bench.steps))
    outputs = {f"weights/{name}": value for name, value in implementation.weights().items()}
    found = told(check_training(bench, outputs | {"losses": np.array(losses)}))
    assert found == [("sgd", f"yours has {fault.description}")]


def test_weights_that_were_not_returned_are_not_observed(bench: Bench) -> None:
    losses = np.asarray(bench.training.expected["losses"].value)
    verdicts = {
        finding.tensor: finding.judgement.verdict for finding in check_training(bench, {"losses": losses * 1.5})
    }
    assert verdicts.pop("losses") == "fail" and set(verdicts.values()) == {"not-observed"}


def test_a_network_of_other_layers_has_causes_too() -> None:
    network = Network(
        name="other", summary="", source="this test", height=6, width=5, channels=3, classes=4,
        layers=(Conv(name="c", kernels=5, size=3), Dropout(name="d", rate=0.5), Dense(name="f", units=4)),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    arrays = {
        "c/weight": rng.standard_normal((3, 3, 3, 5)), "c/bias": np.ones(5),
        "f/weight": rng.standard_normal((60, 4)), "f/bias": np.ones(4),
    }  # fmt: skip
    x = rng.standard_normal((2, 6, 5, 3))
    wanted = oracle.forward(network, arrays, x)["d"]
    case = Case("f", network.layers[2], wanted, parameters={"weight": arrays["f/weight"], "bias": arrays["f/bias"]})
    found = wanted.transpose(0, 3, 1, 2).reshape(2, -1) @ arrays["f/weight"] + 1
    right = operators.forward(case.layer, wanted, case.parameters)
    assert causes.explain_layer(case, "y", found, right) == "yours has inputs flattened channels first"
