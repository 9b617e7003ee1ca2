"""Checks of the numbers that a note prints: parameters, connections, shapes, kernels and published errors.

Each returns a function of the network, so that another network gets another answer. A connection is what the notes
take for one: a multiply-add or a bias of a learned layer, and a value that a pooling window looks at.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.paper import claims_of_shape, claims_of_training
from harness.paper.claims import Answer
from harness.paper.claims_of_shape import cut_to_two_digits
from impls import derive
from impls.derive import LayerFacts
from impls.spec import Conv, Dense, MaxPool, Network
from reports import published
from reports.published import Published

Check = Callable[[Network], Answer]


def of_the_paper(claim: str) -> Check:
    """The check of a statement that the paper makes too: its claim in the ledger, by its name there."""
    (found,) = [one for one in (*claims_of_shape.CLAIMS, *claims_of_training.CLAIMS) if one.claim == claim]

    def check(network: Network) -> Answer:
        ours, agrees, note = found.check(network)
        return Answer(ours, agrees, note)

    return check


def as_the_paper(claim: str) -> Check:
    """The check of what a note repeats from the paper: where it does not hold, whose figure it is stands beside."""
    (found,) = [one for one in (*claims_of_shape.CLAIMS, *claims_of_training.CLAIMS) if one.claim == claim]

    def check(network: Network) -> Answer:
        answer = of_the_paper(claim)(network)
        if answer.agrees:
            return answer
        return answer._replace(note=f"the paper's section {found.section} has it so too; {answer.note}")

    return check


def row_of(network: Network, name: str) -> LayerFacts:
    """The facts of one layer. Raises KeyError."""
    for row in derive.facts(network):
        if row.layer.name == name:
            return row
    raise KeyError(f"network {network.name!r} has no layer {name!r}")


def sides(shape: tuple[int, ...]) -> str:
    """`55 x 55 x 96`."""
    return " x ".join(map(str, shape))


def parameters(name: str, printed: int) -> Check:
    """Weights and biases of one layer."""

    def check(network: Network) -> Answer:
        row = row_of(network, name)
        shown = " + ".join(sides(shape) for shape in row.parameters.values())
        return Answer(f"{row.parameter_count:,}", row.parameter_count == printed, shown or "pooling learns nothing")

    return check


def connections(name: str, printed: int) -> Check:
    """Connections of one layer, for one image."""

    def check(network: Network) -> Answer:
        row = row_of(network, name)
        found = row.multiply_adds + row.neurons
        if isinstance(row.layer, MaxPool):
            found = row.layer.size**2 * derive.volume(row.output_shape)
            note = f"{row.layer.size} x {row.layer.size} values for each of {sides(row.output_shape)}, and no bias"
            return Answer(f"{found:,}", printed == found, note)
        note = f"{row.multiply_adds:,} multiply-adds and {row.neurons:,} biases"
        if printed == row.neurons:
            return Answer(f"{found:,}", printed == found, note, "its outputs")
        if isinstance(row.layer, Conv) and printed * row.layer.size**2 == row.multiply_adds:
            note += f"; the {row.layer.size} x {row.layer.size} of the kernel were left out"
        return Answer(f"{found:,}", printed == found, note)

    return check


def output(name: str, shape: tuple[int, ...]) -> Check:
    """What comes out of one layer."""

    def check(network: Network) -> Answer:
        found = row_of(network, name).output_shape
        return Answer(sides(found), found == shape)

    return check


def inputs(name: str, shape: tuple[int, ...]) -> Check:
    """What goes into one layer."""

    def check(network: Network) -> Answer:
        row = row_of(network, name)
        found = row.input_shape
        each = (*found[:-1], found[-1] // row.layer.groups) if isinstance(row.layer, Conv) else found
        note = f"a kernel sees {sides(each)} of it" if each != found else ""
        return Answer(sides(found), found == shape, note)

    return check


def kernels(name: str, count: int, size: int, depth: int, stride: int | None = None) -> Check:
    """How many kernels of which shape, and their stride where the note gives one."""

    def check(network: Network) -> Answer:
        row = row_of(network, name)
        height, width, maps, found = row.parameters[f"{name}/weight"]
        agrees = (found, height, width, maps) == (count, size, size, depth)
        shown = f"{found} of {height} x {width} x {maps}"
        if stride is not None and isinstance(row.layer, Conv):
            agrees, shown = agrees and row.layer.stride == stride, f"{shown}, stride {row.layer.stride}"
        return Answer(shown, agrees)

    return check


def windows(sizes: tuple[int, ...]) -> Check:
    """The kernel sizes of the convolutions, in order."""

    def check(network: Network) -> Answer:
        found = tuple(layer.size for layer in network.layers if isinstance(layer, Conv))
        return Answer(", ".join(f"{size} x {size}" for size in found), found == sizes)

    return check


def depth(convolutions: int, dense: int) -> Check:
    """Learned layers, convolutions first."""

    def check(network: Network) -> Answer:
        kinds = [type(layer) for layer in network.layers if isinstance(layer, Conv | Dense)]
        found = (kinds.count(Conv), kinds.count(Dense))
        in_order = kinds == [Conv] * found[0] + [Dense] * found[1]
        note = f"{sum(found)} learned layers" + ("" if in_order else ", not the convolutions first")
        return Answer(f"{found[0]} and {found[1]}", in_order and found == (convolutions, dense), note)

    return check


def pools(size: int, stride: int, behind: tuple[str, ...]) -> Check:
    """Windows of the pools, and the convolutions that they follow."""

    def check(network: Network) -> Answer:
        found: list[tuple[str, int, int]] = []
        learned = ""
        for layer in network.layers:
            if isinstance(layer, Conv | Dense):
                learned = layer.name
            elif isinstance(layer, MaxPool):
                found.append((learned, layer.size, layer.stride))
        windows = dict.fromkeys(f"{z} x {z} at stride {s}" for _, z, s in found)
        shown = f"{', '.join(windows)} after {', '.join(name for name, _, _ in found)}"
        return Answer(shown, found == [(name, size, stride) for name in behind])

    return check


def first_block(printed: str) -> Check:
    """The kinds of layers up to the second learned one."""

    def check(network: Network) -> Answer:
        found = of_the_paper("order of ReLU, normalisation and pooling")(network).ours.split("; ")[0]
        return Answer(found, found == printed)

    return check


def total(printed: int) -> Check:
    """All parameters, cut to two digits as the paper cuts them."""

    def check(network: Network) -> Answer:
        found = derive.parameter_count(network)
        note = "cut to two digits" if printed == cut_to_two_digits(found) else f"{printed / found:.3g} times that"
        return Answer(f"{found:,}", cut_to_two_digits(found) == printed, note)

    return check


def neurons(printed: int) -> Check:
    """All outputs of learned layers, cut to two digits."""

    def check(network: Network) -> Answer:
        found = derive.neuron_count(network)
        return Answer(f"{found:,}", cut_to_two_digits(found) == printed, "cut to two digits")

    return check


def all_connections(printed: int) -> Check:
    """Connections of the whole network, cut to two digits."""

    def check(network: Network) -> Answer:
        found = derive.multiply_adds(network)
        biased = found + derive.neuron_count(network)
        agrees = printed in (cut_to_two_digits(found), cut_to_two_digits(biased))
        note = f"multiply-adds, {biased:,} with the biases; the paper prints no such count"
        return Answer(f"{found:,}", agrees, note)

    return check


def contest_entry() -> Published:
    """The contest's winner: the lowest top-5 error on the contest's test images."""
    test = [one for one in published.of_table("2") if one.part == "test"]
    return min(test, key=lambda one: one.top5 or 100.0)


def winning_error(printed: float) -> Check:
    """The top-5 error that won the contest of 2012."""

    def check(network: Network) -> Answer:
        entry = contest_entry()
        alone = next(one for one in published.of_table("2") if network.name in one.networks and one.averaged == 1)
        others = [one.model for one in published.of_table("2") if one.top5 == printed and one is not entry]
        note = f"{entry.model} on the test images; {alone.model} has {alone.top5} % on the validation images"
        instead = f"{others[0]}, another row of the paper's table 2" if others else ""
        return Answer(f"{entry.top5} %", printed == entry.top5, note, instead)

    return check


def one_networks_error(printed: float) -> Check:
    """The top-5 error of the network that a note describes, which is one network."""

    def check(network: Network) -> Answer:
        alone = next(one for one in published.of_table("2") if network.name in one.networks and one.averaged == 1)
        entry = contest_entry()
        instead = f"{entry.averaged} networks averaged, {entry.note}" if entry.top5 == printed else ""
        note = "one network, 10 views, validation images of 2012; paper, table 2"
        return Answer(f"{alone.top5} %", alone.top5 == printed, note, instead)

    return check


def lead(printed: int) -> Check:
    """Whole points of top-5 error between the contest's winner and the second."""

    def check(network: Network) -> Answer:
        del network
        errors = sorted(one.top5 for one in published.of_table("2") if one.part == "test" and one.top5 is not None)
        others = [one.top5 for one in published.of_table("2") if one.part == "test" and "CNN" not in one.model]
        second = min(error for error in others if error is not None)
        points = second - errors[0]
        return Answer(f"{points:.1f} points", int(points) == printed, f"{second} % to {errors[0]} %, in whole points")

    return check


def effect(name: str, *, top1: float | None = None, top5: float | None = None) -> Check:
    """What the paper says that a part of it is worth, in points."""

    def check(network: Network) -> Answer:
        del network
        found = published.effect(name)
        agrees = (top1 is None or found.top1 == top1) and (top5 is None or found.top5 == top5)
        shown = f"{'over ' * found.at_least}{found.top1} top-1" + (f", {found.top5} top-5" if found.top5 else "")
        return Answer(f"{shown} points", agrees, f"as the {found.source} has it; nothing was measured here")

    return check
