"""Everything one parity run compares on: the network, its weights, the photographs, and the references made from them.

References and input files are made when a level first needs them, and shared by every framework and tuning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.parity import decisions, reference
from harness.parity.cases import Case, LossCase, loss_cases, operator_cases
from harness.parity.compare import rms
from impls import tensor_file
from impls.derive import facts
from impls.oracle import network
from impls.oracle.rounding import Precision
from impls.protocol import Array, Arrays, Batch, UpdateRule
from impls.spec import Dropout, MaxPool, Network
from impls.spec_json import network_to_json

CROPS_AT_ONCE = 20
CHUNKS_KEPT = 3  # references of twenty views of the paper's network take 400 MB
TRAINING_IMAGES = 2
# Five steps with the paper's momentum; the rate drops by ten before the fourth, where the forms of momentum part, and
# one step leaves the biases undecayed, as the original does.
RATE_FACTORS = (1.0, 1.0, 1.0, 0.1, 0.1)
UNDECAYED_STEP = 1
# The first step is to lower the loss by so much of itself, to first order: on two images the paper's rate would
# diverge, and divergence hides everything.
STEP_SHARE = 0.05
# Activations near 1 in training: at a photograph's own size the classifier's gradient is so large that a rate it bears
# leaves the others' without effect.
IMAGE_SCALE = 2.0**-6
# Rate times weight decay. The paper's would move a weight by less than its rounding.
DECAY_PER_STEP = 3e-5
# Biases start this small: at their own size their rounding would hide what their gradients do.
BIAS_SCALE = 2.0**-10


@dataclass(frozen=True)
class Material:
    """What a run compares on."""

    network: Network
    weights: Arrays  # canonical, memory-mapped where they came from a file
    weights_file: Path
    images: Array  # [N, H, W, C]
    photographs: tuple[str, ...]  # a name for each run of N / photographs views
    centres: tuple[int, ...]  # the views that gradients and training use
    precision: Precision
    seed: int
    folder: Path  # for input and output files
    devices: int = 1  # over which the level split shares the network
    splits: tuple[str, ...] = ()


def _told_apart(names: Sequence[str]) -> list[str]:
    """Names, those that come again with a number."""
    seen: Counter[str] = Counter()
    found: list[str] = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


class Bench:
    """Material, and the references made from it."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.network = material.network
        self.precision = material.precision
        self.network_json = network_to_json(material.network)
        self._files: dict[str, Path] = {}

    def file(self, name: str, arrays: Mapping[str, Any]) -> str:
        """A file of input arrays, written once; labels become float32 too, which holds whole numbers to 2^24."""
        if name not in self._files:
            path = self.material.folder / f"input{len(self._files)}.in"  # photographs' names may be too long for one
            found = {key: np.asarray(value, dtype=np.float32) for key, value in arrays.items()}
            chunks = (chunk for array in found.values() for chunk in tensor_file.chunks_of(array))
            tensor_file.write(path, {key: array.shape for key, array in found.items()}, chunks, {})
            self._files[name] = path
        return str(self._files[name])

    def rng(self, *stream: int) -> np.random.Generator:
        """Randomness of its own for every purpose, all from the seed."""
        return np.random.default_rng([self.material.seed, *stream])

    @cached_property
    def operator_cases(self) -> list[Case]:
        """Single operators on small shapes."""
        return list(operator_cases(self.precision, self.material.seed))

    @cached_property
    def loss_cases(self) -> list[LossCase]:
        """Softmax cross-entropy."""
        return list(loss_cases(self.precision, self.material.seed))

    @cached_property
    def chunks(self) -> list[tuple[str, Array]]:
        """The views in portions, with a name for each."""
        views, names = self.material.images, _told_apart(self.material.photographs)
        each = len(views) // len(names)
        count = max(1, CROPS_AT_ONCE // each)
        starts = range(0, len(names), count)
        return [(", ".join(names[i : i + count]), views[i * each : (i + count) * each]) for i in starts]

    @cached_property
    def batch(self) -> Batch:
        """The centre views with random labels and dropout masks."""
        chosen = self.material.centres[: self._batch_size]
        return self._batch(self.material.images[list(chosen)], 2)

    @property
    def _batch_size(self) -> int:
        """As few images as will do: the reference is float64."""
        return min(max(TRAINING_IMAGES, self.material.devices), len(self.material.centres))

    def _batch(self, images: Array, *stream: int) -> Batch:
        rng = self.rng(*stream)
        shapes = {row.layer.name: row for row in facts(self.network) if isinstance(row.layer, Dropout)}
        masks = {
            name: (rng.random((len(images), *row.input_shape)) >= row.layer.rate).astype(np.float32)  # type: ignore[union-attr]
            for name, row in shapes.items()
        }
        return Batch(images, rng.integers(0, self.network.classes, len(images)), masks)

    @cached_property
    def steps(self) -> list[tuple[Batch, UpdateRule]]:
        """Training steps: another view of each photograph at every step."""
        total, count = len(self.material.images), self._batch_size
        rate = self._learning_rate()
        made = []
        for index, factor in enumerate(RATE_FACTORS):
            views = [(centre + 1 + index) % total for centre in self.material.centres[:count]]
            decay_biases = index != UNDECAYED_STEP
            rule = UpdateRule(rate * factor, weight_decay=DECAY_PER_STEP / rate, decay_biases=decay_biases)
            made.append((self._batch(self.material.images[views] * np.float32(IMAGE_SCALE), 3, index), rule))
        return made

    def _learning_rate(self) -> float:
        """The rate whose first step lowers the loss by STEP_SHARE, to one significant digit."""
        first = self._batch(self.batch.images * np.float32(IMAGE_SCALE), 2)
        result = network.gradients(self.network, self.training_start, first)
        squares = sum(rms(gradient) ** 2 * gradient.size for gradient in result.gradients.values())
        return float(f"{STEP_SHARE * abs(result.loss) / (squares or 1.0):.0e}") or 1e-6

    @cached_property
    def training_start(self) -> Arrays:
        """The weights that training starts from: the network's, with small biases."""
        scale = np.float32(BIAS_SCALE)
        return {k: v * scale if k.endswith("/bias") else v for k, v in self.material.weights.items()}

    @cached_property
    def gradient(self) -> reference.Gradient:
        """Reference of the gradient level."""
        return reference.gradient(self.network, self.material.weights, self.batch, self.precision)

    @cached_property
    def training(self) -> reference.Training:
        """Reference of the training level."""
        return reference.training(self.network, self.training_start, self.steps, self.precision)

    @cached_property
    def forwards(self) -> dict[str, reference.Forward]:
        """References of the forward level by chunk; at most CHUNKS_KEPT at a time."""
        return {}

    def forward(self, name: str, images: Array) -> reference.Forward:
        """Reference of one chunk."""
        if name not in self.forwards:
            while len(self.forwards) >= CHUNKS_KEPT:
                self.forwards.pop(next(iter(self.forwards)))
            self.forwards[name] = reference.forward(self.network, self.material.weights, images, self.precision)
        return self.forwards[name]

    @cached_property
    def layer_cases(self) -> list[Case]:
        """Every layer on the reference's own input, with a random cotangent; dropout also as at test time."""
        rng = self.rng(4)
        x = self.precision.round(self.batch.images.astype(np.float32))
        cases: list[Case] = []
        for row in facts(self.network):
            layer = row.layer
            y = self.gradient.result.activations[layer.name]
            dy = self.precision.round(rng.standard_normal(y.shape).astype(np.float32))
            names = (f"{layer.name}/weight", f"{layer.name}/bias") if row.parameters else ()
            parameters = {name.split("/")[1]: self.material.weights[name] for name in names}
            if isinstance(layer, MaxPool):  # where two elements tie, a gradient may go to either
                windows = decisions.windows(layer, x)
                dy[(windows == windows.max(-1, keepdims=True)).sum(-1) > 1] = 0
            case = Case(layer.name, layer, x, dy, parameters, self.batch.masks.get(layer.name))
            cases.append(case)
            if isinstance(layer, Dropout):
                cases.append(Case(f"{layer.name}, test time", layer, x, dy))
            x = self.precision.round(y.astype(np.float32))
        return cases
