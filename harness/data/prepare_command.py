"""`alexbench prepare`: prepare, show what came of it, and be stopped without loss."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from harness.data import contents
from harness.data.plan import WORK
from harness.data.prepare import Outcome, prepare, side_for
from harness.data.preprocessing import too_small
from harness.data.sources.folder_parts import Parts
from harness.data.sources.opening import open_source
from harness.data.sources.source import Source
from harness.data.watching import watched
from harness.errors import UsageError
from impls import catalog
from impls.spec import Network
from reports.render.terminal import Console, say


def run(
    data: str,
    out: Path,
    side: int | None,
    network: str | None,
    *,
    parts: Parts = (),
    strict: bool,
    resume: bool,
    jobs: int | None,
) -> int:
    """Prepare and return the exit code. Raises AlexbenchError, KeyboardInterrupt."""
    try:
        source = open_source(data, parts)
        chosen = _side(source, side, catalog.get(network) if network else None)
        with watched(f"preparing {source.title}") as watch:
            outcome = prepare(source, out, chosen, resume=resume, strict=strict, jobs=jobs, watch=watch)
    except KeyboardInterrupt:
        if (out / WORK).is_dir():
            say(f"what was prepared is kept: go on with --resume --out {out}", error=True)
        raise
    show(outcome)
    return 0


def _side(source: Source, side: int | None, network: Network | None) -> int:
    """The side asked for, or the one that suits. Raises UsageError where the network could not use it."""
    if side is None:
        return side_for(source, network)
    if network is not None and side < max(network.height, network.width):
        raise UsageError(too_small(network, side))
    return side


def show(outcome: Outcome) -> None:
    """A line per part, then what it took, the classes, and what was left out."""
    prepared, console = outcome.prepared, Console()
    table = Table(box=None, pad_edge=False)
    table.add_column("part")
    for column in ("classes", "images", "side", "channels", "bytes"):
        table.add_column(column, justify="right")
    for name, part in prepared.parts.items():
        classes = len(set(part.labels.tolist()))
        figures = (classes, len(part), prepared.side, prepared.channels, part.images.nbytes)
        table.add_row(name, *(f"{figure:,}" for figure in figures))
    console.print(table)
    if outcome.found:
        console.print("it was prepared already", highlight=False)
    elif outcome.images:
        rate = outcome.images / outcome.seconds
        console.print(
            f"{outcome.images:,} images in {outcome.seconds:.1f} s, {rate:,.0f} images/s", markup=False, highlight=False
        )
    for line in (*contents.lines(prepared), f"hash: {prepared.content_hash}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
