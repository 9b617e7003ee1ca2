"""What a command line holds that no command expects, answered with what was likely meant by it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from harness.cli_values import DataSource, NameList, NumberList, OneName, source_names
from impls.nearest import SHORTEST

NEAR = 0.75  # of 1, as difflib counts: "--list" is no "--limit"


class Command(click.Command):
    """A command that says of an argument too many where it belongs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raises UsageError."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            refuse(ctx, rest, "nothing is expected there")
        return rest


def refuse(ctx: click.Context, words: Sequence[str | Path], otherwise: str) -> None:
    """Raises UsageError for words that belong to an option of names; `otherwise` says what of any other.

    Where that is empty, words are files, and only those are refused that continue a list and are not there.
    """
    for word in map(str, words):
        option = _list_that_takes(ctx, word)
        if option is not None and (otherwise or (_is_given(ctx, option) and not Path(word).exists())):
            raise click.UsageError(f"unexpected argument {word!r}: {_with_commas(ctx, option, words)}", ctx)
        single = next((each for each in ctx.command.params if otherwise and _is_name_of(each, word)), None)
        if single is not None:
            raise click.UsageError(f"unexpected argument {word!r}: write {single.opts[0]} {word}", ctx)
    if words and otherwise:
        raise click.UsageError(f"unexpected argument {str(words[0])!r}: {otherwise}", ctx)


def said(error: click.ClickException) -> str:
    """An error's message, with a guess at an option only where it is near."""
    if not isinstance(error, click.NoSuchOption):
        return error.format_message()
    known = [name for parameter in error.ctx.command.params for name in parameter.opts] if error.ctx else []
    near = sorted(name for name in known if name.startswith("--") and _is_near(error.option_name, name))
    return f"{error.message} Did you mean {' or '.join(near)}?" if near else error.message


def _is_near(typed: str, name: str) -> bool:
    short, long = sorted((typed.lstrip("-"), name.lstrip("-")), key=len)
    begins = len(short) >= SHORTEST and long.startswith(short)
    return begins or difflib.SequenceMatcher(None, short, long).ratio() >= NEAR


def _list_that_takes(ctx: click.Context, word: str) -> click.Parameter | None:
    """The option with commas that takes a word: one that was given, or else the first of names."""
    found = [each for each in ctx.command.params if isinstance(each.type, NameList | NumberList) and _takes(each, word)]
    named = [each for each in found if isinstance(each.type, NameList)]
    return next((each for each in (*(each for each in found if _is_given(ctx, each)), *named)), None)


def _is_name_of(option: click.Parameter, word: str) -> bool:
    """Whether the word is one of the names that an option takes, which takes one."""
    if isinstance(option.type, DataSource):
        return word.partition(":")[0] in {name.partition(":")[0] for name in source_names()}
    return isinstance(option, click.Option) and isinstance(option.type, OneName) and _takes(option, word)


def _takes(option: click.Parameter, word: str) -> bool:
    try:
        option.type.convert(word, None, None)
    except click.UsageError:
        return False
    return True


def _is_given(ctx: click.Context, option: click.Parameter) -> bool:
    return ctx.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE


def _with_commas(ctx: click.Context, option: click.Parameter, words: Sequence[str | Path]) -> str:
    given: Sequence[Any] = ctx.params[option.name or ""] if _is_given(ctx, option) else ()
    values = [*map(str, given), *(word for word in map(str, words) if _takes(option, word))]
    return f"write {option.opts[0]} {','.join(dict.fromkeys(values))}, with commas between several"
