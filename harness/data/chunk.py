"""One chunk of images, in whatever process: read, resized, written to their places, summed."""

from __future__ import annotations

import functools
import hashlib

import numpy as np
from numpy.typing import NDArray

from harness.data import images, mapped
from harness.data.journal import ChunkDone
from harness.data.plan import DIGEST_BYTES, Plan
from harness.data.sources import pixels

Bytes = NDArray[np.uint8]

# Of so many colours the sums of products stay below 2**24, which float32 holds exactly: 255 * 255 * 256 < 2**24.
BLOCK = 256


def process(plan: Plan, part: str, chunk: int) -> ChunkDone:
    """Do one chunk. What it writes is the same however often it is done. Raises OSError where the disk is full."""
    span = plan.span(part, chunk)
    skipped: list[tuple[int, str]] = []
    squares = _room(plan.chunk_size(part), plan.shape)[: len(span)]
    for index, item in zip(span, plan.items(part, span), strict=True):
        try:
            square = images.square(pixels.read(plan.root, item.reference), plan.side)
        except images.ImageError as error:
            skipped.append((index, str(error)))
            squares[index - span.start] = 0
        else:
            squares[index - span.start] = square.reshape(plan.shape)
    start = len(mapped.header((plan.counts[part], *plan.shape)))
    mapped.write_at(plan.images_file(part), start + span.start * plan.image_bytes, squares.data)
    digests = b"".join(hashlib.sha256(square.data).digest() for square in squares)
    mapped.write_at(plan.work / f"{part}.digests", span.start * DIGEST_BYTES, digests)
    if part != plan.measured:
        return ChunkDone(part, chunk, tuple(skipped), 0, (), ())
    # Images left out are black here, and so add nothing to any sum.
    # A chunk has at most 256 of them, whose sums 16 bits hold.
    total = squares.sum(axis=0, dtype=np.uint16)
    mapped.write_at(plan.work / "sums", chunk * total.nbytes, total.data)
    sums = total.sum(axis=(0, 1), dtype=np.int64)
    products = colour_products(squares)
    count = (len(span) - len(skipped)) * plan.side**2
    return ChunkDone(part, chunk, tuple(skipped), count, tuple(sums.tolist()), tuple(products.ravel().tolist()))


@functools.lru_cache(maxsize=1)
def _room(images_at_once: int, shape: tuple[int, int, int]) -> Bytes:
    """The same memory for every chunk: new memory would have to be given and taken page by page."""
    return np.empty((images_at_once, *shape), np.uint8)


def colour_products(squares: Bytes) -> NDArray[np.int64]:
    """Of images [N, S, S, C], the exact sums over all pixels of the products of every two channels [C, C]."""
    channels = squares.shape[-1]
    pixels_each = squares[0].size // channels
    planes = np.zeros((channels, -(-pixels_each // BLOCK), BLOCK), np.float32)
    flat = planes.reshape(channels, -1)[:, :pixels_each]  # what lies behind it stays 0
    products = np.zeros((channels, channels), np.int64)
    for square in squares:
        np.copyto(flat, square.reshape(-1, channels).T)
        for a in range(channels):
            for b in range(a, channels):
                blocks = np.einsum("ij,ij->i", planes[a], planes[b])
                products[a, b] += int(blocks.sum(dtype=np.float64))
    return np.maximum(products, products.T)  # none is negative, and below the diagonal there is nothing yet
