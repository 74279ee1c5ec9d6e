"""Sums of products of two operands as a matrix product.

a (batch, i, k), b (batch, k, j)  ->  y (batch, i, j)

Letters in both operands and the result are batch, those in both operands alone are summed over (k),
the others are i or j. Letters of one kind are brought together, and are one axis for the product.
"""

import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import string_attr
from onnxtrim.graph.shapes import dims

__all__ = ["einsum"]

_PAIR = 2


def einsum(site: Site) -> ir.Value | None:
    """Returns the sum of products; None where it is not one of two operands with plain letters."""
    terms = _terms(site)
    if terms is None:
        return None
    a, b, y = terms
    batch = [letter for letter in a if letter in b and letter in y]
    summed = [letter for letter in a if letter in b and letter not in y]
    rows = [letter for letter in a if letter not in b]
    columns = [letter for letter in b if letter not in a]
    if set(rows + columns) - set(y):
        return None  # a letter of one operand alone is summed over
    left = _matrix(site, 0, a, [batch, rows, summed])
    right = _matrix(site, 1, b, [batch, summed, columns])
    product = site.add("MatMul", left, right)
    sizes = [_sizes(site, 0, a, batch + rows), _sizes(site, 1, b, columns)]
    apart = site.add("Reshape", product, site.add("Concat", *sizes, axis=0))
    order = batch + rows + columns
    return site.add("Transpose", apart, perm=[order.index(letter) for letter in y])


def _terms(site: Site) -> tuple[str, str, str] | None:
    """Returns the letters of both operands and of the result; None for what is not plain.

    Without an arrow the result has the letters that occur once, in alphabetical order. A letter
    that stands for different sizes would be broadcast.
    """
    equation = string_attr(site.node, "equation", "").replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    plain = all(len(set(term)) == len(term) for term in terms)
    if "." in equation or len(terms) != _PAIR or not plain:
        return None
    if not arrow:
        result = "".join(letter for letter in sorted(set(left) - {","}) if left.count(letter) == 1)
    sizes: dict[str, int | None] = {}
    for term, value in zip(terms, site.node.inputs, strict=True):
        own = dims(value) if value is not None else None
        if own is None or any(sizes.setdefault(c, n) != n for c, n in zip(term, own, strict=True)):
            return None
    return terms[0], terms[1], result


def _matrix(site: Site, index: int, letters: str, kinds: list[list[str]]) -> ir.Value:
    """Returns an operand with its axes ordered by kind: batch as they are, then one a kind."""
    order = [letters.index(letter) for kind in kinds for letter in kind]
    turned = site.add("Transpose", site.operand(index), perm=order)
    sizes = [_sizes(site, index, letters, kinds[0])]
    sizes += [
        site.add("ReduceProd", _sizes(site, index, letters, kind), keepdims=1) for kind in kinds[1:]
    ]
    return site.add("Reshape", turned, site.add("Concat", *sizes, axis=0))


def _sizes(site: Site, index: int, letters: str, wanted: list[str]) -> ir.Value:
    """Returns the sizes of some letters of an operand, as a tensor."""
    places = site.ints(*(letters.index(letter) for letter in wanted))
    return site.add("Gather", site.add("Shape", site.operand(index)), places)
