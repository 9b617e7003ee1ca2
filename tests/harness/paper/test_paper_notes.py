"""The notes' claims: each verdict is computed, and another network, constant or published figure gives another."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.paper import claims_of_note_002, claims_of_notes, command, ledger, note_counts, note_probes, variants
from harness.paper.claims import NoteClaim
from harness.paper.evidence import Evidence
from harness.paper.options import PaperOptions
from impls import catalog
from impls.spec import LRN, Conv, Dense, Dropout, MaxPool, Network, Padding, ReLU
from reports import published

PAPER, PETS, CIFAR = (catalog.get(name) for name in ("paper", "note-003", "note-004"))
# As they are worked out on paper; none of them is typed into what derives them.
DERIVED = {
    ("002", "6 billion parameters"): "60,965,224",
    ("002", "55*55*96=290400"): "105,705,600",
    ("002", "S2: (1+1)*96=192"): "0",
    ("002", "S2: (3*3+1)*96*27*27"): "629,856",
    ("002", "27*27*48*256"): "224,135,424",
    ("002", "parameters: 1729*256"): "442,624",
    ("002", "parameters: [(6*6+1)*256]"): "37,752,832",
    ("002", "lowered the error rate"): "10.9 points",
    ("003", "630 million"): "724,406,816",
    ("003", "crops and mirror"): "2,178",
    ("001", "a GTX 580 has"): "2.70 GB",
    ("000", "neurons that pass"): "49.9%",
    ("004", "ReLU is y ="): "max(0, x)",
    ("000", "the code is of a model"): "conv2, conv4, conv5",
    ("004", "the reproduction in code: Flatten"): "881,856,512 parameters in fc5",
}


def claim(note: str, words: str) -> NoteClaim:
    found = [one for one in ledger.NOTES if one.note == note and one.claim.startswith(words)]
    assert len(found) == 1, [one.claim for one in found]
    return found[0]


def verdict(note: str, words: str, network: Network | None = None) -> str:
    found = claim(note, words)
    (row,) = [row for _, row in ledger.of_notes([found], lambda name: network or catalog.get(name))]
    return str(row["verdict"])


def changed(kind: type, network: Network = PAPER, **fields: object) -> Network:
    layers = tuple(
        replace(layer, **fields) if isinstance(layer, kind) else layer  # type: ignore[arg-type]
        for layer in network.layers
    )
    return replace(network, layers=layers)


def one_layer(name: str, network: Network = PAPER, **fields: object) -> Network:
    layers = tuple(
        replace(layer, **fields) if layer.name == name else layer  # type: ignore[arg-type]
        for layer in network.layers
    )
    return replace(network, layers=layers)


def recipe(network: Network = PAPER, **fields: object) -> Network:
    return replace(network, recipe=replace(network.recipe, **fields))  # type: ignore[arg-type]


def normalised_everywhere() -> Network:
    """With a normalisation after each convolution."""
    norm = next(layer for layer in PAPER.layers if isinstance(layer, LRN))
    bare = [layer for layer in PAPER.layers if not isinstance(layer, LRN)]
    layers = [
        part
        for layer in bare
        for part in ((layer, replace(norm, name=f"norm-{layer.name}")) if isinstance(layer, Conv) else (layer,))
    ]
    return replace(PAPER, layers=tuple(layers))


def test_every_verdict_is_the_known_one() -> None:
    found = ledger.of_notes()
    assert {(one.note, one.claim): row["verdict"] for one, row in found} == {
        (one.note, one.claim): one.known for one in ledger.NOTES
    }
    assert ledger.unexpected_of_notes(found) == []


def test_every_note_has_its_claims_each_once_and_named_by_its_file() -> None:
    rows = [row for _, row in ledger.of_notes()]
    assert len({(row["section"], row["claim"]) for row in rows}) == len(rows) >= 130
    for note, file in claims_of_notes.FILES.items():
        inside = [row for row in rows if row["section"] == f"note {note}"]
        assert len(inside) >= 14 and file.startswith(note)
        assert all(row["source"].startswith(f"{file}, ") and row["paper"] and row["ours"] for row in inside)
    assert {row["verdict"] for row in rows} == {"holds", "contradicted", "misnamed"}


@pytest.mark.parametrize(("note", "words"), list(DERIVED), ids=lambda text: text)
def test_what_is_derived_is_what_the_sources_have(note: str, words: str) -> None:
    ((_, row),) = ledger.of_notes([claim(note, words)])
    assert row["ours"] == DERIVED[note, words]


def test_a_misnamed_figure_says_what_it_is_of() -> None:
    rows = [row for _, row in ledger.of_notes() if row["verdict"] == "misnamed"]
    assert len(rows) == 8
    assert all(row["note"].startswith("the note's figure is that of ") for row in rows)
    outputs = next(row for row in rows if "290400" in row["claim"])
    assert "that of its outputs; 105,415,200 multiply-adds and 290,400 biases" in outputs["note"]


CHANGES: list[tuple[str, str, Callable[[], Network], str]] = [
    ("000", "the activation function", lambda: variants.tanh(PAPER), "contradicted"),
    ("000", "the probability of dropout", lambda: changed(Dropout, rate=0.4), "contradicted"),
    ("000", "neurons that pass", lambda: changed(Dropout, rate=0.49), "contradicted"),
    ("000", "first PCA", lambda: recipe(colour_noise="none"), "holds"),
    ("000", "flipped", lambda: recipe(flip=False), "contradicted"),
    ("000", "for each place", lambda: catalog.get("cifar-4layer"), "holds"),
    ("000", "then the pixel", lambda: changed(LRN, k=0.0, alpha=1.0, beta=1.0), "holds"),
    ("000", "nn.LocalResponseNorm", lambda: catalog.get("note-000"), "holds"),
    ("000", "conv1 with padding=2", lambda: catalog.get("note-001"), "contradicted"),
    ("000", "the code is of", lambda: PAPER, "contradicted"),
    ("000", "x = self.dropout", lambda: catalog.get("note-000"), "holds"),
    ("000", "x = self.lrn", lambda: catalog.get("note-000"), "holds"),
    ("001", "8 layers", lambda: variants.without_a_convolution(PAPER), "contradicted"),
    ("001", "windows of", lambda: one_layer("conv3", size=5, padding=Padding.same(2)), "contradicted"),
    ("001", "max-pools", lambda: variants.non_overlapping(PAPER), "contradicted"),
    ("001", "several tens", lambda: one_layer("conv2", one_layer("conv1", kernels=192), kernels=512), "holds"),
    ("001", "two fully connected", lambda: one_layer("fc7", units=1024), "contradicted"),
    ("001", "these two huge", lambda: one_layer("fc6", units=18_000), "holds"),
    ("001", "where the sigmoid", lambda: variants.tanh(PAPER), "contradicted"),
    ("001", "ReLU's gradient", lambda: variants.tanh(PAPER), "contradicted"),
    ("001", "images of 256", lambda: catalog.get("cifar-4layer"), "contradicted"),
    ("001", "equal to", lambda: replace(PAPER, height=225, width=225), "holds"),
    ("001", "PCA of RGB", lambda: recipe(colour_noise="none"), "contradicted"),
    ("001", "pools of 3 x 3 moved", lambda: variants.non_overlapping(PAPER), "contradicted"),
    ("001", "ReLU's response", lambda: variants.tanh(PAPER), "contradicted"),
    ("001", "a GTX 580 has", lambda: catalog.get("cifar-4layer"), "contradicted"),
    ("002", "5 convolutional", lambda: CIFAR, "contradicted"),
    ("002", "ReLU after each", lambda: replace(PAPER, layers=(*PAPER.layers, ReLU(name="relu8"))), "holds"),
    ("002", "LRN works after", normalised_everywhere, "holds"),
    ("002", "brightness", lambda: recipe(colour_noise="original-2012"), "holds"),
    ("002", "parameters: 364*96", lambda: one_layer("conv1", kernels=64), "contradicted"),
    ("002", "96 kernels", lambda: one_layer("conv1", stride=2, padding=Padding()), "contradicted"),
    ("002", "96 feature maps", lambda: one_layer("conv1", padding=Padding()), "contradicted"),
    ("002", "worked back", lambda: one_layer("conv1", size=9), "contradicted"),
    ("002", "so there are two cases", lambda: catalog.get("caffe"), "holds"),
    ("002", "55*55*96=290400", lambda: one_layer("conv1", kernels=64), "contradicted"),
    ("002", "C3 consists", lambda: one_layer("conv2", kernels=128), "holds"),
    ("002", "C3 consists", lambda: one_layer("conv2", kernels=512), "contradicted"),
    ("002", "convolves images", lambda: one_layer("conv2", kernels=128), "holds"),
    ("002", "parameters: (4096+1)*4096", lambda: one_layer("fc7", units=2048), "contradicted"),
    ("002", "connections: (4096+1)*1000", lambda: one_layer("fc7", units=2048), "contradicted"),
    ("002", "dropout after F9", lambda: variants.without_dropout(PAPER), "contradicted"),
    ("002", "Dropout(0.5), Linear", lambda: catalog.get("note-002"), "holds"),
    ("002", "MaxPool3d", lambda: catalog.get("note-002"), "holds"),
    ("002", "nn.LocalResponseNorm", lambda: catalog.get("note-002"), "holds"),
    ("002", "activation after it", lambda: changed(MaxPool, stride=1), "contradicted"),
    ("002", "the squares of", lambda: catalog.get("cifar-4layer"), "contradicted"),
    ("002", "in the paper k=2", lambda: changed(LRN, alpha=2e-5), "contradicted"),
    ("002", "learning rate", lambda: recipe(momentum=0.5), "contradicted"),
    ("002", "momentum decay", lambda: recipe(weight_decay=0.001), "contradicted"),
    ("002", "self.features(x)", lambda: replace(PAPER, height=400, width=400), "holds"),
    ("003", "8 layers", lambda: CIFAR, "contradicted"),
    ("003", "650 thousand", lambda: one_layer("conv1", kernels=64), "contradicted"),
    ("003", "no dropout", lambda: variants.without_dropout(PETS), "holds"),
    ("003", "no dropout", lambda: PAPER, "contradicted"),
    ("003", "input of 227", lambda: catalog.get("note-000"), "contradicted"),
    ("003", "6*6*256", lambda: catalog.get("note-001"), "contradicted"),
    ("003", "flattened", lambda: replace(PETS, height=163, width=163), "holds"),
    ("003", "flattened", lambda: one_layer("fc6", PETS, units=1000), "contradicted"),
    ("003", "2 outputs", lambda: PAPER, "contradicted"),
    ("003", "ten images", lambda: recipe(PETS, batch_size=5), "holds"),
    ("004", "images are scaled", lambda: catalog.get("cifar-4layer"), "contradicted"),
    ("004", "from each pixel", lambda: catalog.get("torchvision"), "contradicted"),
    ("004", "relu, a saturating", lambda: variants.tanh(PAPER), "holds"),
    ("004", "5. 256x3x3x142", lambda: one_layer("conv4", kernels=284), "holds"),
    ("004", "the reproduction in code, of 8", lambda: PAPER, "holds"),
    ("004", "MaxPooling2D", lambda: CIFAR, "holds"),
    ("004", "the reproduction in code: Flatten", lambda: PAPER, "holds"),
]


@pytest.mark.parametrize(
    ("note", "words", "change", "after"), CHANGES, ids=[f"{note} {words} {after}" for note, words, _, after in CHANGES]
)
def test_another_network_gives_another_verdict(
    note: str, words: str, change: Callable[[], Network], after: str
) -> None:
    assert verdict(note, words) == claim(note, words).known != after
    assert verdict(note, words, change()) == after


def test_dropout_that_still_drops_at_test_time_contradicts_the_note(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "the dropout layer"
    ((_, row),) = ledger.of_notes([claim("000", words)])
    assert (row["verdict"], row["ours"]) == ("holds", "0 of 1,000 dropped")
    assert row["note"] == "the outputs are multiplied by 0.5 instead, paper, section 4.2"
    monkeypatch.setattr(note_probes.operators, "forward", lambda layer, x, given: x * (np.arange(x.size) % 2))
    assert verdict("000", words) == "contradicted"


def test_a_note_that_repeats_the_paper_is_contradicted_with_it_and_told_so() -> None:
    for note, words in (("001", "equal to"), ("003", "crops and mirror"), ("002", "ReLU after each")):
        ((found, row),) = ledger.of_notes([claim(note, words)])
        assert row["verdict"] == "contradicted" and row["note"].startswith("the paper's section "), found.claim
        assert " has it so too; " in row["note"]
    ((_, printed),) = ledger.of_notes([claim("003", "crops and mirror")])
    assert printed["note"].endswith("; the printed sum gives 128")


def test_figures_of_the_contest_are_read_from_the_published_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [verdict("003", "won ILSVRC"), verdict("002", "the network reached"), verdict("002", "lowered")] == [
        "misnamed", "misnamed", "holds",
    ]  # fmt: skip
    better = tuple(replace(one, top5=16.4) if one.top5 == 15.3 else one for one in published.FIGURES)
    monkeypatch.setattr(published, "FIGURES", better)
    assert [verdict("003", "won ILSVRC"), verdict("002", "the network reached"), verdict("002", "lowered")] == [
        "holds", "contradicted", "contradicted",
    ]  # fmt: skip


def test_effects_are_read_from_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "which contributed 0.3 %"
    assert verdict("001", words) == "holds"
    others = tuple(replace(one, top5=0.5) if one.name == "overlapping-pooling" else one for one in published.EFFECTS)
    monkeypatch.setattr(published, "EFFECTS", others)
    assert verdict("001", words) == "contradicted"


def test_the_kinds_of_figure_1_are_those_that_the_program_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdict("002", "the figure shows") == "contradicted"
    monkeypatch.setattr(claims_of_note_002, "KINDS", ("relu", "sigmoid"))
    assert verdict("002", "the figure shows") == "holds"


def test_a_verdict_that_is_not_the_known_one_is_told_in_one_line() -> None:
    found = ledger.of_notes([replace(claim("003", "630 million"), known="holds"), claim("001", "8 layers")])
    told = (
        "note 003: 630 million connections: contradicted and not holds: the note has 630 million, network 'paper'"
        " gives 724,406,816"
    )
    assert ledger.unexpected_of_notes(found) == [told]


def test_the_ledger_puts_the_notes_behind_the_papers_sections() -> None:
    rows = [row for _, row in (*ledger.of_notes(), *ledger.exact(PAPER))]
    sections = list(dict.fromkeys(row["section"] for row in ledger.in_order([*rows, *ledger.empirical(Evidence())])))
    assert sections[0] == "abstract" and sections[-6] == "6.1"
    assert sections[-5:] == [f"note {note}" for note in claims_of_notes.FILES]
    in_file = [row["claim"] for row in ledger.in_order(rows) if row["section"] == "note 002"]
    assert in_file == [one.claim for one in ledger.NOTES if one.note == "002"]


def test_a_connection_is_a_multiply_add_a_bias_or_a_value_in_a_window() -> None:
    """Counted one by one on a small network."""
    small = replace(
        PAPER,
        height=7,
        width=7,
        channels=2,
        classes=5,
        layers=(
            Conv(name="conv1", kernels=4, size=3, groups=2),
            MaxPool(name="pool1", size=3, stride=2),
            Dense(name="fc2", units=5),
        ),
    )
    conv = sum(3 * 3 * 1 + 1 for _ in range(5) for _ in range(5) for _ in range(4))
    pool = sum(3 * 3 for _ in range(2) for _ in range(2) for _ in range(4))
    dense = sum(2 * 2 * 4 + 1 for _ in range(5))
    for name, count in (("conv1", conv), ("pool1", pool), ("fc2", dense)):
        assert note_counts.connections(name, count)(small).verdict == "holds"
        assert note_counts.connections(name, count + 1)(small).verdict == "contradicted"
    assert note_counts.connections("conv1", 5 * 5 * 4)(small).instead == "its outputs"


def test_keras_loss_against_whole_labels_has_one_gradient_for_all_labels() -> None:
    """In plain NumPy, by differences: what the ledger derives in fractions."""
    logits = np.array([0.3, -1.0, 2.0, 0.1])

    def loss(at: np.ndarray, label: int) -> float:
        weights = np.exp(at)
        return float(np.mean((weights / weights.sum() - label) ** 2))

    step = 1e-6
    gradients = [
        [(loss(logits + step * axis, label) - loss(logits - step * axis, label)) / (2 * step) for axis in np.eye(4)]
        for label in (0, 3)
    ]
    assert np.abs(gradients[0]).max() > 1e-3
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-8)


def test_no_outputs_have_a_lower_keras_loss_than_the_ledger_says() -> None:
    ((_, row),) = ledger.of_notes([claim("004", "activation='softmax'")])
    told = re.search(r"the loss is least, ([\d.]+), at 0.1 for each class, and ([\d.]+) where", str(row["note"]))
    assert told is not None
    least, right = map(float, told.groups())
    drawn = np.random.default_rng(0).dirichlet(np.ones(10), 2000)
    losses = [np.mean([np.mean((row - label) ** 2) for label in range(10)]) for row in [*drawn, np.full(10, 0.1)]]
    assert min(losses) == losses[-1] == pytest.approx(least, abs=0.005)
    sure = np.mean([np.mean((np.eye(10)[label] - label) ** 2) for label in range(10)])
    assert sure == pytest.approx(right, abs=0.005) and right > least


def test_a_wrong_derivation_of_a_note_makes_the_command_exit_1_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = replace(claim("003", "650 thousand"), known="contradicted")
    found = ledger.of_notes([wrong])
    monkeypatch.setattr(ledger, "of_notes", lambda: found)
    assert command.run(PaperOptions(out=tmp_path / "run")) == 1
    said = "note 003: 650 thousand neurons: holds and not contradicted: the note has 650 thousand"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["failures"][0].startswith(said)
    assert said in " ".join(capsys.readouterr().out.split())
