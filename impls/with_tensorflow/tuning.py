"""What `stock` and `tuned` are in TensorFlow: every choice as plain data, and what it gained. Standard library only.

`stock` is what a competent user writes from the documentation, `tuned` the fastest way known on that kind of device.
Gains are ratios of medians of processor time, paired runs: tensorflow 2.21, 2 cores AMD EPYC (AVX-512), float32, batch
32 unless said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from impls.protocol import Settings

DeviceKind = Literal["cpu", "cuda"]
UpdateForm = Literal["operator", "compiled"]

# Read by this package itself, in every process of a run
CPU_DEVICES = "ALEXBENCH_TF_CPU_DEVICES"  # as how many devices the CPU appears
TF32 = "ALEXBENCH_TF_TF32"  # "1": a process that follows another may compute in TF32


@dataclass(frozen=True, slots=True)
class Tuning:
    """The forms of the operators (see `impls.with_tensorflow.operators`), and what stands in the environment."""

    lrn: Literal["native", "compiled"] = "native"
    power: Literal["pow", "roots"] = "pow"  # of the spatial norm
    product: Literal["matmul", "batched-gradient"] = "matmul"  # of dense layers
    update: UpdateForm = "operator"
    xla: bool = False  # whole graphs compiled
    environment: Mapping[str, str] = field(default_factory=dict)


# glibc gives every large block back to the system when it is freed, and the next step pays its page faults again.
KEEP_FREED_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 36)}

# TensorFlow turns oneDNN on by itself only where the processor has AVX-512 VNNI or better. With AVX2 alone (2 cores AMD
# EPYC, Zen 3) the training step gains 1.29 by it at batch 128, 11.8 to 15.2 images/s, and 1.6 at batch 32.
ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "1"}

# On one machine's CPU the same calls leave the same bits in every process, in both tunings, without
# tf.config.experimental.enable_op_determinism. Another number of threads may leave other bits, and so may the split
# hybrid: its last bit has been seen to differ.
STOCK = Tuning()

CHOICES: dict[tuple[str, DeviceKind], Tuning] = {
    ("stock", "cpu"): STOCK,
    ("stock", "cuda"): STOCK,
    # Together 1.2 in the paper's training step at batch 32 and 1.12 at 128, the environment apart. Convolutions are
    # TensorFlow's own, in groups: they run at oneDNN's peak. One convolution per group costs 1.02, explicit padding
    # where SAME would do 1.1 of a convolution's forward and backward, conv1 by space-to-depth 1.3.
    ("tuned", "cpu"): Tuning(
        # [32, 27, 27, 256] forward and backward: 6.3 against native. A banded matrix product: 1.7, its loops compiled
        # 1.6; one loop for the whole gradient 5.3; keeping the scale instead of computing it anew 3.6 to 4.7.
        lrn="compiled",
        power="roots",  # not measured
        # fc6's gradient for x: 4.8 at batch 32, 2.0 at 128. W times dy transposed: 3.6 and 1.5.
        product="batched-gradient",
        # 1.6 of the update. One program for all tensors: no faster, and every gradient is kept until the last.
        update="compiled",
        environment={**KEEP_FREED_MEMORY, **ONEDNN},
    ),
    # Not measured. XLA chooses layouts, fuses what is not a convolution or a product, and replays CUDA graphs.
    ("tuned", "cuda"): Tuning(lrn="compiled", power="roots", update="compiled", xla=True),
}


def tuning_of(settings: Settings) -> Tuning:
    """The choices for these settings."""
    return CHOICES[settings.tuning, device_kind(settings.device)]


def device_kind(device: str) -> DeviceKind:
    """`cuda` of `cuda:1`; any other device is looked for by `arrays.find_device`, which knows what to say of it."""
    return "cuda" if device.partition(":")[0] == "cuda" else "cpu"


def environment(settings: Settings) -> dict[str, str]:
    """What must stand in the environment before TensorFlow is imported."""
    found = {"KERAS_BACKEND": "tensorflow", **tuning_of(settings).environment}  # a user's keras.json may say otherwise
    if settings.device == "cpu" and settings.devices > 1:
        found[CPU_DEVICES] = str(settings.devices)
    if settings.precision == "tf32":
        found[TF32] = "1"
    return found
