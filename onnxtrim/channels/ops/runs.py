"""Row-major regrouping of axes: which source axes become which result axes, and who carries units.

Source (d0, d1, ...) and result (e0, e1, ...) hold the same elements in the same order, so they fall
into *runs* of neighbouring axes with equal products. Within a run of one axis to one axis the ids
are handed on. A run that merges axes (..., C, ...) -> (... * C * ...) repeats the ids for the inner
positions and tiles them for the outer ones. A run that splits an axis (o * d * i) -> (..., d, ...)
ties equal positions of the o outer blocks together, and i neighbours at a time; the other result
axes then hold positions. Where several axes could carry the units, it is a fork.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxtrim.channels.ops.operands import name, sizes_of
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Channels, Fixed, Relations

__all__ = ["Run", "Sizes", "aligned_runs", "merged", "relate_runs", "symbolic"]

Sizes = Sequence[int | str | None]
"""Sizes of a tensor: a figure, the name of one that is open, or None for an open one of no name."""

Run = tuple[list[int], list[int]]
"""Source axes and the result axes that are made of them."""


def symbolic(value: ir.Value | None) -> list[int | str | None]:
    """Returns the sizes of a tensor, open ones by name."""
    sizes_of(value)
    shape = value.shape if value is not None and value.shape is not None else ()
    return [size if isinstance(size, int) else size.value for size in shape]


def aligned_runs(source: Sizes, result: Sizes) -> list[Run]:
    """Returns the smallest runs of (source axes, result axes) that hold the same elements.

    Axes of size 1 are on no one's side: those of the source come back as runs without result.
    Runs are peeled off from both ends as long as their sizes are known, or of one name; what is
    open in between is one run.
    """
    runs: list[Run] = [([axis], []) for axis, size in enumerate(source) if size == 1]
    left = [axis for axis, size in enumerate(source) if size != 1]
    right = [axis for axis, size in enumerate(result) if size != 1]
    for end in (0, -1):
        while run := _peel(source, result, left, right, end):
            runs.append(run)
            left = [axis for axis in left if axis not in run[0]]
            right = [axis for axis in right if axis not in run[1]]
    return [*runs, (left, right)] if left or right else runs


def _peel(source: Sizes, result: Sizes, left: list[int], right: list[int], end: int) -> Run | None:
    """Returns the smallest run at one end of the axes left; None where an open size hides it."""
    lefts, rights = (side if end == 0 else side[::-1] for side in (left, right))
    if not lefts or not rights:
        return None
    if source[lefts[0]] is not None and source[lefts[0]] == result[rights[0]]:
        return [lefts[0]], [rights[0]]
    i, j, a, b = 0, 0, 1, 1
    while i == 0 or a != b:
        axes, sizes, at = (lefts, source, i) if a <= b else (rights, result, j)
        size = sizes[axes[at]] if at < len(axes) else None
        if not isinstance(size, int):
            return None
        i, j, a, b = (i + 1, j, a * size, b) if axes is lefts else (i, j + 1, a, b * size)
    return sorted(lefts[:i]), sorted(rights[:j])


def relate_runs(rel: Relations, x: ir.Value | None, y: ir.Value, runs: Sequence[Run]) -> None:
    """Binds the axes of `y` to those of `x` that they are made of."""
    for sources, targets in runs:
        if not targets:
            for axis in sources:
                rel.freeze(rel.axis(x, axis), Code.MIXED, f"axis {axis} of {name(x)} is dropped")
        elif sources:
            flat = merged(rel, x, sources, alone=len(targets) == 1)
            if len(targets) == 1:
                rel.bind(y, targets[0], flat)
            else:
                _split(rel, flat, y, targets)


def merged(
    rel: Relations, value: ir.Value | None, axes: Sequence[int], *, alone: bool = True
) -> Channels:
    """Returns the ids of neighbouring axes flattened in row-major order.

    With outer positions before the channels and inner ones behind them, position (o, c, i) belongs
    to channel c: the ids are repeated for the inner and tiled for the outer positions. A single
    axis that becomes one axis `alone` is handed on whatever its size.
    """
    parts = [rel.axis(value, axis) for axis in axes]
    carriers = [i for i, part in enumerate(parts) if not isinstance(part, Fixed)]
    if not carriers or (alone and len(axes) == 1):
        return parts[0]
    sizes = [sizes_of(value)[axis] for axis in axes]
    ids = [rel.concrete(parts[i], 0) for i in carriers]
    if None in sizes:
        refusal = Code.DYNAMIC_SIZE, f"{name(value)} is regrouped, and a size of it is not known"
        for part in ids:
            rel.freeze(part, *refusal)
        return Fixed(rel.reason(*refusal))
    chosen = rel.fork(len(ids), np.concatenate(ids)) if len(ids) > 1 else 0
    for i, part in enumerate(ids):
        if i != chosen:
            sentence = f"several axes of {name(value)} with channels are flattened into one"
            rel.freeze(part, Code.MIXED, sentence)
    outer = math.prod(size or 1 for size in sizes[: carriers[chosen]])
    inner = math.prod(size or 1 for size in sizes[carriers[chosen] + 1 :])
    return np.tile(np.repeat(ids[chosen], inner), outer)


def _split(rel: Relations, flat: Channels, y: ir.Value, targets: Sequence[int]) -> None:
    """Binds one of several result axes to the blocks, or to the neighbours, of a flat axis."""
    sizes = [sizes_of(y)[axis] for axis in targets]
    if isinstance(flat, Fixed):
        for axis in targets:
            rel.bind(y, axis, flat)
    elif None in sizes:
        rel.freeze(
            flat, Code.DYNAMIC_SIZE, f"{name(y)} is regrouped, and a size of it is not known"
        )
    else:
        chosen = rel.fork(len(targets), flat)
        outer = math.prod(size or 1 for size in sizes[:chosen])
        inner = math.prod(size or 1 for size in sizes[chosen + 1 :])
        rel.bind(y, targets[chosen], rel.block(rel.same_across_blocks(flat, outer), inner))
