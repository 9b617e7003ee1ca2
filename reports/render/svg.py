"""A picture as matplotlib writes it, made fit to stand in a page among others."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

if TYPE_CHECKING:
    from reports.figures.style import Drawing, Mark

Say = Callable[[str], str]

# What a picture is drawn with. All else is dropped: scripts, styles, links, foreign content, metadata.
ELEMENTS = frozenset({
    "circle", "clipPath", "defs", "ellipse", "g", "image", "line", "linearGradient", "path", "pattern",
    "polygon", "polyline", "radialGradient", "rect", "stop", "svg", "text", "tspan", "use",
})  # fmt: skip
ATTRIBUTES = frozenset({
    "clip-path", "clipPathUnits", "cx", "cy", "d", "dx", "dy", "fill", "fill-opacity", "gradientTransform",
    "gradientUnits", "height", "offset", "opacity", "patternTransform", "patternUnits", "points",
    "preserveAspectRatio", "r", "rx", "ry", "stop-color", "stop-opacity", "stroke", "stroke-width", "style",
    "text-anchor", "transform", "viewBox", "width", "x", "x1", "x2", "y", "y1", "y2",
})  # fmt: skip
SHAPES = frozenset({"circle", "ellipse", "line", "path", "polygon", "polyline", "rect", "use"})
SMALLEST, LARGEST = 1.15, 1.6  # pixels for one of the picture's points, of which its words are 7 to 10 high
_REFERENCE = re.compile(r"url\(#([^)]*)\)")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_FAMILY = re.compile(r"\s*font-family:[^;]*;?")  # the page's own
_FONT = re.compile(r"(\bfont:[^;]*?[\d.]+px)[^;]*")
_UNTURNED = re.compile(r"\s*rotate\(-?0 [^)]*\)")
_LONG = re.compile(r"-?\d+\.\d{3,}")  # coordinates, in points


class VectorPicture(NamedTuple):
    """A picture drawn: SVG whose groups are called by ids, and what those show."""

    svg: str
    marks: Mapping[str, Mark]


def drawn(figure: Drawing) -> VectorPicture:
    """A figure of ours as SVG, with its marks."""
    from reports.figures import style

    return VectorPicture(style.svg(figure), figure.marks)


def prepared(drawing: VectorPicture, name: str, alt: str, say: Say = str) -> Markup:
    """The `<svg>` element for a page, labelled by the element `name` and described by its own text `alt`.

    `name` also makes its ids unique, and `say` writes every text. Colours of the palette become the page's variables.
    Raises xml.etree.ElementTree.ParseError.
    """
    from reports.figures.style import PALETTE

    root = ET.fromstring(drawing.svg)
    used = dict.fromkeys(used for element in root.iter() for used in _references(element))
    ids = {used: f"{name}-{number}" for number, used in enumerate(used, 1)}
    copy = _Copy(ids, drawing.marks, {colour: variable for variable, colour in PALETTE.items()}, say)
    [svg] = copy.of(root)
    for attribute in ("width", "height"):
        svg.attrib.pop(attribute, None)
    width = float(svg.get("viewBox", "0 0 640 480").split()[2])
    svg.set("style", f"min-width:{width * SMALLEST:.0f}px;max-width:{width * LARGEST:.0f}px")
    described = f"{name}-alt"
    svg.attrib |= {"role": "img", "aria-labelledby": name, "aria-describedby": described}
    svg.insert(0, _text("desc", say(alt), id=described))
    return Markup(ET.tostring(svg, encoding="unicode"))  # whose texts it has escaped


class _Copy(NamedTuple):
    """How an element becomes one of the page."""

    ids: Mapping[str, str]  # of what something refers to -> one that no other picture has
    marks: Mapping[str, Mark]
    variables: Mapping[str, str]  # colour -> CSS variable
    say: Say

    def of(self, element: ET.Element) -> list[ET.Element]:
        """The element without what a page has no use for; only its inside where it says nothing itself."""
        tag = _local(element.tag)
        if tag not in ELEMENTS:
            return []
        mark = self.marks.get(element.get("id", "")) if tag == "g" else None
        inside = [kept for child in element for kept in self.of(child)]
        attributes = self._attributes(element)
        if tag in ("g", "defs") and not (inside and (attributes or mark or tag == "defs")):
            return inside
        new = ET.Element(tag, attributes)
        new.extend(inside)
        if tag in ("text", "tspan"):
            new.text = self.say(element.text or "")
        if mark:
            self._tell(new, mark)
        return [new]

    def _tell(self, group: ET.Element, mark: Mark) -> None:
        """Titles of a mark's shapes: a shape a point, or one title for all shapes."""
        group.set("data-series", self.say(mark.series))
        defined = {id(shape) for definitions in group.iter("defs") for shape in definitions.iter()}
        shapes = [shape for shape in group.iter() if shape.tag in SHAPES and id(shape) not in defined]
        shapes = [shape for shape in shapes if shape.tag == "use"] or shapes  # markers, without the line between them
        told = shapes if len(shapes) == len(mark.points) else [group] if len(mark.points) == 1 else []
        for shape, (at, value) in zip(told, mark.points, strict=False):
            where = ", ".join(filter(None, [mark.panel, at if at != mark.series else ""]))
            said = f"{mark.series}\n{where}: {value}" if where else f"{mark.series}: {value}"
            shape.insert(0, _text("title", self.say(said)))

    def _attributes(self, element: ET.Element) -> dict[str, str]:
        kept = {}
        for full, value in element.attrib.items():
            name = _local(full)
            if name == "id":
                kept[name] = self.ids.get(value, "")
            elif name == "href" and value.startswith("#"):
                kept[name] = f"#{self.ids[value[1:]]}"
            elif name == "href" and value.startswith("data:image/png;base64,"):
                kept[name] = "".join(value.split())
            elif name in ATTRIBUTES:
                kept[name] = self._value(name, value)
        return {name: value for name, value in kept.items() if value}

    def _value(self, name: str, value: str) -> str:
        value = _REFERENCE.sub(lambda found: f"url(#{self.ids[found[1]]})", value)
        value = _COLOUR.sub(self._colour, value)
        if name == "style":
            return _FONT.sub(r"\1 var(--sans)", _FAMILY.sub("", value)).replace(": ", ":").replace("; ", ";")
        if name.lower().endswith("transform"):
            return _UNTURNED.sub("", value)
        return " ".join(_LONG.sub(_rounded, value).split())

    def _colour(self, found: re.Match[str]) -> str:
        variable = self.variables.get(found[0].lower())
        return f"var(--{variable})" if variable else found[0]


def _text(tag: str, said: str, **attributes: str) -> ET.Element:
    element = ET.Element(tag, attributes)
    element.text = said
    return element


def _local(name: str) -> str:
    """A name without its namespace: in HTML an SVG element has none."""
    return name.rpartition("}")[2]


def _references(element: ET.Element) -> list[str]:
    found: list[str] = []
    for name, value in element.attrib.items():
        found += [value[1:]] if _local(name) == "href" else _REFERENCE.findall(value)
    return found


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
