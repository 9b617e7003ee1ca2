"""What a sweep is made of, who is measured together, how blocks are cut, and whose process this is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.errors import OUT_OF_MEMORY, CannotMeasure, UsageError
from harness.speed import cluster, command, estimate, follow
from harness.speed.effort import BUDGETS, LEAST_SAMPLE_S, block_plan
from harness.speed.matrix import Setting, matrix
from harness.speed.options import SpeedOptions
from harness.speed.rows import Who, exchange_rows, step_flops
from harness.speed.run import cohorts
from harness.speed.seat import variables
from impls import catalog, split

PAPER = Setting("paper", "cpu", 1, "none", "float32", 128, "synthetic", "train-step")


def test_a_sweep_is_the_product_of_its_lists() -> None:
    found = matrix(
        SpeedOptions(
            networks=("paper", "one-tower"),
            batch_sizes=(32, 64),
            precisions=("float32", "bfloat16"),
            inputs=("synthetic", "file"),
            phases=("train-step", "forward"),
        )
    )
    assert len(found) == len(set(found)) == 2**5
    assert all(setting.split == "none" and not setting.emulated for setting in found)


def test_several_devices_take_all_splits_that_the_network_has() -> None:
    options = SpeedOptions(networks=("paper", "one-tower"), devices=2)
    assert [(s.network, s.split) for s in matrix(options)] == [
        ("paper", "model"),
        ("paper", "data"),
        ("paper", "hybrid"),
        ("one-tower", "data"),
        ("one-tower", "hybrid"),
    ]
    assert all(setting.emulated for setting in matrix(options))


@pytest.mark.parametrize(
    "options",
    [
        SpeedOptions(splits=("data",)),
        SpeedOptions(devices=2, splits=("none",)),
        SpeedOptions(devices=2, splits=("model",), networks=("one-tower",)),
        SpeedOptions(devices=2, batch_sizes=(7,)),
        SpeedOptions(devices=2, device="cuda:1"),
        SpeedOptions(networks=("note-004",)),
    ],
)
def test_contradictions_are_refused(options: SpeedOptions) -> None:
    with pytest.raises(UsageError):
        matrix(options)


def test_tf32_has_no_processor() -> None:
    with pytest.raises(CannotMeasure):
        matrix(SpeedOptions(precisions=("tf32",)))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("step_s", [1e-5, 1e-3, 0.03, 0.7, 9.0])
def test_a_block_lasts_about_as_long_as_asked_and_a_sample_long_enough(device: str, step_s: float) -> None:
    plan = block_plan(step_s, 2.0, device)
    sample_s = plan.steps * step_s
    assert sample_s >= LEAST_SAMPLE_S[device] * 0.999
    assert plan.steps == 1 or sample_s < LEAST_SAMPLE_S[device] + step_s + 2.0 / 50
    assert plan.samples == 1 or 1.0 < plan.samples * sample_s < 3.0


def test_more_effort_is_more_blocks() -> None:
    quick, default, rigorous = (BUDGETS[name] for name in ("quick", "default", "rigorous"))
    assert quick.blocks < default.blocks < rigorous.blocks
    assert quick.block_s < default.block_s < rigorous.block_s


def test_frameworks_share_the_memory_and_a_pair_is_never_parted() -> None:
    whos = [Who(name, tuning) for name in ("torch", "jax", "tensorflow") for tuning in ("stock", "tuned")]
    each = estimate.worker_bytes(PAPER)
    sizes = [[len(group) for group in cohorts(PAPER, whos, available)] for available in (each * 6, each * 5, 1)]
    assert sizes == [[6], [4, 2], [2, 2, 2]]
    for group in cohorts(PAPER, whos, 1):
        assert len({who.framework for who in group}) == 1


def test_what_is_needed_for_certain_is_less_than_what_is_likely() -> None:
    assert 0 < estimate.least_bytes(PAPER) < estimate.worker_bytes(PAPER)
    assert estimate.least_bytes(PAPER) > 128 * 4 * 659_272  # its learned layers' outputs


def test_a_longer_sweep_is_estimated_longer() -> None:
    seconds = [
        estimate.setting_s(PAPER, ("stock", "tuned"), 3, effort, 2) for effort in ("quick", "default", "rigorous")
    ]
    assert seconds == sorted(seconds)


def test_the_work_of_a_step_is_derived() -> None:
    assert step_flops(PAPER) == pytest.approx(128 * 4.136e9, rel=1e-3)


def test_what_is_exchanged_is_derived_and_adds_up() -> None:
    setting = Setting("paper", "cpu", 2, "model", "float32", 128, "synthetic", "train-step")
    rows = exchange_rows(setting)
    made = split.plan(catalog.get("paper"), "model", 2)
    assert sum(row["bytes"] for row in rows) == split.bytes_exchanged(made, 128)
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert exchange_rows(PAPER) == []


@pytest.mark.parametrize(
    "message",
    [
        "MemoryError: Unable to allocate 1.5 TiB",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory",
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "ResourceExhaustedError: OOM when allocating tensor",
        "XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 68719476736 bytes.",
        "terminate called after throwing an instance of 'std::bad_alloc'",
    ],
)
def test_what_frameworks_say_of_memory_is_understood(message: str) -> None:
    assert OUT_OF_MEMORY.search(message)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert not OUT_OF_MEMORY.search("ValueError: shapes (2, 3) and (4, 5) do not match")


TF_CONFIG = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a"}, cluster.Place("torch", 1, 2)),
        ({"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "a"}, None),
        ({"RANK": "1"}, None),
        (
            {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "0"},
            cluster.Place("jax", 0, 4),
        ),
        ({"TF_CONFIG": json.dumps(TF_CONFIG)}, cluster.Place("tensorflow", 1, 2)),
        (
            {
                "TF_CONFIG": json.dumps(
                    {"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": TF_CONFIG["task"] | {"index": 0}}
                )
            },
            cluster.Place("tensorflow", 1, 2),
        ),
    ],
)
def test_a_launchers_variables_say_whose_process_this_is(environ: dict[str, str], expected) -> None:
    assert cluster.place(environ) == expected
    assert expected is None or expected.leads is (expected.rank == 0)


@pytest.mark.parametrize(
    "environ",
    [
        {"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "a"},
        {"RANK": "one", "WORLD_SIZE": "2", "MASTER_ADDR": "a"},
        {"TF_CONFIG": "{"},
        {"TF_CONFIG": "[]"},
    ],
)
def test_nonsense_from_a_launcher_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        cluster.place(environ)


def test_a_run_over_processes_takes_the_tuned_form_and_a_device_each() -> None:
    options = SpeedOptions(frameworks=("torch",), splits=("data",))
    found = follow.checked(options, cluster.Place("torch", 0, 2))
    assert (found.tunings, found.devices) == (("tuned",), 2)
    assert follow.checked(SpeedOptions(frameworks=("torch",), splits=("data",), tunings=("stock",), devices=4),
                          cluster.Place("torch", 0, 2)).tunings == ("stock",)  # fmt: skip


def test_tensorflow_tuned_on_a_cpu_has_onednn_whatever_the_processor_and_the_run_says_so() -> None:
    options = SpeedOptions(frameworks=("tensorflow", "torch"), precisions=("float32", "bfloat16"))
    found = {tuning: variables(Who("tensorflow", tuning), matrix(options)) for tuning in ("stock", "tuned")}
    assert found["tuned"]["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert "TF_ENABLE_ONEDNN_OPTS" not in found["stock"]
    on_gpu = matrix(replace(options, device="cuda"))
    assert "TF_ENABLE_ONEDNN_OPTS" not in variables(Who("tensorflow", "tuned"), on_gpu)
    whos = [Who("tensorflow", tuning) for tuning in ("stock", "tuned")]
    kept = command.first_facts(options, matrix(options), whos)["worker_environment"]
    assert kept == {f"tensorflow/{tuning}": found[tuning] for tuning in ("stock", "tuned")}


def test_what_does_not_fit_is_a_row_and_decides_the_end_only_where_nothing_was_measured() -> None:
    def code(*statuses: str, beside: tuple[str, ...] = ()) -> int:
        return command.exit_code([{"status": status} for status in statuses], [{"status": one} for one in beside])

    assert code("measured", "does-not-fit", "unsupported") == 0
    assert code("does-not-fit") == code("does-not-fit", "unsupported") == 3
    assert code("measured", beside=("does-not-fit",)) == code("measured", beside=("missing",)) == 0
    assert code("measured", beside=("crashed",)) == code("does-not-fit", beside=("timed-out",)) == 4
    assert code("parity-failed", "crashed", beside=("crashed",)) == 1
