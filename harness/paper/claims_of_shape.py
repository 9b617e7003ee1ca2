"""Claims on layers, sizes, connections and parameters: sections 1, 3 and 4, figure 2. All derived, none typed in."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.paper import variants
from harness.paper.claims import ExactClaim, Finding
from impls import derive, split
from impls.derive import LayerFacts
from impls.spec import LRN, Conv, Dense, MaxPool, Network, Padding, ReLU

TOWERS = 2
SAME_SIZE = 0.05  # "approximately the same number of parameters"


def learned(network: Network) -> list[LayerFacts]:
    """The layers with weights, in order."""
    return [row for row in derive.facts(network) if row.parameters]


def convolutions(network: Network) -> list[LayerFacts]:
    """The convolutions, in order."""
    return [row for row in learned(network) if isinstance(row.layer, Conv)]


def cut_to_two_digits(count: int) -> int:
    """60,965,224 to 60,000,000: as the paper writes large counts."""
    digits = str(count)
    return int(digits[:2] + "0" * len(digits[2:]))


def counted(values: list[int]) -> str:
    """Counts as figure 2's caption lists them."""
    return " - ".join(f"{value:,}" for value in values)


def _parameters(network: Network) -> Finding:
    count = derive.parameter_count(network)
    note = (
        f"weights and biases, cut to two digits; {derive.multiply_adds(network):,} multiply-adds forward,"
        f" {derive.training_flops(network) / 1e9:.3f} GFLOP in a training step, each per image"
    )
    return Finding(f"{count:,}", cut_to_two_digits(count) == 60_000_000, note)


def _neurons(network: Network) -> Finding:
    count = derive.neuron_count(network)
    by_caption = count - learned(network)[0].neurons + 253_440
    note = f"outputs of the learned layers, cut to two digits; with the caption's 253,440 they would be {by_caption:,}"
    return Finding(f"{count:,}", cut_to_two_digits(count) == 650_000, note)


def _depth(network: Network) -> Finding:
    convs = len(convolutions(network))
    dense = len(learned(network)) - convs
    return Finding(f"{convs} and {dense}", (convs, dense) == (5, 3))


def _classes(network: Network) -> Finding:
    return Finding(f"{network.classes:,}", network.classes == 1000)


def _bits(network: Network) -> Finding:
    bits = math.log2(network.classes)
    return Finding(f"{bits:.3f}", round(bits) == 10, "log2 of the classes")


def _inputs(network: Network) -> Finding:
    inputs = network.height * network.width * network.channels
    return Finding(f"{inputs:,}", inputs == 150_528)


def _first_layer_neurons(network: Network) -> Finding:
    first = learned(network)[0]
    sides = " x ".join(map(str, first.output_shape))
    height, _, maps = first.output_shape
    note = f"{sides}; 253,440 would be {height} x {253_440 / (height * maps):g} x {maps}"
    return Finding(f"{first.neurons:,}", first.neurons == 253_440, note)


def _other_neurons(network: Network) -> Finding:
    found = [row.neurons for row in learned(network)[1:]]
    return Finding(counted(found), found == [186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000])


def _unpadded_side(network: Network) -> Finding:
    """Output side of the first layer without padding, from the size the paper gives the input."""
    first = network.layers[0]
    if not isinstance(first, Conv):
        return Finding(f"the first layer is {first.name}", False)
    exact = (network.height - first.size) / first.stride + 1
    bare = replace(first, padding=Padding())
    side = derive.layer_facts(bare, (network.height, network.width, network.channels)).output_shape[0]
    padded = learned(network)[0].output_shape[0]
    padding = ", ".join(f"{edge} {pixels}" for edge, pixels in first.padding._asdict().items() if pixels) or "none"
    note = f"({network.height} - {first.size}) / {first.stride} + 1 = {exact:g}; {padded} with padding {padding}"
    return Finding(f"{side} x {side}", exact == 55, f"{note}, as the 2012 source has it" if padded != side else note)


def _largest_convolution(network: Network) -> Finding:
    total = derive.parameter_count(network)
    shares = {row.layer.name: row.parameter_count / total for row in convolutions(network)}
    over = {name: share for name, share in shares.items() if share > 0.01}
    shown = over or dict([max(shares.items(), key=lambda pair: pair[1])])
    return Finding(", ".join(f"{name} {share:.3%}" for name, share in shown.items()), not over)


def _first_dense(network: Network) -> Finding:
    dense = [row for row in learned(network) if isinstance(row.layer, Dense)]
    share = dense[0].parameter_count / derive.parameter_count(network)
    return Finding(
        f"{share:.1%} in {dense[0].layer.name}", share > 0.5, f"{derive.volume(dense[0].input_shape):,} inputs"
    )


def _half_the_kernels(network: Network) -> Finding:
    """The one-tower network, made from this one by the paper's own recipe, against it."""
    half = derive.parameter_count(variants.one_tower(network))
    ratio = half / derive.parameter_count(network)
    note = "all but the last convolution with half the kernels, in one tower (footnote 1)"
    return Finding(f"{half:,}, {ratio:.1%} of the two towers'", abs(ratio - 1) <= SAME_SIZE, note)


def _kernels(name: str, kernels: int, size: int, depth: int) -> ExactClaim:
    def check(network: Network) -> Finding:
        layer = next((row for row in convolutions(network) if row.layer.name == name), None)
        if layer is None:
            return Finding("no such layer", False)
        height, width, inputs, count = layer.parameters[f"{name}/weight"]
        agrees = (count, height, width, inputs) == (kernels, size, size, depth)
        shape = " x ".join(map(str, layer.output_shape))
        note = f"out {shape}; {layer.parameter_count:,} parameters, {layer.multiply_adds:,} multiply-adds"
        return Finding(f"{count} of {height} x {width} x {inputs}", agrees, note)

    return ExactClaim(
        section="3.5", claim=f"kernels of {name}", paper=f"{kernels} of {size} x {size} x {depth}", check=check
    )


def _stride(network: Network) -> Finding:
    first = convolutions(network)[0].layer
    stride = first.stride if isinstance(first, Conv) else 0
    return Finding(str(stride), stride == 4)


def _dense_units(network: Network) -> Finding:
    dense = [row for row in learned(network) if isinstance(row.layer, Dense)]
    units = [row.output_shape[0] for row in dense]
    note = "; ".join(
        f"{row.layer.name} {row.parameter_count:,} parameters, {row.multiply_adds:,} multiply-adds" for row in dense
    )
    return Finding(counted(units), units == [4096, 4096, 1000], note)


def _own_tower(network: Network) -> Finding:
    """Which convolutions see the maps of their own tower only."""
    within = [row.layer.name for row in convolutions(network) if isinstance(row.layer, Conv) and row.layer.groups == 2]
    return Finding(", ".join(within) or "none", within == ["conv2", "conv4", "conv5"])


def _exchanges(network: Network) -> Finding:
    """Before which layers two devices, one tower on each, must send each other something."""
    try:
        made = split.plan(network, "model", TOWERS)
    except split.InvalidSplit as error:
        return Finding("one tower", False, str(error))
    batch = network.recipe.batch_size
    found = [row for row in split.traffic(made, batch) if row.where not in ("logits", "gradients")]
    sent = "; ".join(f"{row.where} {row.sent / 1e6:.1f} MB" for row in found)
    halos = [row.where for row in found if row.what == split.Exchange.HALO]
    why = (
        f"section 3.3's sum runs over all N kernel maps, so {' and '.join(halos)} cross the towers' edge;"
        " the 2012 source keeps them within a tower. "
        if halos
        else ""
    )
    wheres = [row.where for row in found]
    note = f"{why}Each device sends, forward and backward, batch {batch}: {sent}"
    return Finding(", ".join(wheres), wheres == ["conv3", "fc6", "fc7", "fc8"], note)


def _normalisation(network: Network) -> Finding:
    norms = [layer for layer in network.layers if isinstance(layer, LRN)]
    settings = {(layer.k, layer.size, layer.alpha, layer.beta) for layer in norms}
    shown = "; ".join(f"k = {k:g}, n = {n}, alpha = {alpha:g}, beta = {beta:g}" for k, n, alpha, beta in settings)
    return Finding(shown or "no such layer", settings == {(2.0, 5, 1e-4, 0.75)}, "alpha multiplies the plain sum")


def _order(network: Network) -> Finding:
    """What follows each convolution, until the next learned layer."""
    names = {ReLU: "ReLU", LRN: "LRN", MaxPool: "pool"}
    found: list[str] = []
    for layer in network.layers:
        if isinstance(layer, Dense):
            break
        if isinstance(layer, Conv):
            found.append(layer.name)
        elif found:
            found[-1] += " " + names.get(type(layer), type(layer).__name__)
    paper = ["conv1 ReLU LRN pool", "conv2 ReLU LRN pool", "conv3 ReLU", "conv4 ReLU", "conv5 ReLU pool"]
    return Finding("; ".join(found), found == paper)


def _relu_everywhere(network: Network) -> Finding:
    without = []
    for row, following in zip(network.layers, [*network.layers[1:], None], strict=True):
        if isinstance(row, Conv | Dense) and not isinstance(following, ReLU):
            without.append(row.name)
    last = "the same section feeds the last layer's output to the softmax; the 2012 source has no ReLU between them"
    note = last if without == [network.logits] else ""
    return Finding(f"not after {', '.join(without)}" if without else "after every one", not without, note)


def _pools(network: Network) -> Finding:
    pools = [layer for layer in network.layers if isinstance(layer, MaxPool)]
    settings = {(layer.stride, layer.size) for layer in pools}
    shown = "; ".join(f"s = {stride}, z = {size}" for stride, size in settings)
    return Finding(shown or "no such layer", settings == {(2, 3)})


def _pooled_sides(network: Network) -> list[int]:
    return [row.output_shape[0] for row in derive.facts(network) if isinstance(row.layer, MaxPool)]


def _equivalent_pools(network: Network) -> Finding:
    overlapping = _pooled_sides(network)
    apart = _pooled_sides(variants.non_overlapping(network))
    shown = f"{', '.join(map(str, overlapping))} against {', '.join(map(str, apart))}"
    return Finding(shown, overlapping == apart, "sides of the maps after each pool")


def _last_hidden(network: Network) -> Finding:
    units = learned(network)[-1].input_shape
    return Finding(f"{derive.volume(units):,}", units == (4096,))


CLAIMS: tuple[ExactClaim, ...] = (
    ExactClaim(section="abstract", claim="parameters", paper="60 million", check=_parameters),
    ExactClaim(section="abstract", claim="neurons", paper="650,000", check=_neurons),
    ExactClaim(section="1", claim="convolutional and fully-connected layers", paper="5 and 3", check=_depth),
    ExactClaim(
        section="1", claim="each convolutional layer holds no more than 1 % of the parameters", paper="at most 1 %",
        check=_largest_convolution, known="contradicted",
    ),
    ExactClaim(
        section="3.2", claim="conv2, conv4 and conv5 see the maps of their own tower only", paper="conv2, conv4, conv5",
        source="3.5 and figure 2", check=_own_tower,
    ),
    ExactClaim(
        section="3.2", claim="the towers exchange maps before conv3 and the fully-connected layers only",
        paper="conv3, fc6, fc7, fc8", source="figure 2", check=_exchanges, known="contradicted",
    ),
    ExactClaim(
        section="3.2", claim="most of the parameters are in the first fully-connected layer", paper="most",
        source="footnote 1", check=_first_dense,
    ),
    ExactClaim(
        section="3.2", claim="one-GPU net of half the kernels: approximately the same number of parameters",
        paper="approximately the same", source="footnote 1", check=_half_the_kernels,
    ),
    ExactClaim(
        section="3.3", claim="constants of the response normalisation",
        paper="k = 2, n = 5, alpha = 0.0001, beta = 0.75", check=_normalisation,
    ),
    ExactClaim(section="3.4", claim="overlapping pooling", paper="s = 2, z = 3", check=_pools),
    ExactClaim(
        section="3.4", claim="s = 2, z = 2 produces output of equivalent dimensions", paper="equivalent",
        check=_equivalent_pools,
    ),
    ExactClaim(
        section="3.5", claim="ReLU on the output of every convolutional and fully-connected layer", paper="every",
        check=_relu_everywhere, known="contradicted",
    ),
    ExactClaim(
        section="3.5", claim="order of ReLU, normalisation and pooling",
        paper="normalised: 1 and 2; pooled: both of these and 5", check=_order,
        source="the 2012 source has LRN, pool, ReLU in layer 1",
    ),
    ExactClaim(
        section="3.5", claim="224 x 224 input, 11 x 11 kernels and stride 4 give 55 x 55 maps", paper="55 x 55",
        source="figure 2", check=_unpadded_side, known="contradicted",
    ),
    ExactClaim(section="3.5", claim="stride of conv1", paper="4", check=_stride),
    _kernels("conv1", 96, 11, 3),
    _kernels("conv2", 256, 5, 48),
    _kernels("conv3", 384, 3, 256),
    _kernels("conv4", 384, 3, 192),
    _kernels("conv5", 256, 3, 192),
    ExactClaim(
        section="3.5", claim="units of the fully-connected layers", paper="4,096 - 4,096 - 1,000", check=_dense_units
    ),
    ExactClaim(section="3.5", claim="classes of the softmax", paper="1000", check=_classes),
    ExactClaim(section="3.5", claim="the network's input", paper="150,528", source="figure 2", check=_inputs),
    ExactClaim(
        section="3.5", claim="neurons of the first hidden layer", paper="253,440", source="figure 2",
        check=_first_layer_neurons, known="contradicted",
    ),
    ExactClaim(
        section="3.5", claim="neurons of the other layers", source="figure 2",
        paper="186,624 - 64,896 - 64,896 - 43,264 - 4,096 - 4,096 - 1,000", check=_other_neurons,
    ),
    ExactClaim(section="4", claim="bits that a label puts on the mapping", paper="10", check=_bits),
    ExactClaim(section="6.1", claim="size of the last hidden layer", paper="4,096", check=_last_hidden),
)  # fmt: skip
