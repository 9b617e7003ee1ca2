"""The files of a run: its tables as Parquet and CSV, its pictures, its report and its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports import atomic, documents, schema, tables
from reports.document import Block, Document, Picture, Section
from reports.documents.common import Run
from reports.figures import style
from reports.figures.style import Drawing
from reports.format import Row
from reports.render import html, markdown, svg

if TYPE_CHECKING:
    import pandas as pd

REPORT, PAGE = "report.md", "report.html"


def write(folder: Path, run: Run, rows: Mapping[str, Sequence[Row]]) -> list[str]:
    """Write everything that `rows` (kind -> rows) and `run` (what `run.json` holds) give; returns the file names.

    Raises OSError.
    """
    written = []
    frames = {kind: tables.frame(kind, found) for kind, found in rows.items()}
    for kind, table in frames.items():
        tables.write_parquet(table, folder / f"{kind}.parquet")
        tables.write_csv(table, folder / f"{kind}.csv")
        written += [f"{kind}.parquet", f"{kind}.csv"]
    written += _write_dictionary(folder, frames)
    document = documents.document_of(frames, run)
    drawn = drawings(document)
    for name, drawing in drawn.items():
        written += style.save(drawing, folder / f"{name}.png")
    atomic.write_bytes(markdown.text(document, drawn).encode(), folder / REPORT)
    atomic.write_bytes(html.page([part(document, drawn, folder)]).encode(), folder / PAGE)
    return [*written, REPORT, PAGE]


def part(document: Document, drawn: Mapping[str, Drawing], folder: Path, anchor: str = "") -> html.Part:
    """The document of a run in `folder` as a part of a page."""
    return html.Part(
        document=document,
        drawings={name: svg.drawn(drawing) for name, drawing in drawn.items()},
        images={one.file: _read(folder / one.file) for one in _pictures(document.sections) if one.file},
        folder=folder.name,
        anchor=anchor,
        places=[str(folder), str(folder.resolve())],
    )


def overview(document: Document) -> html.Part:
    """The document of several runs as a part of a page."""
    return html.Part(document=document, drawings={name: svg.drawn(drawn) for name, drawn in drawings(document).items()})


def _read(file: Path) -> bytes:
    """A picture that the run left; empty where it is not there, is no file, or is larger than a page may hold."""
    try:
        if not file.is_file() or file.stat().st_size > html.MAX_IMAGE_BYTES:
            return b""
        return file.read_bytes()
    except OSError:
        return b""


def _write_dictionary(folder: Path, frames: Mapping[str, pd.DataFrame]) -> list[str]:
    """Of every column that these tables have, and of the tables that were written piece by piece."""
    large = [name for name, kind in schema.TABLES.items() if kind.large and (folder / f"{name}.parquet").is_file()]
    rows = schema.dictionary([*frames, *large])
    kept = [one for one in rows if one["table"] in large or one["column"] in ("", *frames[one["table"]].columns)]
    if not kept:
        return []
    tables.write_csv(tables.frame("", kept), folder / schema.DICTIONARY)
    return [schema.DICTIONARY]


def drawings(document: Document) -> dict[str, Drawing]:
    """The document's pictures that have anything to show, by name."""
    found = {one.name: one.draw() for one in _pictures(document.sections) if one.draw is not None}
    return {name: drawing for name, drawing in found.items() if drawing is not None}


def _pictures(blocks: Sequence[Block]) -> Iterator[Picture]:
    for block in blocks:
        if isinstance(block, Picture):
            yield block
        elif isinstance(block, Section):
            yield from _pictures(block.blocks)
