"""The columns of every kind of table, said once for storage and display: name, type, unit, meaning, heading, format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Literal

DICTIONARY = "dictionary.csv"  # of a run's folder: what every column of its tables means

Dtype = Literal["string", "Int64", "Float64"]
Columns = dict[str, Dtype]


class Detail(IntEnum):
    """How much detail a thing belongs to."""

    TERMINAL = 0  # a terminal alone: what stands there in place of something longer
    BRIEF = 1  # what a person reads on a terminal in ten seconds, and everything longer
    FULL = 2  # a report and a page


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, stored or shown."""

    name: str  # of the value in a row
    type: Dtype = "string"
    meaning: str = ""  # in a sentence, for the data dictionary and for who points at the heading
    unit: str = ""  # of the stored value, such as ms; of a number without one "1"; texts have none
    label: str = ""  # heading; the name without underscores where empty
    format: str = ""  # of reports.format.FORMATS; by the type where empty
    detail: Detail = Detail.FULL
    brief_label: str = ""  # heading where room is scarce; the label where empty
    spare: int = 0  # above 0: left out where room is scarce, the highest first
    optional: bool = False  # of a table only where a row of it has a value

    @property
    def heading(self) -> str:
        """What stands above the column."""
        return self.label or self.name.replace("_", " ")

    @property
    def written_as(self) -> str:
        """The name of its format."""
        return self.format or {"string": "text", "Int64": "whole", "Float64": "figure"}[self.type]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of table."""

    name: str
    meaning: str  # of one row
    columns: tuple[Column, ...]
    large: bool = False  # a row for each image and network: written piece by piece, and left to who reads its file


def _text(name: str, meaning: str, label: str = "") -> Column:
    return Column(name, "string", meaning, label=label)


def _whole(name: str, unit: str, meaning: str, label: str = "", form: str = "") -> Column:
    """A count of its unit, or of the unit "1" what only has a number: a seed, a place."""
    return Column(name, "Int64", meaning, unit, label, form or ("whole" if unit == "1" else "count"))


def _number(name: str, unit: str, meaning: str, label: str = "", form: str = "") -> Column:
    return Column(name, "Float64", meaning, unit, label, form or ("short" if unit == "1" else "figure"))


def _share(name: str, meaning: str, label: str = "") -> Column:
    return _number(name, "1", meaning, label, "share")


def _error(name: str, meaning: str, label: str = "") -> Column:
    """Stored as a share of 1, and shown as a percentage."""
    return _number(name, "1", meaning, label, "percent")


def _loss(name: str, meaning: str) -> Column:
    return _number(name, "1", meaning, form="loss")


def _optional(*columns: Column) -> tuple[Column, ...]:
    return tuple(replace(one, optional=True) for one in columns)


# fmt: off

# What several tables have in common.
FRAMEWORK = _text("framework", "The framework, or an implementation from outside by its target.")
TUNING = _text("tuning", "stock, as the framework's documentation has it, or tuned, the fastest way known.")
NETWORK = _text("network", "The network, by its name in `alexbench networks`.")
DEVICE = _text("device", "The device: cpu, cuda or cuda:N.")
DEVICES = _whole("devices", "devices", "How many devices share the network.")
SPLIT = _text("split", "How the devices share the network: none, model, data or hybrid.")
PRECISION = _text("precision", "The precision of the computation: float32, tf32, bfloat16 or float16.")
BATCH_SIZE = _whole("batch_size", "images", "Images of one step, on all devices together.", "batch", "whole")
INPUT = _text("input", "Where batches come from: synthetic (on the device already), host (its memory) or file.")
PHASE = _text("phase", "What is timed: train-step, forward-backward or forward.")
SIGNATURE = _text("signature", "What must stand beside a figure: version, network, weights, seed, framework and so on.")
REASON = _text("reason", "Why there is no figure.")
DATA = _text("data", "The images, by the name of their source.")
SEED = _whole("seed", "1", "What initial weights, batches, crops and dropout masks were drawn from.")
LABEL = _text("label", "The training's name, which tells it from the run's others.")
EPOCH = _whole("epoch", "epochs", "Epochs done.")
EPOCHS = _whole("epochs", "epochs", "Epochs that the training took.")
LEARNING_RATE = _number("learning_rate", "1", "The learning rate until then.")
EPOCHS_LOSS = _loss("loss", "Mean loss of the epoch's steps.")
WEIGHTS = _text("weights", "The weights, by the first digits of their hash, or an ensemble by its number of networks.")
FILE = _text("file", "The file of the weights, or several.")
IMAGES = _whole("images", "images", "Images that the errors are counted on.")
CROPS = _whole("crops", "views", "Views of each image that are averaged: 1, the centre, or 10, as in the paper.")
TOP1 = _error("top1_error", "Share of images whose class is not the most probable one.", "top-1 error %")
TOP5 = _error("top5_error", "Share of images whose class is not among the five most probable.", "top-5 error %")
PAPER_TOP1 = _error("paper_top1", "The published top-1 error.", "published top-1 %")
PAPER_TOP5 = _error("paper_top5", "The published top-5 error.", "published top-5 %")
COMPARABLE = _text("comparable", "yes: the same network, on all the images of the published figure and no others.")
PLACE = _whole("image", "1", "The image's place in its part of the data, from 0.")
VARIED = _text("network", "The network that the variants are made of.")
TFLOPS = _number("tflops", "TFLOP/s", "Work asked for, a multiply-add counted as two, over time.", "TFLOP/s")

# What makes one setting of a speed run, in every table that has it.
SETTING = (FRAMEWORK, TUNING, NETWORK, DEVICE, DEVICES, SPLIT, PRECISION, BATCH_SIZE, INPUT, PHASE)
STEP = (
    _number("step_ms", "ms", "Milliseconds of one run: the geometric mean of the blocks' medians.", "step ms"),
    _number("step_ms_low", "ms", "Lower end of its 95 % interval; missing where the blocks give none."),
    _number("step_ms_high", "ms", "Upper end of its 95 % interval; missing where the blocks give none."),
)

# A new kind is one more entry here.
_KINDS = (
    Kind("parity", "One tensor of one framework in one tuning, compared with the float64 reference.", (
        _text("level", "operator, layer (fed the reference's own input), forward, gradient, training or split."),
        _text("case", "What was computed: the operator with its shapes, or the photographs, batch or steps."),
        _text("tensor", "An output (y or its layer's name), a gradient or parameter, a loss, LAYER/decisions, or top5,"
              " the five classes most probable; empty where nothing came."),
        FRAMEWORK, _text("device", "The device, as the framework names it."), PRECISION,
        _whole("elements", "elements", "Elements of the tensor."),
        _number("max_abs_error", "1", "Largest difference from the reference, in the tensor's own units."),
        _number("rms_error", "1", "Root mean square difference from the reference, in the tensor's own units."),
        _number("max_ulp", "ulp", "Largest difference in units in the last place of the reference's element; it has a"
                " fraction, as a float64 reference lies between two floats.", form="short"),
        _number("gauge_ratio", "1", "Largest difference of an element over what rounding can cause in it: c(K)·u·G,"
                " or eight predicted standard deviations after several layers. Above 1 fails.", "error / gauge"),
        _number("baseline_ratio", "1", "The rms error over that of plain float32 NumPy, or that predicted for plain"
                " sums if larger, plus what turned decisions excuse. Above 2 (training 8) fails.", "error / baseline"),
        _whole("zeros", "elements", "Elements whose reference is 0."),
        _whole("ties", "1", "Windows of a max-pool with two largest values; of LAYER/decisions those that came out"
               " otherwise; of top5 the places exchanged within rounding.", form="count"),
        _text("verdict", "pass, fail, vacuous (proves nothing), not-observed (not returned) or error (did not run)."),
        _text("reason", "Why the verdict is not pass."),
        SIGNATURE, TUNING,
        _text("layer", "The layer compared; of a failure the one at fault, or loss, or sgd."),
        _text("cause", "The mistake that explains the failure, where one was recognised."),
        *_optional(
            _number("baseline_rms", "1", "The rms error of plain float32 NumPy in the same forward pass."),
            _number("gauge_rms", "1", "The rms error that rounding is predicted to cause: one standard deviation."),
            _number("reference_rms", "1", "Root mean square of the reference, which errors are relative to."),
        ),
    )),
    Kind("self-test", "One known mistake, planted in one framework.", (
        _text("fault", "The mistake.", "planted fault"),
        _text("planted_in", "The layer it was planted in, or loss, or sgd.", "in"), FRAMEWORK,
        _text("caught", "yes: a check failed."), _text("caught_at", "The first level at which one failed.", "at level"),
        _text("named", "The place that the comparison named."), _text("expected", "The place that it should name."),
        _text("localised", "yes: they are the same."), _text("cause_named", "yes: it named the very mistake."),
        *_optional(
            TUNING, _text("levels", "All levels at which a check failed."),
            _text("reason", "Why the first check failed."), _text("cause", "The mistake that the comparison named."),
        ),
    )),
    Kind("speed", "One setting in one framework and tuning.", (
        *SETTING[:6],
        _text("emulated", "yes: the devices are one processor in truth, and their time is no speed-up."),
        *SETTING[6:],
        _number("compile_s", "s", "Compilation before the first step; missing where there is none.", "compile s"),
        _number("first_step_s", "s", "The first step.", "first step s"),
        _whole("samples", "samples", "Timed samples in all blocks."),
        *STEP,
        _number("images_per_s", "images/s", "The batch's images over the step's time.", "images/s"),
        _number("peak_memory_mb", "MiB", "The most memory in use from the warm-up on, by the worker or on its GPU.",
                "memory MiB"),
        TFLOPS,
        _share("fraction_of_peak", "tflops over the best matrix product or convolution of the run.", "of peak"),
        _number("joules_per_image", "J", "Energy that the GPUs took for each image.", "J/image"),
        _loss("loss_first", "Loss of the first step of the warm-up; of the phase forward the logits' mean size."),
        _loss("loss_last", "The same after the last timed step."),
        _text("stable", "no: a wide interval, blocks that lie apart, no steady state, or clocks held back."),
        _text("note", "Why it is not stable."),
        SIGNATURE,
        _text("status", "measured, parity-failed, does-not-fit, unsupported, missing, crashed or timed-out."),
        REASON,
        _text("verdict", "Of the check of the very program that was timed: pass, fail or vacuous."),
        _number("gauge", "1", "That check's largest error over its limit; above 1 fails."),
        _whole("bytes_exchanged", "bytes", "What each device sends in a step."),
        _share("exchange_share", "Share of the step that this takes at the measured copy bandwidth, at the least."),
        _share("block_spread", "Largest less smallest of the blocks' medians, over their median."),
        _number("clock_mhz", "MHz", "Median clock of the GPUs, or mean clock of the processor's cores, in the blocks."),
        _text("throttled", "yes: a GPU's clock was held back."),
        _text("weights_changed", "yes: every weight moved in the timed steps."),
    )),
    Kind("sample", "One timed sample of one setting: some steps in a row.", (
        *SETTING,
        _whole("block", "1", "The block, from 1; 0 is before the steady state."),
        _whole("index", "1", "The sample's place in its block, from 0."),
        _whole("steps", "steps", "Steps timed together."),
        _number("seconds", "s", "Their time together."),
        _text("warm", "yes: it counts; no: it came before the steady state."),
        *_optional(_whole("process", "1", "The process that took it, from 1; all of one process where there is none.")),
    )),
    Kind("layer", "One pass through one layer alone.", (
        FRAMEWORK, TUNING, NETWORK, DEVICE, PRECISION, BATCH_SIZE,
        _text("layer", "The layer; (whole step) is the step as timed, (update and rest) what its layers leave of it."),
        _text("pass", "forward, backward (both passes less forward) or all."),
        *STEP,
        _share("share", "Its time over that of all layers' passes."),
        _number("gflops", "GFLOP", "Work; a multiply-add counts as two.", "GFLOP"),
        _number("mbytes", "MB", "The least traffic that the work needs.", "MB"),
        TFLOPS,
        _number("gb_per_s", "GB/s", "That traffic over the time.", "GB/s"),
        _number("roof_tflops", "TFLOP/s", "What the measured peak and bandwidth allow such work.", "roof TFLOP/s"),
        _share("fraction_of_roof", "tflops over roof_tflops.", "of roof"),
        _text("bound", "What sets the roof: compute or memory."),
        SIGNATURE,
        _text("note", "Why the time has no interval."),
    )),
    Kind("peak", "One probe of what the device can do, in one framework.", (
        FRAMEWORK, DEVICE, PRECISION,
        _text("probe", "matmul, a product of matrices; convolution, the paper's conv3; copy, of float32."),
        _whole("size", "1", "The matrices' side, the convolution's images, or the copy's numbers."),
        _number("step_ms", "ms", "Milliseconds of one run in the fastest round.", "step ms"),
        _number("step_ms_low", "ms", "Of the fastest round; missing where there is only one."),
        _number("step_ms_high", "ms", "Of the slowest round; missing where there is only one."),
        TFLOPS,
        _number("gb_per_s", "GB/s", "Bytes that the copy reads and writes, over time.", "GB/s"),
        _text("best", "yes: the one peak, or bandwidth, that all figures are held against."),
        SIGNATURE,
    )),
    Kind("exchange", "One exchange between the devices that share a network.", (
        NETWORK, SPLIT, DEVICES, BATCH_SIZE, PRECISION,
        _text("where", "The layer before which it is made, or logits, or gradients."),
        _text("what", "gather-batch, gather-channels, halo or all-reduce."),
        _whole("bytes", "bytes", "What each device sends for it in a training step."),
        _share("share", "Of all that a device sends in the step."),
    )),
    Kind("training", "One epoch of one training, or the steps after its last whole one.", (
        FRAMEWORK, NETWORK, DATA, EPOCH, _whole("step", "steps", "Steps done."), LEARNING_RATE, EPOCHS_LOSS,
        replace(TOP1, meaning="Share of validation images whose class is not the most probable one."),
        replace(TOP5, meaning="Share of validation images whose class is not among the five most probable."),
        _number("images_per_s", "images/s", "Training images over the time of the epoch's steps.", "images/s"),
        SIGNATURE, LABEL, SEED,
        _text("recipe", "How it was trained: a recipe by its name, file or source."),
        _text("phase", "epoch, or end of steps after the last whole epoch."),
        _number("seconds", "s", "Time of all steps and validations until then."),
        _text("best", "yes: the lowest top-1 error until then."),
        TUNING, PRECISION, DEVICE, DEVICES, SPLIT,
    )),
    Kind("loss", "One step of one training: each of the first hundred, then every tenth, and so on.", (
        FRAMEWORK, LABEL, _whole("step", "steps", "The step, from 1."), _loss("loss", "Loss of the step's batch."),
        LEARNING_RATE,
    )),
    Kind("evaluation", "The score of one network, or of an ensemble, in one framework.", (
        FRAMEWORK, NETWORK, WEIGHTS, DATA, IMAGES, CROPS,
        TOP1, _error("top1_low", "Lower end of its 95 % interval (Wilson's)."),
        _error("top1_high", "Upper end of its 95 % interval (Wilson's)."),
        TOP5, _error("top5_low", "Lower end of its 95 % interval (Wilson's)."),
        _error("top5_high", "Upper end of its 95 % interval (Wilson's)."),
        PAPER_TOP1, PAPER_TOP5, COMPARABLE, SIGNATURE,
        _text("part", "The part of the data: train, val or test."),
        FILE,
        _text("status", "measured, not-finite, does-not-fit, unsupported, missing, crashed or timed-out."),
        REASON, TUNING, PRECISION, DEVICE,
        _number("images_per_s", "images/s", "Images over the time that they took, without compilation.", "images/s"),
        _whole("differing_views", "views", "Views of an image that are not the same pixels."),
        *_optional(
            _text("preprocessing", "What is done to an image first, and what says so."),
            _whole("networks", "networks", "Networks whose probabilities are averaged."),
        ),
    )),
    Kind("class-error", "One class in one score.", (
        FRAMEWORK, WEIGHTS, CROPS,
        _whole("class", "1", "The class's place among the network's outputs, from 0."),
        _text("name", "The class's name."),
        replace(IMAGES, meaning="Images of the class."), TOP1, TOP5,
    )),
    Kind("agreement", "One image that two frameworks with the same weights answer otherwise.", (
        WEIGHTS, CROPS, PLACE, _text("name", "The image's name."), _text("label", "The image's class."),
        *(one for side, which in (("a", "first"), ("b", "second")) for one in (
            _text(f"framework_{side}", f"The {which} framework."),
            _text(f"predicted_{side}", f"The class most probable in the {which} framework."),
            _number(f"probability_{side}", "1", f"Its probability in the {which} framework."),
        )),
        _number("margin_a", "1", "By how much the classes that changed places differ in the first framework."),
        _number("margin_b", "1", "By how much they differ in the second framework."),
        *_optional(_text("differs", "top-1 or top-5 where that credit differs, class where both are wrong otherwise.")),
    )),
    Kind("predictions", "One image as one network sees it.", (
        FRAMEWORK, WEIGHTS, CROPS, PLACE, _text("name", "The image's name."),
        _whole("label", "1", "The image's class, by its place among the network's outputs."),
        *(_whole(f"class{rank}", "1", f"The class in place {rank} by probability.") for rank in range(1, 6)),
        *(_number(f"probability{rank}", "1", f"Its probability, in place {rank}.") for rank in range(1, 6)),
        _number("top1_credit", "1", "1 for a right answer and 0 for a wrong one; of equally probable classes a share."),
        _number("top5_credit", "1", "The same of the five most probable classes."),
    ), large=True),
    Kind("ledger", "One claim of the paper, or of a study note about it.", (
        _text("section", "The paper's section, or the note."), _text("claim", "What is claimed."),
        _text("source", "Where it stands, or what else says it."),
        _text("paper", "The figure as it is printed there."), _text("ours", "The figure found here."),
        _number("low", "1", "Lower end of its 95 % interval; an error or a difference of errors as a share of 1."),
        _number("high", "1", "Upper end of its 95 % interval."),
        _text("verdict", "holds, contradicted, measured, or needs ImageNet or such; of a study note also misnamed."),
        _text("on", "What it was measured on; of a study note the network that decides."),
        _text("command", "The command that would decide it."),
        _text("note", "What must be said beside it."),
        SIGNATURE,
    )),
    Kind("ablation", "Two trainings from one seed: the baseline, and a variant in which one thing is changed.", (
        _text("ablation", "The comparison."), _text("variant", "The variant, by the name of its trainings."), SEED,
        _error("baseline_error", "Top-1 error of the baseline.", "baseline error %"),
        _error("variant_error", "Top-1 error of the variant.", "variant error %"),
        _error("difference", "The variant's error less the baseline's.", "difference %"),
        EPOCHS, DATA, SIGNATURE,
        *_optional(
            FRAMEWORK, VARIED, IMAGES,
            _error("baseline_top5", "Top-5 error of the baseline.", "baseline top-5 %"),
            _error("variant_top5", "Top-5 error of the variant.", "variant top-5 %"),
            _text("crops", "Views of each image, of the variant and of the baseline."),
            _text("note", "What must be said beside the comparison."),
        ),
    )),
    Kind("trial", "One training of an ablation, scored.", (
        FRAMEWORK, _text("variant", "The variant; base is the network itself."), SEED, VARIED, DATA, IMAGES, EPOCHS,
        _whole("steps", "steps", "Steps that the training took."),
        WEIGHTS, FILE, SIGNATURE, CROPS, TOP1, TOP5,
    )),
    Kind("published", "One published figure, alone or beside a run's that is like it.", (
        _text("table", "The paper's table or section."),
        _text("model", "The model as its source calls it, and its data."),
        PAPER_TOP1, PAPER_TOP5,
        *(one for top in (1, 5) for one in (
            _error(f"ours_top{top}", f"The run's top-{top} error.", f"ours top-{top} %"),
            _error(f"ours_low{top}", f"Lower end of the 95 % interval of the run's top-{top} error."),
            _error(f"ours_high{top}", f"Upper end of the 95 % interval of the run's top-{top} error."),
        )),
        _text("data", "The run's images: their source and part."),
        COMPARABLE,
        _text("note", "Why the two do not compare, and what else must be said."),
        _text("run", "Which of the user's networks it is."),
        *_optional(SIGNATURE),
    )),
    *(Kind(name, f"One epoch of a training of figure 1, {which}.", (
        FRAMEWORK, _text("variant", "relu or tanh."), SEED, EPOCH,
        _error("training_error", "Top-1 error on training images after the epoch.", "training error %"),
        EPOCHS_LOSS, LEARNING_RATE, VARIED, DATA, SIGNATURE,
    )) for name, which in (
        ("training-error", "at its fastest learning rate"),
        ("training-error-tried", "at any learning rate that was tried"),
    )),
    Kind("audit", "One departure of a network from the reference; last, all that were measured at once.", (
        _text("network", "The network that was read."),
        _text("against", "The reference, by its name in `alexbench networks`."),
        _text("facet", "What departs; together: all measured departures at once."),
        _text("place", "The layers of the reference; after LAYER where it has none."),
        _text("theirs", "What the network has there."), _text("reference", "What the reference has there."),
        _text("consequence", "Its kind, from foreign layer and another function to training only and same function."),
        _whole("parameters_change", "parameters", "Parameters that the departure alone adds to the reference."),
        _whole("multiply_adds_change", "multiply-adds", "Multiply-adds of one image's forward pass that it adds."),
        _number("memory_change_mb", "MiB", "Memory for one image that it adds: outputs and weights in float32."),
        _share("logits_change", "Norm of the logits' change over their norm in the reference."),
        _number("logits_cosine", "1", "Cosine between the logits and the reference's."),
        _share("top5_kept", "Share of the reference's five most probable classes that stay among the first five."),
        _share("gradient_change", "Norm of the gradient's change over its norm in the reference."),
        _number("gradient_cosine", "1", "Cosine between the gradient and the reference's."),
        _text("why", "What the departure means."), _text("note", "Why it was not measured."),
        SIGNATURE,
    )),
)
# fmt: on

TABLES: dict[str, Kind] = {kind.name: kind for kind in _KINDS}

_TYPES: dict[Dtype, str] = {"string": "text", "Int64": "integer", "Float64": "number"}


def dtypes(kind: str, *, optional: bool = False) -> Columns:
    """Name -> type of the columns that every table of this kind has, in their order; empty for an unknown kind.

    With `optional` those too that a table has only where a row has a value of it.
    """
    known = TABLES.get(kind)
    return {} if known is None else {one.name: one.type for one in known.columns if optional or not one.optional}


def column(kind: str, name: str, **changes: Any) -> Column:
    """A stored column, for display: with another heading, format or detail, say. Raises KeyError."""
    for one in TABLES[kind].columns:
        if one.name == name:
            return replace(one, **changes)
    raise KeyError(f"no column {name!r} in table {kind!r}")


def columns(kind: str, names: Iterable[str], **changes: Any) -> list[Column]:
    """Several of them. Raises KeyError."""
    return [column(kind, name, **changes) for name in names]


def dictionary(kinds: Iterable[str]) -> list[dict[str, str]]:
    """What every column of these tables means, as it is stored: rows of table, column, type, unit and meaning.

    Before a table's columns stands what one row of it is, without a column's name. Unknown kinds are left out.
    """
    found = []
    for kind in (TABLES[name] for name in kinds if name in TABLES):
        found.append({"table": kind.name, "column": "", "type": "row", "unit": "", "meaning": kind.meaning})
        for one in kind.columns:
            described = {"type": _TYPES[one.type], "unit": one.unit, "meaning": one.meaning}
            found.append({"table": kind.name, "column": one.name, **described})
    return found
