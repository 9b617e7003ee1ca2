"""A training at work: slices of steps, validation, checkpoints, and rows as they come."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import CannotMeasure, MeasuredWanting, WorkerFailed
from harness.launch import WorkerSpec
from harness.parity.material import workspace
from harness.shared_cores import YIELDING
from harness.speed.member import Fallen, Member
from harness.training import rows, schedule
from harness.training.checkpoint import VELOCITY, WEIGHTS, Checkpoint, Checkpoints, Standing, best_name
from harness.training.interrupts import Interrupts
from harness.training.job import Job
from harness.training.plan import Plan, check_identity
from harness.training.rows import Row
from impls import registry
from impls.protocol import Settings, Unsupported, UpdateRule

SLICE_S = 1.0  # of work between two signs of life
VALIDATION_BATCH = 128
CANNOT = ("missing", "unsupported", "does-not-fit")


class Diverged(MeasuredWanting):
    """The loss or a weight became NaN or infinite."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a training is."""

    step: int
    last_step: int
    epoch: int  # under way, from 1
    epochs: int
    loss: float  # of the last step
    images_per_s: float


@dataclass
class Trainer:
    """One job. What a checkpoint keeps is in `standing`; everything else can be computed anew."""

    plan: Plan
    folder: Path
    checkpoints: Checkpoints
    checkpoint: Checkpoint | None  # the last one kept
    keep: Callable[[str, Row], None]
    say: Callable[[str], None]
    checkpoint_s: float
    interrupts: Interrupts | None
    watch: Callable[[Moment], None]
    started: Callable[[Mapping[str, str]], None]  # hears what the framework says of itself
    standing: Standing = field(default_factory=Standing)
    _version: str = ""
    _kept_at: float = math.inf
    _member: Member | None = None

    def run(self) -> None:
        """Everything that is left to do."""
        if self.checkpoint is not None:
            self.standing = self.checkpoint.standing
            if self._is_done():
                check_identity(self.checkpoint, self.plan.identity(self.checkpoint.identity.get("version", "")))
                return
        with workspace(self.folder) as space:
            try:
                self._member = Member(spec_of(self.plan.job), space)
                self._begin()
                # From here on there is something to keep first, between two steps' rows too.
                with nullcontext() if self.interrupts is None else self.interrupts.deferred():
                    while not self._is_done():
                        self._epoch()
                self._stop_if_asked()
                self._member.finish()
            except Fallen as fallen:
                kind = CannotMeasure if fallen.status in CANNOT else WorkerFailed
                raise kind(f"{self.plan.job.name}: {fallen.status}: {fallen.reason}") from None
            finally:
                if self._member is not None:
                    self._member.kill()

    def _ask(self, do: str, **fields: Any) -> dict[str, Any]:
        assert self._member is not None
        return dict(self._member.ask(do, **fields))

    # --- start --------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Weights where there is no checkpoint yet, written while the worker imports its framework; then open."""
        if self.checkpoint is None:
            with self.checkpoints.begun() as begun:
                self.standing = Standing(initial_hash=self.plan.write_initial(begun))
                identity = self._introduced()
                self.checkpoint = self.checkpoints.commit(begun, self.standing, identity)
        else:
            check_identity(self.checkpoint, self._introduced())
        opened = self._ask("train-open", **self.plan.open_task(self.checkpoint))
        self._say_begun(opened["compile_s"])
        self._kept_at = time.monotonic()

    def _introduced(self) -> Mapping[str, str]:
        """The training's identity, once the worker has imported its framework and told its version."""
        assert self._member is not None
        self._member.wait_until_ready()
        told = self._describe()
        self._version = told.get("version", "")
        self.started(told)
        return self.plan.identity(self._version)

    def _describe(self) -> Mapping[str, str]:
        try:
            told = self._ask("describe", device=self.plan.job.device)["facts"]
            return {str(name): str(fact) for name, fact in told.items()}
        except Fallen as fallen:
            status = "missing" if fallen.status == "unsupported" else fallen.status  # the device is not there
            raise Fallen(status, fallen.reason, gone=fallen.gone) from None

    def _say_begun(self, compile_s: float | None) -> None:
        job, step = self.plan.job, self.standing.step
        begun = f"initial weights {str(job.weights or job.init)!r}" if not step else f"going on after step {step}"
        compiling = "" if compile_s is None else f"compiled in {compile_s:.1f} s, "
        self.say(f"{job.name}: {job.framework} {self._version}, {compiling}{begun}")

    # --- steps --------------------------------------------------------------------------------------------------------

    def _is_done(self) -> bool:
        standing = self.standing
        # Where the last step ends no epoch, it still has to be validated.
        return standing.schedule.ended or (
            standing.step >= self.plan.last_step and standing.validated_step == standing.step
        )

    @property
    def _rule(self) -> UpdateRule:
        return self.plan.rule(self.standing.schedule)

    def _epoch(self) -> None:
        """What is left of an epoch, or as much of it as is wanted."""
        plan = self.plan
        end = min((self.standing.schedule.epoch + 1) * plan.steps_per_epoch, plan.last_step)
        while self.standing.step < end:
            self._slice(end - self.standing.step)
            self._keep_if_due()
        self._end()

    def _slice(self, most: int) -> None:
        """About a second's steps, with their rows."""
        plan, rule = self.plan, self._rule
        done = self._ask("train-steps", most=most, seconds=min(SLICE_S, self.checkpoint_s), rule=asdict(rule))
        losses, spent_s = done["losses"], done["spent_s"]
        standing = self.standing
        self.standing = replace(standing, epoch_s=standing.epoch_s + spent_s, total_s=standing.total_s + spent_s)
        for loss in losses:
            step = self.standing.step + 1
            self.standing = replace(self.standing, step=step, loss_sum=self.standing.loss_sum + loss)
            if rows.has_row(step) or not math.isfinite(loss):
                self.keep("loss", rows.loss_row(plan, step, loss, rule.learning_rate))
            if not math.isfinite(loss):
                raise self._diverged(f"the loss became {loss} at step {step}")
        epoch, recipe = self.standing.schedule.epoch + 1, plan.network.recipe
        images_per_s = len(losses) * recipe.batch_size / max(spent_s, 1e-9)
        self.watch(Moment(self.standing.step, plan.last_step, epoch, recipe.epochs, losses[-1], images_per_s))

    def _diverged(self, what: str) -> Diverged:
        kept = self.checkpoint.standing.step if self.checkpoint is not None else 0
        left = f"; the weights of step {kept} are kept" if kept else ""
        return Diverged(
            f"{self.plan.job.name}: {what} in epoch {self.standing.schedule.epoch + 1}, learning rate"
            f" {self._rule.learning_rate:g}{left}: try a lower --learning-rate or another --init"
        )

    # --- ends of epochs -----------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Validate, decide what follows, and keep all of it."""
        plan, rate = self.plan, self._rule.learning_rate
        top1, top5 = self._validated() if plan.validation else (None, None)
        before = self.standing
        steps = before.step - before.schedule.epoch * plan.steps_per_epoch
        whole = steps == plan.steps_per_epoch
        self.standing = self._decided(whole, top1, top5)
        row = rows.training_row(
            plan,
            self.standing,
            "epoch" if whole else "end",
            loss=before.loss_sum / steps,
            learning_rate=rate,
            images_per_s=steps * plan.network.recipe.batch_size / max(before.epoch_s, 1e-9),
            said=rows.signature(plan, self._version, before.initial_hash),
        )
        self.keep("training", row)
        self.say(rows.told(row, plan.network.recipe.epochs))
        self._keep()
        self._stop_if_asked()

    def _decided(self, whole: bool, top1: float | None, top5: float | None) -> Standing:
        """The standing after a validation, which ends an epoch if that is whole."""
        now = replace(self.standing, validated_step=self.standing.step, top1_error=top1, top5_error=top5)
        if not whole:
            return now
        state = schedule.after_epoch(self.plan.network.recipe, now.schedule, top1)
        is_best = top1 is not None and state.best_epoch == state.epoch
        best = best_name(now.step) if is_best else now.best
        return replace(now, schedule=state, best=best, loss_sum=0.0, epoch_s=0.0)

    def _validated(self) -> tuple[float, float]:
        """Top-1 and top-5 error of the validation part."""
        while True:
            found = self._ask("train-validate", batch_size=VALIDATION_BATCH, seconds=SLICE_S)
            if found.get("not_finite"):
                raise self._diverged(f"validated after step {self.standing.step}, the network answers NaN or infinity")
            self.standing = replace(self.standing, total_s=self.standing.total_s + found["spent_s"])
            if found["done"] == found["of"]:
                return found["top1_error"], found["top5_error"]
            self._keep_if_due()

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def _keep_if_due(self) -> None:
        """Where the last one is long ago or training is to stop."""
        asked = self.interrupts is not None and self.interrupts.asked
        if asked or time.monotonic() - self._kept_at >= self.checkpoint_s:
            self._keep()
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self.interrupts is not None and self.interrupts.asked:
            raise KeyboardInterrupt

    def _keep(self) -> None:
        last = self.checkpoint.standing if self.checkpoint is not None else None
        if last is not None and (last.step, last.validated_step) == (self.standing.step, self.standing.validated_step):
            return
        with self.checkpoints.begun() as begun:
            files = {"folder": str(begun.resolve()), "weights": WEIGHTS, "velocity": VELOCITY}
            saved = self._ask("train-save", **files, metadata=rows.metadata(self.plan, self.standing, self._version))
            if saved.get("problem"):
                raise CannotMeasure(f"{self.plan.job.name}: {saved['problem']}; the checkpoint before it is kept")
            if saved.get("not_finite"):
                raise self._diverged(f"{saved['not_finite']} became NaN or infinite by step {self.standing.step}")
            self.checkpoint = self.checkpoints.commit(begun, self.standing, self.plan.identity(self._version))
        self._kept_at = time.monotonic()


def spec_of(job: Job) -> WorkerSpec:
    """How the worker is started. Raises Fallen where the framework has no such settings."""
    settings = Settings(job.tuning, job.precision, job.device, job.devices, job.split)
    return WorkerSpec(
        label=job.name,
        target=registry.reference(job.framework),
        python=job.python,
        device=job.device,
        silence_limit_s=job.timeout_s,
        extra_environment=environment_of(job.framework, settings),
    )


def variables(job: Job) -> dict[str, str]:
    """What the worker's environment is given, for run.json."""
    with contextlib.suppress(Fallen):  # the training will say so
        return dict(spec_of(job).extra_environment)
    return {}


def environment_of(framework: str, settings: Settings) -> dict[str, str]:
    """What the framework must find set. Raises Fallen where it has no such settings.

    On the CPU the threads that prepare batches share its cores, and others may: PyTorch's, which else wait by spinning,
    trained cifar-4layer 8 and 11 times as fast this way on two cores with four times as many busy processes.
    """
    try:
        found = registry.environment(framework, settings)
    except Unsupported as error:
        raise Fallen("unsupported", str(error), gone=True) from None
    return {**found, **YIELDING} if settings.device == "cpu" else found
