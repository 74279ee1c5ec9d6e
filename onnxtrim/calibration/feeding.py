"""Batches as the model wants them: its input specs, its batch size, its remainder."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from onnxtrim.calibration.dataset import Batch, Dataset, InputSpec
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
    """Returns the batch size that the model fixes; None where some input leaves it open."""
    sizes = [spec.shape[0] for spec in specs if spec.shape]
    return None if None in sizes or not sizes else sizes[0]


def padded_batches(data: Dataset, specs: list[InputSpec], wanted: int) -> Iterator[Batch]:
    """Yields all samples in batches that the model accepts; `count` says how many are real.

    A model with a fixed batch gets its remainder filled up by repeating the last sample.
    """
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
    for batch in padded_batches(data, specs, size):
        return batch.inputs, batch.count
    raise ValueError("a data set holds one sample at least")
