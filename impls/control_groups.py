"""What a container or the system's control groups allow this process of the machine's cores and memory.

Control groups are a tree; a process is in one group of it, and the limits of all groups above bind it too. Version 1
has a tree for each resource, version 2 one for all; both can be mounted at once. Standard library only.

Reference: the Linux kernel's documentation, admin-guide/cgroup-v1/memory.rst, scheduler/sched-bwc.rst and
admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

SYSTEM = Path("/")  # where the system's files are; another folder in tests
UNLIMITED = 1 << 60  # bytes; version 1 writes "no limit" as the largest multiple of a page


class _Mount(NamedTuple):
    """Where a tree of groups can be seen."""

    point: Path
    root: PurePosixPath  # the group that is shown there
    controllers: frozenset[str]  # of version 1; none for version 2


def usable_cores(system: Path = SYSTEM) -> int:
    """Cores this process is allowed, by affinity and by the quotas of processor time; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([cores, *(max(1, int(quota)) for quota in _quotas(system))])


def memory_limit(system: Path = SYSTEM) -> int | None:
    """Bytes of memory that the groups of this process allow; None where they set no limit."""
    return min((limit for limit, _ in _memory(system)), default=None)


def memory_left(system: Path = SYSTEM) -> int | None:
    """Bytes of memory that this process may still take by its groups' limits; None where they set none."""
    return min((max(0, limit - used) for limit, used in _memory(system)), default=None)


def out_of_memory_kills(system: Path = SYSTEM) -> int:
    """How many processes the kernel has ended for want of memory, by all counts there are: it grows with each."""
    counts = [group / name for group in _groups(system, "memory") for name in ("memory.events", "memory.oom_control")]
    return sum(_fields(path).get("oom_kill", 0) for path in (*counts, system / "proc/vmstat"))


def _memory(system: Path) -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of every group that has a limit. Files that are cached can be let go: no use."""
    for group in _groups(system, "memory"):
        for limit_file, use_file, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit = _number(_read(group / limit_file))
            if limit is not None and limit < UNLIMITED:
                used = _number(_read(group / use_file)) or 0
                yield limit, max(0, used - _fields(group / "memory.stat").get(cached, 0))


def _quotas(system: Path) -> Iterator[float]:
    """Processors' worth of time that each group with a limit is given."""
    for group in _groups(system, "cpu"):
        new = _read(group / "cpu.max").split()
        old = [_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")]
        for quota, period in (pair for pair in (new, old) if len(pair) == 2):
            time_us, of_us = _number(quota), _number(period)  # without a limit the first is `max` or -1
            if time_us is not None and of_us:
                yield time_us / of_us


def _groups(system: Path, controller: str) -> Iterator[Path]:
    """The folders of the groups that bind this process, its own first, in each tree that has the controller."""
    for mount, own in _places(system, controller):
        inside = own.relative_to(mount.root) if own.is_relative_to(mount.root) else PurePosixPath()
        folder = mount.point / inside
        while folder != mount.point:
            yield folder
            folder = folder.parent
        yield mount.point


def _places(system: Path, controller: str) -> Iterator[tuple[_Mount, PurePosixPath]]:
    """Each mounted tree that may have the controller, with this process's own group in it."""
    mounts = list(_mounts(system))
    for line in _read(system / "proc/self/cgroup").splitlines():
        _, names, path = [*line.split(":", 2), "", ""][:3]
        if names and controller not in names.split(","):
            continue
        # A group outside of what this process may see is written with `..`: the top is all there is of it.
        own = PurePosixPath("/" if ".." in path.split("/") else path)
        for mount in mounts:
            if controller in mount.controllers if names else not mount.controllers:
                yield mount, own


def _mounts(system: Path) -> Iterator[_Mount]:
    """Trees of control groups, of proc/self/mountinfo: `36 35 98:0 ROOT POINT OPTIONS … - TYPE SOURCE TREE_OPTIONS`."""
    for line in _read(system / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) < 5 or len(right) < 3 or right[0] not in ("cgroup", "cgroup2"):
            continue
        controllers = frozenset(right[2].split(",")) if right[0] == "cgroup" else frozenset()
        root, point = (re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field) for field in left[3:5])
        yield _Mount(system / point.lstrip("/"), PurePosixPath(root), controllers)


def _fields(path: Path) -> dict[str, int]:
    """A file of lines `name number`."""
    pairs = (line.split() for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError):  # ValueError: it is no text
        return path.read_text()
    return ""
