"""On one machine's CPU training leaves the same bits in every process, also where it broke off in between.

The training runs in processes of their own, this file as a program:
`python tests/impls/test_fresh_processes.py torch tuned FOLDER broken|resumed`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contract_inputs import draw, draw_mask
from resumption import state_of, trained

from impls import catalog, registry
from impls.derive import facts
from impls.protocol import TUNINGS, Batch, Settings, Tuning, UpdateRule
from impls.spec import Dropout
from impls.weights import content_hash, generate, load, save

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NETWORK = catalog.NETWORKS["cifar-4layer"]
BROKEN = 2  # steps
LONG = pytest.mark.thorough
RULES = tuple(UpdateRule(rate, factors=factors) for rate in (3e-4, 3e-5) for factors in ((), (("conv1/weight", 0.5),)))


def batch(seed: int, count: int = 12) -> Batch:
    masks = {
        row.layer.name: draw_mask((count, *row.input_shape), row.layer.rate, seed)
        for row in facts(NETWORK)
        if isinstance(row.layer, Dropout)
    }
    images = draw((count, NETWORK.height, NETWORK.width, NETWORK.channels), seed, 64.0)
    return Batch(images, np.random.default_rng(seed).integers(0, NETWORK.classes, count), masks)


STEPS = tuple((batch(index), rule) for index, rule in enumerate(RULES))


def main(name: str, tuning: Tuning, folder: Path, part: str) -> None:
    """A whole run, and one that breaks off or that goes on; a line with what each left."""
    framework = registry.load(registry.reference(name))
    settings = Settings(tuning=tuning)
    kept = [folder / f"state.{kind}" for kind in ("weights", "velocity")]
    whole = framework.build(NETWORK, generate(NETWORK), settings).loop("train-step", RULES[0])
    whole.load(STEPS[0][0])
    whole.compile()
    losses = trained(whole, STEPS[:BROKEN])
    if part == "broken":
        for path, arrays in zip(kept, state_of(whole), strict=True):
            save(path, NETWORK.name, arrays)
        whole.logits(STEPS[0][0].images)
    losses += trained(whole, STEPS[BROKEN:])
    print(json.dumps({"run": "whole", "left": left_by(whole), "losses": losses}), flush=True)
    if part == "resumed":
        present, velocity = (load(path, NETWORK).arrays for path in kept)  # mapped, and so not aligned
        loop = framework.build(NETWORK, present, settings).loop("train-step", RULES[BROKEN])
        loop.start_from(velocity)
        losses = trained(loop, STEPS[BROKEN:])
        print(json.dumps({"run": "resumed", "left": left_by(loop), "losses": losses}), flush=True)


def left_by(loop: object) -> list[str]:
    return [content_hash(arrays) for arrays in state_of(loop)]  # type: ignore[arg-type]


def ran(framework: str, tuning: Tuning, folder: Path, part: str) -> dict[str, tuple[list[str], list[float]]]:
    """The run -> the hashes of weights and velocity, and the losses, of one fresh process."""
    asked = registry.environment(framework, Settings(tuning=tuning))
    path = os.pathsep.join([str(ROOT), str(HERE)])
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), framework, tuning, str(folder), part],
        env={**os.environ, **asked, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"run"')]
    return {line["run"]: (line["left"], line["losses"]) for line in lines}


# PyTorch's compiler takes a minute for `tuned`.
ALWAYS = {("torch", "stock"), ("tensorflow", "stock"), ("jax", "tuned")}


@pytest.mark.parametrize(
    ("framework", "tuning"),
    [
        pytest.param(name, tuning, marks=[pytest.mark.needs(name), *([] if (name, tuning) in ALWAYS else [LONG])])
        for name in registry.BUILT_IN
        for tuning in TUNINGS
    ],
)
def test_a_fresh_process_leaves_the_same_bits_and_goes_on_where_another_broke_off(
    framework: str, tuning: Tuning, tmp_path: Path
) -> None:
    first, second = (ran(framework, tuning, tmp_path, part) for part in ("broken", "resumed"))
    left, losses = first["whole"]
    assert len(set(losses)) == len(RULES) and losses[-1] != pytest.approx(np.log(NETWORK.classes)), losses
    assert second["whole"] == (left, losses)
    assert second["resumed"] == (left, losses[BROKEN:])


if __name__ == "__main__":
    main(sys.argv[1], "tuned" if sys.argv[2] == "tuned" else "stock", Path(sys.argv[3]), sys.argv[4])
