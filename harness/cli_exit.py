"""How a command ends: every mistake of the user's is one line on standard error, and every ending has its exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import click

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
READER_GONE = 141  # 128 + SIGPIPE
USAGE = 2
DEFECT = 70  # EX_SOFTWARE: a fault of alexbench itself, so that it is never read as a verdict


class QuietGroup(click.Group):
    """A group whose commands end without a word when the reader of their output has gone, as `head` does."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its return value is the exit code."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still buffered would fail again, and be reported, when the interpreter exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return READER_GONE
        return result


def run(command: click.Command, arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        result = command.main(args=arguments, prog_name="alexbench", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        return _complain(error.format_message(), USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", INTERRUPTED)
    except Exception as error:  # the last stop: sorts the user's mistakes from our own
        code = _exit_code(error)
        if code is not None:
            return _complain(str(error), code)
        traceback.print_exc()
        return _complain("this is a fault of alexbench: please report it with the lines above", DEFECT)
    return result if isinstance(result, int) else 0


def _exit_code(error: Exception) -> int | None:
    """The exit code an error carries or implies; None for one that nobody foresaw."""
    from impls.catalog import UnknownNetwork
    from impls.derive import InvalidNetwork
    from impls.registry import NotLoadable, UnknownFramework

    if isinstance(error, UnknownNetwork | InvalidNetwork | UnknownFramework | NotLoadable):
        return USAGE
    code = getattr(error, "exit_code", None)
    return code if isinstance(code, int) else None


def _complain(message: str, code: int) -> int:
    click.echo(f"alexbench: error: {' '.join(message.split())}", err=True)
    return code
