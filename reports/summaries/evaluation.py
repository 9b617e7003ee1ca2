"""What the rows of an evaluation amount to: scores side by side, what may be compared, who agrees. No rendering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports import published
from reports.format import Row, number, percent, plural, text

PANEL = ("data", "part", "images", "precision", "device")  # what one table has in common
SCORE = ("framework", "tuning", "network", "weights", "file", "crops", *PANEL)
STATUSES = {
    "not-finite": "outputs that are no numbers",
    "does-not-fit": "does not fit",
    "unsupported": "unsupported",
    "missing": "missing",
    "crashed": "crashed",
    "timed-out": "timed out",
}


@dataclass(frozen=True, slots=True)
class Panel:
    """The scores on one set of images."""

    key: tuple[str, ...]  # in the order of PANEL
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """`digits, val: 360 images, float32, cpu`."""
        data, part, images, *rest = self.key
        count = f"{int(images):,} {'image' if images == '1' else 'images'}" if images.isdigit() else ""
        return f"{', '.join(filter(None, [data, part]))}: {', '.join(filter(None, [count, *rest]))}"

    @property
    def where(self) -> str:
        """`digits val`."""
        return " ".join(filter(None, self.key[:2]))


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the frameworks say with the same weights and views, on the same images."""

    weights: str
    crops: str
    frameworks: tuple[str, ...]
    images: str
    apart: tuple[Row, ...]  # of the table `agreement`

    @property
    def sentence(self) -> str:
        """Whether they agree, in words."""
        names = enumerated(self.frameworks)
        setting = f"{self.weights}, {views(self.crops)}"
        if not self.apart:
            return f"{setting}: {names} agree on every one of {self.images} images."
        images = {text(row, "image") for row in self.apart}
        return f"{setting}: {names} differ on {len(images)} of {self.images} images."


@dataclass(frozen=True, slots=True)
class Worst:
    """The classes with the highest top-1 error, of one score."""

    framework: str
    weights: str
    crops: str
    rows: tuple[Row, ...]  # of the table `class-error`, the worst first, none without an error


@dataclass(frozen=True, slots=True)
class Digest:
    """An evaluation in short."""

    panels: tuple[Panel, ...]
    failures: tuple[Row, ...]
    files: tuple[tuple[str, str], ...]  # weights as the tables call them, and their file
    agreements: tuple[Agreement, ...]
    worst: tuple[Worst, ...]
    sentence: str


def digest(tables: Mapping[str, Sequence[Row]]) -> Digest:
    """Sum up the tables of an evaluation: kind -> rows."""
    rows = list({tuple(text(row, name) for name in SCORE): row for row in tables.get("evaluation", ())}.values())
    scored = [row for row in rows if is_measured(row)]
    panels: dict[tuple[str, ...], list[Row]] = {}
    for row in _ordered(scored):
        panels.setdefault(tuple(text(row, name) for name in PANEL), []).append(row)
    agreements = _agreements(scored, tables.get("agreement", ()))
    return Digest(
        panels=tuple(Panel(key, tuple(found)) for key, found in panels.items()),
        failures=tuple(row for row in rows if not is_measured(row)),
        files=_files(rows),
        agreements=agreements,
        worst=_worst(tables.get("class-error", ())),
        sentence=_sentence(rows, scored, agreements),
    )


def called(files: Sequence[tuple[str, str]]) -> list[str]:
    """`3f2a91c0 is torch-best.safetensors`: no more of each file's path than tells it from the others."""
    parts = [tuple(filter(None, file.split("/"))) for _, file in files]
    longest = max(map(len, parts), default=0)
    enough = next((n for n in range(1, longest) if len({one[-n:] for one in parts}) == len(set(parts))), longest)
    return [f"{weights} is {'/'.join(one[-enough:])}" for (weights, _), one in zip(files, parts, strict=True)]


def harmony(agreements: Sequence[Agreement]) -> list[str]:
    """That frameworks agree on every image, in one sentence for all weights and crops with which they do."""
    groups: dict[tuple[tuple[str, ...], str], list[Agreement]] = {}
    for one in agreements:
        if not one.apart:
            groups.setdefault((one.frameworks, one.images), []).append(one)
    told = []
    for (frameworks, images), found in groups.items():
        if len(found) == 1:
            told.append(found[0].sentence)
            continue
        which = "all" if len(found) == len(agreements) else f"{len(found)} of {len(agreements)}"
        settings = "settings of weights and crops"
        told.append(f"{enumerated(frameworks)} agree on every one of {images} images, in {which} {settings}.")
    return told


def is_measured(row: Row) -> bool:
    """Whether the row is a score."""
    return text(row, "status") in ("", "measured") and number(row, "top1_error") is not None


def is_comparable(row: Row) -> bool:
    """Whether the published figure is of the same network on the same images."""
    return text(row, "comparable") == "yes" and number(row, "paper_top1") is not None


def comparison(panel: Panel) -> list[str]:
    """In plain words what the scores may be compared with."""
    told = [_beside(row) for row in panel.rows if is_comparable(row)]
    others = [row for row in panel.rows if not is_comparable(row)]
    known = dict.fromkeys(text(row, "network") for row in others if number(row, "paper_top1") is not None)
    if known:
        count = f"{number(panel.rows[0], 'images') or 0:,.0f} images of {panel.where}"
        whole = "the whole of a part of ImageNet" if published.edition(panel.key[0]) else "ImageNet"
        told.append(f"Not comparable: the errors published of {_networks(known)} are of {whole}, these are of {count}.")
    unknown = dict.fromkeys(name for row in others if (name := text(row, "network")) not in known)
    if unknown:
        told.append(f"No error is published of {_networks(unknown)} on {panel.where}.")
    return told


def repeated_views(panel: Panel) -> list[str]:
    """Where an image has fewer different views than were asked for, because it is no larger than a view."""
    found: dict[tuple[str, str], None] = {}
    for row in panel.rows:
        crops, differing = number(row, "crops"), number(row, "differing_views")
        if crops is not None and differing is not None and differing < crops:
            found[text(row, "crops"), text(row, "differing_views")] = None
    return [
        f"Of the {crops} views only {differing} {'differs' if differing == '1' else 'differ'}: the prepared images "
        "leave a crop no room to move."
        for crops, differing in found
    ]


def _networks(names: Iterable[str]) -> str:
    return f"the network {enumerated(list(names))}"


def views(crops: str) -> str:
    """`centre crop`, `10 crops`."""
    return "centre crop" if crops == "1" else f"{crops} crops"


def enumerated(names: Sequence[str]) -> str:
    """`torch, tensorflow and jax`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """Weights in the order they were given, of each the crops, of these the frameworks; ensembles at the end."""
    weights = dict.fromkeys(text(row, "weights") for row in rows)
    places = {name: place for place, name in enumerate(weights)}

    def order(row: Row) -> tuple[object, ...]:
        return _is_ensemble(row), places[text(row, "weights")], number(row, "crops") or 0, text(row, "framework")

    return sorted(rows, key=order)


def _is_ensemble(row: Row) -> bool:
    return text(row, "weights").startswith("ensemble")


def _files(rows: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    named = {text(row, "weights"): text(row, "file") for row in rows if not _is_ensemble(row)}
    return tuple((weights, file) for weights, file in named.items() if file)


def _beside(row: Row) -> str:
    """One score beside its published figure."""
    where = f"{text(row, 'framework')}, {text(row, 'weights')}, {views(text(row, 'crops'))}"
    told = [said for name, called in (("top1", "top-1"), ("top5", "top-5")) if (said := _one_beside(row, name, called))]
    return f"{where}: {'; '.join(told)}."


def _one_beside(row: Row, name: str, called: str) -> str:
    ours, paper = number(row, f"{name}_error"), number(row, f"paper_{name}")
    if ours is None or paper is None:
        return ""
    low, high = number(row, f"{name}_low"), number(row, f"{name}_high")
    said = f"{called} {percent(ours)} %, published {percent(paper)} % ({100 * (ours - paper):+.2f} points"
    if low is None or high is None:
        return f"{said})"
    return f"{said}, {'inside' if low <= paper <= high else 'outside'} our interval)"


def _agreements(scored: Sequence[Row], apart: Sequence[Row]) -> tuple[Agreement, ...]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in _ordered(scored):
        groups.setdefault((text(row, "weights"), text(row, "crops")), []).append(row)
    found = []
    for (weights, crops), rows in groups.items():
        frameworks = tuple(dict.fromkeys(text(row, "framework") for row in rows))
        differing = [row for row in apart if (text(row, "weights"), text(row, "crops")) == (weights, crops)]
        if len(frameworks) > 1:
            found.append(Agreement(weights, crops, frameworks, text(rows[0], "images"), tuple(differing)))
    return tuple(found)


def _worst(rows: Sequence[Row]) -> tuple[Worst, ...]:
    """Of each weights file the score with the most views, in the first framework."""
    groups: dict[str, dict[tuple[str, str], list[Row]]] = {}
    for row in rows:
        score = text(row, "framework"), text(row, "crops")
        groups.setdefault(text(row, "weights"), {}).setdefault(score, []).append(row)
    found = []
    for weights, scores in groups.items():
        most = max(number(given[0], "crops") or 0 for given in scores.values())
        (framework, crops), given = next(item for item in scores.items() if (number(item[1][0], "crops") or 0) == most)
        bad = [row for row in given if number(row, "top1_error")]
        bad.sort(key=lambda row: (-(number(row, "top1_error") or 0.0), number(row, "class") or 0.0))
        found.append(Worst(framework, weights, crops, tuple(bad)))
    return tuple(found)


def _sentence(rows: Sequence[Row], scored: Sequence[Row], agreements: Sequence[Agreement]) -> str:
    if not rows:
        return "Nothing was scored."
    parts = [f"{len(scored)} of {plural(len(rows), 'score')} measured"]
    failed = Counter(text(row, "status") for row in rows if not is_measured(row))
    for status, count in failed.items():
        said = STATUSES.get(status, status or "without a figure")
        parts.append(f"{count} with {said}" if status == "not-finite" else f"{count} {said}")
    best = [row for row in scored if number(row, "crops") == max(number(one, "crops") or 0 for one in scored)]
    alike = {tuple(text(row, name) for name in ("data", "part", "weights", "crops")) for row in best}
    if len(alike) == 1:
        errors = [sorted(number(row, name) or 0.0 for row in best) for name in ("top1_error", "top5_error")]
        ranges = [" to ".join(dict.fromkeys(percent(value) for value in (one[0], one[-1]))) for one in errors]
        where = f"{text(best[0], 'data')} {text(best[0], 'part')}".strip()
        parts.append(f"{views(text(best[0], 'crops'))} on {where}: top-1 error {ranges[0]} %, top-5 {ranges[1]} %")
    if agreements:
        whole = all(not one.apart for one in agreements)
        parts.append("the frameworks agree on every image" if whole else "the frameworks differ on some images")
    return "; ".join(parts) + "."
