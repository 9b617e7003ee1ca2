"""Rows, exit codes, what a dead worker costs, and how a self-test is summed up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.errors import AlexbenchError
from harness.parity import command
from harness.parity.bench import Bench
from harness.parity.command import exit_code
from harness.parity.compare import Expected
from harness.parity.fault import Swapped
from harness.parity.faults import FAULTS
from harness.parity.finding import Finding
from harness.parity.levels import Job, JobBook
from harness.parity.miniature import MINIATURE
from harness.parity.options import ParityOptions
from harness.parity.rows import Origin, row
from harness.parity.run import ParityRun, Problem
from harness.parity.schedule import Assignment
from harness.parity.self_test import CORRECT, SelfTest, summed_up
from harness.parity.verdict import Judgement, judge
from harness.progress import Progress
from impls.oracle.gauges import Gauge
from impls.oracle.rounding import PRECISIONS

ORIGIN = Origin("torch", "2.13.0", "cpu", "float32", "paper", "0123456789abcdef" * 4, 7)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_a_row_carries_every_column_of_the_table() -> None:
    from reports import schema

    judgement = judge(
        np.ones(5, np.float32), Expected(np.ones(5), gauge=Gauge(np.ones(5), 3, 1.0)), PRECISIONS["float32"]
    )
    made = row(Finding("layer", "conv1", "y", judgement, "conv1", 3, "yours has k = 1"), "tuned", ORIGIN)
    assert set(schema.dtypes("parity")) <= set(made)
    assert (made["framework"], made["device"], made["precision"], made["tuning"]) == (
        "torch",
        "cpu",
        "float32",
        "tuned",
    )
    assert (made["level"], made["case"], made["tensor"], made["layer"]) == ("layer", "conv1", "y", "conv1")
    assert (made["elements"], made["zeros"], made["ties"], made["gauge_ratio"]) == (5, 0, 3, 0.0)
    assert (made["verdict"], made["cause"]) == ("pass", "yours has k = 1")


def test_what_was_not_measured_is_missing_and_not_nan() -> None:
    unmeasured = row(Finding("forward", "a.jpg", "fc8", Judgement("not-observed", "nothing came")), "", ORIGIN)
    assert unmeasured.get("max_abs_error") is None and unmeasured.get("elements") is None
    without_gauge = row(
        Finding("forward", "a.jpg", "fc8", judge(np.ones(5), Expected(np.ones(5)), PRECISIONS["float32"])), "", ORIGIN
    )
    assert without_gauge["gauge_ratio"] is None and without_gauge["baseline_ratio"] is None
    assert not any(isinstance(value, float) and math.isnan(value) for value in without_gauge.values())


def test_the_signature_says_whose_figure_it_is() -> None:
    made = row(Finding("layer", "conv1", "y", Judgement("pass", "")), "tuned", ORIGIN)["signature"]
    for part in (
        "alexbench:", "network:paper", "weights:0123456789ab", "seed:7", "framework:torch-2.13.0", "device:cpu",
        "precision:float32", "tuning:tuned",
    ):  # fmt: skip
        assert part in made.split("|") or any(field.startswith(part) for field in made.split("|"))
    assert "tuning" not in ORIGIN.signature("")
    assert "framework:./mine.py:build|" in replace(ORIGIN, framework="./mine.py:build", version="").signature("")
    assert len({replace(ORIGIN, seed=seed).signature("stock") for seed in range(3)}) == 3


# --- exit codes -------------------------------------------------------------------------------------------------------


def rows(*verdicts: str) -> list[dict[str, Any]]:
    return [{"verdict": verdict} for verdict in verdicts]


def problems(*kinds: str) -> list[Problem]:
    return [Problem("torch", kind, "why") for kind in kinds]


@pytest.mark.parametrize(
    ("verdicts", "kinds", "code"),
    [
        (("pass",), (), 0),
        (("pass", "not-observed"), (), 0),
        (("pass", "fail"), (), 1),
        (("pass", "vacuous"), (), 1),
        (("pass", "error"), ("crash",), 4),
        (("pass", "error"), ("exception",), 4),
        (("pass", "error"), ("missing",), 3),
        (("pass", "error"), ("unsupported",), 3),
        (("fail", "error"), ("crash", "missing"), 1),
        (("pass", "error"), ("crash", "missing"), 4),
        (("pass", "error"), ("missing", "exception"), 4),
        (("error",), ("missing",), 3),
        (("not-observed",), (), 3),
        ((), (), 3),
    ],
)
def test_a_failure_comes_before_a_crash_and_a_crash_before_what_is_missing(
    verdicts: tuple[str, ...], kinds: tuple[str, ...], code: int
) -> None:
    assert exit_code(rows(*verdicts), problems(*kinds)) == code


def test_one_frameworks_pass_does_not_hide_that_of_another_nothing_was_observed() -> None:
    other = {"level": "forward", "framework": "mine", "verdict": "not-observed"}
    assert exit_code([*rows("pass"), other], []) == 3


# --- a run's books ----------------------------------------------------------------------------------------------------


def job(level: str, case: str, verdict: Any = "pass") -> Job:
    def check(outputs: Any) -> Iterator[Finding]:
        yield Finding(level, case, "y", Judgement(verdict, ""))

    return Job(level, case, "", {"do": "activations", "network": "n"}, check)


class Book:
    """Jobs of two levels."""

    def __init__(self) -> None:
        self.made = {
            "layer": [job("layer", "conv1"), job("layer", "pool1", "fail")],
            "forward": [job("forward", "a.jpg")],
        }
        self.asked: set[str] = set()

    def jobs(self, level: str, *, forward_only: bool = False) -> list[Job]:
        self.asked.add(level)
        return self.made[level]

    def count(self, level: str, *, forward_only: bool = False) -> int | None:
        return len(self.made[level]) if level in self.asked else None


@pytest.fixture
def parity() -> ParityRun:
    made = ParityRun(
        book=Book(),  # type: ignore[arg-type]
        origins={"torch": ORIGIN},
        levels={"torch": ("layer", "forward")},
        tunings={"torch": ("stock", "tuned")},
        keep=lambda row: None,
        progress=Progress("test"),
    )
    made.progress.expect("torch", made.total("torch"))
    return made


def test_every_level_is_done_in_every_tuning(parity: ParityRun) -> None:
    made = [(a.job.level, a.tuning, a.job.case) for a in parity.assignments("torch")(True)]
    assert made == [
        ("layer", "stock", "conv1"), ("layer", "stock", "pool1"),
        ("layer", "tuned", "conv1"), ("layer", "tuned", "pool1"),
        ("forward", "stock", "a.jpg"), ("forward", "tuned", "a.jpg"),
    ]  # fmt: skip


def test_what_is_no_full_framework_gets_the_forward_level_once(parity: ParityRun) -> None:
    (only,) = parity.assignments("torch")(False)
    assert (only.job.level, only.tuning, only.job.task["do"]) == ("forward", "", "external")
    assert parity.book.jobs("forward")[0].task["do"] == "activations", "the other workers' task was changed"


def test_results_become_rows_with_the_version_described(parity: ParityRun) -> None:
    parity.described("torch", {"version": "9.9", "device": "Some GPU"})
    parity.output("torch", Assignment(job("layer", "conv1"), "tuned"), {})
    assert parity.rows[0]["verdict"] == "pass" and parity.rows[0]["device"] == "Some GPU"
    assert "framework:torch-9.9" in parity.rows[0]["signature"]


@pytest.mark.parametrize(
    ("kind", "verdict", "recorded"),
    [("bad-output", "fail", 0), ("exception", "error", 1), ("unsupported", "error", 1)],
)
def test_a_task_without_arrays_is_one_row(parity: ParityRun, kind: str, verdict: str, recorded: int) -> None:
    parity.failed("torch", Assignment(job("layer", "conv1"), "stock"), kind, "what happened")
    (made,) = parity.rows
    assert (made["verdict"], made["reason"], made["case"]) == (verdict, "what happened", "conv1")
    assert len(parity.problems) == recorded


def test_a_dead_worker_costs_one_row_for_every_level_and_tuning_it_did_not_complete(parity: ParityRun) -> None:
    given = list(parity.assignments("torch")(True))
    for assignment in given[:3]:  # layer in stock, and one of two in tuned
        parity.output("torch", assignment, {})
    parity.rows.clear()
    parity.ended("torch", {"event": "died", "reason": "killed by SIGKILL", "stderr": "line 1\nline 2"})
    assert [(row["level"], row["tuning"], row["case"]) for row in parity.rows] == [
        ("layer", "tuned", "1 of 2 cases"), ("forward", "stock", "1 of 1 cases"), ("forward", "tuned", "1 of 1 cases"),
    ]  # fmt: skip
    assert all(row["verdict"] == "error" for row in parity.rows)
    assert all(row["reason"].startswith("killed by SIGKILL") and "line 2" in row["reason"] for row in parity.rows)
    assert [(p.kind, p.message) for p in parity.problems] == [("crash", "killed by SIGKILL")]


@pytest.mark.parametrize(("event", "kind"), [("missing", "missing"), ("load-failed", "exception"), ("died", "crash")])
def test_a_worker_that_never_worked_costs_all_its_rows(parity: ParityRun, event: str, kind: str) -> None:
    parity.ended("torch", {"event": event, "reason": "why"})
    assert {(row["level"], row["case"]) for row in parity.rows} == {("layer", "all cases"), ("forward", "all cases")}
    assert len(parity.rows) == 4 and parity.problems[0].kind == kind


def test_a_worker_that_finished_costs_nothing(parity: ParityRun) -> None:
    for assignment in parity.assignments("torch")(True):
        parity.output("torch", assignment, {})
    before = len(parity.rows)
    parity.ended("torch", {"event": "finished", "peak_memory_mb": 123.0})
    assert len(parity.rows) == before and parity.problems == []
    assert parity.peak_memory_mb == {"torch": 123.0}


def test_a_worker_that_says_it_finished_and_left_cases_out_did_not_finish(parity: ParityRun) -> None:
    given = list(parity.assignments("torch")(True))
    for assignment in given[:-1]:
        parity.output("torch", assignment, {})
    parity.ended("torch", {"event": "finished", "peak_memory_mb": 123.0})
    assert [row["verdict"] for row in parity.rows[-1:]] == ["error"]
    assert parity.problems, "the exit code must not be that of a complete run"


# --- the command ------------------------------------------------------------------------------------------------------


def parity_command(options: ParityOptions) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the rows that the run folder holds."""
    import pandas as pd

    assert options.out is not None
    code = command.run(options)
    return code, pd.read_csv(options.out / "parity.csv", keep_default_na=False).to_dict("records")


def test_a_full_framework_given_as_impl_gets_every_level(tmp_path: Path, plugin: str) -> None:
    options = ParityOptions(network="cifar-4layer", impls=(plugin,), out=tmp_path / "run")
    code, found = parity_command(options)
    assert code == 0
    assert {row["level"] for row in found} == {"operator", "layer", "forward", "gradient", "training"}
    assert {row["tuning"] for row in found} == {"stock", "tuned"}
    assert {row["verdict"] for row in found} == {"pass"}


def test_a_wrong_network_given_as_impl_fails_and_its_layer_is_named(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from dataclasses import replace\n"
        "from impls.oracle.network import forward\n"
        "def build(network, weights):\n"
        "    other = {x.name: replace(x, alpha=x.alpha / x.size**2) for x in network.layers if x.name == 'norm1'}\n"
        "    layers = tuple(other.get(x.name, x) for x in network.layers)\n"
        "    wrong = replace(network, layers=layers)\n"
        "    return lambda images: forward(wrong, weights, images)\n"
    )
    options = ParityOptions(network="cifar-4layer", impls=(f"{mine}:build",), out=tmp_path / "run")
    code, found = parity_command(options)
    assert code == 1
    failed = [row for row in found if row["verdict"] == "fail" and row["cause"]]
    assert {(row["layer"], row["cause"]) for row in failed} == {
        ("norm1", "yours has the reference's α divided by the window's area = 9")
    }


def test_what_goes_wrong_on_purpose_closes_the_folder_as_failed() -> None:
    seen: list[tuple[str, Any]] = []
    folder = SimpleNamespace(
        path=Path("somewhere"), close=lambda status, **more: seen.append((status, more["failures"]))
    )

    def fail() -> Any:
        raise AlexbenchError("no device")

    def interrupt() -> Any:
        raise KeyboardInterrupt

    def break_down() -> Any:
        raise ZeroDivisionError("ours")

    with pytest.raises(AlexbenchError):
        command.in_folder(folder, fail)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        command.in_folder(folder, interrupt)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        command.in_folder(folder, break_down)  # type: ignore[arg-type]
    assert command.in_folder(folder, lambda: (3, ["missing"], {})) == 3  # type: ignore[arg-type]
    assert seen == [
        ("failed", ["no device"]), ("interrupted", ["interrupted"]), ("failed", ["ZeroDivisionError: ours"]),
        ("complete", ["missing"]),
    ]  # fmt: skip


# --- the self-test ----------------------------------------------------------------------------------------------------


def failing(level: str, layer: str, cause: str = "", case: str = "") -> Finding:
    return Finding(level, case or layer, "y", Judgement("fail", f"{level} differs"), layer, None, cause)


def test_a_caught_fault_is_named_by_the_first_level_that_has_a_layer() -> None:
    fault = FAULTS["alpha-over-n"]
    found = [
        failing("gradient", "conv1"),
        failing("layer", "norm1", f"yours has {fault.description}"),
        failing("forward", "pool1"),
    ]
    made = summed_up(fault, "torch", "stock", found)
    assert made["caught"] and made["localised"] and made["cause_named"]
    assert (made["named"], made["expected"], made["caught_at"]) == ("norm1", "norm1", "layer")
    assert made["levels"] == "layer, forward, gradient" and made["reason"] == "layer differs"


def test_a_fault_in_another_layer_is_caught_but_not_localised() -> None:
    made = summed_up(FAULTS["no-relu"], "torch", "stock", [failing("layer", "conv2")])
    assert made["caught"] and not made["localised"] and made["named"] == "conv2" and not made["cause_named"]


def test_a_fault_that_nothing_notices_is_not_caught() -> None:
    made = summed_up(FAULTS["no-relu"], "torch", "stock", [])
    assert not made["caught"] and not made["localised"] and made["caught_at"] == "" and made["named"] == ""


def test_of_several_layers_the_one_with_a_cause_is_named() -> None:
    found = [failing("forward", "conv2"), failing("forward", "norm1", "yours has k = 1")]
    assert summed_up(FAULTS["k-is-1"], "torch", "stock", found)["named"] == "norm1"


def test_a_fault_that_single_operators_alone_notice_is_named_by_their_kind() -> None:
    fault = FAULTS["nan-swallowed"]
    assert summed_up(fault, "torch", "stock", [failing("operator", "", case="relu, with a NaN")])["localised"]
    wrong = summed_up(fault, "torch", "stock", [failing("operator", "", case="tanh, ordinary")])
    assert wrong["caught"] and not wrong["localised"] and wrong["named"] == "tanh,"
    swapped = FAULTS["pool-before-norm"]
    assert isinstance(swapped, Swapped)
    assert not summed_up(swapped, "torch", "stock", [failing("operator", "", case="max-pool one window")])["localised"]


@pytest.fixture
def self_test(bench: Bench) -> SelfTest:
    kept: list[tuple[str, Any]] = []
    folder = SimpleNamespace(append=lambda table, row: kept.append((table, row)), kept=kept)
    made = SelfTest(JobBook(bench), ("stock",), folder, ORIGIN, Progress("test"))  # type: ignore[arg-type]
    made.progress.expect("torch", made.variants_per_worker)
    return made


def give(test: SelfTest, fault: str, findings: list[Finding]) -> None:
    """One variant of a single job with these findings."""
    single = Job("layer", "norm1", "norm1", {}, lambda outputs: iter(findings))
    (assignment,) = test._variant("torch", fault, "stock", [single])
    test.output("torch", assignment, {})


def right(verdict: Any = "pass") -> Finding:
    return Finding("layer", "norm1", "y", Judgement(verdict, "why"), "norm1")


def test_all_caught_and_nothing_correct_failed_is_success(self_test: SelfTest) -> None:
    give(self_test, CORRECT, [right(), right()])
    give(self_test, "k-is-1", [failing("layer", "norm1")])
    assert self_test.exit_code() == 0 and self_test.missed() == []
    assert self_test.conclusion() == "Correct variants: no false alarm in 2 checks."
    assert [table for table, _ in self_test.folder.kept] == ["parity", "parity", "self-test"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("verdict", ["fail", "vacuous", "error"])
def test_a_correct_variant_that_does_not_pass_is_a_false_alarm(self_test: SelfTest, verdict: str) -> None:
    give(self_test, CORRECT, [right(), right(verdict)])
    give(self_test, "k-is-1", [failing("layer", "norm1")])
    assert self_test.exit_code() == 1
    assert self_test.false_alarms == [f"torch/stock layer norm1 y: {verdict}: why"]
    assert "1 false alarm" in self_test.conclusion()


@pytest.mark.parametrize("findings", [[], [right()], [right("vacuous")], [failing("layer", "conv1")]])
def test_a_fault_not_caught_or_in_the_wrong_place_is_missed(self_test: SelfTest, findings: list[Finding]) -> None:
    give(self_test, CORRECT, [right()])
    give(self_test, "k-is-1", findings)
    assert self_test.exit_code() == 1 and len(self_test.missed()) == 1


def test_a_fault_that_makes_a_framework_raise_is_caught_and_a_correct_variant_that_raises_is_a_problem(
    self_test: SelfTest,
) -> None:
    single = Job("layer", "norm1", "norm1", {}, lambda outputs: iter([]))
    (assignment,) = self_test._variant("torch", "k-is-1", "stock", [single])
    self_test.failed("torch", assignment, "exception", "shapes")
    assert self_test.table[0]["caught"] and self_test.table[0]["reason"] == "raised: shapes"
    assert self_test.problems == [] and self_test.exit_code() == 0
    (assignment,) = self_test._variant("torch", CORRECT, "stock", [single])
    self_test.failed("torch", assignment, "exception", "shapes")
    assert self_test.exit_code() == 4


@pytest.mark.parametrize(("event", "code"), [("missing", 3), ("died", 4), ("load-failed", 4)])
def test_a_worker_that_did_not_finish_shows_in_the_exit_code(self_test: SelfTest, event: str, code: int) -> None:
    give(self_test, CORRECT, [right()])
    self_test.ended("torch", {"event": event, "reason": "why"})
    assert self_test.exit_code() == code


def test_a_self_test_in_which_nothing_was_planted_could_not_measure(self_test: SelfTest) -> None:
    give(self_test, CORRECT, [right()])
    self_test.ended("torch", {"event": "finished", "peak_memory_mb": 1.0})
    assert self_test.exit_code() == 3


def test_the_self_test_gives_every_worker_the_correct_variant_and_every_fault(self_test: SelfTest) -> None:
    given = list(self_test.assignments("torch")(True))
    planted = list(dict.fromkeys(str(assignment.more["fault"]) for assignment in given))
    assert planted == [CORRECT, *FAULTS]
    assert all(assignment.more["composed"] is True for assignment in given)
    relus = {a.job.case for a in given if a.more["fault"] == "no-relu" and a.job.level == "operator"}
    assert relus == {"relu, with zeros", "relu, with a NaN", "relu large values"}
    losses = {a.job.case for a in given if a.more["fault"] == "summed-loss" and a.job.level == "operator"}
    assert losses and all(case.startswith("cross-entropy") for case in losses)
    levels = {a.job.level for a in given if a.more["fault"] == "nesterov"}
    assert levels == {"layer", "forward", "gradient", "training"}
    assert MINIATURE.name == self_test.book.bench.network.name


def test_the_self_test_refuses_what_is_no_full_framework(self_test: SelfTest) -> None:
    with pytest.raises(AlexbenchError, match="torch is no full framework"):
        list(self_test.assignments("torch")(False))
