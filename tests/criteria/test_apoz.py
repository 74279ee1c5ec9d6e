"""APoZ, worked out by hand: the share of exact zeros, and 1 minus it as the score."""

from collections.abc import Sequence

import numpy as np
import pytest
from oracle import proto_of
from views import STREAM, STREAM_WEIGHTS, measured, only_row, view_of

from onnxtrim.calibration import measure, open_data
from onnxtrim.calibration.data.feeding import input_specs
from onnxtrim.channels import analyze
from onnxtrim.config import DataConfig
from onnxtrim.criteria.apoz import Apoz
from onnxtrim.criteria.base import GroupView, Scores
from onnxtrim.graph import load, normalize

# A depth of one: what comes in at x is what stands before the Relu, channel by channel.
THROUGH = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4, 1, 2] x) => (float[N, 1, 1, 2] y) {
  [make] a = Conv(x, eye)
  [relu] r = Relu(a)
  [read] y = Conv(r, row)
}"""  # noqa: E501
WEIGHTS = {
    "eye": np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1),
    "row": np.ones((1, 4, 1, 1), np.float32),
}


def scores_on(x: Sequence[Sequence[Sequence[float]]]) -> Scores:
    """Returns the scores for pre-activations (samples, channels, positions)."""
    model = normalize(load(proto_of(THROUGH, WEIGHTS)))
    channel_map = analyze(model)
    (group,) = channel_map.groups
    array = np.array(x, dtype=np.float32)[:, :, None, :]
    data = open_data(array, input_specs(model), DataConfig())
    found = measure(model, group.taps, Apoz.statistics, data)
    assert all(0 <= v <= 1 for row in found.statistics.values() for v in row["zeros"])
    return only_row(Apoz().score(GroupView(group, channel_map, model, found, 0)))


def test_zeros_are_counted_over_samples_and_positions() -> None:
    # 2 samples x 2 positions: channel 0 fires 4 of 4 times, 1 never, 2 once, 3 twice.
    x = [[[1, 2], [-1, 0], [0, -3], [5, -1]], [[3, 4], [0, -9], [7, 0], [-2, 2]]]
    assert scores_on(x) == pytest.approx([1.0, 0.0, 0.25, 0.5], abs=1e-6)


def test_never_and_always_are_exact() -> None:
    assert scores_on([[[1, 2], [-1, -2], [0, 0], [1e6, 1e-6]]]).tolist() == [1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("tiny", [1e-6, 1e-20, 1e-30, 1.2e-38])
def test_a_tiny_positive_is_no_zero(tiny: float) -> None:
    assert scores_on([[[tiny, tiny], [tiny, 0], [-tiny, 0], [0, 0]]]) == pytest.approx(
        [1.0, 0.5, 0.0, 0.0], abs=1e-6
    )


def test_the_score_is_one_minus_the_share_of_zeros() -> None:
    found = measured({"r": {"zeros": [0.0, 0.25, 1.0, 0.875]}})
    view = view_of(THROUGH, WEIGHTS, "make", found)
    assert Apoz().score(view).tolist() == [[1.0, 0.75, 0.0, 0.125]]


def test_the_taps_of_a_residual_stream_count_alike() -> None:
    found = measured(
        {
            "r0": {"zeros": [0.0, 0.5, 1.0]},
            "r1": {"zeros": [0.25, 0.5, 1.0]},
            "r2": {"zeros": [0.5, 0.75, 0.25]},
        }
    )
    view = view_of(STREAM, STREAM_WEIGHTS, "stem", found)
    assert {tap.tensor for tap in view.group.taps} == {"r0", "r1", "r2"}
    # (0 + 1/4 + 1/2) / 3 = 1/4, (1/2 + 1/2 + 3/4) / 3 = 7/12, (1 + 1 + 1/4) / 3 = 3/4
    (scores,) = Apoz().score(view)
    assert scores == pytest.approx([3 / 4, 5 / 12, 1 / 4], abs=1e-15)


@pytest.mark.parametrize(
    ("act", "why"),
    [
        ("Relu", None),
        ("Sigmoid", "no Relu makes its zeros"),
        ("LeakyRelu", "no Relu makes its zeros"),
        ("Neg", "no Relu makes its zeros"),
    ],
)
def test_it_means_something_only_after_a_relu(act: str, why: str | None) -> None:
    view = view_of(THROUGH.replace("= Relu", f"= {act}"), WEIGHTS, "make")
    assert Apoz().unfit(view) == why


def test_every_tap_of_a_stream_has_to_follow_one() -> None:
    text = STREAM.replace("r1 = Relu(s1)", "r1 = Tanh(s1)")
    assert Apoz().unfit(view_of(STREAM, STREAM_WEIGHTS, "stem")) is None
    assert Apoz().unfit(view_of(text, STREAM_WEIGHTS, "stem")) == "no Relu makes its zeros"
