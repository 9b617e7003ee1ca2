"""Photographs in: decoded once, resized once, cut into the paper's views, and handed to every framework alike.

Libraries differ in how they decode JPEG and resize, by enough to hide a real difference between frameworks, so all of
it happens here, in Pillow. A decoded image is uint8 [H, W, 3] in RGB order.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from harness.data.colours import luma
from harness.data.views import CENTRE, VIEWS, ten_crops
from harness.requirements import pip
from impls.spec import Network

Pixels = NDArray[np.uint8]  # [H, W, 3]

SHORTEST_SIDE = 8
MAX_PIXELS = 100_000_000

# Formats that Pillow reads by itself, with the endings it knows for them. No other is tried, whatever a file is called:
# it would start Ghostscript for EPS, and its rarer readers have been tried less.
FORMATS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),  # its reader takes MPO too
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "AVIF": (".avif", ".avifs"),
}
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
ENDINGS = tuple(SUFFIXES)

# Files and folders that systems and programs leave among others; hidden ones begin with a point.
SYSTEM_NAMES = frozenset(
    {
        "__macosx", "__pycache__", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "recycler", "icon\r",
        "desktop.ini", "ehthumbs.db", "ehthumbs_vista.db", "thumbs.db", "lost+found", "system volume information",
    }
)  # fmt: skip

# Red, green and blue means of ImageNet, rounded to whole numbers as in Caffe's models (104, 117, 123 in its BGR order):
# subtracting a whole number from a pixel is exact in float32.
MEAN_COLOUR = (123.0, 117.0, 104.0)
MEAN_LUMA = 117.0  # 0.299 * 123 + 0.587 * 117 + 0.114 * 104 = 117.3


class ImageError(ValueError):
    """An image that cannot be used; the message is one line with the file, what was found and what to do."""

    exit_code = 2


class ParityImages(NamedTuple):
    """The images parity compares on: ten views of every photograph."""

    images: NDArray[np.float32]  # [10 * photographs, H, W, C], minus the mean colour
    names: tuple[str, ...]  # of each view, such as "china.jpg centre" and "china.jpg centre mirrored"
    centres: tuple[int, ...]  # index of each photograph's centre view


def photographs() -> list[Path]:
    """The two photographs that scikit-learn carries, found without importing it. Raises ImageError."""
    spec = importlib.util.find_spec("sklearn")
    roots = (spec.submodule_search_locations or []) if spec is not None else []
    for root in roots:
        paths = [Path(root) / "datasets" / "images" / name for name in ("china.jpg", "flower.jpg")]
        if all(path.is_file() for path in paths):
            return paths
    raise ImageError(
        "the sample photographs come with scikit-learn, which is not installed:"
        f" {pip()} install scikit-learn, or pass --images"
    )


def is_image_name(name: str) -> bool:
    """Whether a file is called as an image is."""
    return name.lower().endswith(ENDINGS)


def is_system_name(name: str) -> bool:
    """Whether a file or a folder is hidden, or a system's own."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def expand(paths: Sequence[Path]) -> list[Path]:
    """Files as they stand, a directory as its image files sorted by name. Raises ImageError for an empty directory."""
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        try:
            inside = sorted(file for file in path.iterdir() if _is_shown_image(file.name) and file.is_file())
        except OSError as error:
            raise ImageError(f"cannot read folder {str(path)!r}: {error.strerror}") from error
        if not inside:
            raise ImageError(f"folder {str(path)!r} holds no image: expected files in {', '.join(sorted(SUFFIXES))}")
        found.extend(inside)
    return found


def _is_shown_image(name: str) -> bool:
    return is_image_name(name) and not is_system_name(name)


def load(path: Path) -> Pixels:
    """Decode one image to uint8 [H, W, 3]. Raises ImageError."""
    return np.asarray(decode(path))


def decode(path: Path, data: bytes | None = None) -> Image.Image:
    """Decode one image to Pillow's mode RGB. Raises ImageError.

    `data` are its bytes where it is no file of its own but, for instance, a tar's member; `path` then only names it.
    Turned upright by its EXIF orientation; transparency is composited on white; 16-bit grey is scaled to 8 bits; of an
    animation the first frame is taken.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on size and broken tags: what matters is an error below
            with _opened(path if data is None else io.BytesIO(data)) as image:
                _check_size(path, *image.size)
                form = image.format
                ImageOps.exif_transpose(image, in_place=True)  # a copy of every image would cost a tenth of the time
                rgb = _to_rgb(path, image, form)
                rgb.load()  # before its file is closed
                return rgb
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{str(path)!r} is too large ({error}): resize it to at most {MAX_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{str(path)!r} is not an image that Pillow can read: pass one of {', '.join(_formats())}"
        ) from None
    except Exception as error:  # what Pillow raises for a damaged file depends on its format and on where it is damaged
        raise ImageError(_unreadable(path, error)) from None


def _opened(file: Path | io.BytesIO) -> Image.Image:
    """An image with nothing but its header read: the one place where a file is handed to Pillow. Raises ImageError."""
    if isinstance(file, Path) and file.exists() and not (file.is_file() or file.is_dir()):
        raise ImageError(f"{str(file)!r} is no regular file: a pipe would be waited for without end")
    return Image.open(file, formats=_formats())


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow has: AVIF came with 11.3."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot read image {str(path)!r}: {error.strerror}"
    found = " ".join(str(error).split()) or type(error).__name__
    return f"{str(path)!r} is damaged or truncated ({found}): replace the file"


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"{str(path)!r} is {width}x{height} pixels: resize it to at most {MAX_PIXELS:,} pixels")
    if min(width, height) < SHORTEST_SIDE:
        raise ImageError(f"{str(path)!r} is {width}x{height} pixels: the shorter side must be at least {SHORTEST_SIDE}")


def _to_rgb(path: Path, image: Image.Image, form: str | None) -> Image.Image:
    """An upright image, whatever its mode."""
    # In mode I Pillow has the 16-bit grey of these two formats.
    if image.mode.startswith("I;16") or (image.mode == "I" and form in ("PNG", "PPM")):
        return Image.fromarray(_from_16_bits(np.asarray(image)))
    if image.mode in ("I", "F"):
        raise ImageError(
            f"{str(path)!r} has 32-bit pixels (mode {image.mode}), whose range is not known: convert it to 8 or 16 bits"
        )
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_16_bits(grey: NDArray[np.integer]) -> Pixels:
    """Grey [H, W] in 0..65535 to [H, W, 3] in 0..255, rounded; 65535 = 257 * 255. Pillow's own conversion clips."""
    scaled = (grey.astype(np.uint32) + 128) // 257
    return np.repeat(scaled.astype(np.uint8)[..., np.newaxis], 3, axis=2)


def resize_and_crop(image: Pixels, side: int) -> Pixels:
    """[H, W, 3] to the centre [side, side, 3] of the image whose shorter side is scaled to `side`: see `square`."""
    return square(Image.fromarray(image), side)


def square(image: Image.Image, side: int) -> Pixels:
    """The shorter side scaled to `side`, and of that the centre square (paper, section 2): [side, side, 3], or no 3.

    Antialiased bilinear. Only the centre square is resampled, so that a panorama costs no more than a square.
    """
    width, height = image.size
    shorter = min(height, width)
    left, top = (width - shorter) / 2, (height - shorter) / 2
    box = (left, top, left + shorter, top + shorter)
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=box))


def resized_side(input_side: int) -> int:
    """The side photographs are resized to before crops of `input_side` are cut: 256 for 224 and 227, as the paper."""
    return 256 if 224 <= input_side <= 227 else round(input_side * 8 / 7)


def parity_inputs(paths: Sequence[Path], network: Network) -> ParityImages:
    """Ten views of each photograph as the network takes them. Raises ImageError.

    One channel gets the luma, three the colours; the mean colour is subtracted, the same for every photograph, so that
    an image's input does not depend on its company.
    """
    if network.height != network.width or network.channels not in (1, 3):
        raise ImageError(
            f"network {network.name!r} takes {network.height}x{network.width}x{network.channels} inputs:"
            " photographs become squares of 1 or 3 channels"
        )
    files = expand(paths)
    side = resized_side(network.width)
    views = [ten_crops(resize_and_crop(load(path), side), network.width) for path in files]
    labels = [*VIEWS, *(f"{view} mirrored" for view in VIEWS)]
    return ParityImages(
        images=_centred(np.concatenate(views), network.channels),
        names=tuple(f"{path.name} {label}" for path in files for label in labels),
        centres=tuple(index * len(labels) + CENTRE for index in range(len(files))),
    )


def _centred(views: Pixels, channels: int) -> NDArray[np.float32]:
    """uint8 [N, H, W, 3] to float32 [N, H, W, channels] minus the mean; whole numbers, so exact."""
    if channels == 3:
        return views.astype(np.float32) - np.array(MEAN_COLOUR, dtype=np.float32)
    return luma(views).astype(np.float32) - np.float32(MEAN_LUMA)
