"""Strict shapes: the one place that runs shape inference.

Stored interior shapes are dropped and inferred anew, so that nothing stale survives a cut. Only
where inference knows nothing do the stored ones stay: those of operators of other domains, or
behind sizes that are fed. A cut narrows them first (`surgery.cut`).
"""

from collections.abc import Collection

import onnx_ir as ir

from onnxtrim.errors import ModelError
from onnxtrim.graph import proto as edge
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = ["Shape", "concrete_shapes", "dims", "infer_shapes", "pinned", "ranked", "unranked"]

Shape = tuple[int | None, ...]
"""Sizes of a tensor; None where the size is not known before the run."""

_STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


def dims(value: ir.Value) -> Shape | None:
    """Returns the sizes of `value`, None for a symbolic one; None where the rank is unknown."""
    if value.shape is None:
        return None
    return tuple(d if isinstance(d, int) else None for d in value.shape)


def unranked(node: ir.Node) -> str | None:
    """Returns the name of an operand or result of `node` whose rank is unknown, if there is one."""
    for value in (*node.inputs, *node.outputs):
        if value is not None and value.name and value.shape is None:
            return value.name
    return None


def infer_shapes(model: ir.Model) -> ir.Model:
    """Returns a clone of `model` in which every interior shape is inferred from the inputs.

    Raises:
        ShapeError: shapes contradict each other.
    """
    clone = model.clone()
    stored = {v.name: v.shape for v in _interior(clone)}
    for value in _interior(clone):
        node = value.producer()
        if node is not None and node.domain in _STANDARD_DOMAINS:
            value.shape = None
    types = edge.inferred_types(edge.skeleton(clone))
    for value in _interior(clone):
        found = types.get(value.name or "")
        if found is not None:
            value.type = found.type
            value.shape = found.shape
        if value.shape is None:
            value.shape = stored[value.name]
    return clone


def concrete_shapes(model: ir.Model, sample: Arrays) -> dict[str, tuple[int, ...]]:
    """Returns the sizes of every tensor when `model` runs on `sample`.

    What inference cannot tell is measured by a run. Where the runtime cannot run the model either,
    those tensors are left out.

    Raises:
        ShapeError: the input sizes contradict the graph.
    """
    proto = edge.skeleton(model)
    edge.pin_input_shapes(proto, {name: array.shape for name, array in sample.items()})
    del proto.graph.value_info[:]
    for value in proto.graph.output:  # a declared symbolic size must not hide the inferred one
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    shapes: dict[str, tuple[int, ...]] = {}
    for name, found in edge.inferred_types(proto).items():
        if found.shape is not None and all(isinstance(d, int) for d in found.shape):
            shapes[name] = tuple(d for d in found.shape if isinstance(d, int))
    for name, value in model.graph.initializers.items():
        shapes[name] = tuple(d or 0 for d in dims(value) or ())
    unknown = [v for node in model.graph for v in node.outputs if v.name and v.name not in shapes]
    return shapes | _measured(model, unknown, sample)


def pinned(model: ir.Model, sample: Arrays) -> ir.Model:
    """Returns a clone whose tensors have the sizes that they have when it runs on `sample`.

    Raises:
        ShapeError: the input sizes contradict the graph.
    """
    shapes, clone = concrete_shapes(model, sample), model.clone()
    made = (value for node in clone.graph for value in node.outputs)
    for value in (*clone.graph.inputs, *made):
        if value.name in shapes and value.type is not None:
            value.shape = ir.Shape(shapes[value.name])
    return clone


def ranked(model: ir.Model, sample: Arrays) -> ir.Model:
    """Returns a clone in which tensors of no known type or rank have what a run on `sample` finds.

    These are made by operators of other domains, or follow from sizes that are fed. Their sizes
    stay open. Where the runtime cannot run the model, so do types and ranks.
    """
    clone = model.clone()
    values = [v for v in _interior(clone) if v.type is None or v.shape is None]
    found = _outputs(model, {str(value.name) for value in values}, sample)
    for value in values:
        array = found.get(str(value.name))
        if array is not None:
            value.type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
            value.shape = ir.Shape([None] * array.ndim)
    return clone


def _measured(
    model: ir.Model, values: list[ir.Value], sample: Arrays
) -> dict[str, tuple[int, ...]]:
    """Returns the sizes that `values` have when `model` runs on `sample`."""
    names = {str(value.name) for value in values}
    return {name: array.shape for name, array in _outputs(model, names, sample).items()}


def _outputs(model: ir.Model, names: Collection[str], sample: Arrays) -> Arrays:
    """Returns some tensors of `model` for `sample`; none where the runtime cannot run it."""
    if not names:
        return {}
    clone = model.clone()
    outputs = [v for node in clone.graph for v in node.outputs if v.name in names]
    clone.graph.outputs.clear()
    clone.graph.outputs.extend(outputs)
    try:
        return Runner(clone, optimize=False)(sample)
    except ModelError:
        return {}


def _interior(model: ir.Model) -> list[ir.Value]:
    """Returns the tensors made by nodes of the main graph that are no graph outputs."""
    outputs = set(model.graph.outputs)
    return [v for node in model.graph for v in node.outputs if v.name and v not in outputs]
