"""Whether two models can take each other's place."""

from collections.abc import Sequence

import onnx_ir as ir

from onnxtrim.graph.shapes import Shape, dims

__all__ = ["same_interface"]


def same_interface(one: ir.Model, other: ir.Model) -> bool:
    """Returns whether two models have the same inputs, and outputs that agree.

    Outputs agree in name, type, rank, and every size that both models state.
    """
    inputs = [[(v.name, v.dtype, dims(v)) for v in model.graph.inputs] for model in (one, other)]
    return inputs[0] == inputs[1] and _agree(one.graph.outputs, other.graph.outputs)


def _agree(some: Sequence[ir.Value], others: Sequence[ir.Value]) -> bool:
    """Returns whether two lists of tensors agree."""
    return len(some) == len(others) and all(
        (a.name, a.dtype) == (b.name, b.dtype) and _compatible(dims(a), dims(b))
        for a, b in zip(some, others, strict=True)
    )


def _compatible(a: Shape | None, b: Shape | None) -> bool:
    """Returns whether two shapes can be those of one tensor, as far as they are stated."""
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(
        x is None or y is None or x == y for x, y in zip(a, b, strict=True)
    )
