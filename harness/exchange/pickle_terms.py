"""What a pickle may ask for, and what stands for the things that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal


class BadPickle(ValueError):
    """A pickle that is damaged, or asks for more than containers and numbers; the message says what."""

    def __init__(self, message: str, asked: str = "") -> None:
        super().__init__(message)
        self.asked = asked  # the name that was asked for, where that is what is wrong


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that a pickle names: only its name."""

    module: str
    name: str

    def __str__(self) -> str:
        whole = f"{self.module}.{self.name}"
        return "".join(letter if letter.isprintable() else "?" for letter in whole[:200])


class Recorded:
    """What stands for an object of the pickle: it keeps the state that it is given, and does nothing with it."""

    state: Any = None


class Inert(Recorded):
    """An object of a class that the caller lets pass."""

    def __init__(self, name: Name, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments = name, arguments


Known = Mapping[tuple[str, str], Callable[..., Any]]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a pickle may ask for, and how its contents are understood."""

    what: str  # for messages: "which no CIFAR batch does"
    known: Known
    inert: Callable[[Name], bool] = lambda name: False  # whose objects may be there without being understood
    persistent: Callable[[Any], Any] | None = None  # what stands for an object outside the pickle
    old_text: Literal["bytes", "latin1"] = "latin1"  # what Python 2's strings are
