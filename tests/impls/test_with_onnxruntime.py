"""ONNX Runtime beside the others: its part of the contract in a process of its own, and who may call on it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from impls import registry
from impls.protocol import TUNINGS, Tuning

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHECKS = (
    "operators_agree_with_their_formulas",
    "activations_cover_every_layer",
    "the_original_networks_own_layers_agree_with_the_reference",
    "what_it_lacks_is_unsupported",
    "weights_come_back_as_they_went_in",
    "it_describes_itself",
)


@functools.cache
def outcomes() -> dict[tuple[str, str], str | None]:
    """(check, tuning) -> None where it held, else the traceback; one process for all."""
    command = [sys.executable, str(HERE / "onnxruntime_contract.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"check"')]
    return {(line["check"], line["tuning"]): line["error"] for line in lines}


@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("check", CHECKS)
def test_onnx_runtime_keeps_its_part_of_the_contract(check: str, tuning: Tuning) -> None:
    error = outcomes()[check, tuning]
    assert error is None, error


@pytest.mark.needs("onnxruntime")
def test_no_check_of_onnx_runtimes_contract_is_left_out() -> None:
    assert set(outcomes()) == {(check, tuning) for check in CHECKS for tuning in TUNINGS}


@pytest.mark.needs("onnxruntime")
def test_without_what_makes_its_graphs_it_does_not_load() -> None:
    program = (
        "from impls import registry; registry.REQUIRED_MODULES['onnxruntime'] = ('no_such_module', 'onnxruntime')\n"
        "import impls.with_onnxruntime.framework"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'no_such_module'"


def test_what_is_forward_only_is_known_before_any_process_starts() -> None:
    assert set(registry.FORWARD_ONLY) == {"onnxruntime"}
    assert "onnxruntime" not in registry.frameworks()
    assert registry.frameworks(forward_only=True)["onnxruntime"] == registry.reference("onnxruntime", forward_only=True)


def test_who_needs_gradients_is_refused_in_one_line() -> None:
    with pytest.raises(registry.UnknownFramework, match=r"^onnxruntime is forward only, and taken by alexbench parity"):
        registry.reference("onnxruntime")


def test_a_plug_in_may_not_take_a_forward_only_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("onnxruntime", "other:ATTRIBUTE", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.raises(registry.NotLoadable, match="repeats a registered framework"):
        registry.frameworks()
