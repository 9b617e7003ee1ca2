"""Functions compiled where a tuning asks for it and the machine can."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch

from impls.with_torch.tuning import Tuning

MOST_VARIANTS = 256  # of one function, for networks and batch sizes; after 8 PyTorch would compile no more


def compiled(function: Callable[..., Any], tuning: Tuning, device: torch.device) -> Callable[..., Any]:
    """The function, compiled on its first call; as it is where the tuning or the machine has it so."""
    if not tuning.compiled:
        return function
    missing = missing_compiler(device.type)
    if missing:
        warnings.warn(f"not compiled, {missing} is missing: the tuned step will be slower", stacklevel=2)
        return function
    torch._dynamo.config.recompile_limit = MOST_VARIANTS
    torch._dynamo.config.suppress_errors = True  # what is missing beside (Python's headers) is told, and runs eagerly
    return torch.compile(function, dynamic=False, options=dict(tuning.compiler_options))


def is_compiled(tuning: Tuning, device: torch.device) -> bool:
    """Whether functions are compiled under this tuning on this device."""
    return tuning.compiled and not missing_compiler(device.type)


@functools.cache
def missing_compiler(kind: str) -> str:
    """What torch.compile would need on this kind of device and cannot find; empty where it has all."""
    if kind == "cuda":
        from torch.utils._triton import has_triton

        return "" if has_triton() else "Triton"
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError:
        return "a C++ compiler (g++, or what CXX names)"
    return ""
