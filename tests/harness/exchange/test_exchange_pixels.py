"""What is recorded of an imported file's way with pixels, and that the views `evaluate` makes follow it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.preprocessing import Preprocessing, Window
from harness.errors import UsageError
from harness.exchange.foreign import ForeignWeights
from harness.exchange.pixels import CAFFE_MEAN, Recorded, recorded
from impls import catalog, reading
from impls.spec import Network

FILE = ForeignWeights(path=Path("theirs.bin"), format="test", layers=(), flatten="hwc")
CAFFE, TORCHVISION, ORIGINAL = (catalog.get(name) for name in ("caffe", "torchvision", "original-2012"))


def mean_image(side: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(80, 160, (side, side, 3)).astype(np.float32)


def applied(found: Recorded, network: Network, top: int = 0, left: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A view of whole numbers, before and after."""
    view = np.random.default_rng(4).integers(0, 256, (network.height, network.width, 3)).astype(np.float32)
    assert found.text is not None
    changed = view.copy()
    Preprocessing.from_text(found.text).apply(changed, Window(top, left))
    return view, changed


def test_caffes_files_are_fed_bytes_minus_the_mean_colour_in_red_green_blue() -> None:
    found = recorded(replace(FILE, inputs="caffe"), CAFFE, None, None)
    before, after = applied(found, CAFFE)
    assert np.array_equal(after, before - np.array(CAFFE_MEAN, np.float32))
    assert CAFFE_MEAN[0] > CAFFE_MEAN[2]  # ImageNet is redder than blue: the published BGR numbers ascend
    assert "122.68, 116.67, 104.01" in found.said


def test_a_mean_image_is_cut_where_the_crop_was_cut() -> None:
    mean = mean_image(256)
    found = recorded(replace(FILE, inputs="caffe"), CAFFE, None, mean)
    before, after = applied(found, CAFFE, top=7, left=29)
    assert np.array_equal(after, before - mean[7:234, 29:256])


def test_the_2012_sources_checkpoints_subtract_the_centre_of_the_mean_image() -> None:
    mean = mean_image(256)
    found = recorded(replace(FILE, inputs="convnet"), ORIGINAL, None, mean)
    before, after = applied(found, ORIGINAL, top=32, left=0)
    assert np.array_equal(after, before - mean[16:240, 16:240])


def test_torchvisions_files_are_scaled_and_standardised() -> None:
    found = recorded(replace(FILE, inputs="torchvision"), TORCHVISION, None, None)
    before, after = applied(found, TORCHVISION)
    wanted = (before / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(after, wanted, atol=1e-5)


def test_what_the_file_carries_stands_and_what_the_user_says_stands_above_it() -> None:
    text = Preprocessing("unit-scale", 256, 3).to_text()
    carried = replace(FILE, preprocessing=text, inputs="caffe")
    assert recorded(carried, CAFFE, None, None).text == text
    asked = recorded(carried, CAFFE, "per-image-standard", None).text
    assert asked is not None and Preprocessing.from_text(asked).kind == "per-image-standard"
    meant = recorded(carried, CAFFE, None, np.full((1, 1, 3), 100, np.float32)).text
    assert meant is not None and Preprocessing.from_text(meant).kind == "mean-colour"


def test_the_structure_of_a_file_may_tell_it() -> None:
    told = replace(FILE, reading=replace(reading.of_network(CAFFE), preprocessing="unit-scale"))
    found = recorded(told, CAFFE, None, None).text
    assert found is not None and Preprocessing.from_text(found).kind == "unit-scale"


def test_a_mean_that_nobody_gave_is_not_made_up() -> None:
    for network in (CAFFE, ORIGINAL):
        found = recorded(FILE, network, None, None)
        assert found.text is None
        assert "--mean" in found.said and network.preprocessing in found.said
    with pytest.raises(UsageError, match="needs the mean image: pass --mean"):
        recorded(FILE, CAFFE, "mean-image", None)


def test_means_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="200x200 pixels: expected a square of at least 227"):
        recorded(FILE, CAFFE, "mean-image", mean_image(200))
    with pytest.raises(UsageError, match="expected a square"):
        recorded(FILE, CAFFE, None, mean_image(256)[:250])
    with pytest.raises(UsageError, match="'unit-scale' subtracts none"):
        recorded(FILE, CAFFE, "unit-scale", mean_image(256))
    with pytest.raises(UsageError, match="takes 1 channel"):
        recorded(FILE, catalog.get("note-001"), None, mean_image(256))


def test_damaged_text_of_a_file_is_refused() -> None:
    with pytest.raises(UsageError, match="damaged"):
        recorded(replace(FILE, preprocessing='{"format": 1, "kind": "magic"}'), CAFFE, None, None)
    wrong = Preprocessing("unit-scale", 256, 1).to_text()
    with pytest.raises(UsageError, match="for 1 channels"):
        recorded(replace(FILE, preprocessing=wrong), CAFFE, None, None)
