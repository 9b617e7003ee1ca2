"""Where the time goes: each layer by itself, forward and backward, in every framework, against the roofline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, median
from typing import Any

import numpy as np

from harness.speed.effort import Budget, block_plan
from harness.speed.material import Prepared
from harness.speed.matrix import Setting
from harness.speed.peaks import Peak
from harness.speed.rows import Row, step_flops, step_ms
from harness.speed.seat import Ask, Seat
from harness.speed.stability import Blocks, step_time
from impls import catalog, costs
from impls.derive import LayerFacts, facts
from impls.spec_json import layer_to_json
from reports.statistics import Interval, location

MOST_SAMPLES = 10
WHOLE_STEP, REST = "(whole step)", "(update and rest)"

UNRESOLVED = "not told apart from 0"

Timed = dict[tuple[str, str], Blocks]  # (layer, pass) -> its blocks; pass is forward or both


@dataclass
class LayerTimes:
    """Measures one setting's layers in the seats that are left of it."""

    setting: Setting
    prepared: Prepared
    seats: Sequence[Seat]
    budget: Budget
    rng: np.random.Generator
    ask: Ask
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
        """Layer by layer, so that few arrays live at a time. A worker that ends leaves the others at it."""
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
                what = f"layer {row.layer.name} {name}"
                found = self.ask(self.seats[index], what, "speed-layer-block", name=name, samples=samples, steps=steps)
                if found is None:
                    del plans[index, name], blocks[index, name]
                else:
                    blocks[index, name].append(found["times"])
        for seat in self.seats:
            self.ask(seat, f"layer {row.layer.name}", "speed-forget")
        for (index, name), found_blocks in blocks.items():
            self._times[index][row.layer.name, name] = found_blocks

    def _made(self, seat: Seat, row: LayerFacts, name: str) -> float | None:
        """Seconds of one run of the layer; None where the framework cannot run it alone."""
        opened = self.prepared.open
        found = self.ask(
            seat,
            f"layer {row.layer.name} {name}",
            "speed-layer",
            name=name,
            layer=layer_to_json(row.layer),
            backward=name == "both",
            of_input=row.layer.name != self.first,
            network=opened["network"],
            weights=opened["weights"],
            batch_size=self.setting.batch_size,
            **seat.task(),
        )
        return None if found is None else float(found["once"])

    def rows(self, index: int, step: Interval | None, peak: Peak, signature: str) -> list[Row]:
        """One seat's layers, and where a step of the whole was measured, that step and what the layers leave of it.

        Shares and the rest are told only where every layer was measured: a missing one would be counted as rest.
        """
        seat, times = self.seats[index], self._times[index]
        who: dict[str, Any] = {
            "framework": seat.who.framework,
            "tuning": seat.who.tuning,
            **{name: getattr(self.setting, name) for name in ("network", "device", "precision", "batch_size")},
        }
        parts = list(self._parts(times))
        whole = all((row.layer.name, name) in times for row in self.layers for name in self.passes(row))
        total = sum(seconds.value for _, _, seconds, _ in parts)
        found = [
            who
            | {"layer": layer, "pass": name}
            | _figures(seconds, cost, peak)
            | {"share": seconds.value / total if whole and total else None, "signature": signature}
            for layer, name, seconds, cost in parts
        ]
        if step is not None and whole:
            work = costs.Cost(step_flops(self.setting), sum(cost.bytes for *_, cost in parts))
            found.append(
                who | {"layer": WHOLE_STEP, "pass": "all", **_figures(step, work, peak), "signature": signature}
            )
            rest = step_ms(remainder(step, [seconds for _, _, seconds, _ in parts]))
            found.append(who | {"layer": REST, "pass": "all", **rest, "signature": signature})
        return found

    def _parts(self, times: Timed) -> Any:
        for row in self.layers:
            name, forward = row.layer.name, times.get((row.layer.name, "forward"))
            size, precision = self.setting.batch_size, self.setting.precision
            if forward is not None:
                yield name, "forward", step_time(forward), costs.forward(row, size, precision)
            both = times.get((name, "both"))
            if forward is not None and both is not None:
                yield (
                    name,
                    "backward",
                    difference(both, forward),
                    costs.backward(row, size, precision, of_input=name != self.first),
                )


def difference(both: Blocks, forward: Blocks) -> Interval:
    """The backward pass: what both take less what the forward pass takes, round by round; never below zero.

    What slowed the machine in a round slowed both. Where a round shows no difference, the backward pass is not told
    apart from zero, and there is no interval.
    """
    found = [median(longer) - median(shorter) for longer, shorter in zip(both, forward, strict=True)]
    return location(found) if min(found) > 0 else Interval(max(0.0, fmean(found)), blocks=len(found))


def remainder(whole: Interval, parts: Sequence[Interval]) -> Interval:
    """What the whole takes beyond its parts: below zero where they take longer alone.

    The bounds are recovered from those of the whole and of its parts; without one of them there are none.

    References:
        Zou and Donner, Construction of Confidence Limits about Effect Measures, 2008.
    """
    value = whole.value - math.fsum(part.value for part in parts)
    if whole.low is None or whole.high is None:
        return Interval(value)
    below, above = [whole.value - whole.low], [whole.high - whole.value]
    for part in parts:
        if part.low is None or part.high is None:
            return Interval(value)
        below.append(part.high - part.value)
        above.append(part.value - part.low)
    return Interval(value, value - math.hypot(*below), value + math.hypot(*above))


def _figures(seconds: Interval, cost: costs.Cost, peak: Peak) -> dict[str, Any]:
    figures: dict[str, Any] = {**step_ms(seconds), "gflops": cost.flops / 1e9, "mbytes": cost.bytes / 1e6}
    resolved = seconds.value > 0 and (seconds.known or seconds.blocks == 1)
    if resolved:
        figures |= {"tflops": cost.flops / seconds.value / 1e12, "gb_per_s": cost.bytes / seconds.value / 1e9}
    else:
        figures["note"] = UNRESOLVED
    if peak.tflops is None or peak.gb_per_s is None:
        return figures
    by_memory = cost.intensity * peak.gb_per_s / 1e3
    roof = min(peak.tflops, by_memory)
    figures |= {"roof_tflops": roof, "bound": "compute" if peak.tflops <= by_memory else "memory"}
    if resolved and roof > 0:
        figures["fraction_of_roof"] = figures["tflops"] / roof
    return figures
