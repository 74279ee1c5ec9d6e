"""Padding with what is there, axis by axis: Concat(Gather(x, before), x, Gather(x, behind)).

          before       behind, counted from the end
reflect   p ... 1      -2 ... -1 - p
edge      0 ... 0      -1 ... -1
wrap      -p ... -1    0 ... p - 1
"""

from collections.abc import Callable, Mapping

import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import constant_ints, string_attr

__all__ = ["pad"]

_Places = Callable[[int], list[int]]

_BEFORE: Mapping[str, _Places] = {
    "edge": lambda count: [0] * count,
    "reflect": lambda count: list(range(count, 0, -1)),
    "wrap": lambda count: list(range(-count, 0)),
}
_BEHIND: Mapping[str, _Places] = {
    "edge": lambda count: [-1] * count,
    "reflect": lambda count: list(range(-2, -2 - count, -1)),
    "wrap": lambda count: list(range(count)),
}


def pad(site: Site) -> ir.Value | None:
    """Returns x padded with its own elements."""
    pads, axes = constant_ints(site.operand(1)), _axes(site)
    mode = string_attr(site.node, "mode", "constant")
    if pads is None or axes is None or min(pads, default=0) < 0 or mode not in _BEFORE:
        return None
    x = site.x
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        before, behind = (
            [site.add("Gather", x, site.ints(*places), axis=axis)] if places else []
            for places in (_BEFORE[mode](begin), _BEHIND[mode](end))
        )
        if before or behind:
            x = site.add("Concat", *before, x, *behind, axis=axis)
    return x if x is not site.x else site.add("Identity", x)


def _axes(site: Site) -> tuple[int, ...] | None:
    """Returns the axes that the amounts are for; None where they are not known."""
    if site.sizes is None:
        return None
    rank = len(site.sizes)
    named = tuple(range(rank)) if site.operand(3) is None else constant_ints(site.operand(3))
    return None if named is None else tuple(axis % rank for axis in named)
