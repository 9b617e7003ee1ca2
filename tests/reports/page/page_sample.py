"""A document with one of everything that a page shows, and words in it that would like to be more than words."""

from __future__ import annotations

import io
import math
from functools import cache

from PIL import Image

from reports.document import Document, Note, Picture, Section, Table, Toned, Verdict
from reports.figures import style
from reports.render import svg
from reports.render.html import Part
from reports.schema import Column
from reports.statistics import Interval

EVIL = "<script>alert(1)</script>"
FOLDER = "/home/alice/runs/first"
LAYERS = ("conv2", "conv10", "conv1", "fc8", f"norm{EVIL}", *(f"pool{number}" for number in range(1, 9)))
COMMAND = f"alexbench parity --impl '{FOLDER}/mine.py:{EVIL}' --out {FOLDER}"

COLUMNS = (
    Column("layer", meaning=f"The layer {EVIL} & \"co\"."),
    Column("step_ms", "Float64", "Of a step in the steady state.", "ms", "step ms", "interval"),
    Column("error", "Float64", label="error / gauge"),
    Column("bytes", "Int64", "What is kept.", "B", "bytes", "count"),
    Column("share", "Float64", format="percent", label="share %"),
    Column("verdict"),
    Column("note"),
)  # fmt: skip
ERRORS = (0.25, 12.5, 1.0e-7, math.nan, None, math.inf, *(0.5 + number for number in range(7)))


def row(place: int) -> dict[str, object]:
    known = Interval(2_000 / (place + 1), 1_900 / (place + 1), 2_100 / (place + 1), 3)
    return {
        "layer": LAYERS[place],
        "step_ms": known if place != 3 else Interval(7.25, blocks=1),
        "error": ERRORS[place],
        "bytes": 10**place if place != 2 else "n/a",
        "share": place / 97,
        "verdict": Toned("fail", "bad") if place == 1 else Toned("pass", "good"),
        "note": f"=1+{place}, \"{EVIL}\"" if place < 2 else None,
        "signature": f"alexbench:0.1.0|network:paper|seed:{place % 2}|layer:{EVIL}",
    }  # fmt: skip


ROWS = [row(place) for place in range(len(LAYERS))]
MAIN = Table(columns=COLUMNS, rows=ROWS, caption=f"Layers, stock and tuned {EVIL}", groups="verdict", signed=True)
LONG = Table(
    columns=(Column("number", "Int64"), Column("name")),
    rows=[{"number": number, "name": f"row {number}"} for number in range(2_000)],
    caption="Numbers", most=32, file="numbers.csv",
)  # fmt: skip


@style.styled
def figure(name: str = "errors") -> style.Drawing:
    """Two series with a marker at each place, an interval, and bars of a third."""
    drawn = style.drawing(name, f"Errors {EVIL}", f"of {EVIL}", [{"signature": "a:b"}], [3.0], width=6.4)
    [axes] = drawn.panels
    for place, series in enumerate(("torch stock", f"jax {EVIL}")):
        at, values = ["conv1", "conv2", f"fc {EVIL}"], [1.0 + place, 3.5, 2.0 * place + 1]
        colour = style.PALETTE[series.split()[0]]
        [points] = axes.plot(values, linestyle="none", marker="o", color=colour, label=series)
        style.mark(drawn, points, series, zip(at, map(str, values), strict=True))
        style.mark(drawn, axes.hlines(values, [0, 1, 2], [0.2, 1.2, 2.2], color=colour), series)
    bars = axes.bar(range(3), [0.5, 0.6, 0.7], facecolor=style.PALETTE["pale"], edgecolor=style.INK, hatch="//")
    style.mark(drawn, bars, "limit", [("conv1", "0.5"), ("conv2", "0.6"), (f"fc {EVIL}", "0.7")])
    style.beside(axes)
    return drawn


@cache
def drawing() -> svg.VectorPicture:
    return svg.drawn(figure())


def png(width: int = 40, height: int = 20, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height), "white").save(buffer, "PNG")
    return buffer.getvalue()


def document() -> Document:
    finding = Note(
        status="fail", title=f"forward  {EVIL}  norm1 and 3 more checks", tone="bad",
        text=f"baseline: {EVIL} times the baseline (limit 2); the first layer at fault is norm1\nlikely cause: α/n",
        again=f"alexbench parity --level forward --weights {FOLDER}/w.safetensors",
    )  # fmt: skip
    pictures = [
        Picture(name="errors", title=f"Errors of {EVIL}", alt=f"Two series of {EVIL}", draw=figure),
        Picture(name="again", title="The same again", alt="The same"),
        Picture(name="kernels", title="Kernels", alt=f"Kernels of {EVIL}", file="figure3.png"),
        Picture(name="lost", title="Neighbours", alt="Nearest neighbours", file="figure4.png"),
        Picture(name="not-drawn", title="Nothing to draw", alt="Nothing"),
    ]
    return Document(
        title="alexbench parity",
        verdict=Verdict(f"Not equal: 1 of 13 checks failed, first at {EVIL}; 2 vacuous, gauge 12.", "bad"),
        findings=[Section(title="Failures, first layer at fault", blocks=[finding, finding], tone="bad")],
        sections=[
            Section(
                title=f"Layers {EVIL}", lead=f"What stock and tuned make of the gauge, {EVIL}.",
                blocks=[
                    Note(text="The peak was measured in this run."),
                    Note(text=f"Doubt about {EVIL}", tone="doubtful"),
                    MAIN,
                    Section(title="A section within", blocks=[LONG, Section(title="Deeper", blocks=[Note(text="x")])]),
                ],
            ),
            Section(title="Pictures", blocks=pictures),
            Section(title="Nothing", blocks=[Table(columns=COLUMNS, rows=[]), pictures[-1]]),
            Section(title="Closed until opened", closed=True, blocks=[Note(text=f"Inside: {EVIL}", command="ls")]),
        ],
        caveats=[Note(text=f"Also 2 vacuous (proving nothing) and {EVIL}.", tone="doubtful"), Note(text="Broken off.")],
        machine="A processor, 2 cores usable",
        signature=f"alexbench:0.1.0|network:{EVIL}|seed:0",
        command=COMMAND,
        facts={
            "status": "complete",
            "arguments.out": FOLDER,
            "arguments.impl": f"{FOLDER}/mine.py:{EVIL}",
            **{f"environment.packages.{name}": "1.0" for name in ("torch", "jax", "numpy", "pandas", EVIL)},
            **{f"arguments.{name}": "yes" for name in "abcdefgh"},
        },
    )  # fmt: skip


def part(**changes: object) -> Part:
    given = {
        "document": document(), "drawings": {"errors": drawing(), "again": drawing()}, "images": {"figure3.png": png()},
        "folder": "first", "places": (FOLDER,),
    }  # fmt: skip
    return Part(**{**given, **changes})  # type: ignore[arg-type]


def overview() -> Part:
    """A table of runs, the second of which is not on the page."""
    rows = [{"run": "first", "status": "complete"}, {"run": "second", "status": "interrupted"}]
    table = Table(columns=(Column("run"), Column("status")), rows=rows, caption="Runs")
    verdict = Verdict("2 runs, one of them broken off.", "doubtful")
    return Part(document=Document(title="Runs", verdict=verdict, sections=[Section(title="All", blocks=[table])]))
