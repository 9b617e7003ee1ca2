"""What a claim is: of the paper, decided by the network's description or by data; or of a note about the paper.

The claims themselves, as data, are in `claims_of_shape` (layers and sizes), `claims_of_training` (sections 4 and 5),
`claims_of_results` (errors, times and figures) and `claims_of_notes` (what five study notes say).
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


NoteVerdict = Literal["holds", "contradicted", "misnamed"]


class Answer(NamedTuple):
    """What a derivation gives, beside a note's figure."""

    ours: str
    agrees: bool
    note: str = ""
    instead: str = ""  # what the note's figure is really of, where it does not agree

    @property
    def verdict(self) -> NoteVerdict:
        """`misnamed`: the figure is right, and of another thing than the note says."""
        if self.agrees:
            return "holds"
        return "misnamed" if self.instead else "contradicted"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteClaim:
    """A statement of a study note that a network of the catalog, arithmetic or a small computation decides."""

    note: str  # 000 to 004
    place: str  # where in its file
    claim: str  # as it stands there, in English
    figure: str  # as it is printed
    check: Callable[[Network], Answer]
    of: str = "paper"  # the network of the catalog that decides: the paper's, or the note's own listing
    known: NoteVerdict = "holds"  # the verdict on that network: another one means that a derivation is wrong


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
