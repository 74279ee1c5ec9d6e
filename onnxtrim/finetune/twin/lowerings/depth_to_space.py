"""Channels rearranged into space, and back; b is the block size.

DepthToSpace  (N, C b^2, H, W)  as (N, b, b, C, H, W), in mode CRD (N, C, b, b, H, W)
              -> (N, C, H, b, W, b)  as (N, C, bH, bW)
SpaceToDepth  (N, C, bH, bW)    as (N, C, H, b, W, b)
              -> (N, b, b, C, H, W), in mode CRD (N, C, b, b, H, W)  as (N, b^2 C, H, W)
"""

import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import int_attr, string_attr

__all__ = ["depth_to_space", "space_to_depth"]


def depth_to_space(site: Site) -> ir.Value | None:
    """Returns blocks of channels laid out in space."""
    channels, block = site.sizes[1] if site.sizes else None, int_attr(site.node, "blocksize", 1)
    if channels is None:
        return None
    left = channels // block**2
    in_rows = string_attr(site.node, "mode", "DCR") == "CRD"
    inner = (left, block, block) if in_rows else (block, block, left)
    order = (0, 1, 4, 2, 5, 3) if in_rows else (0, 3, 4, 1, 5, 2)
    batch, space = _batch_and_space(site)
    apart = site.add("Concat", batch, site.ints(*inner), space, axis=0)
    parts = site.add("Transpose", site.add("Reshape", site.x, apart), perm=order)
    larger = site.add("Mul", space, site.ints(block, block))
    return site.add("Reshape", parts, site.add("Concat", batch, site.ints(left), larger, axis=0))


def space_to_depth(site: Site) -> ir.Value | None:
    """Returns blocks of space stacked as channels."""
    channels, block = site.sizes[1] if site.sizes else None, int_attr(site.node, "blocksize", 1)
    if channels is None:
        return None
    in_rows = string_attr(site.node, "mode", "DCR") == "CRD"
    batch, space = _batch_and_space(site)
    smaller = site.add("Div", space, site.ints(block, block))
    pairs = site.add("Unsqueeze", smaller, site.ints(1))
    pairs = site.add("Pad", pairs, site.ints(0, 0, 0, 1), site.ints(block))
    apart = site.add(
        "Concat", batch, site.ints(channels), site.add("Reshape", pairs, site.ints(-1)), axis=0
    )
    order = (0, 1, 3, 5, 2, 4) if in_rows else (0, 3, 5, 1, 2, 4)
    parts = site.add("Transpose", site.add("Reshape", site.x, apart), perm=order)
    stacked = site.ints(channels * block**2)
    return site.add("Reshape", parts, site.add("Concat", batch, stacked, smaller, axis=0))


def _batch_and_space(site: Site) -> tuple[ir.Value, ir.Value]:
    """Returns the sizes of the first, and of the last two axes of x, as tensors."""
    return site.add("Shape", site.x, start=0, end=1), site.add("Shape", site.x, start=2)
