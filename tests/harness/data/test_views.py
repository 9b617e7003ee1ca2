"""Views: the right pixels, in the right order, whatever the channels; against plain slices and Pillow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from prepared_in_memory import a_network, made

from harness.data import views
from harness.data.preprocessing import Preprocessing, Window
from harness.errors import UsageError


def nothing(channels: int = 3, side: int = 12) -> Preprocessing:
    return Preprocessing("none", side, channels)


def pillow_crop(image: np.ndarray, window: Window, height: int, width: int) -> np.ndarray:
    box = (window.left, window.top, window.left + width, window.top + height)
    crop = Image.fromarray(image).crop(box)
    return np.asarray(ImageOps.mirror(crop) if window.mirrored else crop)


@given(data=st.data())
def test_a_view_is_what_pillow_crops_and_mirrors(data: st.DataObject) -> None:
    side = data.draw(st.integers(1, 20))
    height, width = data.draw(st.integers(1, side)), data.draw(st.integers(1, side))
    window = Window(
        data.draw(st.integers(0, side - height)), data.draw(st.integers(0, side - width)), data.draw(st.booleans())
    )
    image = made(1, side).parts["train"].images[0]
    view = np.empty((height, width, 3), np.float32)
    views.cut(image, window, view)
    assert np.array_equal(view, pillow_crop(image, window, height, width))


@pytest.mark.parametrize("mirrored", [False, True])
def test_grey_and_rgb_are_made_into_each_other(mirrored: bool) -> None:
    window = Window(1, 2, mirrored)
    rgb, grey = made().parts["train"].images[0], made(channels=1).parts["train"].images[0]
    view = np.empty((8, 8, 1), np.float32)
    views.cut(rgb, window, view)
    weighted = pillow_crop(rgb, window, 8, 8) @ np.array([299, 587, 114])
    assert np.array_equal(view[..., 0], (weighted + 500) // 1000)
    view = np.empty((8, 8, 3), np.float32)
    views.cut(grey, window, view)
    expected = pillow_crop(grey[..., 0], window, 8, 8)
    assert all(np.array_equal(view[..., colour], expected) for colour in range(3))


def test_ten_views_are_the_corners_and_the_centre_then_their_mirrors() -> None:
    images = made(4).parts["train"].images
    found = views.test_views(images, a_network(8), nothing(), 10)
    assert found.shape == (4, 10, 8, 8, 3) and found.dtype == np.float32
    places = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
    for number, (mirrored, (top, left)) in enumerate(itertools.product((False, True), places)):
        window = Window(top, left, mirrored)
        expected = np.stack([pillow_crop(image, window, 8, 8) for image in images])
        assert np.array_equal(found[:, number], expected), number


def test_one_view_is_the_centre_of_the_ten() -> None:
    images = made(4).parts["train"].images
    preprocessing = Preprocessing.of(a_network(8), made())
    one, ten = (views.test_views(images, a_network(8), preprocessing, crops) for crops in (1, 10))
    assert np.array_equal(one[:, 0], ten[:, views.CENTRE])


def test_ten_crops_of_one_image_are_its_ten_views() -> None:
    image = made(1).parts["train"].images[0]
    assert np.array_equal(views.ten_crops(image, 8), views.test_views(image[None], a_network(8), nothing(), 10)[0])


def test_the_mean_follows_every_view_to_its_place() -> None:
    """Images equal to their own mean leave nothing, mirrored or not, in a corner or in the centre."""
    prepared = made(1)
    preprocessing = Preprocessing.of(a_network(8), prepared)
    assert not views.test_views(prepared.parts["train"].images, a_network(8), preprocessing, 10).any()


def test_an_input_that_is_no_square_is_cut_as_one() -> None:
    images = made(1).parts["train"].images
    found = views.test_views(images, a_network(6, 9), nothing(), 10)
    assert np.array_equal(found[0, 3], images[0, 6:, 3:])
    assert np.array_equal(found[0, 4], images[0, 3:9, 1:10])


@pytest.mark.parametrize(("side", "differing"), [(8, 2), (9, 8), (10, 10), (12, 10)])
def test_how_many_of_ten_views_differ(side: int, differing: int) -> None:
    images = made(1, side).parts["train"].images
    ten = views.test_views(images, a_network(8), nothing(side=side), 10)[0]
    assert len(np.unique(ten, axis=0)) == differing
    assert views.differing_views(side, a_network(8)) == differing


def test_images_smaller_than_the_input_name_the_option() -> None:
    images = made(1, 12).parts["train"].images
    with pytest.raises(UsageError, match=r"12x12 are smaller than the input of network 'small', 13x13: .*--side 13"):
        views.test_views(images, a_network(13), nothing(), 1)


def test_another_number_of_crops_is_refused() -> None:
    with pytest.raises(ValueError, match="crops = 5 must be 1 or 10"):
        views.test_views(made(1).parts["train"].images, a_network(8), nothing(), 5)


def test_no_image_gives_no_view() -> None:
    assert views.test_views(made(1).parts["train"].images[:0], a_network(8), nothing(), 10).shape == (0, 10, 8, 8, 3)


def test_noise_is_added_before_preprocessing_and_shrinking_comes_after() -> None:
    images = made(5).parts["train"].images
    preprocessing = Preprocessing.of(a_network(8), made(5))
    order, windows = np.array([3, 1]), [Window(0, 1, mirrored=False), Window(4, 2, mirrored=True)]
    noise = np.array([[1, 2, 3], [-4, 5, -6]], np.float32)
    found = np.empty((2, 8, 8, 3), np.float32)
    views.train_views(images, order, windows, preprocessing, found, noise, 1.1)
    for view, index, window, colour in zip(found, order, windows, noise, strict=True):
        mean = preprocessing.mean[window.top : window.top + 8, window.left : window.left + 8]
        mean = mean[:, ::-1] if window.mirrored else mean
        expected = (pillow_crop(images[index], window, 8, 8) + colour.astype(np.float64) - mean) / 1.1
        assert view == pytest.approx(expected, abs=1e-4)
