"""The jobs that a command line asks for; whatever can be refused is refused here, before a folder is claimed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.data.obtain import obtain
from harness.data.prepared import Prepared
from harness.errors import UsageError
from harness.speed.command import check_devices, frameworks
from harness.speed.matrix import Setting, matrix
from harness.speed.options import SpeedOptions
from harness.training import recipes
from harness.training.job import Job
from harness.training.options import TrainOptions
from harness.training.plan import Plan
from impls import catalog, weights
from impls.protocol import TUNINGS, Tuning
from impls.spec import Network, Recipe


def planned(
    options: TrainOptions, say: Callable[[str], None], *, data: Path | None = None, recipe: Recipe | None = None
) -> list[Job]:
    """A job for each framework. `data`, `recipe`: what a run that goes on has used so far.

    What costs least is looked at first: options, then weights, then data. Raises AlexbenchError and what input raises.
    """
    _check(options)
    names = frameworks(SpeedOptions(frameworks=options.frameworks, pythons=options.pythons))
    network = followed(options, options.data, recipe)
    setting_of(options, network)
    check_devices(SpeedOptions(device=options.device, devices=options.devices))
    if options.weights is not None and recipe is None:  # a run that goes on has them in its checkpoints
        weights.load(options.weights, network)
    prepared = (
        obtain(str(data), network, say=say) if data else obtain(options.data, network, parts=options.parts, say=say)
    )
    network = followed(options, prepared.source, recipe)  # a prepared folder tells only now what it was made of
    setting = setting_of(options, network)
    jobs = [job_of(options, name, network, setting, prepared) for name in names]
    Plan.of(jobs[0])
    if unused := classes_without_images(network, prepared):
        say(unused)
    return jobs


def classes_without_images(network: Network, prepared: Prepared) -> str:
    """What is said of a network with more classes than the data; empty where there are as many."""
    given = len(prepared.classes)
    if given >= network.classes:
        return ""
    return (
        f"{prepared.source} has {given} classes, network {network.name!r} answers with {network.classes:,}: the other"
        f" {network.classes - given:,} outputs stand for nothing, and training makes them unlikely"
    )


def followed(options: TrainOptions, source: str, recipe: Recipe | None = None) -> Network:
    """The network with the recipe given, or that of the options on data of that source. Raises UsageError."""
    network = catalog.get(options.network)
    return replace(network, recipe=recipe or recipes.of_command(options, network, source))


def _check(options: TrainOptions) -> None:
    """What the command line alone can tell. Raises UsageError."""
    for name, value in (("--timeout", options.timeout_s), ("--checkpoint-every", options.checkpoint_s)):
        if not math.isfinite(value):
            raise UsageError(f"{name} {value} is no number of seconds")
    if options.precision == "float16":
        raise UsageError(
            "training in float16 needs the loss to be scaled, which is not built: most gradients would be zero; pass"
            " --precision bfloat16"
        )


def setting_of(options: TrainOptions, network: Network) -> Setting:
    """Device, split and precision, checked against the network and its batch size. Raises UsageError, CannotMeasure."""
    return matrix(
        SpeedOptions(
            networks=(network.name,),
            device=options.device,
            devices=options.devices,
            splits=(options.split,) if options.split is not None else (),
            batch_sizes=(network.recipe.batch_size,),
            precisions=(options.precision,),
            large=options.large,
        )
    )[0]


def job_of(options: TrainOptions, framework: str, network: Network, setting: Setting, prepared: Prepared) -> Job:
    """Of one framework."""
    job = Job(
        framework=framework,
        network=network,
        data=prepared.path.resolve(),
        seed=options.seed,
        init=options.init or "own",
        weights=options.weights,
        limit=options.limit,
        steps=options.steps,
        validate=options.validate,
        tuning=_tuning(options),
        precision=setting.precision,
        device=setting.device,
        devices=setting.devices,
        split=setting.split,
        timeout_s=options.timeout_s,
        columns={"recipe": recipes.name_of(options, network, prepared.source)},
    )
    return replace(job, python=dict(options.pythons).get(framework, job.python))


def _tuning(options: TrainOptions) -> Tuning:
    return next(name for name in TUNINGS if name == options.tuning)
