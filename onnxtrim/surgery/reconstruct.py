"""What readers lost, predicted from what they have left: closed form, from moments of the original.

A reader computes w p + c of its features p. Of these S stay and R go. With mean m and covariance C
of p, the weights v and the bias e of the features that stay minimise

    E |(w p + c) - (v p_S + e)|^2 + k |v - w_S|^2                k: a ridge

    v = w_S + (w C_S - w_S C_SS) (C_SS + k I)^-1                 C_S: columns S of C
    e = c + w m - v m_S

which is exact where the features that go are linear in those that stay, a constant among them. It
holds block by block, whatever the kernel: its positions are features of their own. `fitted` is the
same regression for any target; here the target is what the reader made.

The ridge keeps weights from chasing what is noise. There is as much of that as no weights explain:

    k = _RIDGE (mean variance of p_S) r,      r = (unexplained share of the target) n / (n - |S|)

with n rows, and r = 1 where there are no more rows than features. So what is linear stays exact.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.moments import Moments
from onnxtrim.channels import Kept
from onnxtrim.channels.ops import Product, products_of, refit, takes_bias
from onnxtrim.graph.constants import constant

__all__ = ["fitted", "reconstructed", "weight_of"]

Floats = npt.NDArray[np.float64]

_RIDGE = 1e-2
_LEAST_RIDGE = 1e-9
"""Without which features that are alike could not be told apart."""


def reconstructed(
    original: ir.Model,
    thinner: ir.Model,
    kept: Kept,
    moments: Mapping[str, Moments],
    *,
    grow: bool = True,
) -> ir.Model:
    """Returns a clone of a cut model whose readers make good for what they lost.

    Args:
        original: the model before the cut.
        thinner: the model after it.
        kept: what the cut has left.
        moments: of what readers of the original read, by weight; others stay as they were cut.
        grow: whether a reader may get a bias that has no place for one yet. One that may not is
            fitted through the origin, by second moments instead of covariances.
    """
    clone = thinner.clone()
    before = {product.weight: product for product in products_of(original)}
    for product in products_of(clone):
        indices = kept.indices(product.weight, product.axes[1])
        if indices is None or product.weight not in moments or product.weight not in before:
            continue
        old, known = before[product.weight], moments[product.weight]
        features = old.features(indices[:, None]).ravel()
        whole = _rows_left(old, weight_of(original, old), kept)
        bias = product.bias_in(clone)
        start = product.matrix(weight_of(clone, product))
        biased = grow or takes_bias(clone, product)
        second = known.covariance if biased else known.square
        target = second @ whole.swapaxes(1, 2)
        spread = np.einsum("bof,bfo->bo", whole, target)
        matrix = fitted(
            second[:, features][:, :, features], target[:, features], spread, start, known.count
        )
        if biased:
            bias += _times(whole, known.mean) - _times(matrix, known.mean[:, features])
        refit(clone, product, matrix, bias)
    return clone


def fitted(
    covariance: Floats, target: Floats, spread: Floats, start: Floats, rows: float
) -> Floats:
    """Returns the weights of the regression, (blocks, outputs, features).

    Args:
        covariance: of features, (blocks, features, features).
        target: of features with targets, (blocks, features, outputs).
        spread: the variance of targets, (blocks, outputs).
        start: the weights that they are drawn to, (blocks, outputs, features).
        rows: how many rows these are of.
    """
    free = _drawn(covariance, target, start, np.full(len(covariance), _LEAST_RIDGE))
    left = _unexplained(covariance, target, spread, free, rows)
    return _drawn(covariance, target, start, np.maximum(_RIDGE * left, _LEAST_RIDGE))


def _drawn(covariance: Floats, target: Floats, start: Floats, ridge: Floats) -> Floats:
    """Returns the weights of the regression with a ridge, (blocks,), of the mean variance."""
    count = covariance.shape[-1]
    variance = np.trace(covariance, axis1=1, axis2=2) / max(count, 1)
    drawn = np.maximum(ridge * variance, 1e-30)[:, None, None] * np.eye(count)
    first = start.swapaxes(1, 2)
    gain = np.linalg.solve(covariance + drawn, target - covariance @ first)
    return np.asarray((first + gain).swapaxes(1, 2))


def _unexplained(
    covariance: Floats, target: Floats, spread: Floats, matrix: Floats, rows: float
) -> Floats:
    """Returns the share of the targets' variance that weights leave, (blocks,), from 0 to 1."""
    crossed = np.einsum("bof,bfo->b", matrix, target)
    made = np.einsum("bof,bfo->b", matrix, covariance @ matrix.swapaxes(1, 2))
    whole = spread.sum(axis=1)
    share = (whole - 2 * crossed + made) / np.where(whole > 0, whole, 1.0)
    spare = rows - covariance.shape[-1]
    return np.clip(share * rows / spare, 0.0, 1.0) if spare > 0 else np.ones_like(share)


def weight_of(model: ir.Model, product: Product) -> npt.NDArray[np.float64]:
    """Returns the weight of a product.

    Raises:
        ValueError: it is no constant.
    """
    array = constant(model.graph.initializers[product.weight])
    if array is None:
        raise ValueError(f"{product.weight} is no constant")
    return array.astype(np.float64)


def _rows_left(product: Product, weight: Floats, kept: Kept) -> Floats:
    """Returns a weight of the original as (blocks, outputs that stay, features)."""
    outputs = kept.indices(product.weight, product.axes[0])
    rows = weight if outputs is None else np.take(weight, outputs, axis=product.axes[0])
    return product.matrix(rows)


def _times(matrix: Floats, vector: Floats) -> Floats:
    """Returns matrix times vector, block by block, (blocks, outputs)."""
    return np.asarray((matrix @ vector[:, :, None])[:, :, 0])
