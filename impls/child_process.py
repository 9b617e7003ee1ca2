"""How a further Python process of ours is started: it runs our modules, and none that lies in the working folder.

Python looks for modules in the working folder before its own where `-m` or an empty entry of PYTHONPATH lets it: a
`queue.py` or `sitecustomize.py` that happens to lie there would run. Standard library only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).absolute().parents[1]  # as this process found it, be it by a link


def command(module: str, *arguments: str, python: str = sys.executable) -> list[str]:
    """What runs a module of ours in a process of its own, in the environment of `environment`."""
    return [python, "-m", module, *arguments]


def environment(given: Mapping[str, str] | None = None, root: Path = CHECKOUT) -> dict[str, str]:
    """These variables, or this process's own, under which `root`'s modules run, then those of the user's PYTHONPATH.

    The working folder is not searched, in the processes that such a process starts neither.
    """
    path = os.pathsep.join(dict.fromkeys([str(root), *_users_folders()]))
    return {**(os.environ if given is None else given), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _users_folders() -> Iterator[str]:
    """The entries of PYTHONPATH, without those that mean the working folder, such as an empty one."""
    for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if entry and not _is_working_folder(entry):
            yield str(Path(entry).absolute())


def _is_working_folder(entry: str) -> bool:
    try:
        return Path(entry).samefile(os.curdir)
    except OSError:  # it is not there, or cannot be looked at
        return False
