"""The published figures: looked up by what they are of, and consistent with each other."""

from __future__ import annotations

import pytest

from reports import published
from reports.published import EFFECTS, FIGURES, ILSVRC_2010, ILSVRC_2012


@pytest.mark.parametrize(
    ("network", "data", "part", "crops", "networks", "errors"),
    [
        ("paper", ILSVRC_2010, "test", 10, 1, (0.375, 0.170)),
        ("original-2012", ILSVRC_2010, "test", 1, 1, (0.390, 0.183)),
        ("paper", ILSVRC_2012, "val", 10, 1, (0.407, 0.182)),
        ("paper", ILSVRC_2012, "val", 10, 5, (0.381, 0.164)),
        ("paper", ILSVRC_2012, "test", 10, 5, (None, 0.164)),
        ("caffe", ILSVRC_2012, "val", 1, 1, (0.429, 0.198)),
        ("caffenet", ILSVRC_2012, "val", 1, 1, (0.426, 0.196)),
        ("torchvision", ILSVRC_2012, "val", 1, 1, (0.43478, 0.20934)),
    ],
)
def test_a_figure_is_found_by_what_it_is_of(
    network: str, data: str, part: str, crops: int, networks: int, errors: tuple[float | None, float]
) -> None:
    found = published.published(network, data, part, crops, networks)
    assert found is not None
    assert (found.top1_error, found.top5_error) == errors


@pytest.mark.parametrize(
    "wanted",
    [
        ("paper", ILSVRC_2012, "val", 1),  # the paper has no centre crop of 2012
        ("paper", ILSVRC_2012, "val", 10, 7),  # two of the seven were pre-trained on other images
        ("paper", ILSVRC_2010, "val", 10),
        ("caffe", ILSVRC_2012, "val", 10),
        ("cifar-4layer", ILSVRC_2012, "val", 10),
        ("", ILSVRC_2012, "val", 10),  # other people's models have no name in the catalog
        ("paper", "digits", "val", 10),
    ],
)
def test_what_was_not_published_is_not_found(wanted: tuple[str, str, str, int]) -> None:
    assert published.published(*wanted) is None


def test_no_two_figures_are_of_the_same_thing() -> None:
    keys = [(name, one.data, one.part, one.crops, one.averaged) for one in FIGURES for name in one.networks]
    assert len(keys) == len(set(keys))


def test_tables_have_their_rows_in_order() -> None:
    assert [one.model for one in published.of_table("1")] == ["Sparse coding", "SIFT + FVs", "CNN"]
    models = list(dict.fromkeys(one.model for one in published.of_table("2")))
    assert models == ["SIFT + FVs", "1 CNN", "5 CNNs", "1 CNN*", "7 CNNs*"]


def test_what_is_printed_is_what_was_logged_rounded() -> None:
    logged = [one for one in FIGURES if one.logged_top1 is not None]
    assert len(logged) == 3
    for one in logged:
        assert one.top1 is not None and one.logged_top1 is not None
        assert one.top5 is not None and one.logged_top5 is not None
        assert abs(one.top1 - one.logged_top1) <= 0.05
        assert abs(one.top5 - one.logged_top5) <= 0.05


def test_what_an_effect_adds_is_what_was_logged_rounded() -> None:
    for one in EFFECTS:
        if one.logged_top1 is not None and one.logged_top5 is not None and one.top5 is not None:
            assert abs(one.top1 - one.logged_top1) <= 0.0525
            assert abs(one.top5 - one.logged_top5) <= 0.0525


def test_ten_crops_are_worth_what_lies_between_two_figures() -> None:
    ten, one = (published.published("paper", ILSVRC_2010, "test", crops) for crops in (10, 1))
    assert ten is not None and one is not None
    effect = published.effect("ten-crops")
    assert (one.top1 or 0) - (ten.top1 or 0) == pytest.approx(effect.top1)
    assert (one.top5 or 0) - (ten.top5 or 0) == pytest.approx(effect.top5)
    assert (one.logged_top1 or 0) - (ten.logged_top1 or 0) == pytest.approx(effect.logged_top1)


def test_accuracies_and_errors_of_a_note_add_up() -> None:
    for one in FIGURES:
        if one.note.startswith("accuracy"):
            top1, top5 = (float(word) for word in one.note.removesuffix("%").split() if word[0].isdigit())
            assert (one.top1 or 0) + top1 == pytest.approx(100)
            assert (one.top5 or 0) + top5 == pytest.approx(100)


def test_an_unknown_effect_names_those_there_are() -> None:
    with pytest.raises(KeyError, match="lrn"):
        published.effect("nothing")


@pytest.mark.parametrize(
    ("source", "edition"),
    [
        ("imagenet-2012", ILSVRC_2012),
        ("imagenet:/data/ILSVRC2010", ILSVRC_2010),
        ("imagenet", ""),
        ("imagenet-2010-2012", ""),
        ("imagefolder:2012", ""),
        ("digits", ""),
    ],
)
def test_an_edition_is_read_from_a_sources_name(source: str, edition: str) -> None:
    assert published.edition(source) == edition


def test_every_figure_says_where_it_stands() -> None:
    assert all(one.source for one in (*FIGURES, *EFFECTS))
    assert all(one.images in (50_000, 100_000, 150_000) for one in FIGURES)
