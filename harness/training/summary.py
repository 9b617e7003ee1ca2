"""What a person reads at the end of a training: how far each framework came, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import going_on
from harness.errors import AlexbenchError
from harness.run_folder import RunFolder
from harness.training.job import Trained
from harness.training.options import TrainOptions
from harness.training.trainer import Diverged
from reports.render.terminal import say


def show(
    options: TrainOptions, folder: RunFolder, trained: Sequence[Trained], failed: Mapping[str, AlexbenchError]
) -> None:
    """Print it."""
    folder.show(failures=[str(error) for error in failed.values()])
    for line in commands(options, folder.path, trained, failed):
        say(line)


def commands(
    options: TrainOptions, folder: Path, trained: Sequence[Trained], failed: Mapping[str, AlexbenchError]
) -> list[str]:
    """Command lines for what follows."""
    lines = []
    if trained:
        file, data = shlex.quote(str(trained[0].best)), shlex.quote(options.data)
        if options.parts:
            data += f" --parts {shlex.quote(','.join(map('='.join, options.parts)))}"
        lines.append(f"score it: alexbench evaluate --weights {file} --data {data} --crops 1,10")
    if any(not isinstance(error, Diverged) for error in failed.values()):  # the same steps would diverge again
        lines.append(going_on.line("train", folder))
    return lines
