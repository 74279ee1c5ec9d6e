"""Transposed convolution as a convolution of x with zeros between its elements.

x (N, C, *n), weight (C, M/g, *k)  ->  y (N, M, *n'),  n' = s (n - 1) + d (k - 1) + 1 + o - b - e

    zeros    x as (N, C, n, 1), padded to (N, C, n, s), as (N, C, s n): s - 1 too many at the end
    weight   (g, C/g, M/g, *k) -> (g, M/g, C/g, *k) as (M, C/g, *k), every axis of k reversed
    pads     d (k - 1) - b  before,  d (k - 1) - e + o - (s - 1)  behind; negative ones cut

The weight is turned in the graph, so that gradients arrive at the weight as it is stored.
"""

from collections.abc import Sequence

import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import int_attr, ints_attr, string_attr
from onnxtrim.graph.shapes import dims

__all__ = ["conv_transpose"]

_SPACE = 2
_TO_THE_END = 2**31 - 1


def conv_transpose(site: Site) -> ir.Value | None:
    """Returns the transposed convolution of x."""
    weight = site.operand(1)
    sizes = dims(weight) if weight is not None else None
    if weight is None or sizes is None or None in sizes:
        return None
    kernel = [size or 0 for size in sizes[_SPACE:]]
    strides, dilations, extra = (
        list(ints_attr(site.node, name) or [default] * len(kernel))
        for name, default in (("strides", 1), ("dilations", 1), ("output_padding", 0))
    )
    spans = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    cut = _pads(site, strides, spans, extra)
    if cut is None:
        return None
    rank = len(kernel)
    before = [span - b for span, b in zip(spans, cut[:rank], strict=True)]
    behind = [
        span - e + o - (s - 1)
        for span, e, o, s in zip(spans, cut[rank:], extra, strides, strict=True)
    ]
    x = _cropped(site, _spread(site, strides), before, behind)
    pads = [max(pad, 0) for pad in (*before, *behind)]
    group = int_attr(site.node, "group", 1)
    turned = _turned(site, weight, [size or 0 for size in sizes], group)
    inputs = [x, turned, *site.node.inputs[_SPACE:]]
    return site.add("Conv", *inputs, pads=pads, dilations=dilations, group=group)


def _pads(
    site: Site, strides: Sequence[int], spans: Sequence[int], extra: Sequence[int]
) -> list[int] | None:
    """Returns what is cut from the result before and behind; None where that is not known.

    The sizes of the result may be given instead, or be s n by `auto_pad`. Then an odd element goes
    from the start, with SAME_UPPER from the end; what is missing is added at the end.
    """
    rank, mode = len(spans), string_attr(site.node, "auto_pad", "NOTSET")
    wanted = ints_attr(site.node, "output_shape")
    if wanted is None and not mode.startswith("SAME"):
        return list(ints_attr(site.node, "pads") or [0] * 2 * rank)
    sizes = [n for n in (site.sizes or ())[_SPACE:] if n is not None]
    if len(sizes) < rank:
        return None
    if wanted is None:
        wanted = tuple(n * s for n, s in zip(sizes, strides, strict=True))
    totals = [
        s * (n - 1) + span + 1 + o - size
        for s, n, span, o, size in zip(strides, sizes, spans, extra, wanted[-rank:], strict=True)
    ]
    begins = [max(total + (mode != "SAME_UPPER"), 0) // 2 for total in totals]
    return begins + [total - begin for total, begin in zip(totals, begins, strict=True)]


def _spread(site: Site, strides: Sequence[int]) -> ir.Value:
    """Returns x with s - 1 zeros behind every element of space."""
    if all(stride == 1 for stride in strides):
        return site.x
    rank = len(strides)
    new = [_SPACE + 2 * i + 1 for i in range(rank)]
    apart = site.add("Unsqueeze", site.x, site.ints(*new))
    ends = [0] * (_SPACE + 2 * rank)
    for axis, stride in zip(new, strides, strict=True):
        ends[axis] = stride - 1
    padded = site.add("Pad", apart, site.ints(*[0] * len(ends), *ends))
    sizes = site.add("Mul", site.add("Shape", site.x), site.ints(1, 1, *strides))
    return site.add("Reshape", padded, sizes)


def _cropped(site: Site, x: ir.Value, before: Sequence[int], behind: Sequence[int]) -> ir.Value:
    """Returns `x` without what negative pads take away."""
    if min(*before, *behind) >= 0:
        return x
    starts = [max(-pad, 0) for pad in before]
    ends = [min(pad, 0) or _TO_THE_END for pad in behind]
    axes = range(_SPACE, _SPACE + len(starts))
    return site.add("Slice", x, site.ints(*starts), site.ints(*ends), site.ints(*axes))


def _turned(site: Site, weight: ir.Value, sizes: Sequence[int], group: int) -> ir.Value:
    """Returns the weight of the convolution."""
    given, made, *kernel = sizes
    rest = range(3, 3 + len(kernel))
    blocks = site.add("Reshape", weight, site.ints(group, given // group, made, *kernel))
    turned = site.add("Transpose", blocks, perm=[0, 2, 1, *rest])
    turned = site.add("Reshape", turned, site.ints(group * made, given // group, *kernel))
    for axis, size in enumerate(kernel, start=_SPACE):
        turned = site.add("Gather", turned, site.ints(*reversed(range(size))), axis=axis)
    return turned
