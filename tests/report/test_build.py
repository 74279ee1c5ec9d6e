"""Rows of a report, made from maps, scores and measurements worked out by hand."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from oracle import Arrays, proto_of

import onnxtrim
from onnxtrim.calibration import Latency, Measurements
from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.graph import load, normalize
from onnxtrim.report import FrozenRow, MetricValue, Side, environment, frozen_rows, group_rows, side
from onnxtrim.report.model import Spread
from onnxtrim.selection import Alignment, Cost

TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3, 4, 4] x) => (float[N, 2] y) {
  [conv] a = Conv(x, w1)
  [relu] r = Relu(a)
  [flat] f = Flatten(r)
  [dense] h = Gemm(f, w2)
  [act] s = Relu(h)
  [last] y = Gemm(s, w3)
}"""
WEIGHTS: Arrays = {
    "w1": np.ones((6, 3, 1, 1), np.float32),
    "w2": np.ones((96, 4), np.float32),
    "w3": np.ones((4, 2), np.float32),
}

LENET = Path(__file__).parents[2] / "models" / "lenet-digits.onnx"


def channel_map() -> ChannelMap:
    return analyze(normalize(load(proto_of(TEXT, WEIGHTS))))


def test_a_row_for_every_group() -> None:
    found = channel_map()
    conv, dense = found.groups
    kept = found.without(np.concatenate([conv.units[:2], dense.units[3:]]))
    scores = {"conv": np.array([3.0, 1, 2, 10, 0, 5]), "dense": np.array([1.0, 2, 3, 4])}
    measurements = Measurements(
        {
            ("r", 1): {"zeros": np.array([0, 0, 0, 0, 0.5, 1]), "mean": np.arange(6.0)},
            ("s", 1): {"zeros": np.array([1.0, 1, 1, 0])},
        },
        1,
        "",
    )
    rows = group_rows(found, kept, Alignment(8, 8), scores, measurements)
    assert [(r.name, r.before, r.after, r.step) for r in rows] == [
        ("conv", 6, 4, 4),  # narrower than a step of 8: multiples of 4
        ("dense", 4, 3, 1),
    ]
    assert [r.score for r in rows] == [Spread(0.0, 2.5, 10.0), Spread(1.0, 2.5, 4.0)]
    assert rows[0].statistics == {"zeros": 0.25, "mean": 2.5}
    assert rows[1].statistics == {"zeros": 0.75}
    assert rows[0].tensors == ("a", "f", "r", "w1", "w2")
    assert rows[1].tensors == ("h", "s", "w2", "w3")


def test_without_scores_and_measurements_they_are_left_out() -> None:
    found = channel_map()
    rows = group_rows(found, found.without(found.no_units), Alignment(1, 1))
    assert [(r.before, r.after, r.step, r.score, r.statistics) for r in rows] == [
        (6, 6, 1, None, {}),
        (4, 4, 1, None, {}),
    ]


@pytest.mark.parametrize(
    ("alignment", "steps"),
    [
        (Alignment(1, 1), [1, 1]),
        (Alignment(2, 2), [2, 1]),
        (Alignment(4, 4), [4, 1]),
        (Alignment(4, 2), [4, 1]),  # 4 is a whole block
        (Alignment(6, 2), [2, 1]),  # 4 is less than one
        (Alignment(16, 4), [4, 1]),
        (None, [None, None]),
    ],
)
def test_the_step_is_the_one_that_made_the_width(
    alignment: Alignment | None, steps: list[int | None]
) -> None:
    found = channel_map()
    conv, dense = found.groups
    kept = found.without(np.concatenate([conv.units[:2], dense.units[3:]]))
    rows = group_rows(found, kept, alignment)
    assert [(r.before, r.after) for r in rows] == [(6, 4), (4, 3)]
    assert [r.step for r in rows] == steps


def test_every_frozen_group_has_its_reason() -> None:
    found = channel_map().restricted((), ("conv",))
    rows = {row.name: row for row in frozen_rows(found)}
    assert rows.keys() == {"conv", "last"}
    assert rows["last"] == FrozenRow("last", 2, "graph output", "y is an output of the graph")
    assert (rows["conv"].width, rows["conv"].code) == (6, "excluded")
    assert "--exclude" in rows["conv"].reason


def test_one_side() -> None:
    latency, metric = Latency(2, 1, 3, 11), MetricValue("accuracy", 0.5)
    assert side(Cost(100, 10, 40), 57, latency, metric) == Side(
        params=10, macs=100, bytes=57, latency_ms=latency, metric=metric
    )
    assert side(Cost(100, 10, 40), 57) == Side(10, 100, 57, None, None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("onnxruntime", onnxruntime.__version__), ("numpy", np.__version__)],
)
def test_the_environment_is_the_one_we_are_in(name: str, expected: str) -> None:
    assert environment()[name] == expected


def test_the_environment_says_everything_that_figures_depend_on() -> None:
    found = environment()
    assert found.keys() == {
        "onnxtrim", "onnx", "onnx-ir", "numpy", "onnxruntime", "python", "system", "cores",
    }  # fmt: skip
    assert all(found.values())
    assert int(found["cores"]) >= 1
    assert "not installed" not in found.values()


def test_what_a_unit_costs_is_what_the_model_saves_without_it() -> None:
    rows = {row.name: row for row in onnxtrim.inspect(LENET).groups}
    # conv1: 24 x 24 outputs of 5 x 5, read by 50 kernels of 5 x 5 at 8 x 8 places.
    assert rows["conv1"].unit_macs == 24 * 24 * 25 + 8 * 8 * 50 * 25
    assert rows["conv1"].unit_params == 25 + 1 + 50 * 25
    # conv2: read by 500 rows through 4 x 4 pooled positions.
    assert rows["conv2"].unit_macs == 8 * 8 * 20 * 25 + 500 * 16
    assert rows["conv2"].unit_params == 20 * 25 + 1 + 500 * 16
    assert rows["fc1"].unit_macs == 800 + 10
    assert rows["fc1"].unit_params == 800 + 1 + 10
