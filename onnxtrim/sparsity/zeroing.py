"""Model -> the same model with some weights 0, and what became of each weight tensor.

A loop may raise the share step by step, and let the model learn in between with its zeros kept:
the zeros of a model that is sparse already are its least weights, so that they stay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.config import Scope
from onnxtrim.errors import ModelError
from onnxtrim.graph.constants import constant
from onnxtrim.sparsity.candidates import Candidate, candidates_of
from onnxtrim.sparsity.ranking import count_of, least, least_of_rows
from onnxtrim.zeros import Pattern

__all__ = ["SparseLayer", "patterned", "recounted", "sparsified"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SparseLayer:
    """A weight tensor, and how many of its elements are 0.

    Attributes:
        tensor: its name.
        weights: its elements.
        zeros_before: those that were 0 already.
        zeros: those that are 0.
        sparsity: their share.
        reason: why it was left as it was; empty where it was not.
    """

    tensor: str
    weights: int
    zeros_before: int
    zeros: int
    sparsity: float
    reason: str = ""


def sparsified(
    model: ir.Model,
    fraction: float,
    scope: Scope = "global",
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> tuple[ir.Model, tuple[SparseLayer, ...]]:
    """Returns a clone in which a fraction of the weights is 0, the least ones, and every layer.

    Where more are 0 already, nothing changes.

    Args:
        model: a normalised model; stays as it is.
        fraction: of the elements of all weights that may become sparse, in [0, 1).
        scope: `global` compares all of them, `layer` takes the same share of each tensor.
        include: globs of the weights, or nodes, that alone may become sparse.
        exclude: globs of those that may not.

    Raises:
        UsageError: a glob matches nothing.
        ModelError: there is no weight that may become sparse.
    """
    found = _chosen(model, include, exclude)
    arrays = [_array(model, each.tensor) for each in found if not each.reason]
    if scope == "layer":
        masks = [mask for a in arrays for mask in least([a], count_of(fraction, a.size))]
    else:
        masks = least(arrays, count_of(fraction, sum(a.size for a in arrays)))
    names = [each.tensor for each in found if not each.reason]
    return _with_zeros(model, found, dict(zip(names, masks, strict=True)))


def patterned(
    model: ir.Model,
    pattern: Pattern,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> tuple[ir.Model, tuple[SparseLayer, ...]]:
    """Returns a clone whose weights have a pattern, as `ranking.py` lays it out, and every layer.

    Weights that it does not fit stay dense, with the reason.

    Args:
        model: a normalised model; stays as it is.
        pattern: how many of how many in a row may differ from 0.
        include: as in `sparsified`.
        exclude: as in `sparsified`.

    Raises:
        UsageError: a glob matches nothing.
        ModelError: there is no weight that the pattern fits.
    """
    found = [_fitted(model, each, pattern) for each in _chosen(model, include, exclude)]
    masks = {
        each.tensor: least_of_rows(_array(model, each.tensor), each.axis, pattern)
        for each in found
        if not each.reason and each.axis is not None
    }
    if not masks:
        raise ModelError(
            f"--pattern {pattern.kept}:{pattern.width}: fits no weight "
            f"({found[0].tensor}: {found[0].reason})"
        )
    return _with_zeros(model, found, masks)


def recounted(model: ir.Model, layers: Sequence[SparseLayer]) -> tuple[SparseLayer, ...]:
    """Returns layers with the zeros that a model has there now."""
    return tuple(_counted(layer, _array(model, layer.tensor)) for layer in layers)


def _chosen(
    model: ir.Model, include: Sequence[str], exclude: Sequence[str]
) -> tuple[Candidate, ...]:
    """Returns the candidates of a model.

    Raises:
        UsageError: a glob matches nothing.
        ModelError: none may become sparse.
    """
    found = candidates_of(model, include, exclude)
    if all(each.reason for each in found):
        why = f" ({found[0].tensor}: {found[0].reason})" if found else ""
        raise ModelError(
            "model: there is no weight that may become sparse, an initializer of real numbers that "
            f"a convolution or a matrix product multiplies by{why}"
        )
    return found


def _fitted(model: ir.Model, candidate: Candidate, pattern: Pattern) -> Candidate:
    """Returns a candidate that stays dense where a pattern does not fit it."""
    if candidate.reason:
        return candidate
    if candidate.axis is None:
        reason = "it has no axis of its own that reads channels, or several, or its elements move"
        return replace(candidate, reason=reason)
    length = _array(model, candidate.tensor).shape[candidate.axis] // candidate.blocks
    if length % pattern.width:
        reason = f"it reads {length} in a row, which is no multiple of {pattern.width}"
        return replace(candidate, reason=reason)
    return candidate


def _with_zeros(
    model: ir.Model, found: Sequence[Candidate], masks: Mapping[str, Mask]
) -> tuple[ir.Model, tuple[SparseLayer, ...]]:
    """Returns a clone whose weights are 0 where masks say so, and every layer."""
    clone, layers = model.clone(), []
    for each in found:
        old = _array(model, each.tensor)
        before = int(np.count_nonzero(old == 0))
        layer = SparseLayer(each.tensor, old.size, before, before, 0.0, each.reason)
        gone = masks.get(each.tensor)
        if gone is not None and (gone & (old != 0)).any():
            new = np.array(old)
            new[gone & (old != 0)] = 0
            value = clone.graph.initializers[each.tensor]
            value.const_value = ir.Tensor(new, name=value.name)
            old = new
        layers.append(_counted(layer, old))
    return clone, tuple(layers)


def _counted(layer: SparseLayer, array: npt.NDArray[Any]) -> SparseLayer:
    """Returns a layer with the zeros of an array."""
    zeros = int(np.count_nonzero(array == 0))
    return replace(layer, zeros=zeros, sparsity=zeros / array.size if array.size else 0.0)


def _array(model: ir.Model, name: str) -> npt.NDArray[Any]:
    """Returns the elements of an initializer."""
    return np.asarray(constant(model.graph.initializers[name]))
