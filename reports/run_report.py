"""The files of a finished run: its tables as Parquet and CSV, its pictures, its `report.md`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from reports import (
    export_csv,
    export_markdown,
    export_parquet,
    parity_plot,
    parity_summary,
    speed_layers_plot,
    speed_markdown,
    speed_roofline,
    speed_throughput_plot,
    tables,
)

PICTURE = "error-by-layer.png"
REPORT = "report.md"

Tables = Mapping[str, Sequence[tables.Row]]
Picture = tuple[str, str, Callable[[Path], None]]  # file name, title, what draws it


def write(folder: Path, run: Mapping[str, Any], rows: Tables) -> list[str]:
    """Write everything that `rows` (kind -> rows) and `run` (what `run.json` holds) give; returns the file names.

    Raises OSError.
    """
    written = []
    for kind, found in rows.items():
        table = tables.frame(kind, found)
        export_parquet.write(table, folder / f"{kind}.parquet")
        export_csv.write(table, folder / f"{kind}.csv")
        written += [f"{kind}.parquet", f"{kind}.csv"]
    pictures = speed_pictures(run, rows)
    for name, _, draw in pictures:
        draw(folder / name)
        written.append(name)
    parity = rows.get("parity", ())
    picture = PICTURE if parity_plot.drawable(parity) else ""
    if picture:
        parity_plot.draw(parity, run.get("layers") or (), folder / picture)
        written.append(picture)
    text = _report(run, rows, {name: title for name, title, _ in pictures}, picture)
    export_markdown.write(text, folder / REPORT)
    return [*written, REPORT]


def speed_pictures(run: Mapping[str, Any], rows: Tables) -> list[Picture]:
    """The pictures for which there is something to draw."""
    speed, layers, peaks = (rows.get(kind, ()) for kind in ("speed", "layer", "peak"))
    order = tuple(run.get("layers") or ())
    draw = speed_throughput_plot.draw_throughput, speed_throughput_plot.draw_devices
    found: list[tuple[bool, Picture]] = [
        (
            speed_throughput_plot.throughput_drawable(speed),
            ("throughput.png", "Images/s by batch size and framework", partial(draw[0], speed)),
        ),
        (
            speed_throughput_plot.devices_drawable(speed),
            ("devices.png", "One device and several", partial(draw[1], speed)),
        ),
        (
            speed_layers_plot.drawable(layers),
            ("time-by-layer.png", "Time by layer", partial(speed_layers_plot.draw, layers, order=order)),
        ),
        (
            speed_roofline.drawable(layers, peaks),
            ("roofline.png", "Roofline", partial(speed_roofline.draw, layers, peaks)),
        ),
    ]
    return [picture for drawable, picture in found if drawable]


def _report(run: Mapping[str, Any], rows: Tables, pictures: Mapping[str, str], picture: str) -> str:
    """A folder of a speed run may hold the checks that came before it; they then stand after its figures."""
    parity, faults = rows.get("parity", ()), rows.get("self-test", ())
    if run.get("command") != "speed" and "speed" not in rows:
        return parity_summary.markdown(parity, run, picture, faults)
    return speed_markdown.markdown(rows, run, pictures, parity_summary.body(parity, picture, faults))
