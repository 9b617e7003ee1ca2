"""`alexbench paper` as its users run it: the ledger alone, beside their runs, with ablations, with pictures."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pytest
from PIL import Image
from program import ROOT, alexbench, command, complaint, run_json, surroundings, told, wait_until, workers_of
from train_program import installed, small_data

from harness.run_folder import RunFolder

FEW = ("--ablations", "--only", "no-lrn,no-dropout", "--epochs", "2", "--seeds", "2", "--framework", "numpy")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits of 32 pixels: more training images than two batches of the miniature network."""
    return small_data(tmp_path_factory.mktemp("data"), train=120, val=40)


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return installed(tmp_path_factory.mktemp("plugins"))


def paper(*arguments: object, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = alexbench("paper", "--out", out, *arguments, timeout=300, **environment)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert not workers_of(out)
    return done


def table(out: Path, kind: str) -> list[dict[str, str]]:
    with (out / f"{kind}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("alone") / "run"
    return out, paper(out=out)


def test_without_anything_the_exact_claims_are_checked_and_a_contradiction_is_no_failure(
    alone: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, done = alone
    assert done.returncode == 0, done.stderr
    verdicts = [row["verdict"] for row in table(out, "ledger") if not row["section"].startswith("note")]
    assert verdicts.count("contradicted") == 6
    assert verdicts.count("holds") > 30
    assert "measured" not in verdicts
    assert "290,400" in told(done)
    assert run_json(out)["status"] == "complete"


def test_the_notes_claims_stand_behind_the_papers_and_are_counted_apart(
    alone: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, done = alone
    rows = table(out, "ledger")
    notes = [row for row in rows if row["section"].startswith("note")]
    assert rows[-len(notes) :] == notes and len(notes) > 40
    counts = {name: sum(row["verdict"] == name for row in notes) for name in ("holds", "contradicted", "misnamed")}
    said = f"{counts['holds']} hold, {counts['contradicted']} contradicted, {counts['misnamed']} misnamed."
    assert told(done).endswith(f"The notes' {len(notes)} claims: {said} {out}/report.md {out}/report.html")
    report = (out / "report.md").read_text()
    assert all(f"### Note 00{number}, 00{number}" in report for number in range(5))


def test_tables_1_and_2_are_there_without_ours(alone: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    rows = table(alone[0], "published")
    shown = {(row["model"], row["paper_top1"], row["paper_top5"]) for row in rows}
    assert ("CNN, ILSVRC-2010 test", "0.375", "0.17") in shown
    assert ("1 CNN, ILSVRC-2012 val", "0.407", "0.182") in shown
    assert not any(row["ours_top1"] for row in rows)


def evaluated(folder: Path, **fields: object) -> Path:
    """A run folder as `evaluate` leaves it, of ten views of digits."""
    row = {
        "framework": "torch", "network": "cifar-4layer", "weights": "3f2a", "data": "digits", "images": 360,
        "crops": 10, "top1_error": 0.04, "top1_low": 0.02, "top1_high": 0.06, "top5_error": 0.0, "top5_low": 0.0,
        "top5_high": 0.01, "comparable": "no", "signature": "alexbench:0", "part": "val", "status": "measured",
    }  # fmt: skip
    run = RunFolder.create("evaluate", {}, folder)
    run.append("evaluation", {**row, **fields})
    run.close("complete")
    return folder


def test_an_evaluation_of_other_data_stands_beside_the_tables_and_is_said_to_differ(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = paper(evaluated(tmp_path / "evaluated"), out=out)
    assert done.returncode == 0, done.stderr
    ours = [row for row in table(out, "published") if row["ours_top1"]]
    assert {row["model"] for row in ours} == {"CNN, ILSVRC-2010 test", "1 CNN, ILSVRC-2012 val"}
    assert all((row["comparable"], float(row["ours_low1"])) == ("no", 0.02) for row in ours)
    assert all("the data differ: 360 images of digits val" in row["note"] for row in ours)
    assert "measured" not in [row["verdict"] for row in table(out, "ledger")]
    assert "Not comparable" in told(done)


def test_a_trainings_best_validation_stands_beside_the_centre_crop(tmp_path: Path) -> None:
    errors = {
        "framework": "jax",
        "network": "cifar-4layer",
        "data": "digits",
        "label": "jax",
        "signature": "alexbench:0",
    }
    run = RunFolder.create("train", {}, tmp_path / "trained")
    for epoch, (top1, best) in enumerate([(0.2, "yes"), (0.05, "yes"), (0.07, "no")], start=1):
        run.append("training", {**errors, "epoch": epoch, "top1_error": top1, "top5_error": 0.0, "best": best})
    run.close("complete")
    out = tmp_path / "run"
    assert paper(tmp_path / "trained", out=out).returncode == 0
    (row,) = [row for row in table(out, "published") if row["ours_top1"]]
    assert (row["model"], row["ours_top1"], row["comparable"]) == ("CNN, centre crop, ILSVRC-2010 test", "0.05", "no")
    assert "validated after epoch 2" in row["run"]
    assert row["note"] == "the data differ: digits val, not ILSVRC-2010 test"


def test_an_evaluation_of_the_papers_images_is_measured(tmp_path: Path) -> None:
    fields = {"network": "paper", "data": "imagenet-2012", "images": 50_000, "comparable": "yes", "paper_top1": 0.407,
              "paper_top5": 0.182, "top1_error": 0.41, "top1_low": 0.405, "top1_high": 0.414}  # fmt: skip
    out = tmp_path / "run"
    assert paper(evaluated(tmp_path / "evaluated", **fields), out=out).returncode == 0
    (row,) = [row for row in table(out, "ledger") if row["verdict"] == "measured"]
    assert "1 CNN, ILSVRC-2012 val" in row["claim"]
    assert row["on"] == "imagenet-2012 val, 50000 images"


def test_ablations_are_pairs_over_seeds_and_the_run_can_be_taken_in_again(tmp_path: Path, whole: Path) -> None:
    out = whole
    rows = table(out, "ablation")
    assert {(row["ablation"], row["seed"]) for row in rows} == {
        (name, seed) for name in ("no-lrn", "no-dropout") for seed in "01"
    }
    trials = {(row["variant"], row["seed"]): float(row["top1_error"]) for row in table(out, "trial")}
    assert len(trials) == 6
    for row in rows:
        difference = trials[row["ablation"], row["seed"]] - trials["base", row["seed"]]
        assert float(row["difference"]) == pytest.approx(difference)
    measured = [row for row in table(out, "ledger") if row["verdict"] == "measured"]
    assert {row["section"] for row in measured} == {"3.3", "4.2"}
    assert all("n = 2 seeds" in row["ours"] and "digits" in row["on"] for row in measured)
    again = paper(out, out=tmp_path / "again")
    assert again.returncode == 0, again.stderr
    found = [row for row in table(tmp_path / "again", "ledger") if row["verdict"] == "measured"]
    assert [(row["claim"], row["ours"], row["on"]) for row in found] == [
        (row["claim"], row["ours"], row["on"]) for row in measured
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path, plugins: Mapping[str, str]) -> Path:
    """An unbroken run of a few trainings."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done = paper(*FEW, "--data", data, out=out, **plugins)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize(
    ("number", "code", "status"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGKILL, -9, "running")]
)
def test_a_run_that_is_ended_keeps_its_trainings_and_goes_on_to_what_an_unbroken_one_has(
    tmp_path: Path, data: Path, plugins: Mapping[str, str], whole: Path, number: int, code: int, status: str
) -> None:
    out = tmp_path / "run"
    arguments = command("paper", *FEW, "--data", data, "--out", out, python=sys.executable)
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=surroundings(**plugins), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        kept = out / ".rows-trial.jsonl"
        wait_until(lambda: process.poll() is not None or (kept.is_file() and kept.read_text().count("\n") >= 2))
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code, stderr
    assert run_json(out)["status"] == status
    assert status == "running" or 2 <= len(table(out, "trial")) < 6
    resumed = alexbench("paper", "--resume", out, timeout=300, **plugins)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stderr.count("top-1 error") < 5  # of six trainings
    assert table(out, "trial") == table(whole, "trial")
    assert table(out, "ablation") == table(whole, "ablation")
    assert run_json(out)["status"] == "complete"


def test_a_training_that_falls_leaves_the_others_and_the_exit_code_says_so(
    tmp_path: Path, data: Path, plugins: Mapping[str, str]
) -> None:
    out = tmp_path / "run"
    few = ("--ablations", "--only", "no-lrn", "--epochs", "1", "--seeds", "1", "--framework", "numpy-nan,numpy")
    done = paper(*few, "--epochs", "3", "--data", data, out=out, **plugins)
    assert done.returncode == 1, done.stderr
    assert {row["framework"] for row in table(out, "trial")} == {"numpy"}
    assert len([line for line in run_json(out)["failures"] if "numpy-nan" in line]) == 2
    assert run_json(out)["status"] == "complete"


def test_one_epoch_of_one_seed_in_a_real_framework_with_ten_crops(tmp_path: Path) -> None:
    out = tmp_path / "run"
    few = ("--only", "one-crop", "--epochs", "1", "--seeds", "1", "--framework", "torch", "--limit", "60")
    done = paper("--ablations", *few, out=out)
    assert done.returncode == 0, done.stderr
    (pair,) = table(out, "ablation")
    assert (pair["variant"], pair["crops"]) == ("mirrored", "1 against 10")
    assert all(0 < float(pair[side]) <= 1 for side in ("baseline_error", "variant_error"))


def test_figure_1_counts_the_training_error_of_both_kinds_at_their_fastest_rates(
    tmp_path: Path, data: Path, plugins: Mapping[str, str]
) -> None:
    out = tmp_path / "run"
    few = ("--only", "figure-1", "--epochs", "2", "--seeds", "2", "--framework", "numpy")
    done = paper("--ablations", *few, "--data", data, out=out, **plugins)
    assert done.returncode == 0, done.stderr
    tried, kept = table(out, "training-error-tried"), table(out, "training-error")
    wanted = {(kind, seed) for kind in ("relu", "tanh") for seed in "01"}
    assert {(row["variant"], row["seed"]) for row in kept} == wanted
    assert all(0 <= float(row["training_error"]) <= 1 for row in kept)
    for kind in ("relu", "tanh"):
        assert len({row["learning_rate"] for row in kept if row["variant"] == kind}) == 1
        assert len({row["learning_rate"] for row in tried if row["variant"] == kind}) >= 2
    assert (out / "figure1.png").is_file()
    (claim,) = [row for row in table(out, "ledger") if row["section"] == "3.1"]
    assert claim["verdict"] == "measured"
    again = paper(out, out=tmp_path / "again")
    assert again.returncode == 0, again.stderr
    assert [row for row in table(tmp_path / "again", "ledger") if row["section"] == "3.1"] == [claim]


def test_figures_3_and_4_are_drawn_from_the_users_weights(tmp_path: Path, weights_file: Path) -> None:
    out = tmp_path / "run"
    done = paper("--weights", weights_file, "--data", "digits", "--framework", "torch", out=out)
    assert done.returncode == 0, done.stderr
    drawn = sorted(path.name.rpartition("-")[0] for path in out.glob("figure*.png"))
    assert drawn == ["figure3", "figure4-neighbours", "figure4-top5"]
    assert not list(out.glob("*.stderr"))
    assert {path.name for path in out.glob("figure*.png")} <= set(run_json(out)["files"])
    assert "figure4-neighbours" in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("classes", "code"), [(6, 0), (12, 2)], ids=["fewer than the network's", "more than the network's"]
)
def test_data_of_another_number_of_classes_are_drawn_or_refused(
    classes: int, code: int, tmp_path: Path, weights_file: Path
) -> None:
    data = tmp_path / "folder"
    for part, number in product(("train", "val"), range(classes)):
        place = data / part / f"kind-{number:02}"
        place.mkdir(parents=True)
        for image in range(2):
            Image.new("RGB", (40, 40), (20 * number, 60 * image, 90)).save(place / f"{image}.png")
    given = ("--weights", weights_file, "--data", f"imagefolder:{data}", "--framework", "torch")
    done = paper(*given, out=tmp_path / "run", ALEXBENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode == code, done.stderr
    assert (tmp_path / "run" / "report.md").is_file()
    if code:
        assert "has 12 classes" in done.stderr and "answers with 10" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "3"], "add --ablations"),
        (["--data", "digits"], "--data serves"),
        (["--ablations", "--only", "no-lnr"], "did you mean 'no-lrn'"),
        (["--ablations", "--network", "papr"], "did you mean 'paper'"),
        (["--ablations", "--only", "no-colour-noise"], "changes nothing in network 'miniature'"),
        (["--resume", "nowhere", "--ablations"], "leave out --ablations"),
        (["--ablations", "--limit", "10"], "--limit 10 does not fill a batch of 50"),
        (["nowhere"], "not a folder"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_in_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = alexbench("paper", *arguments, cwd=tmp_path)
    assert words in complaint(done, 2)
    assert not list(tmp_path.iterdir())


def test_a_run_of_another_command_is_refused(tmp_path: Path) -> None:
    run = RunFolder.create("speed", {}, tmp_path / "speed")
    run.close("complete")
    said = complaint(alexbench("paper", tmp_path / "speed", cwd=tmp_path), 2)
    assert "a run of 'speed'" in said
    assert "not of 'paper'" in complaint(alexbench("paper", "--resume", tmp_path / "speed", cwd=tmp_path), 2)


def test_the_folder_that_is_read_is_not_written_over(tmp_path: Path) -> None:
    folder = evaluated(tmp_path / "evaluated")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = alexbench("paper", folder, "--out", tmp_path / "x" / ".." / "evaluated", cwd=tmp_path)
    assert "is read here and must not lie in --out" in complaint(done, 2)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("kind", "row", "words"),
    [
        ("ablation", {"ablation": "no-lrn", "difference": 0.1, "data": "digits"}, "of its table ablation has no seed"),
        ("ablation", {"ablation": "no-lrn", "seed": 0, "difference": 0.1}, "has no baseline_error"),
        ("training-error", {"variant": "relu", "seed": 0, "epoch": 1}, "has no training_error"),
    ],
    ids=str,
)
def test_a_table_that_this_program_never_wrote_is_refused_in_one_line(
    kind: str, row: dict[str, object], words: str, tmp_path: Path
) -> None:
    run = RunFolder.create("paper", {}, tmp_path / "strange")
    run.append(kind, row)
    run.close("complete")
    assert words in complaint(alexbench("paper", tmp_path / "strange", cwd=tmp_path), 2)


def test_frameworks_that_agree_share_a_row_that_names_the_weights_file(tmp_path: Path) -> None:
    row = {
        "network": "cifar-4layer", "weights": "3f2a", "file": "/runs/t1/torch-best.safetensors", "data": "digits",
        "images": 360, "crops": 10, "top1_error": 0.04, "top5_error": 0.0, "comparable": "no", "part": "val",
        "status": "measured", "differing_views": 2,
    }  # fmt: skip
    run = RunFolder.create("evaluate", {}, tmp_path / "evaluated")
    for framework, error in (("torch", 0.04), ("tensorflow", 0.04), ("jax", 0.05)):
        run.append(
            "evaluation", {**row, "framework": framework, "top1_error": error, "signature": f"framework:{framework}"}
        )
    run.close("complete")
    assert paper(tmp_path / "evaluated", out=tmp_path / "run").returncode == 0
    ours = [row for row in table(tmp_path / "run", "published") if row["ours_top1"] and row["table"] == "Table 1"]
    assert [row["run"] for row in ours] == [
        "cifar-4layer, t1/torch-best (3f2a), in torch, tensorflow",
        "cifar-4layer, t1/torch-best (3f2a), in jax",
    ]
    assert all("of its 10 views only 2 differ" in row["note"] for row in ours)


@pytest.mark.parametrize(
    ("network", "images", "comparable", "model", "why"),
    [
        ("caffenet", 50_000, "yes", "CaffeNet, ILSVRC-2012 val", ""),
        ("caffenet", 500, "no", "CaffeNet, ILSVRC-2012 val", "not all the data: 500 images of 50000"),
    ],
)
def test_others_weights_stand_beside_their_own_published_figures(
    network: str, images: int, comparable: str, model: str, why: str, tmp_path: Path
) -> None:
    fields = {
        "network": network,
        "data": "imagenet:ILSVRC-2012",
        "images": images,
        "comparable": comparable,
        "crops": 1,
    }
    assert paper(evaluated(tmp_path / "evaluated", **fields), out=tmp_path / "run").returncode == 0
    (row,) = [row for row in table(tmp_path / "run", "published") if row["ours_top1"]]
    assert (row["table"], row["model"], row["comparable"]) == ("others' weights", model, comparable)
    assert why in row["note"]
