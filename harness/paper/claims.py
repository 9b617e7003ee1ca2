"""What a claim of the paper is: one that follows from the network's description, or one that data must decide.

The claims themselves, as data, are in `claims_of_shape` (layers and sizes), `claims_of_training` (sections 4 and 5) and
`claims_of_results` (errors, times and figures).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from impls.spec import Network

Exactly = Literal["holds", "contradicted"]


class Finding(NamedTuple):
    """What a derivation gives, beside the paper's figure."""

    ours: str
    agrees: bool
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactClaim:
    """A statement that the description of the network decides, every time anew."""

    section: str
    claim: str
    paper: str  # the figure as it is printed
    source: str = ""  # where in the section, or what else says it
    check: Callable[[Network], Finding]
    known: Exactly = "holds"  # the verdict on the network `paper`: a claim that should hold and does not is a failure


class Result(NamedTuple):
    """An entry of Tables 1 and 2: what an evaluation must be of to stand beside it."""

    data: str  # ILSVRC-2010 or ILSVRC-2012
    part: str
    crops: int
    networks: int  # whose probabilities are averaged


@dataclass(frozen=True, slots=True, kw_only=True)
class EmpiricalClaim:
    """A statement that only measuring decides."""

    section: str
    claim: str
    paper: str
    source: str = ""
    needs: str = "ImageNet"  # the data that decide it
    commands: tuple[str, ...] = ()  # that decide it; none where this program cannot
    note: str = ""
    ablation: str = ""  # the ablation that measures the same question on other data
    ablation_on: str = ""  # if it counts only on data whose name begins so
    result: Result | None = None
