"""What a framework offers to the harness, in NumPy arrays and canonical layouts.

The three `with_*` packages each provide a `Framework`; the registry names them. Inputs and outputs are NumPy arrays in
the layouts of `impls.spec`; conversion to and from a framework's own layout is the implementation's business. Outputs
are float32 whatever the precision of the computation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from impls.spec import Layer, Network
from impls.split import Split

Array = NDArray[np.floating]
Arrays = dict[str, Array]

Tuning = Literal["stock", "tuned"]
TUNINGS: tuple[Tuning, ...] = ("stock", "tuned")
PrecisionName = Literal["float32", "tf32", "bfloat16", "float16"]
PRECISIONS: tuple[PrecisionName, ...] = ("float32", "tf32", "bfloat16", "float16")
Phase = Literal["train-step", "forward-backward", "forward"]
PHASES: tuple[Phase, ...] = ("train-step", "forward-backward", "forward")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a framework is asked to compute.

    tuning: `stock` is what a competent user writes from the framework's documentation, `tuned` the fastest way known.
    precision: `float32` never uses TF32; `tf32` allows it (NVIDIA GPUs only); in `bfloat16` and `float16` weights,
        inputs and activations are cast to that type, the loss and the weight update stay in float32.
    device: `cpu`, `cuda` or `cuda:1`; with several devices `cpu` (emulated ones) or `cuda` (the first ones).
    devices, split: over how many devices, and how (see `impls.split`). A framework that cannot raises Unsupported.
    """

    tuning: Tuning = "stock"
    precision: PrecisionName = "float32"
    device: str = "cpu"
    devices: int = 1
    split: Split = "none"


class Unsupported(Exception):
    """The framework cannot do what was asked (a precision on this device, say); the message says what and why."""


class Vjp(NamedTuple):
    """A vector-Jacobian product: the gradient of <dy, f(x, parameters)>."""

    dx: Array
    dparameters: Arrays  # keys "weight" and "bias", empty for a layer without parameters


class Batch(NamedTuple):
    """One training batch."""

    images: Array  # [N, H, W, C] float32
    labels: NDArray[np.integer]  # [N]
    masks: Arrays  # dropout layer name -> 0/1 float32, shaped as that layer's input with its batch


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """One step of SGD as `impls.spec.Recipe` writes it, at one learning rate."""

    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0005
    decay_biases: bool = True
    factors: tuple[tuple[str, float], ...] = ()  # canonical tensor name -> its own learning rate, in learning rates

    def rate(self, tensor: str) -> float:
        """The learning rate of one tensor."""
        return self.learning_rate * dict(self.factors).get(tensor, 1.0)

    def decay(self, tensor: str) -> float:
        """The weight decay of one tensor."""
        return 0.0 if tensor.endswith("/bias") and not self.decay_biases else self.weight_decay


@dataclass(frozen=True, slots=True)
class Probe:
    """A computation that shows what the device can do, timed beside the network.

    matmul: [size, size] times [size, size]. convolution: conv3 of the paper's network, [size, 13, 13, 256] with 384
    kernels of 3 x 3, padding 1, forward. copy: `size` float32 read and written.
    """

    kind: Literal["matmul", "convolution", "copy"]
    size: int

    @property
    def flops(self) -> int:
        """Floating-point operations of one step."""
        return {"matmul": 2 * self.size**3, "convolution": 2 * self.size * 149_520_384, "copy": 0}[self.kind]

    @property
    def bytes(self) -> int:
        """Bytes that one step of `copy` reads and writes, 0 for the others."""
        return 8 * self.size if self.kind == "copy" else 0


class Work(Protocol):
    """Something to hold a clock against, its inputs on the device already."""

    def step(self) -> None:
        """Start once more; may return before it is done. No work may be skipped because its result is not used."""

    def wait(self) -> None:
        """Return when everything started is done."""


class Loop(Work, Protocol):
    """One phase of a network at one batch size, run again and again; nothing leaves the device between steps.

    train-step: masks, forward, backward, update, from the network's weights and zero velocity on. forward-backward:
    the same without update. forward: as at test time.
    """

    def load(self, batch: Batch) -> None:
        """Put a batch on the device(s), to be used by every step until the next one is loaded.

        Its masks are used as they are. Without masks every step draws fresh ones with the framework's own generator.
        """

    def compile(self) -> bool:
        """Trace and compile for the loaded batch, as far as that can be done before the first step.

        False where nothing is compiled: there is no time of compiling then, rather than one of microseconds.
        Weights and velocity are as before. Called once, after the first `load`; `step` works without it too.
        """

    def result(self) -> Arrays:
        """What the last step left, canonical and on the host; to check the program that is timed.

        forward: "logits" [N, classes]. forward-backward: "loss" [1] and "gradient/<tensor>". train-step: "loss" [1],
        with the weights before the update, "velocity/<tensor>" and "weights/<tensor>".
        """


class TrainingLoop(Loop, Protocol):
    """The loop of the phase train-step, with what training needs beside timing.

    On one machine's CPU the same calls leave the same bits, also where the run broke off in between: weights given to
    `build` and a velocity given to `start_from` are all that a later step depends on.
    """

    def loss(self) -> float:
        """The last step's loss, with the weights before its update. Waits for that step."""

    def set_rule(self, rule: UpdateRule) -> None:
        """Take the steps that follow by another rule; nothing is compiled anew."""

    def start_from(self, velocity: Mapping[str, Array]) -> None:
        """Put this velocity (canonical names and layouts) in the place of zeros. Before the first step."""

    def logits(self, images: Array) -> Array:
        """Test-time logits [N, classes] of images [N, H, W, C] by the present weights; training is not disturbed."""


class Operators(Protocol):
    """Single layers, as the framework computes them inside a network."""

    def forward(self, layer: Layer, x: Array, parameters: Mapping[str, Array], mask: Array | None = None) -> Array:
        """One layer's output, [N, ...]. `parameters` has "weight" and "bias" for Conv and Dense, else it is empty.

        A Dropout layer with a mask computes its training-time output, without one its test-time output.
        """

    def vjp(self, layer: Layer, x: Array, parameters: Mapping[str, Array], dy: Array, mask: Array | None = None) -> Vjp:
        """The layer's vector-Jacobian product at x, by the framework's own automatic differentiation."""

    def cross_entropy(self, logits: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
        """Mean softmax cross-entropy over the batch, and its gradient with respect to the logits [N, classes]."""


class Implementation(Protocol):
    """One network in one framework, holding its own copy of the weights."""

    def activations(self, images: Array, masks: Mapping[str, Array] | None = None) -> Arrays:
        """Every layer's output by layer name, logits included. With masks: as in training; without: as in testing.

        One given with --impl may leave out all but the logits; what is left out is not compared.
        """

    def gradients(self, batch: Batch) -> tuple[float, Arrays]:
        """Mean cross-entropy of a training-mode pass, and its gradient by canonical tensor name."""

    def train(self, steps: Sequence[tuple[Batch, UpdateRule]]) -> Iterator[float]:
        """Run SGD steps from the present weights and zero velocity.

        Yields each step's loss, computed with the weights before its update, once the update is done: what is asked of
        the implementation between two yields sees the weights after that step.
        """

    def weights(self) -> Arrays:
        """The present weights, canonical names and layouts, float32."""

    def loop(self, phase: Phase, rule: UpdateRule) -> Loop:
        """A phase to be timed. It takes over the implementation: nothing else is asked of it afterwards.

        The loop of train-step is a TrainingLoop where the implementation can serve `alexbench train`.
        """


class Framework(Protocol):
    """The entry point of a `with_*` package.

    `layer_work`, `probe`, `device_memory_mb`, `follow`, `splits` and an implementation's `loop` serve timing and
    several devices; a framework without them can be compared on one. One that `impls.registry.FORWARD_ONLY` names has
    neither gradients nor masks: of its operators `forward` is asked for, of its implementation `activations`.
    """

    name: str
    splits: tuple[Split, ...]  # other than none, that `build` offers

    def describe(self, device: str = "cpu") -> dict[str, str]:
        """Versions and the device as the framework reports it: keys `version`, `device`, and others of its own.

        Raises Unsupported where the device is not there.
        """

    def operators(self, settings: Settings) -> Operators:
        """Single layers under these settings. Raises Unsupported."""

    def build(self, network: Network, weights: Mapping[str, Array], settings: Settings) -> Implementation:
        """The whole network with these canonical weights. Raises Unsupported."""

    def layer_work(
        self,
        layer: Layer,
        x: Array,
        parameters: Mapping[str, Array],
        settings: Settings,
        *,
        backward: bool,
        of_input: bool = True,
    ) -> Work:
        """One layer to be timed on x [N, ...], as it runs inside the network under these settings.

        Forward, or with `backward` forward and vector-Jacobian product (cotangent of ones) by the parameters and, with
        `of_input`, by x: a network's first learned layer has no use for that. Dropout draws its mask. Raises
        Unsupported.
        """

    def probe(self, probe: Probe, settings: Settings) -> Work:
        """What this device can do in this precision, by the framework's fastest operator. Raises Unsupported."""

    def device_memory_mb(self, settings: Settings) -> float | None:
        """The largest memory allocated on one device so far, in MiB; None on the CPU, where the process tells."""

    def follow(self) -> None:
        """Serve as one further process of a run that spans processes, until the leading one ends.

        The engine's own environment says who is who: torchrun's RANK and MASTER_ADDR, JAX_COORDINATOR_ADDRESS with
        JAX_NUM_PROCESSES and JAX_PROCESS_ID, TF_CONFIG. Raises Unsupported.
        """
