"""The workers that are alive together, and how one setting is measured in them: interleaved, one at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.speed.effort import Budget, block_plan
from harness.speed.material import Prepared
from harness.speed.matrix import Setting
from harness.speed.member import Fallen
from harness.speed.nvml import Gpu
from harness.speed.rows import Row
from harness.speed.seat import Seat
from harness.speed.steady import is_steady
from harness.speed.watch import Watch
from impls import tensor_file

PAUSE_S = 0.2  # between blocks, for threads of the worker before to come to rest


@dataclass
class Cohort:
    """`failed` takes a seat that has come to nothing, `advanced` hears of the share of its work that is done."""

    setting: Setting
    seats: list[Seat]
    budget: Budget
    folder: Path
    rng: np.random.Generator
    gpus: Sequence[Gpu]
    failed: Callable[[Seat, Fallen], None]
    keep_sample: Callable[[Row], None]
    say: Callable[[str], None]
    advanced: Callable[[Seat, float], None]
    order: list[list[str]] = field(default_factory=list)  # of the blocks, for run.json

    def describe(self) -> None:
        """Wait until the frameworks are imported, and ask for their versions."""
        self._each(self._describe)

    def measure(self, prepared: Prepared) -> None:
        """Everything up to the closing of the loops; what is left in `seats` was measured."""
        self._each(lambda seat: self._start(seat, prepared))
        self._each(lambda seat: self._warm_up(seat, prepared))
        for number in range(1, self.budget.blocks + 1):
            shuffled = [self.seats[index] for index in self.rng.permutation(len(self.seats))]
            self.order.append([seat.who.label for seat in shuffled])
            for seat in shuffled:
                with self._caught(seat):
                    self._block(seat, number)
            if self.seats:
                self.say(f"block {number} of {self.budget.blocks}: {self.setting.told()}")
        self._each(self._close)

    def _each(self, step: Callable[[Seat], None]) -> None:
        for seat in list(self.seats):
            with self._caught(seat):
                step(seat)

    @contextlib.contextmanager
    def _caught(self, seat: Seat) -> Iterator[None]:
        """A seat that falls leaves the others at the table."""
        try:
            yield
        except Fallen as fallen:
            self.seats.remove(seat)
            seat.member.kill()
            self.failed(seat, fallen)

    def _describe(self, seat: Seat) -> None:
        seat.member.wait_until_ready()
        try:
            seat.facts = seat.member.ask("describe", device=self.setting.device)["facts"]
        except Fallen as fallen:
            status = "missing" if fallen.status == "unsupported" else fallen.status  # the device is not there
            raise Fallen(status, fallen.reason, gone=fallen.gone) from None

    def _start(self, seat: Seat, prepared: Prepared) -> None:
        """Build, compile, take the first step, and compare what it left with float64."""
        output = self.folder / f"{seat.who.framework}-{seat.who.tuning}.out"
        seat.member.ask("speed-open", **prepared.open, **seat.task())
        compiled = seat.member.ask("speed-compile")
        first = seat.member.ask("speed-first", output=str(output))
        seat.found |= {"compile_s": compiled["compile_s"], "first_step_s": first["first_step_s"]}
        try:
            outcome = prepared.check.judge(tensor_file.read(output).arrays, first.get("update_error_ulp"))
        finally:
            output.unlink(missing_ok=True)
        seat.found |= {"verdict": outcome.verdict, "gauge": outcome.gauge}
        if outcome.verdict != "pass":
            raise Fallen("parity-failed", f"{outcome.verdict}: {outcome.reason}", gone=False)
        compiling = "" if compiled["compile_s"] is None else f" compiled in {compiled['compile_s']:.1f} s,"
        self.say(
            f"{seat.who.label}: equal to float64 ({outcome.gauge:.2f} of the limit),{compiling}"
            f" first step {first['first_step_s']:.2f} s"
        )
        self.advanced(seat, 0.3)

    def _warm_up(self, seat: Seat, prepared: Prepared) -> None:
        """Steps until they last equally long, at most so many."""
        budget = self.budget
        loaded = seat.member.ask("speed-load", **prepared.load)
        seat.found["loss_first"] = loaded["loss"]
        seconds = loaded["seconds_of_step"]
        steps = max(1, round(budget.window_s / max(seconds, 1e-6)))
        if steps == 1:  # long enough to be a window itself
            self._window(seat, seconds, steps)
        while len(seat.warm) < budget.most_windows and not seat.steady:
            (seconds,) = seat.member.ask("speed-block", untimed=0, samples=1, steps=steps)["times"]
            self._window(seat, seconds, steps)
        seat.plan = block_plan(min(seat.warm[-budget.windows :]), budget.block_s, self.setting.device)
        self.advanced(seat, 0.1)

    def _window(self, seat: Seat, seconds: float, steps: int) -> None:
        self._keep(seat, 0, [seconds], steps, warm="no", index=len(seat.warm))
        seat.warm.append(seconds / steps)
        seat.steady = is_steady(seat.warm, self.budget.windows, self.budget.tolerance)

    def _block(self, seat: Seat, number: int) -> None:
        plan = seat.plan
        # Another process had the machine: its caches cost milliseconds, which a step of seconds does not show.
        untimed = 1 if seat.warm[-1] < self.budget.untimed_below_s else 0
        time.sleep(PAUSE_S)
        with Watch(self.gpus, seat.seen):
            answer = seat.member.ask("speed-block", untimed=untimed, samples=plan.samples, steps=plan.steps)
        seat.steps += untimed + plan.samples * plan.steps
        seat.blocks.append([seconds / plan.steps for seconds in answer["times"]])
        self._keep(seat, number, answer["times"], plan.steps, warm="yes")
        self.advanced(seat, 0.5 / self.budget.blocks)

    def _keep(self, seat: Seat, block: int, times: Sequence[float], steps: int, *, warm: str, index: int = 0) -> None:
        who: dict[str, Any] = {"framework": seat.who.framework, "tuning": seat.who.tuning, **self.setting.columns()}
        for number, seconds in enumerate(times, index):
            sample = {"block": block, "index": number, "steps": steps, "seconds": seconds, "warm": warm}
            self.keep_sample(who | sample)

    def _close(self, seat: Seat) -> None:
        """Take what training left, and see that it trained."""
        closed = seat.member.ask("speed-close")
        seat.found |= {"peak_memory_mb": closed["peak_memory_mb"], "loss_last": closed["loss"]}
        reason = untrained(self.setting.phase, seat.found, closed.get("unchanged", ()), closed.get("non_finite", ()))
        if self.setting.phase == "train-step":
            seat.found["weights_changed"] = "no" if closed["unchanged"] else "yes"
        if reason:
            raise Fallen("parity-failed", reason, gone=False)


def untrained(phase: str, found: dict[str, Any], unchanged: Sequence[str], non_finite: Sequence[str]) -> str:
    """Why what was timed was no training; empty where it was."""
    first, last = found["loss_first"], found["loss_last"]
    what = "logits" if phase == "forward" else "loss"
    if first is None or last is None:
        return f"the {what} became NaN or infinite in the timed steps"
    if non_finite:
        return f"{non_finite[0]} became NaN or infinite in the timed steps"
    if unchanged:
        return f"{unchanged[0]} did not change in the timed steps"
    if phase == "train-step" and first == last:
        return f"the loss stayed at {first:.6g} through all timed steps"
    return ""
