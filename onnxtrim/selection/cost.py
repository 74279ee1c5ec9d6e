"""What a model costs, now or after a cut, from the formulas of the operator rules.

MACs are multiply-accumulates of convolutions and matrix products for one sample; parameters are
the elements of every initializer but 64-bit integers, booleans and strings (shape arithmetic).
"""

import math
from dataclasses import dataclass

import onnx_ir as ir

from onnxtrim.channels import Kept
from onnxtrim.channels.ops import Shapes, rule_of
from onnxtrim.graph.constants import bodies, node_label
from onnxtrim.graph.edit import initializers

__all__ = ["Cost", "CostModel"]

_NO_PARAMETERS = frozenset(
    {ir.DataType.INT64, ir.DataType.UINT64, ir.DataType.BOOL, ir.DataType.STRING}
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Multiply-accumulates a run, parameters, and the bytes those take."""

    macs: int
    params: int
    weight_bytes: int


class CostModel:
    """The cost of a model for given sizes of its tensors.

    Attributes:
        uncounted: nodes with weights whose MACs are left out, because nobody described the
            operator or the sizes are not known.

    Args:
        model: a normalised model.
        shapes: the sizes of all its tensors for one sample, from `graph.shapes.concrete_shapes`.
    """

    def __init__(self, model: ir.Model, shapes: Shapes) -> None:
        """Looks every rule up once."""
        self._shapes = shapes
        rules = ((node, rule_of(model, node)) for node in model.graph)
        found = list(rules)
        self._nodes = [(n, rule) for n, rule in found if rule is not None and _known(n, shapes)]
        counted = {node for node, _ in self._nodes}
        self.uncounted = tuple(
            node_label(node) for node, _ in found if node not in counted and _multiplies(node)
        )
        self._inner = [
            (value.const_value.size, value.const_value.dtype.bitwidth)
            for value in initializers(model)
            if value.const_value is not None
            and value.graph is not model.graph
            and value.dtype not in _NO_PARAMETERS
        ]
        self._weights = [
            (name, value.dtype.bitwidth if value.dtype else 0)
            for name, value in model.graph.initializers.items()
            if value.dtype not in _NO_PARAMETERS
        ]

    def now(self) -> Cost:
        """Returns the cost of the model as it is."""
        return self._of(self._shapes)

    def after(self, kept: Kept) -> Cost:
        """Returns the cost once only `kept` is left."""
        return self._of(kept.shapes(self._shapes))

    def _of(self, shapes: Shapes) -> Cost:
        """Returns the cost for tensors of the given sizes."""
        sizes = [(math.prod(shapes[name]), bits) for name, bits in self._weights] + self._inner
        return Cost(
            macs=sum(rule.macs(node, shapes) for node, rule in self._nodes),
            params=sum(size for size, _ in sizes),
            weight_bytes=sum(-(-size * bits // 8) for size, bits in sizes),
        )


def _multiplies(node: ir.Node) -> bool:
    """Returns whether a node has a weight of two axes or more, or a graph inside that may."""
    return any(True for _ in bodies(node)) or any(
        v is not None
        and v.is_initializer()
        and v.dtype not in _NO_PARAMETERS
        and len(v.shape or ()) > 1
        for v in node.inputs
    )


def _known(node: ir.Node, shapes: Shapes) -> bool:
    """Returns whether the sizes of all operands of a node are known."""
    return all(v is None or v.name in shapes for v in (*node.inputs, *node.outputs))
