"""Claims that data decide: errors, what each part adds to them, times, and what figures show. With the commands.

The figures themselves are `reports.published`'s.
"""

from __future__ import annotations

from harness.paper.claims import EmpiricalClaim, Result
from impls import catalog, derive
from reports import published
from reports.published import Effect, Published

TRAIN = "alexbench train --network paper --framework torch --data {data} --device cuda --out RUN"
ABLATE = "alexbench paper --ablations --only {name} --network paper --data imagenet:ILSVRC2012 --device cuda"
ON_CIFAR = "alexbench paper --ablations --only {name} --network cifar-4layer --data cifar10:PATH"
TOGETHER = "alexbench paper EVALUATED"

# effect, by its name in `reports.published` -> ablation
ABLATION_OF = {
    "lrn": "no-lrn",
    "overlapping-pooling": "non-overlapping",
    "two-towers": "one-tower",
    "colour-noise": "no-colour-noise",
    "ten-crops": "one-crop",
}
CYCLES, IMAGES = 90, 1_200_000
SLOWEST, FASTEST = 6 * 86_400, 5 * 86_400  # seconds: "five to six days"
# The contest's server alone has them: nobody else can count an error on those images.
UNPUBLISHED = (published.ILSVRC_2012, "test")
GTX_580_PEAK = 2 * 1.581e12  # FLOP/s of two in float32: 512 cores at 1.544 GHz, a multiply and an add per clock


def percent(top1: float | None, top5: float | None) -> str:
    """Top-1 and top-5 error as the tables print them."""
    return " / ".join("-" if value is None else f"{value:.1f}" for value in (top1, top5)) + " %"


def _of_table(figure: Published) -> EmpiricalClaim:
    """An error of Tables 1 and 2, or of the text beside them."""
    section = "6" if figure.table else "4.1"
    data = f"imagenet:{figure.data.replace('-', '')}"
    name = f"{figure.model}, {figure.data} {figure.part}"
    logged = percent(figure.logged_top1, figure.logged_top5)
    source = figure.source + (f"; the 2012 source's log: {logged}" if figure.logged_top1 else "")
    unpublished = (figure.data, figure.part) == UNPUBLISHED
    if not figure.networks or unpublished:
        why = "labels that were never published" if unpublished else ""
        return EmpiricalClaim(
            section=section, claim=f"top-1 / top-5 error of {name}", paper=percent(figure.top1, figure.top5),
            source=source, needs="ImageNet 2011" if not figure.networks else f"{figure.data}'s test labels",
            note="; ".join(filter(None, [figure.note, why])),
        )  # fmt: skip
    many = figure.averaged
    train = TRAIN.format(data=data)
    if many > 1:
        train = f"for N in {' '.join(map(str, range(1, many + 1)))}; do {train}-$N --seed $N; done"
    files = "RUN/torch-best.safetensors" if many == 1 else "RUN-*/torch-best.safetensors"
    crops = f"alexbench evaluate --weights {files} --data {data} --part {figure.part} --crops {figure.crops}"
    return EmpiricalClaim(
        section=section, claim=f"top-1 / top-5 error of {name}, {figure.crops} crop{'s' * (figure.crops != 1)}",
        paper=percent(figure.top1, figure.top5), source=source,
        commands=(train, f"{crops} --out EVALUATED", TOGETHER),
        result=Result(figure.data, figure.part, figure.crops or 1, many), note=figure.note,
    )  # fmt: skip


def _of_effect(effect: Effect) -> EmpiricalClaim:
    """What leaving something out adds to the error."""
    sign = "over +" if effect.at_least else "+"
    found = [f"{sign}{effect.top1:.1f}"] + ([f"+{effect.top5:.1f}"] if effect.top5 is not None else [])
    logged = f"; the 2012 source's logs: +{effect.logged_top1:.2f}" if effect.logged_top1 else ""
    logged += f" / +{effect.logged_top5:.2f}" if logged and effect.logged_top5 else ""
    return EmpiricalClaim(
        section=effect.source.removeprefix("paper, section ").partition(" ")[0],
        claim=f"added to the top-1 / top-5 error without {effect.without}",
        paper=" / ".join(found) + " points", source=effect.source + logged, note=effect.note,
        commands=(ABLATE.format(name=ABLATION_OF[effect.name]),), ablation=ABLATION_OF[effect.name],
    )  # fmt: skip


def _days() -> EmpiricalClaim:
    """Five to six days, with what they ask of the GPUs of the time."""
    flops = derive.training_flops(catalog.get("paper")) * CYCLES * IMAGES
    rates = [CYCLES * IMAGES / seconds for seconds in (SLOWEST, FASTEST)]
    shares = [flops / seconds / GTX_580_PEAK for seconds in (SLOWEST, FASTEST)]
    note = (
        f"{CYCLES} cycles of 1.2 million images in that time are {rates[0]:.0f} to {rates[1]:.0f} images/s, or"
        f" {shares[0]:.0%} to {shares[1]:.0%} of the 3.16 TFLOP/s of two GTX 580"
    )
    return EmpiricalClaim(
        section="5", claim="training takes five to six days on two GTX 580", paper="5 to 6 days",
        needs="two GTX 580", commands=("alexbench speed --network paper --gpus 2 --split model",), note=note,
    )  # fmt: skip


# Other people's models are no claim about this network.
_OWN = tuple(
    _of_table(figure) for figure in published.FIGURES if figure.source.startswith("paper") and "CNN" in figure.model
)

CLAIMS: tuple[EmpiricalClaim, ...] = (
    EmpiricalClaim(
        section="1", claim="removing any convolutional layer gives inferior performance; about 2 % top-1 (section 7)",
        paper="about +2 points", source="sections 1 and 7", ablation="one-layer-less",
        commands=(ABLATE.format(name="one-layer-less"),),
    ),
    EmpiricalClaim(
        section="3.1", claim="epochs until 25 % training error: tanh takes six times as many as ReLU", paper="6 times",
        source="figure 1", needs="CIFAR-10", ablation="figure-1", commands=(ON_CIFAR.format(name="figure-1"),),
    ),
    *(_of_effect(effect) for effect in published.EFFECTS),
    EmpiricalClaim(
        section="3.2", claim="the two-GPU net trains in slightly less time than the one-GPU net", paper="less time",
        needs="two GPUs", commands=(
            "alexbench speed --network paper --gpus 2 --split model", "alexbench speed --network one-tower --gpus 1",
        ),
    ),
    EmpiricalClaim(
        section="3.3", claim="four-layer net on CIFAR-10: test error without and with normalisation",
        paper="13 % and 11 %", needs="CIFAR-10", ablation="no-lrn", ablation_on="cifar10",
        commands=(ON_CIFAR.format(name="no-lrn"),),
    ),
    EmpiricalClaim(
        section="4.1", claim="without crops and reflections the network overfits substantially", paper="substantial",
        commands=(ABLATE.format(name="no-augmentation"),), ablation="no-augmentation",
    ),
    EmpiricalClaim(
        section="4.2", claim="without dropout the network overfits substantially", paper="substantial",
        commands=(ABLATE.format(name="no-dropout"),), ablation="no-dropout",
    ),
    EmpiricalClaim(
        section="4.2", claim="dropout roughly doubles the iterations needed to converge", paper="2 times",
        needs="a measure of convergence", note="the paper does not say when it takes a training to have converged",
    ),
    _days(),
    *_OWN,
    EmpiricalClaim(
        section="6", claim="top-1 / top-5 error on ImageNet of Fall 2009, 10,184 classes", paper="67.4 / 40.9 %",
        needs="ImageNet 2009", note="with a sixth convolutional layer over the last pooling layer",
    ),
    EmpiricalClaim(
        section="6.1", claim="kernels of one tower are colour-agnostic, those of the other colour-specific",
        paper="figure 3", source="figure 3", commands=(
            TRAIN.format(data="imagenet:ILSVRC2012"), "alexbench paper --weights RUN/torch-best.safetensors",
        ),
    ),
)  # fmt: skip
