"""A schedule with real workers: results handed over, the dead reported, none left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from harness.launch import Event, WorkerSpec
from harness.parity.bench import Bench
from harness.parity.levels import Job, JobBook, layer_jobs
from harness.parity.rows import Origin, Row
from harness.parity.run import ParityRun
from harness.parity.schedule import Assignment, Schedule
from harness.progress import Progress
from harness.requirements import install_command
from impls import registry

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {folder!r})
from numpy_framework import NumpyFramework, NumpyImplementation, NumpyOperators

HERE = Path(__file__).parent
{body}
"""


@dataclass
class Notes:
    """A sink that notes what it is given."""

    described_as: dict[str, Mapping[str, str]] = field(default_factory=dict)
    outputs: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    failures: list[tuple[str, str, str, str]] = field(default_factory=list)
    endings: dict[str, Event] = field(default_factory=dict)
    on_output: Callable[[], None] = lambda: None

    def described(self, label: str, facts: Mapping[str, str]) -> None:
        self.described_as[label] = facts

    def output(self, label: str, assignment: Assignment, outputs: Any) -> None:
        self.on_output()
        self.outputs.append((label, assignment.job.case, {name: np.array(value) for name, value in outputs.items()}))

    def failed(self, label: str, assignment: Assignment, kind: str, message: str) -> None:
        self.failures.append((label, assignment.job.case, kind, message))

    def ended(self, label: str, event: Event) -> None:
        assert label not in self.endings, "ended twice"
        self.endings[label] = event


@pytest.fixture
def framework_file(tmp_path: Path) -> Callable[..., str]:
    """A file with the NumPy framework changed by `body`; its target."""

    def written(body: str = "", name: str = "mine") -> str:
        file = tmp_path / f"{name}.py"
        base = "X = NumpyFramework()"
        text = PRELUDE.format(folder=str(Path(__file__).parent), body=body if "X =" in body else f"{body}\n{base}")
        file.write_text(text)
        return f"{file}:X"

    return written


def workers_left() -> list[int]:
    """Workers that this process started and that still run."""
    alive = [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
    return [p.pid for p in alive if "harness.worker" in p.cmdline()]


@pytest.fixture(autouse=True)
def nobody_stays_behind() -> Iterator[None]:
    before = set(workers_left())
    yield
    assert set(workers_left()) <= before


def few_jobs(bench: Bench) -> list[Job]:
    return [
        job for job in layer_jobs(bench) if job.case in ("relu1", "norm1", "pool1", "conv2", "fc6", "tanh4", "drop6")
    ]


def all_in_stock(jobs: list[Job]) -> Callable[[bool], Iterator[Assignment]]:
    return lambda full: (Assignment(job, "stock") for job in jobs)


def spec(target: str, label: str = "mine", **more: Any) -> WorkerSpec:
    return WorkerSpec(label, target, **more)


@pytest.mark.parametrize(
    ("label", "remedy"), [("onnxruntime", f": {install_command('onnxruntime')}"), ("mine", "")], ids=["ours", "plug-in"]
)
def test_a_framework_that_is_not_installed_is_reported_with_what_installs_it(
    label: str,
    remedy: str,
    tmp_path: Path,
    framework_file: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target, notes = framework_file("import no_such_module"), Notes()
    if remedy:
        monkeypatch.setitem(registry.FORWARD_ONLY, label, target)
    Schedule(tmp_path, 1, "float32", notes).run({label: (spec(target, label), all_in_stock([]))})
    ended = notes.endings[label]
    assert (ended["event"], ended["reason"]) == (
        "missing", f"ModuleNotFoundError: No module named 'no_such_module'{remedy}"
    )  # fmt: skip


def test_every_result_is_handed_over_in_order_and_its_file_is_gone(
    bench: Bench, tmp_path: Path, framework_file: Callable[..., str]
) -> None:
    notes, jobs, folder = Notes(), few_jobs(bench) * 2, tmp_path / "work"  # more than a worker may be ahead
    folder.mkdir()
    Schedule(folder, 1, "float32", notes).run({"mine": (spec(framework_file()), all_in_stock(jobs))})
    assert [case for _, case, _ in notes.outputs] == [job.case for job in jobs]
    assert notes.described_as["mine"]["version"] == np.__version__
    assert notes.endings["mine"]["event"] == "finished" and notes.failures == []
    assert list(folder.glob("*.out")) == []
    relu = next(outputs for _, case, outputs in notes.outputs if case == "relu1")
    np.testing.assert_array_equal(relu["y"], bench.gradient.result.activations["relu1"].astype(np.float32))


def test_a_task_that_fails_costs_itself_alone(bench: Bench, tmp_path: Path, framework_file: Callable[..., str]) -> None:
    body = """
class Operators(NumpyOperators):
    def forward(self, layer, x, parameters, mask=None):
        if layer.name == "pool1":
            raise MemoryError("no room")
        return super().forward(layer, x, parameters, mask)

class Framework(NumpyFramework):
    def operators(self, settings):
        return Operators()

X = Framework()
"""
    notes, jobs = Notes(), few_jobs(bench)
    Schedule(tmp_path, 1, "float32", notes).run({"mine": (spec(framework_file(body)), all_in_stock(jobs))})
    assert notes.failures == [("mine", "pool1", "exception", "MemoryError: no room")]
    assert len(notes.outputs) == len(jobs) - 1
    assert notes.endings["mine"]["event"] == "finished"


def test_a_worker_that_dies_leaves_the_others_results(
    bench: Bench, tmp_path: Path, framework_file: Callable[..., str]
) -> None:
    dying = """
class Framework(NumpyFramework):
    def operators(self, settings):
        os.kill(os.getpid(), signal.SIGKILL)

X = Framework()
"""
    notes, jobs = Notes(), few_jobs(bench)
    work = {
        "dying": (spec(framework_file(dying, "dying"), "dying"), all_in_stock(jobs)),
        "absent": (spec("no_such_framework:X", "absent"), all_in_stock(jobs)),
        "nowhere": (spec("a:X", "nowhere", python=str(tmp_path / "no-python")), all_in_stock(jobs)),
        "raising": (spec(framework_file("raise OSError('no driver')", "raising"), "raising"), all_in_stock(jobs)),
        "right": (spec(framework_file(name="right"), "right"), all_in_stock(jobs)),
    }
    Schedule(tmp_path, 2, "float32", notes).run(work)
    assert {label: event["event"] for label, event in notes.endings.items()} == {
        "dying": "died", "absent": "missing", "nowhere": "missing", "raising": "load-failed", "right": "finished",
    }  # fmt: skip
    assert notes.endings["dying"]["reason"] == "killed by SIGKILL"
    assert "no-python" in notes.endings["nowhere"]["reason"]
    assert notes.endings["raising"]["reason"] == "OSError: no driver"
    assert {label for label, _, _ in notes.outputs} == {"right"} and len(notes.outputs) == len(jobs)


def test_a_device_that_is_not_there_is_missing_and_one_that_breaks_is_a_death(
    bench: Bench, tmp_path: Path, framework_file: Callable[..., str]
) -> None:
    breaking = (
        "class F(NumpyFramework):\n    def describe(self, device='cpu'):\n        raise RuntimeError('driver')\nX = F()"
    )
    notes = Notes()
    work = {
        "absent": (spec(framework_file(name="absent"), "absent", device="cuda:9"), all_in_stock(few_jobs(bench))),
        "broken": (spec(framework_file(breaking, "broken"), "broken"), all_in_stock(few_jobs(bench))),
    }
    Schedule(tmp_path, 1, "float32", notes).run(work)
    assert notes.endings["absent"]["event"] == "missing" and "cuda:9" in notes.endings["absent"]["reason"]
    assert notes.endings["broken"]["event"] == "died" and "driver" in notes.endings["broken"]["reason"]


def test_no_more_workers_run_at_once_than_allowed(
    bench: Bench, tmp_path: Path, framework_file: Callable[..., str]
) -> None:
    most = 0

    def look() -> None:
        nonlocal most
        mine = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
        most = max(most, sum("harness.worker" in " ".join(p.cmdline()) for p in mine))

    notes, target = Notes(on_output=look), framework_file()
    work = {label: (spec(target, label), all_in_stock(few_jobs(bench))) for label in "ab"}
    Schedule(tmp_path, 1, "float32", notes).run(work)
    assert most == 1 and set(notes.endings) == {"a", "b"}


def test_an_interrupt_ends_every_worker(bench: Bench, tmp_path: Path, framework_file: Callable[..., str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    target = framework_file()
    work = {label: (spec(target, label), all_in_stock(few_jobs(bench))) for label in "ab"}
    with pytest.raises(KeyboardInterrupt):
        Schedule(tmp_path, 2, "float32", Notes(on_output=interrupt)).run(work)
    assert workers_left() == []


def test_events_nobody_asked_for_are_passed_over(
    bench: Bench, tmp_path: Path, framework_file: Callable[..., str]
) -> None:
    noise = """
for line in (b'{"event": "done"}', b'{"event": "done", "task": "task99"}', b'{"event": "hello"}', b'{"a": 1}', b'[]'):
    os.write(int(sys.argv[2]), line + b"\\n")
"""
    notes, jobs = Notes(), few_jobs(bench)
    Schedule(tmp_path, 1, "float32", notes).run({"mine": (spec(framework_file(noise)), all_in_stock(jobs))})
    assert len(notes.outputs) == len(jobs) and notes.endings["mine"]["event"] == "finished"


# --- a whole run ------------------------------------------------------------------------------------------------------


def run_of(
    bench: Bench, folder: Path, levels: tuple[str, ...], target: str, outside: Any = None, **more: Any
) -> ParityRun:
    """A parity run of one worker at these levels, in both tunings."""
    kept: list[Row] = []
    parity = ParityRun(
        book=JobBook(bench),
        origins={"numpy": Origin("numpy", "", "cpu", "float32", "miniature", "0123456789abcdef", 0)},
        levels={"numpy": levels},
        tunings={"numpy": ("stock", "tuned")},
        keep=kept.append,
        progress=Progress("test"),
        outside=outside or {},
    )
    parity.progress.expect("numpy", parity.total("numpy"))
    Schedule(folder, 1, "float32", parity).run({"numpy": (spec(target, "numpy", **more), parity.assignments("numpy"))})
    assert kept == parity.rows
    return parity


def test_a_full_framework_in_numpy_passes_every_level(bench: Bench, tmp_path: Path, plugin: str) -> None:
    levels = ("operator", "layer", "forward", "gradient", "training")
    parity = run_of(bench, tmp_path, levels, plugin)
    assert parity.problems == []
    assert {row["verdict"] for row in parity.rows} == {"pass"}
    assert {(row["level"], row["tuning"]) for row in parity.rows} == {
        (level, tuning) for level in levels for tuning in ("stock", "tuned")
    }
    assert all(f"framework:numpy-{np.__version__}" in row["signature"] for row in parity.rows)
    assert parity.peak_memory_mb["numpy"] > 10


def test_a_function_is_compared_at_the_forward_level_alone(
    bench: Bench, tmp_path: Path, framework_file: Callable[..., str]
) -> None:
    body = """
def X(network, weights):
    from impls.oracle.network import forward
    return lambda images: {network.logits: forward(network, weights, images)[network.logits]}
X = X
"""
    parity = run_of(bench, tmp_path, ("operator", "forward", "training"), framework_file(body))
    assert parity.problems == []
    assert {row["level"] for row in parity.rows} == {"forward"}
    verdicts = {row["tensor"]: row["verdict"] for row in parity.rows}
    assert verdicts.pop("fc8") == verdicts.pop("top5") == "pass" and set(verdicts.values()) == {"not-observed"}


FEW_ACTIVATIONS = """
from impls.oracle.rounding import PRECISIONS

class Implementation(NumpyImplementation):
    def activations(self, images, masks=None):
        found = super().activations(images, masks)
        return {name: found[name] for name in RETURNED}

class Framework(NumpyFramework):
    def build(self, network, weights, settings):
        return Implementation(network, weights, PRECISIONS["float32"])

X = Framework()
"""


@pytest.mark.parametrize(
    ("outside", "returned", "verdicts"),
    [
        (True, ("fc8",), {"pass", "not-observed"}),
        (True, ("pool1", "fc8"), {"pass", "not-observed"}),
        (True, ("pool1",), {"pass", "not-observed", "vacuous"}),  # the logits are required
        (False, ("fc8",), {"pass", "vacuous"}),  # what is ours returns everything
    ],
)
def test_a_framework_from_outside_may_leave_out_activations_but_for_the_logits(
    bench: Bench,
    tmp_path: Path,
    framework_file: Callable[..., str],
    outside: bool,
    returned: tuple[str, ...],
    verdicts: set[str],
) -> None:
    target = framework_file(f"RETURNED = {returned!r}\n{FEW_ACTIVATIONS}")
    more = {"numpy": (("forward",), ("stock",))} if outside else {}
    parity = run_of(bench, tmp_path, ("forward",), target, outside=more)
    assert {row["verdict"] for row in parity.rows} == verdicts
    assert {row["tensor"] for row in parity.rows if row["verdict"] == "pass"} >= set(returned)


def test_a_worker_that_dies_in_the_middle_leaves_a_row_for_every_level_it_did_not_complete(
    bench: Bench, tmp_path: Path, framework_file: Callable[..., str]
) -> None:
    body = """
class Framework(NumpyFramework):
    def build(self, network, weights, settings):
        print("about to die", flush=True)
        os.abort()

X = Framework()
"""
    parity = run_of(bench, tmp_path, ("layer", "forward", "gradient"), framework_file(body))
    assert [problem.kind for problem in parity.problems] == ["crash"]
    errors = [row for row in parity.rows if row["verdict"] == "error"]
    assert {(row["level"], row["tuning"]) for row in errors} == {
        (level, tuning) for level in ("forward", "gradient") for tuning in ("stock", "tuned")
    }
    assert all("killed by SIGABRT" in row["reason"] and "about to die" in row["reason"] for row in errors)
    passed = [row for row in parity.rows if row["verdict"] == "pass"]
    assert {row["level"] for row in passed} == {"layer"} and {row["tuning"] for row in passed} == {"stock", "tuned"}


def test_a_worker_in_another_working_folder_finds_the_same_files(
    bench: Bench, tmp_path: Path, plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    notes = Notes()
    Schedule(tmp_path, 1, "float32", notes).run({"mine": (spec(plugin), all_in_stock(few_jobs(bench)))})
    assert notes.endings["mine"]["event"] == "finished"
