"""What NVIDIA's management library tells of one GPU: energy, power, clock, and why a clock is held back.

By the module `pynvml` (package nvidia-ml-py) where it can be imported, else by the program `nvidia-smi`, else not.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

# nvmlClocksEventReason*: what slows a GPU down against its will. That it stays within its power limit (0x4) is how a
# busy one always runs, and is no throttling.
THROTTLING = 0x8 | 0x20 | 0x40 | 0x80  # hardware slowdown, software thermal, hardware thermal, power brake

SMI_QUERY = "power.draw,clocks.sm,clocks_throttle_reasons.active,memory.total"


class Reading(NamedTuple):
    """One look at a GPU; None where it does not say."""

    energy_j: float | None  # since the driver was loaded
    power_w: float | None
    clock_mhz: float | None
    throttled: bool | None


class Gpu(Protocol):
    """One GPU to be looked at."""

    def read(self) -> Reading:
        """Look now."""

    def memory_bytes(self) -> int | None:
        """All the memory it has."""


class NvmlGpu:
    """By `pynvml`."""

    def __init__(self, module: Any, index: int) -> None:
        """Raises the module's own error where there is no such GPU."""
        self._nvml = module
        module.nvmlInit()
        self._handle = module.nvmlDeviceGetHandleByIndex(index)

    def read(self) -> Reading:
        """Each figure by itself: older GPUs have no energy counter."""
        nvml, handle = self._nvml, self._handle
        energy = self._ask(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)
        power = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3)
        clock = self._ask(lambda: float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)))
        reasons = self._ask(lambda: int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)))
        return Reading(energy, power, clock, None if reasons is None else bool(reasons & THROTTLING))

    def memory_bytes(self) -> int | None:
        """All the memory it has."""
        found = self._ask(lambda: int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).total))
        return found if found is None else int(found)

    def _ask(self, question: Any) -> Any:
        try:
            return question()
        except (self._nvml.NVMLError, AttributeError):
            return None


class SmiGpu:
    """By `nvidia-smi`, which takes a tenth of a second to answer."""

    def __init__(self, program: str, index: int) -> None:
        """Raises OSError where there is no such GPU."""
        self._command = [program, "-i", str(index), f"--query-gpu={SMI_QUERY}", "--format=csv,noheader,nounits"]
        self._memory = self._fields()[3]

    def read(self) -> Reading:
        """Power, not energy."""
        try:
            power, clock, reasons, _ = self._fields()
        except OSError:
            return Reading(None, None, None, None)
        return Reading(None, _number(power), _number(clock), _throttled(reasons))

    def memory_bytes(self) -> int | None:
        """It tells MiB."""
        found = _number(self._memory)
        return None if found is None else int(found * 2**20)

    def _fields(self) -> Sequence[str]:
        try:
            done = subprocess.run(self._command, capture_output=True, text=True, timeout=10, check=True)
        except subprocess.SubprocessError as error:
            raise OSError(str(error)) from None
        fields = [field.strip() for field in done.stdout.strip().split(",")]
        if len(fields) != 4:
            raise OSError(f"nvidia-smi answered {done.stdout.strip()!r}")
        return fields


def _number(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        return float(text)
    return None


def _throttled(text: str) -> bool | None:
    with contextlib.suppress(ValueError):
        return bool(int(text, 16) & THROTTLING)
    return None


def library() -> Any:
    """The module `pynvml`, or None."""
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


def find(device: str, module: Any = None) -> Gpu | None:
    """The GPU behind `cuda` or `cuda:1`; None where nobody can tell, and for the CPU."""
    if not device.startswith("cuda"):
        return None
    index = int(device.partition(":")[2] or 0)
    module = module if module is not None else library()
    if module is not None:
        with contextlib.suppress(module.NVMLError):
            return NvmlGpu(module, index)
    program = shutil.which("nvidia-smi")
    if program is not None:
        with contextlib.suppress(OSError):
            return SmiGpu(program, index)
    return None


def count(module: Any = None) -> int | None:
    """How many NVIDIA GPUs the machine has; None where only the frameworks can tell."""
    module = module if module is not None else library()
    if module is not None:
        try:
            module.nvmlInit()
            return int(module.nvmlDeviceGetCount())
        except module.NVMLError:
            return 0
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0 if Path("/proc").is_dir() and not Path("/proc/driver/nvidia").exists() else None
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())
