"""What the ledger of `alexbench paper` says of the study notes: counted apart from the paper's own claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports import export_markdown
from reports.format import Row, plural, text

NOTE = "note "  # the beginning of their sections in the ledger
TITLE = "The notes' claims"
HOLDS = "holds"
HEADINGS = {"holds": "hold", "contradicted": "contradicted", "misnamed": "misnamed"}  # verdict -> in a sentence
MEANING = (
    "Statements of five study notes on the paper, quoted in English, beside what the paper's network, the note's own"
    " listing or a small computation gives. A figure is *misnamed* where it is right, but of another thing."
)
MOST_SHOWN = 2  # of a note, on the terminal


def is_of_note(row: Row) -> bool:
    """Whether a row of the ledger is of a note."""
    return text(row, "section").startswith(NOTE)


def by_note(rows: Sequence[Row]) -> dict[str, tuple[Row, ...]]:
    """`note 000` -> its rows, in their order."""
    found: dict[str, list[Row]] = {}
    for row in filter(is_of_note, rows):
        found.setdefault(text(row, "section"), []).append(row)
    return {note: tuple(inside) for note, inside in found.items()}


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """Verdict -> how many, the known verdicts first."""
    verdicts = [text(row, "verdict") for row in rows]
    order = [*HEADINGS, *(verdict for verdict in verdicts if verdict not in HEADINGS)]
    return {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(order) if verdict in verdicts}


def sentence(notes: Mapping[str, Sequence[Row]]) -> str:
    """`The notes' 3 claims: 1 holds, 2 contradicted.`, empty without notes."""
    rows = [row for inside in notes.values() for row in inside]
    return f"The notes' {_counted(rows)}" if rows else ""


def _counted(rows: Sequence[Row]) -> str:
    parts = [f"{count} {_in_sentence(verdict, count)}" for verdict, count in counts(rows).items()]
    return f"{plural(len(rows), 'claim')}: {', '.join(parts)}."


def _in_sentence(verdict: str, count: int) -> str:
    return "holds" if verdict == HOLDS and count == 1 else HEADINGS.get(verdict, verdict)


def summary(notes: Mapping[str, Sequence[Row]]) -> list[RenderableType]:
    """How many of each note's claims hold, and the first of those that do not."""
    if not notes:
        return []
    parts: list[RenderableType] = [Text(TITLE, style="bold"), _table(notes), Text()]
    more = 0
    for note, rows in notes.items():
        wrong = [row for row in rows if text(row, "verdict") != HOLDS]
        parts += [Padding(_line(note, row), (0, 0, 0, 2), expand=False) for row in wrong[:MOST_SHOWN]]
        more += len(wrong[MOST_SHOWN:])
    if more:
        parts.append(Padding(Text(f"{more} more of these in report.md", style="dim"), (0, 0, 0, 2), expand=False))
    return [*parts, Text()]


def _table(notes: Mapping[str, Sequence[Row]]) -> Table:
    verdicts = counts([row for rows in notes.values() for row in rows])
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("note", "file", *verdicts):
        table.add_column(Text(name), justify="right" if name in verdicts else "left")
    for note, rows in notes.items():
        found = counts(rows)
        file = text(rows[0], "source").partition(", ")[0]
        table.add_row(*map(Text, (note.removeprefix(NOTE), file, *(str(found.get(name, 0)) for name in verdicts))))
    return table


def _line(note: str, row: Row) -> Text:
    """The claim has the note's figure in it, or it stands beside."""
    claim, figure = text(row, "claim"), text(row, "paper")
    beside = "" if figure in claim else f" {figure},"
    ours, verdict = (text(row, "ours") or "-", "bold"), (f" ({text(row, 'verdict')})", "dim")
    return Text.assemble((f"{note} ", "dim"), f"{claim}:{beside} ours ", ours, verdict)


def markdown(notes: Mapping[str, Sequence[Row]]) -> list[str]:
    """A section of the report with a table for each note; empty without notes."""
    if not notes:
        return []
    parts = [f"## {TITLE}", MEANING]
    for note, rows in notes.items():
        file = text(rows[0], "source").partition(", ")[0]
        parts += [f"### {_title(note, file)}", export_markdown.escaped(_counted(rows)), _claims(rows)]
    return parts


def _title(note: str, file: str) -> str:
    return export_markdown.escaped(f"{note.capitalize()}, {file}" if file else note.capitalize())


def _claims(rows: Sequence[Row]) -> str:
    cells = {
        "where": [text(row, "source").partition(", ")[2] for row in rows],
        "claim": [text(row, "claim") for row in rows],
        "note": [text(row, "paper") for row in rows],
        "ours": [text(row, "ours") for row in rows],
        "verdict": [text(row, "verdict") for row in rows],
        "why": [text(row, "note") for row in rows],
    }
    return export_markdown.signed(cells, rows)
