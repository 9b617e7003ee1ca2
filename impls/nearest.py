"""What somebody may have meant by a name that is not known. Standard library only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

NEAR = 0.6  # of 1, as difflib counts: below that a guess is as often the opposite

# What people call things that have another name here -> that name, and what tells it from the next.
OTHER_NAMES: Mapping[str, Mapping[str, str]] = {
    "alexnet": {"paper": " (the paper's network)", "torchvision": ""},
    "tf": {"tensorflow": ""},
    "keras": {"tensorflow": ""},
    "flax": {"jax": ""},
    "pt": {"torch": ""},
    "fp32": {"float32": ""},
    "f32": {"float32": ""},
    "single": {"float32": ""},
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
        lowered = {name.lower(): name for name in names}
        told = [repr(lowered[name]) for name in difflib.get_close_matches(value.lower(), lowered, n=1, cutoff=NEAR)]
    return f"did you mean {' or '.join(told)}? " if told else ""
