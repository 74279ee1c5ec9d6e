"""Which of some weights are the least, by their size |w| (L1 of a single weight).

    share      of n weights the round(share n) least become 0; a half is rounded to the even number
    pattern    N:M: in each M in a row the M - N least become 0

Of equals the first become 0, in the order of tensors and of their elements. What is 0 already is
the least there is, so that it stays 0 and counts. What is no number counts as infinite.

A row of a pattern runs along the axis by which a weight reads channels, for each place on all other
axes: for each output, and for each position of a kernel.

    Conv (M, C/g, *k)                         along C/g, for every m and every position of k
    ConvTranspose (C, M/g, *k)                along C, block by block of C/g
    Gemm, MatMul: b (..., K, M)               along K, for every column
    Gemm with transB: b (M, K)                along K, for every row
    a constant left factor (..., N, K)        along K, for every row; Gemm with transA: (K, N)
    recurrent W (d, g H, I), R (d, g H, H)    along I, and along H
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxtrim.zeros import Pattern

__all__ = ["count_of", "least", "least_of_rows"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def count_of(share: float, size: int) -> int:
    """Returns how many of `size` weights are to be 0."""
    return round(share * size)


def least(weights: Sequence[Array], count: int) -> list[Mask]:
    """Returns where the `count` least of all weights together are, one mask for each tensor."""
    kind = np.float64 if any(w.dtype == np.float64 for w in weights) else np.float32
    flat = np.concatenate([_sizes(w, kind).reshape(-1) for w in weights])
    marked = np.zeros(flat.size, dtype=np.bool_)
    if count:
        limit = np.partition(flat, count - 1)[count - 1]
        np.less(flat, limit, out=marked)
        ties = np.flatnonzero(flat == limit)
        marked[ties[: count - int(np.count_nonzero(marked))]] = True
    ends = np.cumsum([w.size for w in weights])
    parts = np.split(marked, ends[:-1])
    return [part.reshape(w.shape) for part, w in zip(parts, weights, strict=True)]


def least_of_rows(weight: Array, axis: int, pattern: Pattern) -> Mask:
    """Returns where the least of each row of a pattern are; rows fill the axis."""
    kind = np.float64 if weight.dtype == np.float64 else np.float32
    moved = np.moveaxis(_sizes(weight, kind), axis, -1)
    rows = moved.reshape(-1, pattern.width)
    order = np.argsort(rows, axis=-1, kind="stable")[:, : pattern.width - pattern.kept]
    marked = np.zeros(rows.shape, dtype=np.bool_)
    np.put_along_axis(marked, order, values=True, axis=-1)
    return np.moveaxis(marked.reshape(moved.shape), -1, axis)


def _sizes(weight: Array, kind: type[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Returns |w|, infinite where w is no number."""
    found = np.abs(weight.astype(kind))
    found[np.isnan(found)] = np.inf
    return found
