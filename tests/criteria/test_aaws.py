"""The average absolute weight sum, worked out by hand."""

import numpy as np
import pytest
from views import STREAM, STREAM_WEIGHTS, floats, made_by, view_of

from onnxtrim.criteria.aaws import Aaws


def test_absolute_weights_are_averaged_over_inputs_and_kernel() -> None:
    w = np.array([[[1, -2], [3, 0]], [[0, 0], [0, -0.5]], [[0, 0], [0, 0]]], np.float32)
    assert Aaws().score(made_by(w.reshape(3, 2, 1, 2))).tolist() == [[1.5, 0.125, 0.0]]


def test_random_weights_as_numpy_averages_them() -> None:
    w = floats(5, 3, 2, 3, seed=3)
    (scores,) = Aaws().score(made_by(w))
    assert scores == pytest.approx(np.average(abs(w.astype(float)), axis=(1, 2, 3)), rel=1e-14)


def test_fan_in_does_not_count() -> None:
    # as many weights of each size, with 2 inputs and with 6
    narrow = np.array([[1, -2], [-3, 3]], np.float32).reshape(2, 2, 1, 1)
    wide = np.tile(narrow, (1, 3, 1, 1))
    assert Aaws().score(made_by(narrow)).tolist() == [[1.5, 3.0]]
    assert Aaws().score(made_by(wide)).tolist() == [[1.5, 3.0]]


def test_each_writer_of_a_residual_stream_has_a_row() -> None:
    rows = Aaws().score(view_of(STREAM, STREAM_WEIGHTS, "stem"))
    assert rows.tolist() == [[1.5, 3.5, 0], [1, 0, 2], [1, 1, 1]]
