"""Scores made comparable, and the order in which units go, worked out by hand."""

from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from onnxtrim.config import Normalization, Scope
from onnxtrim.selection.normalize_scores import NORMALIZATIONS, removal_keys

SCORES = np.array([3.0, 1.0, 0.0, 4.0])  # mean 2, largest 4


def test_every_name_that_the_option_offers_is_there() -> None:
    assert set(NORMALIZATIONS) == set(get_args(Normalization))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("layer-mean", [1.5, 0.5, 0.0, 2.0]),
        ("max", [0.75, 0.25, 0.0, 1.0]),
        # deviations 1, -1, -2, 2 from the mean: 10 / 4 is their mean square
        ("gaussian", [0.4**0.5, -(0.4**0.5), -2 * 0.4**0.5, 2 * 0.4**0.5]),
        ("none", [3.0, 1.0, 0.0, 4.0]),
    ],
)
def test_normalisations(name: Normalization, expected: list[float]) -> None:
    assert removal_keys(SCORES, "global", name).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", get_args(Normalization))
def test_scores_that_are_all_zero_stay_so(name: Normalization) -> None:
    assert removal_keys(np.zeros(3), "global", name).tolist() == [0.0, 0.0, 0.0]


@given(st.floats(0, 1e6), st.integers(1, 40))
def test_gaussian_scores_that_are_all_alike_are_zero(score: float, units: int) -> None:
    """The mean of 0.1, 0.1 and 0.1 is a little more than 0.1; that is no deviation."""
    assert removal_keys(np.full(units, score), "global", "gaussian").tolist() == [0.0] * units


@given(arrays(np.float64, st.integers(2, 30), elements=st.floats(0, 1e6, width=32)))
def test_gaussian_scores_have_no_mean_and_a_deviation_of_one(scores: npt.NDArray[Any]) -> None:
    keys = removal_keys(scores, "global", "gaussian")
    if np.ptp(scores) > 1e-3 * scores.max():
        assert abs(keys.mean()) <= 1e-9
        assert keys.std() == pytest.approx(1.0, rel=1e-9)
    assert (np.diff(keys[np.argsort(scores)]) >= 0).all()


@pytest.mark.parametrize("scope", get_args(Scope))
@pytest.mark.parametrize("name", get_args(Normalization))
def test_scores_themselves_stay(scope: Scope, name: Normalization) -> None:
    scores = SCORES.copy()
    removal_keys(scores, scope, name)[:] = -1
    if name != "none" or scope == "layer":
        assert scores.tolist() == SCORES.tolist()


@pytest.mark.parametrize("name", get_args(Normalization))
def test_by_layer_the_key_is_the_share_gone_once_the_unit_is(name: Normalization) -> None:
    assert removal_keys(SCORES, "layer", name).tolist() == [0.75, 0.5, 0.25, 1.0]


def test_by_layer_ties_fall_by_position() -> None:
    keys = removal_keys(np.array([1.0, 0.0, 1.0, 0.0, 1.0]), "layer", "none")
    assert keys.tolist() == [0.6, 0.2, 0.8, 0.4, 1.0]


def test_a_group_of_small_scores_is_no_cheaper_than_one_of_large() -> None:
    small, large = SCORES * 1e-6, SCORES * 1e6
    for name in ("layer-mean", "max", "gaussian"):
        keys = [removal_keys(scores, "global", name) for scores in (small, large)]
        np.testing.assert_allclose(keys[0], keys[1], rtol=1e-12)
