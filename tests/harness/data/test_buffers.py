"""Memory of batches comes back when nobody looks at it any more, and not a moment sooner."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from harness.data.buffers import Buffers

ROOT = Path(__file__).resolve().parents[3]
SHAPE = (3, 4, 5)


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_an_array_has_the_shape_and_can_be_written() -> None:
    array = Buffers(SHAPE).empty()
    array[...] = 7
    assert array.shape == SHAPE and array.dtype == np.float32 and (array == 7).all()


def test_memory_is_used_again_when_the_array_is_gone() -> None:
    buffers = Buffers(SHAPE)
    array = buffers.empty()
    first = address(array)
    del array
    assert address(buffers.empty()) == first


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[1:],
        lambda array: array.reshape(-1)[::2].view(np.int32),
        lambda array: array.T[..., 0],
        memoryview,
    ],
    ids=["slice", "strided", "transposed", "memoryview"],
)
def test_memory_stays_as_long_as_any_view_of_it(view) -> None:
    buffers = Buffers(SHAPE)
    array = buffers.empty()
    array[...] = 1
    held = view(array)
    first = address(array)
    del array
    other = buffers.empty()
    other[...] = 2
    assert address(other) != first
    assert 2 not in np.asarray(held).view(np.float32)
    del held, other
    assert len({address(array) for array in [buffers.empty(), buffers.empty()]} | {first}) == 2


def test_threads_never_share_an_array() -> None:
    buffers = Buffers((1000,))

    def write_and_read(number: int) -> bool:
        array = buffers.empty()
        array[...] = number
        return bool((array == number).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(write_and_read, range(2000)))


AS_TENSOR = {
    "torch": "import torch; tensor_of, back = torch.from_numpy, lambda tensor: tensor.numpy()",
    "tensorflow": "import tensorflow; tensor_of, back = tensorflow.convert_to_tensor, lambda tensor: tensor.numpy()",
    "jax": "import jax.numpy; tensor_of, back = jax.numpy.asarray, lambda tensor: jax.device_get(tensor)",
}


@pytest.mark.parametrize("framework", list(AS_TENSOR))
def test_memory_stays_as_long_as_a_frameworks_tensor_that_may_share_it(framework: str) -> None:
    """Frameworks take NumPy's memory as it is where they can, and hold on to the array: so it must not come back."""
    code = (
        f"{AS_TENSOR[framework]}\n"
        "from harness.data.buffers import Buffers\n"
        "buffers = Buffers((64, 1024))\n"
        "tensors = []\n"
        "for number in range(8):\n"
        "    array = buffers.empty()\n"
        "    array[...] = number\n"
        "    tensors.append(tensor_of(array))\n"
        "    del array\n"
        "assert all((back(tensor) == number).all() for number, tensor in enumerate(tensors))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
