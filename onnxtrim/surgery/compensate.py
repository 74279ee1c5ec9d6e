"""Weights of a cut model fitted anew, layer by layer, so that it computes what the original does.

From input to output, each product behind a cut reads what it will really read, p' from the cut
model, in which all products before it are fitted already, and is fitted to what the original makes
of the same samples, t:

    linear      v, e minimise  E |t - (v p' + e)|^2 + k |v - w|^2       (w: as it was cut)
    mean        s (w p' + c - m') + m        output by output, with the mean m and deviation d of t,
                                             m' and d' of what it makes now, and s = d / d'

`mean` folds what the units that are gone gave on average into biases, and does for any graph what
re-estimated statistics of a BatchNormalization do behind a layer. A product with more features than
a covariance is kept of gets it under `linear`, too.

Where the result is added to a stream, z = a y + b + s (`channels/ops/sums.py`), an error of the
stream is made good as well: the target is then t = y' + (z - z') / a, with y' and z' from the cut
model. Where an activation cuts the sum off, errors that it hides do not count (`clipped.py`). Of
products that are fitted in one pass, only the first gets either.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration import Dataset, Progress
from onnxtrim.calibration.moments import Moments
from onnxtrim.calibration.tapped import MAX_FEATURES, Tapped, places_of
from onnxtrim.channels import Kept
from onnxtrim.channels.ops import Product, Sum, products_of, refit, rule_of, sum_behind, takes_bias
from onnxtrim.channels.ops.operands import name
from onnxtrim.graph.runtime import Arrays
from onnxtrim.surgery.clipped import Seen, clipped
from onnxtrim.surgery.reconstruct import fitted, regressed, weight_of

__all__ = ["Compensated", "Fit", "compensated"]

Fit = Literal["mean", "linear"]
Floats = npt.NDArray[np.float64]

_LEAST, _MOST = 0.2, 5.0
"""Between which outputs are scaled, so that one that hardly varies is not blown up."""


@dataclass(frozen=True, slots=True)
class Compensated:
    """A cut model with other weights, and how each product behind the cut got its own."""

    model: ir.Model
    fits: dict[str, Fit]


@dataclass(frozen=True, slots=True)
class _Layer:
    """A product that is fitted, and the sum that its result goes into."""

    product: Product
    sum: Sum | None
    fit: Fit

    @property
    def target(self) -> str:
        """Returns the tensor of the original that it is fitted to."""
        return self.product.result if self.sum is None else self.sum.tensor

    @property
    def taps(self) -> tuple[str, ...]:
        """Returns the tensors of the cut model that it takes; one may be there twice."""
        return (self.product.source, self.product.result, self.target)


def compensated(
    original: ir.Model,
    thinner: ir.Model,
    kept: Kept,
    data: Dataset,
    fit: Fit,
    *,
    refresh: int = 1,
    grow: bool = True,
    batch_size: int = 64,
    threads: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Compensated:
    """Returns the cut model with every product behind a cut fitted to what the original makes.

    Args:
        original: the model before the cut.
        thinner: the model after it, whose kept weights are the original's.
        kept: what the cut has left.
        data: samples.
        fit: how.
        refresh: how many products are fitted in one pass over the data; only the first of them
            reads what it will read in the end.
        grow: whether products may get a bias that have no place for one yet; else those are fitted
            through the origin, and the file grows by nothing.
        batch_size: samples a run, where the model leaves it open.
        threads: threads of the runtime; 0 lets it choose.
        seed: of the positions that are looked at.
        progress: told how many products are done.
    """
    clone, rng = thinner.clone(), np.random.default_rng(seed)
    behind = _behind(clone, kept)
    layers = [_layer(clone, p, fit) for p in products_of(clone) if p.result in behind]
    for start in range(0, len(layers), refresh):
        first, *others = layers[start : start + refresh]
        chunk = [first, *(replace(layer, sum=None) for layer in others)]
        tapped = Tapped(
            [
                (clone, [tap for layer in chunk for tap in layer.taps]),
                (original, [layer.target for layer in chunk]),
            ],
            data,
            batch_size,
            threads,
        )
        for layer, gathered in zip(chunk, _gathered(chunk, tapped, kept, data, rng), strict=True):
            biased = grow or takes_bias(clone, layer.product)
            refit(clone, layer.product, *_solution(clone, layer, gathered, biased=biased))
        if progress is not None:
            progress("compensating", start + len(chunk), len(layers))
    return Compensated(clone, {layer.product.node: layer.fit for layer in layers})


@dataclass(slots=True)
class _Gathered:
    """The sums of a layer: what it reads against its targets, and what it makes now."""

    moments: Moments
    made: Moments
    seen: Seen


def _behind(model: ir.Model, kept: Kept) -> set[str]:
    """Returns the tensors that a cut has changed: what lies behind a weight that reads less."""
    found: set[str] = set()
    for node in model.graph:
        rule = rule_of(model, node)
        weights = () if rule is None else rule.weights(node)
        reads = [w for w in weights if w.reads is not None]
        cut = any(kept.indices(name(w.value), w.reads or 0) is not None for w in reads)
        if cut or any(name(value) in found for value in node.inputs):
            found.update(name(value) for value in node.outputs)
    return found


def _layer(model: ir.Model, product: Product, fit: Fit) -> _Layer:
    """Returns a product with how it is fitted."""
    wide = product.inputs > MAX_FEATURES
    return _Layer(product, sum_behind(model, product.result), "mean" if wide else fit)


def _gathered(
    layers: Sequence[_Layer], tapped: Tapped, kept: Kept, data: Dataset, rng: np.random.Generator
) -> list[_Gathered]:
    """Returns the sums of some layers over the data."""
    found = [_Gathered(Moments(), Moments(), Seen()) for _ in layers]
    for _, (now, before) in tapped:
        for layer, gathered in zip(layers, found, strict=True):
            _gather(layer, gathered, now, before, kept, data, rng)
    return found


def _gather(
    layer: _Layer,
    gathered: _Gathered,
    now: Arrays,
    before: Arrays,
    kept: Kept,
    data: Dataset,
    rng: np.random.Generator,
) -> None:
    """Adds a batch to the sums of a layer."""
    product = layer.product
    made = now[product.result]
    places = places_of(product, made.shape, data, rng)
    outputs = product.made(made, places)
    targets = product.made(_narrowed(before[layer.target], layer.target, kept), places)
    if layer.sum is not None:
        scale = np.asarray(layer.sum.scale).reshape(-1)
        per_output = scale if scale.size == 1 else scale.reshape(product.blocks, -1)
        wanted, found = targets, product.made(now[layer.sum.tensor], places)
        targets = outputs + (wanted - found) / per_output
    rows = np.zeros((len(outputs), product.blocks, 0), np.float32)
    if layer.fit == "linear":
        rows = product.rows(now[product.source], places)
        if layer.sum is not None and layer.sum.bounded:
            gathered.seen.add(rows, outputs, found, wanted)
    samples = len(outputs) // max(len(places), 1)
    gathered.moments.add(rows, targets, samples=samples)
    gathered.made.add(rows[:, :, :0], outputs)


def _narrowed(array: npt.NDArray[Any], tensor: str, kept: Kept) -> npt.NDArray[Any]:
    """Returns what the cut has left of a tensor of the original."""
    for axis, indices in kept.cut_axes(tensor).items():
        array = np.take(array, indices, axis=axis)
    return array


def _solution(
    model: ir.Model, layer: _Layer, gathered: _Gathered, *, biased: bool
) -> tuple[Floats, Floats]:
    """Returns the weight and the bias that a layer gets; a bias of 0 where it may have none."""
    product, moments = layer.product, gathered.moments
    start = product.matrix(weight_of(model, product))
    if layer.fit == "linear" and not biased:
        power = moments.target_variance + moments.target_mean**2
        matrix = fitted(
            moments.square, moments.target_square, power, start, moments.independent, moments.power
        )
        return matrix, np.zeros(matrix.shape[:2])
    if layer.fit == "linear":
        first = regressed(moments, start)
        if layer.sum is not None and gathered.seen.parts:
            return clipped(product, layer.sum, gathered.seen, moments, start, first)
        return first
    now, wanted = gathered.made.target_variance, moments.target_variance
    safe = np.where(now > 0, now, 1.0)
    scale = np.where(now > 0, np.sqrt(wanted / safe), 1.0).clip(_LEAST, _MOST)
    bias = product.bias_in(model) - gathered.made.target_mean
    shift = bias * scale + moments.target_mean
    return start * scale[:, :, None], shift if biased else np.zeros_like(shift)
