"""Initial weights of somebody's module, told from their values: PyTorch's default, or a distribution of the file's own.

The default is drawn from U(-b, b) with b = 1 / sqrt(fan_in), weights and biases alike (torch.nn.Linear and _ConvNd,
reset_parameters). A file that asks for another one has a module whose values say so, whatever way it asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from impls.reading import Facet, ReadLayer
from impls.spec import Conv, Dense, Init

SAMPLE = 200_000  # values of a tensor that are looked at


def with_initial(
    layers: Sequence[ReadLayer], module: torch.nn.Module
) -> tuple[tuple[ReadLayer, ...], tuple[Facet, ...], tuple[str, ...]]:
    """The layers with their initial distributions, the facets that stay unknown, and what is worth a remark."""
    values = {name: each.detach() for name, each in module.named_parameters(remove_duplicate=False)}
    found: list[ReadLayer] = []
    remarks: list[str] = []
    for layer in layers:
        if isinstance(layer, Conv | Dense):
            known = _initial(layer, values)
            if known is None:
                return tuple(layers), ("init",), ()
            found.append(replace(layer, init=known.init, init_bias=known.bias))
            remarks += [f"{layer.source}: {known.remark}"] if known.remark else []
        else:
            found.append(layer)
    return tuple(found), (), tuple(remarks)


@dataclass(frozen=True, slots=True)
class _Known:
    init: float | Init
    bias: float = 0.0
    remark: str = ""


def _initial(layer: Conv | Dense, values: dict[str, torch.Tensor]) -> _Known | None:
    """One layer's distribution; of towers side by side the first one's. None where its weights are not found."""
    source = layer.source.partition(" + ")[0]
    prefix = f"{source}." if source else ""
    weight, bias = values.get(f"{prefix}weight"), values.get(f"{prefix}bias")
    if weight is None or weight.is_meta or weight.numel() < 2:
        return None
    fan_in = weight[0].numel()
    sample = _sample(weight)
    deviation, largest, mean = float(sample.std()), float(sample.abs().max()), float(sample.mean())
    constant = _constant(bias)
    default = 1 / math.sqrt(fan_in)
    if _uniform(sample, default) and (bias is None or (constant is None and _within(bias, default))):
        return _Known(Init.TORCH)
    start = 0.0 if constant is None else constant
    glorot = math.sqrt(6 / (fan_in + weight.shape[0] * weight[0, 0].numel()))
    if _uniform(sample, glorot) and start == 0:
        return _Known(Init.GLOROT, remark="" if constant == 0 else "its biases start as PyTorch's do")
    remark = "" if constant is not None or bias is None else "its biases start as PyTorch's do"
    if _is_uniform(sample):
        remark = f"its weights start uniform within {largest:.2g}"
    elif abs(mean) > 0.2 * deviation:
        remark = f"its weights start around {mean:.2g}"
    return _Known(_short(deviation, weight.numel()), start, remark)


def _sample(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.reshape(-1)
    return flat[:: max(1, flat.numel() // SAMPLE)].double()


def _uniform(sample: torch.Tensor, bound: float) -> bool:
    """Whether the sample may come from U(-bound, bound)."""
    wanted = bound / math.sqrt(3)
    noise = 4 * wanted / math.sqrt(sample.numel())  # four times that of a sample's standard deviation, or more
    return float(sample.abs().max()) <= bound * 1.00001 and abs(float(sample.std()) - wanted) < max(noise, 1e-6)


def _is_uniform(sample: torch.Tensor) -> bool:
    """By its fourth moment: 1.8 for a uniform distribution, 3 for a Gaussian one."""
    deviation = float(sample.std())
    return deviation > 0 and float(((sample - sample.mean()) ** 4).mean()) / deviation**4 < 2.2


def _within(bias: torch.Tensor, bound: float) -> bool:
    return float(bias.abs().max()) <= bound * 1.00001


def _constant(bias: torch.Tensor | None) -> float | None:
    """The number that all biases are; 0 without biases, None where they differ."""
    if bias is None:
        return 0.0
    first = float(bias[0])
    return float(f"{first:.6g}") if bool((bias == bias[0]).all()) and bias.numel() > 1 else None


def _short(deviation: float, count: int) -> float:
    """A standard deviation as its author wrote it: the shortest number that so many values do not contradict."""
    if not deviation:
        return 0.0
    noise = 4 / math.sqrt(2 * min(count, SAMPLE))
    power = 10.0 ** math.floor(math.log10(deviation))
    for mantissa in (10, 1, 5, 2, 3, 4, 6, 7, 8, 9):
        if abs(mantissa * power / deviation - 1) < noise:
            return float(f"{mantissa * power:.1g}")
    return float(f"{deviation:.2g}")
