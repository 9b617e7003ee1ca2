"""The level split: a framework that shares a network among devices, and one that forgets an exchange."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_parity_schedule import PRELUDE, run_of

from harness.errors import UsageError
from harness.parity import split_level
from harness.parity.bench import Bench
from harness.parity.miniature import MINIATURE
from harness.parity.run import ParityRun
from impls import catalog

# A framework that shares the batch, in one process: each half's loss and gradients, then their mean.
HALVES = """
import numpy as np
from impls.protocol import Batch

KEPT = {kept}  # of the two halves' gradients

class Halves(NumpyImplementation):
    def gradients(self, batch):
        half = len(batch.labels) // 2
        parts = [
            super(Halves, self).gradients(
                Batch(batch.images[rows], batch.labels[rows], {{k: v[rows] for k, v in batch.masks.items()}})
            )
            for rows in (slice(0, half), slice(half, None))
        ]
        kept = parts[:KEPT]
        loss = sum(loss for loss, _ in parts) / 2
        return loss, {{k: sum(g[k] for _, g in kept) / len(kept) for k in parts[0][1]}}

class X(NumpyFramework):
    splits = ("data",)

    def build(self, network, weights, settings):
        whole = super().build(network, weights, settings)
        if settings.split == "none":
            return whole
        assert (settings.split, settings.devices) == ("data", 2)
        return Halves(whole._network, whole._weights, whole._precision)

X = X()
"""


def split_run(bench: Bench, folder: Path, target: str, splits: tuple[str, ...] = ("data",)) -> ParityRun:
    shared = Bench(replace(bench.material, devices=2, splits=splits, folder=folder))
    return run_of(shared, folder, ("split",), target)


def halves(tmp_path: Path, kept: int) -> str:
    file = tmp_path / "halves.py"
    file.write_text(PRELUDE.format(folder=str(Path(__file__).parent), body=HALVES.format(kept=kept)))
    return f"{file}:X"


def test_two_halves_of_a_batch_are_the_whole(bench: Bench, tmp_path: Path) -> None:
    rows = split_run(bench, tmp_path, halves(tmp_path, kept=2)).rows
    assert {row["verdict"] for row in rows} == {"pass"}
    assert {row["level"] for row in rows} == {"split"}
    cases = {row["case"].partition(":")[0] for row in rows}
    assert cases == {"data on 2, forward", "data on 2, gradient", "data on 2, training"}
    assert all("split:data/2" in row["signature"] for row in rows)
    assert {"fc8/weight", "losses"} <= {row["tensor"] for row in rows}


def test_gradients_that_were_not_summed_over_the_devices_fail(bench: Bench, tmp_path: Path) -> None:
    rows = split_run(bench, tmp_path, halves(tmp_path, kept=1)).rows
    failed = {row["case"].partition(":")[0] for row in rows if row["verdict"] == "fail"}
    assert failed == {"data on 2, gradient", "data on 2, training"}


def test_a_framework_without_splits_never_passes_for_one_that_has_them(
    bench: Bench, tmp_path: Path, plugin: str
) -> None:
    parity = split_run(bench, tmp_path, plugin)
    assert {row["verdict"] for row in parity.rows} == {"error"}
    assert all("has no split 'data'" in row["reason"] for row in parity.rows)
    assert {problem.kind for problem in parity.problems} == {"unsupported"}


def test_splits_are_all_that_the_network_has_unless_named() -> None:
    assert split_level.splits_of(catalog.PAPER, (), 2) == ("model", "data", "hybrid")
    assert split_level.splits_of(catalog.PAPER, ("hybrid", "model"), 2) == ("model", "hybrid")
    assert split_level.splits_of(catalog.get("torchvision"), (), 2) == ("data", "hybrid")
    assert split_level.splits_of(MINIATURE, ("data",), 4) == ("data",)


def test_a_split_that_a_network_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="one tower"):
        split_level.splits_of(catalog.get("torchvision"), ("model",), 2)


@pytest.mark.parametrize(
    ("devices", "views", "photographs", "words"),
    [(2, 10, 1, "batch of 1 photographs"), (3, 10, 3, "10 views"), (2, 10, 2, "")],
)
def test_batches_must_come_out_even(devices: int, views: int, photographs: int, words: str) -> None:
    if not words:
        split_level.check_batches(devices, views, photographs)
        return
    with pytest.raises(UsageError, match=words):
        split_level.check_batches(devices, views, photographs)
