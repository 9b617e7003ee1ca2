"""What a network costs for one image, and by how much a departure alone changes that."""

from __future__ import annotations

from typing import NamedTuple

from impls import derive
from impls.reading import Foreign, Reading
from impls.spec import Conv, Network

FLOAT32_BYTES = 4
MEBI = 1 << 20


class Costs(NamedTuple):
    """Counts for one image."""

    parameters: int
    multiply_adds: int  # of a forward pass
    memory_mb: float  # MiB of float32: the image, every layer's output, and the weights

    def less(self, other: Costs) -> Costs:
        """The difference."""
        return Costs(
            self.parameters - other.parameters,
            self.multiply_adds - other.multiply_adds,
            self.memory_mb - other.memory_mb,
        )


def of(network: Network) -> Costs:
    """Raises InvalidNetwork where its layers do not fit together."""
    rows = derive.facts(network)
    parameters = sum(row.parameter_count for row in rows)
    outputs = network.height * network.width * network.channels + sum(derive.volume(row.output_shape) for row in rows)
    return _costs(parameters, sum(row.multiply_adds for row in rows), outputs)


def of_reading(reading: Reading) -> Costs:
    """Foreign layers count with the parameters and the outputs that their source tells, their work not at all.

    Raises InvalidNetwork where its layers do not fit together, ZeroDivisionError for a stride or groups of 0.
    """
    shape: derive.Shape = (reading.height, reading.width, reading.channels)
    parameters = -sum(one.kernels if isinstance(one, Conv) else one.units for one in reading.without_bias)
    multiply_adds, outputs = 0, derive.volume(shape)
    for layer in reading.layers:
        if isinstance(layer, Foreign):
            parameters += layer.parameters
            shape = layer.output_shape or shape
        else:
            row = derive.layer_facts(layer, shape)
            parameters, multiply_adds = parameters + row.parameter_count, multiply_adds + row.multiply_adds
            shape = row.output_shape
        outputs += derive.volume(shape)
    return _costs(parameters, multiply_adds, outputs)


def _costs(parameters: int, multiply_adds: int, outputs: int) -> Costs:
    return Costs(parameters, multiply_adds, (outputs + parameters) * FLOAT32_BYTES / MEBI)
