"""Single layers and probes to hold a clock against: inputs on the device, no work skipped.

Inputs are arguments of compiled programs and all outputs are returned, so that XLA neither folds them into a constant
nor leaves them out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from impls.derive import layer_facts
from impls.protocol import Array, Probe
from impls.spec import Conv, Dropout, Layer, Padding
from impls.with_jax.arrays import Numerics, activation_copy, parameter_in, program
from impls.with_jax.loop import draw_masks
from impls.with_jax.operators import OperatorTable, Tensor, apply_layer, table_of
from impls.with_jax.single import forward_alone, forward_and_vjp
from impls.with_jax.tuning import Tuning

CONV3 = Conv(name="conv3", kernels=384, size=3, padding=Padding.same(1))  # of the paper's network


class JaxWork:
    """`impls.protocol.Work` for JAX."""

    def __init__(self, program: Callable[[], Any], numerics: Numerics) -> None:
        self._program = program
        self._numerics = numerics
        self._left: Any = None  # by the last step

    def step(self) -> None:
        """Start once more; asynchronous on a GPU."""
        self._numerics.enforce()
        if self._numerics.device.platform == "cpu":
            self.wait()  # steps do not depend on each other: the CPU would run several at once
        self._left = self._program()

    def wait(self) -> None:
        """Return when everything started is done."""
        jax.block_until_ready(self._left)


def layer_work(
    layer: Layer,
    x: Array,
    parameters: Mapping[str, Array],
    numerics: Numerics,
    tuning: Tuning,
    *,
    backward: bool,
    of_input: bool,
) -> JaxWork:
    """One layer on x [N, ...]: forward, or forward and vector-Jacobian product with a cotangent of ones."""
    table = table_of(tuning)
    inputs = activation_copy(x, numerics)
    tensors = {name: parameter_in(array, numerics.device) for name, array in parameters.items()}
    ones = np.ones((len(x), *layer_facts(layer, x.shape[1:]).output_shape), np.float32)
    cotangent = activation_copy(ones, numerics) if backward else None
    draw = _masks_of(layer, x.shape, numerics, tuning)

    def work() -> object:
        if cotangent is None:
            return program(forward_alone, tuning.compiler, static=2)(layer, table, inputs, tensors, draw())
        both = forward_and_vjp if of_input else _forward_and_parameter_vjp
        return program(both, tuning.compiler, static=2)(layer, table, inputs, tensors, cotangent, draw())

    return JaxWork(work, numerics)


def _forward_and_parameter_vjp(
    layer: Layer,
    table: OperatorTable,
    x: Tensor,
    parameters: Mapping[str, Tensor],
    dy: Tensor,
    mask: Tensor | None,
) -> Any:
    y, pull_back = jax.vjp(lambda parameters: apply_layer(layer, x, parameters, mask, table), parameters)
    return y, pull_back(dy)


def _masks_of(layer: Layer, shape: tuple[int, ...], numerics: Numerics, tuning: Tuning) -> Callable[[], Tensor | None]:
    """What a layer's masks are drawn by; no masks for a layer that takes none."""
    if not isinstance(layer, Dropout):
        return lambda: None
    wanted = ((layer.name, layer.rate, shape),)
    key = jax.device_put(jax.random.key(0, impl=tuning.generator), numerics.device)

    def draw() -> Tensor:
        nonlocal key
        key, masks = draw_masks(wanted, numerics.dtype, key)
        return masks[layer.name]

    return draw


def probe_work(probe: Probe, numerics: Numerics, tuning: Tuning) -> JaxWork:
    """A matmul, a convolution or a copy."""
    numerics.enforce()
    match probe.kind:
        case "matmul":
            factors = [_drawn((probe.size, probe.size), numerics, seed) for seed in (0, 1)]
            return JaxWork(lambda: program(_matmul, tuning.compiler, static=0)(*factors), numerics)
        case "convolution":
            x = _drawn((probe.size, 13, 13, 256), numerics, 0)
            convolve = program(forward_alone, tuning.compiler, static=2)
            tensors = {"weight": _drawn((3, 3, 256, 384), numerics, 1), "bias": _drawn((384,), numerics, 2)}
            return JaxWork(lambda: convolve(CONV3, table_of(tuning), x, tensors, None), numerics)
        case "copy":
            return JaxWork(_copy(probe.size, numerics), numerics)


def _drawn(shape: tuple[int, ...], numerics: Numerics, seed: int) -> Tensor:
    return activation_copy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32), numerics)


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


def _copy(size: int, numerics: Numerics) -> Callable[[], Tensor]:
    """Into one target again and again: fresh memory would cost page faults on the CPU."""
    source, target = (jax.device_put(np.ones(size, np.float32), numerics.device) for _ in range(2))

    def work() -> Tensor:
        nonlocal target
        target = _copied(source, target)
        return target

    return work


# XLA copies on one core, but adds on all of them. The output takes the target's memory.
@functools.partial(jax.jit, donate_argnums=1, keep_unused=True)
def _copied(source: Tensor, target: Tensor) -> Tensor:
    return source + jnp.float32(1)
