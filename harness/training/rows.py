"""Rows of the tables of a training."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Literal

from harness import environment
from harness.training.checkpoint import Standing
from harness.training.plan import Plan

Row = dict[str, Any]
Phase = Literal["epoch", "end"]

EVERY_LOSS = 100  # steps whose loss has a row; then every tenth up to ten times as many, and so on


def has_row(step: int) -> bool:
    """Whether the loss of a step, counted from 1, is kept."""
    stride = 1
    while step > EVERY_LOSS * stride:
        stride *= 10
    return step % stride == 0


def loss_row(plan: Plan, step: int, loss: float, learning_rate: float) -> Row:
    """Of one step."""
    job = plan.job
    return {"framework": job.framework, "label": job.name, "step": step, "loss": loss, "learning_rate": learning_rate}


def signature(plan: Plan, version: str, initial_hash: str) -> str:
    """What must stand beside a figure; the weights are those that training began with."""
    job = plan.job
    several = job.devices if job.devices > 1 else None
    return environment.signature(
        network=job.network.name,
        weights=initial_hash[:12],
        seed=job.seed,
        framework=f"{job.framework}-{version}" if version else job.framework,
        device=job.device,
        precision=job.precision,
        devices=several,
        split=job.split if several else None,
        data=f"{plan.prepared.source}-{plan.prepared.content_hash[:12]}",
        recipe=recipe_name(plan),
        batch=job.network.recipe.batch_size,
        epochs=job.network.recipe.epochs,
        limit=job.limit,
        tuning=job.tuning,
    )


def recipe_name(plan: Plan) -> str:
    """The name that the command knows it by, else its source."""
    return str(plan.job.columns.get("recipe") or plan.job.network.recipe.source)


def training_row(
    plan: Plan, standing: Standing, phase: Phase, *, loss: float, learning_rate: float, images_per_s: float, said: str
) -> Row:
    """Of one epoch, or of the steps after the last whole one; `said` is the signature."""
    job = plan.job
    row = {
        "framework": job.framework,
        "network": job.network.name,
        "data": plan.prepared.source,
        "epoch": standing.schedule.epoch,
        "step": standing.step,
        "learning_rate": learning_rate,
        "loss": loss,
        "top1_error": standing.top1_error,
        "top5_error": standing.top5_error,
        "images_per_s": images_per_s,
        "signature": said,
        "label": job.name,
        "seed": job.seed,
        "recipe": recipe_name(plan),
        "phase": phase,
        "seconds": standing.total_s,
        "best": _best(standing, phase),
        "tuning": job.tuning,
        "precision": job.precision,
        "device": job.device,
        "devices": job.devices,
        "split": job.split,
    }
    return {**row, **job.columns}


def _best(standing: Standing, phase: Phase) -> str | None:
    if standing.top1_error is None:
        return None
    return "yes" if phase == "epoch" and standing.schedule.best_epoch == standing.schedule.epoch else "no"


def told(row: Row, epochs: int) -> str:
    """A row of `training` as a person reads it."""
    done = f"epoch {row['epoch']} of {epochs}" if row["phase"] == "epoch" else f"step {row['step']}"
    top1, top5 = row["top1_error"], row["top5_error"]
    error = "" if top1 is None else f", top-1 error {top1:.2%}, top-5 {top5:.2%}"
    rates = f"{row['images_per_s']:.0f} images/s, learning rate {row['learning_rate']:g}"
    return f"{row['label']}: {done}, loss {row['loss']:.4f}{error}, {rates}"


def metadata(plan: Plan, standing: Standing, version: str) -> dict[str, str]:
    """What travels with the weights in their file."""
    job = plan.job
    return {
        "framework": f"{job.framework}-{version}" if version else job.framework,
        "recipe": recipe_name(plan),
        "recipe_fields": json.dumps(asdict(job.network.recipe), separators=(",", ":")),
        "seed": str(job.seed),
        "data": plan.prepared.source,
        "data_hash": plan.prepared.content_hash,
        "preprocessing": plan.preprocessing.to_text(),
        "epoch": str(standing.schedule.epoch),
        "step": str(standing.step),
    }
