"""The figures that others published, each with where it stands; errors in percent as printed, as shares where asked.

References:
    paper: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural networks",
    NIPS 2012. 2012 source: github.com/computerhistory/AlexNet-Source-Code, whose files hold the author's own training
    logs. Caffe: models/bvlc_alexnet/readme.md and models/bvlc_reference_caffenet/readme.md. torchvision: the
    documentation of `AlexNet_Weights.IMAGENET1K_V1`.

"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Table = Literal["1", "2", ""]

ILSVRC_2010, ILSVRC_2012 = "ILSVRC-2010", "ILSVRC-2012"
TEST_IMAGES = {(ILSVRC_2010, "test"): 150_000, (ILSVRC_2012, "val"): 50_000, (ILSVRC_2012, "test"): 100_000}
DAGGER = "pre-trained on ImageNet 2011 Fall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One model's error on one set of images."""

    model: str  # as its source calls it
    data: str
    part: str
    source: str
    top1: float | None = None  # percent
    top5: float | None = None
    logged_top1: float | None = None  # percent, from the logs of the 2012 source
    logged_top5: float | None = None
    networks: tuple[str, ...] = ()  # of the catalog, that this is the figure of; none for other people's models
    crops: int | None = None
    averaged: int = 1  # networks whose outputs are averaged
    table: Table = ""  # of the paper, that it stands in
    note: str = ""

    @property
    def images(self) -> int:
        """Images of that part of that data set."""
        return TEST_IMAGES[self.data, self.part]

    @property
    def top1_error(self) -> float | None:
        """As a share of 1."""
        return _share(self.top1)

    @property
    def top5_error(self) -> float | None:
        """As a share of 1."""
        return _share(self.top5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What leaving a part of the network or of its training out adds to the error, in points of percent."""

    name: str
    without: str  # what is left out
    source: str
    top1: float
    top5: float | None = None
    logged_top1: float | None = None
    logged_top5: float | None = None
    data: str = ""  # empty where the source does not name it
    part: str = ""
    at_least: bool = False  # "over 1 %"
    note: str = ""


# The paper's own network has its text, and the source it was trained with; the two differ in details.
_OURS = ("paper", "original-2012")

# In the order of the paper's tables, then what stands in its text, then what others published of their weights.
FIGURES: tuple[Published, ...] = (
    Published(
        model="Sparse coding", data=ILSVRC_2010, part="test", top1=47.1, top5=28.2, table="1", source="paper, table 1"
    ),
    Published(
        model="SIFT + FVs", data=ILSVRC_2010, part="test", top1=45.7, top5=25.7, table="1", source="paper, table 1"
    ),
    Published(
        model="CNN", networks=_OURS, data=ILSVRC_2010, part="test", crops=10, top1=37.5, top5=17.0,
        logged_top1=37.473, logged_top5=16.999, table="1", source="paper, table 1",
    ),
    Published(model="SIFT + FVs", data=ILSVRC_2012, part="test", top5=26.2, table="2", source="paper, table 2"),
    Published(
        model="1 CNN", networks=_OURS, data=ILSVRC_2012, part="val", crops=10, top1=40.7, top5=18.2,
        logged_top1=40.664, logged_top5=18.210, table="2", source="paper, table 2",
    ),
    Published(
        model="5 CNNs", networks=_OURS, data=ILSVRC_2012, part="val", crops=10, averaged=5, top1=38.1, top5=16.4,
        table="2", source="paper, table 2",
    ),
    Published(
        model="5 CNNs", networks=_OURS, data=ILSVRC_2012, part="test", crops=10, averaged=5, top5=16.4, table="2",
        source="paper, table 2",
    ),
    Published(
        model="1 CNN*", data=ILSVRC_2012, part="val", crops=10, top1=39.0, top5=16.6, table="2",
        source="paper, table 2", note=f"a sixth convolutional layer, {DAGGER}",
    ),
    Published(
        model="7 CNNs*", data=ILSVRC_2012, part="val", crops=10, averaged=7, top1=36.7, top5=15.4, table="2",
        source="paper, table 2", note=f"five CNNs and two {DAGGER}",
    ),
    Published(
        model="7 CNNs*", data=ILSVRC_2012, part="test", crops=10, averaged=7, top5=15.3, table="2",
        source="paper, table 2", note=f"five CNNs and two {DAGGER}",
    ),
    Published(
        model="CNN, centre crop", networks=_OURS, data=ILSVRC_2010, part="test", crops=1, top1=39.0, top5=18.3,
        logged_top1=39.025, logged_top5=18.295, source="paper, section 4.1",
    ),
    Published(
        model="Caffe AlexNet", networks=("caffe",), data=ILSVRC_2012, part="val", crops=1, top1=42.9, top5=19.8,
        source="Caffe, models/bvlc_alexnet/readme.md", note="accuracy 57.1 and 80.2 %",
    ),
    Published(
        model="CaffeNet", networks=("caffenet",), data=ILSVRC_2012, part="val", crops=1, top1=42.6, top5=19.6,
        source="Caffe, models/bvlc_reference_caffenet/readme.md", note="accuracy 57.4 and 80.4 %",
    ),
    Published(
        model="torchvision AlexNet", networks=("torchvision",), data=ILSVRC_2012, part="val", crops=1, top1=43.478,
        top5=20.934, source="torchvision, AlexNet_Weights.IMAGENET1K_V1", note="accuracy 56.522 and 79.066 %",
    ),
)  # fmt: skip

# The paper does not name the data of its sections 3.2 to 3.4; the logs of the net without normalisation are of 2012's.
EFFECTS: tuple[Effect, ...] = (
    Effect(
        name="lrn", without="local response normalisation", top1=1.4, top5=1.2, logged_top1=1.37, logged_top5=1.15,
        data=ILSVRC_2012, part="val", source="paper, section 3.3",
    ),
    Effect(
        name="overlapping-pooling", without="overlapping pooling (3x3 windows at stride 2; 2x2 instead)", top1=0.4,
        top5=0.3, logged_top1=0.39, logged_top5=0.30, source="paper, section 3.4",
    ),
    Effect(
        name="two-towers", without="one of the two towers", top1=1.7, top5=1.2, logged_top1=1.70, logged_top5=1.23,
        source="paper, section 3.2", note="that net has as many kernels in the last convolutional layer as both towers",
    ),
    Effect(
        name="colour-noise", without="noise along the principal components of colour", top1=1.0, at_least=True,
        source="paper, section 4.1",
    ),
    Effect(
        name="ten-crops", without="ten crops (the centre crop alone)", top1=1.5, top5=1.3, logged_top1=1.552,
        logged_top5=1.296, data=ILSVRC_2010, part="test", source="paper, section 4.1 beside table 1",
    ),
)  # fmt: skip


def published(network: str, data: str, part: str, crops: int, networks: int = 1) -> Published | None:
    """The published figure of the catalog's `network` on a whole part of `data`, or None.

    `data` is ILSVRC_2010 or ILSVRC_2012, `part` val or test, `crops` the views of each image, `networks` how many were
    averaged. Whether all of the part's images were scored is the caller's to say: compare with `.images`.
    """
    for one in FIGURES:
        here = (one.data, one.part, one.crops, one.averaged)
        if network in one.networks and here == (data, part, crops, networks):
            return one
    return None


def of_table(table: Table) -> tuple[Published, ...]:
    """The rows of the paper's Table 1 or 2, in its order; one row per part, where the paper has a column for each."""
    return tuple(one for one in FIGURES if one.table == table)


def effect(name: str) -> Effect:
    """The effect called `name`. Raises KeyError."""
    for one in EFFECTS:
        if one.name == name:
            return one
    raise KeyError(f"no published effect {name!r}; there are {', '.join(_names(EFFECTS))}")


def edition(source: str) -> str:
    """ILSVRC_2010 or ILSVRC_2012 where a text such as `imagenet-2012` or `ILSVRC2010` names one, else empty."""
    said = source.lower()
    if "imagenet" not in said and "ilsvrc" not in said:
        return ""
    years = [year for year in (ILSVRC_2010, ILSVRC_2012) if year[-4:] in said]
    return years[0] if len(years) == 1 else ""


def _names(effects: Sequence[Effect]) -> list[str]:
    return [one.name for one in effects]


def _share(percent: float | None) -> float | None:
    return None if percent is None else round(percent / 100, 6)
