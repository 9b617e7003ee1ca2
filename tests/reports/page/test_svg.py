"""A picture of matplotlib becomes an element of a page: without what could run or clash, in the page's colours."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import page_sample
import pytest
from page_sample import EVIL

from reports.figures.style import Mark
from reports.render.svg import VectorPicture, prepared

HEAD = '<?xml version="1.0"?><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 50" height="9pt">'


def of(inside: str, **marks: Mark) -> ET.Element:
    return ET.fromstring(prepared(VectorPicture(f"{HEAD}{inside}</svg>", marks), "p", "what is seen"))


def test_a_picture_is_named_described_and_as_wide_as_the_page_lets_it() -> None:
    svg = of("<path/>")
    assert (svg.get("role"), svg.get("aria-labelledby"), svg.get("aria-describedby")) == ("img", "p", "p-alt")
    assert svg[0].get("id") == "p-alt" and svg[0].text == "what is seen"
    assert svg.get("height") is None and svg.get("viewBox") == "0 0 100 50"
    assert svg.get("style") == "min-width:115px;max-width:160px"


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<style>*{fill:red}</style>",
        "<metadata><x/></metadata>",
        "<foreignObject><p/></foreignObject>",
        '<a href="https://example.org"><path/></a>',
        '<image href="https://example.org/x.png"/>',
        '<path onload="alert(1)"/>',
        '<use href="https://example.org/x.svg#y"/>',
        '<animate attributeName="href"/>',
    ],
)
def test_what_runs_loads_or_reaches_beyond_the_picture_is_dropped(inside: str) -> None:
    text = ET.tostring(of(inside), encoding="unicode")
    assert not re.search("alert|example|<style|metadata|foreign|animate", text)


def test_ids_are_the_pictures_own_and_only_where_something_refers_to_them() -> None:
    svg = of(
        '<g id="figure_1"><defs><path id="m1" d="M 0 0"/><clipPath id="c"><rect/></clipPath></defs>'
        '<g id="axes_1" clip-path="url(#c)"><use href="#m1" style="fill: url(#h); stroke: #222222"/></g></g>'
    )
    assert {one.get("id") for one in svg.iter() if one.get("id")} == {"p-alt", "p-1", "p-2"}
    [use] = svg.iter("use")
    assert use.get("href") == "#p-2" and use.get("style") == "fill:url(#p-3);stroke:var(--ink)"
    assert [one.get("clip-path") for one in svg.iter("g")] == ["url(#p-1)"]


def test_colours_fonts_and_coordinates_are_the_pages() -> None:
    svg = of(
        "<text style=\"font: 700 8.5px 'DejaVu Sans', sans-serif; fill: #D55E00\" x='1.23456' "
        "transform='rotate(-0 1.23456 2)'>a</text><path d='M 1.0004 -2.5\nL 3 4' style='fill: #123456'/>"
        "<path transform='scale(0.0001234)'/>"
    )
    [text] = svg.iter("text")
    assert text.attrib == {"style": "font: 700 8.5px var(--sans);fill:var(--torch)".replace(": ", ":", 1), "x": "1.23"}
    line, scaled = svg.iter("path")
    assert line.attrib == {"d": "M 1 -2.5 L 3 4", "style": "fill:#123456"}
    assert scaled.get("transform") == "scale(0.0001234)"


def test_a_mark_tells_its_points_one_for_each_shape_in_their_order() -> None:
    shapes = '<g id="m"><defs><path id="x"/></defs><g><use href="#x"/><use href="#x"/></g></g>'
    told = [
        [one.text for one in shape] for shape in of(shapes, m=Mark("s <b>", "", (("a", "1"), ("b", "2")))).iter("use")
    ]
    assert told == [["s <b>\na: 1"], ["s <b>\nb: 2"]]
    svg = of(shapes, m=Mark("s", "panel", (("a", "1"),)))
    [group] = (one for one in svg.iter("g") if one.get("data-series"))
    assert group.get("data-series") == "s" and group[0].text == "s\npanel, a: 1"
    assert of(shapes, m=Mark("s", "", (("s", "1"),))).find(".//title").text == "s: 1"
    only = of(shapes, m=Mark("s", "", ()))
    assert not list(only.iter("title")) and next(only.iter("g")).get("data-series") == "s"
    wrong = of(shapes, m=Mark("s", "", (("a", "1"), ("b", "2"), ("c", "3"))))
    assert not list(wrong.iter("title"))  # better none than another's


def test_a_real_picture_keeps_its_words_and_loses_some_of_its_weight() -> None:
    drawing = page_sample.drawing()
    text = prepared(drawing, "p", f"alt {EVIL}")
    svg = ET.fromstring(text)
    assert f"Errors {EVIL}" in [one.text for one in svg.iter("text")]
    assert len(list(svg.iter("title"))) == sum(len(mark.points) for mark in drawing.marks.values()) == 9
    assert len(text) < len(drawing.svg) * 4 / 5
    assert not re.findall(r"#[0-9a-f]{6}", text)
