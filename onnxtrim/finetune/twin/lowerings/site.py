"""Where a node is lowered: what it is fed, and how the nodes in its place are made."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.graph.edit import free_name, new_initializer
from onnxtrim.graph.shapes import Shape, dims

__all__ = ["Site"]

Attribute = int | float | str | Sequence[int]


class Site:
    """A node that is being replaced. What is made stands before it, in opset 18 or newer.

    Args:
        graph: the main graph of the twin.
        node: the node; it stays as it is until `finish`.
    """

    def __init__(self, graph: ir.Graph, node: ir.Node) -> None:
        """Starts with nothing made."""
        self.node = node
        self._graph = graph
        self._prefix = free_name(graph, f"{node.outputs[0].name}.twin")
        self._count = 0

    def operand(self, index: int) -> ir.Value | None:
        """Returns an operand; None where it is left out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    @property
    def x(self) -> ir.Value:
        """Returns the first operand.

        Raises:
            ValueError: it is left out.
        """
        value = self.operand(0)
        if value is None:
            raise ValueError(f"{self._prefix}: the first operand is left out")
        return value

    @property
    def sizes(self) -> Shape | None:
        """Returns the sizes of the first operand; None where not even the rank is known."""
        return dims(self.x)

    @property
    def opset(self) -> int:
        """Returns the operator set of the twin."""
        return self._graph.opset_imports.get("", 1)

    def add(self, op_type: str, *inputs: ir.Value | None, **attributes: Attribute) -> ir.Value:
        """Returns the output of a new node."""
        return self.add_many(op_type, 1, *inputs, **attributes)[0]

    def add_many(
        self, op_type: str, count: int, *inputs: ir.Value | None, **attributes: Attribute
    ) -> Sequence[ir.Value]:
        """Returns the outputs of a new node of `count`."""
        outputs = [ir.Value(name=self._name()) for _ in range(count)]
        attrs = [ir.convenience.convert_attribute(name, a) for name, a in attributes.items()]
        self._graph.insert_before(self.node, ir.Node("", op_type, inputs, attrs, outputs=outputs))
        return outputs

    def ints(self, *values: int) -> ir.Value:
        """Returns a vector of integers."""
        return self.constant(np.array(values, dtype=np.int64))

    def number(self, value: float) -> ir.Value:
        """Returns a scalar of the type of the first operand."""
        kind = self.x.dtype or ir.DataType.FLOAT
        return self.constant(np.array(value, dtype=kind.numpy()))

    def constant(self, array: npt.NDArray[np.generic]) -> ir.Value:
        """Returns a constant."""
        return new_initializer(self._graph, self._name(), array)

    def finish(self, *results: ir.Value) -> bool:
        """Returns whether `results`, just made, took the places and names of the outputs.

        Outputs that they do not reach to must not be read.
        """
        outputs = self.node.outputs
        if any(v.uses() or v.is_graph_output() for v in outputs[len(results) :]):
            return False
        names = [old.name for old in outputs]
        for old, result in zip(outputs, results, strict=False):
            result.type, result.shape = old.type, old.shape
            old.replace_all_uses_with(result, replace_graph_outputs=True)
        self._graph.remove(self.node, safe=True)
        for old, result, name in zip(outputs, results, names, strict=False):
            old.name, result.name = None, name
        return True

    def _name(self) -> str:
        """Returns a name that nothing bears."""
        self._count += 1
        return f"{self._prefix}.{self._count}"
