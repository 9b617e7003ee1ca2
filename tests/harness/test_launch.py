"""Workers as real processes: what they find when they start, how they end, and that none stays behind."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness import launch
from harness.launch import Event, Worker, WorkerSpec, import_root, worker_environment

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0  # how long a busy machine may take to start a process
DESCRIBE = {"do": "describe", "id": "first", "device": "cpu"}
LAST = ("finished", "missing", "load-failed", "died")

# A framework whose `describe` runs the test's own statements.
FRAMEWORK = """
import os, signal, subprocess, sys, time
from pathlib import Path

HERE = Path(__file__).parent

class Framework:
    def describe(self, device="cpu"):
{statements}
        return {{"version": "1", "device": device}}

    operators = build = None

{at_import}
X = Framework()
"""


class Conversation:
    """A worker, and what it says."""

    def __init__(self, spec: WorkerSpec, folder: Path) -> None:
        self.folder = folder
        self._events: queue.Queue[Event] = queue.Queue()
        self.worker = Worker(spec, self._events, folder)

    def hear(self) -> Event:
        return self._events.get(timeout=PATIENCE_S)

    def hear_last(self) -> Event:
        while (event := self.hear())["event"] not in LAST:
            pass
        return event

    def note(self, name: str) -> str:
        """What the worker wrote into a file of this name."""
        path = self.folder / name
        return wait_for(lambda: path.is_file() and path.read_text())


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """The condition's value as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:.0f} s")


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def write_framework(folder: Path, statements: str = "", at_import: str = "") -> str:
    file = folder / "mine.py"
    indented = "\n".join(f"        {line}" for line in statements.splitlines())
    file.write_text(FRAMEWORK.format(statements=indented, at_import=at_import))
    return f"{file}:X"


Start = Callable[..., Conversation]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a worker on a framework made of these statements; it is ended after the test whatever happens."""
    started: list[Conversation] = []

    def made(statements: str = "", at_import: str = "", target: str = "", **more: Any) -> Conversation:
        target = target or write_framework(tmp_path, statements, at_import)
        started.append(Conversation(WorkerSpec("mine", target, **more), tmp_path))
        return started[-1]

    yield made
    for conversation in started:
        conversation.worker.kill()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock by which silence is measured; `ahead` seconds are added to it."""
    made = SimpleNamespace(ahead=0.0, sleep=time.sleep)
    made.monotonic = lambda: time.monotonic() + made.ahead
    monkeypatch.setattr(launch, "time", made)
    return made


# --- a worker that does its work --------------------------------------------------------------------------------------


def test_a_worker_gets_ready_answers_and_finishes(start: Start) -> None:
    talk = start()
    talk.worker.send(DESCRIBE)
    talk.worker.finish()
    heard = [talk.hear(), talk.hear(), talk.hear()]
    assert [event["event"] for event in heard] == ["ready", "done", "finished"]
    assert heard[1]["task"] == "first" and heard[1]["full"] is True
    assert heard[1]["facts"] == {"version": "1", "device": "cpu"}
    assert heard[1]["seconds"] >= 0 and heard[2]["peak_memory_mb"] > 1
    assert all(event["worker"] == "mine" for event in heard)


def test_a_task_that_raises_costs_itself_only(start: Start) -> None:
    talk = start("if device == 'abacus': raise RuntimeError('first line\\nsecond line')")
    talk.worker.send({**DESCRIBE, "device": "abacus"})
    talk.worker.send({**DESCRIBE, "id": "second"})
    talk.worker.finish()
    assert talk.hear()["event"] == "ready"
    failed = talk.hear()
    assert (failed["event"], failed["task"], failed["kind"]) == ("failed", "first", "exception")
    assert failed["message"] == "RuntimeError: first line"
    assert talk.hear()["event"] == "done"
    assert talk.hear()["event"] == "finished"


def test_a_task_that_exits_is_a_failed_task_not_a_dead_worker(start: Start) -> None:
    talk = start("sys.exit('I leave')")
    talk.worker.send(DESCRIBE)
    talk.worker.finish()
    heard = [talk.hear() for _ in range(3)]
    assert [event["event"] for event in heard] == ["ready", "failed", "finished"]
    assert heard[1]["message"] == "SystemExit: I leave"


def test_what_a_framework_cannot_do_is_unsupported_with_its_reason(start: Start) -> None:
    talk = start("from impls.protocol import Unsupported\nraise Unsupported('no such device here')")
    talk.worker.send(DESCRIBE)
    assert talk.hear()["event"] == "ready"
    failed = talk.hear()
    assert (failed["kind"], failed["message"]) == ("unsupported", "no such device here")


# --- frameworks that do not load --------------------------------------------------------------------------------------


def test_a_module_that_is_not_installed_is_missing(start: Start) -> None:
    event = start(target="no_such_framework.framework:FRAMEWORK").hear_last()
    assert event["event"] == "missing"
    assert "no_such_framework" in event["reason"] and "\n" not in event["reason"]


def test_a_file_that_imports_what_is_not_installed_is_missing(start: Start) -> None:
    event = start(at_import="import no_such_library").hear_last()
    assert event["event"] == "missing" and "no_such_library" in event["reason"]


@pytest.mark.parametrize(
    ("at_import", "reason"),
    [
        ("raise RuntimeError('wrong CUDA\\nand more')", "RuntimeError: wrong CUDA"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("X = = 3", "SyntaxError"),
        ("raise ValueError", "ValueError"),
    ],
)
def test_a_module_that_raises_on_import_did_not_load(start: Start, at_import: str, reason: str) -> None:
    event = start(at_import=at_import).hear_last()
    assert event["event"] == "load-failed"
    assert event["reason"].startswith(reason) and "\n" not in event["reason"]


def test_a_module_without_the_attribute_says_what_it_has(start: Start, tmp_path: Path) -> None:
    target = write_framework(tmp_path).replace(":X", ":Y")
    event = start(target=target).hear_last()
    assert event["event"] == "load-failed" and "'Y'" in event["reason"] and "X" in event["reason"]


# --- workers that die -------------------------------------------------------------------------------------------------

SAY_PID_AND_HANG = "(HERE / 'pid').write_text(str(os.getpid()))\ntime.sleep(600)"


def test_a_worker_killed_in_a_task_died_by_the_named_signal(start: Start) -> None:
    talk = start(f"print('last words', flush=True)\n{SAY_PID_AND_HANG}")
    talk.worker.send(DESCRIBE)
    os.kill(int(talk.note("pid")), signal.SIGKILL)
    event = talk.hear_last()
    assert (event["event"], event["reason"]) == ("died", "killed by SIGKILL")
    assert "last words" in event["stderr"]


@pytest.mark.parametrize("status", [0, 7])
def test_a_worker_that_ends_early_says_with_which_status(start: Start, status: int) -> None:
    talk = start(f"os._exit({status})")
    talk.worker.send(DESCRIBE)
    event = talk.hear_last()
    assert event["event"] == "died"
    assert event["reason"] == f"ended with exit status {status} before its work was done"


def test_a_worker_that_crashes_on_its_way_out_has_finished(start: Start) -> None:
    talk = start(at_import="import threading; os._exit = lambda status: os.abort()")
    talk.worker.finish()
    assert talk.hear_last()["event"] == "finished"


def test_a_crash_leaves_the_last_lines_of_what_was_printed(start: Start) -> None:
    talk = start("for i in range(100): print('line', i, flush=True)\nos.abort()")
    talk.worker.send(DESCRIBE)
    lines = talk.hear_last()["stderr"].splitlines()
    assert len(lines) <= launch.STDERR_LINES_KEPT and "line 99" in lines and "line 50" not in lines


def test_a_worker_that_hangs_in_a_task_is_ended_after_the_silence_limit(start: Start, clock: SimpleNamespace) -> None:
    talk = start(SAY_PID_AND_HANG, silence_limit_s=500.0)
    talk.worker.send(DESCRIBE)
    pid = int(talk.note("pid"))
    clock.ahead += 400
    time.sleep(0.5)
    assert not is_gone(pid), "ended before the limit"
    clock.ahead += 200
    event = talk.hear_last()
    assert event["event"] == "died" and "no sign of life for 500 s" in event["reason"]
    assert "--timeout" in event["reason"]
    assert is_gone(pid)


def test_a_worker_that_hangs_on_import_is_ended_after_the_silence_limit(start: Start) -> None:
    event = start(at_import="time.sleep(600)", silence_limit_s=1.0).hear_last()
    assert event["event"] == "died" and "no sign of life for 1 s" in event["reason"]


def test_a_worker_without_a_task_is_idle_and_does_not_hang(start: Start, clock: SimpleNamespace) -> None:
    talk = start(silence_limit_s=500.0)
    talk.worker.send(DESCRIBE)
    assert [talk.hear()["event"], talk.hear()["event"]] == ["ready", "done"]
    clock.ahead += 2000  # the harness computes a reference, and has nothing for the worker to do
    time.sleep(0.5)
    talk.worker.send({**DESCRIBE, "id": "second"})
    event = talk.hear()
    assert event["event"] == "done", event.get("reason")


def test_a_task_sent_to_a_dead_worker_raises_nothing(start: Start) -> None:
    talk = start("os._exit(5)")
    talk.worker.send(DESCRIBE)
    assert talk.hear_last()["event"] == "died"
    talk.worker.send(DESCRIBE)
    talk.worker.finish()
    talk.worker.kill()


def test_killing_a_worker_twice_raises_nothing(start: Start) -> None:
    talk = start()
    talk.worker.kill()
    talk.worker.kill()
    assert talk.hear_last()["reason"] == "killed by SIGKILL"


def test_an_interpreter_that_does_not_exist_raises_oserror(start: Start, tmp_path: Path) -> None:
    before = psutil.Process().num_fds()
    with pytest.raises(FileNotFoundError):
        start(python=str(tmp_path / "no-python"))
    assert psutil.Process().num_fds() <= before, "a pipe was left open"


# --- noise ------------------------------------------------------------------------------------------------------------


def test_what_is_printed_on_standard_output_does_not_disturb_the_events(start: Start) -> None:
    noise = """print('{"event": "died"}')\nos.write(1, b'\\xff\\x00 raw\\n')"""
    talk = start(noise, noise)
    talk.worker.send(DESCRIBE)
    talk.worker.finish()
    assert [talk.hear()["event"] for _ in range(3)] == ["ready", "done", "finished"]


NOT_JSON = b"no json\n\xff\xfe\x00\n\n"
NO_EVENT = b'[1, 2]\nnull\n{"other": 1}\n{"event": "unheard of"}\n{"event": ["done"]}\n'
NO_TASK = b'{"event": "done"}\n{"event": "failed", "task": 7}\n'
NO_END = b"a line without an end"
TOO_DEEP = b"[" * 50_000 + b"\n"


@pytest.mark.parametrize(
    "garbage",
    [NOT_JSON, NO_EVENT, NO_TASK, NO_END, TOO_DEEP],
    ids=["no json", "no event", "no task", "no end", "too deep"],
)
def test_garbage_in_the_event_pipe_costs_nothing(start: Start, garbage: bytes) -> None:
    talk = start(f"os.write(int(sys.argv[2]), {garbage!r})")
    talk.worker.send(DESCRIBE)
    talk.worker.finish()
    heard = [talk.hear()]
    while heard[-1]["event"] not in LAST:
        heard.append(talk.hear())
    assert [event["event"] for event in heard] == ["ready", "done", "finished"]


# --- nothing stays behind ---------------------------------------------------------------------------------------------

START_A_CHILD = """
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
(HERE / 'child').write_text(str(child.pid))
"""
FORK_A_CHILD = """
child = os.fork()
if child == 0:
    time.sleep(600)
    os._exit(0)
(HERE / 'child').write_text(str(child))
"""
CHILDREN = pytest.mark.parametrize("child", [START_A_CHILD, FORK_A_CHILD], ids=["started", "forked"])


@pytest.fixture
def child_of() -> Iterator[Callable[[Conversation], int]]:
    """The pid of the child that a worker noted; it is ended after the test if nobody else did."""
    found: list[int] = []

    def noted(talk: Conversation) -> int:
        found.append(int(talk.note("child")))
        return found[-1]

    yield noted
    for pid in found:
        if not is_gone(pid):
            os.kill(pid, signal.SIGKILL)


@CHILDREN
def test_killing_a_worker_ends_what_it_started(
    start: Start, child_of: Callable[[Conversation], int], child: str
) -> None:
    talk = start(f"{child}\n{SAY_PID_AND_HANG}")
    talk.worker.send(DESCRIBE)
    pid, children_pid = int(talk.note("pid")), child_of(talk)
    talk.worker.kill()
    wait_for(lambda: is_gone(pid) and is_gone(children_pid), 5)


@CHILDREN
def test_the_children_of_a_worker_that_crashed_are_ended_and_hold_nothing_up(
    start: Start, child_of: Callable[[Conversation], int], child: str
) -> None:
    talk = start(f"{child}\nos._exit(9)")
    talk.worker.send(DESCRIBE)
    pid = child_of(talk)
    wait_for(lambda: is_gone(pid), 5)
    assert "exit status 9" in talk.hear_last()["reason"]


@CHILDREN
def test_the_children_of_a_worker_that_finished_are_ended_and_hold_nothing_up(
    start: Start, child_of: Callable[[Conversation], int], child: str
) -> None:
    talk = start(child)
    talk.worker.send(DESCRIBE)
    talk.worker.finish()
    pid = child_of(talk)
    wait_for(lambda: is_gone(pid), 5)
    assert talk.hear_last()["event"] == "finished"


LEAVE_A_SESSION = """
child = os.fork()
if child == 0:
    os.setsid()
    while {busy}:
        os.write(int(sys.argv[2]), b"x" * 4096)
    time.sleep(600)
    os._exit(0)
(HERE / 'child').write_text(str(child))
"""


@pytest.mark.parametrize("busy", [False, True], ids=["silent", "writing"])
@pytest.mark.parametrize("ending", ["finished", "died"])
def test_a_process_in_a_session_of_its_own_holds_nothing_up(
    start: Start, child_of: Callable[[Conversation], int], busy: bool, ending: str
) -> None:
    talk = start(LEAVE_A_SESSION.format(busy=busy) + ("os._exit(9)" if ending == "died" else ""))
    talk.worker.send(DESCRIBE)
    talk.worker.finish()
    pid = child_of(talk)
    assert talk.hear_last()["event"] == ending
    assert not is_gone(pid), "it was to outlive the worker"


def test_what_a_worker_said_before_it_died_is_heard_though_the_pipe_stays_open(
    start: Start, child_of: Callable[[Conversation], int]
) -> None:
    said = """line = '{"event": "done", "task": "' + 'x' * 1000 + '"}'"""
    write = "os.write(int(sys.argv[2]), (50 * (line + chr(10))).encode())"
    talk = start(f"{LEAVE_A_SESSION.format(busy=False)}\n{said}\n{write}\nos._exit(9)")
    talk.worker.send(DESCRIBE)
    child_of(talk)
    heard = [talk.hear() for _ in range(52)]
    assert [event["event"] for event in heard] == ["ready", *["done"] * 50, "died"]


def test_a_thread_that_runs_on_after_a_failed_import_holds_nothing_up(start: Start) -> None:
    started = time.monotonic()
    runs_on = "import threading\nthreading.Thread(target=time.sleep, args=(600,)).start()\nraise ValueError('no')"
    assert start(at_import=runs_on).hear_last()["reason"] == "ValueError: no"
    assert time.monotonic() - started < launch.LEAVING_S


def test_a_worker_that_has_said_its_last_and_stays_is_ended(start: Start, clock: SimpleNamespace) -> None:
    talk = start(at_import="os._exit = lambda status: ((HERE / 'pid').write_text(str(os.getpid())), time.sleep(600))")
    talk.worker.finish()
    talk.note("pid")
    clock.ahead += launch.LEAVING_S
    assert talk.hear_last()["event"] == "finished"


def test_a_worker_for_which_there_is_no_thread_is_not_started(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    before = psutil.Process().children()
    monkeypatch.setattr(launch.threading, "Thread", NoThread)
    with pytest.raises(OSError, match="can't start new thread"):
        start(SAY_PID_AND_HANG)
    assert set(psutil.Process().children()) <= set(before), "its process was left behind"


def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    target = write_framework(tmp_path, SAY_PID_AND_HANG)
    parent_code = f"""
import queue, time
from pathlib import Path
from harness.launch import Worker, WorkerSpec
worker = Worker(WorkerSpec("mine", {target!r}), queue.Queue(), Path({str(tmp_path)!r}))
worker.send({DESCRIBE!r})
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", parent_code], cwd=ROOT)
    try:
        note = tmp_path / "pid"
        pid = int(wait_for(lambda: note.is_file() and note.read_text()))
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: is_gone(pid), 10)


# --- what a worker finds ----------------------------------------------------------------------------------------------


def test_the_environment_stands_before_the_framework_is_imported(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "OWN")
    seen = f"(HERE / 'seen').write_text(' '.join(repr(os.environ.get(name)) for name in {names!r}))"
    talk = start(at_import=seen, threads=3, extra_environment={"OWN": "yes"})
    assert talk.note("seen") == "'3' '' 'cpu' 'yes'"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3" and "OWN" not in os.environ


def test_on_the_cpu_no_gpu_is_seen() -> None:
    found = worker_environment(WorkerSpec("a", "b:c"))
    assert (found["CUDA_VISIBLE_DEVICES"], found["JAX_PLATFORMS"]) == ("", "cpu")


def test_on_a_gpu_the_users_choice_of_devices_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    found = worker_environment(WorkerSpec("a", "b:c", device="cuda"))
    assert found["CUDA_VISIBLE_DEVICES"] == "1" and "JAX_PLATFORMS" not in found
    assert found["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" and found["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_threads_are_set_for_every_library_where_a_number_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert not set(names) & set(worker_environment(WorkerSpec("a", "b:c")))
    found = worker_environment(WorkerSpec("a", "b:c", threads=5))
    assert [found[name] for name in names] == ["5"] * 4


@pytest.mark.parametrize("value", ["0", "1"])
def test_the_users_tf32_override_stands_and_none_is_invented(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", value)
    assert worker_environment(WorkerSpec("a", "b:c"))["NVIDIA_TF32_OVERRIDE"] == value
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")
    assert "NVIDIA_TF32_OVERRIDE" not in worker_environment(WorkerSpec("a", "b:c"))


def test_the_extra_environment_has_the_last_word() -> None:
    spec = WorkerSpec("a", "b:c", threads=2, extra_environment={"OMP_NUM_THREADS": "7"})
    assert worker_environment(spec)["OMP_NUM_THREADS"] == "7"


def test_from_a_checkout_every_interpreter_gets_the_checkout(tmp_path: Path) -> None:
    for python in (sys.executable, "/another/python"):
        assert import_root(WorkerSpec("a", "b:c", python=python), tmp_path) == ROOT


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site-packages folder that holds this project, and a library that belongs to its interpreter alone."""
    site = tmp_path / "site-packages"
    site.mkdir()
    for package in ("harness", "impls"):
        (site / package).symlink_to(ROOT / package, target_is_directory=True)
    (site / "numpy.py").write_text("raise RuntimeError('built for another interpreter')\n")
    monkeypatch.setattr(launch, "CHECKOUT", site)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return site


def test_installed_the_same_interpreter_gets_its_site_packages(installed: Path, tmp_path: Path) -> None:
    assert import_root(WorkerSpec("a", "b:c"), tmp_path) == installed


def test_installed_another_interpreter_gets_the_two_packages_and_no_library(
    installed: Path, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the checkout must not be found by standing in it
    other = tmp_path / "other-python"
    other.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    other.chmod(0o755)
    for _ in range(2):  # the second finds the links made
        talk = start(python=str(other))
        talk.worker.finish()
        assert talk.hear()["event"] == "ready"
        assert talk.hear()["event"] == "finished"


def test_a_users_folder_of_our_name_does_not_stand_in_our_way(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = tmp_path / "working"
    for name in ("harness", "impls"):
        (working / name).mkdir(parents=True)
        (working / name / "__init__.py").write_text("raise RuntimeError('not the one')\n")
    monkeypatch.chdir(working)
    talk = start()
    talk.worker.finish()
    assert talk.hear()["event"] == "ready"


def test_a_module_in_the_users_folder_is_found(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    write_framework(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert start(target="mine:X").hear()["event"] == "ready"


def test_a_label_with_slashes_names_a_file_in_the_log_folder(tmp_path: Path) -> None:
    events: queue.Queue[Event] = queue.Queue()
    spec = WorkerSpec("./their/mine.py:build", write_framework(tmp_path, at_import="print('hello', flush=True)"))
    worker = Worker(spec, events, tmp_path / "logs")
    worker.finish()
    try:
        while events.get(timeout=PATIENCE_S)["event"] not in LAST:
            pass
        assert "hello" in worker.stderr_tail()
        assert len(list((tmp_path / "logs").iterdir())) == 1
    finally:
        worker.kill()


def test_variables_of_ours_that_a_worker_is_not_to_have_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    gone = ("RANK", "MASTER_ADDR")
    spec = WorkerSpec(label="torch", target="a:b", extra_environment={"MASTER_ADDR": "a"}, without=gone)
    assert not {"RANK", "MASTER_ADDR"} & worker_environment(spec).keys()
    assert worker_environment(WorkerSpec(label="torch", target="a:b"))["RANK"] == "1"


def test_the_next_worker_of_a_name_does_not_cut_the_log_of_the_one_before(start: Start) -> None:
    """Which may still be writing, or dead with its last words not read yet."""
    first = start("print('words of the first', flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    first.worker.send(DESCRIBE)
    assert "words of the first" in first.hear_last()["stderr"]
    second = start()
    assert second.hear()["event"] == "ready"
    assert second.worker.stderr_tail() == ""
    assert "words of the first" in first.worker.stderr_tail()
