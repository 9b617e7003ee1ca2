"""A weights file of the user's, with its network: what figures 3 and 4 are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import environment
from harness.errors import UsageError
from impls import catalog, tensor_file, weights
from impls.spec import Conv, Network
from impls.weights import Weights, WeightsError

SHORT_HASH = 12


@dataclass(frozen=True)
class Subject:
    """One file, read and checked."""

    file: Path
    network: Network
    weights: Weights

    @property
    def label(self) -> str:
        """What tells its pictures apart."""
        return self.weights.content_hash[:SHORT_HASH]

    @property
    def towers(self) -> int:
        """2 where a later convolution sees its own half of the maps only."""
        return 2 if any(isinstance(layer, Conv) and layer.groups == 2 for layer in self.network.layers) else 1

    @property
    def is_trained(self) -> bool:
        """Whether the file tells of a training."""
        return self.weights.metadata.get("data") is not None

    @property
    def trained_on(self) -> str:
        """The data and epochs that the file tells of."""
        metadata = self.weights.metadata
        if not self.is_trained:
            return "weights that tell of no training"
        epochs = metadata.get("epoch", "?")
        return f"trained on {metadata['data']}, {epochs} epoch{'s' * (epochs != '1')}"

    def signature(self, **fields: object) -> str:
        """What stands under a picture of it."""
        return environment.signature(network=self.network.name, weights=self.label, **fields)


def read(file: Path) -> Subject:
    """Raises WeightsError, UnknownNetwork, UsageError."""
    name = tensor_file.read(file).metadata.get("network")
    if name is None:
        raise WeightsError(f"{str(file)!r} names no network in its metadata: `alexbench train` writes one that does")
    network = catalog.get(name)
    if network.large:
        raise UsageError(f"{file}: network {name!r} is too large to be drawn from")
    return Subject(file, network, weights.load(file, network))
