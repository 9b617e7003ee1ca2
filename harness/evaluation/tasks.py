"""What a worker that scores weights can be asked to do, beside a framework it knows by its protocol. NumPy only.

evaluate-open      build the network, compile its forward pass for one batch size, open the prepared images
evaluate-score     softmax outputs, averaged over the views, of images `start` to `stop`, into a shared file
evaluate-features  a layer's activations for chosen images
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.prepared import Prepared, open_prepared
from harness.data.preprocessing import METADATA_KEY, Preprocessing
from harness.data.views import test_views
from harness.evaluation import metrics
from impls.protocol import Array, Arrays, Batch, Framework, Implementation, Loop, Settings, Unsupported, UpdateRule
from impls.spec import Network
from impls.spec_json import network_from_json
from impls.weights import load as load_weights

Task = dict[str, Any]
Fields = dict[str, Any]

WATCHED_AT_ONCE = 16  # images; all layers' activations for one are 10 MB in the paper's network
NO_UPDATE = UpdateRule(learning_rate=0.0)  # a forward pass has none


@dataclass(frozen=True)
class Source:
    """One network's weights and the images it is to see."""

    network: Network
    weights: Arrays
    data: Prepared
    part: str
    preprocessing: Preprocessing
    origin: str  # where the preprocessing was found

    def views(self, images: NDArray[np.uint8], crops: int) -> Array:
        """uint8 [n, S, S, C0] to float32 [n, crops, H, W, C]."""
        return test_views(images, self.network, self.preprocessing, crops)


def open_source(network: Network, weights: Path, data: Path, part: str) -> Source:
    """Map weights and images. Images are centred and scaled as the weights' file says, else as the data suggest.

    Raises WeightsError, UsageError.
    """
    loaded, prepared = load_weights(weights, network, verify=False), open_prepared(data)
    text = loaded.metadata.get(METADATA_KEY)
    found = Preprocessing.of(network, prepared) if text is None else Preprocessing.from_text(text)
    origin = "prepared folder" if text is None else "weights file"
    return Source(network, loaded.arrays, prepared, part, found, origin)


class EvaluationRunner:
    """Performs the tasks with one framework. It holds one network at a time."""

    def __init__(self, framework: Framework) -> None:
        self._framework = framework
        self._source: Source | None = None
        self._pass: _Pass | None = None
        self._watched: Implementation | None = None

    def run(self, task: Task) -> Fields:
        """Perform one task; returns fields for its `done` event."""
        performers: dict[str, Callable[[Task], Fields]] = {
            "evaluate-open": self._open,
            "evaluate-score": self._score,
            "evaluate-watch": self._watch,
            "evaluate-features": self._features,
        }
        return performers[task["do"]](task)

    def _open(self, task: Task) -> Fields:
        source, implementation = self._built(task)
        if not hasattr(implementation, "loop"):
            raise Unsupported("this framework offers no loop, which scoring runs on (impls.protocol.Implementation)")
        self._pass = _Pass(implementation.loop("forward", NO_UPDATE), source.network, task["batch_size"])
        return {"preprocessing": source.preprocessing.kind, "origin": source.origin}

    def _built(self, task: Task) -> tuple[Source, Implementation]:
        self._source = self._pass = self._watched = None
        gc.collect()  # two networks at once might not fit
        network = network_from_json(task["network"])
        source = open_source(network, Path(task["weights"]), Path(task["data"]), task["part"])
        implementation = self._framework.build(source.network, source.weights, _settings(task))
        self._source = source
        return source, implementation

    def _score(self, task: Task) -> Fields:
        """Fields: `not_finite` where the network answers with what is no number, saying for which images."""
        if self._source is None or self._pass is None:
            raise RuntimeError("no network is open")
        source, crops = self._source, int(task["crops"])
        images = source.data.part(source.part).images
        output = np.load(task["output"], mmap_mode="r+", allow_pickle=False)
        at_once = max(1, task["batch_size"] // crops)
        for start in range(task["start"], task["stop"], at_once):
            stop = min(start + at_once, task["stop"])
            views = source.views(images[start:stop], crops)
            logits = self._pass.logits(views.reshape(-1, *views.shape[2:]))
            try:
                output[start:stop] = metrics.averaged(logits.reshape(stop - start, crops, -1))
            except metrics.NotFinite as error:
                return {"not_finite": f"images {start} to {stop - 1}: {error}"}
        output.flush()
        return {}

    def _watch(self, task: Task) -> Fields:
        _, self._watched = self._built(task)
        return {}

    def _features(self, task: Task) -> Fields:
        if self._source is None or self._watched is None:
            raise RuntimeError("no network is watched")
        source, size = self._source, WATCHED_AT_ONCE
        images, indices = source.data.part(source.part).images, task["indices"]
        output = np.load(task["output"], mmap_mode="r+", allow_pickle=False)
        for start in range(0, len(indices), size):
            chosen = indices[start : start + size]
            # A full batch always, so that nothing is compiled for another size.
            views = source.views(
                np.stack([images[index] for index in (*chosen, *chosen[:1] * (size - len(chosen)))]), 1
            )
            layer = np.asarray(self._watched.activations(views[:, 0])[task["layer"]], np.float32)
            first = task["start"] + start
            output[first : first + len(chosen)] = layer.reshape(size, -1)[: len(chosen)]
        output.flush()
        return {}


class _Pass:
    """A loop that answers batches of any size up to its own, which is all it was compiled for."""

    def __init__(self, loop: Loop, network: Network, size: int) -> None:
        self._loop, self._size = loop, size
        self._images = np.zeros((size, network.height, network.width, network.channels), np.float32)
        self._labels = np.zeros(size, np.int64)  # nobody looks at them
        self._load(self._images[:0])
        loop.compile()
        loop.step()
        loop.wait()

    def _load(self, images: Array) -> None:
        self._images[: len(images)] = images
        self._images[len(images) :] = 0.0
        self._loop.load(Batch(self._images, self._labels, {}))

    def logits(self, images: Array) -> Array:
        """[n, H, W, C] to [n, classes]."""
        found = []
        for start in range(0, len(images), self._size):
            part = images[start : start + self._size]
            self._load(part)
            self._loop.step()
            self._loop.wait()
            found.append(np.array(self._loop.result()["logits"][: len(part)], np.float32))
        return np.concatenate(found)


def _settings(task: Task) -> Settings:
    return Settings(tuning=task["tuning"], precision=task["precision"], device=task["device"])
