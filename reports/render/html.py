"""Documents as one page: a file that is whole, asks nothing of any network and runs no script but its own.

The template `page.html` escapes all text; with JavaScript off nothing is missing.
"""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib import resources
from itertools import zip_longest
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from reports import terms
from reports.document import Block, Document, Note, Picture, Row, Section, Table, Tone
from reports.format import visible
from reports.render import cells, svg
from reports.render.private import Private
from reports.render.svg import VectorPicture
from reports.schema import Column, Detail
from reports.statistics import Interval

MAX_ROWS = 1_000  # of a table that does not say itself how many it shows
MAX_TEXT = 8_000  # characters of a single text
MAX_IMAGE_BYTES = 4_000_000
MAX_IMAGE_PIXELS = 40_000_000
MAX_LINE = 32  # characters of a cell that are kept on one line
MAX_LINES = 120  # that are kept in a narrow column
DENSE = 2  # cells for each figure, up to which a picture's table has a column a series
MAX_HEADING = 6  # HTML has no smaller one

SIGNS = {"good": ("✓", "ok"), "doubtful": ("!", "doubtful"), "bad": ("✗", "failed")}  # beside the tone's colour
CUT = "… (cut; whole in the run's tables)"
RUN = "run"  # the column whose cells name runs: each leads to its page
THE_RUN = "The run"
FACTS = {"": THE_RUN, "arguments": "Options", "timings": "Times", "environment": "Environment"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A document on a page, and what it shows."""

    document: Document
    drawings: Mapping[str, VectorPicture] = field(default_factory=dict)  # name of a picture -> what was drawn
    images: Mapping[str, bytes] = field(default_factory=dict)  # name of a file in the run's folder -> PNG
    folder: str = ""  # name of the run's folder, without what lies above it
    anchor: str = ""  # of the part, made up where empty; the folder's name in an earlier part's table leads here
    places: Sequence[str] = ()  # absolute paths of the run's folder, here and where it ran


class Cell(NamedTuple):
    """A cell of a table on a page."""

    said: str
    beside: str = ""  # an interval's ends, which step back behind the figure
    value: str = ""  # the number with all its digits, and both ends of an interval; empty where the words say it
    style: str = ""  # CSS classes


class _Told(NamedTuple):
    """A cell's words for a number, which is kept beside them where it is known."""

    said: str
    number: float | Interval | None

    def __str__(self) -> str:
        return self.said


class ContentsLine(NamedTuple):
    """A line of the contents."""

    target: str
    title: str
    beside: str = ""
    tone: Tone = "plain"
    word: str = ""


class Grid(NamedTuple):
    """A table on a page."""

    columns: Sequence[Column]
    rows: Sequence[tuple[str, Sequence[Cell]]]  # CSS classes of the row, its cells
    left: int  # rows that are not shown
    signatures: Sequence[str]


def page(parts: Sequence[Part], title: str = "", links: Mapping[str, str] = MappingProxyType({})) -> str:
    """One page of one document, or of several under a heading each. Same documents, same bytes.

    `links`: name of a run's folder that is no part of the page -> the address of its own page, quoted as in URLs. One
    that would tell what is private leads nowhere.
    """
    script, style = _asset("page.js"), _asset("page.css")
    privately = Private(place for part in parts for place in part.places)
    renderer = _Renderer(privately)
    anchored = [(part, part.anchor or f"part-{number}") for number, part in enumerate(parts, 1)]
    whole = _template().render(
        written=lambda said: visible(_cut(privately(said))),
        parts=anchored,
        links={name: address for name, address in links.items() if privately(address) == address}
        | {part.folder: f"#{anchor}" for part, anchor in anchored if part.folder},
        title=title or " and ".join(dict.fromkeys(part.document.title for part in parts)),
        script=Markup(script),
        style=Markup(style),
        script_hash=base64.b64encode(sha256(script.encode()).digest()).decode(),
        signs=SIGNS,
        max_heading=MAX_HEADING,
        the_run=THE_RUN,
        run=RUN,
        render=renderer,
    )
    return f"{whole.strip()}\n"


def _cut(said: str) -> str:
    """A text that is no longer than a page has room for."""
    return said if len(said) <= MAX_TEXT else said[: MAX_TEXT - len(CUT)] + CUT


def _asset(name: str) -> str:
    return resources.files("reports.render").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    """The page's template, which escapes each text after `written` has made of it what a page may say."""

    @jinja2.pass_context
    def finalize(context: jinja2.runtime.Context, value: Any) -> Any:
        if isinstance(value, Markup) or not isinstance(value, str):
            return value
        return context["written"](value)

    environment = jinja2.Environment(
        autoescape=True, finalize=finalize, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset("page.html"))


class _Renderer:
    """What the template asks for. It numbers elements and gathers explanations in the order of the page."""

    def __init__(self, privately: Private) -> None:
        self.explanations: dict[tuple[str, str], str] = {}  # (word, sentences) -> id
        self._privately = privately
        self._seen: set[str] = set()  # words that the section at hand has explained
        self._numbers = itertools.count(1)

    def number(self) -> int:
        """One that no other element of the page has."""
        return next(self._numbers)

    def sections(self, part: Part) -> Iterator[tuple[int, Section]]:
        """The document's, findings first, with their numbers; each explains its words anew."""
        found = cells.longer((*part.document.findings, *part.document.sections))
        for place, section in enumerate(found, 1):
            if _has_content(section, part):
                self._seen.clear()
                yield place, section
        self._seen.clear()

    def blocks(self, blocks: Sequence[Block], part: Part) -> Iterator[tuple[str, Any]]:
        """Kind and block, or the notes that follow each other as one list; what has nothing to show is left out."""
        shown = [block for block in cells.longer(blocks) if _has_content(block, part)]
        for kind, group in itertools.groupby(shown, key=type):
            if kind is Note:
                yield "notes", list(group)
            else:
                yield from ((kind.__name__.lower(), block) for block in group)

    def pieces(self, said: str) -> Iterator[tuple[str, str]]:
        """The text in pieces, each with the id of its explanation: of a word where it first stands in a section."""
        for piece, term in terms.pieces(_cut(self._privately(said))):
            if not term or term in self._seen:
                yield piece, ""
            else:
                self._seen.add(term)
                yield piece, self._explained(term, terms.TERMS[term])

    def contents(self, parts: Sequence[tuple[Part, str]]) -> list[ContentsLine]:
        """What the page's list of contents names: its parts, or the sections of the only one."""
        if len(parts) > 1:
            return [
                ContentsLine(f"#{anchor}", part.document.title, part.folder, verdict.tone, verdict.word)
                for part, anchor in parts
                for verdict in (part.document.verdict,)
            ]
        [(part, anchor)] = parts
        found = [ContentsLine(f"#{anchor}-{place}", one.title) for place, one in self.sections(part) if one.title]
        has_run = bool(part.document.command or part.document.facts)
        return [*found, *([ContentsLine(f"#{anchor}-run", THE_RUN)] if has_run else [])]

    def classes(self, column: Column) -> str:
        """CSS classes of the column's heading."""
        return _side(column)

    def term(self, word: str) -> str:
        """The id of what explains one of our words."""
        return self._explained(word, terms.TERMS[word])

    def explained(self, column: Column) -> str:
        """The id of what explains a column's heading: its meaning, else the first of our words in it."""
        said = re.findall(r"[^\s.,;]+", f"{column.heading} {column.meaning}".lower())
        unit = "" if column.unit in ("", "1") or column.unit.lower() in said else f"In {column.unit}."
        if column.meaning:
            return self._explained(column.heading, f"{column.meaning} {unit}".strip())
        term = next(filter(None, (term for _, term in terms.pieces(column.heading))), "")
        if term:
            return self._explained(term, f"{terms.TERMS[term]} {unit}".strip())
        return self._explained(column.heading, unit) if unit else ""

    def _explained(self, word: str, sentences: str) -> str:
        return self.explanations.setdefault((word, sentences), f"word-{len(self.explanations) + 1}")

    def grid(self, table: Table) -> Grid:
        """The rows that a page shows."""
        rows = list(table.rows[: min(MAX_ROWS if table.most is None else table.most, MAX_ROWS)])
        columns = cells.shown(table, Detail.FULL) if rows else []
        signatures, numbers = cells.numbered(rows) if table.signed else ([], [])
        found = []
        last: Any = None
        for place, row in enumerate(rows):
            line = [_cell(row, column) for column in columns]
            if signatures:
                line.append(Cell("" if numbers[place] is None else str(numbers[place]), style="n"))
            tone = table.tones[place] if table.tones else ""
            group = row.get(table.groups) if table.groups else None
            found.append((" ".join(filter(None, [tone, "first" if place and group != last else ""])), line))
            last = group
        return Grid(columns, found, len(table.rows) - len(rows), signatures)

    def facts(self, facts: Mapping[str, str]) -> list[Table]:
        """Options, times and environment, a table each."""
        groups: dict[str, list[Row]] = {}
        for name, value in facts.items():
            head, _, rest = name.partition(".")
            known = head if rest and head in FACTS else ""
            groups.setdefault(known, []).append({"name": rest if known else name, "value": value})
        columns = (Column("name"), Column("value"))
        return [Table(columns=columns, rows=rows, caption=FACTS[head]) for head, rows in groups.items()]

    def svg(self, drawing: VectorPicture, name: str, alt: str) -> Markup:
        """The picture as an element of the page."""
        return svg.prepared(drawing, name, alt, lambda said: visible(_cut(self._privately(said))))

    def marks(self, drawing: VectorPicture, caption: str) -> Table:
        """What a picture shows, as a table: a column a series where most have a value at the same places."""
        points = [
            (mark.panel, at, mark.series, _Told(value, number))
            for mark in drawing.marks.values()
            for (at, value), number in zip_longest(mark.points, mark.numbers)
        ]
        series = list(dict.fromkeys(name for _, _, name, _ in points))
        form = "told" if any(told.number is not None for *_, told in points) else "text"
        columns = [*(Column(name) for name in ("panel", "series", "at")), Column("value", format=form)]
        places = {(panel, at): {"panel": panel, "at": at} for panel, at, _, _ in points}
        if len(series) * len(places) > DENSE * len(points) or {"panel", "at"} & set(series):
            rows = [
                {"panel": panel, "series": name, "at": at if at != name else "", "value": value}
                for panel, at, name, value in points
            ]
            return Table(columns=columns, rows=rows, caption=caption)
        for panel, at, name, value in points:
            places[panel, at][name] = value
        columns = [columns[0], columns[2], *(Column(name, format="told", label=name) for name in series)]
        return Table(columns=columns, rows=list(places.values()), caption=caption)

    def image(self, png: bytes | None) -> str:
        """The address of a PNG that holds itself; empty where there is none, or it is none, or too large."""
        return f"data:image/png;base64,{base64.b64encode(png).decode()}" if png and _is_png(png) else ""


def _has_content(block: Block, part: Part) -> bool:
    if block.detail == Detail.TERMINAL:
        return False
    if isinstance(block, Section):
        return any(_has_content(inner, part) for inner in cells.longer(block.blocks))
    if isinstance(block, Picture):
        return block.name in part.drawings or bool(block.file)
    return isinstance(block, Note) or bool(block.rows)


def _cell(row: Row, column: Column) -> Cell:
    value, said = cells.value(row, column), cells.said(row, column)
    beside = ""
    if isinstance(value, Interval):
        said, opening, rest = said.partition(" (")
        beside = f"{opening}{rest}".strip()
    styles = {
        "wide": len(said) > MAX_LINE,
        "wider": len(said) > MAX_LINES,
        cells.tone(row, column): cells.tone(row, column) != "plain",
    }
    style = " ".join(filter(None, [_side(column), *(name for name, has in styles.items() if has)]))
    exact = _exact(value)
    return Cell(said, beside, "" if exact == said else exact, style)


def _side(column: Column) -> str:
    """n of what is sorted by value, r of what only stands beside it."""
    return "n" if cells.is_numeric(column) else "r" if cells.is_right(column) else ""


def _exact(value: Any) -> str:
    """A number with all its digits; of an interval the figure and both ends."""
    if isinstance(value, _Told):
        return _exact(value.number)
    if isinstance(value, Interval):
        return " ".join(_exact(one) for one in (value.value, value.low, value.high) if one is not None)
    if isinstance(value, bool) or not isinstance(value, Real):
        return ""
    return str(int(value)) if isinstance(value, Integral) else repr(float(value))


def _is_png(found: bytes) -> bool:
    """Whether Pillow finds it to be a whole PNG of bounded size."""
    from PIL import Image

    if len(found) > MAX_IMAGE_BYTES:
        return False
    try:
        with Image.open(io.BytesIO(found), formats=("PNG",)) as image:
            width, height = image.size
            image.verify()
    except Exception:  # Pillow raises what it pleases
        return False
    return width * height <= MAX_IMAGE_PIXELS
