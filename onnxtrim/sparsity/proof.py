"""Proof of weight pruning: only zeros are new, and the result is the original times masks.

    every weight is, bit by bit, what it was or +0.0
    every output is that of the original with `w * mask` in the place of each weight w

Both models run on samples without optimisations, as in `surgery/verify.py`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.errors import VerificationError
from onnxtrim.graph.constants import constant
from onnxtrim.graph.edit import free_name, new_initializer
from onnxtrim.graph.runtime import Arrays
from onnxtrim.surgery import Verification, compared

__all__ = ["proven", "zeros_stay"]

Mask = npt.NDArray[np.bool_]


def proven(before: ir.Model, after: ir.Model, inputs: Arrays, samples: int) -> Verification:
    """Returns the measured errors of a model with zeros against the original times masks.

    Args:
        before: the original.
        after: the same graph with more zeros.
        inputs: what both run on.
        samples: how many real ones these are.

    Raises:
        ModelError: the runtime cannot run the original, or it answers nothing finite.
        VerificationError: something else than zeros is new, or outputs differ.
    """
    return compared(_masked(before, _kept(before, after)), before, after, inputs, samples)


def zeros_stay(sparse: ir.Model, tuned: ir.Model) -> None:
    """Raises VerificationError where a weight is not 0 any more that training had to keep 0."""
    others = tuned.graph.initializers
    for name, value in sparse.graph.initializers.items():
        if value.const_value is others[name].const_value:
            continue
        old, new = constant(value), constant(others[name])
        if old is None or new is None or old.ndim < 2:  # a bias, a norm
            continue
        moved = int(np.count_nonzero(new[old == 0]))
        if moved:
            raise VerificationError(
                f"weight {name!r}: {moved} zeros were lost in tuning; this is a fault of onnxtrim, "
                "please report it"
            )


def _kept(before: ir.Model, after: ir.Model) -> dict[str, Mask]:
    """Returns where each weight that has changed is what it was.

    Raises:
        VerificationError: it is something else than 0 elsewhere.
    """
    found: dict[str, Mask] = {}
    if list(before.graph.initializers) != list(after.graph.initializers):
        raise VerificationError("the sparse model has other initializers than the original")
    for name, value in before.graph.initializers.items():
        other = after.graph.initializers[name]
        if value.const_value is other.const_value:
            continue
        old, new = constant(value), constant(other)
        if old is None or new is None or (old.dtype, old.shape) != (new.dtype, new.shape):
            raise VerificationError(f"weight {name!r} has another type or other sizes")
        bits = _bits(old), _bits(new)
        found[name] = bits[0] == bits[1]
        if bits[1][~found[name]].any():
            raise VerificationError(f"weight {name!r} is neither what it was nor 0 somewhere")
    return found


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns the bits of every element as a whole number."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}").reshape(array.shape)


def _masked(model: ir.Model, kept: Mapping[str, Mask]) -> ir.Model:
    """Returns a clone that multiplies weights by masks of 0 and 1 wherever it reads them."""
    clone = model.clone()
    graph = clone.graph
    first = next(iter(graph))
    for name, stays in kept.items():
        value = graph.initializers[name]
        uses = list(value.uses())
        kind = (value.dtype or ir.DataType.FLOAT).numpy()
        mask = new_initializer(graph, f"{name}.mask", stays.astype(kind))
        result = ir.Value(name=free_name(graph, f"{mask.name}.product"))
        result.type, result.shape = value.type, value.shape
        graph.insert_before(first, ir.Node("", "Mul", [value, mask], outputs=[result]))
        for node, place in uses:
            node.replace_input_with(place, result)
    return clone
