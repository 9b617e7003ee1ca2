"""Pickle's stack machine with nothing behind it: no name in a pickle is imported, and nothing from it is called.

A pickle is a program that may name any function and have it called. This machine runs the part of it that makes
numbers, text, bytes and containers. Where the program names something, a table of the caller's says what of ours
stands for it; a name that is not in the table ends the reading. The standard library's unpicklers are not used: they
allocate by the lengths that a pickle claims, and hash whatever it makes a key.

Memory is bounded by the size of what is read. Long runs of bytes are not copied: they stay views of the caller's data.

Reference: Python's Lib/pickletools.py, which describes every opcode.
"""

from __future__ import annotations

import codecs
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.exchange.pickle_terms import BadPickle, Inert, Name, Recorded, Terms
from reports.format import clean

BASE_BUDGET = 256 << 20  # bytes that any pickle may take, beside three times its own size
MOST_OPCODES = 6_000_000  # some seconds' work; where a file is large it is so by long runs of bytes
OPCODE_COST = 120  # bytes that an opcode may take: an empty dictionary and its places in a stack and in the memo
SET_COST = 200  # what an empty set takes more
MOST_LINE = 1_000  # characters of a number or a name
MOST_INTEGER = 64  # bytes of a whole number
MOST_KEY = 1 << 64  # larger numbers could be chosen to share one place in a dictionary
MOST_PLACE = 1 << 32  # of the memo
LONG_BYTES = 1 << 16  # from here on bytes stay where they are
HIGHEST_PROTOCOL = 5


@dataclass
class Machine:
    """One run over `data`, from `at` on, which is left behind the pickle's end."""

    data: memoryview
    terms: Terms
    at: int = 0
    _stack: list[Any] = field(default_factory=list)
    _marked: list[list[Any]] = field(default_factory=list)
    _memo: dict[int, Any] = field(default_factory=dict)
    _left: int = 0

    def run(self) -> Any:
        """What the pickle holds. Raises BadPickle."""
        self._left = BASE_BUDGET + 3 * len(self.data)
        try:
            return self._run()
        except BadPickle:
            raise
        # What a damaged pickle leads to depends on where it is damaged.
        except (
            ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, struct.error, MemoryError,
            OverflowError, RecursionError,
        ) as error:  # fmt: skip
            said = clean(str(error))[:200] or type(error).__name__
            raise BadPickle(f"it is no whole pickle ({said})") from None

    def _run(self) -> Any:
        for _ in range(MOST_OPCODES):
            code = self._take(1)[0]
            self._spend(OPCODE_COST)
            if code == STOP:
                return self._stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise BadPickle(f"it is no whole pickle (byte {self.at - 1:,} is 0x{code:02x})")
            step(self)
        raise BadPickle(f"it has over {MOST_OPCODES:,} opcodes")

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise BadPickle("it asks for more memory than a file of its size can need")

    # Arguments that follow an opcode

    def _take(self, count: int) -> memoryview:
        end = self.at + count
        if count < 0 or end > len(self.data):
            raise BadPickle(f"it is no whole pickle (it ends at byte {len(self.data):,}, in the middle)")
        taken, self.at = self.data[self.at : end], end
        return taken

    def _number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)

    def _line(self) -> memoryview:
        start, at, step = self.at, self.at, 256
        while at < len(self.data):
            found = bytes(self.data[at : at + step]).find(b"\n")
            if found >= 0:
                self.at = at + found + 1
                return self.data[start : at + found]
            at, step = at + step, 1 << 20
        raise BadPickle(f"it is no whole pickle (it ends at byte {len(self.data):,}, in the middle)")

    def _short_line(self) -> bytes:
        line = self._line()
        if len(line) > MOST_LINE:
            raise BadPickle(f"it has a name or a number of {len(line):,} characters")
        return bytes(line)

    # What goes onto the stack

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def _push_text(self, raw: memoryview, encoding: str = "utf-8") -> None:
        self._spend(4 * len(raw))  # what the widest letters take
        errors = "strict" if encoding == "raw-unicode-escape" else "surrogatepass"
        self.push(str(raw, encoding, errors))

    def _push_bytes(self, raw: memoryview) -> None:
        self.push(raw if len(raw) > LONG_BYTES else bytes(raw))

    def _push_old_text(self, raw: memoryview) -> None:
        self._push_bytes(raw)
        if self.terms.old_text == "latin1" and isinstance(self._stack[-1], bytes):
            self._stack[-1] = self._stack[-1].decode("latin1")

    def _push_old_literal(self) -> None:
        line = self._line()
        if len(line) < 2 or line[0] != line[-1] or line[0] not in b"'\"":
            raise BadPickle("it is no whole pickle (it has text without quotes)")
        self._spend(2 * len(line))
        self._push_old_text(memoryview(_unescaped(bytes(line[1:-1]))))

    def _push_integer(self, raw: bytes) -> None:
        self.push(raw == b"01" if raw in (b"00", b"01") else int(raw, 0))

    def _push_long(self, size: int) -> None:
        if size > MOST_INTEGER:
            raise BadPickle(f"it has a whole number of {size:,} bytes")
        self.push(self._number(size, signed=True))

    def _pop_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _mark(self) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _pop(self) -> None:
        # A mark on top is popped as any other value: protocol 0 does so behind an object that holds itself.
        if self._stack:
            self._stack.pop()
        else:
            self._stack = self._marked.pop()

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise BadPickle("it is no whole pickle (a tuple lacks items)")
        items = tuple(self._stack[len(self._stack) - count :])
        del self._stack[len(self._stack) - count :]
        self.push(items)

    def _set(self, items: list[Any], kind: type) -> None:
        self._spend(SET_COST)
        for item in items:
            _require_key(item)
        self.push(kind(items))

    def _memoize(self, place: int) -> None:
        if not 0 <= place < MOST_PLACE:
            raise BadPickle("it is no whole pickle (it remembers something at no place)")
        self._memo[place] = self._stack[-1]

    # Containers that are there already

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise BadPickle(f"it appends to something of type {type(target).__name__}")
        target.extend(items)

    def _add(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, set):
            raise BadPickle(f"it adds to something of type {type(target).__name__}")
        for item in items:
            _require_key(item)
        target.update(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise BadPickle(f"it puts entries into something of type {type(target).__name__}")
        put(target, items[::2], items[1::2])

    # Names and what is made of them

    def _find(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise BadPickle("it is no whole pickle (it asks for something without a name)")
        found = Name(module, name)
        if (module, name) not in self.terms.known and not self.terms.inert(found):
            raise BadPickle(f"it asks for {found}, which no {self.terms.what} does", str(found))
        self.push(found)

    def _call(self, target: Any, arguments: Any) -> None:
        if not isinstance(target, Name) or not isinstance(arguments, tuple):
            raise BadPickle(f"it calls something of type {type(target).__name__}")
        for argument in arguments:
            if isinstance(argument, list | tuple | dict | set | frozenset):
                self._spend(OPCODE_COST * len(argument))  # it may be copied, again and again
            elif isinstance(argument, str | bytes):
                self._spend(8 * len(argument))
        known = self.terms.known.get((target.module, target.name))
        self._spend(SET_COST)
        self.push(known(*arguments) if known is not None else Inert(target, arguments))

    def _reduce(self) -> None:
        arguments = self._stack.pop()
        self._call(self._stack.pop(), arguments)

    def _new_with_keywords(self) -> None:
        if self._stack.pop():
            raise BadPickle("it makes an object with keywords")
        self._reduce()

    def _instance(self) -> None:
        module, name = self._short_line(), self._short_line()
        arguments = tuple(self._pop_mark())
        self._find(module.decode(), name.decode())
        self._call(self._stack.pop(), arguments)

    def _object(self) -> None:
        target, *arguments = self._pop_mark()
        self._call(target, tuple(arguments))

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Recorded):
            target.state = state
        elif not isinstance(target, dict):  # a dictionary's own attributes are nothing that it holds
            raise BadPickle(f"it gives a state to something of type {type(target).__name__}")

    def _persistent(self, reference: Any) -> None:
        if self.terms.persistent is None:
            raise BadPickle(f"it refers to objects outside itself, which no {self.terms.what} does")
        self.push(self.terms.persistent(reference))

    def _protocol(self) -> None:
        if (found := self._number(1)) > HIGHEST_PROTOCOL:
            raise BadPickle(f"it is of protocol {found}, expected at most {HIGHEST_PROTOCOL}")


def _unescaped(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of escapes that Python does not know
        return bytes(codecs.escape_decode(text)[0])


def put(target: dict[Any, Any], keys: list[Any], values: list[Any]) -> None:
    """New entries of a dictionary, none of which may be there. Raises BadPickle."""
    for key, value in zip(keys, values, strict=True):
        _require_key(key)
        if key in target:
            raise BadPickle(f"it has two entries called {str(key)[:100]!r}")
        target[key] = value


def _require_key(key: Any) -> None:
    """Raises BadPickle for what could take for ever to hash, or could be made to share its hash with many others."""
    small = isinstance(key, int) and abs(key) < MOST_KEY
    if not (key is None or small or isinstance(key, str | bytes | float | Name)):
        raise BadPickle(f"it has a key of type {type(key).__name__}")


STOP = ord(".")

_STEPS: dict[int, Callable[[Machine], None]] = {
    ord(code): step
    for code, step in {
        "(": Machine._mark,
        "0": Machine._pop,
        "1": lambda m: m._pop_mark().clear(),
        "2": lambda m: m.push(m._stack[-1]),
        "F": lambda m: m.push(float(m._short_line())),
        "I": lambda m: m._push_integer(m._short_line()),
        "J": lambda m: m.push(m._number(4, signed=True)),
        "K": lambda m: m.push(m._number(1)),
        "L": lambda m: m.push(int(m._short_line().removesuffix(b"L"), 0)),
        "M": lambda m: m.push(m._number(2)),
        "N": lambda m: m.push(None),
        "P": lambda m: m._persistent(m._short_line().decode("ascii")),
        "Q": lambda m: m._persistent(m._stack.pop()),
        "R": Machine._reduce,
        "S": Machine._push_old_literal,
        "T": lambda m: m._push_old_text(m._take(m._number(4, signed=True))),
        "U": lambda m: m._push_old_text(m._take(m._number(1))),
        "V": lambda m: m._push_text(m._line(), "raw-unicode-escape"),
        "X": lambda m: m._push_text(m._take(m._number(4))),
        "a": lambda m: m._append([m._stack.pop()]),
        "b": Machine._build,
        "c": lambda m: m._find(m._short_line().decode(), m._short_line().decode()),
        "d": lambda m: _made_dict(m, m._pop_mark()),
        "}": lambda m: m.push({}),
        "e": lambda m: m._append(m._pop_mark()),
        "g": lambda m: m.push(m._memo[int(m._short_line())]),
        "h": lambda m: m.push(m._memo[m._number(1)]),
        "i": Machine._instance,
        "j": lambda m: m.push(m._memo[m._number(4)]),
        "l": lambda m: m.push(m._pop_mark()),
        "]": lambda m: m.push([]),
        "o": Machine._object,
        "p": lambda m: m._memoize(int(m._short_line())),
        "q": lambda m: m._memoize(m._number(1)),
        "r": lambda m: m._memoize(m._number(4)),
        "s": lambda m: m._set_items([m._stack.pop(-2), m._stack.pop()]),
        "t": lambda m: m.push(tuple(m._pop_mark())),
        ")": lambda m: m.push(()),
        "u": lambda m: m._set_items(m._pop_mark()),
        "G": lambda m: m.push(struct.unpack(">d", m._take(8))[0]),
        "\x80": Machine._protocol,
        "\x81": Machine._reduce,
        "\x85": lambda m: m._tuple(1),
        "\x86": lambda m: m._tuple(2),
        "\x87": lambda m: m._tuple(3),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "\x8a": lambda m: m._push_long(m._number(1)),
        "\x8b": lambda m: m._push_long(m._number(4)),
        "B": lambda m: m._push_bytes(m._take(m._number(4))),
        "C": lambda m: m._push_bytes(m._take(m._number(1))),
        "\x8c": lambda m: m._push_text(m._take(m._number(1))),
        "\x8d": lambda m: m._push_text(m._take(m._number(8))),
        "\x8e": lambda m: m._push_bytes(m._take(m._number(8))),
        "\x8f": lambda m: m._set([], set),
        "\x90": lambda m: m._add(m._pop_mark()),
        "\x91": lambda m: m._set(m._pop_mark(), frozenset),
        "\x92": Machine._new_with_keywords,
        "\x93": lambda m: m._find(m._stack.pop(-2), m._stack.pop()),
        "\x94": lambda m: m._memoize(len(m._memo)),
        "\x95": lambda m: m._take(8).release(),  # a frame's length: all of the data is here already
        "\x96": lambda m: m._push_bytes(m._take(m._number(8))),
    }.items()
}


def _made_dict(machine: Machine, items: list[Any]) -> None:
    machine.push({})
    machine._set_items(items)
