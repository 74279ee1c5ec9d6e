"""Connected components of integer relations, in numpy alone."""

import numpy as np
import numpy.typing as npt

__all__ = ["components"]

Ints = npt.NDArray[np.int64]


def components(count: int, left: Ints, right: Ints) -> Ints:
    """Returns the component of each of `count` ids as the smallest id in it, shape (count,).

    `left` and `right`, shape (edges,), are related pairwise.

    Each round hooks the root of every edge's larger end under the smaller one and then flattens
    the trees by pointer jumping, so that the number of rounds is logarithmic in practice.
    """
    root = np.arange(count, dtype=np.int64)
    while True:
        a, b = root[left], root[right]
        apart = a != b
        if not apart.any():
            return root
        left, right, a, b = left[apart], right[apart], a[apart], b[apart]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while True:
            jumped = root[root]
            if np.array_equal(jumped, root):
                break
            root = jumped
