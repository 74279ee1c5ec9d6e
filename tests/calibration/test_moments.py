"""Sums over rows against a reference in float64, for any split into batches."""

import numpy as np
import pytest

from onnxtrim.calibration.moments import Moments

RNG = np.random.default_rng(8)
ROWS = RNG.normal(size=(60, 2, 5)) + 3
TARGETS = np.einsum("rbf,bof->rbo", ROWS, RNG.normal(size=(2, 4, 5))) - 1


@pytest.mark.parametrize("cuts", [[], [1], [20, 40], [7, 8, 59]])
def test_they_are_those_of_all_rows(cuts: list[int]) -> None:
    moments = Moments()
    for rows, targets in zip(np.split(ROWS, cuts), np.split(TARGETS, cuts), strict=True):
        moments.add(rows, targets)
    assert moments.count == 60
    for b in range(2):
        p, t = ROWS[:, b], TARGETS[:, b]
        both = np.cov(p.T, t.T, bias=True)
        np.testing.assert_allclose(moments.mean[b], p.mean(0), rtol=1e-6)
        np.testing.assert_allclose(moments.covariance[b], both[:5, :5], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(moments.square[b], p.T @ p / 60, rtol=1e-6)
        np.testing.assert_allclose(moments.target_mean[b], t.mean(0), rtol=1e-6)
        np.testing.assert_allclose(moments.target_covariance[b], both[:5, 5:], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(moments.target_square[b], p.T @ t / 60, rtol=1e-5)
        np.testing.assert_allclose(moments.target_variance[b], t.var(0), rtol=1e-4)


def test_of_no_rows_there_is_nothing_to_say() -> None:
    with pytest.raises(ValueError, match="no rows were added"):
        _ = Moments().covariance
