"""What a parity run needs before it starts: who takes part, on which weights and photographs, and room to work in."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import environment
from harness.data import images
from harness.errors import NO_ROOM, CannotMeasure, UsageError
from harness.launch import WorkerSpec
from harness.parity import split_level
from harness.parity.bench import Material
from harness.parity.options import FORWARD_LEVELS, FORWARD_PRECISIONS, ParityOptions
from harness.requirements import install_command
from harness.shared_cores import YIELDING
from impls import catalog, registry, weights
from impls.oracle.rounding import PRECISIONS
from impls.protocol import PRECISIONS as PRECISION_NAMES
from impls.protocol import Array, PrecisionName, Settings
from impls.spec import Network

MOST_PHOTOGRAPHS = 50
CORES_PER_WORKER = 1  # imports, compilation and the comparison beside them leave cores idle
LONGEST_FIRST = ("jax",)  # it compiles every shape; begun last it would run on alone


def network_of(options: ParityOptions) -> Network:
    """The network asked for. Raises UsageError for a large one without --large."""
    network = catalog.get(options.network)
    if network.large and not options.large:
        raise UsageError(f"network {network.name!r} needs some 16 GB of memory: pass --large to run it")
    return network


def check_precision(options: ParityOptions) -> None:
    """Raises CannotMeasure for a precision the device does not have."""
    if options.precision == "tf32" and options.device == "cpu":
        raise CannotMeasure("precision tf32 needs an NVIDIA GPU of compute capability 8 or later: pass --device cuda")


def workers(options: ParityOptions) -> list[WorkerSpec]:
    """Who takes part: outside implementations, and the frameworks asked for or installed.

    Raises UnknownFramework, CannotMeasure where nobody is there, and UsageError for what one asked for cannot do.
    """
    if not math.isfinite(options.timeout_s):
        raise UsageError(f"--timeout {options.timeout_s} is no number of seconds")
    pythons = dict(options.pythons)
    names = list(options.frameworks)
    for name in names:
        _check_abilities(name, options)
    if not names and not options.impls:
        known = registry.frameworks(forward_only=_takes_forward_only(options))
        names = [name for name in known if name in pythons or not registry.missing_modules(name)]
        if not names:
            raise CannotMeasure(f"no framework is installed: {install_command('cpu')}, or one of the three alone")
    ordered = sorted(dict.fromkeys(names), key=lambda name: name not in LONGEST_FIRST)
    made = [_spec(options, name, registry.reference(name, forward_only=True), pythons.get(name)) for name in ordered]
    outside = [_spec(options, target, _absolute(target), None) for target in dict.fromkeys(options.impls)]
    return [*made, *outside]


def levels_of(name: str, options: ParityOptions) -> tuple[str, ...]:
    """The levels asked for, of a framework without gradients those that have a forward part."""
    if name not in registry.FORWARD_ONLY:
        return options.levels
    return tuple(level for level in options.levels if level in FORWARD_LEVELS)


def _check_abilities(name: str, options: ParityOptions) -> None:
    """Raises UsageError for a framework without gradients where it can do nothing of what is asked for."""
    if name not in registry.FORWARD_ONLY:
        return
    if options.self_test:
        raise UsageError(f"--self-test plants its faults in gradients too: {name} is forward only")
    if not levels_of(name, options):
        asked, offered = ", ".join(options.levels), ", ".join(FORWARD_LEVELS)
        raise UsageError(f"{name} is forward only: --level {asked} is not among its levels {offered}")
    if options.precision not in FORWARD_PRECISIONS:
        raise UsageError(
            f"{name} computes in {', '.join(FORWARD_PRECISIONS)} here: it has no --precision {options.precision}"
        )


def _takes_forward_only(options: ParityOptions) -> bool:
    """Whether frameworks without gradients take part where none is named: where all of them can."""
    return (
        bool(set(options.levels) & set(FORWARD_LEVELS))
        and not options.self_test
        and not options.large
        and options.precision in FORWARD_PRECISIONS
        and options.device == "cpu"
    )


def _spec(options: ParityOptions, label: str, target: str, python: str | None) -> WorkerSpec:
    devices = options.devices if "split" in options.levels else 1
    # One process serves both tunings, so that none of tuned's own variables is set.
    settings = Settings(precision=_precision(options), device=options.device, devices=devices)
    return WorkerSpec(
        label=label,
        target=target,
        python=python or sys.executable,
        device=options.device,
        silence_limit_s=options.timeout_s,
        extra_environment={**registry.environment(label, settings), **YIELDING},
    )


def _precision(options: ParityOptions) -> PrecisionName:
    return next(name for name in PRECISION_NAMES if name == options.precision)


def _absolute(target: str) -> str:
    """A file's target with its whole path. Raises UsageError where the file is not there."""
    module, _, attribute = target.rpartition(":")
    if not module or not attribute:
        raise UsageError(f"--impl {target!r} is not of the form ./file.py:attribute or module:attribute")
    if not module.endswith(".py"):
        if module.startswith(".") or os.sep in module or Path(module).exists():
            raise UsageError(f"--impl {target!r}: {module!r} is no Python file; its name must end in .py")
        return target
    if not Path(module).is_file():
        raise UsageError(f"--impl {target!r}: there is no file {module!r}")
    return f"{Path(module).resolve()}:{attribute}"


def at_once(options: ParityOptions, count: int) -> int:
    """How many workers run side by side: by the cores, one at a time for a network that fills the memory."""
    if options.jobs:
        return options.jobs
    if options.large:
        return 1
    return max(1, min(count, environment.usable_cores() // CORES_PER_WORKER, 4))


@contextlib.contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """A folder for arrays on their way between processes, gone afterwards.

    Raises CannotMeasure where the disk is full.
    """
    # Absolute, as workers are told it: code of the user's may change their folder.
    made = Path(tempfile.mkdtemp(prefix=".work-", dir=folder)).absolute()
    try:
        yield made
    except (OSError, weights.WeightsError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError) or cause.errno not in NO_ROOM:
            raise
        reason = os.strerror(cause.errno)
        raise CannotMeasure(f"cannot write in {made}: {reason}; free some space or choose another --out") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


@dataclass(frozen=True)
class Inputs:
    """What the user gave, read and checked."""

    network: Network
    views: Array  # [N, H, W, C], as many of each photograph
    photographs: tuple[str, ...]
    centres: tuple[int, ...]
    weights: weights.Weights | None  # None: to be drawn from the recipe
    splits: tuple[str, ...] = ()  # of the level split


def inputs(options: ParityOptions, network: Network) -> Inputs:
    """Photographs and the weights file. Raises WeightsError, ImageError, UsageError."""
    loaded = weights.load(options.weights, network) if options.weights is not None else None
    found = Inputs(network, *_views(options.images, network), loaded)
    if "split" not in options.levels:
        return found
    splits = split_level.splits_of(network, options.splits, options.devices)
    count = len(found.photographs)
    split_level.check_batches(options.devices, len(found.views) // count, min(max(2, options.devices), count))
    return replace(found, splits=splits)


def material(options: ParityOptions, given: Inputs, folder: Path) -> tuple[Material, str]:
    """Weights and photographs, and the weights' content hash."""
    network, loaded, file = given.network, given.weights, options.weights
    if loaded is None or file is None:
        file = folder / "weights.safetensors"
        weights.write(network, options.recipe, options.seed, file)
        loaded = weights.load(file, network, verify=False)
    made = Material(
        network=network,
        weights=loaded.arrays,
        weights_file=file.resolve(),
        images=given.views,
        photographs=given.photographs,
        centres=given.centres,
        precision=PRECISIONS[options.precision],
        seed=options.seed,
        folder=folder,
        devices=options.devices if given.splits else 1,
        splits=given.splits,
    )
    return made, loaded.content_hash


def _views(given: Sequence[Path], network: Network) -> tuple[Array, tuple[str, ...], tuple[int, ...]]:
    paths = images.expand(given) if given else images.photographs()
    if len(paths) > MOST_PHOTOGRAPHS:
        raise UsageError(f"{len(paths)} images given: parity compares on at most {MOST_PHOTOGRAPHS}")
    found = images.parity_inputs(paths, network)
    return found.images, tuple(path.name for path in paths), found.centres
