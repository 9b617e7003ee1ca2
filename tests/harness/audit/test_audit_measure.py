"""What a departure alone does, measured: against plain arithmetic, and where the answer is known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from audit_changed import Change, at, both, exchanged, swapped, whole, without
from audit_small import SMALL, pixels

from harness.audit import costs, likeness, measure, photographs
from harness.audit.consequence import SAME, Judged, in_order, of_measured
from harness.audit.departure import Departure, together
from harness.audit.departures import compare
from harness.audit.measure import Bench, Measured
from impls import derive, weights
from impls.oracle import network as oracle
from impls.oracle.product import OuterProduct
from impls.protocol import Batch
from impls.reading import Foreign, of_network
from impls.spec import Dropout, DropoutScaling, Network, Padding, Tanh


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(SMALL, pixels(), "scaled", 0)


def only(change: Change) -> Departure:
    (found,) = compare(of_network(change(SMALL)), SMALL)
    return found


def measured(bench: Bench, change: Change) -> Measured:
    found = only(change)
    assert measure.obstacle(found, SMALL) == ""
    assert found.alone is not None
    return bench.measure(found.alone)


def plainly(network: Network, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Test-time logits, and the whole training-mode gradient as one vector."""
    given = weights.generate(SMALL, "scaled", 0)
    images = photographs.inputs(seen, network)
    logits = oracle.forward(network, given, images)[network.logits]
    labels = measure.Bench(SMALL, seen, "scaled", 0)._labels(len(seen))
    batch = Batch(images, labels, measure.masks(network, len(seen), 0))
    found = oracle.gradients(network, given, batch).gradients
    return logits, np.concatenate([np.asarray(found[name]).ravel() for name in sorted(found)])


CHANGES: dict[str, Change] = {
    "alpha over n": at("norm1", alpha=2e-5),
    "k": at("norm1", k=1.0),
    "towers": at("norm1", groups=2),
    "no LRN": without("norm1"),
    "pool before LRN": swapped("norm1", "pool1"),
    "tanh": exchanged("relu3", Tanh(name="relu3")),
    "no ReLU": without("relu3"),
    "scaling": at("drop3", scaling=DropoutScaling.IN_TRAINING),
    "rate": at("drop3", rate=0.2),
    "padding": at("conv1", padding=Padding(top=1, bottom=2, left=1, right=2)),
    "unit scale": whole(preprocessing="unit-scale"),
    "grey mean": whole(preprocessing="none"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_figures_are_those_of_two_whole_passes(bench: Bench, name: str) -> None:
    found = measured(bench, CHANGES[name])

    logits, gradient = plainly(CHANGES[name](SMALL), pixels())
    wanted, reference = plainly(SMALL, pixels())
    assert found.logits.change == pytest.approx(np.linalg.norm(logits - wanted) / np.linalg.norm(wanted), rel=1e-9)
    cosine = (logits * wanted).sum() / np.linalg.norm(logits) / np.linalg.norm(wanted)
    assert found.logits.cosine == pytest.approx(cosine, rel=1e-9)
    apart = np.linalg.norm(gradient - reference) / np.linalg.norm(reference)
    assert found.gradient.change == pytest.approx(apart, rel=1e-9)
    cosine = gradient @ reference / np.linalg.norm(gradient) / np.linalg.norm(reference)
    assert found.gradient.cosine == pytest.approx(cosine, rel=1e-9)
    assert found.gradient.change > 0


def test_the_reference_itself_changes_nothing_at_all(bench: Bench) -> None:
    found = bench.measure(SMALL)

    assert (found.logits.change, found.top5_kept, found.gradient.change) == (0.0, 1.0, 0.0)


def test_a_harmless_swap_is_told_from_one_that_is_not(bench: Bench) -> None:
    harmless = measured(bench, swapped("relu2", "pool2"))
    harmful = measured(bench, swapped("relu1", "norm1"))

    assert harmless.logits.change is not None and harmless.logits.change < SAME
    assert of_measured(harmless) == "same function"
    assert of_measured(harmful) == "another function"


def test_the_same_dropout_rate_by_another_scaling_changes_both_passes(bench: Bench) -> None:
    """fc4 gets twice what it got, at test time and in training; its bias stays."""
    found = measured(bench, CHANGES["scaling"])

    assert of_measured(found) == "another function"
    assert found.gradient.change is not None and found.gradient.change > SAME


def test_dropout_that_scales_in_training_is_of_training_only_where_its_rate_changes() -> None:
    inverted = at("drop3", scaling=DropoutScaling.IN_TRAINING)(SMALL)
    bench = Bench(inverted, pixels(), "scaled", 0)

    found = bench.measure(at("drop3", rate=0.2)(inverted))

    assert found.logits.change == 0.0
    assert of_measured(found) == "training only"


def test_a_layer_drops_the_same_units_and_at_a_higher_rate_more() -> None:
    low = measure.masks(at("drop3", rate=0.2)(SMALL), 50, 0)["drop3"]
    high = measure.masks(SMALL, 50, 0)["drop3"]

    assert ((low == 0) <= (high == 0)).all()
    assert low.mean() == pytest.approx(0.8, abs=0.05)
    assert high.mean() == pytest.approx(0.5, abs=0.05)


def test_networks_of_other_input_sizes_see_the_pixels_that_both_have() -> None:
    """27 pixels without padding are 24 with 3 on the right and bottom, where only the new ones are other than zero."""
    larger = both(whole(height=27, width=27), at("conv1", padding=Padding()))(SMALL)
    seen = pixels(27, 27)
    small, large = photographs.inputs(seen, SMALL), photographs.inputs(seen, larger)
    assert np.array_equal(small, large[:, :24, :24])

    large[:, 24:], large[:, :, 24:] = 0, 0
    given = weights.generate(SMALL, "scaled", 0)
    one, other = (oracle.forward(net, given, x)[net.logits] for net, x in ((SMALL, small), (larger, large)))
    assert np.array_equal(one, other)

    found = Bench(SMALL, seen, "scaled", 0).measure(larger)
    assert of_measured(found) == "another function"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (at("conv1", init=0.5), "nothing is to be seen of initial ones"),
        (at("conv2", init_bias=0.0), "nothing is to be seen of initial ones"),
        (whole(preprocessing="mean-image-centre"), "mean of the training data"),
        (whole(channels=1), "weights do not fit: conv1/weight is 5x5x1x8, the reference's 5x5x3x8"),
        (at("conv2", groups=1), "weights do not fit: conv2/weight is 3x3x8x12, the reference's 3x3x4x12"),
        (without("pool2"), "weights do not fit: fc3/weight is 300x20, the reference's 48x20"),
        (without("fc3", "relu3", "drop3"), "weights do not fit: fc3/weight is missing"),
    ],
)
def test_what_cannot_be_measured_says_why(change: Change, said: str) -> None:
    assert said in measure.obstacle(only(change), SMALL)


def test_all_departures_together_are_the_other_network(bench: Bench) -> None:
    change = both(CHANGES["alpha over n"], CHANGES["k"], CHANGES["scaling"], CHANGES["unit scale"])
    made = together(compare(of_network(change(SMALL)), SMALL))(SMALL)

    found = bench.measure(made)

    logits, _ = plainly(change(SMALL), pixels())
    wanted, _ = plainly(SMALL, pixels())
    assert found.logits.change == pytest.approx(np.linalg.norm(logits - wanted) / np.linalg.norm(wanted), rel=1e-9)


def test_top_five_counts_classes_not_their_order() -> None:
    reference = np.arange(10.0).reshape(1, 10)
    swapped_places = reference[:, [0, 1, 2, 3, 4, 6, 5, 7, 9, 8]]
    two_gone = reference * ([[1, 1, 1, 1, 1, 1, 1, 1, -1, -1]])

    assert likeness.top_kept(swapped_places, reference) == 1.0
    assert likeness.top_kept(two_gone, reference) == pytest.approx(0.6)
    assert likeness.top_kept(reference[:, :3], reference[:, :3]) == 1.0


def test_a_gradient_kept_in_factors_is_compared_as_the_matrix_it_is() -> None:
    rng = np.random.default_rng(0)
    factors = [rng.normal(size=(2, 3, n)) for n in (700, 500)]
    ours, theirs = (OuterProduct(factors[0][i], factors[1][i]) for i in range(2))
    whole_ours, whole_theirs = np.asarray(ours), np.asarray(theirs)

    found = likeness.of_gradients({"w": theirs}, {"w": ours})

    wanted = np.linalg.norm(whole_theirs - whole_ours) / np.linalg.norm(whole_ours)
    assert found.change == pytest.approx(wanted, rel=1e-12)


def test_of_a_reference_of_zeros_nothing_is_relative() -> None:
    assert likeness.of_arrays(np.ones(3), np.zeros(3)) == (None, None)


@pytest.mark.parametrize("kind", ["unit-scale", "mean-and-std", "per-image-standard", "none", "mean-image"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_preprocessing_gives_what_the_first_layer_takes(kind: str, channels: int) -> None:
    network = replace(SMALL, preprocessing=kind, channels=channels)

    found = photographs.inputs(pixels(), network)

    assert found.shape == (2, 24, 24, channels)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    if kind == "none" and channels == 3:
        assert np.array_equal(found, pixels())
    if kind == "per-image-standard":
        assert found.mean() == pytest.approx(0, abs=1e-5)


def test_costs_are_those_of_the_description() -> None:
    change = costs.of(at("conv2", groups=1)(SMALL)).less(costs.of(SMALL))

    assert change.parameters == 3 * 3 * 4 * 12
    assert change.multiply_adds == 5 * 5 * 3 * 3 * 4 * 12
    assert change.memory_mb == pytest.approx(3 * 3 * 4 * 12 * 4 / 2**20)


def test_memory_counts_the_image_every_output_and_the_weights() -> None:
    outputs = sum(derive.volume(row.output_shape) for row in derive.facts(SMALL))

    assert costs.of(SMALL).memory_mb == (24 * 24 * 3 + outputs + derive.parameter_count(SMALL)) * 4 / 2**20


def test_departures_are_told_by_consequence(bench: Bench) -> None:
    change = both(
        CHANGES["alpha over n"],
        CHANGES["no ReLU"],
        swapped("relu2", "pool2"),
        at("conv1", init=0.5),
        at("conv2", kernels=16),
        at("fc3", units=30),
    )
    found = []
    for departure in compare(of_network(change(SMALL)), SMALL):
        obstacle = measure.obstacle(departure, SMALL)
        assert departure.alone is not None
        change_of = costs.of(departure.alone).less(costs.of(SMALL))
        result = None if obstacle else bench.measure(departure.alone)
        found.append(Judged(departure, change_of, result, obstacle))

    ordered = [(judged.consequence, judged.departure.facet) for judged in in_order(found)]

    assert ordered == [
        ("another function", "activation"),
        ("another function", "lrn-alpha"),
        ("other shapes", "units"),
        ("other shapes", "kernels"),
        ("training only", "init"),
        ("same function", "order"),
    ]


def test_masks_are_drawn_for_every_dropout_layer_in_its_inputs_shape() -> None:
    moved = replace(SMALL, layers=(*SMALL.layers[:7], Dropout(name="early", rate=0.5), *SMALL.layers[7:]))

    shapes = {name: mask.shape for name, mask in measure.masks(moved, 2, 0).items()}

    assert shapes == {"early": (2, 2, 2, 12), "drop3": (2, 20)}


def test_costs_of_a_reading_follow_the_shapes_that_foreign_layers_tell() -> None:
    average = Foreign(name="avg", kind="AvgPool2d", output_shape=(2, 2, 12), parameters=7)
    layers = tuple(average if layer.name == "pool2" else layer for layer in SMALL.layers)

    found = costs.of_reading(replace(of_network(SMALL), layers=layers))

    assert found.parameters == derive.parameter_count(SMALL) + 7
    assert found.multiply_adds == derive.multiply_adds(SMALL)
    assert found.memory_mb == costs.of(SMALL).memory_mb + 7 * 4 / 2**20
    assert costs.of_reading(of_network(SMALL)) == costs.of(SMALL)
