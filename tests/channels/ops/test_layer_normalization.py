"""Normalisation over the last axes: the positions of these stay, channels of others pass."""

import pytest
from cutting import Analysed, Given, analysed

from onnxtrim.channels import Code

OPERATORS = [("LayerNormalization", 17), ("LayerNormalization", 22), ("RMSNormalization", 23)]


def maps(middle: str, opset: int = 17, **vectors: Given) -> Analysed:
    """Returns conv -> `middle` (h -> q), of float[N,4,5,6] -> conv."""
    return analysed(
        "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
        f"[first] h = Conv (x, w1) [middle] {middle} [last] y = Conv (q, w2)",
        vectors,
        opset=opset,
        w1=(4, 3, 1, 1),
        w2=(2, 4, 1, 1),
    )


def features(middle: str, opset: int = 17, **vectors: Given) -> Analysed:
    """Returns product -> `middle` (h -> q), of float[N,5,4] -> product: channels come last."""
    return analysed(
        "(float[N,5,3] x) => (float[N,5,2] y)",
        f"[first] h = MatMul (x, w1) [middle] {middle} [last] y = MatMul (q, w2)",
        vectors,
        opset=opset,
        w1=(3, 4),
        w2=(4, 2),
    )


class TestChannelsThatAreNormalisedOver:
    """Without one of them the mean of the others would be another."""

    @pytest.mark.parametrize(("op", "opset"), OPERATORS)
    @pytest.mark.parametrize("axis", ["", "<axis = -1>", "<axis = 2>"])
    def test_of_the_last_axis(self, op: str, opset: int, axis: str) -> None:
        case = features(f"q = {op} {axis} (h, scale)", opset, scale=(4,))
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "middle")
        assert reason.sentence == f"{op} takes mean and variance over axis 2 of h"

    @pytest.mark.parametrize(("op", "opset"), OPERATORS)
    @pytest.mark.parametrize("axis", [1, -3])
    def test_of_an_axis_before_the_last(self, op: str, opset: int, axis: int) -> None:
        case = maps(f"q = {op} <axis = {axis}> (h, scale)", opset, scale=(4, 5, 6))
        assert case.groups == {}
        assert case.reasons["first"].sentence == f"{op} takes mean and variance over axis 1 of h"

    def test_what_reads_before_them_is_free(self) -> None:
        case = analysed(
            "(float[N,3] x) => (float[N,2] y)",
            """
            [first] g = MatMul (x, w0)
            r = Relu (g)
            [second] h = MatMul (r, w1)
            [middle] q = LayerNormalization (h, scale, bias)
            [last] y = MatMul (q, w2)
            """,
            w0=(3, 6), w1=(6, 4), w2=(4, 2), scale=(4,), bias=(4,),
        )  # fmt: skip
        assert list(case.groups) == ["first"]
        assert case.sizes_after(case.units("g", 1, 0, 5)) == {"w0": (3, 4), "w1": (4, 4)}


class TestOtherChannels:
    """They pass, and figures for each of them go along."""

    @pytest.mark.parametrize(("op", "opset"), OPERATORS)
    @pytest.mark.parametrize(("axis", "shape"), [("", (6,)), ("<axis = 2>", (5, 6))])
    def test_a_scale_of_the_normalised_axes_stays(
        self, op: str, opset: int, axis: str, shape: tuple[int, ...]
    ) -> None:
        case = maps(f"q = {op} {axis} (h, scale)", opset, scale=shape)
        assert case.pattern(("h", 1), ("q", 1)) == [[0, 1, 2, 3]] * 2
        assert case.sizes_after(case.units("h", 1, 0, 3)) == {
            "w1": (2, 3, 1, 1), "w2": (2, 2, 1, 1),
        }  # fmt: skip

    @pytest.mark.parametrize("axis", ["<axis = -1>", "<axis = 2>"])
    @pytest.mark.parametrize("batch", [(), (1,)])
    def test_a_scale_and_a_bias_for_each_channel_are_cut(
        self, axis: str, batch: tuple[int, ...]
    ) -> None:
        shape, left = (*batch, 4, 5, 6), (*batch, 3, 5, 6)
        case = maps(f"q = LayerNormalization {axis} (h, scale, bias)", scale=shape, bias=shape)
        assert case.pattern(("h", 1), ("scale", len(batch))) == [[0, 1, 2, 3]] * 2
        assert case.sizes_after(case.units("h", 1, 2)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1), "scale": left, "bias": left,
        }  # fmt: skip

    def test_a_bias_may_be_left_out_by_an_empty_name(self) -> None:
        case = maps("q = LayerNormalization (h, scale, )", scale=(6,))
        assert case.sizes_after(case.units("h", 1, 0))["w2"] == (2, 3, 1, 1)

    def test_a_scale_that_all_channels_share_stays(self) -> None:
        case = maps("q = LayerNormalization (h, scale)", scale=(1, 5, 6))
        assert case.sizes_after(case.units("h", 1, 0)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1),
        }  # fmt: skip

    def test_mean_and_deviation_are_of_the_same_channels(self) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,2,5,6] y, float[N,2,5,1] z)",
            """
            [first] h = Conv (x, w1)
            [middle] q, mean, deviation = LayerNormalization (h, scale)
            s = Add (mean, deviation)
            [other] z = Conv (s, w3)
            [last] y = Conv (q, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), w3=(2, 4, 1, 1), scale=(6,),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("mean", 1), ("deviation", 1)) == [[0, 1, 2, 3]] * 3
        assert [case.carries("mean", axis) for axis in (0, 2, 3)] == [False] * 3
        assert case.sizes_after(case.units("h", 1, 0)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1), "w3": (2, 3, 1, 1),
        }  # fmt: skip

    def test_a_mean_that_nobody_wants_may_be_left_out(self) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,2,5,6] y, float[N,2,5,1] z)",
            """
            [first] h = Conv (x, w1)
            [middle] q, , deviation = LayerNormalization (h, scale)
            [other] z = Conv (deviation, w3)
            [last] y = Conv (q, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), w3=(2, 4, 1, 1), scale=(6,),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 3))["w3"] == (2, 3, 1, 1)


class TestMeanVariance:
    """`MeanVarianceNormalization` names its axes: batch and space by default."""

    @pytest.mark.parametrize(
        ("axes", "opset"),
        [
            ("", 9),  # from 13 on the shape inference of onnx fails where there are no axes
            ("<axes = [0, 2, 3]>", 9),
            ("<axes = [0, 2, 3]>", 13),
            ("<axes = [2, 3]>", 13),
            ("<axes = [-1]>", 22),
        ],
    )
    def test_over_others_the_channels_pass(self, axes: str, opset: int) -> None:
        case = maps(f"q = MeanVarianceNormalization {axes} (h)", opset)
        assert case.pattern(("h", 1), ("q", 1)) == [[0, 1, 2, 3]] * 2
        assert case.sizes_after(case.units("h", 1, 0, 1)) == {
            "w1": (2, 3, 1, 1), "w2": (2, 2, 1, 1),
        }  # fmt: skip

    @pytest.mark.parametrize("axes", [(0, 1, 2, 3), (1,), (-3,)])
    def test_over_the_channels_they_are_frozen(self, axes: tuple[int, ...]) -> None:
        case = maps(f"q = MeanVarianceNormalization <axes = {list(axes)}> (h)")
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "middle")
        sentence = "MeanVarianceNormalization takes mean and variance over axis 1 of h"
        assert reason.sentence == sentence

    def test_by_default_space_is_what_there_is_of_it(self) -> None:
        case = features("q = MeanVarianceNormalization (h)", 9)
        assert case.groups == {}
        assert case.reasons["first"].node == "middle"


def test_no_macs_and_no_weight() -> None:
    case = features("q = LayerNormalization (h, scale)", scale=(4,))
    assert case.macs("middle", h=(1, 5, 4), scale=(4,), q=(1, 5, 4)) == 0
    assert case.weights("middle") == ()
