"""What can go wrong, each with the exit code the command ends with. Messages are one line for the person reading."""

import errno
import re
from collections.abc import Collection, Iterator

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# As libraries, the loader of shared libraries and Python itself say it.
OUT_OF_MEMORY = re.compile(
    r"MemoryError|ResourceExhausted|RESOURCE_EXHAUSTED|OutOfMemory|out of memory|bad_alloc"
    r"|can't allocate memory|Cannot allocate memory|Unable to allocate|failed to allocate"
    r"|Memory allocation still failed|failed to map segment|can't start new thread",
    re.IGNORECASE,
)

# Found wanting comes before crashed, and that before what could not be measured.
WORST_FIRST = (1, 4, 3)


def gravest(codes: Collection[int]) -> int:
    """Of several exit codes the one a command ends with; 0 of none."""
    return next((code for code in WORST_FIRST if code in codes), max(codes, default=0))


def is_no_room(error: BaseException) -> bool:
    """Whether an error comes from a disk without room, whoever has worded it since: that is nobody's mistake."""
    return comes_from(error, NO_ROOM)


def comes_from(error: BaseException, numbers: Collection[int]) -> bool:
    """Whether an error is, or was raised from or while handling, an OSError with one of these numbers."""
    return any(isinstance(each, OSError) and each.errno in numbers for each in _with_causes(error))


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from or while handling, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


class AlexbenchError(Exception):
    """Anything a command ends with on purpose."""

    exit_code = 1


class MeasuredWanting(AlexbenchError):
    """It was measured and found wanting: parity failed, a speed regressed."""

    exit_code = 1


class UsageError(AlexbenchError):
    """The command was called with something that cannot be."""

    exit_code = 2


class CannotMeasure(AlexbenchError):
    """A framework, a device, data or room on the disk is missing."""

    exit_code = 3


class WorkerFailed(AlexbenchError):
    """A worker crashed, was killed or timed out."""

    exit_code = 4
