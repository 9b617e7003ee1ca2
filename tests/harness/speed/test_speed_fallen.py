"""Workers that end where nobody waits for an end: the command ends too, and loses nothing that was measured."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from harness import run_reading
from harness.errors import CannotMeasure
from harness.launch import WorkerSpec
from harness.run_folder import RunFolder
from harness.speed import command, nvml, resume
from harness.speed import peaks as measuring
from harness.speed.effort import BUDGETS
from harness.speed.material import Material
from harness.speed.member import Fallen, Member
from harness.speed.options import SpeedOptions
from harness.speed.peaks import KINDS, Peak, Peaks
from harness.speed.rows import Row, Who, speed_row
from impls import registry
from impls.protocol import Settings

PLUGIN = Path(__file__).with_name("plugin")
FAULTS = ("probe", "layer", "alone", "raises")
NAMES = {"numpy": "RIGHT"} | {f"numpy-{fault}": fault.upper() for fault in FAULTS}
SIZES = {"matmul": 64, "convolution": 1, "copy": 4096}
LONGEST_S = 120  # of a test: what waits for an event that never comes is ended


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by their names, and found by workers."""
    known = {name: f"numpy_speed:{attribute}" for name, attribute in NAMES.items()}
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, **known})
    path = filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and probes that last milliseconds: what is shown here is who is asked, and what is kept."""
    quick = replace(BUDGETS["quick"], blocks=2, block_s=0.01, window_s=0.01, probe_s=0.001, layer_s=0.001)
    monkeypatch.setitem(BUDGETS, "quick", replace(quick, untimed_below_s=0.0))
    monkeypatch.setattr(measuring, "QUICK_SIZES", SIZES)


@pytest.fixture(autouse=True)
def ends() -> Iterator[None]:
    def too_long(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"still waiting after {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LONGEST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def options(out: Path, *names: str, **more: Any) -> SpeedOptions:
    """One quick setting of a small network, stock."""
    given = {"networks": ("cifar-4layer",), "tunings": ("stock",), "batch_sizes": (2,), "effort": "quick"}
    return SpeedOptions(**{**given, "frameworks": names, "out": out, **more})  # type: ignore[arg-type]


def rows(out: Path, kind: str, framework: str) -> list[Row]:
    return [row for row in run_reading.rows(out, kind) if row["framework"] == framework]


def facts(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


def test_a_worker_tells_of_its_end_as_often_as_it_is_asked(tmp_path: Path) -> None:
    member = Member(WorkerSpec("numpy-probe", "numpy_speed:PROBE"), tmp_path)
    probe = {"kind": "matmul", "size": 8, "seconds": 0.01, "samples": 1, "tuning": "stock"}
    probe |= {"precision": "float32", "device": "cpu", "devices": 1, "split": "none"}
    try:
        member.wait_until_ready()
        assert not member.gone
        for do, fields in (("speed-probe", probe), ("speed-forget", {}), ("describe", {"device": "cpu"})):
            with pytest.raises(Fallen, match="SIGKILL") as caught:
                member.ask(do, **fields)
            assert caught.value.gone and member.gone and caught.value.status == "crashed"
        with pytest.raises(Fallen, match="SIGKILL"):
            member.wait_until_ready()
    finally:
        member.kill()


@pytest.mark.parametrize("fault", ["probe", "layer"])
def test_a_worker_that_dies_beside_its_figure_costs_neither_that_nor_the_others(fault: str, tmp_path: Path) -> None:
    out, name = tmp_path / "out", f"numpy-{fault}"
    assert command.run(options(out, name, "numpy", layers=True, phases=("forward",))) == 4
    assert {row["framework"]: row["status"] for row in run_reading.rows(out, "speed")} == {
        name: "measured",
        "numpy": "measured",
    }
    assert {row["probe"] for row in rows(out, "peak", "numpy")} == {"matmul", "copy"}
    whole = rows(out, "layer", "numpy")
    assert {"(whole step)", "(update and rest)", "fc4"} <= {row["layer"] for row in whole}
    assert sum(row["share"] or 0 for row in whole) == pytest.approx(1)
    (told,) = facts(out)["failures"]
    assert told.startswith(f"{name}/stock: {'peak by' if fault == 'probe' else 'layer conv2 forward'}")
    assert "SIGKILL" in told and facts(out)["status"] == "complete"
    parts = rows(out, "layer", name)
    if fault == "layer":  # what came before is kept, and no share of a step that is not known whole
        assert {row["layer"] for row in parts} == {"conv1", "relu1", "pool1", "norm1"}
        assert all(row["share"] is None for row in parts)
        assert {row["probe"] for row in rows(out, "peak", name)} == {"matmul", "copy"}


def test_a_layer_that_fails_is_told_and_ends_as_a_crash_does(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command.run(options(out, "numpy-raises", layers=True, phases=("forward",))) == 4
    assert facts(out)["failures"] == [
        "numpy-raises/stock: layer conv2 forward: crashed: RuntimeError: conv2 alone is not to be had"
    ]
    assert {"conv1", "conv3", "fc4"} <= {row["layer"] for row in rows(out, "layer", "numpy-raises")}


def test_an_extra_worker_that_does_not_come_up_costs_the_peak_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setenv("STARTED_FILE", str(tmp_path / "started"))
    assert command.run(options(out, "numpy-alone", devices=2, splits=("data",))) == 4
    (row,) = run_reading.rows(out, "speed")
    assert row["status"] == "measured" and row["images_per_s"] > 0 and row["fraction_of_peak"] is None
    (told,) = facts(out)["failures"]
    assert told.startswith("numpy-alone/stock: peak: crashed") and facts(out)["status"] == "complete"


def test_an_interrupt_in_the_probes_keeps_the_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Peaks, "measure", interrupted)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        command.run(options(out, "numpy"))
    (row,) = run_reading.rows(out, "speed")
    assert row["status"] == "measured" and row["images_per_s"] > 0 and row["fraction_of_peak"] is None
    assert facts(out)["status"] == "interrupted"


def test_no_reference_is_computed_where_no_framework_has_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed(self: Material, setting: object) -> None:
        raise AssertionError("the reference was computed")

    monkeypatch.setattr(nvml, "count", lambda: None)  # only the frameworks can tell
    monkeypatch.setattr(Material, "prepare", computed)
    assert command.run(options(tmp_path / "out", "numpy", device="cuda")) == 3
    (row,) = run_reading.rows(tmp_path / "out", "speed")
    assert row["status"] == "missing" and "NumPy has no device 'cuda'" in row["reason"]


def test_a_reference_without_room_is_a_setting_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Material.prepare

    def short(self: Material, setting: Any) -> Any:
        if setting.batch_size == 4:
            raise MemoryError("Unable to allocate 9.9 TiB")
        return prepare(self, setting)

    monkeypatch.setattr(Material, "prepare", short)
    out = tmp_path / "out"
    assert command.run(options(out, "numpy", batch_sizes=(4, 2))) == 0
    assert [(row["batch_size"], row["status"]) for row in run_reading.rows(out, "speed")] == [
        (4, "does-not-fit"),
        (2, "measured"),
    ]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_device_that_is_not_there_is_refused_first_and_with_the_remedy(
    dry_run: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml, "count", lambda: 0)
    for more, said in (
        ({"devices": 2}, "2 GPUs asked for, found no NVIDIA GPU: emulated devices run with --device cpu --devices 2"),
        ({}, "device cuda asked for, found no NVIDIA GPU: the CPU is measured with --device cpu"),
    ):
        with pytest.raises(CannotMeasure, match=said):
            command.run(options(tmp_path / "out", "numpy", device="cuda", dry_run=dry_run, **more))
    assert not (tmp_path / "out").exists()


def test_a_dry_run_of_a_resumed_run_tells_what_is_left_and_touches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, given = tmp_path / "out", options(tmp_path / "out", "numpy", batch_sizes=(2, 4, 8))
    folder = RunFolder.create("speed", resume.arguments(given), out)
    settings, (who,) = command.matrix(given), [Who("numpy", "stock")]
    for setting, status in zip(settings, ("measured", "crashed", "does-not-fit"), strict=True):
        folder.append("speed", speed_row(who, setting, status=status, signature="a:1"))
    folder.close("interrupted")
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    capsys.readouterr()
    assert command.run(SpeedOptions(dry_run=True), out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "batch 4," in lines[0] and lines[0].count("numpy/stock") == 1
    assert lines[1].startswith("1 measurements, about") and lines[1].endswith("nothing was run")
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


# --- the peak's bookkeeping, with workers that answer as a table says -------------------------------------------------


class Workers:
    """`seat.Ask` and its seats: framework -> seconds of a probe, None for one that ends."""

    def __init__(self, seconds: Mapping[str, float | None]) -> None:
        self.seconds = dict(seconds)
        self.seats: list[Any] = [
            SimpleNamespace(who=Who(name, "stock"), settings=Settings(), facts={}, member=SimpleNamespace(gone=False))
            for name in seconds
        ]

    def __call__(self, seat: Any, what: str, do: str, **fields: Any) -> Mapping[str, Any] | None:
        seconds = self.seconds[seat.who.framework]
        seat.member.gone = seconds is None
        refuses = seconds is None or fields["kind"] == "convolution"
        return None if refuses else {"times": [seconds]}


def peaks(kept: list[Row]) -> Peaks:
    return Peaks("quick", BUDGETS["quick"], 0, kept.append)


def test_a_peak_that_nobody_measured_is_tried_again() -> None:
    kept: list[Row] = []
    found = peaks(kept)
    dying = Workers({"torch": None})
    found.measure(dying.seats, "cpu", "float32", dying)
    assert found.of("cpu", "float32") is None and not found.settled("cpu", "float32") and not kept
    whole = Workers({"torch": 0.5})
    found.measure(whole.seats, "cpu", "float32", whole)
    assert found.settled("cpu", "float32") and {row["probe"] for row in kept} == {"matmul", "copy"}
    assert found.of("cpu", "float32") == Peak(2 * 64**3 / 0.5 / 1e12, 8 * 4096 / 0.5 / 1e9)


def test_a_framework_that_dies_leaves_the_peak_to_the_others() -> None:
    kept: list[Row] = []
    found, workers = peaks(kept), Workers({"jax": None, "torch": 0.5})
    found.measure(workers.seats, "cpu", "float32", workers)
    assert {(row["framework"], row["probe"]) for row in kept} == {("torch", "matmul"), ("torch", "copy")}
    assert found.settled("cpu", "float32")


def test_probes_that_everybody_refuses_are_asked_for_once() -> None:
    asked: list[str] = []

    def refuse(seat: Any, what: str, do: str, **fields: Any) -> None:
        asked.append(fields["kind"])

    found, workers = peaks([]), Workers({"torch": 0.5})
    for _ in range(2):
        if not found.settled("cpu", "bfloat16"):
            found.measure(workers.seats, "cpu", "bfloat16", refuse)
    assert found.settled("cpu", "bfloat16") and found.of("cpu", "bfloat16") is None
    assert sorted(asked) == sorted(KINDS)


def test_a_half_measured_peak_of_an_earlier_part_gets_the_rest_and_no_row_twice() -> None:
    kept: list[Row] = []
    found, workers = peaks(kept), Workers({"torch": 0.5})
    row = {"framework": "torch", "device": "cpu", "precision": "float32", "probe": "matmul"}
    found.take([{**row, "tflops": 1.0, "gb_per_s": None}])
    assert not found.settled("cpu", "float32")
    found.measure(workers.seats, "cpu", "float32", workers)
    assert [row["probe"] for row in kept] == ["copy"] and kept[0]["best"] == "yes"
    assert found.of("cpu", "float32") == Peak(1.0, 8 * 4096 / 0.5 / 1e9)
