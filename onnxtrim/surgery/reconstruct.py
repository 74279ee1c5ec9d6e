"""What readers lost, predicted from what they have left: closed form, from moments of the original.

A reader computes w p + c of its features p. Of these S stay and R go. With mean m and covariance C
of p, the weights v and the bias e of the features that stay minimise

    E |(w p + c) - (v p_S + e)|^2 + k |v - w_S|^2                k: a ridge

    v = w_S + (w C_S - w_S C_SS) (C_SS + k I)^-1                 C_S: columns S of C
    e = c + w m - v m_S

which is exact where the features that go are linear in those that stay, a constant among them. It
holds block by block, whatever the kernel: its positions are features of their own. `fitted` is the
same regression for any target; here the target is what the reader made.

The ridge keeps weights from chasing what is noise. It is chosen by generalised cross-validation
(Golub, Heath & Wahba, 1979): of n independent rows, that which makes least of

    G(k) = R(k) / (1 - f(k) / n)^2          R: the variance that is left,  f: features in use

With C_SS = Q L Q', D = Q' (T - C_SS w_S') and the variance s of what the first weights leave,

    R(k) = s - sum_j |D_j|^2 (L_j + 2 k) / (L_j + k)^2,        f(k) = sum_j L_j / (L_j + k)

So what is linear stays exact, and what few samples show changes little.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.moments import Moments
from onnxtrim.channels import Kept
from onnxtrim.channels.ops import Product, products_of, refit, takes_bias
from onnxtrim.graph.constants import constant

__all__ = ["fitted", "reconstructed", "regressed", "weight_of"]

Floats = npt.NDArray[np.float64]

_RIDGES = np.geomspace(1e-9, 1e3, 25)
"""What is tried, of the mean variance of the features."""

_FLAT = 1e-2
"""Of the mean square: the smallest ridge is then 1e-11 of it, well above what rounding leaves."""

_SPARE = 0.3
"""The share of the rows that must be left over: where all are used up, nothing is in doubt."""

_NOISE = 1e-12
"""The share of the variance below which what is left is rounding."""


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
            second[:, features][:, :, features],
            target[:, features],
            spread,
            start,
            known.independent,
            known.power,
        )
        if biased:
            bias += _times(whole, known.mean) - _times(matrix, known.mean[:, features])
        refit(clone, product, matrix, bias)
    return clone


def fitted(
    covariance: Floats,
    target: Floats,
    spread: Floats,
    start: Floats,
    rows: float,
    power: Floats | None = None,
) -> Floats:
    """Returns the weights of the regression, (blocks, outputs, features).

    Args:
        covariance: of features, (blocks, features, features).
        target: of features with targets, (blocks, features, outputs).
        spread: the variance of targets, (blocks, outputs).
        start: the weights that they are drawn to, (blocks, outputs, features).
        rows: how many independent rows these are of.
        power: the mean square of the features of each block, (blocks,): what varies by less than
            its rounding does not vary. That of features with mean 0 by default.
    """
    first = start.swapaxes(1, 2)
    lengths, axes = np.linalg.eigh(covariance)
    lengths = np.maximum(lengths, 0.0)
    off = axes.swapaxes(1, 2) @ (target - covariance @ first)
    made = np.einsum("bfo,bfo->b", first, covariance @ first - 2 * target)
    left = np.maximum(spread.sum(axis=1) + made, 0.0)
    scale = np.maximum(lengths.mean(axis=1), _FLAT * (0.0 if power is None else power))
    ridge = _ridge(lengths, np.square(off).sum(axis=2), left, rows, scale)[:, None, None]
    gain = axes @ (off / (lengths[:, :, None] + ridge))
    return np.asarray((first + gain).swapaxes(1, 2))


def _ridge(lengths: Floats, powers: Floats, left: Floats, rows: float, scale: Floats) -> Floats:
    """Returns the ridge of each block by generalised cross-validation, (blocks,).

    Args:
        lengths: the variances along the axes of the features, (blocks, features).
        powers: how strongly each goes with what the first weights leave, (blocks, features).
        left: the variance of that, (blocks,).
        rows: how many independent rows there are.
        scale: what ridges are shares of, (blocks,).
    """
    tries = np.maximum(scale, 1e-30)[:, None] * _RIDGES  # (blocks, tries)
    sums = lengths[:, None, :] + tries[:, :, None]
    gained = (powers[:, None, :] * (sums + tries[:, :, None]) / sums**2).sum(axis=2)
    used = (lengths[:, None, :] / sums).sum(axis=2)
    spare = 1 - used / rows
    lack = np.maximum(left[:, None] - gained, _NOISE * left[:, None])
    doubt = np.where(spare > _SPARE, lack / spare**2, np.inf)
    best = np.where(np.isfinite(doubt).any(axis=1), np.argmin(doubt, axis=1), len(_RIDGES) - 1)
    return np.asarray(np.take_along_axis(tries, best[:, None], axis=1)[:, 0])


def regressed(moments: Moments, start: Floats) -> tuple[Floats, Floats]:
    """Returns the weight and the bias of the regression of targets on features.

    Args:
        moments: of both.
        start: the weight that it is drawn to, (blocks, outputs, features).
    """
    matrix = fitted(
        moments.covariance,
        moments.target_covariance,
        moments.target_variance,
        start,
        moments.independent,
        moments.power,
    )
    return matrix, moments.target_mean - _times(matrix, moments.mean)


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
