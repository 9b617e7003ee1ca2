"""What can go wrong, each with the exit code the command ends with. Messages are one line for the person reading."""

from collections.abc import Collection

# Found wanting comes before crashed, and that before what could not be measured.
WORST_FIRST = (1, 4, 3)


def gravest(codes: Collection[int]) -> int:
    """Of several exit codes the one a command ends with; 0 of none."""
    return next((code for code in WORST_FIRST if code in codes), max(codes, default=0))


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
