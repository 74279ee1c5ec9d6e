"""The mean activation, worked out by hand."""

import numpy as np
import numpy.typing as npt
import pytest
from oracle import Arrays, proto_of
from views import STREAM, STREAM_WEIGHTS, floats, measured, only_row, view_of

from onnxtrim.calibration import measure, open_data
from onnxtrim.calibration.data.feeding import input_specs
from onnxtrim.channels import analyze
from onnxtrim.config import DataConfig
from onnxtrim.criteria.base import GroupView, Scores
from onnxtrim.criteria.mean_activation import MeanActivation
from onnxtrim.graph import load, normalize

THROUGH = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 1] y) {
  [make] a = Gemm(x, eye)
  [act] r = ACT(a)
  [read] y = Gemm(r, row)
}"""
WEIGHTS = {"eye": np.eye(3, dtype=np.float32), "row": np.ones((3, 1), np.float32)}

# No activation between the layers: the tap is where `read` reads, two positions a unit.
FLAT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 1, 1, 2] x) => (float[N, 1] y) {
  [make] a = Conv(x, w)
  [flat] f = Flatten(a)
  [read] y = Gemm(f, row)
}"""


def scores_on(text: str, weights: Arrays, x: npt.NDArray[np.float32]) -> Scores:
    model = normalize(load(proto_of(text, weights)))
    channel_map = analyze(model)
    (group,) = channel_map.groups
    data = open_data(x, input_specs(model), DataConfig())
    found = measure(model, group.taps, MeanActivation.statistics, data)
    return only_row(MeanActivation().score(GroupView(group, channel_map, model, found, 0)))


def test_the_mean_is_over_all_samples() -> None:
    x = np.array([[1, -1, 0.5], [3, -7, 0.5], [2, 4, 0.5]], np.float32)
    text = THROUGH.replace("ACT", "Relu")
    assert scores_on(text, WEIGHTS, x) == pytest.approx([2.0, 4 / 3, 0.5], rel=1e-6)


def test_a_negative_mean_counts_by_its_size() -> None:
    x = np.array([[-4, 1, 0], [-4, -3, 0]], np.float32)
    text = THROUGH.replace("ACT", "LeakyRelu <alpha=0.5>")
    # unit 0: -2, -2 -> 2; unit 1: 1, -1.5 -> 0.25
    assert scores_on(text, WEIGHTS, x) == pytest.approx([2.0, 0.25, 0.0], rel=1e-6)


def test_several_positions_of_a_unit_are_averaged() -> None:
    weights = {"w": np.array([1, 10], np.float32).reshape(2, 1, 1, 1), "row": floats(4, 1)}
    x = np.array([[1, 2], [3, 6]], np.float32).reshape(2, 1, 1, 2)
    assert scores_on(FLAT, weights, x) == pytest.approx([3.0, 30.0], rel=1e-6)


def test_the_mean_is_over_all_taps_of_a_residual_stream_and_its_size_last() -> None:
    found = measured(
        {
            "r0": {"mean": [1.0, 2.0, 0.0]},
            "r1": {"mean": [-1.0, 2.0, 0.0]},
            "r2": {"mean": [6.0, -5.5, 0.75]},
        }
    )
    view = view_of(STREAM, STREAM_WEIGHTS, "stem", found)
    assert MeanActivation().score(view).tolist() == [[2.0, 0.5, 0.25]]
