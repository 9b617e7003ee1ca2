"""Single layers and probes to hold a clock against: inputs on the device, no work skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from impls.protocol import Array, Probe
from impls.spec import Dropout, Layer
from impls.with_torch.arrays import Numerics, activation_in, parameter_in
from impls.with_torch.compilation import compiled
from impls.with_torch.operators import Tensor, apply_layer, has_onednn_product, onednn_product, table_of
from impls.with_torch.tuning import Tuning


@dataclass(frozen=True, slots=True)
class TorchWork:
    """`impls.protocol.Work` for PyTorch: eager operators, which are computed whether their results are used or not."""

    program: Callable[[], object]
    numerics: Numerics

    def step(self) -> None:
        """Start once more; asynchronous on a GPU."""
        self.numerics.enforce()
        self.program()

    def wait(self) -> None:
        """Return when everything started is done."""
        if self.numerics.device.type == "cuda":
            torch.cuda.synchronize(self.numerics.device)


def layer_work(
    layer: Layer,
    x: Array,
    parameters: Mapping[str, Array],
    numerics: Numerics,
    tuning: Tuning,
    *,
    backward: bool,
    of_input: bool,
) -> TorchWork:
    """One layer on x [N, ...]: forward, or forward and vector-Jacobian product with a cotangent of ones."""
    table = table_of(tuning)
    inputs = activation_in(x, numerics, table.memory_format).requires_grad_(backward and of_input)
    tensors = {
        name: parameter_in(array, numerics.device, table.memory_format).requires_grad_(backward)
        for name, array in parameters.items()
    }
    mask = torch.empty_like(inputs, requires_grad=False) if isinstance(layer, Dropout) else None
    wanted = [*([inputs] if of_input else []), *tensors.values()]

    def function(inputs: Tensor, tensors: Mapping[str, Tensor], mask: Tensor | None) -> Tensor:
        return apply_layer(layer, inputs, tensors, mask, table)

    run = compiled(function, tuning, numerics.device)

    def program() -> object:
        if mask is not None and isinstance(layer, Dropout):
            mask.bernoulli_(1 - layer.rate)
        with torch.set_grad_enabled(backward):
            y = run(inputs, tensors, mask)
        return torch.autograd.grad(y, wanted, cotangent) if backward else y

    with torch.no_grad():
        cotangent = torch.ones_like(function(inputs, tensors, mask))
    return TorchWork(program, numerics)


def probe_work(probe: Probe, numerics: Numerics) -> TorchWork:
    """A matmul, a convolution or a copy."""
    return TorchWork(
        {"matmul": _matmul, "convolution": _convolution, "copy": _copy}[probe.kind](probe.size, numerics), numerics
    )


def _matmul(size: int, numerics: Numerics) -> Callable[[], object]:
    a, b = _drawn((size, size), numerics), _drawn((size, size), numerics)
    if numerics.device.type == "cpu" and numerics.dtype == torch.float32 and has_onednn_product():
        return lambda: onednn_product(a, b, None)
    return lambda: torch.matmul(a, b)


def _convolution(images: int, numerics: Numerics) -> Callable[[], object]:
    """conv3 of the paper's network."""
    x = _drawn((images, 256, 13, 13), numerics).contiguous(memory_format=torch.channels_last)
    weight = _drawn((384, 256, 3, 3), numerics).contiguous(memory_format=torch.channels_last)
    return lambda: F.conv2d(x, weight, padding=1)


def _copy(size: int, numerics: Numerics) -> Callable[[], object]:
    source = torch.ones(size, dtype=torch.float32, device=numerics.device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def _drawn(shape: tuple[int, ...], numerics: Numerics) -> Tensor:
    values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(values).to(numerics.device, numerics.dtype)
