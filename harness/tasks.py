"""What a worker can be asked to do: run a layer, a forward pass, gradients, or training steps, from files to files.

A task is a JSON object with `id`, `do`, `inputs` (a safetensors file) and `output` (where the results go, safetensors
again); networks and layers travel as `impls.spec_json` writes them. This module runs in the worker, beside a framework
it knows only through `impls.protocol`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from harness.parity.composed import ComposedFramework
from harness.parity.faults import FAULTS
from harness.speed.tasks import SpeedRunner
from impls import derive, reading, registry, tensor_file
from impls.protocol import Array, Arrays, Batch, Framework, Implementation, Operators, Settings, Unsupported, UpdateRule
from impls.spec import Network
from impls.spec_json import layer_from_json, network_from_json
from impls.weights import load as load_weights

if TYPE_CHECKING:
    from harness.evaluation.tasks import EvaluationRunner
    from harness.training.tasks import TrainRunner

Task = dict[str, Any]
Fields = dict[str, Any]


class BadOutput(Exception):
    """An implementation returned something that is not what the protocol asks for; the message says what."""


def _settings(task: Task) -> Settings:
    return Settings(
        tuning=task["tuning"],
        precision=task["precision"],
        device=task["device"],
        devices=task.get("devices", 1),
        split=task.get("split", "none"),
    )


def _select(arrays: Mapping[str, Array], prefix: str) -> Arrays:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _batch(arrays: Mapping[str, Array], prefix: str = "") -> Batch:
    return Batch(
        images=arrays[f"{prefix}images"],
        labels=arrays[f"{prefix}labels"].astype(np.int64),
        masks=_select(arrays, f"{prefix}mask/"),
    )


def _inputs(task: Task) -> Arrays:
    return dict(tensor_file.read(task["inputs"]).arrays)


def _write(path: str, arrays: Mapping[str, Any]) -> None:
    """One array after the other, so that the largest is copied at most once."""
    found = {name: np.asarray(value) for name, value in arrays.items()}
    chunks = (chunk for array in found.values() for chunk in tensor_file.chunks_of(array))
    tensor_file.write(path, {name: array.shape for name, array in found.items()}, chunks, {})


class Runner:
    """Holds the loaded implementation and performs tasks with it."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._object: Any = None
        self._operators: dict[tuple[Settings, str | None], Operators] = {}
        self._speed: SpeedRunner | None = None
        self._evaluation: EvaluationRunner | None = None
        self._train: TrainRunner | None = None

    def load(self) -> None:
        """Import the implementation. Raises whatever its module raises."""
        self._object = registry.load(self._target)

    def run(self, task: Task) -> Fields:
        """Perform one task; returns fields for its `done` event."""
        performers: dict[str, Callable[[Task], Fields]] = {
            "describe": self._describe,
            "layer": self._layer,
            "cross-entropy": self._cross_entropy,
            "activations": self._activations,
            "gradients": self._gradients,
            "training": self._training,
            "external": self._external,
            "read-network": self._read_network,
            "write-network": self._write_network,
        }
        if task["do"] in performers:
            return performers[task["do"]](task)
        by_kind = {"evaluate": self._evaluated, "train": self._trained}
        return by_kind.get(task["do"].partition("-")[0], self._timed)(task)

    def _evaluated(self, task: Task) -> Fields:
        if self._evaluation is None:
            from harness.evaluation.tasks import EvaluationRunner

            self._evaluation = EvaluationRunner(self._framework(task))
        return self._evaluation.run(task)

    def _trained(self, task: Task) -> Fields:
        if self._train is None:
            from harness.training.tasks import TrainRunner

            self._train = TrainRunner(self._framework(task))
        return self._train.run(task)

    def _timed(self, task: Task) -> Fields:
        if self._speed is None:
            self._speed = SpeedRunner(self._framework(task))
        return self._speed.run(task)

    def _framework(self, task: Task) -> Framework:
        if not all(hasattr(self._object, name) for name in ("describe", "operators", "build")):
            raise BadOutput(
                f"{self._target} is not a Framework: it needs describe, operators and build (impls.protocol)"
            )
        framework = cast(Framework, self._object)
        if task.get("composed"):
            return cast(Framework, ComposedFramework(framework, FAULTS[task["fault"]] if task.get("fault") else None))
        return framework

    def _build(self, task: Task, bias_scale: float = 1.0) -> tuple[Network, Implementation]:
        network = network_from_json(task["network"])
        arrays = load_weights(task["weights"], network, verify=False).arrays
        if bias_scale != 1:
            scale = np.float32(bias_scale)
            arrays = {name: value * scale if name.endswith("/bias") else value for name, value in arrays.items()}
        framework, settings = self._framework(task), _settings(task)
        if settings.split != "none" and settings.split not in getattr(framework, "splits", ()):
            raise Unsupported(f"{self._target} has no split {settings.split!r}")
        return network, framework.build(network, arrays, settings)

    def _describe(self, task: Task) -> Fields:
        full = hasattr(self._object, "describe")
        return {"facts": self._framework(task).describe(task["device"]) if full else {}, "full": full}

    def _ops(self, task: Task) -> Operators:
        key = (_settings(task), task.get("fault"))
        if key not in self._operators:
            self._operators[key] = self._framework(task).operators(key[0])
        return self._operators[key]

    def _layer(self, task: Task) -> Fields:
        layer = layer_from_json(task["layer"])
        arrays = _inputs(task)
        parameters = _select(arrays, "parameter/")
        if "weights" in task:
            network = network_from_json(task["network"])
            parameters = _select(load_weights(task["weights"], network, verify=False).arrays, f"{layer.name}/")
        x, mask = arrays["x"], arrays.get("mask")
        operators = self._ops(task)
        outputs: Arrays = {"y": operators.forward(layer, x, parameters, mask)}
        if "dy" in arrays and not task.get("forward_only"):
            result = operators.vjp(layer, x, parameters, arrays["dy"], mask)
            outputs |= {"dx": result.dx, **result.dparameters}
        _write(task["output"], outputs)
        return {}

    def _cross_entropy(self, task: Task) -> Fields:
        arrays = _inputs(task)
        loss, dlogits = self._ops(task).cross_entropy(arrays["logits"], arrays["labels"].astype(np.int64))
        _write(task["output"], {"loss": np.asarray([loss]), "dlogits": dlogits})
        return {}

    def _activations(self, task: Task) -> Fields:
        network, implementation = self._build(task)
        found = implementation.activations(_inputs(task)["images"])
        _write(task["output"], {layer.name: found[layer.name] for layer in network.layers if layer.name in found})
        return {}

    def _gradients(self, task: Task) -> Fields:
        _, implementation = self._build(task)
        batch = _batch(_inputs(task))
        activations = implementation.activations(batch.images, batch.masks)
        loss, gradients = implementation.gradients(batch)
        outputs = {f"activation/{name}": value for name, value in activations.items()}
        outputs |= {f"gradient/{name}": value for name, value in gradients.items()}
        _write(task["output"], outputs | {"loss": np.asarray([loss])})
        return {}

    def _training(self, task: Task) -> Fields:
        _, implementation = self._build(task, bias_scale=task.get("bias_scale", 1.0))
        arrays = _inputs(task)
        rules = [UpdateRule(**rule) for rule in task["rules"]]
        steps = [(_batch(arrays, f"step{index}/"), rule) for index, rule in enumerate(rules)]
        outputs: dict[str, Any] = {}
        losses: list[float] = []
        trajectory = implementation.train(steps)
        for index, (batch, _) in enumerate(steps):
            # What this step decides (which ReLUs are open), with the weights it starts from.
            activations = implementation.activations(batch.images, batch.masks)
            outputs |= {f"step{index}/{name}": activations[name] for name in task["decisions"]}
            loss = next(trajectory, None)
            if loss is None:
                raise BadOutput(f"train(steps) yielded {index} losses, expected one for each of {len(steps)} steps")
            losses.append(float(loss))
        for _ in trajectory:
            pass
        outputs |= {f"weights/{name}": value for name, value in implementation.weights().items()}
        _write(task["output"], outputs | {"losses": np.asarray(losses)})
        return {}

    def _read_network(self, task: Task) -> Fields:
        """Somebody's class or model as this project's own description: see `impls.registry.READERS`."""
        return {"reading": reading.to_json(self._object(task["target"], task.get("side")))}

    def _write_network(self, task: Task) -> Fields:
        """A network's weights as the framework's own file: see `impls.registry.WRITERS`."""
        network = network_from_json(task["network"])
        arrays = load_weights(task["weights"], network, verify=False).arrays
        self._object(network, arrays, task["output"], task["metadata"])
        return {}

    def _external(self, task: Task) -> Fields:
        """Somebody's `build(network, weights)`: nothing about what it returns is taken for granted."""
        network = network_from_json(task["network"])
        weights = load_weights(task["weights"], network, verify=False)
        copies = {name: np.array(value) for name, value in weights.arrays.items()}
        if not callable(self._object):
            raise BadOutput(f"{self._target} is a {type(self._object).__name__}, expected build(network, weights)")
        images = np.array(_inputs(task)["images"])
        try:
            found = _activations_of(self._object(network, copies), images)
        except BadOutput:
            raise
        except Exception as error:
            if not isinstance(self._object, type):
                raise
            what = "a class, expected build(network, weights); alexbench audit reads classes"
            raise BadOutput(f"{self._target} is {what} ({type(error).__name__}: {error})"[:500]) from error
        _write(task["output"], _checked_activations(network, found))
        return {}


def _activations_of(forward: object, images: Array) -> object:
    if not callable(forward):
        raise BadOutput(f"build(...) returned {_describe(forward)}, expected a function activations(images)")
    return forward(images)


def _describe(value: object) -> str:
    return "nothing (None)" if value is None else f"a {type(value).__name__}"


def _checked_activations(network: Network, found: object) -> Arrays:
    if not isinstance(found, Mapping):
        raise BadOutput(f"activations(images) returned {_describe(found)}, expected a dict of layer name -> array")
    if network.logits not in found:
        names = ", ".join(str(name) for name in found) or "nothing"
        raise BadOutput(f"activations(images) lacks the logits {network.logits!r}; it has {names}"[:500])
    known = {row.layer.name for row in derive.facts(network)}
    unknown = [str(name) for name in found if name not in known]
    if unknown:
        raise BadOutput(f"activations(images) has {unknown[0]!r}, which is no layer of {network.name}"[:500])
    return {name: _as_array(name, value) for name, value in found.items()}


def _refused(array: Array) -> Array:
    """NumPy would cast None, "1.5" and complex numbers without a word."""
    raise TypeError(f"its dtype is {array.dtype}")


def _as_array(name: str, value: Any) -> Array:
    if hasattr(value, "detach"):  # a PyTorch tensor that still carries its graph
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
        return array.astype(np.float32) if array.dtype.kind not in "cOSUMm" else _refused(array)
    except (TypeError, ValueError) as error:
        raise BadOutput(f"layer {name!r}: {_describe(value)} is not an array of numbers ({error})"[:500]) from None
