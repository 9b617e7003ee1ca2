"""How commands end where the machine or the path is at fault: by the exit code, in a line, and never by a traceback."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click
import numpy as np
import pytest

from harness import cli_exit, strict_json
from harness.cli import cli
from harness.errors import CannotMeasure, UsageError
from impls import catalog, tensor_file, weights

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = "[" * 100_000
PRINTING = (("networks",), ("networks", "paper", "--format", "csv"), ("completion", "bash"), ("--help",))
AUDIT = ("audit", "caffe", "--no-measure", "--out")  # measures nothing, and leaves a run folder
PAPER = ("paper", "--out")


def ended(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """The exit code, and what standard error was told."""
    code = cli_exit.run(cli, [*map(str, arguments)])
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return code, said


def complaint(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """The one line that a command ends with."""
    found, said = ended(capsys, *arguments)
    assert found == code, said
    assert said.startswith("alexbench: error: ")
    assert said.count("\n") == 1
    return said


# --- standard streams -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def full() -> Iterator[None]:
    """Standard output is a disk without room. Inside of a test: pytest puts a stream of its own there before it."""
    with open("/dev/full", "w") as stream, mock.patch.object(sys, "stdout", stream):  # noqa: PTH123, a device
        yield


@contextlib.contextmanager
def reader_gone() -> Iterator[None]:
    """Standard output is a pipe whose reader has ended."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stream, mock.patch.object(sys, "stdout", stream):  # noqa: PTH123, a descriptor
        yield


@pytest.mark.parametrize("arguments", PRINTING)
def test_output_that_finds_no_room_ends_with_3(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with full():
        assert "standard output cannot be written: No space left on device" in complaint(capsys, 3, *arguments)


@pytest.mark.parametrize("arguments", PRINTING)
def test_output_alone_whose_reader_has_gone_ends_with_141(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with reader_gone():
        assert ended(capsys, *arguments) == (cli_exit.READER_GONE, "")


@pytest.mark.parametrize("arguments", [AUDIT, PAPER])
def test_a_command_that_leaves_a_folder_needs_no_reader(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with reader_gone():
        code, said = ended(capsys, *arguments, tmp_path / "run")
    assert code == 0
    assert "error" not in said
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "complete"


def test_a_run_whose_output_finds_no_room_is_kept_and_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with full():
        code, said = ended(capsys, *AUDIT, tmp_path / "run")
    assert (code, said.splitlines()[-1]) == (
        3,
        "alexbench: error: standard output cannot be written: No space left on device",
    )
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "complete"


def test_a_command_found_wanting_says_so_by_its_own_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with full():
        assert ended(capsys, *AUDIT, tmp_path / "run", "--strict")[0] == 1


def test_every_command_that_leaves_files_is_one_that_needs_no_reader() -> None:
    def named(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
        for name, command in group.commands.items():
            yield from named(command, f"{name} ") if isinstance(command, click.Group) else [(prefix + name, command)]

    leaving = {name for name, command in named(cli) if isinstance(command, cli_exit.Measuring)}
    assert leaving == {name for name, command in named(cli) if any(each.name == "out" for each in command.params)} - {
        "compare"
    }


def test_characters_that_standard_output_lacks_are_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr("harness.listing.show_networks", lambda form: print("section §5, ±2 \udc80"))
    assert cli_exit.run(cli, ["networks"]) == 0
    sys.stdout.flush()
    assert raw.getvalue() == b"section \\xa75, \\xb12 \\udc80\n"


@pytest.mark.parametrize(
    ("redirected", "arguments", "code"),
    [
        (">&-", "networks", 0),
        ("<&- >&- 2>&-", "networks nono", 2),
        ("2>&-", "networks nono", 2),
        ("2>/dev/full", "parity --tuning quick", 2),
        ("2>&1 | true; exit ${PIPESTATUS[0]}", "networks nono", 2),
        (">/dev/full", "networks", 3),
    ],
)
def test_a_shell_sees_the_same_exit_codes(redirected: str, arguments: str, code: int) -> None:
    line = f"{sys.executable} -m harness.cli {arguments} {redirected}"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


# --- disks, memory and paths ------------------------------------------------------------------------------------------


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file can grow over 4 KiB: what a full disk does, without a disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


WEIGHTS = Path("w.safetensors")
FULL = [
    ("weights", "init", "--network", "cifar-4layer", "--out", "x.safetensors"),
    ("weights", "import", "w.npz", "--out", "x.safetensors"),
    ("weights", "export", WEIGHTS, "--to", "npz", "--out", "x.npz"),
    ("weights", "export", WEIGHTS, "--to", "torch", "--out", "x.safetensors"),
    ("weights", "export", WEIGHTS, "--to", "flax", "--out", "x.msgpack"),
    ("weights", "export", WEIGHTS, "--to", "onnx", "--out", "x.onnx"),
    (*AUDIT, "run"),
    (*PAPER, "run"),
    ("prepare", "--data", "digits", "--out", "prepared"),
    ("evaluate", "--weights", WEIGHTS, "--data", "digits", "--out", "run"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made")
    network = catalog.get("cifar-4layer")
    weights.write(network, "scaled", 0, made / WEIGHTS)
    np.savez(made / "w.npz", **weights.generate(network))
    return made


@pytest.mark.parametrize("arguments", FULL, ids=lambda each: "-".join(map(str, each[:5])))
@pytest.mark.usefixtures("small_files")
def test_a_full_disk_ends_with_3(
    arguments: tuple[object, ...],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALEXBENCH_CACHE", str(tmp_path / "cache"))
    for name in (WEIGHTS, "w.npz"):
        Path(name).symlink_to(folder / name)
    code, said = ended(capsys, *arguments)
    assert (code, said.count("File too large")) == (3, 1), said
    assert not list(tmp_path.glob("x.*")) and not list(tmp_path.glob(".x.*"))


def test_whoever_words_it_a_full_disk_is_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for number, code in ((errno.ENOSPC, 3), (errno.EDQUOT, 3), (errno.EFBIG, 3), (errno.EACCES, 2)):
        worded = UsageError(f"cannot write: {os.strerror(number)}")
        worded.__context__ = OSError(number, os.strerror(number))

        def raises(form: str, worded: UsageError = worded) -> None:
            raise worded from None

        monkeypatch.setattr("harness.listing.show_networks", raises)
        assert "cannot write: " in complaint(capsys, code, "networks")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (MemoryError(), 3, "not enough of this machine's memory, processes or files: MemoryError"),
        (RuntimeError("can't start new thread"), 3, "can't start new thread"),
        (ImportError("libx.so: failed to map segment from shared object"), 3, "failed to map segment"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 3, "Cannot allocate memory"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp', '/']"), 3, "No usable temp"),
        (OSError(errno.EMFILE, "Too many open files", "/f"), 3, "cannot use '/f': Too many open files"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "/f"), 2, "cannot use '/f': Too many levels"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/f"), 2, "cannot use '/f': File name too long"),
        (RuntimeError("Symlink loop from '/f'"), 2, "Symlink loop from '/f'"),
        (CannotMeasure("\x1b[2Jno \u202etxet"), 3, "error: \\x1b[2Jno \\u202etxet\n"),
    ],
)
def test_an_error_is_the_users_or_the_machines(
    error: Exception, code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(form: str) -> None:
        raise error

    monkeypatch.setattr("harness.listing.show_networks", raises)
    assert told in complaint(capsys, code, "networks")


@pytest.mark.parametrize("error", [OSError(errno.EBADF, "Bad file descriptor"), RuntimeError("no"), RecursionError()])
def test_what_nobody_foresaw_is_still_a_fault_of_ours(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(form: str) -> None:
        raise error

    monkeypatch.setattr("harness.listing.show_networks", raises)
    assert cli_exit.run(cli, ["networks"]) == cli_exit.DEFECT
    assert "Traceback" in capsys.readouterr().err


SMALL = ("--network", "cifar-4layer")
WITH_PATHS = [
    ("weights", "init", *SMALL, "--out", "P/x"),
    ("weights", "show", "P"),
    ("weights", "import", "P", "--out", "x.safetensors"),
    ("weights", "import", "w.npz", "--mean", "P", "--out", "x.safetensors"),
    ("weights", "import", "w.npz", "--out", "P/x"),
    ("weights", "export", "P", "--to", "npz", "--out", "x.npz"),
    ("weights", "export", WEIGHTS, "--to", "npz", "--out", "P.npz"),
    ("parity", *SMALL, "--frameworks", "torch", "--weights", "P"),
    ("parity", *SMALL, "--frameworks", "torch", "--images", "P"),
    ("parity", *SMALL, "--frameworks", "torch", "--out", "P"),
    ("speed", *SMALL, "--frameworks", "torch", "--weights", "P"),
    ("speed", "--resume", "P"),
    ("prepare", "--data", "imagefolder:P", "--out", "x"),
    ("prepare", "--data", "mnist:P", "--out", "x"),
    ("prepare", "--data", "digits", "--out", "P"),
    ("train", *SMALL, "--data", "P"),
    ("train", *SMALL, "--data", "digits", "--recipe", "P.json"),
    ("train", *SMALL, "--data", "digits", "--weights", "P"),
    ("train", "--resume", "P"),
    ("evaluate", "--weights", "P", "--data", "digits"),
    ("evaluate", "--weights", WEIGHTS, "--data", "P"),
    ("paper", "P"),
    ("paper", "--weights", "P"),
    ("paper", "--resume", "P"),
    ("audit", "P.onnx"),
    ("audit", "P.prototxt"),
    ("audit", "P.keras"),
    ("audit", "torch:P.py:Net"),
    ("audit", "caffe", "--no-measure", "--out", "P"),
    ("compare", "P", "P/x"),
]


@pytest.mark.parametrize("arguments", WITH_PATHS, ids=lambda each: "-".join(map(str, each)))
@pytest.mark.parametrize("path", ["loop", "x" * 300], ids=["loop", "long"])
def test_a_path_that_leads_nowhere_is_a_usage_error(
    path: str,
    arguments: tuple[object, ...],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for ending in ("", ".npz", ".json", ".onnx", ".prototxt", ".keras", ".py"):
        Path(f"loop{ending}").symlink_to(f"loop{ending}")
    for name in (WEIGHTS, "w.npz"):
        Path(name).symlink_to(folder / name)
    complaint(capsys, 2, *(str(word).replace("P", path) for word in arguments))


def test_brackets_within_brackets_are_no_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text(ENDLESS)
    with pytest.raises(ValueError, match="brackets within brackets"):
        strict_json.loads(ENDLESS)
    for arguments in (("train", "--resume"), ("speed", "--resume"), ("paper", "--resume"), ("paper",), AUDIT):
        assert str(tmp_path) in complaint(capsys, 2, *arguments, tmp_path)
    assert (tmp_path / "run.json").read_text() == ENDLESS


@pytest.mark.parametrize("shape", [[0, 1 << 62], [1 << 62, 0, 1 << 62], [0, 1 << 61]])
def test_a_shape_that_no_array_can_have_is_said(
    shape: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = {"t": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    text = json.dumps({"__metadata__": {"network": "cifar-4layer"}, **header}).encode()
    file = tmp_path / "w.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(tensor_file.WeightsError, match="which no array can have"):
        tensor_file.read(file)
    assert f"shape {shape}, which no array can have" in complaint(capsys, 2, "weights", "show", file)
