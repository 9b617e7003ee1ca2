"""What a speed run leaves beside its tables: pictures of throughput and of layers, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from reports import parity_report, speed_markdown
from reports.figures import roofline as speed_roofline
from reports.figures import throughput as speed_throughput_plot
from reports.figures import time_by_layer as speed_layers_plot
from reports.figures.style import Picture
from reports.format import Row


def pictures(rows: Mapping[str, Sequence[Row]], run: Mapping[str, Any]) -> list[Picture]:
    """Those for which there is something to draw, the checks' own last. `rows` is kind -> rows, `run` run.json."""
    speed, layers, peaks, samples = (rows.get(kind, ()) for kind in ("speed", "layer", "peak", "sample"))
    order = tuple(run.get("layers") or ())
    throughput, devices = speed_throughput_plot.draw_throughput, speed_throughput_plot.draw_devices
    by_layer = partial(speed_layers_plot.draw, layers, order=order)
    found = [
        (
            speed_throughput_plot.throughput_drawable(speed),
            Picture("throughput.png", "Images/s by batch size and framework", partial(throughput, speed)),
        ),
        (
            speed_throughput_plot.devices_drawable(speed),
            Picture("devices.png", "One device and several", partial(devices, speed, samples=samples)),
        ),
        (speed_layers_plot.drawable(layers), Picture("time-by-layer.png", "Time by layer", by_layer)),
        (
            speed_roofline.drawable(layers, peaks),
            Picture("roofline.png", "Roofline", partial(speed_roofline.draw, layers, peaks)),
        ),
    ]
    return [picture for drawable, picture in found if drawable] + parity_report.pictures(rows, run)


def markdown(rows: Mapping[str, Sequence[Row]], run: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report; the checks that came before the figures stand after them."""
    own = {name: title for name, title in pictures.items() if name != parity_report.PICTURE}
    return speed_markdown.markdown(rows, run, own, parity_report.body(rows, pictures))
