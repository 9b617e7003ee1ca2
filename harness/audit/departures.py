"""Where a network departs from a reference, exactly: every departure once, and nothing that is none."""

from __future__ import annotations

from harness.audit import between_layers, dropout, edits, learned_layers, reasons
from harness.audit.blocks import HEAD
from harness.audit.departure import Departure, Finding, grouped
from harness.audit.subject import Subject
from impls.reading import Reading
from impls.spec import Network


def compare(theirs: Reading, reference: Network) -> list[Departure]:
    """The departures in the order of a network's description.

    What the source is silent about is none. How a network is trained is not compared. Networks whose layers do not fit
    together are compared like others: shapes are needed only to tell padding that has an effect from one that has none.
    """
    subject = Subject(theirs, reference)
    found = [
        *_preprocessing(subject),
        *learned_layers.findings(subject),
        *between_layers.findings(subject),
        *dropout.findings(subject),
    ]
    return grouped(found, reference)


def _preprocessing(subject: Subject) -> list[Finding]:
    theirs, ours = subject.theirs.preprocessing, subject.reference.preprocessing
    if theirs is None or subject.is_silent("preprocessing") or theirs == ours:
        return []
    why = reasons.of_preprocessing(theirs, ours)
    return [Finding("preprocessing", HEAD, theirs, ours, why, edits.whole(preprocessing=theirs))]
