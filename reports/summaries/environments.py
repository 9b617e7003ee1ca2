"""What differs between the grounds two runs stood on: machines, versions, flags, weights, the program itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from reports import signatures
from reports.format import Row
from reports.tables import records

MAX_DEPTH = 6  # levels of a nested fact

PROGRAM = "program"  # whose difference casts no doubt on a comparison: it is what one wants to compare
# Facts of run.json's environment, each with what a difference of it is called.
GROUPS = {
    "machine": "machine", "cpu_kind": "machine", "physical_cores": "machine", "gpus": "machine", "devices": "machine",
    "packages": "versions", "python": "versions", "flags": "flags", "environments": "flags", "git": PROGRAM,
}  # fmt: skip
LATER = ("cpu_kind", "physical_cores")  # facts that older runs do not hold: nothing differs for that
SIGNED = {"weights": "weights", "seed": "weights", "alexbench": "versions", "framework": "versions"}

Pairs = dict[str, str]


class RunTables(NamedTuple):
    """What one run folder holds."""

    name: str
    facts: Mapping[str, Any]  # run.json
    tables: Mapping[str, pd.DataFrame]  # kind -> its table


class Difference(NamedTuple):
    """One fact that is not the same in two runs."""

    group: str  # machine, versions, flags, weights or PROGRAM
    what: str
    was: str | None  # in the first run; None where it was not set
    now: str | None  # in the second


def differences(a: RunTables, b: RunTables) -> list[Difference]:
    """Each difference once. What rows are signed with is compared for runs of speed alone."""
    rows = [records(run.tables["speed"]) if "speed" in run.tables else [] for run in (a, b)]
    signed = _signed(_fields(rows[0]), _fields(rows[1]))
    return list(dict.fromkeys([*_around(a.facts, b.facts), *signed]))


def _around(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    first, second = _flat(a.get("environment")), _flat(b.get("environment"))
    for name in [*first, *(name for name in second if name not in first)]:
        fact, _, inner = name.partition(".")
        if name in LATER and not (name in first and name in second):
            continue
        if fact in GROUPS and first.get(name) != second.get(name):
            yield Difference(GROUPS[fact], inner or name, first.get(name), second.get(name))


def _signed(first: Mapping[str, Pairs], second: Mapping[str, Pairs]) -> Iterator[Difference]:
    """Frameworks are compared one by one: a run may hold fewer of them."""
    for name, group in SIGNED.items():
        mine, other = first.get(name, {}), second.get(name, {})
        for key in mine:
            if key in other and mine[key] != other[key]:
                yield Difference(group, name if name == key else f"{name} {key}", mine[key], other[key])


def _flat(value: Any, name: str = "", depth: int = 0) -> Pairs:
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        found: Pairs = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{name}.{key}" if name else str(key), depth + 1)
        return found
    return {} if value is None else {name: str(value)}


def _fields(rows: Sequence[Row]) -> dict[str, Pairs]:
    """Field of the rows' signatures -> whose -> values: a framework's version is its own, weights are a network's."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for row in rows:
        fields = signatures.parts(row)
        owners = {"framework": str(row.get("framework") or "framework"), "weights": fields.get("network", "weights")}
        for name, value in fields.items():
            found.setdefault(name, {}).setdefault(owners.get(name, name), {})[value] = None
    return {name: {whose: ", ".join(sorted(values)) for whose, values in one.items()} for name, one in found.items()}
