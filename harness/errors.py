"""What can go wrong, each with the exit code the command ends with. Messages are one line for the person reading."""


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
