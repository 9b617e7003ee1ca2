"""The ledger's verdicts are computed: another network gets other verdicts, and the paper's own the known ones."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest

from harness.cli import cli
from harness.paper import claims_of_shape, claims_of_training, ledger, variants
from harness.paper.claims import ExactClaim
from harness.paper.evidence import Evidence, Row
from impls import catalog
from impls.spec import LRN, Conv, Dense, Dropout, DropoutScaling, MaxPool, Network, Padding

PAPER = catalog.get("paper")
WANTED = (
    "ImageNet", "ImageNet 2009", "ImageNet 2011", "ILSVRC-2012's test labels", "CIFAR-10", "two GPUs", "two GTX 580",
    "a measure of convergence",
)  # fmt: skip


def claim(words: str) -> ExactClaim:
    exactly = [one for one in ledger.EXACT if words == one.claim]
    found = exactly or [one for one in ledger.EXACT if words in one.claim]
    assert len(found) == 1, [one.claim for one in found]
    return found[0]


def verdict(words: str, network: Network) -> str:
    (found,) = ledger.exact(network, [claim(words)])
    return str(found[1]["verdict"])


def changed(kind: type, **fields: object) -> Network:
    """The paper's network with these fields in every layer of a kind."""
    layers = tuple(
        replace(layer, **fields) if isinstance(layer, kind) else layer  # type: ignore[arg-type]
        for layer in PAPER.layers
    )
    return replace(PAPER, layers=layers)


def one_layer(name: str, **fields: object) -> Network:
    layers = tuple(
        replace(layer, **fields) if layer.name == name else layer  # type: ignore[arg-type]
        for layer in PAPER.layers
    )
    return replace(PAPER, layers=layers)


def recipe(**fields: object) -> Network:
    return replace(PAPER, recipe=replace(PAPER.recipe, **fields))  # type: ignore[arg-type]


def test_the_papers_network_gives_the_known_verdict_on_every_claim() -> None:
    found = ledger.exact(PAPER)
    assert {one.claim: row["verdict"] for one, row in found} == {one.claim: one.known for one, _ in found}
    assert not ledger.unexpected(found)


def test_the_contradictions_are_those_of_the_papers_own_arithmetic() -> None:
    found = {row["claim"]: row["ours"] for _, row in ledger.exact(PAPER) if row["verdict"] == "contradicted"}
    assert found["neurons of the first hidden layer"] == "290,400"
    assert found["each convolutional layer holds no more than 1 % of the parameters"] == "conv3 1.452%, conv4 1.089%"
    assert found["crops and reflections increase the training set by this factor"] == "2,178"
    assert found["224 x 224 input, 11 x 11 kernels and stride 4 give 55 x 55 maps"] == "54 x 54"
    assert len(found) == 6


CHANGES: list[tuple[str, Callable[[], Network]]] = [
    ("parameters", lambda: one_layer("fc6", units=2048)),
    ("neurons", lambda: one_layer("conv1", kernels=64)),
    ("convolutional and fully-connected layers", lambda: variants.without_a_convolution(PAPER)),
    ("conv2, conv4 and conv5 see", lambda: catalog.get("one-tower")),
    ("most of the parameters", lambda: one_layer("conv5", kernels=32)),
    ("constants of the response normalisation", lambda: changed(LRN, alpha=2e-5)),
    ("overlapping pooling", lambda: changed(MaxPool, size=2)),
    ("output of equivalent dimensions", lambda: changed(MaxPool, size=5, padding=Padding.same(1))),
    ("order of ReLU", lambda: catalog.get("caffenet")),
    ("stride of conv1", lambda: one_layer("conv1", stride=2, padding=Padding())),
    ("kernels of conv1", lambda: one_layer("conv1", kernels=64)),
    ("kernels of conv2", lambda: one_layer("conv2", groups=1)),
    ("kernels of conv3", lambda: one_layer("conv3", size=5, padding=Padding.same(2))),
    ("kernels of conv4", lambda: one_layer("conv4", kernels=256)),
    ("kernels of conv5", lambda: one_layer("conv5", kernels=384)),
    ("units of the fully-connected", lambda: one_layer("fc7", units=1024)),
    ("classes of the softmax", lambda: catalog.get("note-001")),
    ("the network's input", lambda: catalog.get("caffe")),
    ("neurons of the other layers", lambda: one_layer("conv4", kernels=256)),
    ("bits that a label", lambda: catalog.get("note-003")),
    ("size of the last hidden layer", lambda: one_layer("fc7", units=1024)),
    ("preprocessing", lambda: catalog.get("torchvision")),
    ("size of the images before", lambda: catalog.get("cifar-4layer")),
    ("dropout in the first two", lambda: changed(Dropout, rate=0.4)),
    ("outputs at test time", lambda: changed(Dropout, scaling=DropoutScaling.IN_TRAINING)),
    ("colour noise", lambda: recipe(colour_noise="none")),
    ("batch size", lambda: recipe(batch_size=256)),
    ("momentum and weight decay", lambda: recipe(weight_decay=0.005)),
    ("update v <-", lambda: recipe(momentum=0.5)),
    ("biases of 1", lambda: changed(Dense, init_bias=0.0)),
    ("learning rate divided by 10", lambda: recipe(drops=2)),
    ("learning rates of the layers", lambda: catalog.get("original-2012")),
    ("cycles through", lambda: recipe(epochs=60)),
]


@pytest.mark.parametrize(("words", "change"), CHANGES, ids=[words for words, _ in CHANGES])
def test_another_network_fails_the_claim(words: str, change: Callable[[], Network]) -> None:
    assert verdict(words, PAPER) == "holds"
    assert verdict(words, change()) == "contradicted"


def test_initial_weights_of_another_spread_fail_both_claims_on_them() -> None:
    wide = changed(Conv, init=0.03)
    found = {one.claim: row["verdict"] for one, row in ledger.exact(wide) if one.claim.startswith("initial weights")}
    assert set(found.values()) == {"contradicted"}
    assert len(found) == 2


MANY_CLASSES = replace(PAPER, layers=(*PAPER.layers[:-1], Dense(name="fc8", units=50_000)), classes=50_000)


@pytest.mark.parametrize(
    ("words", "network"),
    [
        ("no more than 1 %", MANY_CLASSES),
        ("55 x 55 maps", catalog.get("caffe")),
        ("towers exchange maps", changed(LRN, groups=2)),
        ("neurons of the first hidden", replace(PAPER, width=196)),  # 55 x 48 x 96
        ("increase the training set", replace(PAPER, height=225, width=225)),
    ],
)
def test_a_contradiction_goes_where_the_network_is_as_the_claim_says(words: str, network: Network) -> None:
    assert verdict(words, PAPER) == "contradicted"
    assert verdict(words, network) == "holds"


def test_a_claim_that_should_hold_and_does_not_is_told_in_one_line() -> None:
    found = ledger.unexpected(ledger.exact(changed(LRN, alpha=2e-5)))
    told = (
        "section 3.3: constants of the response normalisation: the paper has k = 2, n = 5, alpha = 0.0001, beta = 0.75,"
        " the network gives k = 2, n = 5, alpha = 2e-05, beta = 0.75"
    )
    assert found == [told]


def test_the_update_with_the_rate_outside_is_another_thing_only_once_the_rate_drops() -> None:
    momentum, decay = Fraction("0.9"), Fraction("0.0005")
    same = [(Fraction("0.01"), Fraction(1, 2)), (Fraction("0.01"), Fraction(-1, 4))]
    dropped = [*same, (Fraction("0.001"), Fraction(3, 4))]
    inside, outside = (claims_of_training.updated(same, momentum, decay, outside=where) for where in (False, True))
    assert inside == outside
    inside, outside = (claims_of_training.updated(dropped, momentum, decay, outside=where) for where in (False, True))
    assert inside != outside


def test_counts_are_cut_to_two_digits() -> None:
    found = [claims_of_shape.cut_to_two_digits(count) for count in (60_965_224, 659_272, 42, 7)]
    assert found == [60_000_000, 650_000, 42, 7]


def test_the_ledger_follows_the_papers_sections() -> None:
    rows = ledger.in_order([*(row for _, row in ledger.exact(PAPER)), *ledger.empirical(Evidence())])
    sections = list(dict.fromkeys(row["section"] for row in rows))
    assert sections == ["abstract", "1", "2", "3.1", "3.2", "3.3", "3.4", "3.5", "4", "4.1", "4.2", "5", "6", "6.1"]


def test_without_measurements_nothing_is_called_measured_and_what_can_be_decided_has_its_command() -> None:
    rows = ledger.empirical(Evidence())
    assert {row["verdict"] for row in rows} == {f"needs {what}" for what in WANTED}
    assert all(row["ours"] is None for row in rows)
    assert all("alexbench " in str(row["command"]) for row in rows if row["verdict"] == "needs ImageNet")


def test_every_command_of_the_ledger_is_one_that_the_program_takes() -> None:
    """Its options, the names of networks and ablations, and what its options exclude of each other."""
    commands = {line for claim in ledger.EMPIRICAL for line in claim.commands}
    assert len(commands) > 15
    for line in commands:
        bare = re.sub(r"^for N in [0-9 ]+; do (.*); done$", r"\1", line).replace("$N", "1")
        program, name, *arguments = shlex.split(bare)
        assert program == "alexbench"
        command = cli.commands[name]
        command.make_context(name, list(arguments))
    assert any(line.startswith("for N in 1 2 3 4 5; do alexbench train") for line in commands)


def test_each_claim_that_an_ablation_measures_names_that_one_alone() -> None:
    for claim in ledger.EMPIRICAL:
        if claim.ablation:
            assert all(f"--ablations --only {claim.ablation} " in line for line in claim.commands), claim.claim


def test_frameworks_that_found_the_same_are_one_measurement() -> None:
    row = table_1(*(evaluation(framework=name, signature=f"a:1|framework:{name}") for name in ("torch", "jax")))
    assert row["ours"] == "37.6 / 17.1 % in torch, jax"
    assert row["signature"] == "a:1|framework:torch,jax"


def evaluation(**fields: object) -> Row:
    row: Row = {
        "framework": "torch",
        "network": "paper",
        "weights": "3f2a",
        "data": "imagenet-2010",
        "part": "test",
        "images": 150_000,
        "crops": 10,
        "top1_error": 0.376,
        "top1_low": 0.3735,
        "top1_high": 0.3785,
        "top5_error": 0.171,
        "top5_low": 0.1691,
        "top5_high": 0.1729,
        "paper_top1": 0.375,
        "paper_top5": 0.17,
        "comparable": "yes",
        "status": "measured",
        "signature": "s",
    }
    return {**row, **fields}


def table_1(*rows: Row) -> Row:
    found = [row for row in ledger.empirical(Evidence(evaluation=rows)) if "CNN, ILSVRC-2010 test, 10" in row["claim"]]
    assert len(found) == 1
    return found[0]


def test_an_evaluation_of_the_papers_own_images_measures_its_claim() -> None:
    row = table_1(evaluation())
    assert (row["verdict"], row["low"], row["high"]) == ("measured", 0.3735, 0.3785)
    assert row["ours"] == "37.6 / 17.1 % in torch"
    assert "lie in our" in row["note"]


def test_a_published_figure_outside_the_interval_is_said_to_be() -> None:
    row = table_1(evaluation(top5_error=0.18, top5_low=0.178, top5_high=0.182))
    assert "lie outside our" in row["note"]


@pytest.mark.parametrize(
    "fields",
    [
        {"comparable": "no", "data": "digits"},
        {"crops": 1},
        {"part": "val"},
        {"weights": "ensemble of 5"},
        {"status": "crashed", "top1_error": None},
        {"data": "imagenet-2012"},
    ],
    ids=str,
)
def test_an_evaluation_of_anything_else_does_not(fields: dict[str, object]) -> None:
    assert table_1(evaluation(**fields))["verdict"] == "needs ImageNet"
