"""What somebody likely meant is asked only where it is near; lists without commas and classes are told what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness import cli_exit
from harness.cli import cli
from impls.nearest import question


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line a user's mistake is answered with."""
    code = cli_exit.run(cli, [*map(str, arguments)])
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (2, 1), said
    return said


NETWORKS = ["paper", "caffenet", "torchvision"]
TUNINGS = ["stock", "tuned", "both"]
PRECISIONS = ["float32", "tf32", "bfloat16"]
FRAMEWORKS = ["torch", "tensorflow", "jax"]


@pytest.mark.parametrize(
    ("value", "known", "asked"),
    [
        ("alexnet", NETWORKS, "did you mean 'paper' (the paper's network) or 'torchvision'? "),
        ("AlexNet", NETWORKS, "did you mean 'paper' (the paper's network) or 'torchvision'? "),
        ("alex_net", NETWORKS, "did you mean 'paper' (the paper's network) or 'torchvision'? "),
        ("alexnet", ["digits"], ""),
        ("cafenet", NETWORKS, "did you mean 'caffenet'? "),
        ("fast", TUNINGS, ""),
        ("untuned", TUNINGS, ""),
        ("not-tuned", TUNINGS, ""),
        ("tune", TUNINGS, "did you mean 'tuned'? "),
        ("fp32", PRECISIONS, "did you mean 'float32'? "),
        ("bf16", PRECISIONS, "did you mean 'bfloat16'? "),
        ("tf", FRAMEWORKS, "did you mean 'tensorflow'? "),
        ("Torch", FRAMEWORKS, "did you mean 'torch'? "),
        ("flax", FRAMEWORKS, "did you mean 'jax'? "),
        ("fp16", [*PRECISIONS, "float16"], "did you mean 'float16'? "),
        ("half", [*PRECISIONS, "float16"], "did you mean 'float16'? "),
        ("half", PRECISIONS, ""),
        ("float64", [*PRECISIONS, "float16"], ""),
        ("cifar100", ["digits", "cifar10"], ""),
        ("cifar", ["digits", "cifar10"], "did you mean 'cifar10'? "),
        ("bvlc_alexnet", ["caffe", *NETWORKS], "did you mean 'caffe'? "),
        ("zfnet", NETWORKS, ""),
        ("note", ["note-000", "note-001"], ""),
        ("note000", ["note-000", "note-001"], "did you mean 'note-000'? "),
        ("onnx", [*FRAMEWORKS, "onnxruntime"], "did you mean 'onnxruntime'? "),
        ("gpu", ["cpu", "cuda"], "did you mean 'cuda'? "),
        ("tpu", ["cpu", "cuda"], ""),
        ("orig", ["paper", "original-2012"], "did you mean 'original-2012'? "),
        ("float", PRECISIONS, "did you mean 'float32'? "),
        ("float", [*PRECISIONS, "float16"], ""),
        ("float23", [*PRECISIONS, "float16"], "did you mean 'float32'? "),
        ("CUDA0", ["cpu", "cuda"], "did you mean 'cuda'? "),
        ("Recpie.json", ["Recipe.json"], "did you mean 'Recipe.json'? "),
    ],
)
def test_a_name_is_asked_for_where_it_is_near(value: str, known: list[str], asked: str) -> None:
    assert question(value, known) == asked


@pytest.mark.parametrize(
    "arguments", [("networks", "alexnet"), ("parity", "--network", "alexnet"), ("speed", "--network", "alexnet")]
)
def test_alexnet_is_several_networks(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'paper' (the paper's network) or 'torchvision'?" in refusal(capsys, *arguments)


@pytest.mark.parametrize("command", ["speed", "train", "evaluate"])
def test_a_tuning_that_is_none_brings_no_guess(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, command, "--tuning", "fast")
    assert "unknown tuning 'fast': choose from " in said


@pytest.mark.parametrize(
    ("arguments", "guess"),
    [
        (("networks", "--json"), ""),
        (("speed", "--json"), ""),
        (("speed", "--list"), ""),
        (("train", "--list"), ""),
        (("prepare", "--list"), ""),
        (("train", "--config", "x"), ""),
        (("evaluate", "--config", "x"), ""),
        (("audit", "caffe", "--config", "x"), ""),
        (("parity", "--sed", "3"), " Did you mean --seed?"),
        (("train", "--epoch", "3"), " Did you mean --epochs?"),
        (("train", "--batch", "3"), " Did you mean --batch-size?"),
        (("train", "--batchsize", "3"), " Did you mean --batch-size?"),
        (("parity", "--output", "x"), " Did you mean --out?"),
        (("weights", "init", "--networks", "x"), " Did you mean --network?"),
    ],
)
def test_an_option_is_guessed_where_it_is_near(
    arguments: tuple[str, ...], guess: str, capsys: pytest.CaptureFixture[str]
) -> None:
    option = next(word for word in arguments if word.startswith("--"))
    assert refusal(capsys, *arguments) == f"alexbench: error: No such option '{option}'.{guess}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("parity", "torch"), "'torch': write --frameworks torch, with commas between several"),
        (("parity", "torch", "jax"), "'torch': write --frameworks torch,jax, with commas"),
        (("parity", "--frameworks", "torch", "jax"), "'jax': write --frameworks torch,jax, with commas"),
        (("speed", "--frameworks", "torch", "jax"), "'jax': write --frameworks torch,jax, with commas"),
        (("train", "--data", "digits", "--frameworks", "torch", "jax"), "'jax': write --frameworks torch,jax, "),
        (("evaluate", "--weights", "w", "--data", "digits", "--framework", "torch", "jax"), "--frameworks torch,jax,"),
        (("speed", "--batch-size", "16", "32", "64"), "'32': write --batch-size 16,32,64, with commas"),
        (("evaluate", "--weights", "w", "--data", "digits", "--crops", "1", "10"), "'10': write --crops 1,10, with"),
        (("parity", "--images", "x.png", "--level", "layer", "forward"), "'forward': write --level layer,forward, "),
        (("audit", "caffe", "other"), "unexpected argument 'other': photographs are given with --images"),
        (("paper", "--ablations", "--only", "no-lrn", "one-crop"), "'one-crop': write --only no-lrn,one-crop, "),
        (("parity", "paper"), "unexpected argument 'paper': write --network paper"),
        (("train", "digits"), "unexpected argument 'digits': write --data digits"),
        (("train", "--data", "digits", "caffe"), "unexpected argument 'caffe': write --network caffe"),
        (("prepare", "--out", "x", "--data", "digits", "cifar10:x"), "'cifar10:x': write --data cifar10:x"),
        (("speed", "2"), "unexpected argument '2': nothing is expected there"),
        (("parity", "photo.jpg"), "unexpected argument 'photo.jpg': photographs are given with --images"),
        (("train", "--data", "digits", "nothing"), "unexpected argument 'nothing': nothing is expected there"),
    ],
)
def test_a_list_without_commas_is_told_how_it_is_written(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert said in refusal(capsys, *arguments)


CLASSES = """
import somewhere as nn
class AlexNet(nn.Module):
    pass
class Builder:
    def __init__(self, network, weights): pass
    def __call__(self, images): return {}
raise SystemExit("nothing of it is run")
"""


@pytest.mark.parametrize("target", ["torch:./net.py:AlexNet", "keras:mine:Net", "./net.py:AlexNet"])
def test_a_class_given_as_an_implementation_is_told_what_is_taken(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(CLASSES)
    said = refusal(capsys, "parity", "--network", "cifar-4layer", "--impl", target)
    assert "--impl takes a function build(network, weights)" in said
    assert "for alexbench audit" in said
    assert "net" not in {name.partition(".")[0] for name in sys.modules}


def test_a_class_that_builds_as_a_function_would_is_taken(tmp_path: Path) -> None:
    from harness.cli_impl import ImplTarget

    (tmp_path / "net.py").write_text(CLASSES)
    for name in ("Builder", "missing"):
        given = f"{tmp_path}/net.py:{name}"
        assert ImplTarget().convert(given, None, None) == given
