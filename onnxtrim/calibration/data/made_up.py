"""Inputs for want of data: they mean nothing, but the model runs on them.

Sizes that the model leaves open are tried until ONNX Runtime takes them; sizes of one name are the
same size, and that of the first axis is the batch.
"""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.data.dataset import InputSpec
from onnxtrim.calibration.data.feeding import batch_size
from onnxtrim.errors import RunError
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = ["made_up_inputs"]

_OPEN_SIZES = (64, 256, 1024, 16)


def made_up_inputs(model: ir.Model, specs: list[InputSpec], wanted: int) -> Arrays:
    """Returns one batch of `wanted` samples: normal figures, zeros for whole numbers.

    A model that no size suits gets the first one: whoever runs it will say what is wrong.
    """
    size = batch_size(specs, wanted)
    named = {str(value.name): _names(value) for value in model.graph.inputs}
    batch = {named[s.name][0] for s in specs if s.shape and s.shape[0] is None} - {None}

    def inputs(length: int) -> Arrays:
        rng = np.random.default_rng(0)
        return {
            spec.name: _array(
                rng,
                spec,
                [
                    n or (size if axis == 0 or name in batch else length)
                    for axis, (n, name) in enumerate(zip(spec.shape, named[spec.name], strict=True))
                ],
            )
            for spec in specs
        }

    first = inputs(_OPEN_SIZES[0])
    if all(a.shape == first[name].shape for name, a in inputs(_OPEN_SIZES[1]).items()):
        return first
    runner = Runner(model)
    for length in _OPEN_SIZES:
        try:
            runner(found := inputs(length))
        except RunError:
            continue
        return found
    return first


def _names(value: ir.Value) -> list[str | None]:
    """Returns the names of the open sizes of a tensor, None for a known or nameless one."""
    return [None if isinstance(d, int) else d.value for d in value.shape or ()]


def _array(rng: np.random.Generator, spec: InputSpec, shape: list[int]) -> npt.NDArray[np.generic]:
    """Returns one made-up input."""
    if spec.dtype.kind in "iub":
        return np.zeros(shape, dtype=spec.dtype)
    return rng.standard_normal(shape).astype(spec.dtype)
