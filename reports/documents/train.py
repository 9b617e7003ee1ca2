"""A training run: how far each training came, what it left, its curves, its epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from reports.document import Block, Document, Note, Row, Section, Table, Tone, Toned, Verdict
from reports.documents import common
from reports.documents.common import Run
from reports.format import number, percent, plural, text
from reports.schema import Column, Detail, column, columns
from reports.summaries import training as summary
from reports.summaries.training import Key

if TYPE_CHECKING:
    from reports.figures.style import Drawing

MAX_EPOCHS = 100  # of a training, in the report; the table has all
HASH = 12  # characters of a hash that tell it from every other
RESULTS = (
    Column("name", meaning="The framework, with the label where another was given.", label="training",
           detail=Detail.BRIEF),
    column("training", "epoch", label="epochs", format="whole", detail=Detail.BRIEF),
    column("training", "step", label="steps", format="whole", detail=Detail.BRIEF),
    column("training", "loss", detail=Detail.BRIEF),
    column("training", "top1_error", label="top-1 %", detail=Detail.BRIEF),
    column("training", "top5_error", label="top-5 %", detail=Detail.BRIEF),
    Column("lowest_error", "Float64", "The lowest top-1 error, and after which epoch it was first reached.", "1",
           label="best top-1 %", format="percent", detail=Detail.BRIEF),
    column("training", "images_per_s", detail=Detail.BRIEF),
    column("training", "seconds", label="time", format="duration", detail=Detail.BRIEF),
)  # fmt: skip
EPOCHS = (
    *columns("training", ("epoch", "step"), format="whole"),
    column("training", "learning_rate"),
    *RESULTS[3:6],
    column("training", "images_per_s"),
)
ALT = "Loss and top-1 error of each training by epoch, and the loss of the first steps"


def document(tables: Mapping[str, pd.DataFrame], run: Run) -> Document:
    """The document of a training run."""
    training, loss = tables["training"], tables["loss"]
    found, failed = summary.results(training), common.failures(run)

    def curves() -> Drawing | None:
        from reports.figures import curves

        return curves.figure(training, loss)

    return common.document(
        run,
        _verdict(found, len(failed.blocks), "so far" if common.unfinished(run) else "at the end"),
        [
            *map(_panel, summary.panels(found)),
            Section(title="What the trainings left", quiet=True, blocks=_left(run)),
            common.picture("curves", "Learning curves", curves, ALT),
            Section(
                title="Epochs",
                lead="Errors in % of the validation part.",
                detail=Detail.FULL,
                blocks=[_epochs(key, rows) for key, rows in summary.trainings(training).items()],
                closed=True,
            ),
        ],
        [failed],
    )


def _panel(rows: Sequence[Row]) -> Section:
    title = _title(rows)
    shown = [
        {**row, "lowest_error": Toned(row["lowest_error"], note=f"epoch {text(row, 'lowest_after')}")} for row in rows
    ]
    tones: list[Tone] = ["plain" if row["finite"] else "bad" for row in rows]
    return Section(title=title, blocks=[Table(columns=RESULTS, rows=shown, tones=tones, signed=True, caption=title)])


def _title(rows: Sequence[Row]) -> str:
    """`cifar-4layer on digits, recipe digits, float32, cpu`."""
    row = rows[0]
    recipe, split, devices = (text(row, name) for name in ("recipe", "split", "devices"))
    parts = [" on ".join(filter(None, [text(row, "network"), text(row, "data")])), f"recipe {recipe}" if recipe else ""]
    parts += [text(row, "precision"), text(row, "device")]
    parts += [f"{split} split on {devices} devices"] if split not in ("", "none") else []
    seeds = {text(row, "seed") for row in rows} - {""}
    parts += [f"seed {seeds.pop()}"] if len(seeds) == 1 else []
    return ", ".join(filter(None, parts))


def _left(run: Run) -> list[Note]:
    """`torch: weights torch.safetensors, hash 3f2a…`, a line per training."""
    trained = run.get("trained")
    notes = []
    for label, facts in trained.items() if isinstance(trained, Mapping) else ():
        if isinstance(facts, Mapping):
            files = [f"{name} {facts[name]}" for name in ("weights", "best") if facts.get(name)]
            files += [f"hash {str(facts['hash'])[:HASH]}"] if facts.get("hash") else []
            notes.append(Note(text=f"{label}: {', '.join(files)}"))
    return notes


def _epochs(key: Key, rows: Sequence[Row]) -> Section:
    """The last epochs of a training."""
    name, found, lowest = summary.name_of(key), summary.epochs(rows), summary.best(rows)
    shown = [
        {**row, "top1_error": Toned(row.get("top1_error"), "strong", "lowest")} if row is lowest else row
        for row in found[-MAX_EPOCHS:]
    ]
    blocks: list[Block] = [Table(columns=EPOCHS, rows=shown, caption=f"Epochs of {name}")] if shown else []
    left = len(found) - MAX_EPOCHS
    blocks += [Note(text=f"The {plural(left, 'epoch')} before these are in training.csv.")] if left > 0 else []
    return Section(title=name, blocks=blocks, detail=Detail.FULL)


def _verdict(found: Sequence[Row], failed: int, when: str) -> Verdict:
    if not found:
        return Verdict(
            f"No epoch was finished; {plural(failed, 'failure')}." if failed else "Nothing was trained.", "bad"
        )
    broken = [row["name"] for row in found if not row["finite"]]
    parts = [plural(len(found), "training")]
    parts += [f"loss no longer a number: {', '.join(broken)}"] if broken else []
    parts += [plural(failed, "failure")] if failed else []
    ends = [(row["name"], number(row, "top1_error")) for row in found]
    told = [f"{name} {percent(error)}%" for name, error in ends if error is not None]
    parts += [f"top-1 error {when}: {', '.join(told)}"] if told else []
    return Verdict("; ".join(parts) + ".", "bad" if broken or failed else "good")
