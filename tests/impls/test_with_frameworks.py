"""Each framework keeps the contract of `impls.protocol`, in a process of its own (see framework_contract.py)."""

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
    "vjps_agree_with_finite_differences",
    "kinks_follow_the_conventions",
    "cross_entropy_agrees_with_its_formula",
    "activations_cover_every_layer",
    "gradients_agree_with_finite_differences",
    "training_is_the_papers_update",
    "weights_are_a_copy_of_its_own",
    "reduced_precision_is_near_or_refused",
    "what_is_missing_is_unsupported",
    "it_describes_itself",
    "a_forward_loop_gives_the_logits",
    "a_backward_loop_gives_the_gradients",
    "a_training_loop_takes_the_papers_steps",
    "biases_keep_out_of_decay_where_the_rule_says_so",
    "masks_are_drawn_afresh_every_step",
    "steps_in_a_row_need_no_wait",
    "every_layer_and_probe_can_be_timed",
    "its_environment_is_text",
    "rules_may_change_from_step_to_step",
    "steps_in_a_list_follow_their_rules_too",
    "a_frozen_layer_stays_to_the_last_bit",
    "another_rule_compiles_nothing",
    "a_run_that_broke_off_goes_on_as_if_unbroken",
    "logits_are_of_the_present_weights",
    "a_loaded_batch_is_the_loops_own",
    "a_velocity_that_does_not_fit_is_refused",
)


@functools.cache
def outcomes(framework: str) -> dict[tuple[str, str], str | None]:
    """(check, tuning) -> None where it held, else the traceback; one process for all of a framework's checks."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(HERE / "framework_contract.py"), framework]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"check"')]
    assert done.returncode == 0, f"{framework} exited with {done.returncode}\n{done.stderr[-4000:]}"
    return {(line["check"], line["tuning"]): line["error"] for line in lines}


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("framework", registry.BUILT_IN)
def test_a_framework_keeps_the_contract(framework: str, check: str, tuning: Tuning) -> None:
    missing = registry.missing_modules(framework)
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    error = outcomes(framework)[check, tuning]
    assert error is None, error


@pytest.mark.parametrize("framework", registry.BUILT_IN)
def test_no_check_of_the_contract_is_left_out(framework: str) -> None:
    if not registry.missing_modules(framework):
        assert set(outcomes(framework)) == {(check, tuning) for check in CHECKS for tuning in TUNINGS}
