"""Which channels of a teacher a thinner student has left, told from what both compute.

Of a tensor, the student has c of C channels, in their order. With the correlation r(i, j) of its
channel i and channel j of the teacher over all samples and positions, the channels that are left
are those k(0) < k(1) < ... with the largest sum of r(i, k(i)):

    best(i, j) = max( best(i, j - 1),  best(i - 1, j - 1) + r(i, j) )
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.graph.edit import free_name, new_initializer, with_outputs
from onnxtrim.graph.runtime import Arrays, Runner
from onnxtrim.graph.shapes import concrete_shapes

__all__ = ["matched", "narrowed"]

_LEAST = 0.5
"""The mean correlation below which channels are not taken for the same."""

Floats = npt.NDArray[np.float64]


def narrowed(
    teacher: ir.Model, student: ir.Model, tensors: Collection[str], sample: Arrays
) -> ir.Model:
    """Returns a clone of the teacher whose tensors have the channels that the student has left.

    Those of which the student has not fewer channels, and is like the teacher in all other sizes,
    or whose channels cannot be told, stay as they are.

    Args:
        teacher: the model; what it computes stays the same.
        student: the thinner one.
        tensors: names of float32 tensors of both.
        sample: inputs of both.
    """
    shapes = [concrete_shapes(model, sample) for model in (student, teacher)]
    axes = {name: _thin_axis(*(each.get(name) for each in shapes)) for name in tensors}
    thin = {name: axis for name, axis in axes.items() if axis is not None}
    clone = teacher.clone()
    if not thin:
        return clone
    mine, others = (Runner(with_outputs(model, thin))(sample) for model in (student, teacher))
    values = {value.name: value for node in clone.graph for value in node.outputs}
    for name, axis in thin.items():
        found = matched(*(_channels(arrays[name], axis) for arrays in (mine, others)))
        if found is not None:
            _narrow(clone.graph, values[name], axis, found)
    return clone


def matched(student: Floats, teacher: Floats) -> npt.NDArray[np.int64] | None:
    """Returns the rows of `teacher`, (C, n), that those of `student`, (c, n), are, in order.

    None where they are too unlike: their mean correlation is below 0.5.
    """
    table = _normal(student) @ _normal(teacher).T
    count, total = table.shape
    best = np.full((count + 1, total + 1), -np.inf)
    best[0] = 0
    for i, row in enumerate(table):
        best[i + 1, 1:] = np.maximum.accumulate(best[i, :-1] + row)
    if not best[-1, -1] >= _LEAST * count:
        return None
    rows, end = np.empty(count, np.int64), total
    for i in reversed(range(count)):
        end = rows[i] = int(np.argmax(best[i + 1, 1 : end + 1] == best[i + 1, end]))
    return rows


def _thin_axis(student: tuple[int, ...] | None, teacher: tuple[int, ...] | None) -> int | None:
    """Returns the only axis in which sizes differ, where the student's is less."""
    if student is None or teacher is None or len(student) != len(teacher):
        return None
    differing = [axis for axis, size in enumerate(student) if size != teacher[axis]]
    if len(differing) != 1 or student[differing[0]] > teacher[differing[0]]:
        return None
    return differing[0]


def _channels(array: npt.NDArray[np.float32], axis: int) -> Floats:
    """Returns what a tensor holds of each channel, (C, n)."""
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1).astype(np.float64)


def _normal(rows: Floats) -> Floats:
    """Returns rows of mean 0 and length 1; 0 where one never changes."""
    off = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(off, axis=1, keepdims=True)
    result: Floats = off / np.where(length > 0, length, 1)
    return result


def _narrow(graph: ir.Graph, value: ir.Value, axis: int, rows: npt.NDArray[np.int64]) -> None:
    """Gives the name of a tensor to some rows of it; who reads it reads all as before."""
    name = str(value.name)
    value.name = free_name(graph, f"{name}.whole")
    chosen = new_initializer(graph, f"{name}.channels", rows)
    result = ir.Value(name=name, type=value.type)
    node = ir.Node("", "Gather", [value, chosen], [ir.AttrInt64("axis", axis)], outputs=[result])
    graph.append(node)
