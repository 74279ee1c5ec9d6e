"""The standard deviation of activation, worked out by hand."""

import numpy as np
import pytest
from views import STREAM, STREAM_WEIGHTS, floats, measured, tensors, view_of

from onnxtrim.criteria.std_activation import StdActivation

SCORE = StdActivation().score

CHAIN = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 3, 3] x) => (float[N, 1, 3, 3] y) {
  [make] a = Conv(x, w, b)
  [act] r = Relu(a)
  [read] y = Conv(r, row)
}"""  # noqa: E501
WEIGHTS = {
    "w": floats(4, 2, 1, 1),
    "b": np.array([0, 1, 5, -1], np.float32),
    "row": floats(1, 4, 1, 1),
}


def test_the_mean_square_less_the_squared_mean_is_the_variance() -> None:
    # 0 and 2 in turn; always 3; half 1 and half 7; 1, 1, 4
    found = measured({"r": {"mean": [1, 3, 4, 2], "square": [2, 9, 25, 6]}})
    (scores,) = SCORE(view_of(CHAIN, WEIGHTS, "make", found))
    assert scores == pytest.approx([1.0, 0.0, 3.0, 2**0.5], rel=1e-15)


def test_real_activations_as_numpy_measures_them() -> None:
    x = floats(7, 2, 3, 3, seed=5)
    view = view_of(CHAIN, WEIGHTS, "make", x)
    r = tensors(view.model, ["r"], x)["r"]
    (scores,) = SCORE(view)
    assert scores == pytest.approx(np.std(r, axis=(0, 2, 3)), rel=1e-9)


def test_a_variance_that_rounding_made_negative_is_none() -> None:
    found = measured({"r": {"mean": [0.3] * 4, "square": [0.09 - 1e-12] * 4}})
    assert SCORE(view_of(CHAIN, WEIGHTS, "make", found)).tolist() == [[0.0] * 4]


def test_the_samples_of_all_taps_of_a_residual_stream_are_pooled() -> None:
    found = measured(
        {
            # always 1, always 3, always 2: mean 2, mean square 14/3
            "r0": {"mean": [1.0, 2.0, 0.0], "square": [1.0, 5.0, 0.0]},
            "r1": {"mean": [3.0, 2.0, 0.0], "square": [9.0, 8.0, 0.0]},
            "r2": {"mean": [2.0, 2.0, 0.0], "square": [4.0, 8.0, 3.0]},
        }
    )
    (scores,) = SCORE(view_of(STREAM, STREAM_WEIGHTS, "stem", found))
    assert scores == pytest.approx([(2 / 3) ** 0.5, 3**0.5, 1.0], rel=1e-14)
