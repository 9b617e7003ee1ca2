"""Input that cannot be: one line that says what was found and what to do, and the exit code that belongs to it."""

from __future__ import annotations

import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import WriteImpl
from PIL import Image
from program import alexbench, complaint, parity, rows, run_json, told, verdicts

from impls import catalog, weights

NET = catalog.get("cifar-4layer")


@pytest.fixture
def right(mine: WriteImpl) -> str:
    """A target that passes, so that what fails is the input."""
    return f"{mine('')}:build"


def refused(right: str, tmp_path: Path, *arguments: object) -> str:
    """What is said of arguments that cannot be; nothing is left where they were refused."""
    return complaint(parity("--impl", right, *arguments, out=tmp_path / "out"), 2)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--network", "paperr"], "unknown network 'paperr': did you mean 'paper'?"),
        (["--network", "xyzzy"], "unknown network 'xyzzy': choose from paper, original-2012"),
        (["--frameworks", "pytorch"], "unknown framework 'pytorch': did you mean 'torch'?"),
        (["--frameworks", "tensorflow torch"], "unknown framework 'tensorflow torch'"),
        (["--frameworks", ""], "no framework given"),
        (["--level", "gradients"], "unknown level 'gradients': did you mean 'gradient'?"),
        (["--precision", "bf16"], "unknown precision 'bf16': did you mean 'bfloat16'?"),
        (["--recipe", "scale"], "unknown recipe 'scale': did you mean 'scaled'?"),
        (["--device", "cuda:x"], "unknown device 'cuda:x'"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--seed", "one"], "'one' is not a valid integer"),
        (["--jobs", "0"], "0 is not in the range"),
        (["--timeout", "nan"], "--timeout nan is no number of seconds"),
        (["--tuning", "fast"], "'fast' is not one of"),
    ],
)
def test_a_name_that_is_unknown_brings_the_nearest(tmp_path: Path, arguments: list[str], said: str) -> None:
    # Were the name taken, the missing image would end the run at once.
    done = alexbench("parity", "--images", tmp_path / "nowhere.png", "--out", tmp_path / "out", *arguments)
    assert said in complaint(done, 2)
    assert not (tmp_path / "out").exists()


def test_a_large_network_is_run_only_when_asked(tmp_path: Path) -> None:
    done = alexbench("parity", "--network", "note-004", "--out", tmp_path / "out")
    assert "pass --large to run it" in complaint(done, 2)
    assert not (tmp_path / "out").exists()


# --- weights ----------------------------------------------------------------------------------------------------------


def written(path: Path, change: Callable[[dict[str, np.ndarray]], None], network: str = NET.name) -> Path:
    arrays = weights.generate(NET)
    change(arrays)
    weights.save(path, network, arrays)
    return path


def _one_nan(arrays: dict[str, np.ndarray]) -> None:
    arrays["conv2/bias"][3] = np.nan


def _a_bias_short(arrays: dict[str, np.ndarray]) -> None:
    arrays["conv2/bias"] = arrays["conv2/bias"][:-1]


def test_weights_that_cannot_be_used_are_refused(right: str, tmp_path: Path, weights_file: Path) -> None:
    whole = weights_file.read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-1000])
    (tmp_path / "text").write_text("these are no weights, but a letter")
    (tmp_path / "folder").mkdir()
    written(tmp_path / "nan", _one_nan)
    written(tmp_path / "short", _a_bias_short)
    written(tmp_path / "other", lambda arrays: None, "paper")
    said = {
        "nowhere": "cannot read weights file '{}': No such file or directory",
        "folder": "cannot read weights file '{}': Is a directory",
        "cut": "'{}' is truncated: its tensors need 358312 bytes, it has 357312",
        "text": "'{}' is not a safetensors file",
        "nan": "'{}': tensor 'conv2/bias' is nan at index (3,)",
        "short": "'{}': tensor 'conv2/bias' has shape (31,), expected (32,)",
        "other": "'{}' is of network 'paper', expected 'cifar-4layer': pass --network or another --weights",
    }
    for name, text in said.items():
        assert text.format(tmp_path / name) in refused(right, tmp_path, "--weights", tmp_path / name), name


def test_a_run_refused_for_its_weights_leaves_an_earlier_run_as_it_was(right: str, tmp_path: Path) -> None:
    assert parity("--impl", right, out=tmp_path / "out").returncode == 0
    earlier = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert "No such file" in refused(right, tmp_path, "--weights", tmp_path / "nowhere", "--overwrite")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == earlier


def test_good_weights_are_named_by_their_hash(right: str, tmp_path: Path, weights_file: Path) -> None:
    out = tmp_path / "out"
    assert parity("--impl", right, "--weights", weights_file, out=out).returncode == 0
    content_hash = weights.load(weights_file, NET).content_hash
    assert f"|weights:{content_hash[:12]}|" in rows(out)[0]["signature"]


# --- images -----------------------------------------------------------------------------------------------------------


def test_images_that_cannot_be_used_are_refused(right: str, tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    Image.fromarray(pixels).save(tmp_path / "whole.jpg")
    for ending in ("png", "jpg"):
        whole = (tmp_path / f"whole.{ending}").read_bytes()
        (tmp_path / f"cut.{ending}").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(pixels[:1, :1]).save(tmp_path / "dot.png")
    (tmp_path / "letter.jpg").write_text("no photograph")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").touch()
    said = {
        "letter.jpg": "'{}' is not an image that Pillow can read",
        "cut.png": "'{}' is damaged or truncated",
        "cut.jpg": "'{}' is damaged or truncated",
        "dot.png": "'{}' is 1x1 pixels: the shorter side must be at least 8",
        "folder": "folder '{}' holds no image",
    }
    for name, text in said.items():
        assert text.format(tmp_path / name) in refused(right, tmp_path, "--images", tmp_path / name), name


def test_one_bad_image_among_good_ones_is_named(right: str, tmp_path: Path, photograph: Path) -> None:
    (tmp_path / "bad.png").write_text("no photograph")
    assert "bad.png" in refused(right, tmp_path, "--images", photograph, tmp_path / "bad.png")


def test_images_of_every_kind_are_compared_on(right: str, tmp_path: Path, pixels: np.ndarray) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    image = Image.fromarray(pixels)
    image.convert("L").save(folder / "grey.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("RGBA").save(folder / "alpha.png")
    image.convert("P").save(folder / "palette.gif")
    image.convert("1").save(folder / "bits.png")
    Image.fromarray(np.uint16(257) * pixels[..., 0]).save(folder / "deep.png")
    Image.fromarray(np.tile(pixels, (1, 375, 1))).save(folder / "wide.jpg")
    with Image.open(folder / "wide.jpg") as wide:
        assert wide.size == (30_000, 60)
    out = tmp_path / "out"
    done = parity("--impl", right, "--images", folder, out=out)
    assert done.returncode == 0, told(done)
    compared = " ".join(row["case"] for row in rows(out))
    assert all(file.name in compared for file in folder.iterdir())


# --- where to write ---------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_refused(right: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out, said in (
        (tmp_path / "file" / "below", "Not a directory; choose another folder with --out"),
        (tmp_path / "file", "is a file; --out needs a folder"),
        (Path("/proc/alexbench"), "cannot write to /proc/alexbench"),
        (Path("/proc"), "/proc is not empty and not a run folder"),
    ):
        done = alexbench("parity", "--network", NET.name, "--impl", right, "--out", out)
        assert said in complaint(done, 2)


def test_a_folder_of_other_files_is_left_alone(right: str, tmp_path: Path) -> None:
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.txt").write_text("words")
    (other / "run.json").write_text('{"mine": true}')
    done = parity("--impl", right, out=other)
    assert "is not empty and not a run folder; choose another folder with --out" in complaint(done, 2)
    assert {file.name for file in other.iterdir()} == {"chapter1.txt", "run.json"}


def test_a_second_run_replaces_the_first_where_that_is_said_and_nothing_else(right: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert parity("--impl", right, out=out).returncode == 0
    (out / "notes.txt").write_text("good run")
    assert "holds the finished run of parity" in refused(right, tmp_path)
    assert "No such file" in refused(right, tmp_path, "--weights", tmp_path / "nowhere", "--overwrite")
    assert parity("--impl", right, "--overwrite", out=out).returncode == 0
    assert (out / "notes.txt").read_text() == "good run"


# --- a full disk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size_k", [4, 100, 700])
def test_a_full_disk_is_said_in_one_line(
    right: str, tmp_path: Path, small_disk: Callable[[int], Path | None], size_k: int
) -> None:
    """Room for nothing, for the first files, for the weights but not the arrays."""
    disk = small_disk(size_k)  # where none can be mounted, a limit on files does the same
    limit = None if disk else _file_size_limit(size_k * 1024)
    out = (disk or tmp_path) / "out"
    done = alexbench("parity", "--network", NET.name, "--impl", right, "--out", out, preexec_fn=limit)
    assert done.returncode == 3, told(done)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("alexbench: error: ")
    assert ("No space left" if disk else "File too large") in last
    assert "Traceback" not in done.stderr
    assert not list(out.glob(".work-*"))


def _file_size_limit(size: int) -> Callable[[], None]:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def test_weights_do_not_fit_on_a_full_disk(tmp_path: Path, small_disk: Callable[[int], Path | None]) -> None:
    disk = small_disk(100)
    limit = None if disk else _file_size_limit(100 * 1024)
    file = (disk or tmp_path) / "w.safetensors"
    done = alexbench("weights", "init", "--network", NET.name, "--out", file, preexec_fn=limit)
    assert "cannot write" in complaint(done, 3)
    assert not list(file.parent.glob("*w.safetensors*"))  # no half file, under no name


# --- frameworks and devices that are not there ------------------------------------------------------------------------

CASE = ("--frameworks", "torch", "--level", "operator")


def test_no_framework_at_all_is_one_line_with_its_remedy(without_frameworks: str, tmp_path: Path) -> None:
    done = parity(out=tmp_path / "out", python=without_frameworks)
    assert f"no framework is installed: {without_frameworks} -m pip install -e " in complaint(done, 3)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_a_framework_that_is_missing_is_said_with_what_installs_it(
    name: str, without_frameworks: str, tmp_path: Path
) -> None:
    done = parity("--frameworks", name, "--level", "operator", out=tmp_path / "out", python=without_frameworks)
    assert done.returncode == 3
    assert f"No module named '{name}'" in done.stdout
    (failure,) = run_json(tmp_path / "out")["failures"]
    missing = rf"{name}: ModuleNotFoundError: No module named '{name}'"
    assert re.fullmatch(rf"{missing}: {without_frameworks} -m pip install .*\[{name}\]'", failure)


def test_an_outside_network_needs_no_framework(right: str, without_frameworks: str, tmp_path: Path) -> None:
    done = parity("--impl", right, out=tmp_path / "out", python=without_frameworks)
    assert done.returncode == 0, told(done)


@pytest.mark.parametrize(
    ("python", "code", "said"),
    [
        ("/nonexistent", 3, "cannot start '/nonexistent': No such file or directory"),
        ("/tmp", 3, "cannot start '/tmp': Permission denied"),
        ("true", 4, "ended with exit status 0 before its work was done"),
    ],
)
def test_an_interpreter_that_is_none_is_said(tmp_path: Path, python: str, code: int, said: str) -> None:
    done = parity(*CASE, "--python", f"torch={python}", out=tmp_path / "out")
    assert done.returncode == code
    assert said in told(done)
    assert verdicts(rows(tmp_path / "out")) == {"error"}


def test_an_interpreter_without_the_framework_is_said(without_frameworks: str, tmp_path: Path) -> None:
    done = parity(*CASE, "--python", f"torch={without_frameworks}", out=tmp_path / "out")
    assert done.returncode == 3
    assert "No module named 'torch'" in done.stdout
    (failure,) = run_json(tmp_path / "out")["failures"]
    assert f": {without_frameworks} -m pip install " in failure and failure.endswith("[torch]'")


def test_an_interpreter_without_numpy_is_said(bare_python: str, tmp_path: Path) -> None:
    done = parity(*CASE, "--python", f"torch={bare_python}", out=tmp_path / "out")
    assert done.returncode == 3, told(done)
    assert "No module named 'numpy'" in done.stdout


@pytest.mark.needs("torch")
def test_one_framework_that_cannot_start_leaves_the_other_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--frameworks", "torch,jax", "--level", "forward", "--python", "jax=/nonexistent")
    done = parity(*arguments, out=out)
    assert done.returncode == 3
    assert verdicts(rows(out, framework="torch")) == {"pass"}
    assert verdicts(rows(out, framework="jax")) == {"error"}


def test_tf32_without_a_gpu_cannot_be_measured(tmp_path: Path) -> None:
    done = parity("--precision", "tf32", out=tmp_path / "out")
    assert "precision tf32 needs an NVIDIA GPU" in complaint(done, 3)


def test_a_device_that_is_not_there_is_said_once(framework: str, tmp_path: Path) -> None:
    done = parity("--frameworks", framework, "--device", "cuda:63", "--level", "operator", out=tmp_path / "out")
    assert complaint(done, 3).count("device 'cuda:63' is not there") == 1


@pytest.fixture(params=["torch", "tensorflow", "jax"])
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)
