"""A sweep: the product of the lists given, as settings in the order in which they are measured."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.errors import CannotMeasure, UsageError
from harness.speed.options import SpeedOptions
from impls import catalog
from impls.protocol import Phase, PrecisionName, Settings, Tuning
from impls.split import InvalidSplit, Split, plan, possible
from reports.schema import SETTING

SETTING_COLUMNS = tuple(column.name for column in SETTING)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a figure is a figure of, but for framework and tuning: those are measured side by side."""

    network: str
    device: str
    devices: int
    split: Split
    precision: PrecisionName
    batch_size: int
    input: str
    phase: Phase

    @property
    def emulated(self) -> bool:
        """Several devices that are in truth one processor."""
        return self.device == "cpu" and self.devices > 1

    def columns(self) -> dict[str, Any]:
        """The setting as columns of a row."""
        return {name: getattr(self, name) for name in SETTING_COLUMNS[2:]}

    def told(self) -> str:
        """One line for a person."""
        where = self.device if self.devices == 1 else f"{self.devices} x {self.device}, split {self.split}"
        emulated = " (emulated)" if self.emulated else ""
        return (
            f"{self.network}, {self.phase}, batch {self.batch_size}, {self.precision}, {where}{emulated},"
            f" {self.input} input"
        )

    def settings(self, tuning: Tuning) -> Settings:
        """What a framework is told."""
        return Settings(tuning, self.precision, self.device, self.devices, self.split)


def matrix(options: SpeedOptions) -> list[Setting]:
    """Every setting of the sweep. Raises UsageError and CannotMeasure for what cannot be."""
    _check(options)
    found: list[Setting] = []
    for network in options.networks:
        axes = (
            options.precisions, splits_of(options, network), options.phases, options.inputs, options.batch_sizes,
        )  # fmt: skip
        for precision, split, phase, source, batch_size in itertools.product(*axes):
            found.append(
                Setting(network, options.device, options.devices, split, precision, batch_size, source, phase)  # type: ignore[arg-type]
            )
    return found


def splits_of(options: SpeedOptions, name: str) -> tuple[str, ...]:
    """The splits to be measured of one network. Raises UsageError for one that it does not have."""
    if options.devices == 1:
        return ("none",)
    network = catalog.get(name)
    if not options.splits:
        return tuple(possible(network, options.devices)) or _refuse_split(name, options.devices)
    for split in options.splits:
        try:
            plan(network, split, options.devices)  # type: ignore[arg-type]
        except InvalidSplit as error:
            raise UsageError(f"--split {split}: {error}") from None
    return options.splits


def _refuse_split(name: str, devices: int) -> tuple[str, ...]:
    raise UsageError(f"network {name!r} cannot be split over {devices} devices: choose another --devices")


def _check(options: SpeedOptions) -> None:
    for complaint in _contradictions(options):
        raise UsageError(complaint)
    for name in options.networks:
        if catalog.get(name).large and not options.large:
            raise UsageError(f"network {name!r} needs some 16 GB of memory: pass --large to run it")
    if "tf32" in options.precisions and options.device == "cpu":
        raise CannotMeasure("precision tf32 needs an NVIDIA GPU of compute capability 8 or later: pass --device cuda")


def _contradictions(options: SpeedOptions) -> Iterator[str]:
    split = tuple(name for name in options.splits if name != "none")
    if options.devices == 1 and split:
        yield f"--split {split[0]} needs two devices or more: pass --devices 2 (or --gpus 2)"
    if options.devices > 1 and "none" in options.splits:
        yield f"--split none is a run on one device: leave it out, or leave out the {options.devices} devices"
    if options.devices > 1 and ":" in options.device:
        yield f"--device {options.device} is one device, not {options.devices}: pass --device cuda"
    for batch_size in options.batch_sizes:
        if batch_size % options.devices:
            yield (
                f"a batch of {batch_size} cannot be shared by {options.devices} devices:"
                f" choose a multiple of {options.devices} for --batch-size"
            )
