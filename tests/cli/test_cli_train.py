"""`alexbench train`: what it leaves, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from in_process import surrounded
from program import ROOT, complaint, is_plain, run_json, surroundings, told, wait_until
from train_program import (
    NETWORK,
    hash_of,
    installed,
    left_nothing,
    recipe_file,
    small_data,
    table,
    timeless,
    train,
    under_way,
)

from harness import cli_exit
from harness.cli import cli
from harness.data.preprocessing import Preprocessing
from harness.run_folder import RunFolder
from harness.training import run
from harness.training.checkpoint import Checkpoints
from harness.training.interrupts import Interrupts
from harness.training.job import Job
from harness.training.rows import Row, has_row
from impls import catalog, tensor_file, weights


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return dict(installed(tmp_path_factory.mktemp("plugins")))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path, plugins: dict[str, str]) -> tuple[Path, Any]:
    """A training of four epochs with drops and changes, and what it said."""
    folder = tmp_path_factory.mktemp("trained")
    frozen = {"epoch": 0, "bias_factor": 2.0, "layer_factors": {"conv1": 0.0}}
    recipe = recipe_file(folder, changes=[frozen, {"epoch": 2, "layer_factors": {}}])
    done = train("--framework", "numpy", "--recipe", recipe, data=data, out=folder / "out", **plugins)
    assert done.returncode == 0, done.stderr
    return folder / "out", done


def test_a_row_for_every_epoch_and_every_one_of_the_first_losses(trained: tuple[Path, Any]) -> None:
    rows, losses = table(trained[0]), table(trained[0], "loss")
    assert [(row["epoch"], row["step"], row["phase"]) for row in rows] == [
        (str(epoch), str(3 * epoch), "epoch") for epoch in (1, 2, 3, 4)
    ]
    assert [int(row["step"]) for row in losses] == list(range(1, 13))
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4])
    of_first = [float(row["loss"]) for row in losses[:3]]
    assert float(rows[0]["loss"]) == pytest.approx(sum(of_first) / 3, rel=1e-12)
    for row in rows:
        assert row["signature"].startswith("alexbench:") and f"network:{NETWORK}|weights:" in row["signature"]
        assert 0 <= float(row["top5_error"]) <= float(row["top1_error"]) <= 1
        assert float(row["images_per_s"]) > 0


def test_the_best_weights_are_those_of_the_first_lowest_error(trained: tuple[Path, Any]) -> None:
    out, rows = trained[0], table(trained[0])
    errors = [float(row["top1_error"]) for row in rows]
    best = errors.index(min(errors)) + 1
    assert [row["best"] for row in rows] == [
        "yes" if error < min(errors[:index], default=2) else "no" for index, error in enumerate(errors)
    ]
    assert tensor_file.read(out / "numpy-best.safetensors").metadata["epoch"] == str(best)
    assert tensor_file.read(out / "numpy.safetensors").metadata["epoch"] == "4"


def test_weights_say_what_they_come_from(trained: tuple[Path, Any], data: Path) -> None:
    found = weights.load(trained[0] / "numpy.safetensors", catalog.get(NETWORK))
    facts = json.loads((data / "prepared.json").read_text())
    assert found.metadata["data_hash"] == facts["hash"]
    assert found.metadata["step"] == "12" and found.metadata["recipe"].endswith("recipe.json")
    assert json.loads(found.metadata["recipe_fields"])["drop_epochs"] == [3]
    mean = Preprocessing.from_text(found.metadata["preprocessing"]).mean
    assert mean is not None and mean.shape == (32, 32, 3)


def test_a_layer_that_the_recipe_freezes_moves_only_afterwards(
    trained: tuple[Path, Any], data: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    recipe = trained[0].parent / "recipe.json"
    train("--framework", "numpy", "--recipe", recipe, "--steps", 6, data=data, out=tmp_path / "out", **plugins)
    network = catalog.get(NETWORK)
    begun = weights.generate(network, "own", 0)
    half, whole = (weights.load(out / "numpy.safetensors", network).arrays for out in (tmp_path / "out", trained[0]))
    assert (half["conv1/weight"] == begun["conv1/weight"]).all()
    assert (half["conv2/weight"] != begun["conv2/weight"]).any()
    assert (whole["conv1/weight"] != begun["conv1/weight"]).any()


def test_the_end_says_what_it_was_and_what_to_type_next(trained: tuple[Path, Any]) -> None:
    out, done = trained
    said = told(done)
    assert f"alexbench evaluate --weights {out}/numpy-best.safetensors --data" in said
    assert hash_of(out / "numpy.safetensors")[:12] in said
    assert "numpy: epoch 4 of 4, loss" in said
    assert is_plain(done.stdout + done.stderr)
    found = run_json(out)
    assert found["status"] == "complete"
    assert found["trained"]["numpy"]["hash"] == hash_of(out / "numpy.safetensors")
    assert {"training.parquet", "loss.parquet", "report.md", "numpy.safetensors"} <= set(found["files"])
    assert any(name.endswith(".png") for name in found["files"])


def test_the_same_again_is_the_same_to_the_last_bit(
    trained: tuple[Path, Any], data: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    recipe = trained[0].parent / "recipe.json"
    train("--framework", "numpy", "--recipe", recipe, data=data, out=tmp_path / "out", **plugins)
    assert hash_of(tmp_path / "out" / "numpy.safetensors") == hash_of(trained[0] / "numpy.safetensors")
    assert timeless(table(tmp_path / "out")) == timeless(table(trained[0]))


def test_steps_may_end_inside_an_epoch_and_are_validated_there(
    data: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = train("--framework", "numpy", "--steps", 5, "--batch-size", 8, data=data, out=out, **plugins)
    assert done.returncode == 0
    rows = table(out)
    assert [(row["epoch"], row["step"], row["phase"]) for row in rows] == [("1", "3", "epoch"), ("1", "5", "end")]
    last = [float(row["loss"]) for row in table(out, "loss")[3:]]
    assert float(rows[-1]["loss"]) == pytest.approx(sum(last) / 2, rel=1e-12)
    again = train("--resume", out, **plugins)
    assert again.returncode == 0 and len(table(out)) == 2


def test_training_goes_on_from_weights_that_are_given(
    trained: tuple[Path, Any], data: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    given, out = trained[0] / "numpy.safetensors", tmp_path / "out"
    options = ("--framework", "numpy", "--weights", given, "--steps", 1, "--batch-size", 8)
    assert train(*options, data=data, out=out, **plugins).returncode == 0
    assert table(out)[0]["signature"].split("|")[2] == f"weights:{hash_of(given)[:12]}"


@pytest.mark.parametrize(
    ("framework", "code", "says"),
    [
        ("numpy-nan", 1, "the loss became nan at step 5"),
        ("numpy-overflow", 1, "conv3/bias became NaN or infinite by step 6"),
        ("numpy-killed", 4, "killed by SIGKILL"),
        ("numpy-timed", 3, "it can be timed, not trained"),
    ],
)
def test_a_framework_that_fails_leaves_the_others_and_what_it_had(
    framework: str, code: int, says: str, data: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    frameworks = f"{framework},numpy"
    done = train("--frameworks", frameworks, "--epochs", 2, "--batch-size", 8, data=data, out=out, **plugins)
    assert done.returncode == code
    assert says in told(done)
    assert (out / "numpy.safetensors").exists()
    if framework != "numpy-timed":
        kept = tensor_file.read(out / f"{framework}.safetensors")
        assert kept.metadata["step"] == "3"
        assert hash_of(out / f"{framework}.safetensors") != hash_of(out / "numpy.safetensors")
    assert (f"alexbench train --resume {out}" in told(done)) == (code != 1)  # what diverged would diverge again
    assert any(says in failure for failure in run_json(out)["failures"])


def test_a_worker_that_says_nothing_is_ended(data: Path, plugins: dict[str, str], tmp_path: Path) -> None:
    options = ("--framework", "numpy-silent", "--batch-size", 8, "--timeout", 8)
    done = train(*options, data=data, out=tmp_path / "out", **plugins)
    assert done.returncode == 4
    assert "(--timeout)" in told(done)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_keeps_a_checkpoint_and_says_how_to_go_on(
    number: signal.Signals, data: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--network", NETWORK, "--data", data, "--framework", "numpy", "--batch-size", 1, "--epochs", 500)
    with under_way(*options, "--out", out, out=out, **plugins) as process:
        wait_until((out / ".rows-loss.jsonl").exists)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert f"go on with: alexbench train --resume {out}" in said
    left_nothing(out)
    assert run_json(out)["status"] == "interrupted"
    losses = table(out, "loss")
    step = int(tensor_file.read(out / "numpy.safetensors").metadata["step"])
    assert step == max(int(row["step"]) for row in losses)  # nothing that was done is lost


def test_an_interrupt_between_two_rows_keeps_the_steps_that_were_done(
    data: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    steps = []

    def keep(kind: str, row: Row) -> None:
        steps.append(row["step"])
        if len(steps) == 1:
            os.kill(os.getpid(), signal.SIGHUP)

    network = catalog.get(NETWORK)
    network = replace(network, recipe=replace(network.recipe, batch_size=8))
    job = Job("numpy", network, data, validate=False)
    with surrounded(surroundings(**plugins), ROOT, 60), Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        run.train(job, tmp_path, keep, interrupts=interrupts)
    found = Checkpoints(tmp_path, "numpy").latest()
    assert found is not None and found.standing.step == steps[-1] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--data", "nowhere"), 2, "nowhere"),
        ((), 2, "--data is missing"),
        (("--data", "digits", "--network", "cifar-4"), 2, "did you mean 'cifar-4layer'"),
        (("--data", "digits", "--precision", "float16"), 2, "pass --precision bfloat16"),
        (("--data", "digits", "--precision", "tf32"), 3, "tf32 needs an NVIDIA GPU"),
        (("--data", "digits", "--device", "cuda"), 3, "found no NVIDIA GPU"),
        (("--data", "digits", "--split", "data"), 2, "needs two devices or more"),
        (("--data", "digits", "--devices", "3"), 2, "cannot be shared by 3 devices"),
        (("--data", "digits", "--recipe", "mine"), 2, "there is no such file"),
        (("--data", "digits", "--init", "own", "--weights", "x"), 2, "--init and --weights contradict"),
        (("--data", "digits", "--weights", "x.safetensors"), 2, "x.safetensors"),
        (("--data", "digits", "--recipe", "paper", "--no-validation"), 2, "--no-validation gives none"),
        (("--data", "digits", "--epochs", "0"), 2, "--epochs"),
        (("--data", "digits", "--checkpoint-every", "nan"), 2, "--checkpoint-every nan is no number"),
        (("--data", "digits", "--batch-size", "5000"), 2, "do not fill a batch of 5000"),
        (("--data", "digits", "--network", "note-004"), 2, "pass --large"),
        (("--resume", "nowhere"), 2, "is not a run folder"),
        (("--resume", "nowhere", "--epochs", "3"), 2, "leave out --epochs"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: tuple[str, ...],
    code: int,
    says: str,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ALEXBENCH_CACHE", str(cache))
    network = () if "--network" in arguments or "--resume" in arguments else ("--network", NETWORK)
    frameworks = () if "--resume" in arguments else ("--framework", "torch", "--out", str(tmp_path / "out"))
    assert cli_exit.run(cli, ["train", *network, *frameworks, *arguments]) == code
    lines = [
        line for line in capsys.readouterr().err.splitlines() if not re.search(r"prepar\w+ digits|prepared 1", line)
    ]
    assert len(lines) == 1 and says in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_weights_inside_the_folder_to_be_emptied_are_refused(trained: tuple[Path, Any], data: Path) -> None:
    out = trained[0]
    given = out / "numpy.safetensors"
    done = train("--framework", "torch", "--weights", given, "--network", NETWORK, "--data", data, "--out", out)
    assert "is read here and must not lie in --out" in complaint(done, 2)
    assert given.exists()


def test_data_without_a_validation_part_need_a_recipe_with_epochs(
    data: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    for file in data.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    facts = json.loads((data / "prepared.json").read_text())
    del facts["parts"]["val"]
    (tmp_path / "prepared.json").write_text(json.dumps(facts))
    options = ("--framework", "numpy", "--batch-size", 8, "--steps", 2)
    done = train(*options, "--recipe", "paper", data=tmp_path, out=tmp_path / "out", **plugins)
    assert "choose a --recipe with drop_epochs" in complaint(done, 2)
    done = train(*options, data=tmp_path, out=tmp_path / "out", **plugins)
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "out")[0]["top1_error"] == ""
    assert hash_of(tmp_path / "out" / "numpy-best.safetensors") == hash_of(tmp_path / "out" / "numpy.safetensors")


def test_a_new_run_in_the_same_folder_leaves_nothing_of_the_old_one(
    data: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--steps", 1, "--batch-size", 8)
    train("--frameworks", "numpy,numpy-nan", *options, data=data, out=out, **plugins)
    assert (out / "numpy-nan.safetensors").exists()
    done = train("--frameworks", "numpy", *options, "--overwrite", data=data, out=out, **plugins)
    assert "numpy-nan.safetensors" in told(done) and "checkpoints, run.json" in told(done)  # what it removes
    assert not list(out.glob("numpy-nan*")) and not (out / "checkpoints" / "numpy-nan").exists()


def test_losses_are_kept_more_rarely_the_longer_a_training_lasts() -> None:
    steps = [step for step in range(1, 20_001) if has_row(step)]
    assert steps[:100] == list(range(1, 101))
    assert steps[100:190] == list(range(110, 1001, 10))
    assert steps[190:280] == list(range(1100, 10_001, 100))
    assert steps[280:] == list(range(11_000, 20_001, 1000))


def test_a_folder_that_another_process_trains_in_is_refused(
    data: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    train("--framework", "numpy", "--steps", 1, "--batch-size", 8, data=data, out=out, **plugins)
    folder = RunFolder.reopen(out)
    assert f"belongs to a run under way (process {os.getpid()})" in complaint(train("--resume", out, **plugins), 2)
    folder.close("complete")
