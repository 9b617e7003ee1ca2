"""The one way to a terminal: whatever is printed, a terminal obeys nothing that came from outside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from reports.format import visible


class Console(rich.console.Console):
    """Rich's console, whose own styles and cursor movements are the only control characters that it writes.

    It takes no word between two colons, such as a folder called dog: in imagefolder:dog:, for the name of a picture.
    """

    def __init__(self, *, emoji: bool = False, **settings: Any) -> None:
        """`settings` as Rich has them."""
        super().__init__(emoji=emoji, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is to be written, its text with control characters spelled out."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def say(text: str, *, error: bool = False) -> None:
    """A line, or several, as they are: not folded, not styled."""
    Console(stderr=error).print(visible(text), markup=False, highlight=False, soft_wrap=True)
