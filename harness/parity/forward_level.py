"""The forward level: accumulated activations from the photographs to the logits, and the first layer at fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from harness.parity import causes, reference, segment
from harness.parity.bench import Bench
from harness.parity.cases import Case
from harness.parity.finding import Finding, Outputs
from harness.parity.verdict import Judgement, judge
from impls.oracle.network import layer_parameters
from impls.protocol import Array
from impls.spec import Conv, Dense, Layer, Network

TOP = 5


def check(bench: Bench, name: str, images: Array, outputs: Outputs) -> Iterator[Finding]:
    """Every activation against the reference; where one fails, each layer on its own input tells which is at fault."""
    wanted = bench.forward(name, images)
    judged = {
        layer: judge(outputs.get(layer), expected, bench.precision) for layer, expected in wanted.expected.items()
    }
    fault = _Fault()
    if any(row.verdict == "fail" for row in judged.values()):
        fault = _first_fault(bench, images, wanted, outputs) or _Fault()
    # A culprit that was not returned itself is told by the first row that fails in its wake.
    culprit = fault.layer
    teller = culprit if culprit and judged[culprit].verdict == "fail" else _first_failing(judged) if culprit else ""
    for layer, judgement in judged.items():
        expected = wanted.expected[layer]
        figures = (expected.baseline_rms, expected.floor_rms)
        if layer == teller:
            blamed = replace(judgement, reason=f"{judgement.reason}; {fault.place}")
            yield Finding("forward", name, layer, blamed, culprit, None, fault.cause, *figures)
        else:
            # Of its activations an implementation need give no more than the logits.
            optional = layer != bench.network.logits
            yield Finding("forward", name, layer, judgement, layer, None, "", *figures, optional=optional)
    yield _top_five(bench.network, name, wanted, outputs)


@dataclass(frozen=True)
class _Fault:
    """The first fault. layer: whose row tells it. place: where it is, as a sentence's part. cause: empty if unknown."""

    layer: str = ""
    place: str = ""
    cause: str = ""


def _first_failing(judged: Mapping[str, Judgement]) -> str:
    return next(layer for layer, judgement in judged.items() if judgement.verdict == "fail")


def _first_fault(bench: Bench, images: Array, wanted: reference.Forward, outputs: Outputs) -> _Fault | None:
    """The first layer that fails on the input the implementation itself gave it, and the likely cause."""
    layers, weights = bench.network.layers, bench.material.weights
    x, start = images, 0
    for index, layer in enumerate(layers):
        found = outputs.get(layer.name)
        if found is None:
            continue
        if index > start:
            culprit = _fault_within(bench, wanted, slice(start, index + 1), x, found)
        else:
            case = Case(layer.name, layer, x, parameters=layer_parameters(layer, weights))
            culprit = _fault_of(bench, case, layers[index + 1 : index + 2], found)
        if culprit is not None:
            return culprit
        x, start = found, index + 1
    return None


def _at(layer: str, cause: str) -> _Fault:
    return _Fault(layer, f"the first layer at fault is {layer}", cause)


def _fault_of(bench: Bench, case: Case, following: tuple[Layer, ...], found: Array) -> _Fault | None:
    expected = reference.expected_layer(case, bench.precision)["y"]
    if judge(found, expected, bench.precision).verdict != "fail":
        return None
    cause = causes.explain_layer(case, "y", found, expected.value)
    if not cause and following and not isinstance(following[0], Conv | Dense):
        cause = causes.explain_order(case, following[0], {}, found)
    return _at(case.layer.name, cause)


def _fault_within(bench: Bench, wanted: reference.Forward, run: slice, x: Array, found: Array) -> _Fault | None:
    """The same for a run of layers of which only the last was returned."""
    layers, weights = bench.network.layers[run], bench.material.weights
    own = wanted  # from the images on it is the whole pass's
    if run.start:
        own = reference.forward(replace(bench.network, layers=layers), weights, x, bench.precision)
    if judge(found, own.expected[layers[-1].name], bench.precision).verdict != "fail":
        return None
    told = segment.explain(layers, x, found, weights)
    if told.layer:
        return _at(told.layer, told.cause)
    names = [layer.name for layer in layers]
    before = f"{bench.network.layers[run.start - 1].name}, which agrees," if run.start else "the images"
    place = f"the fault lies between {before} and {names[-1]}, in {names[0]} to {names[-1]}"
    unfinished = "" if told.all_tried else "; not every known mistake could be tried in time"
    return _Fault(names[-1], f"{place}{unfinished}: return {segment.narrowing(names)} as well to narrow it")


def _top_five(network: Network, name: str, wanted: reference.Forward, outputs: Outputs) -> Finding:
    """Whether the five likeliest classes are the reference's, in its order, where rounding cannot swap them."""
    logits, sigma = wanted.activations[network.logits], wanted.expected[network.logits].sigma
    found = outputs.get(network.logits)
    if found is None or found.shape != logits.shape or sigma is None:
        missing = Judgement("not-observed", "no logits of the right shape")
        return Finding("forward", name, "top5", missing, network.logits)
    count = min(TOP, network.classes)
    ours = np.argsort(-logits, axis=1, kind="stable")[:, :count]
    theirs = np.argsort(-found, axis=1, kind="stable")[:, :count]
    margin = np.take_along_axis(logits, ours, 1) - np.take_along_axis(logits, theirs, 1)
    allowed = 16 * np.maximum(np.take_along_axis(sigma, ours, 1), np.take_along_axis(sigma, theirs, 1))
    differs = ours != theirs
    wrong = int(np.count_nonzero(differs & (np.abs(margin) > allowed)))
    excused = int(np.count_nonzero(differs)) - wrong
    reason = f"{wrong} of {ours.size} places hold another class by a clear margin" if wrong else ""
    return Finding("forward", name, "top5", Judgement("fail" if wrong else "pass", reason), network.logits, excused)
