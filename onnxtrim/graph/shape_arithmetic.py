"""What is known of shapes that the graph itself computes.

Exporters write `x.view(x.size(0), -1)` as Shape -> Gather -> Unsqueeze -> Concat -> Reshape. Each
element of such a computed shape is a size, the name of a symbolic size, or unknown; following them
through the few operators that do this arithmetic turns most targets into constants.
"""

from collections.abc import Callable

import onnx_ir as ir

from onnxtrim.graph.constants import constant_ints, int_attr, ints_attr

__all__ = ["Element", "computed_shapes"]

Element = int | str | None
"""A size, the name of a symbolic size, or None for one of which nothing is known."""

_Elements = tuple[Element, ...]
_Known = dict[ir.Value, _Elements]
_LONGEST = 64

_EXACT_UP_TO = {
    ir.DataType.INT32: 2**31 - 1,
    ir.DataType.INT64: 2**63 - 1,
    ir.DataType.FLOAT: 2**24,
    ir.DataType.DOUBLE: 2**53,
}
"""The largest size that a type can hold; types that are not listed cannot be relied on."""


def computed_shapes(graph: ir.Graph) -> dict[ir.Value, tuple[Element, ...]]:
    """Returns the elements of every integer scalar or vector that is computed from shapes."""
    known: _Known = {}
    for value in graph.initializers.values():
        ints = constant_ints(value) if _is_short_vector(value) else None
        if ints is not None:
            known[value] = ints
    for node in graph:
        rule = _RULES.get(node.op_type) if node.domain == "" else None
        elements = rule(node, known) if rule is not None else None
        if elements is not None and _is_vector(node.outputs[0]) and len(elements) <= _LONGEST:
            known[node.outputs[0]] = elements
    return known


def _is_short_vector(value: ir.Value) -> bool:
    """Returns whether a constant is a scalar or vector of few elements, from its shape alone."""
    tensor = value.const_value
    return tensor is not None and len(tensor.shape) < 2 and tensor.size <= _LONGEST


def _is_vector(value: ir.Value) -> bool:
    """Returns whether a tensor is known to be a scalar or a vector."""
    return value.shape is not None and len(value.shape) < 2


def _shape(node: ir.Node, known: _Known) -> _Elements | None:
    """Returns the sizes of the operand, or of the part between `start` and `end`."""
    x = node.inputs[0]
    if x is None or x.shape is None:
        return None
    sizes = [d if isinstance(d, int) else d.value for d in x.shape]
    return tuple(sizes[int_attr(node, "start", 0) : int_attr(node, "end", len(sizes))])


def _gather(node: ir.Node, known: _Known) -> _Elements | None:
    """Returns the chosen elements."""
    data, indices = _operand(node, 0, known), constant_ints(node.inputs[1])
    if data is None or indices is None or any(not -len(data) <= i < len(data) for i in indices):
        return None
    return tuple(data[i] for i in indices)


def _slice(node: ir.Node, known: _Known) -> _Elements | None:
    """Returns the elements between constant bounds."""
    data = _operand(node, 0, known)
    bounds = [_bound(node, i, name) for i, name in ((1, "starts"), (2, "ends"))]
    steps = constant_ints(node.inputs[4]) if len(node.inputs) > 4 else (1,)
    if data is None or steps is None or any(b is None or len(b) != 1 for b in bounds):
        return None
    (start,), (end,) = (b or (0,) for b in bounds)
    return data[start : end : steps[0]]


def _bound(node: ir.Node, index: int, attribute: str) -> tuple[int, ...] | None:
    """Returns a bound of a slice, an operand since opset 10 and an attribute before."""
    if index < len(node.inputs):
        return constant_ints(node.inputs[index])
    return ints_attr(node, attribute)


def _concat(node: ir.Node, known: _Known) -> _Elements | None:
    """Returns the elements of all operands; unknown ones where an operand is known by size only."""
    parts: list[Element] = []
    for index, value in enumerate(node.inputs):
        part = _operand(node, index, known)
        if part is None:
            length = value.shape[0] if value is not None and value.shape else None
            if not isinstance(length, int):
                return None
            part = (None,) * length
        parts += part
    return tuple(parts)


def _same(node: ir.Node, known: _Known) -> _Elements | None:
    """Returns the elements of the operand: what changes the rank only."""
    return _operand(node, 0, known)


def _cast(node: ir.Node, known: _Known) -> _Elements | None:
    """Returns the elements of the operand, if the new type can hold them."""
    elements = _operand(node, 0, known)
    largest = _EXACT_UP_TO.get(ir.DataType(int_attr(node, "to", 0)))
    if elements is None or largest is None:
        return None
    return elements if all(e <= largest for e in elements if isinstance(e, int)) else None


def _product(node: ir.Node, known: _Known) -> _Elements | None:
    """Returns a product of two vectors of one length, where both elements are sizes."""
    a, b = _operand(node, 0, known), _operand(node, 1, known)
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(
        x * y if isinstance(x, int) and isinstance(y, int) else None
        for x, y in zip(a, b, strict=True)
    )


def _operand(node: ir.Node, index: int, known: _Known) -> _Elements | None:
    """Returns what is known of an operand."""
    value = node.inputs[index] if index < len(node.inputs) else None
    return None if value is None else known.get(value)


_RULES: dict[str, Callable[[ir.Node, _Known], _Elements | None]] = {
    "Cast": _cast,
    "Concat": _concat,
    "Gather": _gather,
    "Identity": _same,
    "Mul": _product,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _same,
    "Unsqueeze": _same,
}
