"""A recipe epoch by epoch: the learning rate, what changes on the way, and when training ends.

Everything follows from the recipe and from a `State`, which a checkpoint keeps as JSON: a schedule that goes on from
there takes the same decisions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from impls.protocol import UpdateRule
from impls.spec import Network, Recipe


@dataclass(frozen=True, slots=True)
class State:
    """What the epochs done have decided."""

    epoch: int = 0  # epochs done
    drops: int = 0  # of the learning rate, where it follows the validation error
    best_error: float | None = None  # lowest top-1 validation error so far
    best_epoch: int = 0  # epochs done when it was reached; 0: none was validated
    waited: int = 0  # epochs since then or since the last drop, without a lower error
    ended: bool = False


def of_length(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe over another number of epochs: what is due at an epoch is due at the same share of the whole.

    What is due later than the start stays so: a training of few epochs begins with the recipe's first rate too.
    """

    def moved(epoch: int) -> int:
        return max(1, round(epoch * epochs / recipe.epochs)) if epoch else 0

    return replace(
        recipe,
        epochs=epochs,
        drop_epochs=tuple(moved(epoch) for epoch in recipe.drop_epochs),
        changes=tuple(replace(change, epoch=moved(change.epoch)) for change in recipe.changes),
    )


def follows_validation(recipe: Recipe) -> bool:
    """Whether the learning rate waits for the validation error to stop improving (paper, section 5)."""
    return not recipe.drop_epochs


def learning_rate(recipe: Recipe, state: State) -> float:
    """Of the epoch that follows."""
    drops = state.drops if follows_validation(recipe) else sum(epoch <= state.epoch for epoch in recipe.drop_epochs)
    return recipe.learning_rate * recipe.drop_factor**drops


def rule(network: Network, tensors: tuple[str, ...], state: State) -> UpdateRule:
    """How weights are updated in the epoch that follows; `tensors` are the network's canonical names."""
    recipe = network.recipe
    return UpdateRule(
        learning_rate=learning_rate(recipe, state),
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        decay_biases=recipe.decay_biases,
        factors=_factors(recipe, tensors, state.epoch),
    )


def _factors(recipe: Recipe, tensors: tuple[str, ...], epoch: int) -> tuple[tuple[str, float], ...]:
    """Tensors whose learning rate is not the common one. A bias has its layer's factor times that of all biases."""
    of_biases, of_layers = 1.0, dict[str, float]()
    for change in sorted(recipe.changes, key=lambda change: change.epoch):
        if change.epoch <= epoch:
            of_biases = of_biases if change.bias_factor is None else change.bias_factor
            of_layers = of_layers if change.layer_factors is None else dict(change.layer_factors)
    found = {}
    for tensor in tensors:
        layer, _, kind = tensor.partition("/")
        found[tensor] = of_layers.get(layer, 1.0) * (of_biases if kind == "bias" else 1.0)
    return tuple((tensor, factor) for tensor, factor in found.items() if factor != 1.0)


def after_epoch(recipe: Recipe, state: State, error: float | None) -> State:
    """The state with one more epoch done, whose top-1 validation error was `error`; None where none was measured."""
    done = replace(state, epoch=state.epoch + 1)
    if error is not None and (math.isnan(error) or not 0 <= error <= 1):
        raise ValueError(f"a validation error of {error}: expected a share of 1")
    if error is not None and (state.best_error is None or error < state.best_error):
        done = replace(done, best_error=error, best_epoch=done.epoch, waited=0)
    elif error is not None:
        done = replace(done, waited=state.waited + 1)
    if follows_validation(recipe) and done.waited >= recipe.patience:
        done = replace(done, drops=done.drops + 1, waited=0) if done.drops < recipe.drops else replace(done, ended=True)
    return replace(done, ended=done.ended or done.epoch >= recipe.epochs)
