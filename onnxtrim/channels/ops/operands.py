"""What several rules need to ask of a node's operands."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.ops.base import Weight
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Channels, Fixed, Ids, Relations
from onnxtrim.graph.constants import constant_ints, ints_attr
from onnxtrim.graph.shapes import Shape, dims

__all__ = [
    "Axes",
    "axes_of",
    "bearer",
    "bind_like",
    "blocked_channels",
    "chosen",
    "contract",
    "factor_weights",
    "freeze_all",
    "freeze_if_computed",
    "freeze_positions",
    "hand_on",
    "is_constant",
    "moved",
    "name",
    "optional",
    "relate_broadcast",
    "repeated",
    "sizes_of",
    "tiled",
]

_STEPS_TO_A_WEIGHT = 8
_MOVES = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})

Axes = tuple[int | None, int]
"""The axis of a factor that stays in a matrix product, if it has one, and the one summed over."""


def name(value: ir.Value | None) -> str:
    """Returns the name of a tensor; the empty string for an operand left out."""
    return "" if value is None else value.name or ""


def optional(node: ir.Node, index: int) -> ir.Value | None:
    """Returns the operand at `index`, or None where the node ends before it or leaves it out."""
    return node.inputs[index] if index < len(node.inputs) else None


def sizes_of(value: ir.Value | None) -> Shape:
    """Returns the sizes of a tensor whose rank is known.

    Raises:
        ValueError: the rank is not known.
    """
    sizes = None if value is None else dims(value)
    if sizes is None:
        raise ValueError(f"the rank of {name(value)!r} is unknown")
    return sizes


def axes_of(node: ir.Node, rank: int, index: int = 1) -> tuple[int, ...] | None:
    """Returns the axes that `node` names, from 0 on; empty where it names none.

    They are an attribute in older operator sets and operand `index` since. None where they are
    computed.
    """
    operand = optional(node, index)
    axes = ints_attr(node, "axes") or () if operand is None else constant_ints(operand)
    return None if axes is None else tuple(axis % max(rank, 1) for axis in axes)


def is_constant(value: ir.Value) -> bool:
    """Returns whether a tensor is an initializer or computed from initializers in a few steps.

    Weights are transposed, reshaped or dequantised, no more; the limit keeps the question cheap.
    """
    return _is_constant(value, _STEPS_TO_A_WEIGHT)


def _is_constant(value: ir.Value, steps: int) -> bool:
    """Returns whether initializers are reached in at most `steps` nodes, and nothing else is."""
    if value.is_initializer():
        return True
    node = value.producer()
    if node is None or steps == 0:
        return False
    return all(v is None or _is_constant(v, steps - 1) for v in node.inputs)


def moved(value: ir.Value) -> tuple[ir.Value, tuple[ir.Node, ...]] | None:
    """Returns the initializer whose elements a tensor has in other places, and the nodes between.

    None where something else than moving elements makes it.
    """
    nodes: list[ir.Node] = []
    while not value.is_initializer():
        node = value.producer()
        if node is None or node.domain != "" or node.op_type not in _MOVES:
            return None
        nodes.append(node)
        source = node.inputs[0]
        if source is None:
            return None
        value = source
    return value, tuple(nodes)


def blocked_channels(node: ir.Node) -> tuple[tuple[str, int], ...]:
    """Returns the channel axes, 1, of the first input and the first output."""
    return (name(node.inputs[0]), 1), (name(node.outputs[0]), 1)


def repeated(channels: Channels, times: int) -> Channels:
    """Returns every id `times` times in a row."""
    return channels if isinstance(channels, Fixed) else np.repeat(channels, times)


def tiled(channels: Channels, times: int) -> Channels:
    """Returns all ids `times` times behind one another."""
    return channels if isinstance(channels, Fixed) else np.tile(channels, times)


def chosen(channels: Channels, places: Ids) -> Channels:
    """Returns the ids at some places, in the order of these."""
    return channels if isinstance(channels, Fixed) else channels[places]


def bind_like(rel: Relations, output: ir.Value, source: ir.Value | None) -> None:
    """Gives every axis of `output` the ids of the same axis of `source`."""
    for axis in range(len(sizes_of(output))):
        rel.bind(output, axis, rel.axis(source, axis))


def hand_on(rel: Relations, node: ir.Node, frozen: Mapping[int, str]) -> None:
    """Hands the axes of the first operand on to every output, some of them frozen.

    `frozen` are the axes that cannot be cut, each with the sentence that says why; on an output
    they are left out where their size is another.
    """
    x = node.inputs[0]
    sizes = sizes_of(x)
    for axis, sentence in frozen.items():
        rel.freeze(rel.axis(x, axis), Code.MIXED, sentence)
    for output in (output for output in node.outputs if output.name):
        own = sizes_of(output)
        for axis, size in enumerate(sizes):
            if axis not in frozen or own[axis] == size:
                rel.bind(output, axis, rel.axis(x, axis))


def freeze_all(rel: Relations, value: ir.Value | None, code: Code, sentence: str) -> None:
    """Freezes every axis of a tensor."""
    for axis in range(len(sizes_of(value))):
        rel.freeze(rel.axis(value, axis), code, sentence)


def freeze_if_computed(rel: Relations, weight: ir.Value | None, reads: int) -> None:
    """Freezes the axis that `weight` reads channels by, unless it is constant.

    A cut is proven with the readers of what goes set to zero, and only a constant can be.
    """
    if weight is None or not is_constant(weight):
        sentence = f"{name(weight)}, which reads the channels, is computed"
        rel.freeze(rel.axis(weight, reads), Code.MIXED, sentence)


def freeze_positions(rel: Relations, value: ir.Value | None, axes: Iterable[int]) -> None:
    """Freezes axes that an operand is read by as positions, where it is another operand too.

    What a rule does not speak of is frozen anyway, but a tensor may stand twice in a node, and the
    rule speak of the axis in its other place.
    """
    for axis in axes:
        sentence = f"axis {axis} of {name(value)} is read as positions, not channels"
        rel.freeze(rel.axis(value, axis), Code.POSITIONS, sentence)


def bearer(
    rel: Relations, operands: Sequence[tuple[ir.Value, Shape]], axis: int, size: int | None
) -> Channels:
    """Returns the ids of a result axis (counted from the end): those of an operand that spans it.

    `operands` come with the sizes that take part. A fixed axis wins, so that its reason travels on
    with the result.
    """
    present = [
        (value, len(own) + axis, own[axis]) for value, own in operands if len(own) + axis >= 0
    ]
    spanning = [rel.axis(value, at) for value, at, own in present if own == size]
    if size is None and not spanning:  # an output of the graph says less than is known
        spanning = [rel.axis(value, at) for value, at, own in present if own != 1]
    fixed = [ids for ids in spanning if isinstance(ids, Fixed)]
    if fixed or not spanning:
        return fixed[0] if fixed else rel.axis(None, 0)
    return max((ids for ids in spanning if not isinstance(ids, Fixed)), key=len)


def relate_broadcast(
    rel: Relations,
    operand: ir.Value,
    axes: Sequence[Channels],
    sizes: Shape,
    own: Shape | None = None,
) -> None:
    """States that `operand`, broadcast from the right, goes with `axes` of the given `sizes`.

    `own` are the sizes of the operand that take part, from the left; all of them by default. An
    axis of size 1 that is stretched over more positions serves them all and cannot go.
    """
    own = sizes_of(operand) if own is None else own
    for axis, size in enumerate(own):
        target = axis + len(sizes) - len(own)
        ids = rel.axis(operand, axis)
        if _width(ids, size) == 1 and _width(axes[target], sizes[target]) != 1:
            sentence = f"axis {axis} of {name(operand)} is stretched over several positions"
            rel.freeze(ids, Code.BROADCAST, sentence)
        else:
            rel.same(ids, axes[target])


def _width(channels: Channels, size: int | None) -> int | None:
    """Returns how long an axis is; ids know it where shape inference does not."""
    return size if isinstance(channels, Fixed) else len(channels)


def contract(rel: Relations, node: ir.Node, left: Axes, right: Axes) -> None:
    """Ties the inner axes of the two factors of a matrix product.

    Between two computed factors a position there is a term of a sum that no weight can drop.
    """
    inner = rel.axis(node.inputs[0], left[1]), rel.axis(node.inputs[1], right[1])
    rel.same(*inner)
    if not factor_weights(node, left, right):
        for ids in inner:
            rel.freeze(ids, Code.MIXED, "both factors of the product are computed")


def factor_weights(node: ir.Node, left: Axes, right: Axes) -> tuple[Weight, ...]:
    """Returns the constant factor of a matrix product, if one of the two is constant."""
    a, b = node.inputs[0], node.inputs[1]
    if a is None or b is None or is_constant(a) == is_constant(b):
        return ()
    value, (outer, inner) = (b, right) if is_constant(b) else (a, left)
    return (Weight(value, writes=outer, reads=inner),)
