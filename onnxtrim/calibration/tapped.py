"""Tensors of one or two models on the same samples, and the moments of what products read there.

Every row of a product is alike good, so that some positions of a sample will do: as many as make
`_ROWS` rows a feature over all data, drawn anew for every batch.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.data.dataset import Batch, Dataset
from onnxtrim.calibration.data.feeding import first_batch, input_specs, padded_batches
from onnxtrim.calibration.measure import Progress
from onnxtrim.calibration.moments import Moments
from onnxtrim.channels.ops import Product
from onnxtrim.errors import ModelError
from onnxtrim.graph.edit import extracted
from onnxtrim.graph.runtime import Arrays, Runner
from onnxtrim.graph.shapes import concrete_shapes

__all__ = ["MAX_FEATURES", "Tapped", "places_of", "second_moments"]

MAX_FEATURES = 4608
"""Features of a block beyond which no covariance is kept: of 4,608 it takes 170 MB."""

_ROWS = 48
_LEAST_PLACES = 4
_BATCH_BYTES = 256 << 20
"""What the tensors that leave the runtime together may take."""


class Tapped:
    """Models that run side by side on the same batches, and hand out some of their tensors.

    Args:
        models: models of the same inputs, each with the names of tensors.
        data: what they run on.
        batch_size: samples a run, where the models leave it open; less where tensors are large.
        threads: threads of the runtime; 0 lets it choose.
    """

    def __init__(
        self,
        models: Sequence[tuple[ir.Model, Iterable[str]]],
        data: Dataset,
        batch_size: int,
        threads: int = 0,
    ) -> None:
        """Makes the sessions."""
        self._data, self._specs = data, input_specs(models[0][0])
        inputs = {spec.name for spec in self._specs}
        wanted = [(model, sorted(set(names) - inputs)) for model, names in models]
        self._runners = [
            _runner(extracted(model, names), threads) if names else None for model, names in wanted
        ]
        sample, _ = first_batch(data, self._specs, 1)
        taken = sum(_bytes(model, names, sample) for model, names in wanted)
        self._size = max(1, min(batch_size, _BATCH_BYTES // max(taken, 1)))

    def __iter__(self) -> Iterator[tuple[int, list[Arrays]]]:
        """Yields for each batch how many samples are real, and the tensors of each model."""
        with closing(padded_batches(self._data, self._specs, self._size)) as batches:
            for batch in batches:
                yield batch.count, [self._run(runner, batch) for runner in self._runners]

    def _run(self, runner: Runner | None, batch: Batch) -> Arrays:
        """Returns the tensors of a model, inputs included, of the real samples."""
        made = {} if runner is None else runner(batch.inputs)
        found = {**batch.inputs, **made}
        if batch.count == batch.length:
            return found
        return {
            name: a[: batch.count] if a.ndim and len(a) == batch.length else a
            for name, a in found.items()
        }


def _runner(model: ir.Model, threads: int) -> Runner:
    """Returns a session for a tapped model.

    Some fusions of the runtime fail where what they take in is an output; then it does without.
    """
    try:
        return Runner(model, threads=threads, spin=False)
    except ModelError:
        return Runner(model, threads=threads, spin=False, optimize=False)


def second_moments(
    model: ir.Model,
    products: Sequence[Product],
    data: Dataset,
    *,
    batch_size: int = 64,
    threads: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Moments]:
    """Returns the moments of what each product reads, by its weight.

    Products with more than `MAX_FEATURES` features a block are left out.
    """
    small = [product for product in products if product.inputs <= MAX_FEATURES]
    found = {product.weight: Moments() for product in small}
    if not small:
        return {}
    rng, done = np.random.default_rng(seed), 0
    names = {name for p in small for name in (p.source, p.result)}
    for count, (tensors,) in Tapped([(model, names)], data, batch_size, threads):
        for product in small:
            places = places_of(product, tensors[product.result].shape, data, rng)
            rows = product.rows(tensors[product.source], places)
            found[product.weight].add(rows, samples=count)
        done += count
        if progress is not None:
            progress("measuring moments", done, len(data))
    return found


def places_of(
    product: Product, sizes: Sequence[int], data: Dataset, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Returns the positions to look at in a batch: as many as make enough rows over all data."""
    positions = product.positions(sizes)
    wanted = max(_LEAST_PLACES, -(-_ROWS * product.inputs // max(len(data), 1)))
    if wanted >= positions:
        return np.arange(positions)
    return np.sort(rng.permutation(positions)[:wanted])


def _bytes(model: ir.Model, names: Sequence[str], sample: Mapping[str, Any]) -> int:
    """Returns what some tensors take for one sample."""
    shapes = concrete_shapes(model, dict(sample))
    return sum(4 * math.prod(shapes.get(name, ())) for name in names)
