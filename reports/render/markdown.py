"""A document as Markdown. All its text is plain: what Markdown would take for markup is escaped."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from reports.document import Block, Document, Note, Picture, Section, Table
from reports.format import clean, plural
from reports.render import cells
from reports.schema import Detail

ENDING = ".png"  # of the pictures beside it
# What is markup wherever it stands: _ beside a word's end only, & of an entity, the middle of [words](address).
_INLINE = re.compile(r"[\\<*`~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|(?<=\])\(")
# And what is at the beginning of a line, or a # at the end of a heading.
_START = re.compile(r"^[#>=\[]|^[-+](?=[ -]|$)|#$")
_NUMBER = re.compile(r"^\d+(?=[.)](?: |$))")


def text(document: Document, pictures: Collection[str] = ()) -> str:
    """The whole document, its verdict first. `pictures` are the names of those that were drawn, without endings."""
    parts = [f"# {escaped(document.title)}"] if document.title else []
    parts += [f"**{escaped(document.verdict.sentence)}**", *_notes(document.caveats)]
    parts += [f"Machine: {escaped(document.machine)}."] if document.machine else []
    parts += [f"Time: {escaped(document.time)}."] if document.time else []
    for section in cells.longer((*document.findings, *document.sections)):
        parts += _section(section, 2, pictures)
    parts += list(_facts(document))
    return "\n\n".join(filter(None, parts)) + "\n"


def escaped(said: str) -> str:
    """Text of a sentence, list or heading, as one line without what Markdown would take for markup."""
    return _NUMBER.sub(r"\g<0>\\", _START.sub(r"\\\g<0>", _INLINE.sub(r"\\\g<0>", clean(said))))


def code(said: str) -> str:
    """Text set apart as it is, between backticks."""
    return f"`{clean(said).replace('`', ' ')}`"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool] = ()) -> str:
    """A Markdown table; numeric columns are set to the right."""
    rule = ["---:" if place < len(numeric) and numeric[place] else "---" for place in range(len(header))]
    lines = [list(map(_cell, header)), rule, *(list(map(_cell, row)) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _section(section: Section, level: int, pictures: Collection[str]) -> list[str]:
    parts: list[str] = []
    notes: list[Note] = []
    for block in cells.longer(section.blocks):
        if isinstance(block, Note):
            notes.append(block)
            continue
        parts += [*_notes(notes), *_block(block, level, pictures)]
        notes = []
    parts += _notes(notes)
    if not parts:
        return []
    title = [f"{'#' * level} {escaped(section.title)}"] if section.title else []
    return [*title, escaped(section.lead), *parts]


def _block(block: Block, level: int, pictures: Collection[str]) -> list[str]:
    if isinstance(block, Section):
        return _section(block, level + 1, pictures)
    if isinstance(block, Picture):
        there = block.file or (f"{block.name}{ENDING}" if block.name in pictures else "")
        alt = re.sub(r"[\[\]]", r"\\\g<0>", escaped(block.alt))
        return [f"![{alt}]({there})"] if there else []
    return _table(block) if isinstance(block, Table) else []


def _notes(notes: Sequence[Note]) -> list[str]:
    """A sentence is a paragraph, several are a list, as findings always are."""
    if not notes:
        return []
    if len(notes) == 1 and not notes[0].title and not notes[0].status:
        return [_note(notes[0])]
    return ["\n".join(f"- {_note(note)}" for note in notes)]


def _note(note: Note) -> str:
    head = " ".join(filter(None, [note.status and f"**{escaped(note.status)}**", escaped(note.title)]))
    lines = "; ".join(line for line in note.text.splitlines() if line.strip())
    commands = [code(note.command)] if note.command else []
    commands += [f"(again: {code(note.again)})"] if note.again else []
    return " ".join([*filter(None, [": ".join(filter(None, [head, escaped(lines)]))]), *commands])


def _table(given: Table) -> list[str]:
    rows = list(given.rows[: given.most])
    columns = cells.shown(given, Detail.FULL)
    if not rows or not columns:
        return []
    header = [column.heading for column in columns]
    lines = [[cells.said(row, column) for column in columns] for row in rows]
    listed = ""
    if given.signed:
        signatures, numbers = cells.numbered(rows)
        if signatures:
            header.append("signature")
            for line, number in zip(lines, numbers, strict=True):
                line.append("" if number is None else str(number))
            listed = "Signatures:\n\n" + "\n".join(f"{place}. {code(one)}" for place, one in enumerate(signatures, 1))
    left = len(given.rows) - len(rows)
    more = f"{plural(left, 'more row')}{f' in {code(given.file)}' if given.file else ''}." if left else ""
    return [table(header, lines, [cells.is_right(column) for column in columns]), more, listed]


def _facts(document: Document) -> Iterator[str]:
    if not (document.signature or document.command or document.facts):
        return
    yield "## The run"
    yield f"Again: {code(document.command)}" if document.command else ""
    yield f"Signature: {code(document.signature)}" if document.signature else ""
    yield table(("fact", "value"), list(document.facts.items())) if document.facts else ""


def _cell(said: str) -> str:
    return _INLINE.sub(r"\\\g<0>", clean(said)).replace("|", "\\|")
