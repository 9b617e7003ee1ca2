"""What a confined child does in the tests: end in every bad way."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

from harness.errors import CannotMeasure
from harness.exchange.foreign import FormatError


def echoed(path: Path, **arguments: Any) -> Any:
    return [path.name, arguments]


def ending(path: Path) -> Any:
    """As the file's name says."""
    match path.name:
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "exit":
            os._exit(3)
        case "hang":
            time.sleep(600)
        case "spin":
            while True:
                pass
        case "memory":
            return len(bytearray(8 << 30))
        case "raises":
            raise RuntimeError("first line\nsecond line")
        case "refuses":
            raise FormatError("this one is refused")
        case "missing":
            raise CannotMeasure("install it")
        case "prints":
            print("noise on the standard output", flush=True)
            os.write(1, b"and beneath Python\n")
    return path.name


def environment(path: Path) -> Any:
    return dict(os.environ)
