"""An OuterProduct reads like the matrix it stands for, and blocks cover every row once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impls.oracle.product import OuterProduct, blocks
from impls.oracle.rounding import PRECISIONS


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 4), rows=st.integers(1, 9), columns=st.integers(1, 7), limit=st.integers(1, 40))
def test_outer_product_equals_the_dense_matrix(n: int, rows: int, columns: int, limit: int) -> None:
    random = np.random.default_rng(n + 10 * rows + 100 * columns)
    a, b = random.standard_normal((n, rows)), random.standard_normal((n, columns))
    product, dense = OuterProduct(a, b), sum(np.outer(a[i], b[i]) for i in range(n))
    assert product.shape == dense.shape and product.size == dense.size and len(product) == rows
    assert np.allclose(np.asarray(product), dense, rtol=1e-13, atol=1e-13)
    assert np.isclose(product.sum(), dense.sum(), rtol=1e-12, atol=1e-12)
    assert np.isclose(product.sum_of_squares(), (dense**2).sum(), rtol=1e-12)
    assert np.allclose(np.concatenate([block for _, block in blocks(product, limit)]), dense, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("shape", [(7,), (5, 3), (4, 3, 2, 2), (1, 9), (0, 3)])
def test_blocks_cover_an_array_once_and_keep_to_the_limit(shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    rebuilt = np.full(shape, -1.0)
    for rows, block in blocks(x, max_elements=6):
        assert block.size <= max(6, x.size // max(1, len(x)))
        rebuilt[rows] = block
    assert np.array_equal(rebuilt, x)


def test_a_0d_array_is_one_block_of_one_element() -> None:
    assert [block.tolist() for _, block in blocks(np.array(3.0))] == [[3.0]]


def test_rounding_is_applied_to_rows() -> None:
    product = OuterProduct(np.array([[0.1, 3.0]]), np.array([[0.7]]), PRECISIONS["bfloat16"].round)
    assert np.array_equal(product.rows(0, 2), PRECISIONS["bfloat16"].round(np.array([[0.07], [2.1]])))


def test_dtype_requests_are_honoured_and_unequal_batches_are_named() -> None:
    product = OuterProduct(np.ones((2, 3), np.float32), np.ones((2, 4), np.float32))
    assert np.asarray(product).dtype == np.float32 and np.asarray(product, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="always a new array"):
        np.asarray(product, copy=False)
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 3\)"):
        OuterProduct(np.ones((2, 3)), np.ones((3, 3)))
