"""Batches as the model wants them: its input specs, its batch size, its remainder."""

from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from onnxtrim.calibration.data.dataset import Batch, Dataset, InputSpec, batched
from onnxtrim.calibration.data.prefetch import prefetched
from onnxtrim.errors import ModelError
from onnxtrim.graph.runtime import Arrays
from onnxtrim.graph.shapes import dims

__all__ = ["batch_size", "first_batch", "fixed_batch", "input_specs", "padded", "padded_batches"]


def input_specs(model: ir.Model) -> list[InputSpec]:
    """Returns name, element type and sizes of every input of a normalised `model`.

    Raises:
        ModelError: an input has no rank or no element type.
    """
    specs = []
    for value in model.graph.inputs:
        sizes = dims(value)
        if sizes is None or value.dtype is None:
            raise ModelError(f"input {value.name!r} has no rank or type; export it with its shape")
        specs.append(InputSpec(str(value.name), value.dtype.numpy(), sizes))
    return specs


def batch_size(specs: list[InputSpec], wanted: int) -> int:
    """Returns the model's own batch size where it is fixed, else `wanted`."""
    return fixed_batch(specs) or wanted


def fixed_batch(specs: list[InputSpec]) -> int | None:
    """Returns the batch size that the model fixes; None where it is open, or data are calls."""
    return specs[0].shape[0] if specs and batched(specs) else None


def padded_batches(
    data: Dataset, specs: list[InputSpec], wanted: int
) -> Generator[Batch, None, None]:
    """Yields all samples in batches that the model accepts; `count` says how many are real.

    A model with a fixed batch gets its remainder filled up by repeating the last sample. The next
    batches are read while one is in use, until the generator is closed.
    """
    return prefetched(_filled(data, specs, wanted))


def _filled(data: Dataset, specs: list[InputSpec], wanted: int) -> Iterator[Batch]:
    """Yields the batches, each read when it is asked for."""
    size = batch_size(specs, wanted)
    fixed = fixed_batch(specs) is not None
    for batch in data.batches(size):
        yield padded(batch, size) if fixed and batch.count < size else batch


def padded(batch: Batch, size: int) -> Batch:
    """Returns `batch` with its last sample repeated up to `size`; `count` stays."""
    inputs = {
        name: np.concatenate([array, np.repeat(array[-1:], size - batch.count, axis=0)])
        for name, array in batch.inputs.items()
    }
    return replace(batch, inputs=inputs)


def first_batch(data: Dataset, specs: list[InputSpec], size: int) -> tuple[Arrays, int]:
    """Returns the first samples, `size` unless the model fixes it, and how many are real."""
    for batch in _filled(data, specs, size):
        return batch.inputs, batch.count
    raise ValueError("a data set holds one sample at least")
