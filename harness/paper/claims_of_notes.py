"""The statements of five study notes on the paper, each with its figure and what decides it.

holds         the paper's network, the note's own listing or a small computation gives the same
contradicted  it gives something else, which stands beside it
misnamed      the figure is right of another thing than the note says, which is named

The notes are in Chinese; the statements stand here in English, their numbers as printed.
"""

from __future__ import annotations

from harness.paper import (
    claims_of_note_000,
    claims_of_note_001,
    claims_of_note_002,
    claims_of_note_003,
    claims_of_note_004,
)
from harness.paper.claims import NoteClaim

FILES = {  # note -> its file's name
    "000": "000_876537489ed8ae61.txt",
    "001": "001_9549ec22d8afd42e.txt",
    "002": "002_9fd5aead3451f977.txt",
    "003": "003_b1018252e14ee1b3.txt",
    "004": "004_115168af64aebf6d.txt",
}

CLAIMS: tuple[NoteClaim, ...] = (
    *claims_of_note_000.CLAIMS,
    *claims_of_note_001.CLAIMS,
    *claims_of_note_002.CLAIMS,
    *claims_of_note_003.CLAIMS,
    *claims_of_note_004.CLAIMS,
)
