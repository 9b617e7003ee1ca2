"""One decoder and one resizer: every kind of image gives the right pixels, every bad one a line that says why."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from harness.data import images
from harness.data.images import ImageError
from impls import catalog

RED, GREY = (200, 30, 60), 180


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    """uint8 [H, W, 3], different in every corner and channel."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) * 2], axis=-1).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds nothing."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0\0\0\x10IDATx"
    )


def test_the_sample_photographs_are_found_without_importing_scikit_learn() -> None:
    paths = images.photographs()
    assert [path.name for path in paths] == ["china.jpg", "flower.jpg"]
    assert images.load(paths[0]).shape == (427, 640, 3)
    assert "sklearn" not in sys.modules


def test_missing_photographs_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImageError, match="pip install scikit-learn, or pass --images"):
        images.photographs()


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm"])
def test_colours_come_back_unchanged(tmp_path: Path, suffix: str) -> None:
    pixels = gradient()
    loaded = images.load(save(tmp_path / f"a.{suffix}", pixels))
    assert loaded.dtype == np.uint8
    assert np.array_equal(loaded, pixels)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    pixels = gradient()[..., 0]
    loaded = images.load(save(tmp_path / "a.png", pixels))
    assert np.array_equal(loaded, np.repeat(pixels[..., None], 3, axis=2))


def test_black_and_white_becomes_0_and_255(tmp_path: Path) -> None:
    loaded = images.load(save(tmp_path / "a.png", gradient(), "1"))
    assert set(np.unique(loaded)) == {0, 255}


def test_a_palette_gives_its_colours(tmp_path: Path) -> None:
    pixels = np.full((10, 12, 3), RED, np.uint8)
    Image.fromarray(pixels).quantize(4).save(tmp_path / "a.png")
    assert np.array_equal(images.load(tmp_path / "a.png"), pixels)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), RED, np.uint8)
    loaded = images.load(save(tmp_path / "a.jpg", pixels, "CMYK", quality=100))
    assert np.abs(loaded.astype(int) - RED).max() <= 3


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    pixels = np.linspace(0, 65535, 160).astype(np.uint16).reshape(10, 16)
    for name in ("a.png", "a.tif"):
        loaded = images.load(save(tmp_path / name, pixels))
        assert np.array_equal(loaded[..., 1], np.round(pixels / 257))


def test_a_sixteen_bit_pgm_is_scaled(tmp_path: Path) -> None:
    pixels = np.linspace(0, 65535, 160).astype(">u2").reshape(10, 16)
    (tmp_path / "a.pgm").write_bytes(b"P5 16 10 65535\n" + pixels.tobytes())
    assert np.array_equal(images.load(tmp_path / "a.pgm")[..., 0], np.round(pixels / 257))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_thirty_two_bit_pixels_are_refused(tmp_path: Path, dtype: type) -> None:
    path = save(tmp_path / "a.tif", np.full((10, 10), 7, dtype))
    with pytest.raises(ImageError, match=r"32-bit pixels .* convert it to 8 or 16 bits"):
        images.load(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_composited_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (10, 12), (0, 0, 0, 51)).convert(mode)
    image.putpixel((0, 0), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    image.save(tmp_path / "a.png")
    loaded = images.load(tmp_path / "a.png")
    assert loaded[0, 0].tolist() == [255, 255, 255]
    assert loaded[5, 5].tolist() == [204, 204, 204]


def test_a_transparent_palette_colour_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (10, 10), 0)
    image.putpalette([*RED, 0, 255, 0])
    image.putpixel((3, 3), 1)
    image.save(tmp_path / "a.png", transparency=0)
    loaded = images.load(tmp_path / "a.png")
    assert loaded[0, 0].tolist() == [255, 255, 255]
    assert loaded[3, 3].tolist() == [0, 255, 0]


@pytest.mark.parametrize(("orientation", "turned"), [(3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1))])
def test_exif_orientation_turns_the_image_upright(tmp_path: Path, orientation: int, turned: object) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = gradient()
    loaded = images.load(save(tmp_path / "a.png", pixels, exif=exif))
    assert np.array_equal(loaded, turned(pixels))  # type: ignore[operator]


def test_a_panorama_30000_pixels_wide_is_taken(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.tile(gradient(20, 100), (1, 300, 1)))
    pixels = images.load(path)
    assert pixels.shape == (20, 30_000, 3)
    assert images.resize_and_crop(pixels, 256).shape == (256, 256, 3)


def jpeg_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(gradient(200, 200)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "is not an image that Pillow can read"),
        (b"", "is not an image that Pillow can read"),
        (jpeg_bytes()[: len(jpeg_bytes()) // 2], "is damaged or truncated"),
        (jpeg_bytes()[:100], "is (damaged or truncated|not an image)"),
        (png_header(200, 200), "is damaged or truncated"),
        (png_header(20_000, 6_000), "is 20000x6000 pixels: resize it to at most 100,000,000 pixels"),
        (png_header(100_000, 100_000), "is too large .*: resize it to at most 100,000,000 pixels"),
        (png_header(1, 1), "is 1x1 pixels: the shorter side must be at least 8"),
        (png_header(7, 900), "is 7x900 pixels: the shorter side must be at least 8"),
    ],
    ids=["text", "empty", "half", "stump", "no pixels", "120 megapixels", "bomb", "1x1", "7x900"],
)
def test_a_bad_image_is_refused_in_one_line_that_names_it(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        images.load(path)
    assert "\n" not in str(caught.value)
    assert "bad.png" in str(caught.value)


@pytest.mark.parametrize("form", ["EPS", "PDF", "TGA", "DDS", "PCX", "ICO", "SGI"])
def test_only_formats_that_are_known_are_opened_whatever_a_file_is_called(tmp_path, monkeypatch, form):
    stream = io.BytesIO()
    Image.fromarray(gradient()).save(stream, form)
    started: list[object] = []
    for name in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, lambda *arguments, **_: started.append(arguments))
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "/bin/false")  # as if Ghostscript were there
    for file in (tmp_path / "photo.jpg", tmp_path / f"photo.{form.lower()}"):
        file.write_bytes(stream.getvalue())
        with pytest.raises(ImageError, match=r"photo.* is not an image that Pillow can read: pass one of JPEG, PNG, "):
            images.load(file)
        with pytest.raises(ImageError, match="is not an image that Pillow can read"):
            images.decode(file, stream.getvalue())
    assert not started


def test_an_image_with_ghostscript_at_hand_would_start_it_without_the_list(tmp_path, monkeypatch):
    Image.fromarray(gradient()).save(tmp_path / "photo.jpg", "EPS")
    started: list[object] = []
    monkeypatch.setattr(subprocess, "check_call", lambda *arguments, **_: started.append(arguments))
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "/bin/false")
    with contextlib.suppress(Exception), Image.open(tmp_path / "photo.jpg") as image:
        image.load()
    assert started  # so the test above would have seen it


def test_the_endings_are_those_that_pillow_has_for_the_formats():
    Image.init()
    known = {form: {end for end, of in Image.registered_extensions().items() if of == form} for form in images.FORMATS}
    known["JPEG"] |= {".mpo"}
    for form in known.keys() & set(Image.OPEN):
        assert set(images.FORMATS[form]) == known[form]


def test_no_other_place_opens_images():
    root = Path(images.__file__).parents[2]
    found = [
        path.relative_to(root).as_posix()
        for folder in ("harness", "impls", "reports")
        for path in (root / folder).rglob("*.py")
        if re.search(r"\bImage\.open\(|\bimread\(|imageio|\bcv2\b", path.read_text(encoding="utf-8"))
    ]
    # A page looks whether a picture of the run is a PNG of bounded size; the browser shows it.
    assert sorted(found) == ["harness/data/images.py", "reports/render/html.py"]


def test_a_folder_of_photographs_leaves_out_what_is_hidden_or_a_systems_own(tmp_path):
    for name in ("b.jfif", "a.jpg", ".c.jpg", "._a.jpg", "note.txt"):
        save(tmp_path / "one.jpg", gradient()).rename(tmp_path / name)
    assert [path.name for path in images.expand([tmp_path])] == ["a.jpg", "b.jfif"]


def test_a_pipe_is_no_image_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(images.ImageError, match=r"a\.png' is no regular file"):
        images.load(tmp_path / "a.png")


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot read image '.*none.png': No such file or directory"):
        images.load(tmp_path / "none.png")


def test_damage_anywhere_in_a_file_never_raises_anything_else(tmp_path: Path) -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    path = tmp_path / "a"
    for form in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"):
        buffer = io.BytesIO()
        Image.fromarray(gradient()).save(buffer, form)
        for _ in range(60):
            raw = bytearray(buffer.getvalue())
            for place in generator.integers(0, len(raw), size=6):
                raw[place] = generator.integers(0, 256)
            path.write_bytes(raw[: generator.integers(1, len(raw) + 1)])
            with contextlib.suppress(ImageError):
                assert images.load(path).ndim == 3


def test_the_shorter_side_is_scaled_and_the_centre_kept() -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = 255
    assert (images.resize_and_crop(pixels, 50) == 255).sum() >= 50 * 48 * 3
    assert images.resize_and_crop(pixels.transpose(1, 0, 2), 50).mean() > 240


def test_a_square_of_the_right_side_is_unchanged() -> None:
    pixels = gradient(64, 64)
    assert np.array_equal(images.resize_and_crop(pixels, 64), pixels)


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    small = images.resize_and_crop(stripes, 64)
    assert abs(small[8:-8, 8:-8].astype(int) - 127).max() <= 2


def test_ten_crops_are_the_corners_and_the_centre_then_their_mirrors() -> None:
    pixels = gradient(10, 12)
    crops = images.ten_crops(pixels, 6)
    expected = [pixels[:6, :6], pixels[:6, 6:], pixels[4:, :6], pixels[4:, 6:], pixels[2:8, 3:9]]
    assert crops.shape == (10, 6, 6, 3)
    assert np.array_equal(crops[:5], expected)
    assert np.array_equal(crops[5:], [crop[:, ::-1] for crop in expected])


def test_a_crop_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="an image of 12x10 pixels has no crop of 11x11"):
        images.ten_crops(gradient(10, 12), 11)


@pytest.mark.parametrize(("side", "resized"), [(224, 256), (227, 256), (32, 37), (256, 293)])
def test_photographs_are_resized_to_eight_sevenths_of_the_input(side: int, resized: int) -> None:
    assert images.resized_side(side) == resized


def test_parity_inputs_are_ten_views_of_each_photograph_minus_the_mean() -> None:
    inputs = images.parity_inputs(images.photographs(), catalog.PAPER)
    assert inputs.images.shape == (20, 224, 224, 3)
    assert inputs.images.dtype == np.float32
    assert inputs.centres == (4, 14)
    assert inputs.names[4] == "china.jpg centre"
    assert inputs.names[19] == "flower.jpg centre mirrored"
    pixels = images.resize_and_crop(images.load(images.photographs()[1]), 256)[16:240, 16:240]
    assert np.array_equal(inputs.images[14] + np.array(images.MEAN_COLOUR, np.float32), pixels)


def test_a_grey_network_gets_the_luma(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((300, 300, 3), RED, np.uint8))
    inputs = images.parity_inputs([path], catalog.NOTE_001)
    assert inputs.images.shape == (10, 224, 224, 1)
    assert np.unique(inputs.images).tolist() == [round(0.299 * 200 + 0.587 * 30 + 0.114 * 60) - images.MEAN_LUMA]


def test_a_network_that_takes_no_photograph_is_refused() -> None:
    odd = dataclasses.replace(catalog.PAPER, name="odd", width=100)
    with pytest.raises(ImageError, match="network 'odd' takes 224x100x3 inputs"):
        images.parity_inputs(images.photographs(), odd)


def test_a_folder_stands_for_its_images_in_order(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    single = tmp_path / "notes.txt"
    assert images.expand([single, tmp_path]) == [single, tmp_path / "a.jpeg", tmp_path / "b.PNG"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"holds no image: expected files in \.apng"):
        images.expand([tmp_path])
