"""Where the time goes: each layer by itself, forward and backward, in every framework, against the roofline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from harness.speed.effort import Budget, block_plan
from harness.speed.material import Prepared
from harness.speed.matrix import Setting
from harness.speed.member import Fallen
from harness.speed.peaks import Peak
from harness.speed.rows import Row, step_flops
from harness.speed.seat import Seat
from harness.speed.statistics import Estimate, estimate
from impls import catalog, costs
from impls.derive import LayerFacts, facts
from impls.spec_json import layer_to_json

MOST_SAMPLES = 10
WHOLE_STEP, REST = "(whole step)", "(update and rest)"

Timed = dict[tuple[str, str], Estimate]  # (layer, pass) -> seconds; pass is forward or both


@dataclass
class LayerTimes:
    """Measures one setting's layers in the seats that are left of it."""

    setting: Setting
    prepared: Prepared
    seats: Sequence[Seat]
    budget: Budget
    rng: np.random.Generator
    say: Callable[[str], None]
    _times: dict[int, Timed] = field(default_factory=dict)

    @cached_property
    def first(self) -> str:
        """The first learned layer: no gradient goes beyond it."""
        return next(row.layer.name for row in self.layers if row.parameters)

    @cached_property
    def layers(self) -> tuple[LayerFacts, ...]:
        """The network's, in order."""
        return facts(catalog.get(self.setting.network))

    def passes(self, row: LayerFacts) -> tuple[str, ...]:
        """What is timed: a backward pass only together with its forward pass, and only where training has one."""
        names = [layer.layer.name for layer in self.layers]
        before = names.index(row.layer.name) < names.index(self.first)
        return ("forward",) if before or self.setting.phase == "forward" else ("forward", "both")

    def measure(self) -> None:
        """Layer by layer, so that few arrays live at a time. Raises Fallen where a worker ends."""
        self._times = {index: {} for index in range(len(self.seats))}
        for row in self.layers:
            self._layer(row)
        self.say(f"layers of {self.setting.told()}")

    def _layer(self, row: LayerFacts) -> None:
        plans: dict[tuple[int, str], tuple[int, int]] = {}
        for index, seat in enumerate(self.seats):
            for name in self.passes(row):
                once = self._made(seat, row, name)
                if once is not None:
                    plan = block_plan(once, self.budget.layer_s, self.setting.device)
                    plans[index, name] = (min(MOST_SAMPLES, plan.samples), plan.steps)
        blocks: dict[tuple[int, str], list[list[float]]] = {place: [] for place in plans}
        for _ in range(self.budget.layer_blocks):
            places = list(plans)
            for chosen in self.rng.permutation(len(places)):
                index, name = places[chosen]
                samples, steps = plans[index, name]
                found = self.seats[index].member.ask("speed-layer-block", name=name, samples=samples, steps=steps)
                blocks[index, name].append(found["times"])
        for seat in self.seats:
            seat.member.ask("speed-forget")
        for (index, name), found_blocks in blocks.items():
            self._times[index][row.layer.name, name] = estimate(found_blocks)

    def _made(self, seat: Seat, row: LayerFacts, name: str) -> float | None:
        """Seconds of one run of the layer; None where the framework cannot run it alone."""
        opened = self.prepared.open
        try:
            return float(
                seat.member.ask(
                    "speed-layer",
                    name=name,
                    layer=layer_to_json(row.layer),
                    backward=name == "both",
                    of_input=row.layer.name != self.first,
                    network=opened["network"],
                    weights=opened["weights"],
                    batch_size=self.setting.batch_size,
                    **seat.task(),
                )["once"]
            )
        except Fallen as fallen:
            if fallen.gone:
                raise
            self.say(f"{seat.who.label}: layer {row.layer.name} {name}: {fallen.reason}")
            return None

    def rows(self, index: int, step: Estimate | None, peak: Peak, signature: str) -> list[Row]:
        """One seat's layers, and where a step of the whole was measured, that step and what the layers leave of it."""
        seat, times = self.seats[index], self._times[index]
        who: dict[str, Any] = {
            "framework": seat.who.framework,
            "tuning": seat.who.tuning,
            **{name: getattr(self.setting, name) for name in ("network", "device", "precision", "batch_size")},
        }
        parts = list(self._parts(times))
        total = sum(seconds.median for _, _, seconds, _ in parts) or math.nan
        found = [
            who
            | {"layer": layer, "pass": name}
            | _figures(seconds, cost, peak)
            | {"share": seconds.median / total, "signature": signature}
            for layer, name, seconds, cost in parts
        ]
        if step is not None:
            work = costs.Cost(step_flops(self.setting), sum(cost.bytes for *_, cost in parts))
            found.append(
                who | {"layer": WHOLE_STEP, "pass": "all", **_figures(step, work, peak), "signature": signature}
            )
            rest = {"layer": REST, "pass": "all", "step_ms": (step.median - total) * 1e3, "signature": signature}
            found.append(who | rest)
        return found

    def _parts(self, times: Timed) -> Any:
        for row in self.layers:
            name, forward = row.layer.name, times.get((row.layer.name, "forward"))
            size, precision = self.setting.batch_size, self.setting.precision
            if forward is not None:
                yield name, "forward", forward, costs.forward(row, size, precision)
            both = times.get((name, "both"))
            if forward is not None and both is not None:
                yield (
                    name,
                    "backward",
                    less(both, forward),
                    costs.backward(row, size, precision, of_input=name != self.first),
                )


def less(both: Estimate, forward: Estimate) -> Estimate:
    """The backward pass: what both take less what the forward pass takes; never below zero."""
    median = max(0.0, both.median - forward.median)
    down = math.hypot(both.median - both.low, forward.high - forward.median)
    up = math.hypot(both.high - both.median, forward.median - forward.low)
    return Estimate(median, max(0.0, median - down), median + up, max(both.block_spread, forward.block_spread))


def _figures(seconds: Estimate, cost: costs.Cost, peak: Peak) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "step_ms": seconds.median * 1e3,
        "step_ms_low": seconds.low * 1e3,
        "step_ms_high": seconds.high * 1e3,
        "gflops": cost.flops / 1e9,
        "mbytes": cost.bytes / 1e6,
    }
    if seconds.median > 0:
        figures |= {
            "tflops": cost.flops / seconds.median / 1e12,
            "gb_per_s": cost.bytes / seconds.median / 1e9,
        }
    if peak.tflops is None or peak.gb_per_s is None:
        return figures
    by_memory = cost.intensity * peak.gb_per_s / 1e3
    roof = min(peak.tflops, by_memory)
    figures |= {"roof_tflops": roof, "bound": "compute" if peak.tflops <= by_memory else "memory"}
    if seconds.median > 0 and roof > 0:
        figures["fraction_of_roof"] = figures["tflops"] / roof
    return figures
