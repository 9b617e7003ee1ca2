"""What somebody may have meant by a name that is not known. Standard library only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

NEAR = 0.7  # of 1, as difflib counts: below that a guess is as often another thing: "tpu" is no "cpu"
SHORTEST = 3  # letters of a beginning that is taken for the whole

# What people call things that have another name here -> that name, and what tells it from the next.
OTHER_NAMES: Mapping[str, Mapping[str, str]] = {
    "alexnet": {"paper": " (the paper's network)", "torchvision": ""},
    "bvlcalexnet": {"caffe": ""},
    "bvlcreferencecaffenet": {"caffenet": ""},
    "tf": {"tensorflow": ""},
    "keras": {"tensorflow": ""},
    "flax": {"jax": ""},
    "pt": {"torch": ""},
    "fp32": {"float32": ""},
    "f32": {"float32": ""},
    "single": {"float32": ""},
    "fp16": {"float16": ""},
    "f16": {"float16": ""},
    "half": {"float16": ""},
    "bf16": {"bfloat16": ""},
    "onnx": {"onnxruntime": ""},
    "ort": {"onnxruntime": ""},
    "gpu": {"cuda": ""},
}
NEGATIONS = ("un", "no", "non", "not")


def question(value: str, known: Iterable[str]) -> str:
    """`did you mean 'jax'? ` with the space that separates it from what follows; empty where nothing is near enough."""
    names = list(known)
    plain = re.sub("[^a-z0-9]", "", value.lower())
    if (meant := OTHER_NAMES.get(plain)) and meant.keys() <= set(names):
        told = [f"{name!r}{remark}" for name, remark in meant.items()]
    elif any(plain == f"{negation}{name}" for negation in NEGATIONS for name in names):
        told = []  # "untuned" is near "tuned", and the opposite
    else:
        told = [repr(name) for name in _nearest(value.lower(), names)]
    return f"did you mean {' or '.join(told)}? " if told else ""


def _nearest(value: str, names: list[str]) -> list[str]:
    """The only one that begins so, or is spelled most alike; none of another number: float64 is no float16."""
    lowered = {name.lower(): name for name in names if not _digits(value) or _digits(name) in ([], _digits(value))}
    begun = [name for name in lowered if name.startswith(value)] if len(value) >= SHORTEST else []
    near = begun or difflib.get_close_matches(value, lowered, n=2, cutoff=NEAR)
    likeness = {difflib.SequenceMatcher(None, name, value).ratio() for name in near}
    return [lowered[near[0]]] if near and len(likeness) == len(near) and len(begun) < 2 else []


def _digits(name: str) -> list[str]:
    """In whatever order: float23 is a slip."""
    return sorted(filter(str.isdigit, name))


def unknown(kind: str, value: str, known: Sequence[str], near: str | None = None) -> str:
    """The message for a name that is not known: the nearest one, found here unless `near` says it, then all."""
    near = question(value, known) if near is None else near
    return f"unknown {kind} {value!r}: {near}choose from {', '.join(known)}"
