"""What several rules need to ask of a node's operands."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Channels, Fixed, Relations
from onnxtrim.graph.shapes import Shape, dims

__all__ = [
    "bind_like",
    "blocked_channels",
    "freeze_all",
    "is_constant",
    "merged",
    "name",
    "optional",
    "relate_broadcast",
    "sizes_of",
]

_STEPS_TO_A_WEIGHT = 8


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


def blocked_channels(node: ir.Node) -> tuple[tuple[str, int], ...]:
    """Returns the channel axes, 1, of the first input and the first output."""
    return (name(node.inputs[0]), 1), (name(node.outputs[0]), 1)


def bind_like(rel: Relations, output: ir.Value, source: ir.Value | None) -> None:
    """Gives every axis of `output` the ids of the same axis of `source`."""
    for axis in range(len(sizes_of(output))):
        rel.bind(output, axis, rel.axis(source, axis))


def freeze_all(rel: Relations, value: ir.Value | None, code: Code, sentence: str) -> None:
    """Freezes every axis of a tensor."""
    for axis in range(len(sizes_of(value))):
        rel.freeze(rel.axis(value, axis), code, sentence)


def relate_broadcast(
    rel: Relations, operand: ir.Value, axes: Sequence[Channels], sizes: Shape
) -> None:
    """States that `operand`, broadcast from the right, goes with `axes` of the given `sizes`.

    An axis of size 1 that is stretched over more positions serves them all and cannot go.
    """
    own = sizes_of(operand)
    for axis, size in enumerate(own):
        target = axis + len(sizes) - len(own)
        if size == 1 and sizes[target] != 1:
            rel.freeze(
                rel.axis(operand, axis),
                Code.BROADCAST,
                f"axis {axis} of {name(operand)} is stretched over several positions",
            )
        else:
            rel.same(rel.axis(operand, axis), axes[target])


def merged(rel: Relations, value: ir.Value, axes: Sequence[int]) -> Channels:
    """Returns the ids of neighbouring axes flattened in row-major order.

    With outer positions before the channels and inner ones behind them, position (o, c, i) belongs
    to channel c: the ids are repeated for the inner and tiled for the outer positions.
    """
    sizes = sizes_of(value)
    parts = [rel.axis(value, axis) for axis in axes]
    carriers = [i for i, part in enumerate(parts) if not isinstance(part, Fixed)]
    if not carriers:
        return parts[0]
    others = [sizes[axis] for i, axis in enumerate(axes) if i != carriers[0]]
    refusal = None
    if len(carriers) > 1:
        refusal = Code.MIXED, f"several axes of {name(value)} with channels are flattened into one"
    elif None in others:
        refusal = Code.DYNAMIC_SIZE, f"{name(value)} is flattened, and a size of it is not known"
    if refusal is not None:
        for i in carriers:
            rel.freeze(parts[i], *refusal)
        return Fixed(rel.reason(*refusal))
    place = carriers[0]
    ids = rel.concrete(parts[place], sizes[axes[place]] or 0)
    inner = int(np.prod([sizes[axis] or 1 for axis in axes[place + 1 :]], dtype=np.int64))
    outer = int(np.prod([sizes[axis] or 1 for axis in axes[:place]], dtype=np.int64))
    return np.tile(np.repeat(ids, inner), outer)
