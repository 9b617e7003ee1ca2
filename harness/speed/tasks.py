"""What a worker of a speed run can be asked to do. Runs in the worker, beside a framework it knows by its protocol.

A worker holds one loop at a time:
    speed-open     build the network, make the loop, put the check's batch on the device
    speed-compile  trace and compile
    speed-first    the first step, and what it left, for the check
    speed-load     the batch to be timed, and one step with it
    speed-block    samples of so many steps each, synchronised at both ends
    speed-close    what training left; the loop is gone afterwards
Beside it: speed-probe (the device's peak), speed-layer (single layers), follow (a process of a run that spans several).
"""

from __future__ import annotations

import contextlib
import gc
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.speed import inputs, memory
from impls import tensor_file
from impls.derive import facts
from impls.protocol import Array, Arrays, Batch, Framework, Loop, Probe, Settings, UpdateRule, Work
from impls.spec import Network
from impls.spec_json import layer_from_json, network_from_json
from impls.weights import load as load_weights

Task = dict[str, Any]
Fields = dict[str, Any]


def settings_of(task: Task) -> Settings:
    """The settings as a task carries them."""
    return Settings(task["tuning"], task["precision"], task["device"], task["devices"], task["split"])


@dataclass
class _Open:
    """The network at work."""

    network: Network
    settings: Settings
    rule: UpdateRule
    phase: str
    weights: Arrays  # it started from, mapped from their file
    loop: Loop
    feed: AbstractContextManager[inputs.Feed] | None = None
    source: inputs.Feed | None = None
    marks: dict[str, int] = field(default_factory=dict)  # of the weights as the timed steps found them


class SpeedRunner:
    """Performs the tasks with one framework."""

    def __init__(self, framework: Framework) -> None:
        self._framework = framework
        self._open: _Open | None = None
        self._works: dict[str, Work] = {}

    def run(self, task: Task) -> Fields:
        """Perform one task; returns fields for its `done` event."""
        performers: dict[str, Callable[[Task], Fields]] = {
            "speed-open": self._make,
            "speed-compile": self._compile,
            "speed-first": self._first,
            "speed-load": self._load,
            "speed-block": self._block,
            "speed-close": self._close,
            "speed-probe": self._probe,
            "speed-layer": self._layer,
            "speed-layer-block": self._layer_block,
            "speed-forget": self._forget,
            "follow": self._follow,
        }
        return performers[task["do"]](task)

    @property
    def _now(self) -> _Open:
        if self._open is None:
            raise RuntimeError("no loop is open")
        return self._open

    def _make(self, task: Task) -> Fields:
        memory.die_first()
        network, settings = network_from_json(task["network"]), settings_of(task)
        weights = dict(load_weights(task["weights"], network, verify=False).arrays)
        rule = UpdateRule(**task["rule"])
        loop = self._framework.build(network, weights, settings).loop(task["phase"], rule)
        self._open = _Open(network, settings, rule, task["phase"], weights, loop)
        loop.load(_tiled(_check_batch(task["inputs"]), task["batch_size"]))
        loop.wait()
        return {}

    def _compile(self, task: Task) -> Fields:
        started = time.perf_counter()
        compiled = self._now.loop.compile()
        self._now.loop.wait()
        return {"compile_s": time.perf_counter() - started if compiled else None}

    def _first(self, task: Task) -> Fields:
        now = self._now
        started = time.perf_counter()
        now.loop.step()
        now.loop.wait()
        seconds = time.perf_counter() - started
        found = now.loop.result()
        fields: Fields = {"first_step_s": seconds}
        if now.phase == "train-step":
            found, fields["update_error_ulp"] = _gradients_of_update(found, now)
        elif now.phase == "forward-backward":
            found = {name: np.asarray(found[name], np.float32) for name in sorted(found)}
        _write(task["output"], found)
        return fields

    def _load(self, task: Task) -> Fields:
        now = self._now
        pixels = np.load(task["pixels"], mmap_mode="r", allow_pickle=False)[: task["batch_size"]]
        labels = np.load(task["labels"], allow_pickle=False)[: task["batch_size"]]
        batch = Batch(inputs.as_images(pixels), labels, {})
        now.loop.load(batch)
        now.feed = inputs.made(task["input"], batch, Path(task["file"]))
        now.source = now.feed.__enter__()
        del batch
        seconds = _steps(now.loop, 1, now.source)
        found = now.loop.result()
        loss, now.marks = _loss(found), _marks(found)
        del found
        memory.forget_peak()
        return {"loss": loss, "seconds_of_step": seconds}

    def _block(self, task: Task) -> Fields:
        now = self._now
        assert now.source is not None
        _steps(now.loop, task["untimed"], now.source)
        return {"times": [_steps(now.loop, task["steps"], now.source) for _ in range(task["samples"])]}

    def _close(self, task: Task) -> Fields:
        now = self._now
        if now.feed is not None:
            now.feed.__exit__(None, None, None)
        on_device = self._framework.device_memory_mb(now.settings)
        peak_mb = on_device if on_device is not None else memory.peak_mb()
        found = now.loop.result()
        fields: Fields = {"peak_memory_mb": peak_mb, "loss": _loss(found)}
        if now.phase == "train-step":
            after = _marks(found)
            fields["unchanged"] = [name for name, mark in now.marks.items() if after[name] == mark]
            fields["non_finite"] = [name for name in now.weights if not np.isfinite(_total(found[f"weights/{name}"]))]
        self._open = None
        gc.collect()
        return fields

    def _probe(self, task: Task) -> Fields:
        work = self._framework.probe(Probe(task["kind"], task["size"]), settings_of(task))
        once = _warmed(work)
        steps = max(1, round(task["seconds"] / max(once, 1e-6)))
        return {"times": [_steps(work, steps) / steps for _ in range(task["samples"])]}

    def _layer(self, task: Task) -> Fields:
        """Make a layer ready, and tell how long it lasts."""
        layer, settings = layer_from_json(task["layer"]), settings_of(task)
        network = network_from_json(task["network"])
        row = next(row for row in facts(network) if row.layer.name == layer.name)
        arrays = load_weights(task["weights"], network, verify=False).arrays
        parameters = {name.split("/")[1]: arrays[name] for name in row.parameters}
        shape = (task["batch_size"], *row.input_shape)
        x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        work = self._framework.layer_work(
            layer, x, parameters, settings, backward=task["backward"], of_input=task["of_input"]
        )
        self._works[task["name"]] = work
        return {"once": _warmed(work)}

    def _layer_block(self, task: Task) -> Fields:
        work = self._works[task["name"]]
        _steps(work, 1)
        return {"times": [_steps(work, task["steps"]) / task["steps"] for _ in range(task["samples"])]}

    def _forget(self, task: Task) -> Fields:
        self._works.clear()
        gc.collect()
        return {}

    def _follow(self, task: Task) -> Fields:
        self._framework.follow()
        return {}


def _steps(work: Work, count: int, source: inputs.Feed | None = None) -> float:
    """Seconds for so many steps together, the device idle at both ends."""
    work.wait()
    started = time.perf_counter()
    for _ in range(count):
        if source is not None and (batch := source.next()) is not None:
            work.load(batch)  # type: ignore[attr-defined]  # only a Loop has a source
        work.step()
    work.wait()
    return time.perf_counter() - started


def _warmed(work: Work) -> float:
    """Seconds of a step after compilation and a first use of its memory."""
    _steps(work, 1)
    return _steps(work, 1)


def _check_batch(path: str) -> Batch:
    arrays = tensor_file.read(path).arrays
    masks = {name.removeprefix("mask/"): value for name, value in arrays.items() if name.startswith("mask/")}
    return Batch(arrays["images"], arrays["labels"].astype(np.int64), dict(masks))


def _tiled(batch: Batch, batch_size: int) -> Batch:
    """The batch's rows again and again until there are so many."""
    times = batch_size // len(batch.labels)

    def tile(array: Array) -> Array:
        return np.tile(array, (times, *(1,) * (array.ndim - 1)))

    masks = {name: tile(mask) for name, mask in batch.masks.items()}
    return Batch(tile(batch.images), np.tile(batch.labels, times), masks)


def _gradients_of_update(found: Arrays, now: _Open) -> tuple[Arrays, float]:
    """Loss and gradients that the first update was made of, and by how much it missed w + v.

    From zero velocity, v = -rate (gradient + decay w): solved for the gradient. The rate is a power of two, so that
    dividing by it is exact. The miss is in units in the last place of the larger of w and v.
    """
    outputs: Arrays = {"loss": np.asarray(found["loss"], np.float32)}
    worst = 0.0
    rule = now.rule
    for name, start in now.weights.items():
        velocity = np.asarray(found.pop(f"velocity/{name}"), np.float32)
        reached = np.asarray(found.pop(f"weights/{name}"), np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            missed = np.abs(reached - (start + velocity)) / np.spacing(np.maximum(np.abs(start), np.abs(velocity)))
            worst = max(worst, float(np.nan_to_num(missed.max(), nan=np.inf)))
            decay = rule.weight_decay if rule.decay_biases or not name.endswith("/bias") else 0.0
            outputs[f"gradient/{name}"] = velocity * np.float32(-1 / rule.learning_rate) - np.float32(decay) * start
    return outputs, min(worst, 1e9)


def _loss(found: Arrays) -> float | None:
    """The loss, or for the forward phase, which has none, the mean absolute logit. None for what is not finite."""
    value = found["loss"].reshape(-1)[0] if "loss" in found else np.mean(np.abs(found["logits"]))
    return float(value) if np.isfinite(value) else None


def _marks(found: Arrays) -> dict[str, int]:
    """A checksum of each weight tensor: whether it changed can be told without a copy of it."""
    names = [name for name in found if name.startswith("weights/") and name.endswith("/weight")]
    return {name.removeprefix("weights/"): zlib.crc32(np.ascontiguousarray(found[name]).data) for name in names}


def _total(array: Array) -> float:
    """Infinite or NaN where an element is."""
    return float(np.sum(np.abs(array), dtype=np.float64))


def _write(path: str, arrays: Arrays) -> None:
    chunks = (chunk for array in arrays.values() for chunk in tensor_file.chunks_of(np.asarray(array)))
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    tensor_file.write(path, {name: np.asarray(array).shape for name, array in arrays.items()}, chunks, {})
