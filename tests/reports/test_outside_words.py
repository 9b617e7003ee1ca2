"""Names and messages from outside: a terminal obeys none of them, Markdown and spreadsheets take none for markup."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import audit_rows
import evaluation_rows
import paper_rows
import parity_rows
import pytest
import speed_rows
import training_rows
from markdown_it import MarkdownIt
from rich.progress import Progress, TextColumn
from rich.table import Table as Grid
from rich.text import Text

from reports import documents, tables
from reports import write as run_report
from reports.document import Document, Note, Picture, Section, Table, Verdict
from reports.format import clean, visible
from reports.render import markdown
from reports.render.terminal import Console, say
from reports.schema import Column

EVIL = "\x1b[2J\x9b31m\u202e\u200b[red]<script>`x` *y* | [a](b)\x07"
SPELLED = r"\x1b[2J\x9b31m\u202e\u200b[red]<script>`x` *y* | [a](b)\x07"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
TEXTS = (
    "framework",
    "network",
    "weights",
    "file",
    "data",
    "tensor",
    "layer",
    "case",
    "reason",
    "cause",
    "note",
    "name",
)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (EVIL, SPELLED),
        ("plain, ±2 §5 日本 é", "plain, ±2 §5 日本 é"),
        ("a\u00a0b\u3000c", "a\u00a0b\u3000c"),
        ("two\n\tlines\r", "two\n\tlines\\r"),
        ("\u2066\ufeff\u2029\udc80\U000e0001\x85", r"\u2066\ufeff\u2029\udc80\U000e0001\x85"),
    ],
)
def test_control_characters_are_spelled_out_and_nothing_else(said: str, shown: str) -> None:
    assert visible(said) == shown


def test_a_cell_is_one_line() -> None:
    assert clean(" two\r\n lines \x1b[2J\u2028end") == r"two lines \x1b[2J end"


def test_a_terminal_obeys_nothing_but_the_programs_own_styles() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="standard", width=200)
    table = Grid(title=Text(EVIL))
    table.add_row(Text(EVIL, style="bold red"))
    console.print(table)
    console.print(EVIL, markup=False, soft_wrap=True)
    with Progress(TextColumn("{task.description}", markup=False), console=console) as progress:
        progress.add_task(EVIL)
    shown = file.getvalue()
    assert shown.count(SPELLED.partition("<")[0]) >= 4
    rest = re.sub("\x1b\\[(?:[0-9;]*m|\\?25[lh]|2K|1A)|\r", "", shown)  # styles, cursor and line of the progress bar
    assert not OBEYED.search(rest)
    assert "\x1b[2J" not in shown


def test_a_line_is_said_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"{'long ' * 40}:smile: {EVIL}")
    say("and this", error=True)
    assert capsys.readouterr() == (f"{'long ' * 40}:smile: {SPELLED}\n", "and this\n")


def spoiled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose names and messages are those of somebody hostile."""
    return [{**row, **{key: f"{row[key]}{EVIL}" for key in TEXTS if isinstance(row.get(key), str)}} for row in rows]


RUNS = {
    "parity": ({"command": "parity"}, {"parity": parity_rows.wanting()}),
    "speed": (speed_rows.RUN, speed_rows.tables((32,))),
    "train": (training_rows.RUN, training_rows.tables(("torch",), epochs=2)),
    "evaluate": (evaluation_rows.RUN, evaluation_rows.tables()),
    "paper": (paper_rows.RUN, paper_rows.tables()),
    "audit": (audit_rows.RUN, {"audit": audit_rows.audit()}),
}


@pytest.mark.parametrize("command", RUNS)
def test_the_files_of_a_run_hold_words_from_outside_as_text(command: str, tmp_path: Path) -> None:
    facts, given = RUNS[command]
    spoilt = {kind: spoiled(rows) for kind, rows in given.items()}
    evil = {"status": f"failed{EVIL}", "signature": EVIL, "failures": [EVIL], "forward_only": [f"onnx{EVIL}"]}
    run_report.write(tmp_path, {**facts, **evil, "arguments": {"impl": EVIL}}, spoilt)
    report = (tmp_path / "report.md").read_text()
    assert not OBEYED.search(report)
    outside_code = re.sub(r"(?<!\\)`[^`\n]*`", "", report)
    assert r"\<script>" in outside_code
    assert not re.search(r"(?<!\\)<script>|\[a\]\(b\)", outside_code)
    for kind, rows in spoilt.items():
        assert not OBEYED.search((tmp_path / f"{kind}.csv").read_text())
        kept = tables.records(tables.read_parquet(kind, tmp_path / f"{kind}.parquet"))
        assert [row["framework"] for row in kept if "framework" in row] == [
            row["framework"] for row in rows if "framework" in row
        ]


FORMULAS = ["=cmd|calc", "@SUM(1)", "+1+1", "-2+3", "\t=1", " =1", "'=1", "\uff1d1", "--note", "\n@x"]
PLAIN = ["-1.5", "+3", "a=b", "n02119789", "'quoted'", "x@y", "-inf", "fox, red"]


def test_a_formula_is_quoted_in_csv_alone_and_read_back_as_it_was(tmp_path: Path) -> None:
    names = [*FORMULAS, *PLAIN]
    table = tables.frame("class-error", [{"name": name, "top1_error": -1.5, "class": 3} for name in names])
    tables.write_csv(table, tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [*(f"'{name}" for name in FORMULAS), *PLAIN]
    assert {(row["top1_error"], row["class"]) for row in rows} == {("-1.5", "3")}
    back = tables.records(tables.read_csv("class-error", tmp_path / "c.csv"))
    assert [row["name"] for row in back] == names
    tables.write_parquet(table, tmp_path / "c.parquet")
    kept = tables.records(tables.read_parquet("class-error", tmp_path / "c.parquet"))
    assert [row["name"] for row in kept] == names


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("<script>alert(1)</script>", r"\<script>alert(1)\</script>"),
        ("`code` and *bold* and _it_", r"\`code\` and \*bold\* and \_it\_"),
        ("![x](http://a) [b](c)", r"![x]\(http://a) [b]\(c)"),
        ("a\n# heading\x1b", r"a # heading\\x1b"),
    ],
)
def test_markdown_takes_no_word_for_markup(said: str, written: str) -> None:
    assert markdown.escaped(said) == written


NASTY = (
    "# ",
    "- ",
    "+ ",
    "1. ",
    "12) ",
    "> ",
    "=",
    "---",
    "[x] ",
    "[a]: http://a ",
    "~~s~~ ",
    "&lt;b&gt; ",
    "](http://a) ",
)
HARMLESS = ("a-b 1.5 3 > 2", "-1.5 e", "top_1_error = 5 %", "R&D, A & B", "(see [1], [2])", "1.5. and 2")


@pytest.mark.parametrize("said", HARMLESS)
def test_markdown_leaves_harmless_words_as_they_are(said: str) -> None:
    assert markdown.escaped(said) == said


def structure(report: str) -> list[tuple[str, str, dict[str, Any]]]:
    """What a renderer makes of it, without its words."""
    parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(report)
    inner = [token for block in parsed for token in (block.children or [block])]
    return [(token.type, token.tag, token.attrs) for token in inner if token.type not in ("text", "code_inline")]


def shown_words(report: str) -> str:
    parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(report)
    return "\n".join(token.content for block in parsed for token in block.children or ())


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("command", RUNS)
def test_a_report_is_built_the_same_whatever_words_come_from_outside(command: str, nasty: str) -> None:
    facts, given = RUNS[command]

    def told(word: str) -> str:
        rows = {
            kind: [
                {**row, **{key: f"{word}{row[key]}" for key in TEXTS if isinstance(row.get(key), str)}} for row in found
            ]
            for kind, found in given.items()
        }
        run = {**facts, "failures": [word, f"{word}x"], "machine": word, "signature": f"{word}y"}
        return markdown.text(documents.of_rows(rows, run))

    report = told(nasty)
    assert structure(report) == structure(told("word "))
    assert nasty.strip() in shown_words(report)


@pytest.mark.parametrize("nasty", [*NASTY, "[a]", "a]"])
def test_a_note_a_heading_and_a_cell_are_the_words_they_were(nasty: str) -> None:
    table = Table(columns=[Column("a"), Column("b")], rows=[{"a": nasty, "b": f"{nasty}b"}])
    blocks = [Note(text=f"{nasty}text"), table, Note(status=nasty, title=nasty, text=nasty)]
    sections = [Section(title=f"{nasty}#", lead=nasty, blocks=blocks), Section(title="p", blocks=[Note(text=nasty)])]
    told = markdown.text(Document(title=nasty, verdict=Verdict(nasty), caveats=[Note(text=nasty)], sections=sections))
    calm = told.replace(markdown.escaped(nasty), "word")
    assert not {"link_open", "s_open", "html_inline", "hr", "blockquote_open"} & {kind for kind, *_ in structure(told)}
    assert [kind for kind, *_ in structure(told)] == [kind for kind, *_ in structure(calm)]
    assert f"{nasty}text" in shown_words(told) and f"{nasty}#" in shown_words(told)
    assert f"{nasty}b" in shown_words(told)


def test_a_cut_table_says_how_many_rows_more_there_are() -> None:
    table = Table(columns=[Column("a")], rows=[{"a": "x"}] * 3, most=1)
    section = Section(title="s", blocks=[table, replace(table, file="a.csv")])
    told = markdown.text(Document(title="t", verdict=Verdict("v"), sections=[section]))
    assert "2 more rows.\n" in told and "2 more rows in `a.csv`.\n" in told


def test_a_picture_is_named_by_its_title_as_text() -> None:
    picture = Picture(name="a", title="of `x` [a](b)", alt="`x` [a](b)")
    section = Section(title=picture.title, blocks=[picture])
    told = markdown.text(Document(title="t", verdict=Verdict("v"), sections=[section]), ["a"])
    assert r"## of \`x\` [a]\(b)" in told
    assert r"![\`x\` \[a\]\(b)](a.png)" in told


def test_a_word_between_colons_is_no_picture(capsys: pytest.CaptureFixture[str]) -> None:
    table = Grid("a", box=None)
    table.add_row(":dog:")
    Console().print(table)
    say("imagefolder:dog: train")
    assert capsys.readouterr().out.split() == ["a", ":dog:", "imagefolder:dog:", "train"]
