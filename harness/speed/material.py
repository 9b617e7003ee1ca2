"""What the settings of a run share: weights, check, batches. Each is made when it is first needed, and once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import images
from harness.errors import CannotMeasure
from harness.parity import reference
from harness.speed import check, inputs
from harness.speed.matrix import Setting
from harness.speed.options import SpeedOptions
from impls import catalog, tensor_file, weights
from impls.oracle.rounding import PRECISIONS
from impls.protocol import Array, Batch, UpdateRule
from impls.spec import Network
from impls.spec_json import network_to_json

MOST_FILE_IMAGES = 1024


@dataclass(frozen=True, slots=True)
class Prepared:
    """Of one setting: what its workers are told, and what they must give."""

    open: Mapping[str, Any]  # fields of `speed-open`, without tuning
    load: Mapping[str, Any]  # fields of `speed-load`
    check: check.Check
    weights_hash: str


@dataclass
class Material:
    """Files lie in `folder`."""

    options: SpeedOptions
    folder: Path
    _weights: dict[str, tuple[Path, weights.Weights]] = field(default_factory=dict)
    _views: dict[str, Array] = field(default_factory=dict)
    _gradients: dict[tuple[str, str, int], reference.Gradient] = field(default_factory=dict)
    _checks: dict[tuple[str, str, str, int], tuple[check.Check, UpdateRule]] = field(default_factory=dict)

    def weights_of(self, name: str) -> tuple[Path, weights.Weights]:
        """The network's weights and their file. Raises WeightsError."""
        if name not in self._weights:
            network, given = catalog.get(name), self.options.weights
            if given is not None:
                self._weights[name] = given.resolve(), weights.load(given, network)
            else:
                file = self.folder / f"{name}.safetensors"
                weights.write(network, self.options.recipe, self.options.seed, file)
                self._weights[name] = file, weights.load(file, network, verify=False)
        return self._weights[name]

    def prepare(self, setting: Setting) -> Prepared:
        """Everything the workers of one setting need. Raises CannotMeasure where there is no room for its files."""
        try:
            return self._prepared(setting)
        except OSError as error:
            raise CannotMeasure(f"cannot write a batch in {self.folder}: {error.strerror or error}") from None

    def _prepared(self, setting: Setting) -> Prepared:
        network = catalog.get(setting.network)
        file, loaded = self.weights_of(setting.network)
        count = self._images_in_check(setting)
        wanted, rule = self._check(network, setting, count)
        common = {"network": network_to_json(network), "batch_size": setting.batch_size}
        return Prepared(
            open={
                **common,
                "weights": str(file.resolve()),
                "phase": setting.phase,
                "rule": check.rule_json(rule),
                "inputs": str(self._check_file(network, count)),
            },
            load={**common, "input": setting.input, **self._batch_files(network, setting)},
            check=wanted,
            weights_hash=loaded.content_hash,
        )

    def _images_in_check(self, setting: Setting) -> int:
        return 1 if setting.batch_size % 2 else 2

    def _batch(self, network: Network, count: int) -> Batch:
        if network.name not in self._views:
            found = images.parity_inputs(images.photographs(), network)
            self._views[network.name] = found.images[list(found.centres)]
        return check.batch_of(network, self._views[network.name][:count], self.options.seed)

    def _check(self, network: Network, setting: Setting, count: int) -> tuple[check.Check, UpdateRule]:
        key = (network.name, setting.precision, setting.phase, count)
        if key not in self._checks:
            self._checks[key] = self._made_check(network, setting, count)
        return self._checks[key]

    def _made_check(self, network: Network, setting: Setting, count: int) -> tuple[check.Check, UpdateRule]:
        precision, arrays = PRECISIONS[setting.precision], self.weights_of(network.name)[1].arrays
        batch = self._batch(network, count)
        if setting.phase == "forward":
            return check.forward_check(network, arrays, batch, precision), check.rule_for(None)
        key = (network.name, setting.precision, count)
        if key not in self._gradients:
            self._gradients.clear()  # a hundred megabytes for the paper's network
            self._gradients[key] = reference.gradient(network, arrays, batch, precision)
        wanted = self._gradients[key]
        return check.gradient_check(network, wanted, precision), check.rule_for(wanted)

    def _check_file(self, network: Network, count: int) -> Path:
        path = self.folder / f"check-{network.name}-{count}.in"
        if not path.exists():
            batch = self._batch(network, count)
            arrays = {
                "images": batch.images,
                "labels": batch.labels,
                **{f"mask/{k}": v for k, v in batch.masks.items()},
            }
            found = {name: np.asarray(value, np.float32) for name, value in arrays.items()}
            chunks = (chunk for array in found.values() for chunk in tensor_file.chunks_of(array))
            tensor_file.write(path, {name: array.shape for name, array in found.items()}, chunks, {})
        return path

    def _batch_files(self, network: Network, setting: Setting) -> dict[str, str]:
        """Random pixels and labels for one batch, a larger one's beginning, and the images' file."""
        size, name = setting.batch_size, f"{network.name}-{setting.batch_size}"
        pixels = self._pixels(f"pixels-{name}", (size, network.height, network.width, network.channels), 6)
        labels = self.folder / f"labels-{name}.npy"
        if not labels.exists():
            rng = np.random.default_rng([self.options.seed, 7])
            np.save(labels, rng.integers(0, network.classes, size), allow_pickle=False)
        file = pixels
        if setting.input == "file":
            sides = (network.height + inputs.MARGIN, network.width + inputs.MARGIN, network.channels)
            file = self._pixels(f"images-{name}", (min(MOST_FILE_IMAGES, 2 * size), *sides), 8)
        return {"pixels": str(pixels), "labels": str(labels), "file": str(file)}

    def _pixels(self, name: str, shape: tuple[int, ...], stream: int) -> Path:
        path = self.folder / f"{name}.npy"
        if not path.exists():
            rng = np.random.default_rng([self.options.seed, stream])
            count, *sides = shape
            with path.open("wb") as file:  # not mapped: where the disk is full that would be a signal, not an error
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for start in range(0, count, 64):
                    file.write(rng.integers(0, 256, (min(64, count - start), *sides), np.uint8).data)
        return path
