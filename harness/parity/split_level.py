"""The split level: the network on several devices against the same float64 references as on one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.parity.bench import Bench
from harness.parity.finding import Finding, Outputs
from impls import split
from impls.spec import Network

if TYPE_CHECKING:
    from harness.parity.levels import Job


def splits_of(network: Network, asked: tuple[str, ...], devices: int) -> tuple[split.Split, ...]:
    """The splits to compare: those asked for, or all this network has on so many devices. Raises UsageError."""
    try:
        if asked:
            return tuple(split.plan(network, name, devices).split for name in split.SPLITS if name in asked)
    except split.InvalidSplit as error:
        raise UsageError(str(error)) from None
    found = split.possible(network, devices)
    if not found:
        raise UsageError(f"network {network.name!r} cannot be split over {devices} devices: choose another --devices")
    return found


def check_batches(devices: int, views: int, photographs: int) -> None:
    """Raises UsageError where a batch cannot be shared equally. `views` is the number of views of one photograph."""
    for count, what in ((views, "views of a photograph"), (photographs, "photographs, one view of each")):
        if count % devices:
            raise UsageError(
                f"level split shares a batch of {count} {what} among {devices} devices, which does not come out even:"
                f" give a number of photographs with --images that {devices} divides"
            )


def split_jobs(bench: Bench, whole: Callable[[Bench], Iterator[Job]]) -> Iterator[Job]:
    """The jobs of the levels that run a whole network (`whole` makes them), once for every split."""
    for name in bench.material.splits:
        for job in whole(bench):
            case = f"{name} on {bench.material.devices}, {job.level}: {job.case}"
            task = {**job.task, "split": name, "devices": bench.material.devices}
            yield replace(
                job, level="split", case=case, task=task, check=_told_by(job, case, f"{name}/{bench.material.devices}")
            )


def _told_by(job: Job, case: str, split: str) -> Callable[[Outputs], Iterator[Finding]]:
    def check(outputs: Outputs) -> Iterator[Finding]:
        for finding in job.check(outputs):
            yield replace(finding, level="split", case=case, split=split)

    return check
