"""Text as a Markdown file, and the table a Markdown file holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reports import atomic
from reports.format import Row, clean
from reports.format import text as cell_text


def write(text: str, path: Path) -> None:
    """Write the text, whole or not at all. Raises OSError."""
    atomic.write_bytes(text.encode("utf-8"), path)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. Cells are plain text: what Markdown would take for markup is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return _without(text, ("\\", "|", "<", "*", "`"))


def signed(cells: Mapping[str, Sequence[str]], rows: Sequence[Row]) -> str:
    """A table of columns without the empty ones, each row with the number of its signature; the signatures follow."""
    signatures, numbers = numbered(rows)
    kept = {name: column for name, column in cells.items() if any(column)}
    kept |= {"signature": numbers} if signatures else {}
    return "\n\n".join(filter(None, [table(list(kept), transposed(kept)), signatures]))


def numbered(rows: Sequence[Row]) -> tuple[str, list[str]]:
    """Signatures as a numbered list, and each row's number."""
    places: dict[str, int] = {}
    numbers = []
    for row in rows:
        given = cell_text(row, "signature")
        numbers.append(str(places.setdefault(given, len(places) + 1)) if given else "")
    listed = "\n".join(f"{place}. {code(given)}" for given, place in places.items())
    return (f"Signatures:\n\n{listed}" if listed else ""), numbers


def transposed(columns: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Columns as rows."""
    return [list(cells) for cells in zip(*columns.values(), strict=True)]


def escaped(said: str) -> str:
    """Text of a sentence, list or heading, as one line without what Markdown would take for markup."""
    return _without(said, ("\\", "<", "*", "`", "_"))


def code(said: str) -> str:
    """Text set apart as it is, between backticks."""
    return f"`{clean(said).replace('`', ' ')}`"


def pictures(titles: Mapping[str, str]) -> list[str]:
    """A section for each picture; `titles` is file name -> title."""
    made = [(f"## {escaped(title)}", f"![{escaped(title)}]({name})") for name, title in titles.items()]
    return [part for section in made for part in section]


def _without(said: str, markup: Sequence[str]) -> str:
    """Backslashes before these, and before the middle of `[words](address)`."""
    said = clean(said)
    for sign in markup:
        said = said.replace(sign, "\\" + sign)
    return said.replace("](", "]\\(")
