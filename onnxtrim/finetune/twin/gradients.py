"""Which operators ONNX Runtime 1.19.2 differentiates, and by which of their operands.

`FLOWS` lists what has a gradient and a kernel for it on the CPU. `STOPS` lists operands at which
the runtime ends a gradient by itself: indices, sizes, conditions, and all of a comparison. What is
in neither has no gradient: the runtime refuses to build one through it. `_FORMS` says
of which forms it gets the gradient wrong; that of a Split is wrong wherever an output is not used,
so that Split is not listed. Nor is AveragePool, whose gradient is wrong, or ends the process, where
a size is unknown.

An operand that is not in `STOPS` of an operator in `FLOWS` is differentiated.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import onnx_ir as ir

from onnxtrim.graph.constants import constant_ints, int_attr, string_attr
from onnxtrim.graph.shapes import dims

__all__ = ["FLOWS", "STOPS", "UNKNOWN", "Edge", "edge_of", "has_gradient"]

Edge = Literal["flows", "stops", "breaks"]
"""What becomes of a gradient: it goes on, it is none, or the runtime cannot compute it."""

FLOWS = frozenset(
    {
        "Abs", "Add", "BatchNormalization", "Cast", "Clip", "Concat", "Conv",
        "Cos", "Div", "Erf", "Exp", "Expand", "Flatten", "Gather", "Gelu", "Gemm",
        "GlobalAveragePool", "Identity", "LeakyRelu", "Log", "LogSoftmax",
        "MatMul", "Max", "MaxPool", "Min", "Mul", "Neg", "Pad", "Pow", "ReduceL2", "ReduceMean",
        "ReduceSum", "Relu", "Reshape", "Sigmoid", "Sin", "Slice", "Softmax", "Sqrt",
        "Squeeze", "Sub", "Tanh", "Tile", "TopK", "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip
"""Operators with a gradient; `has_gradient` knows the forms of them that have none."""

STOPS: Mapping[str, tuple[int, ...]] = {
    "And": (0, 1),
    "BatchNormalization": (3, 4),
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "Equal": (0, 1),
    "Expand": (1,),
    "Gather": (1,),
    "Greater": (0, 1),
    "GreaterOrEqual": (0, 1),
    "IsInf": (0,),
    "IsNaN": (0,),
    "Less": (0, 1),
    "LessOrEqual": (0, 1),
    "NonZero": (0,),
    "Not": (0,),
    "OneHot": (0, 1, 2),
    "Or": (0, 1),
    "Pad": (1, 2, 3),
    "Pow": (1,),
    "Range": (0, 1, 2),
    "ReduceL2": (1,),
    "ReduceMean": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Shape": (0,),
    "Size": (0,),
    "Slice": (1, 2, 3, 4),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
    "Where": (0,),
    "Xor": (0, 1),
}
"""Operands at which a gradient ends."""

UNKNOWN = frozenset(
    {
        "Attention", "BitCast", "CausalConvWithState", "CumProd", "LinearAttention",
        "RMSNormalization", "RotaryEmbedding", "SwiGLU", "Swish", "TensorScatter",
    }
)  # fmt: skip
"""Operators newer than opset 21, which the runtime cannot even run."""

_FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE)
_PAIR = 2
_STEPS = 4


def edge_of(node: ir.Node, place: int) -> Edge:
    """Returns what becomes of a gradient between operand `place` of `node` and its outputs."""
    if node.domain == "" and place in STOPS.get(node.op_type, ()):
        return "stops"
    return "flows" if has_gradient(node) else "breaks"


def has_gradient(node: ir.Node) -> bool:
    """Returns whether the runtime differentiates `node` as it is written."""
    if node.domain != "" or node.op_type not in FLOWS:
        return False
    form = _FORMS.get(node.op_type)
    return form is None or form(node)


def _explicit_pads(node: ir.Node) -> bool:
    """Returns whether the padding is written out; the gradient takes SAME for no padding."""
    return string_attr(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID")


def _forward(node: ir.Node) -> bool:
    """Returns whether a slice runs forward; the kernel of the gradient fails on negative steps."""
    steps = constant_ints(node.inputs[_STEPS]) if len(node.inputs) > _STEPS else (1,)
    return steps is not None and min(steps) > 0


def _plain_maximum(node: ir.Node) -> bool:
    """Returns whether the sizes of space are known, else the gradient is 0; no place is read."""
    sizes = dims(node.inputs[0]) if node.inputs[0] is not None else None
    known = sizes is not None and None not in sizes[2:]
    read = any(v.uses() or v.is_graph_output() for v in node.outputs[1:])
    return known and not read and _explicit_pads(node)


_FORMS: Mapping[str, Callable[[ir.Node], bool]] = {
    "BatchNormalization": lambda node: not int_attr(node, "training_mode", 0),
    "Cast": lambda node: (
        node.inputs[0] is not None and {node.inputs[0].dtype, node.outputs[0].dtype} <= set(_FLOATS)
    ),
    "Conv": _explicit_pads,
    "Max": lambda node: len(node.inputs) <= _PAIR,
    "MaxPool": _plain_maximum,
    "Min": lambda node: len(node.inputs) <= _PAIR,
    "Pad": lambda node: string_attr(node, "mode", "constant") == "constant",
    "Slice": _forward,
}
"""When an operator of `FLOWS` has no gradient after all."""
