"""The levels of the comparison: the tasks each gives to a worker, and the findings it makes of what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.parity import causes, decisions, forward_level, reference, split_level
from harness.parity.bench import BIAS_SCALE, Bench
from harness.parity.cases import Case, LossCase
from harness.parity.compare import Expected, rms
from harness.parity.finding import Finding, Outputs
from harness.parity.verdict import Judgement, judge
from impls.oracle.product import Tensor
from impls.protocol import Array, Arrays
from impls.spec import MaxPool, ReLU
from impls.spec_json import layer_to_json


@dataclass(frozen=True, slots=True)
class Job:
    """A task for a worker, and what to make of its output."""

    level: str
    case: str
    layer: str
    task: dict[str, Any]  # without id, tuning, device, output: the session adds them
    check: Callable[[Outputs], Iterator[Finding]]
    has_forward_part: bool = True  # that stands without gradients and without a dropout mask


class JobBook:
    """The jobs of every level, made once and shared by all workers, so that references are computed once."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._jobs: dict[str, list[Job]] = {}

    def jobs(self, level: str, *, forward_only: bool = False) -> list[Job]:
        """The jobs of one level, or their forward parts. Raises KeyError for a level that does not exist."""
        if level not in self._jobs:
            self._jobs[level] = list(_MAKERS[level](self.bench))
        if not forward_only:
            return self._jobs[level]
        return [_forward_part(job) for job in self._jobs[level] if job.has_forward_part]

    def preparations(self, levels: Sequence[str]) -> Iterator[Callable[[], object]]:
        """What takes long on the way to the levels' references, in the order in which it will be asked for."""
        bench = self.bench
        if {"layer", "gradient"} & set(levels):
            yield lambda: bench.gradient
        if "forward" in levels:
            name, images = bench.chunks[0]
            yield lambda: bench.forward(name, images)
        if "training" in levels:
            yield lambda: bench.training
        if "split" in levels:
            yield lambda: bench.gradient
            yield lambda: bench.forward(*bench.chunks[0])
            yield lambda: bench.training

    def count(self, level: str, *, forward_only: bool = False) -> int | None:
        """How many jobs a level has; None while nobody has asked for them."""
        if level not in self._jobs:
            return None
        return sum(job.has_forward_part or not forward_only for job in self._jobs[level])


def _forward_part(job: Job) -> Job:
    """A job without gradients: neither are they asked for nor is anything said of them."""

    def check(outputs: Outputs) -> Iterator[Finding]:
        alone = job.level == "forward"
        return (finding for finding in job.check(outputs) if alone or finding.tensor == "y")

    return replace(job, task={**job.task, "forward_only": True}, check=check)


# --- single layers ----------------------------------------------------------------------------------------------------


def operator_jobs(bench: Bench) -> Iterator[Job]:
    """Every operator on small shapes, with its gradients."""
    for index, case in enumerate(bench.operator_cases):
        yield _case_job("operator", bench, case, f"operator{index}", {})
    for index, loss in enumerate(bench.loss_cases):
        task = {
            "do": "cross-entropy",
            "inputs": bench.file(f"loss{index}", {"logits": loss.logits, "labels": loss.labels}),
        }
        yield Job("operator", loss.name, "", task, _check_loss(bench, loss), has_forward_part=False)


def layer_jobs(bench: Bench) -> Iterator[Job]:
    """Every layer of the network, fed the reference's own input."""
    for index, case in enumerate(bench.layer_cases):
        more: dict[str, Any] = {}
        if case.parameters:
            more = {"weights": str(bench.material.weights_file), "network": bench.network_json}
        yield _case_job("layer", bench, case, f"layer{index}", more)


def _case_job(level: str, bench: Bench, case: Case, file: str, more: dict[str, Any]) -> Job:
    arrays: dict[str, Any] = {"x": case.x}
    arrays |= {} if case.dy is None else {"dy": case.dy}
    arrays |= {} if case.mask is None else {"mask": case.mask}
    if not more:
        arrays |= {f"parameter/{name}": value for name, value in case.parameters.items()}
    task = {"do": "layer", "layer": layer_to_json(case.layer), "inputs": bench.file(file, arrays), **more}
    layer = case.layer.name if level == "layer" else ""
    return Job(level, case.name, layer, task, _check_case(level, bench, case), has_forward_part=case.mask is None)


def _check_case(level: str, bench: Bench, case: Case) -> Callable[[Outputs], Iterator[Finding]]:
    expected: dict[str, Expected] = {}

    def check(outputs: Outputs) -> Iterator[Finding]:
        if not expected:
            expected.update(reference.expected_layer(case, bench.precision))
        ties = count_ties(case)
        layer = case.layer.name if level == "layer" else ""
        for tensor, wanted in expected.items():
            found = outputs.get(tensor)
            judgement = judge(found, wanted, bench.precision)
            cause = ""
            if judgement.verdict == "fail" and found is not None:
                cause = causes.explain_layer(case, tensor, found, wanted.value)
            yield Finding(level, case.name, tensor, judgement, layer, ties if tensor == "y" else None, cause)

    return check


def count_ties(case: Case) -> int | None:
    """Max-pool windows whose maximum is not unique; None for other layers."""
    if not isinstance(case.layer, MaxPool):
        return None
    windows = decisions.windows(case.layer, case.x)
    return int(np.count_nonzero((windows == windows.max(-1, keepdims=True)).sum(-1) > 1))


def _check_loss(bench: Bench, case: LossCase) -> Callable[[Outputs], Iterator[Finding]]:
    def check(outputs: Outputs) -> Iterator[Finding]:
        wanted = reference.expected_loss(case, bench.precision)
        found = {name: outputs[name] for name in wanted if name in outputs}
        for tensor, expected in wanted.items():
            judgement = judge(outputs.get(tensor), expected, bench.precision)
            cause = ""
            if judgement.verdict == "fail":
                values = {name: expected.value for name, expected in wanted.items()}
                cause = causes.explain_loss(found, values, len(case.labels))
            yield Finding("operator", case.name, tensor, judgement, cause=cause)

    return check


# --- whole passes -----------------------------------------------------------------------------------------------------


def forward_jobs(bench: Bench) -> Iterator[Job]:
    """Accumulated activations, from the photographs to the logits."""
    for name, images in bench.chunks:
        task = {
            "do": "activations",
            "network": bench.network_json,
            "weights": str(bench.material.weights_file),
            "inputs": bench.file(f"images {name}", {"images": images}),
        }

        def check(outputs: Outputs, name: str = name, images: Array = images) -> Iterator[Finding]:
            return forward_level.check(bench, name, images, outputs)

        yield Job("forward", name, "", task, check)


def gradient_jobs(bench: Bench) -> Iterator[Job]:
    """Loss and gradients of a training-mode pass."""
    batch = bench.batch
    arrays = {"images": batch.images, "labels": batch.labels, **{f"mask/{k}": v for k, v in batch.masks.items()}}
    task = {
        "do": "gradients",
        "network": bench.network_json,
        "weights": str(bench.material.weights_file),
        "inputs": bench.file("batch", arrays),
    }
    name = _batch_name(bench)
    yield Job("gradient", name, "", task, lambda outputs: check_gradient(bench, outputs), has_forward_part=False)


def _batch_name(bench: Bench) -> str:
    return f"batch of {len(bench.batch.labels)}"


def check_gradient(bench: Bench, outputs: Outputs) -> Iterator[Finding]:
    """Every gradient, with what turned decisions excuse."""
    wanted, name = bench.gradient, _batch_name(bench)
    activations = _strip(outputs, "activation/")
    result = wanted.result
    turned = decisions.turned(
        bench.network, wanted.batch.images, activations, result.activations, result.upstream, wanted.sigma
    )
    yield from _decisions(bench, "gradient", name, activations, turned)
    allowed = decisions.allowance(bench.network, turned)
    gradients = _strip(outputs, "gradient/")
    cause: str | None = None
    # An error goes backward: the last layer whose gradient is wrong is the first at fault, and the loss before all.
    for tensor, expected in reversed(wanted.expected.items()):
        layer = tensor.split("/")[0] if "/" in tensor else ""
        found = outputs.get("loss") if tensor == "loss" else gradients.get(tensor)
        relaxed = replace(expected, allowance_rms=allowed.get(layer, 0.0) * rms(expected.value))
        judgement = judge(found, relaxed, bench.precision)
        if judgement.verdict == "fail" and cause is None:
            cause = causes.explain_loss(gradients, result.gradients, len(wanted.batch.labels))
        at_loss = bool(cause) and judgement.verdict == "fail"
        yield Finding(
            "gradient", name, tensor, judgement, "loss" if at_loss else layer, cause=(cause or "") if at_loss else ""
        )


def _strip(arrays: Outputs, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _decisions(
    bench: Bench, level: str, name: str, activations: Arrays, turned: list[decisions.Turned]
) -> Iterator[Finding]:
    """One finding per deciding layer: no decision may differ from the reference's where its margin is wide."""
    rows = {row.layer: row for row in turned}
    for layer in bench.network.layers:
        if not isinstance(layer, ReLU | MaxPool):
            continue
        if layer.name not in activations:
            missing = Judgement("not-observed", "no activations")
            yield Finding(level, name, f"{layer.name}/decisions", missing, layer.name, optional=True)
            continue
        row = rows.get(layer.name)
        reason = f"{row.unexcused} decisions differ by more than rounding" if row and row.unexcused else ""
        verdict = Judgement("fail" if reason else "pass", reason)
        yield Finding(level, name, f"{layer.name}/decisions", verdict, layer.name, row.count if row else 0)


def training_jobs(bench: Bench) -> Iterator[Job]:
    """SGD steps on shared batches and masks."""
    arrays: dict[str, Any] = {}
    for index, (batch, _) in enumerate(bench.steps):
        arrays |= {f"step{index}/images": batch.images, f"step{index}/labels": batch.labels}
        arrays |= {f"step{index}/mask/{name}": mask for name, mask in batch.masks.items()}
    rules = [
        {
            "learning_rate": rule.learning_rate,
            "momentum": rule.momentum,
            "weight_decay": rule.weight_decay,
            "decay_biases": rule.decay_biases,
        }
        for _, rule in bench.steps
    ]
    task = {
        "do": "training",
        "network": bench.network_json,
        "weights": str(bench.material.weights_file),
        "inputs": bench.file("steps", arrays),
        "rules": rules,
        "bias_scale": BIAS_SCALE,
        "decisions": decisions.deciding_layers(bench.network),
    }
    name = f"{len(bench.steps)} steps"
    yield Job("training", name, "", task, lambda outputs: check_training(bench, outputs), has_forward_part=False)


def check_training(bench: Bench, outputs: Outputs) -> Iterator[Finding]:
    """Losses and final weights, with what turned decisions excuse."""
    wanted, name = bench.training, f"{len(bench.steps)} steps"
    squares: dict[str, float] = {}
    for index, seen in enumerate(wanted.passes):
        activations = _strip(outputs, f"step{index}/")
        turned = decisions.turned(
            bench.network, seen.batch.images, activations, seen.activations, seen.upstream, wanted.sigma
        )
        if index == 0:  # later, the weights themselves differ by more than the margins were predicted for
            yield from _decisions(bench, "training", name, activations, turned)
        for layer, share in decisions.allowance(bench.network, turned).items():
            squares[layer] = squares.get(layer, 0.0) + share**2
    weights = _strip(outputs, "weights/")
    cause: str | None = None
    for tensor, expected in wanted.expected.items():
        layer = tensor.split("/")[0] if "/" in tensor else ""
        found = outputs.get("losses") if tensor == "losses" else weights.get(tensor)
        moved = wanted.moved_rms.get(tensor, 0.0)
        judgement = judge(
            found, replace(expected, allowance_rms=squares.get(layer, 0.0) ** 0.5 * moved), bench.precision
        )
        if judgement.verdict == "fail" and cause is None:
            cause = _update_cause(bench, weights)
        at_sgd = bool(cause) and judgement.verdict == "fail"
        yield Finding(
            "training", name, tensor, judgement, "sgd" if at_sgd else layer, cause=(cause or "") if at_sgd else ""
        )


def _update_cause(bench: Bench, weights: Arrays) -> str:
    """The update rule that explains best where one of the followed tensors went."""
    wanted = bench.training
    rules = [(rule, rule.weight_decay) for _, rule in wanted.steps]
    told: list[tuple[float, str]] = []
    for name in wanted.followed:
        if name in weights:
            end: Tensor = wanted.expected[name].value
            gradients = [seen.gradients[name] for seen in wanted.passes]
            start = bench.training_start[name]
            told.append(causes.explain_update(start, weights[name], np.asarray(end), gradients, rules))
    return min(told, default=(np.inf, ""))[1]


def _whole_network_jobs(bench: Bench) -> Iterator[Job]:
    yield from forward_jobs(bench)
    yield from gradient_jobs(bench)
    yield from training_jobs(bench)


def split_jobs(bench: Bench) -> Iterator[Job]:
    """Forward, gradient and training on several devices."""
    return split_level.split_jobs(bench, _whole_network_jobs)


_MAKERS: dict[str, Callable[[Bench], Iterator[Job]]] = {
    "operator": operator_jobs,
    "layer": layer_jobs,
    "forward": forward_jobs,
    "gradient": gradient_jobs,
    "training": training_jobs,
    "split": split_jobs,
}
