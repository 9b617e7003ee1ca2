"""What is asked of NVIDIA's library, against a module that answers as it does."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from harness.speed import nvml, watch
from harness.speed.nvml import Reading


class NVMLError(Exception):
    """As pynvml has it."""


class Library(SimpleNamespace):
    """Answers as pynvml: millijoules, milliwatts, MHz, bits."""

    NVMLError = NVMLError
    NVML_CLOCK_SM = 1

    def __init__(self, gpus: int = 1, *, counter: bool = True, reasons: int = 0, works: bool = True) -> None:
        super().__init__(gpus=gpus, counter=counter, reasons=reasons, works=works, started=time.monotonic(), watts=300)

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.works:
            raise NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index >= self.gpus:
            raise NVMLError("Invalid Argument")
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        if not self.counter:
            raise NVMLError("Not Supported")
        return round(self.watts * (time.monotonic() - self.started) * 1e3)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return self.watts * 1000

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:  # noqa: N802
        assert kind == self.NVML_CLOCK_SM
        return 1980

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: int) -> int:  # noqa: N802
        return self.reasons

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(total=141 * 2**30)


def test_a_reading_is_in_joules_watts_and_megahertz() -> None:
    gpu = nvml.find("cuda", Library())
    assert gpu is not None
    reading = gpu.read()
    assert reading.power_w == 300.0 and reading.clock_mhz == 1980.0 and reading.throttled is False
    assert reading.energy_j is not None and 0 <= reading.energy_j < 3000
    assert gpu.memory_bytes() == 141 * 2**30


@pytest.mark.parametrize(
    ("reasons", "throttled"),
    [(0x0, False), (0x1, False), (0x4, False), (0x8, True), (0x20, True), (0x40, True), (0x80, True), (0x44, True)],
    ids=["none", "idle", "power cap", "hardware", "software thermal", "hardware thermal", "power brake", "both"],
)
def test_heat_and_brakes_throttle_and_a_power_cap_does_not(reasons: int, throttled: bool) -> None:
    gpu = nvml.find("cuda:0", Library(reasons=reasons))
    assert gpu is not None and gpu.read().throttled is throttled


def test_what_a_gpu_does_not_know_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = nvml.find("cuda", Library(counter=False))
    assert gpu is not None and gpu.read().energy_j is None and gpu.read().power_w == 300.0


def test_a_gpu_that_is_not_there_and_the_cpu_are_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert nvml.find("cuda:3", Library()) is None
    assert nvml.find("cuda", Library(works=False)) is None
    assert nvml.find("cpu", Library()) is None


def test_gpus_are_counted_and_a_driver_that_is_not_loaded_means_none() -> None:
    assert nvml.count(Library(gpus=4)) == 4
    assert nvml.count(Library(gpus=4, works=False)) == 0


@pytest.mark.parametrize("counter", [True, False], ids=["counter", "sampled power"])
def test_energy_over_blocks_is_power_times_time(counter: bool) -> None:
    gpu = nvml.find("cuda", Library(counter=counter))
    assert gpu is not None
    seen = watch.Watched()
    seconds = 0.0
    for _ in range(2):
        started = time.monotonic()
        with watch.Watch([gpu], seen):
            time.sleep(0.35)
        seconds += time.monotonic() - started
    assert seen.joules == pytest.approx(300 * seconds, rel=0.2)
    assert seen.clock_mhz == 1980.0 and seen.throttled is False


def test_without_a_gpu_there_is_no_energy() -> None:
    seen = watch.Watched()
    with watch.Watch([], seen):
        pass
    assert seen.joules is None and seen.throttled is None
    assert seen.clock_mhz is None or seen.clock_mhz > 100


def test_nvidia_smi_answers_where_the_library_is_missing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\ncase "$1" in -L) echo "GPU 0: H200"; echo "GPU 1: H200";;')
    program.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = -L ]; then echo "GPU 0: H200"; echo "GPU 1: H200"; exit; fi\n'
        'echo "301.5, 1980, 0x0000000000000040, 143771"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(nvml, "library", lambda: None)
    gpu = nvml.find("cuda:1")
    assert gpu is not None
    assert gpu.read() == Reading(None, 301.5, 1980.0, True)
    assert gpu.memory_bytes() == 143771 * 2**20
    assert nvml.count() == 2
