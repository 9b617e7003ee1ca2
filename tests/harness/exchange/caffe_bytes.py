"""Caffe's files written byte by byte, by the wire format alone: no message class has a part in them.

Reference: protobuf.dev/programming-guides/encoding; field numbers of BVLC/caffe, src/caffe/proto/caffe.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

V1_CONVOLUTION, V1_INNER_PRODUCT, V1_RELU, V1_POOLING, V1_SOFTMAX, V1_DATA = 4, 14, 18, 17, 20, 5


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as 64 bits
    made = b""
    while value > 0x7F:
        made += bytes([value & 0x7F | 0x80])
        value >>= 7
    return made + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def single(field: int, value: float) -> bytes:
    return varint(field << 3 | 5) + struct.pack("<f", value)


def inside(field: int, body: bytes | str) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    return varint(field << 3 | 2) + varint(len(data)) + data


def floats(field: int, values: NDArray[np.float32], *, is_packed: bool = True) -> bytes:
    if is_packed:
        return inside(field, values.astype("<f4").tobytes())
    return b"".join(single(field, value) for value in values.ravel())


def doubles(field: int, values: NDArray[np.float64], *, is_packed: bool = True) -> bytes:
    if is_packed:
        return inside(field, values.astype("<f8").tobytes())
    return b"".join(varint(field << 3 | 1) + struct.pack("<d", value) for value in values.ravel())


def legacy_sides(shape: Sequence[int]) -> bytes:
    """num, channels, height, width: short shapes begin with ones."""
    return b"".join(number(field, side) for field, side in enumerate((1,) * (4 - len(shape)) + tuple(shape), 1))


def blob_shape(dims: Iterable[int], *, is_packed: bool = True) -> bytes:
    if is_packed:
        return inside(1, b"".join(varint(dim) for dim in dims))
    return b"".join(number(1, dim) for dim in dims)


def blob(values: NDArray[np.floating], shape: Sequence[int] | None = None, **how: bool) -> bytes:
    """A BlobProto. `legacy`: four sides; `unpacked`: a tag before each number; `double`: as float64."""
    shape = values.shape if shape is None else shape
    sides = legacy_sides(shape) if how.get("legacy") else inside(7, blob_shape(shape))
    is_packed = not how.get("unpacked")
    if how.get("double"):
        return doubles(8, values.astype(np.float64), is_packed=is_packed) + sides
    return floats(5, values.astype(np.float32), is_packed=is_packed) + sides


class Step(NamedTuple):
    """One layer: its type by both names, its parameters' field by both formats, and its blobs."""

    name: str
    bottom: str
    top: str
    kind: str
    old_kind: int
    parameters: bytes = b""
    field: int = 0
    old_field: int = 0
    blobs: tuple[bytes, ...] = ()


def layer(step: Step) -> bytes:
    """A LayerParameter."""
    return (
        inside(1, step.name) + inside(2, step.kind) + inside(3, step.bottom) + inside(4, step.top)
        + b"".join(inside(7, body) for body in step.blobs)
        + (inside(step.field, step.parameters) if step.field else b"")
    )  # fmt: skip


def old_layer(step: Step) -> bytes:
    """A V1LayerParameter."""
    return (
        inside(2, step.bottom) + inside(3, step.top) + inside(4, step.name) + number(5, step.old_kind)
        + b"".join(inside(6, body) for body in step.blobs)
        + (inside(step.old_field, step.parameters) if step.old_field else b"")
    )  # fmt: skip


def net(steps: Iterable[Step], input_shape: Sequence[int], *, is_old: bool, name: str = "TinyNet") -> bytes:
    """A NetParameter whose input is called data."""
    field, made = (2, old_layer) if is_old else (100, layer)
    sides = b"".join(number(4, side) for side in input_shape)
    return inside(1, name) + inside(3, "data") + sides + b"".join(inside(field, made(step)) for step in steps)


class Arrays(NamedTuple):
    """A tiny network's weights in Caffe's own layouts."""

    conv: NDArray[np.float32]  # [O, I / groups, H, W]
    conv_bias: NDArray[np.float32]
    dense: NDArray[np.float32]  # [O, I], I in the order C, H, W
    dense_bias: NDArray[np.float32]


SIDE, KERNELS, CLASSES = 7, 4, 5
INPUT = (1, 3, SIDE, SIDE)


def arrays(seed: int = 0) -> Arrays:
    """3x3 kernels with stride 1 and padding 1 over 7x7; pooled 2 by 2, rounding up, to 4x4."""
    random = np.random.default_rng(seed)
    shapes = ((KERNELS, 3, 3, 3), (KERNELS,), (CLASSES, KERNELS * 4 * 4), (CLASSES,))
    return Arrays(*(random.normal(size=shape).astype(np.float32) for shape in shapes))


def steps(given: Arrays, **how: bool) -> list[Step]:
    """conv1, relu1 in place, pool1, fc2, prob."""
    conv = (blob(given.conv, **how), blob(given.conv_bias, **how))
    dense = (blob(given.dense, **how), blob(given.dense_bias, **how))
    of_conv = number(1, KERNELS) + number(3, 1) + number(4, 3)
    of_pool = number(2, 2) + number(3, 2)
    return [
        Step("conv1", "data", "conv1", "Convolution", V1_CONVOLUTION, of_conv, 106, 10, conv),
        Step("relu1", "conv1", "conv1", "ReLU", V1_RELU),
        Step("pool1", "conv1", "pool1", "Pooling", V1_POOLING, of_pool, 121, 19),
        Step("fc2", "pool1", "fc2", "InnerProduct", V1_INNER_PRODUCT, number(1, CLASSES), 117, 17, dense),
        Step("prob", "fc2", "prob", "Softmax", V1_SOFTMAX),
    ]


def tiny(*, is_old: bool = False, seed: int = 0, **how: bool) -> bytes:
    """The file of the tiny network."""
    return net(steps(arrays(seed), **how), INPUT, is_old=is_old)
