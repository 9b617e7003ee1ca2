"""What the device can do: the best matrix product, convolution and copy that any framework of the run reached.

Every figure of the run is held against this one peak and this one bandwidth.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness import environment
from harness.speed.effort import Budget
from harness.speed.options import Effort
from harness.speed.rows import Row
from harness.speed.seat import Ask, Seat, task_settings
from impls.protocol import Probe, Settings

KINDS = ("matmul", "convolution", "copy")
SIZES: dict[str, dict[str, int]] = {
    "cpu": {"matmul": 4096, "convolution": 128, "copy": 2**26},
    "cuda": {"matmul": 8192, "convolution": 1024, "copy": 2**28},
}
QUICK_SIZES = {"matmul": 2048, "convolution": 64, "copy": 2**25}  # on a CPU, where the others take a second each
SAMPLES = 3

Times = dict[tuple[int, str], list[float]]  # (seat's index, kind) -> median of each round


@dataclass(slots=True)
class Peak:
    """Of one device in one precision; None where nobody could measure it."""

    tflops: float | None = None
    gb_per_s: float | None = None


@dataclass
class Peaks:
    """By device and precision."""

    effort: Effort
    budget: Budget
    seed: int
    keep: Callable[[Row], None]
    _found: dict[tuple[str, str], Peak] = field(default_factory=dict)
    _known: set[tuple[str, ...]] = field(default_factory=set)  # device, precision, framework and kind of each row
    _answered: set[tuple[str, str]] = field(default_factory=set)  # every worker there answered, though some with no

    def of(self, device: str, precision: str) -> Peak | None:
        """What was measured; None where nothing was tried yet."""
        return self._found.get((device, precision))

    def settled(self, device: str, precision: str) -> bool:
        """Whether another attempt could tell no more."""
        peak = self.of(device, precision) or Peak()
        whole = peak.tflops is not None and peak.gb_per_s is not None
        return whole or (device, precision) in self._answered

    def take(self, rows: Sequence[Row]) -> None:
        """Rows of an earlier part of the run."""
        for row in rows:
            self._add(row)

    def measure(self, seats: Sequence[Seat], device: str, precision: str, ask: Ask) -> None:
        """Every kind that has no row yet in every seat, in turn and in random order, and one row for each.

        A worker that ends costs its own rows, and another attempt may be made.
        """
        times = self._rounds(seats, device, precision, ask)
        sizes = self._sizes(device)
        rows = [
            self._row(seats[index], kind, sizes[kind], device, precision, rounds)
            for (index, kind), rounds in sorted(times.items())
        ]
        for row in rows:
            self._add(row)
        peak = self.of(device, precision) or Peak()
        for row in rows:
            best = peak.gb_per_s == row["gb_per_s"] if row["probe"] == "copy" else peak.tflops == row["tflops"]
            self.keep(row | {"best": "yes" if best else "no"})
        if seats and not any(seat.member.gone for seat in seats):
            self._answered.add((device, precision))

    def _rounds(self, seats: Sequence[Seat], device: str, precision: str, ask: Ask) -> Times:
        times: Times = {}
        refused: set[tuple[int, str]] = set()  # no such precision, or too large: the others tell the peak
        rng = np.random.default_rng([self.seed, 10])
        places = [
            (index, kind)
            for index, seat in enumerate(seats)
            for kind in KINDS
            if (device, precision, seat.who.framework, kind) not in self._known
        ]
        for _ in range(self.budget.probe_rounds):
            for chosen in rng.permutation(len(places)):
                index, kind = place = places[chosen]
                if place in refused:
                    continue
                found = self._probe(seats[index], kind, device, precision, ask)
                if found is None:
                    refused.add(place)
                else:
                    times.setdefault(place, []).append(found)
        return times

    def _probe(self, seat: Seat, kind: str, device: str, precision: str, ask: Ask) -> float | None:
        settings = Settings(seat.settings.tuning, precision, device)  # type: ignore[arg-type]
        found = ask(
            seat,
            f"peak by {kind}",
            "speed-probe",
            kind=kind,
            size=self._sizes(device)[kind],
            seconds=self.budget.probe_s,
            samples=SAMPLES,
            **task_settings(settings),
        )
        return None if found is None else float(statistics.median(found["times"]))

    def _sizes(self, device: str) -> dict[str, int]:
        kind = "cpu" if device == "cpu" else "cuda"
        return QUICK_SIZES if kind == "cpu" and self.effort == "quick" else SIZES[kind]

    def _row(
        self, seat: Seat, kind: str, size: int, device: str, precision: str, rounds: Sequence[float]
    ) -> dict[str, Any]:
        probe = Probe(kind, size)  # type: ignore[arg-type]
        seconds = min(rounds)
        version = seat.facts.get("version", "")
        return {
            "framework": seat.who.framework,
            "device": device,
            "precision": precision,
            "probe": kind,
            "size": size,
            "step_ms": seconds * 1e3,
            # Of a peak the best counts; beside it stand the fastest and the slowest round, no interval of a mean.
            "step_ms_low": seconds * 1e3 if len(rounds) > 1 else None,
            "step_ms_high": max(rounds) * 1e3 if len(rounds) > 1 else None,
            "tflops": probe.flops / seconds / 1e12 if probe.flops else None,
            "gb_per_s": probe.bytes / seconds / 1e9 if probe.bytes else None,
            "best": "no",
            "signature": environment.signature(
                framework=f"{seat.who.framework}-{version}", device=device, precision=precision
            ),
        }

    def _add(self, row: Row) -> None:
        place = (row["device"], row["precision"])
        self._known.add((*place, row["framework"], row["probe"]))
        peak = self._found.setdefault(place, Peak())
        if row["tflops"] is not None:
            peak.tflops = max(peak.tflops or 0.0, row["tflops"])
        if row["gb_per_s"] is not None:
            peak.gb_per_s = max(peak.gb_per_s or 0.0, row["gb_per_s"])
