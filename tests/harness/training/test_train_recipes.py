"""Recipes by name and from files: what they become, and what is refused."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.training import recipes, schedule
from harness.training.options import INITS, NAMED_RECIPES, PRECISIONS, SPLITS, TUNINGS, TrainOptions
from impls import catalog, protocol, split, weights
from impls.spec import Change, Recipe
from impls.spec_json import recipe_from_json

SMALL, LARGE = catalog.get("cifar-4layer"), catalog.get("paper")
DIGITS = TrainOptions(data="digits")


def written(folder: Path, content: Any, name: str = "mine.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def refused(folder: Path, content: Any, name: str = "mine.json") -> str:
    with pytest.raises(UsageError) as found:
        recipes.from_file(written(folder, content, name))
    text = str(found.value)
    assert "\n" not in text and name in text
    return text


def test_names_on_the_command_line_are_those_of_the_implementations() -> None:
    assert set(INITS) == set(weights.RECIPES)
    assert set(TUNINGS) == set(protocol.TUNINGS)
    assert PRECISIONS == protocol.PRECISIONS
    assert split.SPLITS == SPLITS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("own", SMALL.recipe),
        ("paper", LARGE.recipe),
        ("original-2012", catalog.get("original-2012").recipe),
        ("digits", recipes.DIGITS),
    ],
)
def test_a_name_gives_its_recipe(name: str, expected: Recipe) -> None:
    assert name in NAMED_RECIPES
    assert recipes.of_command(replace(DIGITS, recipe=name), SMALL, "digits") == expected


def test_without_a_name_digits_and_a_small_network_have_their_own() -> None:
    assert recipes.of_command(DIGITS, SMALL, "digits") == recipes.DIGITS
    assert recipes.of_command(DIGITS, SMALL, "cifar10:somewhere") == SMALL.recipe
    assert recipes.of_command(DIGITS, LARGE, "digits") == LARGE.recipe


def test_the_command_line_comes_before_the_recipe() -> None:
    options = replace(DIGITS, recipe="original-2012", epochs=31, batch_size=7, learning_rate=0.5)
    found = recipes.of_command(options, SMALL, "digits")
    assert (found.epochs, found.drop_epochs, found.batch_size, found.learning_rate) == (31, (8, 17, 26), 7, 0.5)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="--learning-rate: learning_rate is"):
        recipes.of_command(replace(DIGITS, learning_rate=rate), SMALL, "digits")


def test_json_and_toml_hold_the_same(tmp_path: Path) -> None:
    expected = Recipe(
        batch_size=8,
        learning_rate=1.0,
        drop_epochs=(2, 5),
        flip=False,
        changes=(Change(epoch=1, bias_factor=2.0, layer_factors=(("conv1", 0.0),)),),
        source="mine",
    )
    as_json = {
        "batch_size": 8, "learning_rate": 1, "drop_epochs": [2, 5], "flip": False, "source": "mine",
        "changes": [{"epoch": 1, "bias_factor": 2, "layer_factors": {"conv1": 0}}],
    }  # fmt: skip
    as_toml = """
        batch_size = 8
        learning_rate = 1
        drop_epochs = [2, 5]
        flip = false
        source = "mine"
        [[changes]]
        epoch = 1
        bias_factor = 2.0
        layer_factors = [["conv1", 0.0]]
    """
    assert recipes.from_file(written(tmp_path, as_json)) == expected
    assert recipes.from_file(written(tmp_path, as_toml, "mine.toml")) == expected


@pytest.mark.parametrize("network", list(catalog.NETWORKS))
def test_every_networks_recipe_survives_being_written_down(network: str, tmp_path: Path) -> None:
    recipe = catalog.get(network).recipe
    path = written(tmp_path, asdict(recipe))
    assert recipes.from_file(path) == recipe
    assert recipe_from_json(json.loads(path.read_text())) == recipe


@pytest.mark.parametrize("epochs", [1, 2, 5])
@pytest.mark.parametrize("network", list(catalog.NETWORKS))
def test_a_shortened_recipe_survives_too(network: str, epochs: int, tmp_path: Path) -> None:
    recipe = schedule.of_length(catalog.get(network).recipe, epochs)
    assert recipes.from_file(written(tmp_path, asdict(recipe))) == recipe


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"batchsize": 8}, "unknown field 'batchsize': did you mean 'batch_size'?"),
        ({"batch_size": 8.5}, "batch_size is 8.5, expected a whole number of at least 1"),
        ({"batch_size": True}, "batch_size is True"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 10**30}, "batch_size is 1000"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast', expected a number above 0"),
        ({"learning_rate": 10**400}, "learning_rate is 1000"),
        ({"momentum": 1.0}, "momentum is 1.0, expected a number from 0 to below 1"),
        ({"weight_decay": -1}, "weight_decay is -1"),
        ({"flip": 1}, "flip is 1, expected true or false"),
        ({"crop": "ten"}, "crop is 'ten', expected one of random, centre"),
        ({"colour_noise": []}, "colour_noise is []"),
        ({"drop_epochs": [3, 2]}, "drop_epochs is [3, 2], expected whole numbers above 0, none lower than"),
        ({"drop_epochs": 3}, "drop_epochs is 3"),
        ({"changes": [{"bias_factor": 2}]}, "changes is [{'bias_factor': 2}], expected a list of {epoch"),
        ({"changes": [{"epoch": 1, "layer_factors": {"conv1": -1}}]}, "factors of at least 0"),
        ({"changes": {"epoch": 1}}, "changes is {'epoch': 1}"),
        ({"source": 7}, "source is 7, expected a text"),
    ],
)
def test_a_field_that_is_not_right_is_named_with_what_was_expected(
    fields: dict[str, Any], says: str, tmp_path: Path
) -> None:
    assert says in refused(tmp_path, fields)


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "[1, 2]", "null", '"own"'])
def test_a_file_that_holds_no_recipe_is_refused(content: str, tmp_path: Path) -> None:
    refused(tmp_path, content)


def test_a_toml_file_that_is_none_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "batch_size = = 3", "mine.toml")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "noise.json").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(tmp_path / "pipe")
    for name, says in (("noise.json", "no text"), ("pipe", "is no file"), (".", "is no file")):
        with pytest.raises(UsageError, match=says):
            recipes.from_file(tmp_path / name)


def test_a_name_that_is_neither_is_met_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'original-2012'.*there is no such file"):
        recipes.of_command(replace(DIGITS, recipe="original2012"), SMALL, "digits")


def test_a_recipe_of_layers_that_the_network_lacks_is_refused() -> None:
    changed = replace(SMALL.recipe, changes=(Change(epoch=3, layer_factors=(("fc9", 0.0),)),))
    with pytest.raises(UsageError, match="'fc9' at epoch 3; cifar-4layer has conv1, conv2, conv3, fc4"):
        recipes.check_layers(changed, SMALL)
