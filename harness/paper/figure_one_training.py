"""The trainings of figure 1: ReLU and tanh without regularisation, each at the rate that trains it fastest.

Section 3.1 compares a four-layer network with each, without regularisation, and each at the learning rate that trains
it fastest. So here: dropout, weight decay, crops and reflections are off; some rates are tried with the first seed, and
the fastest is kept for all seeds. The training error of an epoch is counted after it, on (the first) training images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import AlexbenchError
from harness.paper import variants
from harness.paper.evidence import Row
from harness.paper.failure import Failure
from harness.paper.figure_one import KINDS, RATE_STEPS, Kind, fastest
from harness.paper.study import Ground, Keep, Say, signature_of
from harness.training import run as training
from harness.training.checkpoint import Checkpoints
from impls.spec import Network

LARGEST_SIDE = 64  # of an input: eight trainings on ImageNet are nobody's wish


def plain(network: Network, kind: Kind, rate: float) -> Network:
    """The network with ReLU or tanh, without regularisation, at that rate throughout."""
    bare = variants.without_augmentation(variants.without_dropout(network))
    recipe = replace(bare.recipe, weight_decay=0.0, learning_rate=rate, drop_epochs=(), drops=0, changes=())
    made = replace(bare, recipe=replace(recipe, patience=recipe.epochs + 1))
    return variants.tanh(made) if kind == "tanh" else made


class Curves:
    """Trains what figure 1 needs. Rows of `training-error-tried`, one per epoch; finished curves stand."""

    def __init__(self, ground: Ground, data: Path, keep: Keep, say: Say, done: Sequence[Row], *, resumed: bool) -> None:
        """`data` is a folder by `training_part.make`; `done` are the rows of a run that broke off."""
        self._ground, self._data, self._keep, self._say, self._resumed = ground, data, keep, say, resumed
        self._curves: dict[tuple[str, Kind, int, float], dict[int, Row]] = {}
        self.failures: list[Failure] = []
        for row in done:
            kind: Kind = "tanh" if row["variant"] == "tanh" else "relu"
            key = (row["framework"], kind, row["seed"], row["learning_rate"])
            self._curves.setdefault(key, {})[row["epoch"]] = row

    def run(self) -> list[Row]:
        """The rows of the figure: for each framework and seed a curve of either kind, each at its fastest rate."""
        found: list[Row] = []
        rates = [step * self._ground.network.recipe.learning_rate for step in RATE_STEPS]
        for framework in self._ground.frameworks:
            for kind in KINDS:
                tried = [curve for rate in rates if (curve := self._curve(framework, kind, 0, rate))]
                if not tried:
                    continue
                best = fastest(tried)
                rate = float(best[0]["learning_rate"])
                self._say(f"figure 1: {framework} {kind}: of {len(rates)} learning rates {rate:g} is the fastest")
                found += best
                for seed in range(1, self._ground.options.seeds):
                    found += self._curve(framework, kind, seed, rate)
        return found

    def _curve(self, framework: str, kind: Kind, seed: int, rate: float) -> list[Row]:
        """One training's rows; none where it came to nothing, since a rate may be too high."""
        rows = self._curves.setdefault((framework, kind, seed, rate), {})
        epochs = self._ground.network.recipe.epochs
        if len(rows) < epochs:
            network = replace(plain(self._ground.network, kind, rate), name=f"{self._ground.network.name}+plain-{kind}")
            label = f"{framework}-figure1-{kind}-{rate:g}-seed{seed}"
            try:
                self._train(framework, network, kind, seed, rate, label, rows)
            except AlexbenchError as error:
                self._say(f"figure 1: {label}: {error}")
                if not isinstance(error, training.Diverged):
                    self.failures.append(Failure(label, error))
                return []
        return [rows[epoch] for epoch in sorted(rows)]

    def _train(
        self, framework: str, network: Network, kind: Kind, seed: int, rate: float, label: str, rows: dict[int, Row]
    ) -> None:
        job = self._ground.job(framework, network, seed, label, self._data)

        def keep(what: str, row: Row) -> None:
            if what != "training" or row["epoch"] in rows:
                return
            rows[row["epoch"]] = made = {
                "framework": framework, "variant": kind, "seed": seed, "epoch": row["epoch"],
                "training_error": row["top1_error"], "loss": row["loss"], "learning_rate": rate,
                "network": self._ground.network.name, "data": self._ground.prepared.source,
                "signature": signature_of(job, self._ground.network, [row]),
            }  # fmt: skip
            self._keep("training-error-tried", made)

        left = training.train(job, self._ground.folder, keep, lambda text: None, resume=self._resumed)
        Checkpoints(self._ground.folder, label).clear()
        for file in (left.best, left.last):
            file.unlink(missing_ok=True)
