"""Functions of any number of operands, as chains of two.

Sum, Max, Min   f(f(a, b), c) ...
Mean            Sum / n
"""

from functools import reduce

import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site

__all__ = ["extreme", "mean", "total"]


def total(site: Site) -> ir.Value:
    """Returns the sum of all operands."""
    return _chain(site, "Add")


def mean(site: Site) -> ir.Value:
    """Returns the mean of all operands."""
    return site.add("Mul", _chain(site, "Add"), site.number(1 / len(site.node.inputs)))


def extreme(site: Site) -> ir.Value:
    """Returns the largest, or the smallest, of all operands."""
    return _chain(site, site.node.op_type)


def _chain(site: Site, op_type: str) -> ir.Value:
    """Returns all operands joined by an operator of two."""
    operands = [value for value in site.node.inputs if value is not None]
    if len(operands) == 1:
        return site.add("Identity", operands[0])
    return reduce(lambda a, b: site.add(op_type, a, b), operands)
