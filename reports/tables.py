"""The tables of a run: which columns, in which order, of which type; and plain rows turned into a data frame.

Missing is missing: a value that was not measured is null in Parquet and empty in CSV, never -1 and never 0. NaN is not
missing: a framework that computed NaN was measured, and both files say `nan`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

Row = Mapping[str, Any]
Dtype = Literal["string", "Int64", "Float64"]
Columns = dict[str, Dtype]

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

# A kind of table is its columns: a new kind is one more entry here.
TABLES: dict[str, Columns] = {
    "parity": PARITY_COLUMNS,
    "self-test": SELF_TEST_COLUMNS,
    "speed": SPEED_COLUMNS,
    "sample": SAMPLE_COLUMNS,
    "layer": LAYER_COLUMNS,
    "peak": PEAK_COLUMNS,
    "exchange": EXCHANGE_COLUMNS,
}


def frame(kind: str, rows: Sequence[Row]) -> pd.DataFrame:
    """The table of one kind. Keys that it does not declare follow its own columns, in the order they first appear.

    Raises ValueError where a value does not fit its column; the message names row, column and value.
    """
    columns = dict(TABLES.get(kind, {}))
    for name in _undeclared(columns, rows):
        columns[name] = _dtype_of(row.get(name) for row in rows)
    data = {name: _column(name, dtype, [row.get(name) for row in rows]) for name, dtype in columns.items()}
    return pd.DataFrame(data, columns=list(columns))


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as plain dicts: missing values are None, NaN stays NaN."""
    columns = {str(name): _plain(table[name].array) for name in table.columns}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _undeclared(columns: Columns, given: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in given for name in row if name not in columns))


def _dtype_of(values: Iterable[Any]) -> Dtype:
    kinds = {_kind(value) for value in values if value is not None}
    if kinds == {"Int64"}:
        return "Int64"
    return "Float64" if kinds and kinds <= {"Int64", "Float64"} else "string"


def _kind(value: Any) -> Dtype:
    if isinstance(value, bool | np.bool_):
        return "string"
    if isinstance(value, int | np.integer):
        return "Int64"
    return "Float64" if isinstance(value, float | np.floating) else "string"


def _column(name: str, dtype: Dtype, values: Sequence[Any]) -> Any:
    converted = []
    for number, value in enumerate(values):
        try:
            converted.append(_CONVERT[dtype](value))
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"row {number}, column {name!r}: {value!r} is not of type {dtype}") from None
    if dtype == "string":
        return pd.array(converted, dtype="string")
    missing = np.array([value is None for value in converted], dtype=bool)
    filled = [0 if value is None else value for value in converted]
    # Built from values and mask: every other way into a nullable column takes NaN for missing.
    if dtype == "Int64":
        return pd.arrays.IntegerArray(np.array(filled, dtype=np.int64), missing)
    return pd.arrays.FloatingArray(np.array(filled, dtype=np.float64), missing)


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None  # CSV cannot tell an empty text from a missing one
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _integer(value: Any) -> int | None:
    if value is None or value == "":
        return None
    whole = int(value)
    if whole != float(value):
        raise ValueError(value)
    return whole


def _float(value: Any) -> float | None:
    return None if value is None or value == "" else float(value)


_CONVERT = {"string": _text, "Int64": _integer, "Float64": _float}


def _plain(values: Any) -> list[Any]:
    """A nullable column as a list. Its own `tolist` would not say which of its missing values were NaN."""
    missing = values.isna()
    if isinstance(values, pd.arrays.FloatingArray):
        values = values.to_numpy(dtype="float64", na_value=math.inf)
    return [None if gone else _unboxed(value) for value, gone in zip(values, missing, strict=True)]


def _unboxed(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
