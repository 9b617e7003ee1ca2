"""Colours: exact luma, and noise along the principal components of the data's colours."""

from __future__ import annotations

import numpy as np
import pytest
from prepared_in_memory import made

from harness.data import colours
from harness.errors import UsageError

EVERY_BYTE = np.arange(256, dtype=np.uint8)


def test_luma_is_rounded_half_up_from_thousandths() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20_000, 3), dtype=np.uint8)
    assert (pixels @ np.array([299, 587, 114]) % 1000 == 500).any()
    expected = [(299 * red + 587 * green + 114 * blue + 500) // 1000 for red, green, blue in pixels.tolist()]
    assert colours.luma(pixels)[:, 0].tolist() == expected


def test_grey_made_rgb_and_back_is_the_same_grey() -> None:
    grey = EVERY_BYTE.reshape(16, 16, 1)
    rgb = colours.pixels_in(grey, 3)
    assert rgb.shape == (16, 16, 3)
    assert np.array_equal(colours.pixels_in(rgb, 1), grey)


def test_a_mean_is_converted_as_pixels_are_but_not_rounded() -> None:
    rgb = np.stack(np.meshgrid(EVERY_BYTE[::15], EVERY_BYTE[::17], EVERY_BYTE[::51]), axis=-1)
    grey = colours.values_in(rgb.astype(np.float32), 1)
    assert grey.dtype == np.float32
    assert np.array_equal(np.floor(grey.astype(np.float64) + 0.5 + 1e-4).astype(np.uint8), colours.luma(rgb))
    assert np.array_equal(colours.values_in(grey, 3), np.repeat(grey, 3, axis=-1))


@pytest.mark.parametrize(("found", "wanted"), [(2, 3), (4, 1), (3, 2)])
def test_other_channels_are_refused(found: int, wanted: int) -> None:
    with pytest.raises(UsageError, match=f"images of {found} channels cannot be made into {wanted}"):
        colours.pixels_in(np.zeros((2, 2, found), np.uint8), wanted)


def test_the_papers_noise_is_alpha_times_eigenvalue_along_the_eigenvectors_in_units_of_one() -> None:
    prepared = made()
    normals = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    of_one = np.array(prepared.eigenvalues) / 255**2
    expected = (normals.astype(np.float64) * 0.1 * of_one) @ prepared.eigenvectors.T * 255
    assert colours.noise("paper", prepared, 3, normals) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_2012_sources_noise_is_a_tenth_of_the_colours_own_spread() -> None:
    prepared = made()
    normals = np.random.default_rng(0).standard_normal((100_000, 3)).astype(np.float32)
    found = colours.noise("original-2012", prepared, 3, normals).astype(np.float64)
    expected = prepared.eigenvectors @ np.diag(prepared.eigenvalues) @ prepared.eigenvectors.T / 100
    assert np.cov(found.T) == pytest.approx(expected, abs=0.02 * prepared.eigenvalues[0] / 100)
    one = normals[0].astype(np.float64) * np.sqrt(prepared.eigenvalues) * 0.1
    assert found[0] == pytest.approx(prepared.eigenvectors @ one, rel=1e-5)


def test_noise_of_rgb_data_reaches_a_grey_network_as_its_luma() -> None:
    prepared = made()
    normals = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    rgb = colours.noise("original-2012", prepared, 3, normals)
    assert colours.noise("original-2012", prepared, 1, normals)[:, 0] == pytest.approx(rgb @ [0.299, 0.587, 0.114])


def test_noise_of_grey_data_is_the_same_in_all_three_colours() -> None:
    noise = colours.noise("original-2012", made(channels=1), 3, np.ones((2, 1), np.float32))
    assert noise.shape == (2, 3)
    assert np.abs(noise) == pytest.approx(0.1 * np.sqrt(5000.0))


def test_an_eigenvalue_below_zero_by_rounding_makes_no_nan() -> None:
    prepared = made()
    prepared.eigenvalues[2] = -1e-12
    assert np.isfinite(colours.noise("original-2012", prepared, 3, np.ones((1, 3), np.float32))).all()
