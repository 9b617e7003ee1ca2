"""Single computations to be timed: one layer as it runs inside a network, and what the device can do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from impls.protocol import Array, Probe
from impls.spec import Dropout, Layer
from impls.with_tensorflow.arrays import Numerics, activation_in, parameter_in
from impls.with_tensorflow.operators import OperatorTable, Tensor, apply_layer, table_of
from impls.with_tensorflow.tuning import Tuning


class TimedGraph:
    """`impls.protocol.Work`: one graph, called on tensors that stay on the device. What it returns is all computed."""

    def __init__(self, program: Callable[..., Any], numerics: Numerics, *arguments: Any, xla: bool = False) -> None:
        self._program = tf.function(program, autograph=False, jit_compile=xla or None)
        self._numerics = numerics
        self._arguments = arguments
        self._left: Any = None

    def step(self) -> None:
        """Start once more; asynchronous on a GPU."""
        self._numerics.enforce()
        self._left = None  # its memory serves this step
        with tf.device(self._numerics.device):
            self._left = self._program(*self._arguments)

    def wait(self) -> None:
        """Return when everything started is done."""
        tf.test.experimental.sync_devices()


def layer_work(
    layer: Layer,
    x: Array,
    parameters: Mapping[str, Array],
    numerics: Numerics,
    tuning: Tuning,
    *,
    backward: bool,
    of_input: bool,
) -> TimedGraph:
    """One layer on x [N, ...]: forward, or with `backward` forward and vjp for a cotangent of ones."""
    images = activation_in(x, numerics)
    tensors = {name: parameter_in(array, numerics.device) for name, array in parameters.items()}
    table = table_of(tuning, numerics)
    forward = functools.partial(_forward, layer, table)
    if not backward:
        return TimedGraph(forward, numerics, images, tensors, xla=table.xla)
    with tf.device(numerics.device):
        ones = tf.ones_like(forward(images, tensors))
    return TimedGraph(functools.partial(_vjp, forward, of_input), numerics, images, tensors, ones, xla=table.xla)


def _forward(layer: Layer, table: OperatorTable, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    mask = None
    if isinstance(layer, Dropout):
        mask = tf.cast(tf.random.uniform(tf.shape(x)) >= layer.rate, x.dtype)
    return apply_layer(layer, x, parameters, mask, table)


def _vjp(
    forward: Callable[..., Tensor], of_input: bool, x: Tensor, parameters: Mapping[str, Tensor], dy: Tensor
) -> Any:
    """Output and gradients: an output that nobody asked for would not be computed."""
    with tf.GradientTape() as tape:
        wanted = (x, parameters) if of_input else parameters
        tape.watch(wanted)
        y = forward(x, parameters)
    return y, tape.gradient(y, wanted, output_gradients=dy)


def probe_work(probe: Probe, numerics: Numerics) -> TimedGraph:
    """TensorFlow's fastest operator for this probe, whatever the tuning."""
    program, shapes = {
        "matmul": (tf.linalg.matmul, ((probe.size, probe.size), (probe.size, probe.size))),
        "convolution": (_conv3, ((probe.size, 13, 13, 256), (3, 3, 256, 384))),
        "copy": (_copy, ((probe.size,),)),
    }[probe.kind]
    dtype = tf.float32 if probe.kind == "copy" else numerics.dtype
    with tf.device(numerics.device):
        arguments = [tf.cast(tf.random.uniform(shape, -1.0, 1.0), dtype) for shape in shapes]
    return TimedGraph(program, numerics, *arguments)


def _conv3(x: Tensor, kernels: Tensor) -> Tensor:
    return tf.nn.conv2d(x, kernels, 1, "SAME")


def _copy(x: Tensor) -> Tensor:
    """Into memory of its own: an identity would hand on the tensor itself."""
    return tf.raw_ops.DeepCopy(x=x)
