"""An evaluation: errors with intervals, what they may be compared with, who agrees, the worst classes, what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from reports import published
from reports.document import Block, Document, Note, Row, Section, Table, Verdict
from reports.documents import common
from reports.documents.common import Run
from reports.format import enumerated, lines_of, number, percent, plural, text
from reports.schema import Column, Detail, column, columns
from reports.statistics import Interval
from reports.summaries import evaluation as summary
from reports.summaries.evaluation import is_comparable, is_measured

STATUSES = {
    "not-finite": "outputs that are no numbers",
    "does-not-fit": "does not fit",
    "unsupported": "unsupported",
    "missing": "missing",
    "crashed": "crashed",
    "timed-out": "timed out",
}
PREDICTIONS = "predictions.parquet"
MAX_BRIEF_FAILURES = 8
MAX_APART = 20  # images on which frameworks differ
MAX_CLASSES, MAX_BRIEF_CLASSES = 20, 5
METHOD = (
    "Errors in %, with their 95 % interval. Softmax outputs are averaged over the views of an image and, in an "
    "ensemble, over its networks; where classes are equally probable, the right one has its share of the credit. "
    "Images/s were timed once and have no interval: alexbench speed measures them."
)
SCORES = (
    *columns("evaluation", ("network", "weights", "crops", "framework"), detail=Detail.BRIEF),
    *columns("evaluation", ("top1_error", "top5_error"), format="error", detail=Detail.BRIEF),
    Column("published", meaning="Top-1 and top-5 error published of the same network on the same images, in %.",
           detail=Detail.BRIEF, spare=2),
    column("evaluation", "images_per_s", detail=Detail.BRIEF, spare=1),
)  # fmt: skip
FILES = columns("evaluation", ("weights", "network", "file"))
APART = (
    *columns("agreement", ("image", "name", "label")),
    *(
        column("agreement", f"{name}_{one}", label=label, format="exact" if name in ("probability", "margin") else "")
        for one in ("a", "b")
        for name, label in (
            ("framework", f"framework {one.upper()}"),
            ("predicted", f"{one.upper()} says"),
            ("probability", "probability"),
            ("margin", "margin"),
        )
    ),
)
CLASSES = (
    *columns("class-error", ("class", "name", "images")),
    column("class-error", "top1_error", label="top-1 %"),
    column("class-error", "top5_error", label="top-5 %"),
)


def document(tables: Mapping[str, pd.DataFrame], run: Run) -> Document:
    """The document of an evaluation."""
    rows = summary.scores(tables["evaluation"])
    measured = [row for row in rows if is_measured(row)]
    failed = [row for row in rows if not is_measured(row)]
    agreements = summary.agreements(measured, tables["agreement"])
    return common.document(
        run,
        Verdict(_sentence(rows, measured, agreements), "good" if measured and not failed else "bad"),
        [
            *_panels(measured),
            Section(title="The weights", quiet=True, blocks=_files(rows)),
            Section(title="Agreement between the frameworks", quiet=True, blocks=_agreement(agreements)),
            Section(title="Classes with the highest error", quiet=True, blocks=_classes(tables["class-error"])),
            Section(title="Every image", detail=Detail.FULL, blocks=_predictions(run)),
        ],
        [
            Section(title="Scores that are not there", quiet=True, most_brief=MAX_BRIEF_FAILURES,
                    blocks=[_failure(row, run) for row in failed]),
            common.failures(run, [text(row, "reason") for row in failed]),
        ],
    )  # fmt: skip


def _comparison(key: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """In plain words what the scores of a panel may be compared with."""
    data, part = key[:2]
    where = " ".join(filter(None, (data, part)))
    told = [_beside(row) for row in rows if is_comparable(row)]
    others = [row for row in rows if not is_comparable(row)]
    known = list(dict.fromkeys(text(row, "network") for row in others if number(row, "paper_top1") is not None))
    if known:
        count = f"{number(rows[0], 'images') or 0:,.0f} images of {where}"
        whole = "the whole of a part of ImageNet" if published.edition(data) else "ImageNet"
        named = f"the network {enumerated(known)}"
        told.append(f"Not comparable: the errors published of {named} are of {whole}, these are of {count}.")
    unknown = list(dict.fromkeys(name for row in others if (name := text(row, "network")) not in known))
    if unknown:
        told.append(f"No error is published of the network {enumerated(unknown)} on {where}.")
    return told


def _agreement_text(agreement: Row) -> str:
    """Whether frameworks agree, in words."""
    names, images = enumerated(agreement["frameworks"]), agreement["images"]
    setting = f"{agreement['weights']}, {_views(agreement['crops'])}"
    if not agreement["apart"]:
        return f"{setting}: {names} agree on every one of {images} images."
    differing = {text(row, "image") for row in agreement["apart"]}
    return f"{setting}: {names} differ on {len(differing)} of {images} images."


def _harmony(agreements: Sequence[Row]) -> list[str]:
    """That frameworks agree on every image, in one sentence for all weights and crops with which they do."""
    groups: dict[tuple[Sequence[str], str], list[Row]] = {}
    for one in agreements:
        if not one["apart"]:
            groups.setdefault((one["frameworks"], one["images"]), []).append(one)
    told = []
    for (frameworks, images), found in groups.items():
        which = "all" if len(found) == len(agreements) else f"{len(found)} of {len(agreements)}"
        every = f"{enumerated(frameworks)} agree on every one of {images} images"
        alone = len(found) == 1
        told.append(_agreement_text(found[0]) if alone else f"{every}, in {which} settings of weights and crops.")
    return told


def _panels(measured: Sequence[Row]) -> list[Section]:
    made = [_panel(key, rows) for key, rows in summary.panels(measured).items()]
    return [replace(one, lead=METHOD) for one in made[:1]] + made[1:]  # how it was measured is said once


def _panel(key: Sequence[str], rows: Sequence[Row]) -> Section:
    """`cifar-4layer on digits, val: 360 images, float32, cpu`; the network has a column where there are several."""
    data, part, images, *rest = key
    networks = {text(row, "network") for row in rows}
    alone = f"{networks.pop()} on " if len(networks) == 1 else ""
    count = f"{int(images):,} {'image' if images == '1' else 'images'}" if images.isdigit() else ""
    title = f"{alone}{', '.join(filter(None, [data, part]))}: {', '.join(filter(None, [count, *rest]))}"
    told = [*_comparison(key, rows), *map(_repeated, summary.repeated_views(rows).items())]
    table = Table(columns=SCORES[1:] if alone else SCORES, rows=list(map(_score, rows)), signed=True, caption=title)
    return Section(title=title, blocks=[table, *(Note(text=one) for one in told)])


def _score(row: Row) -> Row:
    errors = {
        f"{name}_error": Interval(error, number(row, f"{name}_low"), number(row, f"{name}_high"))
        for name in ("top1", "top5")
        if (error := number(row, f"{name}_error")) is not None
    }
    figures = " / ".join(percent(number(row, name)) or "-" for name in ("paper_top1", "paper_top5"))
    return {**row, **errors, "published": figures if is_comparable(row) else ""}


def _beside(row: Row) -> str:
    """One score beside its published figure."""
    told = [said for name, called in (("top1", "top-1"), ("top5", "top-5")) if (said := _one_beside(row, name, called))]
    return f"{_where(row)}: {'; '.join(told)}."


def _one_beside(row: Row, name: str, called: str) -> str:
    ours, paper = number(row, f"{name}_error"), number(row, f"paper_{name}")
    if ours is None or paper is None:
        return ""
    low, high = number(row, f"{name}_low"), number(row, f"{name}_high")
    said = f"{called} {percent(ours)} %, published {percent(paper)} % ({100 * (ours - paper):+.2f} points"
    if low is None or high is None:
        return f"{said})"
    return f"{said}, {'inside' if low <= paper <= high else 'outside'} our interval)"


def _repeated(views: tuple[str, str]) -> str:
    crops, differing = views
    differ = f"{differing} {'differs' if differing == '1' else 'differ'}"
    return f"Of the {crops} views only {differ}: the prepared images leave a crop no room to move."


def _views(crops: str) -> str:
    """`centre crop`, `10 crops`."""
    return "centre crop" if crops == "1" else f"{crops} crops"


def _where(row: Row) -> str:
    """`torch, 3f2a91c0, 10 crops`."""
    return ", ".join(filter(None, [text(row, "framework"), text(row, "weights"), _views(text(row, "crops"))]))


def _files(rows: Sequence[Row]) -> list[Block]:
    """Which file each short hash is of."""
    files = summary.files(rows)
    brief = [Note(title=f"{one['weights']} is {one['name']}", detail=Detail.TERMINAL) for one in files]
    table = Table(columns=FILES, rows=files, caption="Files of the weights", detail=Detail.FULL)
    return [*brief, table] if files else []


def _agreement(agreements: Sequence[Row]) -> list[Block]:
    blocks: list[Block] = []
    for one in agreements:
        if not one["apart"]:
            continue
        told = _agreement_text(one)
        left = len(one["apart"]) - MAX_APART
        brief = [_apart(row) for row in one["apart"][:MAX_APART]]
        brief += [f"and {left} more in agreement.csv"] if left > 0 else []
        shortly = [Note(text=said, detail=Detail.TERMINAL) for said in brief]
        table = Table(columns=APART, rows=one["apart"], most=MAX_APART, file="agreement.csv", caption=told,
                      detail=Detail.FULL)  # fmt: skip
        blocks += [Note(text=told, tone="doubtful"), *shortly, table]
    return [*blocks, *(Note(text=said, tone="good") for said in _harmony(agreements))]


def _apart(row: Row) -> str:
    """What two frameworks say of one image, with both probabilities and margins."""
    image = " ".join(filter(None, [text(row, "image"), text(row, "name")]))
    said = [
        f"{text(row, f'framework_{one}')} {text(row, f'predicted_{one}')} {_probability(row, f'probability_{one}')}"
        f" (margin {_probability(row, f'margin_{one}')})"
        for one in ("a", "b")
    ]
    return f"{image}, {text(row, 'label')}: {'; '.join(said)}"


def _probability(row: Row, name: str) -> str:
    value = number(row, name)
    return "-" if value is None else f"{value:.6f}" if abs(value) >= 1e-4 else f"{value:.1e}"


def _classes(class_error: pd.DataFrame) -> list[Block]:
    """`Worst classes (torch, 3f2a, 10 crops): 8 12.50 %, 1 9.09 %`, and a table of more."""
    blocks: list[Block] = []
    for rows in summary.worst_classes(class_error):
        where = _where(rows[0])
        worst = [f"{text(row, 'name')} {percent(row['top1_error'])} %" for row in rows[:MAX_BRIEF_CLASSES]]
        shortly = Note(title=f"Worst classes ({where}): {', '.join(worst)}", detail=Detail.TERMINAL)
        table = Table(columns=CLASSES, rows=rows, most=MAX_CLASSES, file="class-error.csv", detail=Detail.FULL,
                      caption=f"Classes with the highest error in {where}")  # fmt: skip
        blocks += [shortly, Note(text=f"{where}:", detail=Detail.FULL), table]
    return blocks


def _predictions(run: Run) -> list[Note]:
    """Where to find what was said of each image: too much to show."""
    there = PREDICTIONS in (run.get("files") or ())
    return [Note(text=f"The most probable classes of every image are in {PREDICTIONS}.")] if there else []


def _failure(row: Row, run: Run) -> Note:
    status = text(row, "status")
    setting = {name: text(row, name) for name in ("part", "crops", "tuning", "precision", "device")}
    return Note(
        status=STATUSES.get(status, status or "no score"),
        title=_where(row),
        text=lines_of(row, "reason").strip() or "no reason given",
        tone="bad",
        again=common.again(run, frameworks=text(row, "framework"), **setting),
    )


def _sentence(rows: Sequence[Row], measured: Sequence[Row], agreements: Sequence[Row]) -> str:
    if not rows:
        return "Nothing was scored."
    parts = [f"{len(measured)} of {plural(len(rows), 'score')} measured"]
    for status, count in Counter(text(row, "status") for row in rows if not is_measured(row)).items():
        said = STATUSES.get(status, status or "without a figure")
        parts.append(f"{count} with {said}" if status == "not-finite" else f"{count} {said}")
    best = [row for row in measured if number(row, "crops") == max(number(one, "crops") or 0 for one in measured)]
    alike = {tuple(text(row, name) for name in ("data", "part", "weights", "crops")) for row in best}
    if len(alike) == 1:
        errors = [sorted(number(row, name) or 0.0 for row in best) for name in ("top1_error", "top5_error")]
        ranges = [" to ".join(dict.fromkeys(percent(value) for value in (one[0], one[-1]))) for one in errors]
        where = f"{text(best[0], 'data')} {text(best[0], 'part')}".strip()
        parts.append(f"{_views(text(best[0], 'crops'))} on {where}: top-1 error {ranges[0]} %, top-5 {ranges[1]} %")
    if agreements:
        whole = all(not one["apart"] for one in agreements)
        parts.append("the frameworks agree on every image" if whole else "the frameworks differ on some images")
    return "; ".join(parts) + "."
