"""What a layer must compute and move at the least: floating-point operations and bytes. Standard library only.

Operations of layers without a matrix product count every addition, multiplication, comparison or power as one. Bytes
count each input read once and each output written once: what a perfect cache would leave. A backward pass is the whole
vector-Jacobian product, by the input and by the parameters, from what the forward pass had in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from impls.derive import LayerFacts, volume
from impls.spec import LRN, Conv, Dense, Dropout, MaxPool, SpatialNorm

BYTES = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one pass over one batch."""

    flops: int
    bytes: int

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / self.bytes


def forward(row: LayerFacts, batch_size: int, precision: str = "float32") -> Cost:
    """One forward pass: input and parameters read, output written."""
    each = BYTES[precision]
    inputs, outputs = batch_size * volume(row.input_shape), batch_size * volume(row.output_shape)
    learned = isinstance(row.layer, Conv | Dense)
    flops = 2 * batch_size * row.multiply_adds if learned else outputs * _operations(row)
    return Cost(flops, each * (inputs + outputs + row.parameter_count))


def backward(row: LayerFacts, batch_size: int, precision: str = "float32", *, of_input: bool = True) -> Cost:
    """The vector-Jacobian product: input (or output) and cotangent read, gradients written.

    Without `of_input` that of a network's first learned layer, whose input needs no gradient.
    """
    each = BYTES[precision]
    inputs, outputs = batch_size * volume(row.input_shape), batch_size * volume(row.output_shape)
    match row.layer:
        case Conv() | Dense():
            flops = (4 if of_input else 2) * batch_size * row.multiply_adds
            moved = (2 if of_input else 1) * (inputs + row.parameter_count) + outputs
        case Dropout():
            flops, moved = outputs, 2 * outputs  # its mask can be a bit each
        case MaxPool():
            flops, moved = outputs * row.layer.size**2, 2 * inputs + outputs
        case _:
            flops, moved = 2 * outputs * _operations(row), 2 * inputs + outputs
    return Cost(flops, each * moved)


def _operations(row: LayerFacts) -> int:
    """Per element of the output, forward, of a layer without a matrix product."""
    match row.layer:
        case MaxPool(size=size):
            return size * size - 1
        case LRN():
            return 7  # square; running sum over the window, 2; scale and shift, 2; power; quotient
        case SpatialNorm():
            return 9  # the running sum goes over rows and columns
    return 1  # ReLU, Tanh, Dropout
