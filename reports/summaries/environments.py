"""What differs between the grounds two runs stood on: machines, versions, flags, weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import signatures
from reports.format import Row, clean

LONGEST = 60  # characters of a value
MOST = 12  # differences named one by one in a group
DEEPEST = 6  # levels of a nested fact

# Facts of run.json's environment, each with what a difference is called. The commit is what one wants to compare.
GROUPS = {"machine": "machine", "gpus": "machine", "devices": "machine", "packages": "versions", "python": "versions"}
GROUPS |= {"flags": "flags", "environments": "flags"}
GROUPS |= {"cpu_kind": "machine", "physical_cores": "machine"}
LATER = ("cpu_kind", "physical_cores")  # facts that older runs do not hold: nothing differs for that
SIGNED = {"weights": "weights", "seed": "weights", "alexbench": "versions", "framework": "versions"}

Pairs = dict[str, str]


def differences(a: Mapping[str, Any], b: Mapping[str, Any], rows_a: Sequence[Row], rows_b: Sequence[Row]) -> list[str]:
    """One line per group that differs, naming each difference as `what: of A / of B`."""
    found: dict[str, list[str]] = {}
    first, second = _flat(a.get("environment")), _flat(b.get("environment"))
    for name in [*first, *(name for name in second if name not in first)]:
        group = GROUPS.get(name.partition(".")[0])
        if name in LATER and not (name in first and name in second):
            continue
        if group and first.get(name) != second.get(name):
            short = name.partition(".")[2] or name
            found.setdefault(group, []).append(_told(short, first.get(name), second.get(name)))
    signed_a, signed_b = _signed(a, rows_a), _signed(b, rows_b)
    for name, group in SIGNED.items():
        # Frameworks are compared one by one: a run may hold fewer of them.
        mine, other = signed_a.get(name, {}), signed_b.get(name, {})
        for key in [key for key in mine if key in other and mine[key] != other[key]]:
            told = _told(name if name == key else f"{name} {key}", mine[key], other[key])
            found.setdefault(group, []).append(told)
    return [f"the {group} differ{'s' if group == 'machine' else ''}: {_listed(told)}" for group, told in found.items()]


def _listed(told: Sequence[str]) -> str:
    once = list(dict.fromkeys(told))
    rest = len(once) - MOST
    return "; ".join(once[:MOST]) + (f"; and {rest} more" if rest > 0 else "")


def _told(name: str, a: str | None, b: str | None) -> str:
    return f"{clean(name)[:LONGEST]} {_cut(a)} / {_cut(b)}"


def _cut(value: str | None) -> str:
    if value is None:
        return "not set"
    cleaned = clean(value)
    return cleaned if len(cleaned) <= LONGEST else f"{cleaned[: LONGEST - 1]}…"


def _flat(value: Any, name: str = "", depth: int = 0) -> Pairs:
    if isinstance(value, Mapping) and depth < DEEPEST:
        found: Pairs = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{name}.{key}" if name else str(key), depth + 1)
        return found
    return {} if value is None else {name: str(value)}


def _signed(run: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Pairs]:
    """Field of the rows' signatures -> whose -> values: a framework's version is its own, weights are a network's."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for row in rows or [run]:
        fields = signatures.parts(row)
        owners = {"framework": str(row.get("framework") or "framework"), "weights": fields.get("network", "weights")}
        for name, value in fields.items():
            found.setdefault(name, {}).setdefault(owners.get(name, name), {})[value] = None
    return {name: {whose: ", ".join(sorted(values)) for whose, values in one.items()} for name, one in found.items()}
