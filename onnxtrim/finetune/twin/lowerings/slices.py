"""What takes parts of a tensor.

Split            one Slice for each output
Slice backwards  Gather of the places, where the size of the axis is known
"""

from itertools import accumulate, pairwise

import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import constant_ints, int_attr

__all__ = ["slice_backwards", "split"]


def split(site: Site) -> tuple[ir.Value, ...] | None:
    """Returns the parts, each a Slice; None where their sizes are not known."""
    axis, count = int_attr(site.node, "axis", 0), len(site.node.outputs)
    size = site.sizes[axis] if site.sizes is not None else None
    sizes = constant_ints(site.operand(1))
    if sizes is None and size is not None and site.operand(1) is None:
        sizes = (-(-size // count),) * count  # the last may be smaller; a Slice ends there
    if sizes is None:
        return None
    bounds = pairwise(accumulate(sizes, initial=0))
    return tuple(
        site.add("Slice", site.x, site.ints(a), site.ints(b), site.ints(axis)) for a, b in bounds
    )


def slice_backwards(site: Site) -> ir.Value | None:
    """Returns the elements of each axis in the order asked for."""
    starts, ends, axes, steps = (constant_ints(site.operand(i)) for i in range(1, 5))
    if site.sizes is None or starts is None or ends is None or steps is None:
        return None
    x = site.x
    for begin, end, axis, step in zip(starts, ends, axes or range(len(starts)), steps, strict=True):
        size = site.sizes[axis]
        if size is None:
            return None
        x = site.add("Gather", x, site.ints(*_places(begin, end, step, size)), axis=axis)
    return x


def _places(begin: int, end: int, step: int, size: int) -> range:
    """Returns the places that a slice takes from an axis of `size`.

    As in Python, but for an end before the first place, which only a number below -size can say.
    """
    return range(*slice(begin, None if step < 0 and end < -size else end, step).indices(size))
