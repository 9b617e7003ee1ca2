"""Number formats as the frameworks use them, and rounding to nearest-even in each.

References: IEEE 754-2019, section 4.3.1; "TensorFloat-32" in NVIDIA's A100 whitepaper (8 bits of exponent, 10 of
mantissa).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from impls.protocol import PrecisionName

Array = NDArray[Any]

_FLOAT32_MANTISSA = 23
_FLOAT32_LEAST_EXPONENT = -126  # bfloat16 and tf32 have float32's exponent


@dataclass(frozen=True)
class Precision:
    """One way of computing, and the sizes of its rounding errors.

    unit: unit roundoff of stored values (activations, weights, gradients).
    unit_product: unit roundoff of the operands as they enter a matrix product, on top of the accumulation. 0 in
        float32, where operands enter as they are stored. Tensor cores that truncate to tf32 err by up to twice as much.
    unit_accumulate: unit roundoff of the sums inside a product; float32 in all four.
    smallest: the absolute error that underflow adds. Where subnormals may be flushed to zero (float32, tf32, bfloat16)
        it is the smallest normal number. float16 keeps its subnormals on every device known here, because 6.1e-5, its
        smallest normal, is a size that gradients have; there it is the spacing of the subnormals, 2**-24.
    """

    name: PrecisionName
    unit: float
    unit_product: float
    unit_accumulate: float
    smallest: float

    def round(self, x: Array) -> Array:
        """Values as this precision stores them, in x's own dtype (float32 or float64). May return x itself."""
        if self.name == "float16":
            with np.errstate(over="ignore"):
                return x.astype(np.float16).astype(x.dtype)
        if self.name == "bfloat16":
            return _round_mantissa(x, 7)
        return _round_mantissa(x, _FLOAT32_MANTISSA)

    def operand(self, x: Array) -> Array:
        """Values as they enter a matrix product, in x's own dtype. May return x itself."""
        return _round_mantissa(x, 10) if self.name == "tf32" else self.round(x)


def _round_mantissa(x: Array, bits: int) -> Array:
    """Nearest value with `bits` explicit mantissa bits and float32's exponent range, ties to even."""
    if x.dtype == np.float32:
        return x if bits == _FLOAT32_MANTISSA else _drop_bits(x, np.uint32(_FLOAT32_MANTISSA - bits))
    if x.dtype != np.float64:
        raise TypeError(f"rounding takes float32 or float64, found {x.dtype}")
    if bits == _FLOAT32_MANTISSA:
        with np.errstate(over="ignore"):
            return x.astype(np.float32).astype(np.float64)
    # Going through float32 would round twice, which moves values that lie next to a tie.
    spacing = 2.0 ** (_FLOAT32_LEAST_EXPONENT - bits)
    subnormal = np.abs(x) < 2.0**_FLOAT32_LEAST_EXPONENT
    rounded = _drop_bits(x, np.uint64(52 - bits))
    small = np.rint(np.where(subnormal, x, 0.0) / spacing) * spacing
    rounded = np.where(subnormal, small, rounded)
    return np.where(np.abs(rounded) >= 2.0**128, np.copysign(np.inf, x), rounded)


def _drop_bits(x: Array, drop: np.unsignedinteger[Any]) -> Array:
    """Nearest-even in the lowest `drop` bits of x's encoding; a carry into the exponent gives the right value."""
    kind = type(drop)
    encoded = np.ascontiguousarray(x).view(kind)
    last_kept = (encoded >> drop) & kind(1)
    half = kind((1 << (int(drop) - 1)) - 1)
    kept = (encoded + (half + last_kept)) & kind(~((1 << int(drop)) - 1) & int(np.iinfo(kind).max))
    rounded = cast(Array, kept.view(x.dtype)).reshape(x.shape)
    missing = np.isnan(x)  # a NaN's payload could carry into the sign, or be dropped and leave infinity
    return np.where(missing, x, rounded) if missing.any() else rounded


PRECISIONS: dict[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision("float32", unit=2.0**-24, unit_product=0.0, unit_accumulate=2.0**-24, smallest=2.0**-126),
        Precision("tf32", unit=2.0**-24, unit_product=2.0**-11, unit_accumulate=2.0**-24, smallest=2.0**-126),
        Precision("bfloat16", unit=2.0**-8, unit_product=2.0**-8, unit_accumulate=2.0**-24, smallest=2.0**-126),
        Precision("float16", unit=2.0**-11, unit_product=2.0**-11, unit_accumulate=2.0**-24, smallest=2.0**-24),
    )
}
