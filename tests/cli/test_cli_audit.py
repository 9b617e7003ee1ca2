"""`alexbench audit` as its users run it: on names, on their own classes, with mistakes, interrupted."""

from __future__ import annotations

import csv
import json
import shlex
import signal
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from program import ROOT, Done, alexbench, command, complaint, is_plain, run_json, surroundings, told, wait_until

# Like note 000's listing: one layer of each kind serves several times, ReLU is called as a function.
NOTE_000 = """
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, 96, 11, stride=4, padding=2)
        self.c2 = nn.Conv2d(96, 256, 5, padding=2)
        self.c3 = nn.Conv2d(256, 384, 3, padding=1)
        self.c4 = nn.Conv2d(384, 384, 3, padding=1)
        self.c5 = nn.Conv2d(384, 256, 3, padding=1)
        self.f1, self.f2, self.f3 = nn.Linear(9216, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000)
        self.norm = nn.LocalResponseNorm(5, alpha=1e-5, beta=0.75, k=1)
        self.pool, self.drop = nn.MaxPool2d(3, 2), nn.Dropout(0.5)

    def forward(self, x):
        x = self.norm(self.pool(F.relu(self.c1(x))))
        x = self.norm(self.pool(F.relu(self.c2(x))))
        x = F.relu(self.c4(F.relu(self.c3(x))))
        x = self.pool(F.relu(self.c5(x)))
        x = self.drop(self.f2(self.drop(self.f1(torch.flatten(x, 1)))))
        return self.f3(x)
"""
# Like note 003's: blocks of nn.Sequential, two classes, 227 pixels.
NOTE_003 = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 96, 11, 4, 0), nn.ReLU(), nn.MaxPool2d(3, 2, 0))
        self.two = nn.Sequential(nn.Conv2d(96, 256, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 0))
        self.three = nn.Sequential(nn.Conv2d(256, 384, 3, 1, 1), nn.ReLU())
        self.four = nn.Sequential(nn.Conv2d(384, 384, 3, 1, 1), nn.ReLU())
        self.five = nn.Sequential(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 0))
        self.last = nn.Sequential(nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(),
                                  nn.Dropout(0.5), nn.Linear(4096, 2))

    def forward(self, x):
        x = self.five(self.four(self.three(self.two(self.one(x)))))
        return self.last(x.view(x.size(0), -1))
"""

ALL_LEARNED = "conv1, conv2, conv3, conv4, conv5, fc6, fc7, fc8"
OF_BOTH = {
    ("groups", "conv2, conv4, conv5", "1", "2"),
    ("dropout-scaling", "drop6, drop7", "in training", "at test"),
    ("init", ALL_LEARNED, "PyTorch's uniform", "Gaussian, std 0.01"),
}
OF_NOTE_000 = OF_BOTH | {
    ("input", "conv1", "224x224, pad 2", "224x224, pad bottom 3 right 3"),
    ("activation", "relu6, relu7", "none", "ReLU"),
    ("lrn-alpha", "norm1, norm2", "2e-06", "0.0001"),
    ("lrn-k", "norm1, norm2", "1", "2"),
    ("order", "conv1, conv2", "ReLU, pool, LRN", "ReLU, LRN, pool"),
}
OF_NOTE_003 = OF_BOTH | {
    ("input", "conv1", "227x227, no padding", "224x224, pad bottom 3 right 3"),
    ("lrn", "norm1, norm2", "none", "LRN n=5 alpha=0.0001 beta=0.75 k=2"),
    ("classes", "fc8", "2", "1000"),
}


def audit(*arguments: object, out: Path, timeout: float = 120) -> Done:
    done = alexbench("audit", *arguments, "--out", out, timeout=timeout)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def table(out: Path) -> list[dict[str, str]]:
    with (out / "audit.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def lines(out: Path) -> set[tuple[str, str, str, str]]:
    return {(row["facet"], row["place"], row["theirs"], row["reference"]) for row in table(out)}


def test_a_network_of_the_catalog_is_held_against_the_paper_and_measured(tmp_path: Path) -> None:
    out = tmp_path / "run"

    done = audit("caffenet", "--against", "caffe", "--strict", out=out)

    assert done.returncode == 1
    assert told(done).count("caffenet departs from caffe in 2 ways: 1 changing the function, 1 of training only.") == 1
    assert is_plain(done.stdout)
    order, biases = table(out)
    assert (order["facet"], order["place"], order["consequence"]) == ("order", "conv1, conv2", "another function")
    assert 0.01 < float(order["logits_change"]) < 1
    assert 0.5 < float(order["logits_cosine"]) < 1
    assert (biases["facet"], biases["theirs"], biases["reference"]) == ("init-bias", "1", "0.1")
    assert biases["logits_change"] == ""
    assert {file.name for file in out.iterdir()} == {
        "run.json", "audit.csv", "audit.parquet", "dictionary.csv", "report.md", "report.html",
        "departures.png", "departures.svg",
    }  # fmt: skip
    assert "weights of caffe, 2 photographs" in done.stderr


def test_standard_output_holds_the_form_that_was_asked_for_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "run"

    done = audit("caffe", "--no-measure", "--strict", "--format", "json", out=out)

    assert done.returncode == 1
    assert [row["facet"] for row in json.loads(done.stdout)] == [row["facet"] for row in table(out)]
    assert f"{out}/report.md" in done.stderr


def test_a_network_that_departs_in_nothing_ends_with_0(tmp_path: Path) -> None:
    done = audit("paper", "--strict", out=tmp_path / "run")

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "paper does not depart from paper."


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    ("text", "side", "expected"),
    [(NOTE_000, 224, OF_NOTE_000), (NOTE_003, 227, OF_NOTE_003)],
    ids=["note-000", "note-003"],
)
def test_a_class_written_as_in_a_note_departs_as_the_note_does(
    tmp_path: Path, text: str, side: int, expected: set[tuple[str, str, str, str]]
) -> None:
    file, out = tmp_path / "net.py", tmp_path / "run"
    file.write_text(text)

    done = audit(f"torch:{file}:Net", "--side", side, "--no-measure", "--strict", out=out)

    assert done.returncode == 1, done.stderr
    assert lines(out) == expected
    assert len(table(out)) == len(expected)
    run = run_json(out)
    assert run["silent"] == ["preprocessing"]
    own = {"file": "net.py", "sha256": sha256(text.encode()).hexdigest()}
    assert run["impl"] == {f"torch:{file}:Net": own} and not (out / "impl").exists()
    options = ["--side", str(side), "--no-measure", "--strict", "--out", str(out)]
    assert shlex.split(run["command_line"]) == ["alexbench", "audit", f"torch:{file}:Net", *options]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["caffne"], "did you mean 'caffe'?"),
        (["paper", "--against", "papper"], "did you mean 'paper'?"),
        (["caffe", "--keep-impl"], "--keep-impl keeps a copy of your own code, and caffe is none"),
        (["missing.onnx"], "missing.onnx"),
        (["caffe", "--images", "missing.png"], "missing.png"),
        (["caffe", "stray.png"], "photographs are given with --images"),
        (["caffe", "--no-measure", "--images", "one.png"], "--images is of the measurements"),
        (["caffe", "--no-measure", "--seed", "1"], "--seed is of the measurements"),
        (["paper", "--against", "note-004"], "pass --large, or --no-measure"),
        (["caffe", "--recipe", "xavier"], "unknown recipe 'xavier'"),
        (["caffe", "--format", "yaml"], "yaml"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_run(tmp_path: Path, arguments: list[str], said: str) -> None:
    out = tmp_path / "run"

    done = alexbench("audit", *arguments, "--out", out, cwd=tmp_path)

    assert said in complaint(done, 2)
    assert not out.exists()


def test_an_interrupt_leaves_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        command("audit", "caffe", "--out", out), cwd=ROOT, env=surroundings(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    kept = out / ".rows-audit.jsonl"
    try:
        wait_until(lambda: kept.exists() and '"logits_change": null' in kept.read_text())
        wait_until(lambda: not kept.exists() or any(
            json.loads(line)["logits_change"] is not None for line in kept.read_text().splitlines()
        ))  # fmt: skip
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 130, said
    assert said.endswith("alexbench: error: interrupted\n")
    assert "Traceback" not in said
    assert run_json(out)["status"] == "interrupted"
    changes = [row["logits_change"] for row in table(out)]
    assert len(changes) == 6 and any(changes) and not all(changes)
