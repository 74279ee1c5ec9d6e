"""The mean absolute activation, worked out by hand."""

import numpy as np
import pytest
from views import STREAM, STREAM_WEIGHTS, floats, measured, tensors, view_of

from onnxtrim.criteria.abs_activation import AbsActivation

SCORE = AbsActivation().score

CHAIN = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 3, 3] x) => (float[N, 1, 3, 3] y) {
  [make] a = Conv(x, w)
  [act] r = Tanh(a)
  [read] y = Conv(r, row)
}"""  # noqa: E501
WEIGHTS = {"w": floats(4, 2, 1, 1), "row": floats(1, 4, 1, 1)}


def test_it_is_the_mean_size_that_was_measured() -> None:
    found = measured({"r": {"magnitude": [0.5, 0.0, 2.0, 1.0]}})
    assert SCORE(view_of(CHAIN, WEIGHTS, "make", found)).tolist() == [[0.5, 0.0, 2.0, 1.0]]


def test_firing_both_ways_does_not_cancel() -> None:
    x = floats(7, 2, 3, 3, seed=4)
    view = view_of(CHAIN, WEIGHTS, "make", np.concatenate([x, -x]))
    r = tensors(view.model, ["r"], x)["r"]
    (scores,) = SCORE(view)
    assert scores == pytest.approx(abs(r).mean(axis=(0, 2, 3)), rel=1e-6)


def test_the_taps_of_a_residual_stream_count_alike() -> None:
    found = measured(
        {
            "r0": {"magnitude": [1.0, 2.0, 0.0]},
            "r1": {"magnitude": [1.0, 4.0, 0.0]},
            "r2": {"magnitude": [4.0, 0.0, 0.75]},
        }
    )
    view = view_of(STREAM, STREAM_WEIGHTS, "stem", found)
    assert SCORE(view).tolist() == [[2.0, 2.0, 0.25]]
