"""Sampling at computed places: every channel at the same ones."""

import numpy as np
import pytest
from cutting import Analysed, Given, analysed, ints

from onnxtrim.channels import Code

ROIS = np.array([[0, 0, 3, 3], [1, 1, 4, 3], [0, 2, 2, 4]], np.float32)
"""Three boxes of x1, y1, x2, y2."""


def sampled(middle: str, opset: int = 17, **operands: Given) -> Analysed:
    """Returns conv -> `middle` (h -> q), of float[2,4,5,6] -> conv."""
    return analysed(
        "(float[2,3,5,6] x) => (float[n,2,s,t] y)",
        f"[first] h = Conv (x, w1) [middle] {middle} [last] y = Conv (q, w2)",
        operands,
        opset=opset,
        w1=(4, 3, 1, 1),
        w2=(2, 4, 1, 1),
    )


def assert_passes(case: Analysed) -> None:
    """Fails unless the channels go through the middle, and only they."""
    assert case.pattern(("h", 1), ("q", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
    assert [case.carries("q", axis) for axis in (0, 2, 3)] == [False] * 3
    sizes = case.sizes_after(case.units("h", 1, 0, 2))
    assert sizes == {"w1": (2, 3, 1, 1), "w2": (2, 2, 1, 1)}


class TestGridSample:
    """x (N, C, H, W) at places of a grid (N, h, w, 2)."""

    @pytest.mark.parametrize(
        ("attributes", "opset"),
        [
            ("", 16),
            ('<mode = "nearest", padding_mode = "border", align_corners = 1>', 16),
            ('<mode = "bicubic">', 16),
            ('<mode = "cubic">', 20),
            ('<mode = "linear">', 22),
        ],
    )
    def test_channels_pass(self, attributes: str, opset: int) -> None:
        grid = np.random.default_rng(3).uniform(-1, 1, (2, 3, 2, 2)).astype(np.float32)
        assert_passes(sampled(f"q = GridSample {attributes} (h, grid)", opset, grid=grid))

    def test_in_one_more_dimension(self) -> None:
        grid = np.random.default_rng(3).uniform(-1, 1, (2, 2, 3, 2, 3)).astype(np.float32)
        case = analysed(
            "(float[2,3,4,5,6] x) => (float[2,2,2,3,2] y)",
            "[first] h = Conv (x, w1) [middle] q = GridSample (h, grid) [last] y = Conv (q, w2)",
            opset=20, w1=(4, 3, 1, 1, 1), w2=(2, 4, 1, 1, 1), grid=grid,
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 3)) == {
            "w1": (3, 3, 1, 1, 1), "w2": (2, 3, 1, 1, 1),
        }  # fmt: skip

    def test_a_grid_made_by_a_convolution_keeps_its_two_coordinates(self) -> None:
        case = analysed(
            "(float[2,3,5,6] x) => (float[2,2,5,6] y)",
            """
            [first] h = Conv (x, w1)
            [offsets] o = Conv (h, w3)
            t = Tanh (o)
            grid = Transpose <perm = [0, 2, 3, 1]> (t)
            [middle] q = GridSample (h, grid)
            [last] y = Conv (q, w2)
            """,
            w1=(4, 3, 1, 1), w3=(2, 4, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert list(case.groups) == ["first"]
        reason = case.reasons["offsets"]
        assert (reason.code, reason.node) == (Code.POSITIONS, "middle")
        assert reason.sentence == "axis 3 of grid is read as positions, not channels"
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1), "w3": (2, 3, 1, 1),
        }  # fmt: skip

    def test_features_that_are_their_own_grid_stay(self) -> None:
        case = analysed(
            "(float[2,3,5,2] x) => (float[2,2,4,5] y)",
            "[first] h = Conv (x, w1) [middle] q = GridSample (h, h) [last] y = Conv (q, w2)",
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.POSITIONS, "middle")
        assert reason.sentence == "axis 1 of h is read as positions, not channels"


class TestRegions:
    """x (N, C, H, W) in boxes (R, 4) or (R, 5): maps (R, C, h, w)."""

    @pytest.mark.parametrize("opset", [10, 16, 21])
    @pytest.mark.parametrize("mode", ["avg", "max"])
    def test_align(self, opset: int, mode: str) -> None:
        attributes = f'output_height = 2, output_width = 2, sampling_ratio = 1, mode = "{mode}"'
        middle = f"q = RoiAlign <{attributes}> (h, rois, batch)"
        assert_passes(sampled(middle, opset, rois=ROIS, batch=ints(0, 1, 1)))

    @pytest.mark.parametrize("opset", [7, 17, 21])
    def test_the_largest_in_each(self, opset: int) -> None:
        boxes = np.concatenate([np.array([[0], [1], [1]], np.float32), ROIS], axis=1)
        case = sampled("q = MaxRoiPool <pooled_shape = [2, 2]> (h, rois)", opset, rois=boxes)
        assert_passes(case)


def test_no_macs_no_weight_and_no_tap() -> None:
    grid = np.zeros((2, 3, 2, 2), np.float32)
    case = sampled("q = GridSample (h, grid)", grid=grid)
    assert case.macs("middle", h=(1, 4, 5, 6), grid=(1, 3, 2, 2), q=(1, 4, 3, 2)) == 0
    assert case.weights("middle") == ()
    assert not case.rule("middle").activation
