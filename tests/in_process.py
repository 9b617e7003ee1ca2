"""A command run to its end in the process of the tests: what it prints, leaves and returns is what its own would."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness import cli, cli_exit

Done = subprocess.CompletedProcess[str]


def alexbench(arguments: Sequence[str], environment: Mapping[str, str], cwd: Path, timeout: float) -> Done:
    """`alexbench ARGUMENTS` in a folder, with these variables and no others; `timeout` in seconds."""
    with surrounded(environment, cwd, timeout) as (out, err):
        try:
            code = cli_exit.run(cli.cli, list(arguments))
        except SystemExit as ended:  # as completion does
            code = ended.code if isinstance(ended.code, int) else ended.code is not None
    return Done(["alexbench", *arguments], code, _text(out), _text(err))


@contextlib.contextmanager
def surrounded(
    environment: Mapping[str, str], cwd: Path, timeout: float
) -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """What a process would have for itself: variables, PYTHONPATH, a folder, output of its own, a limit of time."""
    out, err = _stream(), _stream()
    before, folder, path, modules = dict(os.environ), Path.cwd(), sys.path[:], set(sys.modules)
    wake = signal.signal(signal.SIGALRM, _too_long)
    os.environ.clear()
    os.environ.update(environment)
    own = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry and entry not in path]
    sys.path[:] = [*own, *path]
    os.chdir(cwd)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield out, err
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, wake)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)
        sys.path[:] = path
        for name in set(sys.modules) - modules:  # what lay on that path alone must not be found by the next command
            file = getattr(sys.modules[name], "__file__", None) or ""
            if any(file.startswith(f"{entry}{os.sep}") for entry in own):
                del sys.modules[name]


class TooLong(BaseException):
    """A command that ran in this process passed its limit of time; nothing of the command's catches it for good."""


def _too_long(number: int, frame: object) -> None:
    raise TooLong


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.detach()
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
