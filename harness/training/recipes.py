"""The recipe to follow: by name, from a file, or the network's own, with what the command line changes."""

from __future__ import annotations

import json
import stat
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.training import schedule
from harness.training.options import NAMED_RECIPES, TrainOptions
from harness.training.recipe_fields import checked, recipe_of, told
from impls import catalog, derive
from impls.nearest import question
from impls.spec import Network, Recipe

SMALL_SIDE = 64  # up to this input side, the embedded digits are learned in a minute
MOST_BYTES = 1_000_000

# cifar-4layer with its own rate, decay and initial weights (`own`): 1.7, 1.1 and 1.4 % top-1 error on the 355 digits
# held out, with seeds 0, 1 and 2 in TensorFlow; 0.6 to 1.1 % in all three frameworks after 12 epochs. Initial weights
# `scaled` left 5 to 7 % after 9. Its own batch of 128 takes a quarter of the steps in an epoch.
DIGITS = Recipe(
    batch_size=32,
    learning_rate=0.001,
    weight_decay=0.004,
    epochs=10,
    drop_epochs=(8,),
    crop="centre",
    flip=False,
    source="for cifar-4layer on the embedded digits; a digit's mirror image is no digit",
)


def of_command(options: TrainOptions, network: Network, source: str) -> Recipe:
    """The recipe that the options ask for, on data of that source ("digits" for the embedded ones). Raises UsageError.

    Epochs, batch size and rate of the command line come before the recipe's.
    """
    name = name_of(options, network, source)
    recipe = _named(name, network) if name in NAMED_RECIPES else from_file(Path(name))
    if options.epochs is not None:
        recipe = schedule.of_length(recipe, options.epochs)
    if options.batch_size is not None:
        recipe = replace(recipe, batch_size=options.batch_size)
    if options.learning_rate is not None:
        recipe = replace(recipe, learning_rate=checked("learning_rate", options.learning_rate, "--learning-rate"))
    check_layers(recipe, network)
    return recipe


def name_of(options: TrainOptions, network: Network, source: str) -> str:
    """What the recipe is called: the option's value, or what is chosen without one."""
    return options.recipe or ("digits" if source == "digits" and is_small(network) else "own")


def is_small(network: Network) -> bool:
    """Whether the recipe for the embedded digits is meant for it."""
    return max(network.height, network.width) <= SMALL_SIDE


def _named(name: str, network: Network) -> Recipe:
    if name == "digits":
        return DIGITS
    return network.recipe if name == "own" else catalog.get(name).recipe


def check_layers(recipe: Recipe, network: Network) -> None:
    """Whether the network has the layers that the recipe names. Raises UsageError."""
    learned = dict.fromkeys(name.partition("/")[0] for name in derive.parameter_shapes(network))
    for change in recipe.changes:
        for layer, _ in change.layer_factors or ():
            if layer not in learned:
                raise UsageError(
                    f"the recipe changes layer {layer!r} at epoch {change.epoch}; {network.name} has"
                    f" {', '.join(learned)}: choose another --recipe"
                )


def from_file(path: Path) -> Recipe:
    """A JSON or TOML file with fields of `impls.spec.Recipe`; those not given are the paper's. Raises UsageError."""
    found = _parsed(path)
    if not isinstance(found, dict):
        raise UsageError(f"--recipe {path}: it holds {told(found)}, expected fields such as batch_size")
    return recipe_of(found, f"--recipe {path}")


def _parsed(path: Path) -> Any:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"--recipe {path} is no file")
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"--recipe {path} has {path.stat().st_size} bytes, no recipe is over {MOST_BYTES}")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = question(str(path), NAMED_RECIPES)
        raise UsageError(
            f"--recipe {path}: {hint}choose {', '.join(NAMED_RECIPES)} or a JSON or TOML file; there is no such file"
        ) from None
    except OSError as error:
        raise UsageError(f"--recipe {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--recipe {path} is no text") from None
    try:
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--recipe {path} cannot be read: {error}") from None
