"""Text as a Markdown file, and the table a Markdown file holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports import atomic


def write(text: str, path: Path) -> None:
    """Write the text, whole or not at all. Raises OSError."""
    atomic.write_bytes(text.encode("utf-8"), path)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. Cells are plain text: what Markdown would take for markup is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    for sign in ("\\", "|", "<", "*", "`"):
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())
