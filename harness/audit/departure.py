"""What an audit finds: one place, or several alike, where a network differs from the reference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

from harness.audit.edits import Edit, chained
from impls import derive
from impls.derive import InvalidNetwork
from impls.spec import Network

# In the order of a network's own description; rows are ordered by consequence, see `harness.audit.consequence`.
Facet: TypeAlias = Literal[
    "input", "channels", "preprocessing", "depth", "kernels", "kernel-size", "stride", "padding", "groups",
    "activation", "lrn", "lrn-alpha", "lrn-size", "lrn-beta", "lrn-k", "lrn-towers", "spatial-norm", "pooling",
    "order", "units", "classes", "bias", "dropout", "dropout-position", "dropout-rate", "dropout-scaling", "init",
    "init-bias", "foreign",
]  # fmt: skip
FACETS: tuple[Facet, ...] = get_args(Facet)

# One departure for the whole network, whatever each layer's numbers are: "widths" is one thing that people say.
JOINED: frozenset[Facet] = frozenset({"kernels", "units"})

MOST_PLACES, SHOWN_PLACES = 12, 4  # of more than the first number of places only the second are named
NO_BIASES = "weights do not fit: the reference's biases have no place"
AFTER = "after "  # begins the place of what the reference does not have


class Finding(NamedTuple):
    """A difference in one place, before like ones are put together."""

    facet: Facet
    place: str
    theirs: str
    reference: str
    why: str
    edit: Edit | None  # makes the reference have it; None where no `Network` can
    parameters: int = 0  # of a foreign layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """One thing that a network does otherwise than the reference."""

    facet: Facet
    places: tuple[str, ...]  # the reference's layer names, those of the other where the reference has none
    theirs: str
    reference: str
    why: str  # one sentence: what it means
    edit: Edit | None
    alone: Network | None  # the reference with this departure and no other; None where no `Network` can show it
    obstacle: str = ""  # why there is none
    foreign_parameters: int = 0

    @property
    def place(self) -> str:
        """The places in one text: `conv2, conv4, conv5`, `after conv1, conv2`; of very many the first ones."""
        more = len(self.places) - MOST_PLACES
        shown = self.places if more <= 0 else self.places[:SHOWN_PLACES]
        prefix = AFTER if all(place.startswith(AFTER) for place in shown) else ""
        said = ", ".join(place.removeprefix(prefix) for place in shown)
        return f"{prefix}{said}" if more <= 0 else f"{prefix}{said} and {len(self.places) - SHOWN_PLACES} more"


def grouped(findings: Iterable[Finding], reference: Network) -> list[Departure]:
    """Departures in the order of FACETS; the same change in several layers is one."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for found in findings:
        groups.setdefault(_likeness(found), []).append(found)
    made = [_departure(group, reference) for group in groups.values()]
    return sorted(made, key=lambda departure: FACETS.index(departure.facet))


def _likeness(found: Finding) -> tuple[str, ...]:
    """What findings of one departure have in common."""
    if found.facet in JOINED:
        return (found.facet,)
    if found.facet == "foreign":  # of one kind, which the reason names, whatever the settings of each
        return (found.facet, found.reference, found.why)
    return (found.facet, found.theirs, found.reference, found.why)


def _departure(group: list[Finding], reference: Network) -> Departure:
    first = group[0]
    edits = [found.edit for found in group if found.edit is not None]
    edit = chained(edits) if len(edits) == len(group) else None
    alone, obstacle = applied(edit, reference)
    if first.facet == "bias":
        obstacle = NO_BIASES
    joined = first.facet in JOINED
    return Departure(
        facet=first.facet,
        places=tuple(dict.fromkeys(found.place for found in group)),
        theirs=_told([found.theirs for found in group], joined=joined),
        reference=", ".join(found.reference for found in group) if joined else first.reference,
        why=first.why,
        edit=edit,
        alone=alone,
        obstacle=obstacle,
        foreign_parameters=sum(found.parameters for found in group),
    )


def _told(texts: list[str], *, joined: bool) -> str:
    """All of them, one for all, or what they have in common: the kind of foreign layers whose details differ."""
    if joined:
        return ", ".join(texts)
    return texts[0] if len(set(texts)) == 1 else texts[0].partition(" (")[0]


def applied(edit: Edit | None, reference: Network) -> tuple[Network | None, str]:
    """The reference with the edit, or None and why there is no such network."""
    if edit is None:
        return None, "this project has no such layer"
    try:
        network = edit(reference)
        derive.facts(network)
    except (InvalidNetwork, ZeroDivisionError) as error:
        return None, f"alone it does not fit the reference: {error}"
    return network, ""


def together(departures: Iterable[Departure]) -> Edit:
    """All of them; layers change places first, while they are the reference's own."""
    ordered = sorted(departures, key=lambda departure: departure.facet != "order")
    return chained(departure.edit for departure in ordered if departure.edit is not None)
