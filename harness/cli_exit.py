"""How a command ends: every mistake of the user's is one line on standard error, and every ending has its exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Any, NoReturn

import click

from harness import command_line, standard_streams
from harness.cli_unexpected import Command, said
from harness.errors import comes_from, is_no_room
from harness.standard_streams import Output
from reports.format import clean, visible

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
READER_GONE = 141  # 128 + SIGPIPE
USAGE = 2
CANNOT_MEASURE = 3
DEFECT = 70  # EX_SOFTWARE: a fault of alexbench itself, so that it is never read as a verdict

TOO_LITTLE = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN)
# What Python says where a thread cannot be started, the loader where a library finds no room, and C++ libraries.
SHORT = ("can't start new thread", "failed to map segment", os.strerror(errno.EAGAIN), os.strerror(errno.ENOMEM))
NO_TEMPORARY = "No usable temporary directory"  # as Python's tempfile says it, where none can be written to
NO_SUCH_PATH = (
    errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EROFS,
)  # fmt: skip


class Group(click.Group):
    """A group of commands of ours."""

    command_class = Command
    group_class = type


class Measuring(Command):
    """A command that leaves its results in files: nobody need read its output, which changes nothing of its verdict."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; its return value is the exit code."""
        if isinstance(ctx.obj, Output):
            ctx.obj.is_all = False
        return super().invoke(ctx)


def end(command: click.Command) -> NoReturn:
    """Run the command line and end the process."""
    with standard_streams.guarded() as output:
        code = _code(command, None, output)
    if output.is_torn:
        os._exit(code)  # libraries that were loaded by half crash where Python takes them down
    raise SystemExit(code)


def run(command: click.Command, arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    with standard_streams.guarded() as output:
        return _code(command, arguments, output)


def _code(command: click.Command, arguments: list[str] | None, output: Output) -> int:
    """The command's own code; where it is 0, that of output which could not be written."""
    code = _run(command, arguments, output)
    if code or (loss := output.loss()) is None:
        return code
    if output.reader_gone():
        return READER_GONE if output.is_all else code
    return _complain(f"standard output cannot be written: {loss.strerror}", CANNOT_MEASURE)


def _run(command: click.Command, arguments: list[str] | None, output: Output) -> int:
    try:
        with command_line.typed(sys.argv[1:] if arguments is None else arguments):
            result = command.main(args=arguments, prog_name="alexbench", standalone_mode=False, obj=output)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        return _complain(said(error), USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", INTERRUPTED)
    except Exception as error:  # the last stop: sorts the user's mistakes from our own
        output.is_torn = _is_too_little(error)
        known = _ending(error)
        if known is not None:
            return _complain(*known)
        print(visible(traceback.format_exc()), file=sys.stderr)
        return _complain("this is a fault of alexbench: please report it with the lines above", DEFECT)
    return result if isinstance(result, int) else 0


def _ending(error: Exception) -> tuple[str, int] | None:
    """What to say of an error, and the exit code that it carries or implies; None for one that nobody foresaw."""
    code = getattr(error, "exit_code", None)
    told = str(error) if isinstance(code, int) else _told(error)
    if is_no_room(error) or NO_TEMPORARY in str(error):
        return told, CANNOT_MEASURE
    if _is_too_little(error):
        return f"not enough of this machine's memory, processes or files: {told}", CANNOT_MEASURE
    if isinstance(code, int):
        return told, code
    return (told, USAGE) if _is_bad_path(error) else None


def _is_too_little(error: Exception) -> bool:
    """Memory, processes or files that the system did not give."""
    return (
        isinstance(error, MemoryError) or comes_from(error, TOO_LITTLE) or any(words in str(error) for words in SHORT)
    )


def _is_bad_path(error: Exception) -> bool:
    """A path of the user's that leads nowhere; `Path.resolve` has words of its own for a loop of links."""
    if isinstance(error, RuntimeError):
        return str(error).startswith("Symlink loop")
    return isinstance(error, OSError) and error.errno in NO_SUCH_PATH and error.filename is not None


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot use {str(error.filename)!r}: {error.strerror}"
    return str(error) or type(error).__name__


def _complain(message: str, code: int) -> int:
    print(f"alexbench: error: {clean(message)}", file=sys.stderr)
    return code
