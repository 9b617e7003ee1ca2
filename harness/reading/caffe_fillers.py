"""A Caffe layer's fillers as initial weights, and a remark where this project has no such distribution.

Reference: BVLC/caffe, include/caffe/filler.hpp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.exchange.foreign import FormatError
from harness.reading.caffe_schema import Message
from impls.spec import Init


@dataclass(frozen=True, slots=True)
class Start:
    """How a layer's weights and biases start."""

    init: float | Init
    init_bias: float
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fans:
    """Caffe's fans: a weight blob's elements over its first side, and over its second."""

    into: int
    out: int


def decimal(value: float) -> float:
    """A float32 from a message as the number that somebody wrote: 0.0001, not 9.999999747378752e-05."""
    return float(str(np.float32(value)))


def start_of(name: str, parameters: Message, fans: Fans) -> Start:
    """The start of a convolution or a dense layer. A missing filler is constant 0. Raises FormatError."""
    init, remark = _weights(parameters.weight_filler, fans)
    bias, bias_remark = _biases(parameters.bias_filler)
    if init is Init.GLOROT and bias:
        bias_remark = f"biases start as {bias:g}"
    for value in (init, bias):
        if not isinstance(value, Init) and not math.isfinite(value):
            raise FormatError(f"layer {name!r} has a filler of {value}, expected a number")
    return Start(init, bias, tuple(said for said in (remark, bias_remark) if said))


def _weights(filler: Message, fans: Fans) -> tuple[float | Init, str]:
    """The distribution, and what is to be said of it. What is no Gaussian is written as its standard deviation."""
    kind = filler.type
    low, high, mean, std = (decimal(x) for x in (filler.min, filler.max, filler.mean, filler.std))
    count = {0: fans.into, 1: fans.out}.get(filler.variance_norm, (fans.into + fans.out) / 2)
    match kind:
        case "gaussian":
            said = f"weights start around {mean:g}" if mean else ""
            return std, f"weights start sparse: {filler.sparse} of an output's" if filler.sparse >= 0 else said
        case "msra":
            return math.sqrt(2 / count), ""
        case "xavier" if filler.variance_norm == 2:
            return Init.GLOROT, ""
        case "xavier":
            said = "weights start uniform within the root of 3 over one fan (xavier), not over the fans' mean"
            return math.sqrt(1 / count), said
        case "uniform":
            said = f"weights start uniform between {low:g} and {high:g}"
            return (high - low) / math.sqrt(12), said
        case "constant":
            value = decimal(filler.value)
            return 0.0, f"weights all start as {value:g}" if value else ""
    return 0.0, f"weights start by the filler {kind[:40]!r}, which is not read"


def _biases(filler: Message) -> tuple[float, str]:
    if filler.type == "constant":
        return decimal(filler.value), ""
    return 0.0, f"biases start by the filler {filler.type[:40]!r}, written here as 0"
