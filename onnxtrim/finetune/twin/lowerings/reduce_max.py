"""The largest element over some axes, axis by axis: the first of TopK, whose gradient goes there.

GlobalMaxPool  over all axes of space
ReduceMax      over the axes that are named
ReduceMin      -ReduceMax(-x)
"""

import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import constant_ints, int_attr

__all__ = ["global_max_pool", "reduce_max", "reduce_min"]

_SPACE = 2


def global_max_pool(site: Site) -> ir.Value | None:
    """Returns the largest element of each channel of each sample."""
    if site.sizes is None:
        return None
    return _largest(site, site.x, tuple(range(_SPACE, len(site.sizes))))


def reduce_max(site: Site) -> ir.Value | None:
    """Returns the largest elements."""
    axes = _axes(site)
    return None if axes is None else _squeezed(site, _largest(site, site.x, axes), axes)


def reduce_min(site: Site) -> ir.Value | None:
    """Returns the smallest elements."""
    axes = _axes(site)
    if axes is None:
        return None
    smallest = site.add("Neg", _largest(site, site.add("Neg", site.x), axes))
    return _squeezed(site, smallest, axes)


def _largest(site: Site, x: ir.Value, axes: tuple[int, ...]) -> ir.Value:
    """Returns the largest elements of `x` over `axes`, which stay with one element."""
    for axis in axes:
        x = site.add_many("TopK", 2, x, site.ints(1), axis=axis)[0]
    return x


def _axes(site: Site) -> tuple[int, ...] | None:
    """Returns the axes that are reduced; None where they are not known."""
    if site.sizes is None:
        return None
    rank = len(site.sizes)
    named = () if site.operand(1) is None else constant_ints(site.operand(1))
    if named is None or (not named and int_attr(site.node, "noop_with_empty_axes", 0)):
        return None
    return tuple(axis % rank for axis in named or range(rank))


def _squeezed(site: Site, result: ir.Value, axes: tuple[int, ...]) -> ir.Value:
    """Returns `result` without the reduced axes, unless they are kept."""
    if int_attr(site.node, "keepdims", 1):
        return result
    return site.add("Squeeze", result, site.ints(*axes))
