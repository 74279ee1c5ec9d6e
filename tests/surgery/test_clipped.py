"""Fits that count what an activation lets through: exact where it hides all that cannot be made."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.calibration.moments import Moments
from onnxtrim.channels.ops import Product, Sum
from onnxtrim.surgery import clipped as module
from onnxtrim.surgery.clipped import Seen, clipped
from onnxtrim.surgery.reconstruct import regressed

Floats = npt.NDArray[np.float64]
ONE = Product("n", "x", "w", "y", 1, 1, None, turned=True, bias=True)


def fit(
    rows: Floats, wanted: Floats, behind: Sum, rest: Floats | float = 0.0
) -> tuple[Floats, Floats, Floats]:
    """Returns the first weight, and the weight and bias after it, of one block.

    Args:
        rows: (rows, features).
        wanted: the sums of the original, (rows, outputs).
        behind: scale and bounds.
        rest: what else the sum is of, (rows, outputs).
    """
    p, t = rows[:, None], wanted[:, None]
    scale = np.asarray(behind.scale).reshape(-1)
    start = np.zeros((1, wanted.shape[1], rows.shape[1]))
    outputs = np.zeros_like(t)
    found = outputs * scale + np.broadcast_to(rest, wanted.shape)[:, None]
    moments, seen = Moments(), Seen()
    moments.add(p, outputs + (t - found) / scale)
    seen.add(p, outputs, found, t)
    first = regressed(moments, start)
    matrix, bias = clipped(ONE, behind, seen, moments, start, first)
    return first[0], matrix, bias


ROWS = np.linspace(-2, 2, 41)[:, None]
RELU = np.where(ROWS > 0, ROWS, -10.0)
"""A line where it is above 0, and nothing like it where an activation hides that."""


@pytest.fixture
def many_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROUNDS", 100)


@pytest.mark.usefixtures("many_rounds")
@pytest.mark.parametrize(
    ("wanted", "behind", "rest", "weight"),
    [
        (RELU, Sum("t", 1.0, 0.0), 0.0, 1.0),
        (np.where(ROWS < 1, ROWS, 10.0), Sum("t", 1.0, high=1.0), 0.0, 1.0),
        (RELU, Sum("t", np.array([-2.0]), 0.0), 0.0, -0.5),
        (RELU + 0.5 * (ROWS > 0), Sum("t", 1.0, 0.5), 0.5, 1.0),
    ],
    ids=["relu", "from above", "scaled and turned", "beside a stream"],
)
def test_what_is_cut_off_does_not_count(
    wanted: Floats, behind: Sum, rest: float, weight: float
) -> None:
    first, matrix, bias = fit(ROWS, wanted, behind, rest)
    assert abs(first[0, 0, 0] - weight) > 0.5  # it counts at first
    np.testing.assert_allclose(matrix[0, 0], [weight], atol=0.02)
    np.testing.assert_allclose(bias[0], [0.0], atol=0.02)


def test_without_bounds_the_first_fit_stays() -> None:
    first, matrix, _ = fit(ROWS, RELU, Sum("t", 1.0, -math.inf, math.inf))
    np.testing.assert_allclose(matrix, first, rtol=1e-5)


@given(seed=st.integers(0, 1000))
def test_what_is_read_comes_nearer_or_stays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(200, 3))
    wanted = rows @ rng.normal(size=(3, 2)) + rng.normal(size=(200, 2))
    wanted = np.sign(wanted) * np.square(wanted)
    first, matrix, bias = fit(rows, wanted, Sum("t", 1.0, 0.0, 3.0))

    def error(w: Floats, e: Floats) -> float:
        return float(np.square((rows @ w[0].T + e).clip(0, 3) - wanted.clip(0, 3)).sum())

    plain = wanted.mean(0) - rows.mean(0) @ first[0].T
    assert error(matrix, bias[0]) <= 1.001 * error(first, plain)


def test_too_many_rows_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 4 * 41 * 4)
    seen = Seen()
    p = ROWS[:, None]
    seen.add(p, p, p, p)
    assert len(seen.parts) == 1
    seen.add(p, p, p, p)
    assert seen.parts == []
    seen.add(p[:1], p[:1], p[:1], p[:1])
    assert seen.parts == []
