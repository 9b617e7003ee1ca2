"""What a worker that trains can be asked to do. Runs in the worker, beside a framework it knows by its protocol.

    train-open      build the network with a checkpoint's weights and velocity, open the data, load the first batch
    train-steps     steps until a time is up or so many are done
    train-validate  top-1 and top-5 error of a part's centre views, some batches at a time
    train-save      weights and velocity as they are
A worker trains once: it opens once and is then asked for slices of about a second, so that its parent can tell how
far it is and stop between two of them. How training is cut into slices changes no result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from harness.data.feed import Feed
from harness.data.prepared import Part, open_prepared
from harness.data.preprocessing import Preprocessing
from harness.data.stream import Stream
from harness.data.views import test_views
from harness.evaluation import metrics
from harness.speed import memory
from harness.speed.tasks import settings_of
from impls import tensor_file, weights
from impls.protocol import Arrays, Batch, Framework, TrainingLoop, Unsupported, UpdateRule
from impls.spec import Network
from impls.spec_json import network_from_json

Task = dict[str, Any]
Fields = dict[str, Any]
Numbers = NDArray[np.float64]


@dataclass
class _Open:
    """The network at work."""

    network: Network
    preprocessing: Preprocessing
    loop: TrainingLoop
    rule: UpdateRule
    feed: Feed[Batch]
    validation: Part | None
    credits: list[Numbers] = field(default_factory=list)  # [2, n] of the validation under way: of top-1 and of top-5
    validated: int = 0  # images of it


class TrainRunner:
    """Performs the tasks with one framework."""

    def __init__(self, framework: Framework) -> None:
        self._framework = framework
        self._open: _Open | None = None

    def run(self, task: Task) -> Fields:
        """Perform one task; returns fields for its `done` event."""
        performers: dict[str, Callable[[Task], Fields]] = {
            "train-open": self._make,
            "train-steps": self._steps,
            "train-validate": self._validate,
            "train-save": self._save,
        }
        return performers[task["do"]](task)

    @property
    def _now(self) -> _Open:
        if self._open is None:
            raise RuntimeError("no training is open")
        return self._open

    def _make(self, task: Task) -> Fields:
        memory.die_first()
        network, prepared = network_from_json(task["network"]), open_prepared(Path(task["data"]))
        preprocessing = Preprocessing.from_text(task["preprocessing"])
        recipe = network.recipe
        stream = Stream(
            prepared, network, preprocessing, seed=task["seed"], batch_size=recipe.batch_size, limit=task["limit"]
        )
        rule = _rule(task)
        loop = self._loop(task, network, rule)
        feed = Feed(stream, task["step"], task["threads"]).__enter__()  # until the process ends
        validation = prepared.part(task["validation"]) if task["validation"] else None
        self._open = _Open(network, preprocessing, loop, rule, feed, validation)
        loop.load(feed.next())
        loop.wait()
        started = time.perf_counter()
        compiled = loop.compile()
        loop.wait()
        compile_s = time.perf_counter() - started if compiled else None
        return {"steps_per_epoch": stream.steps_per_epoch, "compile_s": compile_s}

    def _loop(self, task: Task, network: Network, rule: UpdateRule) -> TrainingLoop:
        arrays = dict(weights.load(task["weights"], network, verify=False).arrays)
        loop = self._framework.build(network, arrays, settings_of(task)).loop("train-step", rule)
        if not all(hasattr(loop, name) for name in ("loss", "set_rule", "start_from", "logits")):
            raise Unsupported("it can be timed, not trained: its loop is no TrainingLoop (impls.protocol)")
        loop = cast(TrainingLoop, loop)
        if task["velocity"]:
            loop.start_from(tensor_file.read(task["velocity"]).arrays)
        return loop

    def _steps(self, task: Task) -> Fields:
        """Losses of the steps taken; the last may be NaN or infinite, and then it is the last."""
        now, rule = self._now, _rule(task)
        if rule != now.rule:
            now.loop.set_rule(rule)
            now.rule = rule
        losses: list[float] = []
        started = time.perf_counter()
        while len(losses) < task["most"] and (not losses or time.perf_counter() - started < task["seconds"]):
            now.loop.step()
            now.loop.load(now.feed.next())  # the next one, while this step is computed
            losses.append(now.loop.loss())
            if not math.isfinite(losses[-1]):
                break
        return {"losses": losses, "spent_s": time.perf_counter() - started}

    def _validate(self, task: Task) -> Fields:
        """How many images are done, with the last of them the errors; `not_finite` where logits are no numbers."""
        now, started = self._now, time.perf_counter()
        part = now.validation
        assert part is not None
        batch_size = min(task["batch_size"], len(part))
        while now.validated < len(part) and time.perf_counter() - started < task["seconds"]:
            first, last = now.validated, min(len(part), now.validated + batch_size)
            try:
                now.credits.append(self._credits(part, first, last, batch_size))
            except metrics.NotFinite:
                return {"not_finite": True}
            now.validated = last
        fields: Fields = {"done": now.validated, "of": len(part), "spent_s": time.perf_counter() - started}
        if now.validated == len(part):
            earned = np.concatenate(now.credits, axis=1)
            fields |= {"top1_error": metrics.rate(earned[0]).error, "top5_error": metrics.rate(earned[1]).error}
            now.credits, now.validated = [], 0
        return fields

    def _credits(self, part: Part, first: int, last: int, batch_size: int) -> Numbers:
        """[2, n] of images `first` to `last`: one centre view each, in a batch that is always of the same size."""
        now = self._now
        rows = np.minimum(np.arange(first, first + batch_size), last - 1)
        views = test_views(np.asarray(part.images[first:last])[rows - first], now.network, now.preprocessing, 1)
        logits = now.loop.logits(views[:, 0])[: last - first]
        probabilities = metrics.averaged(logits[:, np.newaxis])
        labels = np.asarray(part.labels[first:last])
        most = min(5, probabilities.shape[1])
        return np.stack([metrics.credit(probabilities, labels, k) for k in (1, most)])

    def _save(self, task: Task) -> Fields:
        """Two files in a folder. `not_finite` names a tensor that is no weight any more, `problem` a full disk."""
        now, folder = self._now, Path(task["folder"])
        found = now.loop.result()
        arrays = _of(found, "weights/")
        for name, array in arrays.items():
            if weights.first_not_finite(array) is not None:
                return {"not_finite": name}
        try:
            weights.save(folder / task["weights"], now.network.name, arrays, **task["metadata"])
            weights.save(folder / task["velocity"], now.network.name, _of(found, "velocity/"))
        except weights.WeightsError as error:
            return {"problem": str(error)}
        return {}


def _rule(task: Task) -> UpdateRule:
    given = dict(task["rule"])
    given["factors"] = tuple((str(name), float(factor)) for name, factor in given["factors"])
    return UpdateRule(**given)


def _of(found: Arrays, prefix: str) -> Arrays:
    return {
        name.removeprefix(prefix): np.asarray(value, np.float32)
        for name, value in found.items()
        if name.startswith(prefix)
    }
