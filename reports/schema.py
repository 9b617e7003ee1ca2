"""The columns of every kind of table, said once for storage and display: name, type, unit, meaning, heading, format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Literal

Dtype = Literal["string", "Int64", "Float64"]
Columns = dict[str, Dtype]


class Detail(IntEnum):
    """How much detail a thing belongs to."""

    BRIEF = 1  # what a person reads on a terminal in ten seconds, and everything longer
    FULL = 2  # a report and a page


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, stored or shown."""

    name: str  # of the value in a row
    type: Dtype = "string"
    meaning: str = ""  # in a sentence, for the data dictionary and for who points at the heading
    unit: str = ""  # of the stored value, such as ms; a fraction is "1"
    label: str = ""  # heading; the name without underscores where empty
    format: str = ""  # of reports.format.FORMATS; by the type where empty
    detail: Detail = Detail.FULL
    brief_label: str = ""  # heading where room is scarce; the label where empty
    spare: int = 0  # above 0: left out where room is scarce, the highest first
    optional: bool = False  # of a table only where a row of it has a value

    @property
    def heading(self) -> str:
        """What stands above the column."""
        return self.label or self.name.replace("_", " ")

    @property
    def written_as(self) -> str:
        """The name of its format."""
        return self.format or {"string": "text", "Int64": "whole", "Float64": "figure"}[self.type]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of table."""

    name: str
    meaning: str  # of one row
    columns: tuple[Column, ...]


PARITY_COLUMNS: Columns = {
    "level": "string",
    "case": "string",
    "tensor": "string",
    "framework": "string",
    "device": "string",
    "precision": "string",
    "elements": "Int64",
    "max_abs_error": "Float64",
    "rms_error": "Float64",
    "max_ulp": "Float64",  # a float64 reference lies between two floats, so the distance has a fraction
    "gauge_ratio": "Float64",
    "baseline_ratio": "Float64",
    "zeros": "Int64",
    "ties": "Int64",
    "verdict": "string",
    "reason": "string",
    "signature": "string",
    "tuning": "string",
    "layer": "string",
    "cause": "string",
}

SELF_TEST_COLUMNS: Columns = {
    "fault": "string",
    "planted_in": "string",
    "framework": "string",
    "caught": "string",
    "caught_at": "string",
    "named": "string",
    "expected": "string",
    "localised": "string",
    "cause_named": "string",
}

# What makes one setting of a speed run, in every table that has it.
SETTING: Columns = {
    "framework": "string",
    "tuning": "string",
    "network": "string",
    "device": "string",
    "devices": "Int64",
    "split": "string",
    "precision": "string",
    "batch_size": "Int64",
    "input": "string",  # synthetic, host or file
    "phase": "string",  # train-step, forward-backward or forward
}
_STEP: Columns = {"step_ms": "Float64", "step_ms_low": "Float64", "step_ms_high": "Float64"}

SPEED_COLUMNS: Columns = {
    "framework": "string",
    "tuning": "string",
    "network": "string",
    "device": "string",
    "devices": "Int64",
    "split": "string",
    "emulated": "string",
    "precision": "string",
    "batch_size": "Int64",
    "input": "string",
    "phase": "string",
    "compile_s": "Float64",
    "first_step_s": "Float64",
    "samples": "Int64",
    **_STEP,
    "images_per_s": "Float64",
    "peak_memory_mb": "Float64",
    "tflops": "Float64",  # algorithmic: the work the network asks for, however it was computed
    "fraction_of_peak": "Float64",
    "joules_per_image": "Float64",
    "loss_first": "Float64",
    "loss_last": "Float64",
    "stable": "string",
    "note": "string",
    "signature": "string",
    "status": "string",  # measured, parity-failed, does-not-fit, unsupported, missing, crashed or timed-out
    "reason": "string",
    "verdict": "string",  # of the check of the very program that was timed
    "gauge": "Float64",  # that check's worst ratio of error to limit
    "bytes_exchanged": "Int64",  # per device and step
    "exchange_share": "Float64",  # of the step, at the measured copy bandwidth: a lower bound
    "block_spread": "Float64",
    "clock_mhz": "Float64",
    "throttled": "string",
    "weights_changed": "string",
}

SAMPLE_COLUMNS: Columns = {
    **SETTING,
    "block": "Int64",
    "index": "Int64",
    "steps": "Int64",
    "seconds": "Float64",  # of these steps together
    "warm": "string",  # yes: counted; no: before the steady state
}

LAYER_COLUMNS: Columns = {
    "framework": "string",
    "tuning": "string",
    "network": "string",
    "device": "string",
    "precision": "string",
    "batch_size": "Int64",
    "layer": "string",
    "pass": "string",  # forward, backward, or all
    **_STEP,
    "share": "Float64",  # of the sum of the layers
    "gflops": "Float64",  # work, in GFLOP
    "mbytes": "Float64",  # the least traffic that work needs
    "tflops": "Float64",
    "gb_per_s": "Float64",
    "roof_tflops": "Float64",
    "fraction_of_roof": "Float64",
    "bound": "string",  # compute or memory
    "signature": "string",
    "note": "string",  # why a time has no interval
}

PEAK_COLUMNS: Columns = {
    "framework": "string",
    "device": "string",
    "precision": "string",
    "probe": "string",  # matmul, convolution or copy
    "size": "Int64",
    **_STEP,
    "tflops": "Float64",
    "gb_per_s": "Float64",
    "best": "string",  # yes on the one peak and the one bandwidth that every figure is held against
    "signature": "string",
}

EXCHANGE_COLUMNS: Columns = {
    "network": "string",
    "split": "string",
    "devices": "Int64",
    "batch_size": "Int64",
    "precision": "string",
    "where": "string",
    "what": "string",
    "bytes": "Int64",
    "share": "Float64",
}

# Errors are shares of 1 in every table.
TRAINING_COLUMNS: Columns = {
    "framework": "string",
    "network": "string",
    "data": "string",
    "epoch": "Int64",  # epochs done
    "step": "Int64",  # steps done
    "learning_rate": "Float64",
    "loss": "Float64",  # mean over the epoch's steps
    "top1_error": "Float64",  # of the validation part
    "top5_error": "Float64",
    "images_per_s": "Float64",
    "signature": "string",
    "label": "string",  # tells apart several trainings in one framework
    "seed": "Int64",
    "recipe": "string",
    "phase": "string",  # epoch
    "seconds": "Float64",
    "best": "string",  # yes: the lowest top-1 error until then
    "tuning": "string",
    "precision": "string",
    "device": "string",
    "devices": "Int64",
    "split": "string",
}

LOSS_COLUMNS: Columns = {
    "framework": "string",
    "label": "string",
    "step": "Int64",
    "loss": "Float64",
    "learning_rate": "Float64",
}

EVALUATION_COLUMNS: Columns = {
    "framework": "string",
    "network": "string",
    "weights": "string",  # short hash, or "ensemble of 3"
    "data": "string",
    "images": "Int64",
    "crops": "Int64",
    "top1_error": "Float64",
    "top1_low": "Float64",  # of the 95 % interval
    "top1_high": "Float64",
    "top5_error": "Float64",
    "top5_low": "Float64",
    "top5_high": "Float64",
    "paper_top1": "Float64",
    "paper_top5": "Float64",
    "comparable": "string",  # yes: the same network on the same images as the published figure
    "signature": "string",
    "part": "string",
    "file": "string",
    "status": "string",  # measured, unsupported, missing, crashed or timed-out
    "reason": "string",
    "tuning": "string",
    "precision": "string",
    "device": "string",
    "images_per_s": "Float64",
    "differing_views": "Int64",
}

CLASS_ERROR_COLUMNS: Columns = {
    "framework": "string",
    "weights": "string",
    "crops": "Int64",
    "class": "Int64",
    "name": "string",
    "images": "Int64",
    "top1_error": "Float64",
    "top5_error": "Float64",
}

# Only images whose top-1 or top-5 credit differs between two frameworks.
AGREEMENT_COLUMNS: Columns = {
    "weights": "string",
    "crops": "Int64",
    "image": "Int64",
    "name": "string",
    "label": "string",
    "framework_a": "string",
    "predicted_a": "string",
    "probability_a": "Float64",
    "framework_b": "string",
    "predicted_b": "string",
    "probability_b": "Float64",
    "margin_a": "Float64",  # between the two likeliest classes
    "margin_b": "Float64",
}

LEDGER_COLUMNS: Columns = {
    "section": "string",
    "claim": "string",
    "source": "string",
    "paper": "string",  # the figure as it is printed there, or in the note that the section names
    "ours": "string",
    "low": "Float64",
    "high": "Float64",
    "verdict": "string",  # holds, contradicted, measured or needs ImageNet; of a study note also misnamed
    "on": "string",  # the data it was measured on; of a study note the network that decides
    "command": "string",  # that would decide it
    "note": "string",
    "signature": "string",
}

ABLATION_COLUMNS: Columns = {
    "ablation": "string",
    "variant": "string",
    "seed": "Int64",
    "baseline_error": "Float64",
    "variant_error": "Float64",
    "difference": "Float64",  # variant less baseline
    "epochs": "Int64",
    "data": "string",
    "signature": "string",
}

PUBLISHED_COLUMNS: Columns = {
    "table": "string",
    "model": "string",
    "paper_top1": "Float64",
    "paper_top5": "Float64",
    "ours_top1": "Float64",
    "ours_low1": "Float64",
    "ours_high1": "Float64",
    "ours_top5": "Float64",
    "ours_low5": "Float64",
    "ours_high5": "Float64",
    "data": "string",
    "comparable": "string",
    "note": "string",
    "run": "string",  # which of the user's networks ours is of
}

# Of figure 1: counted on training images after each epoch.
TRAINING_ERROR_COLUMNS: Columns = {
    "framework": "string",
    "variant": "string",  # relu or tanh
    "seed": "Int64",
    "epoch": "Int64",
    "training_error": "Float64",
    "loss": "Float64",
    "learning_rate": "Float64",
    "network": "string",
    "data": "string",
    "signature": "string",
}

AUDIT_COLUMNS: Columns = {
    "network": "string",
    "against": "string",  # the reference
    "facet": "string",  # what departs; together: all measured departures at once
    "place": "string",  # layers of the reference
    "theirs": "string",
    "reference": "string",
    "consequence": "string",  # its kind, from foreign layer and another function to same function
    "parameters_change": "Int64",  # of the reference with this departure alone
    "multiply_adds_change": "Int64",
    "memory_change_mb": "Float64",  # MiB of float32 for one image: outputs and weights
    "logits_change": "Float64",  # norm of the difference over the reference's norm
    "logits_cosine": "Float64",
    "top5_kept": "Float64",  # share of the reference's first five classes
    "gradient_change": "Float64",
    "gradient_cosine": "Float64",
    "why": "string",
    "note": "string",  # why it was not measured
    "signature": "string",
}

_KINDS: dict[str, Columns] = {
    "parity": PARITY_COLUMNS,
    "self-test": SELF_TEST_COLUMNS,
    "speed": SPEED_COLUMNS,
    "sample": SAMPLE_COLUMNS,
    "layer": LAYER_COLUMNS,
    "peak": PEAK_COLUMNS,
    "exchange": EXCHANGE_COLUMNS,
    "training": TRAINING_COLUMNS,
    "loss": LOSS_COLUMNS,
    "evaluation": EVALUATION_COLUMNS,
    "class-error": CLASS_ERROR_COLUMNS,
    "agreement": AGREEMENT_COLUMNS,
    "ledger": LEDGER_COLUMNS,
    "ablation": ABLATION_COLUMNS,
    "published": PUBLISHED_COLUMNS,
    "training-error": TRAINING_ERROR_COLUMNS,
    "audit": AUDIT_COLUMNS,
}

# A new kind is one more entry here.
TABLES: dict[str, Kind] = {
    kind: Kind(kind, "", tuple(Column(name, dtype) for name, dtype in columns.items()))
    for kind, columns in _KINDS.items()
}


def dtypes(kind: str, *, optional: bool = False) -> Columns:
    """Name -> type of the columns that every table of this kind has, in their order; empty for an unknown kind.

    With `optional` those too that a table has only where a row has a value of it.
    """
    known = TABLES.get(kind)
    return {} if known is None else {one.name: one.type for one in known.columns if optional or not one.optional}


def column(kind: str, name: str, **changes: Any) -> Column:
    """A stored column, for display: with another heading, format or detail, say. Raises KeyError."""
    for one in TABLES[kind].columns:
        if one.name == name:
            return replace(one, **changes)
    raise KeyError(f"no column {name!r} in table {kind!r}")


def columns(kind: str, names: Iterable[str], **changes: Any) -> list[Column]:
    """Several of them. Raises KeyError."""
    return [column(kind, name, **changes) for name in names]
