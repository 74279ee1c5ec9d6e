"""Proof before writing: the cut model computes what the masked original computes.

The masked original is the model before the cut with the readers of the dropped units zeroed: a
product with a 0/1 mask stands before each reading weight. The cut slices writers and readers, so
a wrong relation makes the two differ. Both run without runtime optimisations on real samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.channels import ChannelMap
from onnxtrim.channels.ops import Weight, rule_of
from onnxtrim.channels.relations import Ids
from onnxtrim.errors import ModelError, OnnxtrimError, VerificationError
from onnxtrim.graph import proto as edge
from onnxtrim.graph.constants import node_label
from onnxtrim.graph.edit import free_name, new_initializer
from onnxtrim.graph.runtime import Arrays, Runner
from onnxtrim.graph.shapes import dims, unranked

__all__ = ["TOLERANCE", "Verification", "compared", "masked", "verify"]

TOLERANCE: Mapping[str, float] = {"float64": 1e-9, "float32": 1e-4, "float16": 2e-2}
"""The largest error, relative to the largest output, at each precision of figures."""

_COARSE = 5e-2
_FLOATS = frozenset(
    {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)


@dataclass(frozen=True, slots=True)
class Verification:
    """What the proof measured.

    Attributes:
        max_abs_error: largest difference of any output element.
        max_rel_error: that difference divided by the largest magnitude of its output.
        samples: how many inputs it ran on.
    """

    max_abs_error: float
    max_rel_error: float
    samples: int


def verify(
    before: ir.Model,
    after: ir.Model,
    channel_map: ChannelMap,
    removed: Ids,
    inputs: Arrays,
    samples: int,
) -> Verification:
    """Returns the measured errors of `after` against the masked `before` on real `inputs`.

    Raises:
        ModelError: ONNX Runtime cannot run the model as it was, or it answers nothing finite.
        VerificationError: interfaces or outputs differ, the checker refuses the result, or ONNX
            Runtime cannot run it with its optimisations on.
    """
    return compared(masked(before, channel_map, removed), before, after, inputs, samples)


def compared(
    wanted: ir.Model, before: ir.Model, after: ir.Model, inputs: Arrays, samples: int
) -> Verification:
    """Returns the measured errors of `after` against a model that should compute the same.

    Args:
        wanted: the masked original.
        before: the original, whose interface `after` must have.
        after: the result.
        inputs: what both run on.
        samples: how many real ones these are.

    Raises:
        ModelError: ONNX Runtime cannot run the original, or it answers nothing finite.
        VerificationError: as `verify` says.
    """
    expected = Runner(wanted, optimize=False)(inputs)
    for name, want in expected.items():
        if want.dtype.kind == "f" and want.size and not np.isfinite(want).any():
            raise ModelError(
                f"output {name!r} of the model as it was is nowhere finite, so that nothing can be "
                "proven; give inputs that it is made for by --data"
            )
    _check_interface(before, after)
    try:
        edge.check(after)
        actual = Runner(after, optimize=False)(inputs)
        Runner(after)(inputs)
    except OnnxtrimError as error:
        raise VerificationError(f"the cut model does not hold: {error}") from error
    worst_abs, worst_rel = 0.0, 0.0
    for name, want in expected.items():
        absolute, relative = _errors(name, want, actual[name])
        worst_abs, worst_rel = max(worst_abs, absolute), max(worst_rel, relative)
        limit = _limit(before, want.dtype)
        if relative > limit:
            raise VerificationError(
                f"output {name!r} of the cut model differs from the masked original by "
                f"{relative:.2e} of its range; at most {limit:.0e} is accepted"
            )
    return Verification(worst_abs, worst_rel, samples)


def _limit(model: ir.Model, dtype: np.dtype[Any]) -> float:
    """Returns the error that is accepted of an output: none of integers.

    A figure is no more precise than the coarsest weights that it may be made of, whatever it is
    cast to in the end.
    """
    if dtype.kind in "iub":
        return 0.0
    kinds = {v.dtype for v in model.graph.initializers.values()}
    names = {dtype.name} | {kind.numpy().name for kind in _FLOATS if kind in kinds}
    return max(TOLERANCE.get(name, _COARSE) for name in names)


def masked(model: ir.Model, channel_map: ChannelMap, removed: Ids) -> ir.Model:
    """Returns a clone of `model` in which nobody reads the units `removed`."""
    model = model.clone()
    graph = model.graph
    gone = np.zeros(channel_map.unit_count, dtype=np.bool_)
    gone[removed] = True
    for node in list(graph):
        rule = rule_of(model, node) if unranked(node) is None else None
        operands = list(node.inputs)
        read: list[tuple[ir.Value, int]] = []
        for weight in rule.weights(node) if rule is not None else ():
            units = channel_map.axes.get((str(weight.value.name), weight.reads or 0))
            if weight.reads is None or units is None or not gone[units].any():
                continue
            places = [i for i, value in enumerate(operands) if value is weight.value]
            place = places[read.count((weight.value, weight.reads))]
            read.append((weight.value, weight.reads))
            _mask_operand(graph, node, place, weight, ~gone[units])
    return model


def _mask_operand(
    graph: ir.Graph, node: ir.Node, index: int, weight: Weight, stays: npt.NDArray[np.bool_]
) -> None:
    """Puts `weight * mask` in the place of the weight that is operand `index` of `node`.

    Where the node reads with two axes of one weight, the second mask comes on top of the first.
    """
    value, axis = weight.value, weight.reads or 0
    shape = [1] * len(dims(value) or ())
    shape[axis] = len(stays)
    kind = value.dtype or ir.DataType.FLOAT
    name = f"{node_label(node)}.mask"
    mask = new_initializer(graph, name, stays.astype(kind.numpy()).reshape(shape))
    result = ir.Value(name=free_name(graph, f"{mask.name}.product"))
    product = ir.Node("", "Mul", [node.inputs[index], mask], outputs=[result])
    product.outputs[0].type = value.type
    product.outputs[0].shape = value.shape
    graph.insert_before(node, product)
    node.replace_input_with(index, product.outputs[0])


def _check_interface(before: ir.Model, after: ir.Model) -> None:
    """Raises where names, types or sizes of inputs and outputs differ."""
    for kind in ("inputs", "outputs"):
        old, new = (
            [(v.name, v.dtype, v.shape) for v in getattr(m.graph, kind)] for m in (before, after)
        )
        if old != new:
            raise VerificationError(f"the {kind} of the cut model changed from {old} to {new}")


def _errors(name: str, want: npt.NDArray[Any], got: npt.NDArray[Any]) -> tuple[float, float]:
    """Returns the largest absolute difference, and it relative to the largest magnitude."""
    if want.shape != got.shape:
        raise VerificationError(f"output {name!r} has sizes {got.shape}, expected {want.shape}")
    if want.size == 0 or want.dtype.kind in "OSU":
        same = np.array_equal(want, got)
        return (0.0, 0.0) if same else (np.inf, np.inf)
    expected, actual = want.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(expected)
    if not np.array_equal(expected[~finite], actual[~finite], equal_nan=True):
        return np.inf, np.inf
    absolute = float(np.max(np.abs(expected - actual)[finite]))
    scale = float(np.max(np.abs(expected[finite])))
    relative = absolute / scale if scale > 0 else absolute
    return (absolute, relative) if np.isfinite(relative) else (np.inf, np.inf)
