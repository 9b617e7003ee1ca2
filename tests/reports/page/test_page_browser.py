"""Pages in a real browser: read, sorted, filtered, copied, printed, in the dark, on a telephone, without JavaScript.

The browser is ALEXBENCH_BROWSER, one that is installed, or playwright's own. Where there is none the tests are skipped;
with ALEXBENCH_REQUIRE_BROWSER=1 they fail instead.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import page_runs
import page_sample
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from history_rows import two_states

from reports import write
from reports.document import Section, Table, Verdict
from reports.documents import DOCUMENTS, runs
from reports.documents.runs import Told
from reports.render import cells, html

REQUIRED = os.environ.get("ALEXBENCH_REQUIRE_BROWSER", "0") not in ("", "0")
INSTALLED = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"wide": 1280, "narrow": 360}
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
TABLE = "Layers, stock and tuned"

Open = Callable[..., Any]


def missing(why: str) -> None:
    if REQUIRED:
        pytest.fail(f"a browser is required here: {why}", pytrace=False)
    pytest.skip(f"no browser: {why}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        missing("playwright is not installed")
    with sync_playwright() as play:
        named = os.environ.get("ALEXBENCH_BROWSER") or next(filter(None, map(shutil.which, INSTALLED)), None)
        try:
            started = play.chromium.launch(executable_path=named, args=["--no-sandbox"])
        except Error as error:
            missing(
                f"{named or 'none is installed, and playwright has none of its own'} ({error.message.splitlines()[0]})"
            )
        yield started
        started.close()


@pytest.fixture(scope="module")
def parts() -> dict[str, html.Part]:
    """A run of every command, with its pictures."""
    return {command: page_runs.part(*page_runs.RUNS[command]) for command in DOCUMENTS}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, parts: dict[str, html.Part]) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    pages = {
        "one": html.page([page_sample.part()]),
        "several": html.page([page_sample.overview(), page_sample.part()], "Two runs"),
    }
    history = runs.document([Told(run, "complete", Verdict("All held.", "good")) for run in two_states(1 / 1.2)])
    pages["history"] = html.page([write.overview(history)])
    pages |= {command: html.page([part]) for command, part in parts.items()}
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8", newline="\n")
    return {name: folder / f"{name}.html" for name in pages}


@pytest.fixture
def opened(browser: Any, files: dict[str, Path]) -> Iterator[Open]:
    """A page opened in a context of its own. Any request but for the file, and any error, fails the test."""
    contexts, requests, errors = [], [], []

    def open_it(name: str = "one", width: str = "wide", **settings: Any) -> Any:
        viewport = {"width": WIDTHS[width], "height": 800}
        context = browser.new_context(viewport=viewport, reduced_motion="reduce", **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("dialog", lambda dialog: errors.append(dialog.message) or dialog.dismiss())
        page.goto(files[name].as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert requests == [one for one in requests if one in {path.as_uri() for path in files.values()}]
    assert len(requests) == len(contexts)
    assert errors == []


def table(page: Any, caption: str = TABLE) -> Any:
    return page.get_by_role("table", name=caption)


def first_column(shown: Any) -> list[str]:
    return [text.split("<")[0] for text in shown.locator("tbody tr:visible th").all_inner_texts()]


def copied(page: Any, button: Any, said: str) -> str:
    button.click()
    page.get_by_role("status").filter(has_text=said).wait_for(state="attached")
    return str(page.evaluate("navigator.clipboard.readText()"))


@pytest.mark.parametrize(("name", "width"), [("one", "wide"), ("several", "narrow"), ("history", "narrow")])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_page(opened: Open, name: str, width: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(name, width)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == WIDTHS[width]
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": TAGS}})
    assert found.violations_count == 0, found.generate_report()
    assert len(found.response["passes"]) > 30
    page.emulate_media(color_scheme="dark")  # which changes colours only
    found = Axe().run(page, options={"runOnly": {"type": "rule", "values": ["color-contrast"]}})
    assert found.violations_count == 0, found.generate_report()
    assert len(found.response["passes"]) == 1


@pytest.mark.parametrize("command", DOCUMENTS)
def test_the_page_of_every_command_is_read_wide_narrow_in_the_dark_and_on_paper(opened: Open, command: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page, axe = opened(command), Axe()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for width, colours in (("wide", "light"), ("narrow", "dark")):
        page.set_viewport_size({"width": WIDTHS[width], "height": 800})
        page.emulate_media(color_scheme=colours)
        assert page.evaluate("document.documentElement.scrollWidth") == WIDTHS[width]
        found = axe.run(page, options={"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()
    written = page.pdf(format="A4")
    assert written.startswith(b"%PDF") and b"/Type /Page\n" in written


def tables_of(blocks: Any) -> Iterator[Table]:
    for block in cells.longer(blocks):
        if isinstance(block, Table):
            yield block
        elif isinstance(block, Section):
            yield from tables_of(block.blocks)


@pytest.mark.parametrize("command", DOCUMENTS)
def test_the_page_of_every_command_has_all_rows_without_javascript(
    opened: Open, parts: dict[str, html.Part], command: str
) -> None:
    page, part = opened(command, java_script_enabled=False), parts[command]
    given = list(tables_of((*part.document.findings, *part.document.sections)))
    assert given
    rows = sum(min(len(table.rows), html.MAX_ROWS if table.most is None else table.most) for table in given)
    shown = page.locator("main section .table:not(figure .table, [id$='-run'] .table) tbody tr")
    assert shown.count() == rows
    assert page.locator("figure svg").count() == len(part.drawings)
    assert page.locator("figure .table tbody tr").count() >= len(part.drawings)
    assert part.document.verdict.sentence in page.locator(".verdict").inner_text()


def test_what_is_not_a_number_and_figures_of_pictures_are_sorted_by_what_they_say(opened: Open) -> None:
    page = opened("speed", permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    heading = page.get_by_role("columnheader", name="stable").first
    column = heading.evaluate("(one) => one.cellIndex") + 1
    heading.get_by_role("button").click()
    said = heading.locator(f"xpath=ancestor::table//tbody/tr/*[{column}]").all_inner_texts()
    assert len(set(said) - {""}) > 1 and [one for one in said if one] == sorted(one for one in said if one)
    sorted_tables = 0
    for one in page.locator("figure .table table").all():
        numeric = one.locator("thead th.n").first
        numeric.get_by_role("button").click()
        place = numeric.evaluate("(one) => one.cellIndex") + 1
        cells_of = one.locator(f"tbody tr > *:nth-child({place})").evaluate_all(
            "(all) => all.map((c) => c.dataset.value)"
        )
        values = [float(value.split()[0]) for value in cells_of if value]
        assert values == sorted(values)
        sorted_tables += len(values) > 1
    assert sorted_tables == page.locator("figure").count()


def test_a_page_is_dark_where_its_reader_is(opened: Open) -> None:
    shades = {}
    for colours in ("light", "dark"):
        page = opened(color_scheme=colours)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        paper = page.evaluate("getComputedStyle(document.querySelector('figure svg path')).fill")
        words = page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
        assert ground == paper != words
        shades[colours] = sum(int(part.strip(" rgb()")) for part in ground.split(","))
    assert shades["light"] > 700 and shades["dark"] < 120


def test_a_table_is_sorted_by_value_both_ways_and_back(opened: Open) -> None:
    shown = table(opened())
    given = first_column(shown)
    heading = shown.get_by_role("columnheader", name="error / gauge")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    numbers = shown.locator("tbody tr td:nth-child(3)").all_inner_texts()
    assert numbers == [
        "1e-07", "0.25", "0.50", "1.50", "2.50", "3.50", "4.50", "5.50", "6.50", "12.5", "inf", "nan", "",
    ]  # fmt: skip
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    numbers = shown.locator("tbody tr td:nth-child(3)").all_inner_texts()
    assert numbers[:3] == ["inf", "12.5", "6.50"] and numbers[-2:] == ["nan", ""]
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") is None
    assert first_column(shown) == given


def test_intervals_counts_and_names_are_sorted_as_a_reader_expects(opened: Open) -> None:
    shown = table(opened())

    def sorted_by(name: str) -> list[str]:
        shown.get_by_role("columnheader", name=name).get_by_role("button").click()
        return first_column(shown)

    assert sorted_by("step ms")[:2] == ["fc8", "pool8"]  # 7.25 of one block, then 154
    assert sorted_by("bytes")[-1] == "conv1"  # whose cell has words
    assert sorted_by("layer")[:4] == ["conv1", "conv2", "conv10", "fc8"]
    assert shown.locator("thead [aria-sort]").count() == 1


def test_a_table_is_filtered_and_the_rows_left_are_counted_aloud(opened: Open) -> None:
    page = opened()
    shown = table(page)
    shown.get_by_label("filter").fill("POOL7 pass")
    assert first_column(shown) == ["pool7"]
    assert shown.get_by_role("status").inner_text() == "1 of 13 rows"
    shown.get_by_label("filter").fill("nowhere")
    assert first_column(shown) == [] and shown.get_by_role("status").inner_text() == "0 of 13 rows"
    shown.get_by_label("filter").fill("")
    assert len(first_column(shown)) == 13 and shown.get_by_role("status").inner_text() == ""
    assert table(page, "The run").get_by_label("filter").count() == 0  # one row needs none


def test_a_table_is_copied_as_csv_with_all_digits_and_no_formula(opened: Open) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    shown = table(page)
    text = copied(page, shown.locator(".tool"), "13 rows copied as CSV")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == [
        "layer", "step_ms", "step_ms_low", "step_ms_high", "error", "bytes", "share", "verdict", "note", "signature",
    ]  # fmt: skip
    given = page_sample.ROWS
    assert [row["layer"] for row in rows] == [row["layer"] for row in given]
    assert float(rows[2]["step_ms"]) == 2_000 / 3 and float(rows[2]["step_ms_high"]) == 2_100 / 3
    assert (rows[3]["step_ms"], rows[3]["step_ms_low"]) == ("7.25", "")
    assert [rows[place]["error"] for place in (2, 3, 4, 5)] == ["1e-07", "nan", "", "inf"]
    assert float(rows[5]["share"]) == 5 / 97
    assert rows[1]["note"] == f"'{given[1]['note']}" and rows[1]["bytes"] == "10"
    assert [row["signature"] for row in rows] == [row["signature"] for row in given]
    shown.get_by_label("filter").fill("pool7")
    text = copied(page, shown.locator(".tool"), "1 row copied as CSV")
    assert [row["layer"] for row in csv.DictReader(io.StringIO(text))] == ["pool7"]


def test_signature_and_commands_are_copied(opened: Open) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    signature = copied(page, page.get_by_role("button", name="copy signature"), "signature copied")
    assert signature == page_sample.document().signature
    command = copied(page, page.get_by_role("button", name="copy command").last, "command copied")
    assert command == f"alexbench parity --impl 'mine.py:{page_sample.EVIL}' --out …/first"


def test_a_picture_tells_its_values_and_series_are_switched_off(opened: Open) -> None:
    page = opened()
    picture = page.locator("figure").first
    marker = picture.locator("[data-series='torch stock'] use").first
    marker.scroll_into_view_if_needed()
    box = marker.bounding_box()
    page.mouse.move(box["x"] - 8, box["y"] - 8)  # near enough
    tip = page.locator(".tip")
    assert tip.inner_text() == "torch stock\nconv1: 1.0"
    picture.get_by_label("torch stock").uncheck()
    assert not marker.is_visible()
    page.mouse.move(box["x"] - 7, box["y"] - 8)
    assert "torch" not in (tip.inner_text() if tip.is_visible() else "")
    assert picture.locator(f"[data-series='jax {page_sample.EVIL}'] use").first.is_visible()
    picture.get_by_label("torch stock").check()
    assert marker.is_visible()


def test_words_explain_themselves_to_a_press_a_pointer_and_the_keyboard(opened: Open) -> None:
    page = opened()
    explained = page.locator("[popover]:visible")
    word = page.locator(".verdict").get_by_role("button", name="vacuous")
    word.click()
    assert explained.inner_text().startswith("vacuous A check that passed and proves nothing")
    page.keyboard.press("Escape")
    assert explained.count() == 0
    heading = table(page).get_by_role("columnheader", name="step ms")
    heading.get_by_role("button").hover()
    explained.wait_for()
    assert explained.inner_text() == "step ms Of a step in the steady state."
    page.mouse.move(2, 2)
    explained.wait_for(state="hidden")
    heading.get_by_role("button").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    explained.wait_for()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"


def test_everything_is_reached_by_keyboard_alone(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.wait_for_url("**/one.html#main")
    reached = set()
    for _ in range(150):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(
            "((one) => one.matches(':focus-visible') && getComputedStyle(one).outlineStyle !== 'none' && one.tagName"
            " + ' ' + (one.type ?? '') + one.textContent.slice(0, 18))(document.activeElement)"
        ))  # fmt: skip
        if page.evaluate("document.activeElement === document.body"):
            break
    for wanted in (
        "BUTTON buttoncopy signature", "BUTTON buttonvacuous", "INPUT search", "BUTTON buttoncopy as CSV",
        "BUTTON buttonstep ms", "INPUT checkbox", "SUMMARY The figures of thi", "SUMMARY Environment and ev",
    ):  # fmt: skip
        assert wanted in reached
    assert page.evaluate("document.activeElement === document.body")  # and left again


def test_without_javascript_nothing_is_missing_and_nothing_is_offered_that_needs_it(opened: Open) -> None:
    page = opened(java_script_enabled=False)
    shown = table(page)
    assert first_column(shown) == [str(row["layer"]).split("<")[0] for row in page_sample.ROWS]
    assert page.locator("input, .tool, .sort").count() == 0
    assert page.get_by_text(page_sample.document().signature).first.is_visible()
    assert page.locator("figure svg text:visible").count() > 20
    title = page.locator("[data-series='torch stock'] use title").first
    assert title.text_content() == "torch stock\nconv1: 1.0"
    page.locator("figure").first.get_by_text("The figures of this picture").click()
    assert "3.5" in page.locator("figure").first.get_by_role("table").inner_text()
    page.get_by_text("Environment and every option").click()
    assert table(page, "Environment").is_visible()
    page.locator(".verdict").get_by_role("button", name="gauge").click()
    assert page.locator("[popover]:visible").inner_text().startswith("gauge What rounding can cause")


def test_on_paper_all_is_open_and_no_button_is_left(opened: Open) -> None:
    page = opened(color_scheme="dark")
    assert not page.get_by_text("Inside:").is_visible()
    page.emulate_media(media="print")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    for inside in ("Inside:", "packages.numpy"):
        assert page.get_by_text(inside).bounding_box()["height"] > 0
    assert page.locator(".tool:visible, input:visible, nav:visible, .skip:visible").count() == 0
    assert page.locator(".words").get_by_text("An error above the gauge fails.").is_visible()
    written = page.pdf(format="A4")
    assert written.startswith(b"%PDF") and written.count(b"/Type /Page\n") >= 4
    page.emulate_media(media="screen")
    assert not page.get_by_text("Inside:").is_visible()


def test_a_run_in_the_overview_leads_to_its_part(opened: Open) -> None:
    page = opened("several")
    page.get_by_role("table", name="Runs").get_by_role("link", name="first").click()
    page.wait_for_url("**/several.html#part-2")
    assert page.locator("#part-2").get_by_role("heading", name="alexbench parity").is_visible()
