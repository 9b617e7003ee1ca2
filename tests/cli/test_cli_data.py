"""`--data` and `--parts`, alike in every command that opens data: the same words, the same images, the same record."""

from __future__ import annotations

import io
import json
from pathlib import Path

import evaluate_program
import numpy as np
import pytest
import train_program
from click.shell_completion import ShellComplete
from PIL import Image

from harness.cli import cli
from harness.cli_exit import run
from harness.data.prepared import open_prepared
from harness.evaluation.options import EvaluateOptions
from harness.training import resume, summary
from harness.training.job import Trained
from harness.training.options import TrainOptions


@pytest.fixture
def pets(tmp_path, monkeypatch) -> Path:
    """Two classes in folders whose names say nothing of parts."""
    monkeypatch.setenv("ALEXBENCH_CACHE", str(tmp_path / "cache"))
    stream = io.BytesIO()
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(stream, "JPEG")
    for part, count in (("alpha", 5), ("beta", 2)):
        for name in ("cats", "dogs"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for number in range(count):
                (tmp_path / "pets" / part / name / f"{number}.jpg").write_bytes(stream.getvalue())
    return tmp_path / "pets"


def complaint(capsys, *arguments: object) -> str:
    """What a command that is refused says: one line, exit code 2."""
    assert run(cli, list(map(str, arguments))) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


def test_data_that_is_missing_is_told_alike(capsys):
    said = {
        complaint(capsys, "train"),
        complaint(capsys, "prepare"),
        complaint(capsys, "prepare", "--out", "anywhere"),
        complaint(capsys, "evaluate"),
        complaint(capsys, "evaluate", "--weights", "any.safetensors"),
    }
    assert said == {"alexbench: error: --data is missing: name a source, such as --data digits, or a prepared folder\n"}


@pytest.mark.parametrize("command", [("prepare", "--out", "out"), ("train", "--network", "cifar-4layer")])
def test_a_place_that_cannot_be_read_is_one_line(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("around").mkdir()
    Path("around/self").symlink_to("self")
    Path("around/up").symlink_to("..")
    for place, words in (
        ("loop", "Too many levels of symbolic links"),
        ("loop/inside", "Too many levels of symbolic links"),
        ("around", "holds no folders of classes with images: expected is a folder of images for each class"),
        ("x" * 300, "File name too long"),
        ("~nobody-at-all/pets", "home directory"),
    ):
        assert words in complaint(capsys, *command, "--data", f"imagefolder:{place}")
    assert "unknown source of data" in complaint(capsys, *command, "--data", "x" * 300)
    assert {path.name for path in tmp_path.iterdir()} == {"loop", "around"}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ("train", "--parts 'train' must be PART=FOLDER, such as train=training_set,val=test_set"),
        ("train=", "--parts 'train=' must be PART=FOLDER"),
        ("training=a", "unknown part 'training': did you mean 'train'?"),
        ("train=a,train=b", "--parts names train twice, 'a' and 'b'"),
        ("train=gamma", "--parts train=gamma: there is no such folder in"),
    ],
)
def test_parts_that_cannot_be(pets, tmp_path, capsys, parts, words):
    out = ("--out", tmp_path / "out")
    assert words in complaint(capsys, "prepare", "--data", f"imagefolder:{pets}", "--parts", parts, *out)


def test_parts_are_an_imagefolders_alone(tmp_path, capsys):
    said = complaint(capsys, "prepare", "--data", "digits", "--parts", "train=a", "--out", tmp_path / "out")
    assert "'digits' has parts of its own: leave it out" in said


def test_a_folder_may_have_a_comma_in_its_name(pets, tmp_path):
    (pets / "beta").rename(pets / "beta, gamma")
    parts = "train=alpha,val=beta, gamma"
    arguments = ["prepare", "--data", f"imagefolder:{pets}", "--parts", parts, "--out", str(tmp_path / "out")]
    assert run(cli, [*arguments, "--side", "8", "--jobs", "1"]) == 0
    assert open_prepared(tmp_path / "out").folders == {"train": "alpha", "val": "beta, gamma"}


def test_prepare_train_and_evaluate_read_the_same_and_say_it(pets, tmp_path, capsys):
    data = f"imagefolder:{pets}"
    assert "--parts train=alpha,val=beta; or --parts train=. where" in complaint(
        capsys, "prepare", "--data", data, "--out", tmp_path / "out"
    )
    common = ["--data", data, "--parts", "train=alpha,val=beta"]
    arguments = ["prepare", *common, "--out", str(tmp_path / "out"), "--network", "cifar-4layer", "--jobs", "1"]
    assert run(cli, arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    told = lines[lines.index("imagefolder:pets: train 10 images of alpha/, val 4 images of beta/; 2 classes") : -1]
    assert told[1] == "classes: cats (5 train, 2 val), dogs (5 train, 2 val)"
    assert told[-1] == "files found: 14 = 14 images + 0 left out"

    cache = str(tmp_path / "cache")
    plugins = dict(train_program.installed(tmp_path / "plugins"))
    steps = ("--framework", "numpy", "--network", "cifar-4layer", "--steps", 1, "--batch-size", 5)
    trained = train_program.train(*common, *steps, out=tmp_path / "train", ALEXBENCH_CACHE=cache, **plugins)
    assert trained.returncode == 0 and "\n".join(told) in trained.stderr
    run_json = json.loads((tmp_path / "train" / "run.json").read_text())
    assert run_json["data"]["hash"] == open_prepared(tmp_path / "out").content_hash
    assert run_json["data"]["folders"] == {"train": "alpha", "val": "beta"}
    assert run_json["arguments"]["parts"] == [["train", "alpha"], ["val", "beta"]]

    places = {"out": tmp_path / "evaluate", "plugins": tmp_path / "others", "cache": tmp_path / "cache"}
    weights = ("--weights", tmp_path / "train" / "numpy.safetensors", "--crops", 1)
    scored = evaluate_program.evaluate(*weights, *common, "--framework", "numpy", **places)
    assert scored.returncode == 0 and "\n".join(told) in scored.stderr
    assert json.loads((tmp_path / "evaluate" / "run.json").read_text())["data"]["hash"] == run_json["data"]["hash"]
    for command in (("train", "--network", "cifar-4layer"), ("evaluate", *weights)):
        assert "is prepared already: --parts is given to `alexbench prepare`" in complaint(
            capsys, *command, "--data", tmp_path / "out", "--parts", "train=alpha"
        )


def test_parts_are_kept_in_a_runs_arguments_and_in_what_to_type_next(tmp_path):
    options = TrainOptions(data="imagefolder:pets", parts=(("train", "set a"), ("val", "b")))
    run_json = {"command": "train", "arguments": resume.arguments(options)}
    assert resume.options_of(tmp_path, run_json, options) == options
    del run_json["arguments"]["parts"]  # as a run of version 0.1.0 has it
    assert resume.options_of(tmp_path, run_json, options).parts == ()
    asked = EvaluateOptions(weights=(), data="imagefolder:pets", parts=options.parts)
    assert asked.arguments()["parts"] == ["train=set a", "val=b"]
    trained = Trained.__new__(Trained)
    object.__setattr__(trained, "best", Path("best.safetensors"))
    line = summary.commands(options, tmp_path, [trained], {})[0]
    assert "--data imagefolder:pets --parts 'train=set a,val=b' --crops 1,10" in line


@pytest.mark.parametrize("command", ["train", "evaluate", "prepare", "paper"])
def test_completion_offers_sources_with_their_colon_then_folders(command):
    completion = ShellComplete(cli, {}, "alexbench", "_ALEXBENCH_COMPLETE")

    def offered(typed: str) -> list[tuple[str, str]]:
        return [(item.value, item.type) for item in completion.get_completions([command, "--data"], typed)]

    every = ["digits", "photos", "imagenet:", "imagefolder:", "cifar10:", "mnist:"]
    assert offered("") == [(name, "plain") for name in every]
    assert offered("image") == [("imagenet:", "plain"), ("imagefolder:", "plain")]
    assert offered("imagefolder:/da") == [("/da", "dir")]
    assert offered("prep") == [("prep", "dir")]


def test_completion_offers_the_parts_that_are_not_named():
    completion = ShellComplete(cli, {}, "alexbench", "_ALEXBENCH_COMPLETE")
    found = completion.get_completions(["train", "--parts"], "train=a,")
    assert [item.value for item in found] == ["train=a,val=", "train=a,test="]
