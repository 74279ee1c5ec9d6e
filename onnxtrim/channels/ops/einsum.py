"""Sums of products over named axes.

    a (i, k), b (k, j), "ik,kj->ij"  ->  y (i, j)

Axes of one letter have equal positions. A letter of the result hands its ids on. One that is summed
over can be cut where a constant operand has it too, as a weight that reads; between computed
operands, or over one operand alone, it cannot.
"""

import math

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule, Shapes, Weight
from onnxtrim.channels.ops.operands import freeze_all, is_constant, name, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Relations
from onnxtrim.graph.constants import string_attr

__all__ = ["Einsum"]

_Places = dict[str, list[tuple[ir.Value, int]]]
"""The operands and axes that bear each letter."""


class Einsum(OpRule):
    """`Einsum` with letters for all axes, none of them twice in an operand."""

    ops = (OpId("Einsum", since=12),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Ties the axes of each letter together, and freezes sums that no weight can drop."""
        letters = _letters(node)
        if letters is None:
            for value in node.inputs:
                freeze_all(rel, value, Code.MIXED, "the equation has an ellipsis or a diagonal")
            return
        result, places = letters
        read = [(weight.value, weight.reads) for weight in self.weights(node)]
        for letter, where in places.items():
            ids = [rel.axis(value, axis) for value, axis in where]
            for other in ids[1:]:
                rel.same(ids[0], other)
            if letter in result:
                rel.bind(node.outputs[0], result.index(letter), ids[0])
            elif not any(place in read for place in where):
                sentence = f"axis {letter!r} is summed over, and no weight reads it"
                rel.freeze(ids[0], Code.MIXED, sentence)

    def macs(self, node: ir.Node, shapes: Shapes) -> int:
        """Returns the product of the sizes of all letters."""
        letters = _letters(node)
        places = letters[1] if letters is not None else {}
        return math.prod(shapes[name(where[0][0])][where[0][1]] for where in places.values())

    def weights(self, node: ir.Node) -> tuple[Weight, ...]:
        """Returns the constant operands, once for each axis that they make or read.

        A constant that stands twice is none: a mask for one place would not be one for the other.
        """
        letters, operands = _letters(node), [value for value in node.inputs if value is not None]
        constants = [v for v in operands if is_constant(v) and operands.count(v) == 1]
        if letters is None or all(is_constant(value) for value in operands):
            return ()
        found = []
        for letter, where in letters[1].items():
            mine = [(value, axis) for value, axis in where if value in constants]
            made, read = len(where) == 1, letter not in letters[0]
            if mine and made != read:
                value, axis = mine[0]
                found.append(Weight(value, axis if made else None, axis if read else None))
        return tuple(found)


def _letters(node: ir.Node) -> tuple[str, _Places] | None:
    """Returns the letters of the result, and where each letter stands; None for what is not plain.

    Without an arrow the result has the letters that occur once, in alphabetical order.
    """
    equation = string_attr(node, "equation", "").replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if "." in equation or any(len(set(term)) != len(term) for term in terms):
        return None
    if not arrow:
        result = "".join(letter for letter in sorted(set(left) - {","}) if left.count(letter) == 1)
    places: _Places = {}
    operands = [value for value in node.inputs if value is not None]
    for term, value in zip(terms, operands, strict=True):
        for axis, letter in enumerate(term):
            places.setdefault(letter, []).append((value, axis))
    sizes = [{sizes_of(value)[axis] for value, axis in where} for where in places.values()]
    return (result, places) if all(len(found) == 1 for found in sizes) else None
