"""A device watched while a block runs: energy, clock, and whether the clock is held back."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.speed import nvml

INTERVAL_S = 0.1


@dataclass(slots=True)
class Watched:
    """What was seen over all blocks of one worker."""

    joules: float | None = None
    clocks_mhz: list[float] = field(default_factory=list)
    throttled: bool | None = None

    @property
    def clock_mhz(self) -> float | None:
        """The median."""
        return statistics.median(self.clocks_mhz) if self.clocks_mhz else None


class Watch(AbstractContextManager["Watch"]):
    """Adds what it sees between enter and exit to `seen`."""

    def __init__(self, gpus: Sequence[nvml.Gpu], seen: Watched) -> None:
        """Without a GPU it reads the processor's clock."""
        self._gpus = gpus
        self._seen = seen
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._before = [gpu.read() for gpu in self._gpus]
        self._powers: list[list[float]] = [[] for _ in self._gpus]
        if self._gpus:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        seconds = time.monotonic() - self._started
        if not self._gpus:
            self._seen.clocks_mhz += processor_clocks()
            return
        self._thread.join()
        used = [
            _joules(before, gpu.read(), powers, seconds)
            for gpu, before, powers in zip(self._gpus, self._before, self._powers, strict=True)
        ]
        if all(joules is not None for joules in used):
            self._seen.joules = (self._seen.joules or 0.0) + sum(joules for joules in used if joules is not None)

    def _sample(self) -> None:
        while not self._over.wait(INTERVAL_S):
            for gpu, powers in zip(self._gpus, self._powers, strict=True):
                reading = gpu.read()
                if reading.power_w is not None:
                    powers.append(reading.power_w)
                if reading.clock_mhz is not None:
                    self._seen.clocks_mhz.append(reading.clock_mhz)
                if reading.throttled is not None:
                    self._seen.throttled = bool(self._seen.throttled) or reading.throttled


def _joules(before: nvml.Reading, after: nvml.Reading, powers: Sequence[float], seconds: float) -> float | None:
    """By the counter where there is one, else by the mean of the sampled power."""
    if before.energy_j is not None and after.energy_j is not None:
        return after.energy_j - before.energy_j
    return statistics.fmean(powers) * seconds if powers else None


def processor_clocks() -> list[float]:
    """The mean over its cores, in MHz, as Linux tells it; empty elsewhere."""
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        found = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
        return [statistics.fmean(found)] if found else []
    return []


def gpus(device: str, devices: int) -> list[nvml.Gpu]:
    """Those a setting uses, as far as they can be watched."""
    names = [device] if devices == 1 else [f"cuda:{index}" for index in range(devices)]
    found = [nvml.find(name) for name in names if name.startswith("cuda")]
    return [gpu for gpu in found if gpu is not None]
