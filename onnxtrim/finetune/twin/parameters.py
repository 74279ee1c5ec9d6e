"""What in a model is a parameter: something that training may move.

- the weights that write or read channels, by the rules of `channels.ops`, also where a Reshape or a
  Transpose stands between an initializer and its reader;
- the biases of convolutions and matrix products, the scales and biases of normalisations, the
  slopes of a PRelu;
- a vector that is added to or multiplied with what came out of a weight, directly or after other
  such vectors: a bias that the exporter wrote by itself, a folded normalisation.

All else is a constant: sizes, masks, anchors, means of the input, quantised weights. So is what is
used in any other way too.
"""

from collections.abc import Mapping

import onnx_ir as ir

from onnxtrim.channels.ops import rule_of
from onnxtrim.graph.shapes import dims, unranked

__all__ = ["parameters_of", "scales_of", "statistics_of"]

_VECTORS: Mapping[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2),
    "Conv": (2,),
    "ConvTranspose": (2,),
    "Gemm": (2,),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "PRelu": (1,),
    "RMSNormalization": (1,),
}
"""Operands that are biases, scales and slopes."""

_SCALES = {"BatchNormalization": (1,)}
_STATISTICS = {"BatchNormalization": (3, 4)}
_AFFINE = frozenset({"Add", "Div", "Mul", "Sub"})
_MOVES = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that may stand between an initializer and the node that reads it as a weight."""


def parameters_of(model: ir.Model) -> dict[str, ir.Node]:
    """Returns the parameters of a model with inferred shapes, each with a node that reads it."""
    found: dict[str, ir.Node] = {}
    roles: dict[str, int] = {}
    made_by_weights: set[ir.Value] = set()
    for node in model.graph:
        places = _places(model, node, made_by_weights)
        if places:
            made_by_weights.add(node.outputs[0])
        for place in places:
            value = _initializer_behind(node.inputs[place])
            if value is not None and value.dtype is not None and value.dtype.is_floating_point():
                found.setdefault(str(value.name), node)
                roles[str(value.name)] = roles.get(str(value.name), 0) + 1
    initializers = model.graph.initializers
    return {name: node for name, node in found.items() if roles[name] == _ends(initializers[name])}


def statistics_of(model: ir.Model) -> tuple[str, ...]:
    """Returns the running means and variances of normalisations that are initializers."""
    return tuple(str(value.name) for value in _operands(model, _STATISTICS))


def scales_of(model: ir.Model) -> tuple[str, ...]:
    """Returns the scales of batch normalisations that are initializers of float32."""
    found = _operands(model, _SCALES)
    return tuple(str(value.name) for value in found if value.dtype == ir.DataType.FLOAT)


def _operands(model: ir.Model, table: Mapping[str, tuple[int, ...]]) -> list[ir.Value]:
    """Returns the initializers that some operators have as some operands, once each."""
    found = [
        value
        for node in model.graph
        if node.domain == ""
        for place in table.get(node.op_type, ())
        if (value := node.inputs[place]) is not None and value.is_initializer()
    ]
    return list(dict.fromkeys(found))


def _places(model: ir.Model, node: ir.Node, made_by_weights: set[ir.Value]) -> tuple[int, ...]:
    """Returns the operands of `node` that are parameters."""
    rule = rule_of(model, node) if unranked(node) is None else None
    if node.domain != "" or rule is None:
        return ()
    weights = {weight.value for weight in rule.weights(node)}
    places = [place for place, value in enumerate(node.inputs) if value in weights]
    places += [place for place in _VECTORS.get(node.op_type, ()) if place < len(node.inputs)]
    if node.op_type in _AFFINE and made_by_weights.intersection(node.inputs):
        places += [place for place, value in enumerate(node.inputs) if _is_vector(value)]
    return tuple(places)


def _is_vector(value: ir.Value | None) -> bool:
    """Returns whether a tensor is an initializer that spans one axis at most."""
    sizes = dims(value) if value is not None and value.is_initializer() else None
    return sizes is not None and sum(size != 1 for size in sizes) <= 1


def _initializer_behind(value: ir.Value | None) -> ir.Value | None:
    """Returns the initializer that `value` is, or is made of by moving its elements."""
    while value is not None and not value.is_initializer():
        node = value.producer()
        if node is None or node.domain != "" or node.op_type not in _MOVES:
            return None
        value = node.inputs[0]
    return value


def _ends(value: ir.Value) -> int:
    """Returns how many operands read `value`, directly or by way of moved elements."""
    return (
        sum(
            _ends(node.outputs[0])
            if node.domain == "" and node.op_type in _MOVES and place == 0
            else 1
            for node, place in value.uses()
        )
        + value.is_graph_output()
    )
