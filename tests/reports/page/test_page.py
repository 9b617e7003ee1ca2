"""A page as text: whole in itself, private, escaped, in order, the same for the same document."""

from __future__ import annotations

import base64
import re
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise

import page_runs
import page_sample
import pytest
from page_sample import EVIL

from reports.document import Document, Note, Picture, Section, Table, Verdict
from reports.figures.style import PALETTE, Mark
from reports.render import html
from reports.render.html import Part
from reports.render.private import Private
from reports.render.svg import VectorPicture
from reports.schema import Column
from reports.statistics import Interval

KIB_300 = 300_000


class Read(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.texts.append(" " if tag in ("td", "th") else "")

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page() -> str:
    return html.page([page_sample.part()])


@pytest.fixture(scope="module")
def several() -> str:
    return html.page([page_sample.overview(), page_sample.part(), page_sample.part(folder="third")], "Runs")


def small(*blocks: object, **changes: object) -> str:
    section = Section(title="All", blocks=blocks)  # type: ignore[arg-type]
    given = Document(title="t", verdict=Verdict("v"), sections=[section])
    return html.page([Part(document=replace(given, **changes))])  # type: ignore[arg-type]


def test_a_page_asks_nothing_of_anybody_and_runs_its_own_script_only(page: str) -> None:
    read = Read(page)
    addresses = [
        value for _, attributes in read.elements for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href")
    ]  # fmt: skip
    assert addresses and all(address.startswith(("#", "data:,", "data:image/png;base64,")) for address in addresses)
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    [policy] = [one["content"] for one in read.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert f"'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]


def test_words_from_outside_are_words_wherever_they_stand(page: str) -> None:
    read = Read(page)
    assert len(read.all("script")) == 1
    assert page.count("<script>alert") == 0
    assert read.text.count(EVIL) > 30
    assert "\x1b" not in small(Note(text="\x1b[2J\u202e")) and r"\x1b[2J\u202e" in small(Note(text="\x1b[2J\u202e"))


def test_the_same_document_is_the_same_page(page: str) -> None:
    page_sample.drawing.cache_clear()
    assert html.page([page_sample.part()]) == page
    assert "\r" not in page


def test_nothing_tells_where_or_by_whom_it_was_made(page: str) -> None:
    assert not re.search(r"/home|alice", page)
    read = Read(page)
    assert "--impl 'mine.py:" in read.text and "--weights w.safetensors" in read.text and "out …/first" in read.text


def test_the_verdict_comes_first_then_caveats_failures_tables_and_last_the_options(page: str) -> None:
    text = Read(page).text
    text = text[text.index("✗ failed") :]
    order = [
        "✗ failed Not equal: 1 of 13", "Also 2 vacuous", "Broken off.", "Machine", "alexbench:0.1.0|network:",
        "Failures, first layer at fault", "likely cause: α/n", "alexbench parity --level forward", "conv10",
        "2 signatures", "1,968 more rows in numbers.csv", "Deeper", "Errors of", "Closed until opened",
        "This runs it again:", "packages.torch",
    ]  # fmt: skip
    places = [text.index(said) for said in order]
    assert places == sorted(places)
    assert "Nothing to draw" not in text and "Nothing " not in text  # a section of nothing has no heading


@pytest.mark.parametrize(("tone", "sign"), [("good", "✓ ok"), ("doubtful", "! doubtful"), ("bad", "✗ failed")])
def test_a_verdict_is_told_by_more_than_its_colour(tone: str, sign: str) -> None:
    shown = small(verdict=Verdict("Sentence.", tone))  # type: ignore[arg-type]
    assert f'class="verdict {tone}"' in shown and f"{sign} Sentence." in Read(shown).text


def test_headings_are_in_order_and_ids_are_one_elements_own(page: str, several: str) -> None:
    for shown in (page, several):
        read = Read(shown)
        levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch(r"h[1-6]", tag)]
        assert levels.count(1) == 1 and levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        ids = Counter(attributes["id"] for _, attributes in read.elements if "id" in attributes)
        assert set(ids.values()) == {1}
        named = ("aria-labelledby", "aria-describedby", "popovertarget", "data-signatures")
        told = {attributes[name] for _, attributes in read.elements for name in named if name in attributes}
        links = {one["href"][1:] for one in read.all("a") + read.all("use")}
        assert len(told) > 10 and (told | links) <= set(ids)
        assert {one["clip-path"][5:-1] for _, one in read.elements if "clip-path" in one} <= set(ids)
    assert Read(several).text.count("A section within") == 2


def test_tables_have_captions_scopes_and_figures_with_all_digits(page: str) -> None:
    read = Read(page)
    assert len(read.all("table")) == len(read.all("caption")) == 7
    assert {one["scope"] for one in read.all("th")} == {"col", "row"}
    values = [one["data-value"] for one in read.all("td") if "data-value" in one]
    assert repr(2_000 / 3) + " " + repr(1_900 / 3) + " " + repr(2_100 / 3) in values
    assert repr(5 / 97) in values and "1000000000000" in values
    assert '<td class="n">nan</td>' in page and '<td class="n">inf</td>' in page and '<td class="n"></td>' in page
    assert '<td class="n">n/a</td>' in page


def test_a_long_table_is_cut_and_says_where_the_rest_is() -> None:
    rows = [{"a": str(number)} for number in range(html.MAX_ROWS + 1)]
    table = Table(columns=[Column("a")], rows=rows)
    assert "1 more row." in Read(small(table)).text
    cut = Read(small(replace(table, most=2, file="all.csv")))
    assert "999 more rows in all.csv of the run's folder." in cut.text
    assert len(cut.all("tr")) == 3


def test_headings_of_columns_and_words_of_ours_explain_themselves(page: str) -> None:
    read = Read(page)
    known = {one["id"] for one in read.all("p") if "popover" in one}
    asked = [one["popovertarget"] for one in read.all("button")]
    assert set(asked) == known and len(asked) > len(known)
    assert f'The layer {EVIL} & "co".' in read.text and "What is kept. In B." in read.text
    assert "step ms Of a step in the steady state. " in read.text  # whose heading says the unit
    cell = small(Table(columns=[Column("a")], rows=[{"a": "stock"}]))
    assert Read(cell).all("button") == []  # a word in a cell stays a word
    twice = small(Note(text="stock and stock"), Note(text="Stock"))
    assert len(Read(twice).all("button")) == 1


def test_a_picture_has_a_description_a_table_and_titles_of_its_marks(page: str) -> None:
    read = Read(page)
    pictures = read.all("svg")
    assert len(pictures) == 2 and {one["role"] for one in pictures} == {"img"}
    assert f"Two series of {EVIL}" in read.text
    assert "torch stock\nconv1: 1.0" in page and "limit\nconv2: 0.6" in page
    assert page.count('data-series="torch stock"') == 4  # markers and intervals, twice
    text = read.text[read.text.index("The figures of this picture") :]
    assert text.index("conv1 1.0 2.0 0.5") < text.index("conv2 3.5 3.5 0.6")


@pytest.mark.parametrize(
    ("png", "embedded"),
    [
        (page_sample.png(), True),
        (None, False),
        (b"", False),
        (b"<svg onload=alert(1)>", False),
        (page_sample.png()[:60], False),
        (page_sample.png() + b"\0" * html.MAX_IMAGE_BYTES, False),
        (page_sample.png(8_000, 5_001, "1"), False),
    ],
)
def test_a_png_of_the_run_is_on_the_page_or_named(png: bytes | None, embedded: bool) -> None:
    picture = Picture(name="kernels", title="Kernels", alt="What is seen", file="figure3.png")
    document = Document(title="t", verdict=Verdict("v"), sections=[Section(title="s", blocks=[picture])])
    read = Read(html.page([Part(document=document, images={"figure3.png": png} if png is not None else {})]))
    shown = [one["alt"] for one in read.all("img") if one["src"].startswith("data:image/png;base64,")]
    assert shown == (["What is seen"] if embedded else [])
    assert ("the picture is figure3.png of the run's folder." in read.text) is not embedded


def test_several_documents_are_listed_and_a_run_in_the_first_leads_to_its_part(several: str) -> None:
    read = Read(several)
    assert read.text.index("Runs ! doubtful alexbench parity first ✗ failed") < read.text.index("2 runs, one of them")
    assert [one["href"] for one in read.all("a")][:5] == ["#main", "#part-1", "#part-2", "#part-3", "#part-2"]
    assert "second" in read.text


def test_a_page_is_small(page: str) -> None:
    assert len(page.encode()) < KIB_300 / 4
    assert len((html._asset("page.css") + html._asset("page.js")).encode()) < 25_000


@pytest.mark.parametrize("command", ["parity", "speed"])
def test_the_page_of_a_whole_run_in_its_defaults_is_small(command: str) -> None:
    run, rows = page_runs.RUNS[command]
    rows = {"parity": page_runs.whole_parity()} if command == "parity" else page_runs.speed_rows.tables((32, 128, 256))
    assert command != "parity" or len(rows["parity"]) == 1_890
    page = html.page([page_runs.part(run, rows)])
    assert "<svg" in page and "<tbody>" in page
    assert len(page.encode()) < KIB_300


def test_only_a_table_of_runs_leads_to_other_pages() -> None:
    rows = [{"run": "first", "layer": "first"}]
    given = [Table(columns=[Column("run")], rows=rows), Table(columns=[Column("layer"), Column("run")], rows=rows)]
    section = Section(title="s", blocks=given)
    page = html.page([Part(document=Document(title="t", verdict=Verdict("v"), sections=[section]))], "", {"first": "x"})
    assert [one["href"] for one in Read(page).all("a")] == ["#main", "x"]


def test_a_long_text_is_cut_and_says_so() -> None:
    rows = [{"reason": "a-" * html.MAX_TEXT}]
    shown = small(Table(columns=[Column("reason")], rows=rows), Note(text="stock and " * html.MAX_TEXT))
    assert Read(shown).text.count(html.CUT) == 2
    assert len(shown) < len(small(Note(text="x"))) + 3 * html.MAX_TEXT


def test_the_figures_of_a_picture_keep_all_digits() -> None:
    told = Mark(
        "s", "", (("a", "1,050 images/s"), ("b", "900 GFLOP/s"), ("c", "oom")), (1050.25, Interval(0.9, 0.8), None)
    )
    for marks in ({"a": told}, {"a": told, "b": Mark("t", "p", (("x", "1"),)), "c": Mark("u", "q", (("y", "2"),))}):
        grid = html._Renderer(Private()).grid(html._Renderer(Private()).marks(VectorPicture("", marks), "c"))
        assert [[cell.value for cell in row][-1] for _, row in grid.rows][:3] == ["1050.25", "0.9 0.8", ""]


def test_pictures_have_every_colour_by_day_and_by_night() -> None:
    day, _, night = html._asset("page.css").partition("@media screen and (prefers-color-scheme: dark)")
    for name, colour in PALETTE.items():
        assert f"--{name}: #" in day and f"--{name}: #" in night
        if name not in ("ink", "quiet"):
            assert f"--{name}: {colour};" in day
