"""Fits that count what an activation lets through, and nothing else.

Behind a product, an activation leaves r(t) = min(max(t, l), h) of t = a y + the rest
(`channels/ops/sums.py`). What shall be made is then not t itself, but anything that r makes the
same of. With t of the original and t' of the cut model, the nearest of that is

    goal = min(t', l) where t <= l,     max(t', h) where t >= h,     t elsewhere

A fit to the goals moves t', which moves the goals: both lessen the same sum of squares, that of
t' - goal, by turns (asymmetric reconstruction, Zhang et al., 2015). The first fit is to t.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxtrim.calibration.moments import Moments
from onnxtrim.channels.ops import Product, Sum
from onnxtrim.surgery.reconstruct import regressed

__all__ = ["Seen", "clipped"]

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
Singles = npt.NDArray[np.float32]

_ROUNDS = 2
_MOST_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of a batch: features, what is made of them, the sum of it, and that of the original."""

    rows: Singles
    outputs: Singles
    found: Singles
    wanted: Singles


@dataclass(slots=True)
class Seen:
    """The rows of a product, kept until it is fitted; none if they are too many."""

    size: int = 0
    parts: list[_Part] = field(default_factory=list)

    def add(self, rows: Array, outputs: Array, found: Array, wanted: Array) -> None:
        """Adds rows, (rows, blocks, features), and the others, (rows, blocks, outputs)."""
        self.size += 4 * (rows.size + 3 * outputs.size)
        if self.size > _MOST_BYTES:
            self.parts.clear()
            return
        arrays = (array.astype(np.float32) for array in (rows, outputs, found, wanted))
        self.parts.append(_Part(*arrays))


def clipped(
    product: Product,
    behind: Sum,
    seen: Seen,
    moments: Moments,
    start: Floats,
    first: tuple[Floats, Floats],
) -> tuple[Floats, Floats]:
    """Returns the weight and the bias that make what the activation lets through.

    Args:
        product: what is fitted.
        behind: the sum that it goes into, and what is cut off of that.
        seen: its rows.
        moments: of these, with the first targets.
        start: the weight that fits are drawn to, (blocks, outputs, features).
        first: the weight and the bias of the first fit.
    """
    matrix, bias = first
    factors = np.asarray(behind.scale, np.float32)
    scale = factors.reshape((product.blocks, -1) if factors.size > 1 else (1, 1))
    for _ in range(_ROUNDS if seen.parts else 0):
        goals = moments.without_targets()
        for part in seen.parts:
            made = _made(part.rows, matrix, bias)
            now = part.found + (made - part.outputs) * scale
            goals.aim(part.rows, made + (_goal(now, part.wanted, behind) - now) / scale)
        matrix, bias = regressed(goals, start)
    return matrix, bias


def _made(rows: Singles, matrix: Floats, bias: Floats) -> Singles:
    """Returns what a weight makes of rows, (rows, blocks, outputs)."""
    made = rows.swapaxes(0, 1) @ matrix.swapaxes(1, 2).astype(np.float32)
    return np.asarray(made.swapaxes(0, 1) + bias.astype(np.float32))


def _goal(now: Singles, wanted: Singles, behind: Sum) -> Singles:
    """Returns what comes nearest to the present sum of all that is cut off to the same."""
    low = np.where(wanted <= behind.low, np.minimum(now, np.float32(behind.low)), wanted)
    return np.where(wanted >= behind.high, np.maximum(now, np.float32(behind.high)), low)
