"""Files in the working folder that are called like modules: no process that is started imports them."""

from __future__ import annotations

import ast
import os
import queue
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness import doctor, launch
from harness.data.prepare import prepare
from harness.data.sources.opening import open_source
from harness.errors import CannotMeasure
from harness.exchange import confined
from harness.exchange.foreign import FormatError
from impls import child_process

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("queue", "random", "json", "numpy", "h5py", "sitecustomize", "usercustomize")
PACKAGES = ("impls", "harness")
TRAP = "open({file!r}, 'a').write({name!r} + chr(10))\nraise RuntimeError('a trap')\n"
FRAMEWORK = """
class Framework:
    def describe(self, device="cpu"):
        return {"version": "1", "device": device}
    operators = build = None
X = Framework()
"""

Kind = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, full of traps, and named by the user's PYTHONPATH in two ways."""
    made = tmp_path / "working"
    for name in (*MODULES, *(f"{package}/__init__" for package in PACKAGES)):
        path = made / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TRAP.format(file=str(tmp_path / "sprung"), name=name))
    monkeypatch.chdir(made)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(ROOT), "."]))
    return made


def sprung(folder: Path) -> list[str]:
    file = folder.parent / "sprung"
    return file.read_text().split() if file.exists() else []


def last_of_worker(target: str, folder: Path) -> launch.Event:
    events: queue.Queue[launch.Event] = queue.Queue()
    worker = launch.Worker(launch.WorkerSpec("mine", target), events, folder.parent / "logs")
    try:
        worker.send({"do": "describe", "id": "first", "device": "cpu"})
        worker.finish()
        return [events.get(timeout=60) for _ in range(3)][-1]
    finally:
        worker.kill()


def a_worker_with_a_file(folder: Path) -> None:
    (folder / "mine.py").write_text("import numpy, beside\n" + FRAMEWORK)
    (folder / "beside.py").write_text("")
    assert last_of_worker("./mine.py:X", folder)["event"] == "finished"


def a_worker_with_a_module(folder: Path) -> None:
    (folder / "mine.py").write_text("import numpy, beside\n" + FRAMEWORK)
    (folder / "beside.py").write_text("")
    assert last_of_worker("mine:X", folder)["event"] == "finished"


def doctors_worker(folder: Path) -> None:
    (folder.parent / "mine.py").write_text("import random, numpy\n" + FRAMEWORK)
    [found] = doctor.examine({"mine": f"{folder.parent / 'mine.py'}:X"}, {})
    assert found.state == "works", found.reason


def the_reader_of_weights(folder: Path) -> None:
    (folder.parent / "weights.h5").write_bytes(b"not in this format")
    with pytest.raises((FormatError, CannotMeasure)):  # as h5py is installed or not
        confined.run("harness.exchange.hdf5_datasets:listing", folder.parent / "weights.h5")


def a_process_of_prepare(folder: Path) -> None:
    images = folder.parent / "images"
    for name in ("even", "odd"):
        (images / name).mkdir(parents=True)
    count = 200  # some chunks: one alone is done without a process
    for number in range(count):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(
            images / ("even", "odd")[number % 2] / f"{number}.png"
        )
    assert prepare(open_source(f"imagefolder:{images}"), folder.parent / "out", 32, jobs=2).images == count


KINDS = (a_worker_with_a_file, a_worker_with_a_module, doctors_worker, the_reader_of_weights, a_process_of_prepare)


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_in_the_working_folder_is_not_imported(kind: Kind, folder: Path) -> None:
    kind(folder)
    assert sprung(folder) == []


@pytest.mark.needs("torch")
def test_nor_by_a_further_device_of_pytorch(folder: Path) -> None:
    import torch.distributed as dist

    from impls.with_torch import engine, processes

    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(minutes=1))
    peer = processes._start_one(1, 2, store.port, 1)
    try:
        store.wait(["alexbench/turn/1"])  # it has imported what it needs
    finally:
        engine.end(peer, 0.0)
    assert sprung(folder) == []


def test_the_traps_are_traps(folder: Path) -> None:
    for line in ("import queue", "import impls"):
        assert subprocess.run([sys.executable, "-c", line], capture_output=True, check=False).returncode
    assert {"queue", "impls/__init__"} <= set(sprung(folder))


# --- the one place ----------------------------------------------------------------------------------------------------


def test_the_users_folders_come_after_ours_and_the_working_folder_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path / "here")
    given = ["", "/their/own", ".", "../beside", str(tmp_path / "here"), str(tmp_path / "link"), "/their/own"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(given))
    found = child_process.environment({"A": "b"})
    path = found.pop("PYTHONPATH").split(os.pathsep)
    assert path == [str(ROOT), "/their/own", str(tmp_path / "here" / "../beside")]
    assert found == {"A": "b", "PYTHONSAFEPATH": "1"}


def test_a_checkout_is_run_also_where_it_is_the_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", ".")
    assert child_process.environment()["PYTHONPATH"] == str(ROOT)
    monkeypatch.delenv("PYTHONPATH")
    assert child_process.environment()["PYTHONPATH"] == str(ROOT)


def test_a_working_folder_that_is_gone_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", "/their/own"]))
    assert child_process.environment()["PYTHONPATH"] == os.pathsep.join([str(ROOT), "/their/own"])


def test_no_other_file_starts_python_or_says_where_it_looks() -> None:
    """Whoever starts a process in a way of its own starts one that the tests above know nothing of."""
    found = []
    for path in (path for package in ("impls", "harness", "reports") for path in (ROOT / package).rglob("*.py")):
        words = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        if {"-m", "-c", "PYTHONPATH", "PYTHONSAFEPATH"} & {word for word in words if isinstance(word, str)}:
            found.append(path.relative_to(ROOT).as_posix())
    assert found == ["impls/child_process.py"]
