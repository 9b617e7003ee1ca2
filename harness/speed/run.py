"""A sweep at work: settings one after the other, each in its frameworks and tunings side by side, rows as they come."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness import environment
from harness.progress import Progress
from harness.speed import estimate as estimates
from harness.speed import rows as tables
from harness.speed import watch
from harness.speed.cohort import Cohort
from harness.speed.effort import BUDGETS
from harness.speed.layers import LayerTimes
from harness.speed.material import Material, Prepared
from harness.speed.matrix import Setting
from harness.speed.member import Fallen, Member
from harness.speed.options import SpeedOptions
from harness.speed.peaks import Peak, Peaks
from harness.speed.rows import Row, Who
from harness.speed.seat import Seat, spec_of, started
from harness.speed.stability import block_spread, instability, step_time
from impls.protocol import Settings
from reports.format import briefly, figure
from reports.statistics import Interval
from reports.summaries.speed import images_interval

TRAINED = ("loss_first", "loss_last", "weights_changed")  # told also where they keep a figure from being told

Keep = Callable[[str, Row], None]


@dataclass
class SpeedRun:
    """`keep` takes a row of a kind the moment it is known; `note` a fact for run.json."""

    options: SpeedOptions
    material: Material
    progress: Progress
    keep: Keep
    note: Callable[..., None]
    rows: list[Row] = field(default_factory=list)  # of the table `speed`, of this and of earlier parts of the run
    weights: dict[str, str] = field(default_factory=dict)  # network -> hash
    versions: dict[str, str] = field(default_factory=dict)  # framework -> version
    frameworks: dict[str, Mapping[str, str]] = field(default_factory=dict)  # framework -> all it says of itself
    on_described: Callable[[Mapping[str, Mapping[str, str]]], None] | None = None  # hears it before anything is timed
    orders: list[dict[str, Any]] = field(default_factory=list)  # of the blocks of each setting
    beside: list[Row] = field(default_factory=list)  # status and reason of what failed in probes and layers

    def __post_init__(self) -> None:
        """What all settings share."""
        self.budget = BUDGETS[self.options.effort]
        self.peaks = Peaks(self.options.effort, self.budget, self.options.seed, lambda row: self.keep("peak", row))

    def resume(self, kept: Mapping[str, Sequence[Row]]) -> None:
        """Take the rows of an earlier part of the run as they are."""
        self.rows += kept.get("speed", ())
        self.peaks.take(kept.get("peak", ()))

    def measure(self, settings: Sequence[Setting], whos: Sequence[Who]) -> None:
        """Whatever is not measured yet."""
        left = tables.left(settings, whos, self.rows)
        for setting, missing in left.items():
            for who in missing:
                self.progress.expect(label_of(who, setting), self._expected_s(setting, who))
        for index, (setting, missing) in enumerate(left.items()):
            if missing:
                self._setting(setting, missing, index)

    def _expected_s(self, setting: Setting, who: Who) -> float:
        return estimates.setting_s(setting, (who.tuning,), 1, self.options.effort, environment.usable_cores())

    def _setting(self, setting: Setting, whos: Sequence[Who], index: int) -> None:
        """One setting, in as many cohorts as the memory asks for."""
        lacking = self._lacking(setting)
        if lacking:
            for who in whos:
                self._row(who, setting, "", status="does-not-fit", reason=lacking)
            return
        rng = np.random.default_rng([self.options.seed, 9, index])
        for members in cohorts(setting, whos):
            self._cohort(setting, members, rng)
        for row in tables.exchange_rows(setting) if setting.phase != "forward" else ():
            self.keep("exchange", row)

    def _lacking(self, setting: Setting) -> str:
        """Why no implementation can run this here; empty where one may."""
        available, where = available_bytes(setting), "GPU" if setting.device != "cpu" else "machine"
        least = estimates.least_bytes(setting) * (
            setting.devices if setting.emulated and setting.split == "data" else 1
        )
        if available is None or least <= available:
            return ""
        gib = estimates.GIB
        return f"needs at least {least / gib:.1f} GiB of memory, the {where} has {available / gib:.1f} GiB available"

    def _cohort(self, setting: Setting, whos: Sequence[Who], rng: np.random.Generator) -> None:
        seats: list[Seat] = []
        members: list[Member] = []
        try:
            for who in whos:
                try:
                    seat = started(self.options, who, setting, self.material.folder)
                except Fallen as fallen:
                    self._row(who, setting, "", status=fallen.status, reason=fallen.reason)
                    continue
                seats.append(seat)
                members.append(seat.member)
            if seats:
                self._measured(setting, seats, rng)
        finally:
            for member in members:
                member.kill()

    def _measured(self, setting: Setting, seats: list[Seat], rng: np.random.Generator) -> None:
        cohort = Cohort(
            setting=setting,
            seats=seats,
            budget=self.budget,
            folder=self.material.folder,
            rng=rng,
            gpus=watch.gpus(setting.device, setting.devices),
            failed=lambda seat, fallen: self._fell(seat, setting, fallen),
            keep_sample=lambda row: self.keep("sample", row),
            say=self.progress.say,
            advanced=lambda seat, share: self.progress.advance(
                label_of(seat.who, setting), share * self._expected_s(setting, seat.who)
            ),
        )
        cohort.describe()
        told = {seat.who.framework: seat.facts for seat in seats}
        if self.on_described is not None:
            self.on_described(told)
        self._learn(frameworks=told)
        prepared = self._prepared(setting, seats)
        if prepared is None:
            return
        cohort.measure(prepared)
        self.orders.append({"setting": setting.told(), "blocks": cohort.order})
        self.note(order=self.orders)
        try:
            self._peaks(setting, seats)
        finally:  # what was measured is kept, also where the probes are interrupted
            estimated = [self._finished(seat, setting) for seat in seats]
        if self.options.layers and setting.devices == 1:
            self._layers(setting, prepared, seats, estimated, rng)
        for seat in seats:
            seat.member.finish()

    def _prepared(self, setting: Setting, seats: Sequence[Seat]) -> Prepared | None:
        """The setting's weights and reference, once there is a framework on its device; else None."""
        if not seats:
            return None
        try:
            prepared = self.material.prepare(setting)
        except MemoryError as error:
            for seat in seats:
                reason = f"the float64 reference has no room in memory: {error}"
                self._fell(seat, setting, Fallen("does-not-fit", reason, gone=False))
            return None
        self._learn(weights={setting.network: prepared.weights_hash})
        return prepared

    def _learn(
        self,
        *,
        weights: Mapping[str, str] | None = None,
        frameworks: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Keep in run.json what a resumed run must find again."""
        self.weights |= weights or {}
        self.frameworks |= frameworks or {}
        self.versions |= {name: facts.get("version", "") for name, facts in self.frameworks.items()}
        self.note(weights=dict(self.weights), versions=dict(self.versions), frameworks=dict(self.frameworks))

    # --- peaks and layers ---------------------------------------------------------------------------------------------

    def _peaks(self, setting: Setting, seats: Sequence[Seat]) -> None:
        """Once for each device and precision: on one device, by one worker of each framework, its loop gone."""
        if not seats or self.peaks.settled(setting.device, setting.precision):
            return
        best = {seat.who.framework: seat for seat in sorted(seats, key=lambda seat: seat.who.tuning)}  # tuned is last
        with contextlib.ExitStack() as stack:
            probed = list(best.values())
            if setting.devices > 1:
                probed = [alone for seat in probed if (alone := self._alone(seat, setting, stack)) is not None]
            self.peaks.measure(probed, setting.device, setting.precision, self._ask_beside)
        peak = self.peaks.of(setting.device, setting.precision) or Peak()
        if peak.tflops is not None:
            self.progress.say(f"peak {peak.tflops * 1e3:.0f} GFLOP/s, copy {peak.gb_per_s or 0:.1f} GB/s")

    def _alone(self, seat: Seat, setting: Setting, stack: contextlib.ExitStack) -> Seat | None:
        """A worker on one device in place of one that is spread over several; None where it does not start."""
        settings = Settings(seat.settings.tuning, setting.precision, setting.device)
        try:
            member = Member(spec_of(self.options, seat.who, settings, alone=True), self.material.folder)
            stack.callback(member.kill)
            member.wait_until_ready()
        except Fallen as fallen:
            self._fell_beside(seat, "peak", fallen)
            return None
        return Seat(seat.who, settings, member, seat.facts)

    def _ask_beside(self, seat: Seat, what: str, do: str, **fields: Any) -> Mapping[str, Any] | None:
        """`seat.Ask`: the setting was measured before, and its row stands whatever becomes of this."""
        if seat.member.gone:
            return None
        try:
            return seat.member.ask(do, **fields)
        except Fallen as fallen:
            self._fell_beside(seat, what, fallen)
            return None

    def _fell_beside(self, seat: Seat, what: str, fallen: Fallen) -> None:
        said = f"{seat.who.label}: {what}: {fallen.status}: {fallen.reason}"
        self.progress.say(said.splitlines()[0])
        if fallen.gone or fallen.status == "crashed":  # and not where it only has no such thing, or no room for it
            self.beside.append({"status": fallen.status, "reason": said})

    def _layers(
        self,
        setting: Setting,
        prepared: Prepared,
        seats: Sequence[Seat],
        estimated: Sequence[Interval],
        rng: np.random.Generator,
    ) -> None:
        times = LayerTimes(setting, prepared, seats, self.budget, rng, self._ask_beside, self.progress.say)
        times.measure()
        peak = self.peaks.of(setting.device, setting.precision) or Peak()
        for index, (seat, step) in enumerate(zip(seats, estimated, strict=True)):
            signature = self._signature(seat.who, setting, seat.facts.get("version", ""))
            for row in times.rows(index, step, peak, signature):
                self.keep("layer", row)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _signature(self, who: Who, setting: Setting, version: str = "") -> str:
        return tables.signature(who, setting, version, self.weights.get(setting.network, ""), self.options.seed)

    def _fell(self, seat: Seat, setting: Setting, fallen: Fallen) -> None:
        signature = self._signature(seat.who, setting, seat.facts.get("version", ""))
        known = {name: seat.found.get(name) for name in ("compile_s", "first_step_s", "verdict", "gauge", *TRAINED)}
        self._row(seat.who, setting, signature, status=fallen.status, reason=fallen.reason, **known)

    def _finished(self, seat: Seat, setting: Setting) -> Interval:
        """The row of a seat that was measured to the end."""
        found, spread = step_time(seat.blocks), block_spread(seat.blocks)
        rate = setting.batch_size / found.value
        tflops = tables.step_flops(setting) / found.value / 1e12
        peak = self.peaks.of(setting.device, setting.precision) or Peak()
        reasons = list(filter(None, [instability(found, spread)]))
        reasons += [] if seat.steady else [f"no steady state within {len(seat.warm)} warm-up windows"]
        reasons += ["clocks throttled"] if seat.seen.throttled else []
        devices = setting.devices if setting.device != "cpu" else 1
        joules = seat.seen.joules
        self._row(
            seat.who,
            setting,
            self._signature(seat.who, setting, seat.facts.get("version", "")),
            status="measured",
            samples=sum(len(block) for block in seat.blocks),
            images_per_s=rate,
            tflops=tflops,
            fraction_of_peak=tflops / (peak.tflops * devices) if peak.tflops else None,
            joules_per_image=joules / (seat.steps * setting.batch_size) if joules is not None else None,
            stable="no" if reasons else "yes",
            note="; ".join(reasons) or None,
            block_spread=spread,
            clock_mhz=seat.seen.clock_mhz,
            throttled=None if seat.seen.throttled is None else "yes" if seat.seen.throttled else "no",
            **tables.step_ms(found),
            **_exchange(setting, found.value, peak),
            **seat.found,
        )
        return found

    def _row(self, who: Who, setting: Setting, signature: str, **found: Any) -> None:
        if not signature:
            signature = self._signature(who, setting)
        made = tables.speed_row(who, setting, signature=signature, **found)
        self.rows.append(made)
        self.keep("speed", made)
        self.progress.end(label_of(who, setting))
        if made["status"] == "measured":
            said = briefly(images_interval(made), figure)
            self.progress.say(f"{who.label}: {said} images/s, {setting.told()}")
        else:
            self.progress.say(f"{who.label}: {made['status']}: {str(made['reason']).splitlines()[0]}")


def _exchange(setting: Setting, step_s: float, peak: Peak) -> dict[str, Any]:
    if setting.split == "none" or setting.phase == "forward":
        return {}
    sent = sum(row["bytes"] for row in tables.exchange_rows(setting))
    share = sent / (peak.gb_per_s * 1e9) / step_s if peak.gb_per_s else None
    return {"bytes_exchanged": sent, "exchange_share": share}


def label_of(who: Who, setting: Setting) -> str:
    """A part of the work, for the progress."""
    return f"{who.label} {setting.told()}"


def available_bytes(setting: Setting) -> int | None:
    """Memory for all the workers of a setting on one device; None where nobody can tell."""
    if setting.device == "cpu":
        found = environment.available_memory_gb()
        return None if found is None else int(found * estimates.GIB)
    sizes = [gpu.memory_bytes() for gpu in watch.gpus(setting.device, setting.devices)]
    known = [size for size in sizes if size is not None]
    return min(known) if known else None


def cohorts(setting: Setting, whos: Sequence[Who], available: int | None = None) -> Iterator[list[Who]]:
    """Who is measured together: as many frameworks as fit in memory, a framework's tunings always together."""
    available = available if available is not None else available_bytes(setting)
    if setting.device == "cpu" and setting.devices > 1:
        available = None if available is None else available // 2  # each emulated device has its own copies
    pairs: dict[str, list[Who]] = {}
    for who in whos:
        pairs.setdefault(who.framework, []).append(who)
    each = estimates.worker_bytes(setting)
    together: list[Who] = []
    for pair in pairs.values():
        if together and available is not None and (len(together) + len(pair)) * each > available:
            yield together
            together = []
        together = together + pair
    if together:
        yield together
