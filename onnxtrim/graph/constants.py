"""Small typed readers: attributes of a node, constants behind a value, a name for a node."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

__all__ = [
    "bodies",
    "constant",
    "constant_ints",
    "float_attr",
    "int_attr",
    "ints_attr",
    "node_label",
    "opset_of",
    "string_attr",
]


def int_attr(node: ir.Node, name: str, default: int) -> int:
    """Returns the integer attribute `name` of `node`, or `default`."""
    attr = node.attributes.get(name)
    return default if attr is None else attr.as_int()


def float_attr(node: ir.Node, name: str, default: float) -> float:
    """Returns the float attribute `name` of `node`, or `default`."""
    attr = node.attributes.get(name)
    return default if attr is None else attr.as_float()


def ints_attr(node: ir.Node, name: str) -> tuple[int, ...] | None:
    """Returns the integer list attribute `name` of `node`, or None."""
    attr = node.attributes.get(name)
    return None if attr is None else tuple(attr.as_ints())


def string_attr(node: ir.Node, name: str, default: str) -> str:
    """Returns the string attribute `name` of `node`, or `default`."""
    attr = node.attributes.get(name)
    return default if attr is None else attr.as_string()


def bodies(node: ir.Node) -> Iterator[ir.Graph]:
    """Yields the graphs in the attributes of `node`: the bodies of If, Loop and Scan."""
    for attr in node.attributes.values():
        if attr.type == ir.AttributeType.GRAPH:
            yield attr.as_graph()
        elif attr.type == ir.AttributeType.GRAPHS:
            yield from attr.as_graphs()


def constant(value: ir.Value | None) -> npt.NDArray[np.generic] | None:
    """Returns the array behind an initializer, or None for anything computed or fed."""
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    return value.const_value.numpy()


def constant_ints(value: ir.Value | None) -> tuple[int, ...] | None:
    """Returns the integers behind a constant shape, axes or sizes operand, or None."""
    array = constant(value)
    if array is None or array.dtype.kind not in "iu":
        return None
    return tuple(int(i) for i in array.reshape(-1))


def node_label(node: ir.Node) -> str:
    """Returns the name of `node`; nodes without one are named by operator and first output."""
    if node.name:
        return node.name
    output = next((v.name for v in node.outputs if v.name), "")
    return f"{node.op_type}({output})"


def opset_of(model: ir.Model, node: ir.Node) -> int:
    """Returns the version of the operator set that `node` belongs to."""
    return model.opset_imports.get(node.domain, 1)
