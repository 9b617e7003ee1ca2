"""Preprocessing: each kind against its plain formula, and as a text that travels with the weights."""

from __future__ import annotations

import base64
import json
import math
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepared_in_memory import a_network, made

from harness.data.preprocessing import Preprocessing, Window, standardize
from harness.errors import UsageError
from impls.spec import Preprocessing as Kind

KINDS = get_args(Kind)
CROP = np.random.default_rng(5).integers(0, 256, (8, 8, 3)).astype(np.float32)
WINDOW = Window(3, 1, mirrored=False)


def applied(kind: str, window: Window = WINDOW, crop: np.ndarray = CROP, **data: int) -> np.ndarray:
    view = crop.copy()
    network = a_network(preprocessing=kind, channels=crop.shape[2])
    Preprocessing.of(network, made(**data)).apply(view, window)
    return view


def test_the_mean_image_is_cut_where_the_crop_was_cut() -> None:
    assert np.array_equal(applied("mean-image"), CROP - made().mean[3:11, 1:9])


def test_the_mean_image_is_mirrored_with_the_crop() -> None:
    mirrored = applied("mean-image", Window(3, 1, mirrored=True), crop=CROP[:, ::-1])
    assert np.array_equal(mirrored, applied("mean-image")[:, ::-1])


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_centre_of_the_mean_image_is_the_same_for_every_window(mirrored: bool) -> None:
    """As in the 2012 source, which mirrors a crop before it subtracts: the mean is not mirrored."""
    found = applied("mean-image-centre", Window(4, 0, mirrored))
    assert np.array_equal(found, CROP - made().mean[2:10, 2:10])


def test_the_mean_colour_is_that_of_the_mean_image() -> None:
    colour = made().mean.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    assert applied("mean-colour") == pytest.approx(CROP - colour, rel=1e-6)


def test_mean_and_std_are_torchvisions() -> None:
    """torchvision.transforms.ToTensor and Normalize, in float32 and in their order: equal to the last bit."""
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    assert np.array_equal(applied("mean-and-std"), (CROP / np.float32(255) - mean) / std)


def test_unit_scale_divides_by_255() -> None:
    assert np.array_equal(applied("unit-scale"), CROP / np.float32(255))


def test_none_does_nothing() -> None:
    assert np.array_equal(applied("none"), CROP)


def test_per_image_standard_is_tensorflows() -> None:
    exact = CROP.astype(np.float64)
    assert applied("per-image-standard") == pytest.approx((exact - exact.mean()) / exact.std(), rel=1e-5, abs=1e-6)


def test_a_flat_image_is_divided_by_tensorflows_floor() -> None:
    flat = np.full((4, 5, 3), 77, np.float32)
    standardize(flat)
    assert np.array_equal(flat, np.zeros_like(flat))
    nearly = np.zeros((4, 5, 3), np.float32)
    nearly[0, 0, 0] = 0.5  # standard deviation 0.064, below the floor 1 / sqrt(60) = 0.129
    standardize(nearly)
    assert nearly[0, 0, 0] == pytest.approx((0.5 - 0.5 / 60) * math.sqrt(60), rel=1e-6)


def test_a_grey_network_gets_the_luma_of_an_rgb_mean() -> None:
    grey = CROP[..., :1]
    red, green, blue = np.moveaxis(made().mean[3:11, 1:9].astype(np.float64), -1, 0)
    luma = (0.299 * red + 0.587 * green + 0.114 * blue)[..., np.newaxis]
    assert applied("mean-image", crop=grey) == pytest.approx(grey - luma, rel=1e-5, abs=1e-4)


def test_an_rgb_network_gets_a_grey_mean_three_times() -> None:
    assert np.array_equal(applied("mean-image", channels=1), CROP - made(channels=1).mean[3:11, 1:9])


def test_a_view_that_cannot_be_changed_in_place_is_refused() -> None:
    view = np.asfortranarray(CROP)
    with pytest.raises(ValueError, match="copy"):
        Preprocessing.of(a_network(preprocessing="mean-colour"), made()).apply(view, WINDOW)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_text_gives_the_same_preprocessing_back(kind: Any, channels: int) -> None:
    before = Preprocessing.of(a_network(preprocessing=kind, channels=channels), made())
    after = Preprocessing.from_text(before.to_text())
    assert (after.kind, after.side, after.channels) == (kind, 12, channels)
    crop = CROP[..., :channels]
    views = [crop.copy(), crop.copy()]
    for preprocessing, view in zip((before, after), views, strict=True):
        preprocessing.apply(view, Window(1, 2, mirrored=True))
    assert np.array_equal(*views)


def test_only_as_much_of_the_mean_travels_as_is_needed() -> None:
    shapes = {}
    for kind in KINDS:
        mean = Preprocessing.of(a_network(preprocessing=kind), made()).mean
        shapes[kind] = None if mean is None else mean.shape
    assert shapes == {
        "mean-image": (12, 12, 3),
        "mean-image-centre": (8, 8, 3),
        "mean-colour": (1, 1, 3),
        "mean-and-std": None,
        "per-image-standard": None,
        "unit-scale": None,
        "none": None,
    }


def a_text(**changes: Any) -> str:
    facts = json.loads(Preprocessing.of(a_network(preprocessing="mean-colour"), made()).to_text())
    return json.dumps({**facts, **changes})


def a_mean(shape: Any, *values: float) -> dict[str, Any]:
    return {"shape": shape, "float32": base64.b64encode(np.array(values, "<f4").tobytes()).decode()}


HOSTILE = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[]",
    "a deep list": "[" * 100_000,
    "another version": a_text(format=2),
    "another kind": a_text(kind="mean"),
    "a kind that is a list": a_text(kind=["mean-colour"]),
    "side 0": a_text(side=0),
    "side as text": a_text(side="12"),
    "side true": a_text(side=True),
    "a huge side": a_text(side=10**9),
    "two channels": a_text(channels=2),
    "channels 3.0": a_text(channels=3.0),
    "no mean": a_text(mean=None),
    "a mean where none belongs": a_text(kind="none"),
    "a mean of another shape": a_text(mean=a_mean([1, 3, 1], 1, 2, 3)),
    "fewer bytes than its shape": a_text(mean=a_mean([1, 1, 3], 1, 2)),
    "an enormous shape": a_text(mean=a_mean([4096, 4096, 4096], 1, 2, 3)),
    "a negative shape": a_text(mean=a_mean([-1, -1, 3], 1, 2, 3)),
    "a shape that is no list": a_text(mean=a_mean(3, 1, 2, 3)),
    "NaN": a_text(mean=a_mean([1, 1, 3], 1, 2, math.nan)),
    "no base64": a_text(mean={"shape": [1, 1, 3], "float32": "?" * 16}),
    "base64 of letters beyond ASCII": a_text(mean={"shape": [1, 1, 3], "float32": "é" * 16}),
    "a mean that is a list": a_text(mean=[1, 2, 3]),
    "a mean image of another side": a_text(kind="mean-image"),
    "a centre larger than the image": a_text(kind="mean-image-centre", side=1, mean=a_mean([1, 2, 3], *range(6))),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_text_from_elsewhere_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="the weights' preprocessing is damaged") as caught:
        Preprocessing.from_text(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_text_that_no_header_could_hold_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.data.preprocessing.MOST_TEXT", 100)
    with pytest.raises(UsageError, match="characters, over 100"):
        Preprocessing.from_text(a_text())


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_whatever_stands_in_its_fields_is_refused_or_right(value: Any) -> None:
    for field in ("format", "kind", "side", "channels", "mean"):
        try:
            found = Preprocessing.from_text(a_text(**{field: value}))
        except UsageError:
            continue
        assert found.kind in KINDS and found.side >= 1 and found.channels in (1, 3)


def test_a_mean_image_of_another_side_names_the_side_to_prepare() -> None:
    with pytest.raises(UsageError, match=r"mean image is of side 12, the data's images of 16: .*--side 12"):
        Preprocessing.of(a_network(), made()).check(a_network(), 16)


def test_a_mean_of_other_channels_or_inputs_is_refused() -> None:
    with pytest.raises(UsageError, match="is for 3 channels, network 'small' takes 1"):
        Preprocessing.of(a_network(), made()).check(a_network(channels=1), 12)
    centre = Preprocessing.of(a_network(preprocessing="mean-image-centre"), made())
    with pytest.raises(UsageError, match="mean image is 8x8x3, network 'small' takes 7x7"):
        centre.check(a_network(7), 12)


def test_images_smaller_than_the_input_have_no_centre_of_a_mean() -> None:
    with pytest.raises(UsageError, match=r"12x12 are smaller than .* 13x13: .*--side 13"):
        Preprocessing.of(a_network(13, preprocessing="mean-image-centre"), made())
