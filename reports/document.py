"""What is said of a run, before anybody decides whether a terminal, Markdown or a page says it.

A document holds plain text and plain values. Text may come from outside: each renderer sees to it that its reader's
program obeys none of it. A document is made by one of `reports.documents` and shown by one of `reports.render`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reports.schema import Column, Detail

if TYPE_CHECKING:  # matplotlib takes a third of a second, and a terminal shows no picture
    from reports.figures.style import Drawing

Tone = Literal["plain", "good", "doubtful", "bad", "faint", "strong"]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Toned:
    """A cell in a tone of its own, or with words behind its value: `4.47 (lowest)`."""

    value: Any
    tone: Tone = "plain"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What it all comes to, in one sentence and one colour."""

    sentence: str
    tone: Tone = "plain"
    word: str = ""  # what a page calls it, where "ok", "doubtful" or "failed" is not the word


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A sentence, or a finding: what happened where, in the words below it."""

    text: str = ""  # several lines where it has them
    title: str = ""  # of a finding: where
    status: str = ""  # of a finding: what happened, in a word or two, in the tone's colour
    tone: Tone = "plain"  # of the status, of the title where there is none, of the text where it stands alone
    command: str = ""  # to be typed
    again: str = ""  # a command that shows a finding again, in a report and on a page
    detail: Detail = Detail.BRIEF


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of values. A cell is a number, a text, an Interval, None where there is none, or one of these Toned."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str = ""  # what the rows are, for who hears the table
    tones: Sequence[Tone] = ()  # of each row, where any has one
    groups: str = ""  # a column that says the same in several rows on end and is said once
    most: int | None = None  # rows that a report and a page show
    most_brief: int | None = None  # rows that a terminal shows
    file: str = ""  # of the run's, that has all rows
    signed: bool = False  # whether rows hold `signature`, to be numbered and listed below
    keeps_empty: bool = False  # whether columns without any value are shown
    quiet: bool = False  # whether a terminal goes without the headings
    detail: Detail = Detail.BRIEF


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure; where `draw` returns None there is nothing to show."""

    name: str  # of its files, without their endings
    title: str
    alt: str  # what is to be seen, for who does not see it
    draw: Callable[[], Drawing | None] | None = None
    file: str = ""  # of the run's, of a picture that can be drawn only while the run measures
    detail: Detail = Detail.FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a document under a heading; sections may hold sections."""

    title: str = ""
    blocks: Sequence[Block] = ()
    tone: Tone = "plain"  # of the title
    lead: str = ""  # a sentence or two below the title, in a report and on a page
    detail: Detail = Detail.BRIEF
    quiet: bool = False  # whether a terminal goes without the heading
    spaced: bool = False  # whether a terminal sets blank lines between the section's findings
    most_brief: int | None = None  # blocks that a terminal shows
    closed: bool = False  # whether a page shows only the heading until it is opened


Block = Note | Table | Picture | Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What is said of a run, or of several."""

    title: str
    verdict: Verdict
    sections: Sequence[Section] = ()
    findings: Sequence[Section] = ()  # what went wrong: first in a report; on a terminal last, beside the verdict
    caveats: Sequence[Note] = ()  # what must be said beside the verdict
    machine: str = ""  # that everything was measured on, in a line
    time: str = ""  # when it was measured, and how long that took
    signature: str = ""
    command: str = ""  # that does it again
    facts: Mapping[str, str] = field(default_factory=dict)  # of the run: options, environment, times
