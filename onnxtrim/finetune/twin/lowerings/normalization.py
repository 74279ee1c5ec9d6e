"""Normalisations: (x - mean) / sqrt(variance + epsilon), over some axes, then scale and bias.

InstanceNormalization  over space
GroupNormalization     x as (N, G, -1), over the last axis; scale and bias are (C,), or (G,) before
                       opset 21
LayerNormalization     over the axes from `axis` on; the training runtime fuses it again
RMSNormalization       x / sqrt(mean x^2 + epsilon), over the axes from `axis` on
"""

import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import float_attr, int_attr
from onnxtrim.graph.shapes import dims

__all__ = [
    "group_normalization",
    "instance_normalization",
    "layer_normalization",
    "rms_normalization",
]

_EPSILON = 1e-5
_SPACE = 2


def instance_normalization(site: Site) -> ir.Value | None:
    """Returns every channel of every sample normalised by itself."""
    if site.sizes is None:
        return None
    rank = len(site.sizes)
    normal = _standardised(site, site.x, tuple(range(_SPACE, rank)))
    return _affine(site, normal, [-1] + [1] * (rank - _SPACE))


def group_normalization(site: Site) -> ir.Value | None:
    """Returns neighbouring channels normalised together."""
    scale, groups = site.operand(1), int_attr(site.node, "num_groups", 1)
    sizes = dims(scale) if scale is not None else None
    if site.sizes is None or sizes is None:
        return None
    grouped = site.add("Reshape", site.x, site.ints(0, groups, -1))
    normal, shape = _standardised(site, grouped, (2,)), site.add("Shape", site.x)
    if sizes[0] == groups:
        return site.add("Reshape", _affine(site, normal, [-1, 1]), shape)
    whole = site.add("Reshape", normal, shape)
    return _affine(site, whole, [-1] + [1] * (len(site.sizes) - _SPACE))


def layer_normalization(site: Site) -> ir.Value | None:
    """Returns the last axes normalised together."""
    axes = _last_axes(site)
    return None if axes is None else _affine(site, _standardised(site, site.x, axes), None)


def rms_normalization(site: Site) -> ir.Value | None:
    """Returns the last axes divided by the root of their mean square."""
    axes = _last_axes(site)
    return None if axes is None else _affine(site, _divided(site, site.x, axes), None)


def _last_axes(site: Site) -> tuple[int, ...] | None:
    """Returns the axes from `axis` on; None where the rank is not known."""
    if site.sizes is None:
        return None
    rank = len(site.sizes)
    return tuple(range(int_attr(site.node, "axis", -1) % rank, rank))


def _standardised(site: Site, x: ir.Value, axes: tuple[int, ...]) -> ir.Value:
    """Returns (x - mean) / sqrt(variance + epsilon) over `axes`."""
    return _divided(site, site.add("Sub", x, site.add("ReduceMean", x, site.ints(*axes))), axes)


def _divided(site: Site, x: ir.Value, axes: tuple[int, ...]) -> ir.Value:
    """Returns x / sqrt(mean x^2 + epsilon) over `axes`."""
    power = site.add("ReduceMean", site.add("Mul", x, x), site.ints(*axes))
    epsilon = site.number(float_attr(site.node, "epsilon", _EPSILON))
    return site.add("Div", x, site.add("Sqrt", site.add("Add", power, epsilon)))


def _affine(site: Site, x: ir.Value, shape: list[int] | None) -> ir.Value:
    """Returns x scale + bias, the two reshaped first where a shape is given."""
    for op_type, operand in zip(("Mul", "Add"), map(site.operand, (1, 2)), strict=True):
        if operand is None:
            continue
        if shape is not None:
            operand = site.add("Reshape", operand, site.ints(*shape))
        x = site.add(op_type, x, operand)
    return x
