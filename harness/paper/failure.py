"""What did not come about, beside what did."""

from __future__ import annotations

from typing import NamedTuple

from harness.errors import AlexbenchError


class Failure(NamedTuple):
    """A training or a picture that came to nothing."""

    label: str
    error: AlexbenchError

    def __str__(self) -> str:
        """One line, the label once: a training's own errors begin with it."""
        said = str(self.error)
        return said if said.startswith(self.label) else f"{self.label}: {said}"
