"""Strict shapes: the one place that runs shape inference.

Stored interior shapes are dropped and inferred anew, so that nothing stale survives a cut. Only
where inference knows nothing (operators of other domains) do the stored shapes stay.
"""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from onnxtrim.errors import ShapeError
from onnxtrim.graph import proto as edge

__all__ = ["Shape", "concrete_shapes", "dims", "infer_shapes"]

Shape = tuple[int | None, ...]
"""Sizes of a tensor; None where the size is not known before the run."""

_STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


def dims(value: ir.Value) -> Shape | None:
    """Returns the sizes of `value`, None for a symbolic one; None where the rank is unknown."""
    if value.shape is None:
        return None
    return tuple(d if isinstance(d, int) else None for d in value.shape)


def infer_shapes(model: ir.Model) -> ir.Model:
    """Returns a clone of `model` in which every interior shape is inferred from the inputs.

    Raises:
        ShapeError: shapes contradict each other, or a tensor that had a shape lost it.
    """
    clone = model.clone()
    had_shape = {v.name for v in _interior(clone) if v.shape is not None}
    for value in _interior(clone):
        node = value.producer()
        if node is not None and node.domain in _STANDARD_DOMAINS:
            value.shape = None
    types = edge.inferred_types(edge.skeleton(clone))
    for value in _interior(clone):
        found = types.get(value.name or "")
        if found is None:
            continue
        value.type = found.type
        value.shape = found.shape
    lost = [v.name for v in _interior(clone) if v.shape is None and v.name in had_shape]
    if lost:
        raise ShapeError(f"the shape of tensor {lost[0]!r} can no longer be inferred")
    return clone


def concrete_shapes(
    model: ir.Model, inputs: Mapping[str, Sequence[int]] | None = None
) -> dict[str, tuple[int, ...]]:
    """Returns the sizes of every tensor for inputs of the given sizes.

    Without `inputs`, and where a size still cannot be known, a symbolic size counts as 1.

    Raises:
        ShapeError: the input sizes contradict the graph.
    """
    proto = edge.skeleton(model)
    ones = {v.name: [d or 1 for d in dims(v) or ()] for v in model.graph.inputs if v.name}
    edge.pin_input_shapes(proto, {**ones, **(inputs or {})})
    del proto.graph.value_info[:]
    for value in proto.graph.output:  # a declared symbolic size must not hide the inferred one
        value.type.tensor_type.ClearField("shape")
    shapes: dict[str, tuple[int, ...]] = {}
    for name, found in edge.inferred_types(proto).items():
        if found.shape is not None:
            shapes[name] = tuple(d if isinstance(d, int) else 1 for d in found.shape)
    for name, value in model.graph.initializers.items():
        shapes[name] = tuple(d or 1 for d in dims(value) or ())
    return shapes


def _interior(model: ir.Model) -> list[ir.Value]:
    """Returns the tensors made by nodes of the main graph that are no graph outputs."""
    outputs = set(model.graph.outputs)
    return [v for node in model.graph for v in node.outputs if v.name and v not in outputs]
