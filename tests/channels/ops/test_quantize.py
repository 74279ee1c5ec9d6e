"""QuantizeLinear and DequantizeLinear: per tensor, per channel and in blocks."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from cutting import Analysed, Given, analysed, initializers

from onnxtrim.channels import Code

RNG = np.random.default_rng(3)


def int8(*sizes: int) -> npt.NDArray[np.int8]:
    """Returns quantised weights."""
    return RNG.integers(-100, 100, sizes, dtype=np.int8)


def scales(*sizes: int) -> npt.NDArray[np.float32]:
    """Returns positive scales; of no size, a scalar."""
    return np.asarray(RNG.uniform(0.01, 0.05, sizes), dtype=np.float32)


def points(*sizes: int, dtype: type[np.generic] = np.int8) -> npt.NDArray[Any]:
    """Returns zero points, each another one; of no size, a scalar."""
    return np.arange(1, 1 + int(np.prod(sizes)), dtype=dtype).reshape(sizes)


def weights_per_channel(first: int = 0, second: int = 1, operands: str = "s, z") -> Analysed:
    """Returns two convolutions of int8 weights, quantised along their axes of channels."""
    s, _, z = operands.partition(", ")
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        f"""
        [left] k1 = DequantizeLinear <axis = {first}> (q1, {s}1{z and f", {z}1"})
        [first] h = Conv (x, k1)
        r = Relu (h)
        [right] k2 = DequantizeLinear <axis = {second}> (q2, {s}2{z and f", {z}2"})
        [second] y = Conv (r, k2)
        """,
        {"z1": points(4), "z2": points(4)} if z else {},
        q1=int8(4, 3, 1, 1), s1=scales(4), q2=int8(2, 4, 1, 1), s2=scales(4),
    )  # fmt: skip


class TestWeights:
    """Stored in integers, with a scale and a zero point for each channel or for all."""

    @pytest.mark.parametrize(("first", "second"), [(0, 1), (-4, -3)])
    def test_scales_and_zero_points_belong_to_the_channels(self, first: int, second: int) -> None:
        case = weights_per_channel(first, second)
        left = case.pattern(("h", 1), ("k1", 0), ("q1", 0), ("s1", 0), ("z1", 0))
        right = case.pattern(("h", 1), ("k2", 1), ("q2", 1), ("s2", 0), ("z2", 0))
        assert left == right == [[0, 1, 2, 3]] * 5
        assert case.sizes_after(case.units("h", 1, 0, 2)) == {
            "q1": (2, 3, 1, 1), "s1": (2,), "z1": (2,),
            "q2": (2, 2, 1, 1), "s2": (2,), "z2": (2,),
        }  # fmt: skip

    def test_the_channels_that_stay_keep_their_scales_and_zero_points(self) -> None:
        case = weights_per_channel()
        before = initializers(case.model)
        after = initializers(case.cut(case.units("h", 1, 1)))
        assert after["q1"].dtype == np.int8
        assert after["q1"].tolist() == before["q1"][[0, 2, 3]].tolist()
        assert after["s2"].tolist() == before["s2"][[0, 2, 3]].tolist()
        assert after["z1"].tolist() == [1, 3, 4]

    def test_the_zero_point_may_be_left_out(self) -> None:
        case = weights_per_channel(operands="s")
        assert case.sizes_after(case.units("h", 1, 3)) == {
            "q1": (3, 3, 1, 1), "s1": (3,), "q2": (2, 3, 1, 1), "s2": (3,),
        }  # fmt: skip

    def test_along_an_axis_that_is_not_cut_scales_stay_as_they_are(self) -> None:
        # q1 along its inputs (3, of the graph), q2 along its outputs (2, of the graph)
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            k1 = DequantizeLinear <axis = 1> (q1, s1, z1)
            [first] h = Conv (x, k1)
            k2 = DequantizeLinear <axis = 0> (q2, s2, z2)
            [second] y = Conv (h, k2)
            """,
            q1=int8(4, 3, 1, 1), s1=scales(3), z1=points(3),
            q2=int8(2, 4, 1, 1), s2=scales(2), z2=points(2),
        )  # fmt: skip
        assert list(case.groups) == ["first"]
        assert case.sizes_after(case.units("h", 1, 0)) == {
            "q1": (3, 3, 1, 1), "q2": (2, 3, 1, 1),
        }  # fmt: skip

    @pytest.mark.parametrize("opset", [10, 13, 21])
    def test_one_scale_for_all_may_be_shared(self, opset: int) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            k1 = DequantizeLinear (q1, s, z)
            [first] h = Conv (x, k1)
            k2 = DequantizeLinear (q2, s, z)
            [second] y = Conv (h, k2)
            """,
            opset=opset,
            q1=int8(4, 3, 1, 1), q2=int8(2, 4, 1, 1), s=scales(), z=points(),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 1, 2)) == {
            "q1": (2, 3, 1, 1), "q2": (2, 2, 1, 1),
        }  # fmt: skip

    def test_one_scale_for_all_may_be_a_vector_of_one(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            k1 = DequantizeLinear <axis = 0> (q1, s, z)
            [first] h = Conv (x, k1)
            [second] y = Conv (h, w2)
            """,
            q1=int8(4, 3, 1, 1), s=scales(1), z=points(1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "q1": (3, 3, 1, 1), "w2": (2, 3, 1, 1),
        }  # fmt: skip

    def test_a_scale_vector_for_two_weights_ties_their_channels(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            k1 = DequantizeLinear <axis = 0> (q1, s)
            [first] h = Conv (x, k1)
            k2 = DequantizeLinear <axis = 0> (q2, s)
            [second] g = Conv (h, k2)
            [last] y = Conv (g, w3)
            """,
            q1=int8(4, 3, 1, 1), q2=int8(4, 4, 1, 1), s=scales(4), w3=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("g", 1), ("s", 0), ("q2", 0), ("q2", 1)) == [
            [0, 1, 2, 3]
        ] * 5  # fmt: skip
        assert case.sizes_after(case.units("g", 1, 2)) == {
            "q1": (3, 3, 1, 1), "q2": (3, 3, 1, 1), "s": (3,), "w3": (2, 3, 1, 1),
        }  # fmt: skip

    def test_a_depthwise_weight(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            k = DequantizeLinear <axis = 0> (q, s, z)
            [deep] d = Conv <group = 4> (h, k)
            [last] y = Conv (d, w2)
            """,
            w1=(4, 3, 1, 1), q=int8(4, 1, 1, 1), s=scales(4), z=points(4), w2=(2, 4, 1, 1),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 1, 3))
        assert thinner.graph.node("deep").attributes["group"].as_int() == 2
        after = initializers(thinner)
        assert [after[name].shape for name in ("q", "s", "z")] == [(2, 1, 1, 1), (2,), (2,)]

    def test_a_matrix_and_its_bias(self) -> None:
        case = analysed(
            "(float[N,5] x) => (float[N,2] y)",
            """
            k1 = DequantizeLinear <axis = -1> (q1, s1)
            b1 = DequantizeLinear <axis = 0> (c1, t1)
            [first] h = Gemm (x, k1, b1)
            k2 = DequantizeLinear <axis = 0> (q2, s2)
            [second] y = MatMul (h, k2)
            """,
            q1=int8(5, 4), s1=scales(4), c1=np.array([900, -700, 300, 50], np.int32),
            t1=scales(4), q2=int8(4, 2), s2=scales(4),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("b1", 0), ("c1", 0), ("t1", 0)) == [[0, 1, 2, 3]] * 4
        after = initializers(case.cut(case.units("h", 1, 1)))
        assert after["c1"].tolist() == [900, 300, 50]
        assert {name: after[name].shape for name in ("q1", "s1", "t1", "q2", "s2")} == {
            "q1": (5, 3), "s1": (3,), "t1": (3,), "q2": (3, 2), "s2": (3,),
        }  # fmt: skip

    def test_a_bias_with_one_scale(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            "b = DequantizeLinear (c, t) [first] h = Conv (x, w1, b) [second] y = Conv (h, w2)",
            w1=(4, 3, 1, 1), c=np.array([90, -70, 30, 5], np.int32), t=scales(), w2=(2, 4, 1, 1),
        )  # fmt: skip
        after = initializers(case.cut(case.units("h", 1, 0, 3)))
        assert after["c"].tolist() == [-70, 30]
        assert after["t"].shape == ()


class TestActivations:
    """A pair of nodes between two layers hands every axis on."""

    @staticmethod
    def between(attributes: str, opset: int = 13, **operands: Given) -> Analysed:
        """Returns conv -> quantise -> dequantise -> conv over four channels."""
        return analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            f"""
            [first] h = Conv (x, w1)
            [down] q = QuantizeLinear {attributes} (h, s, z)
            [up] d = DequantizeLinear {attributes} (q, s, z)
            [last] y = Conv (d, w2)
            """,
            opset=opset, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), **operands,
        )  # fmt: skip

    @pytest.mark.parametrize("opset", [10, 13, 19, 21])
    def test_per_tensor(self, opset: int) -> None:
        case = self.between("", opset, s=scales(), z=np.array(128, np.uint8))
        assert case.pattern(("h", 1), ("q", 1), ("d", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 4
        assert [case.carries("q", axis) for axis in (0, 2, 3)] == [False] * 3
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1),
        }  # fmt: skip

    @pytest.mark.parametrize("attributes", ["", "<axis = 1>", "<axis = -3>"])
    def test_per_channel_axis_1_is_the_default(self, attributes: str) -> None:
        zero = np.array([120, 125, 130, 135], np.uint8)
        case = self.between(attributes, s=scales(4), z=zero)
        assert case.pattern(("h", 1), ("s", 0), ("z", 0), ("d", 1)) == [[0, 1, 2, 3]] * 4
        thinner = case.cut(case.units("h", 1, 0, 2))
        after = initializers(thinner)
        assert after["z"].tolist() == [125, 135]
        assert after["s"].tolist() == initializers(case.model)["s"][[1, 3]].tolist()

    def test_per_position_lets_the_channels_pass(self) -> None:
        zero = np.array([120, 125, 130, 135, 140], np.uint8)
        case = self.between("<axis = 3>", s=scales(5), z=zero)
        assert case.sizes_after(case.units("h", 1, 3)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1),
        }  # fmt: skip

    def test_flat_features(self) -> None:
        case = analysed(
            "(float[N,5] x) => (float[N,2] y)",
            """
            [first] h = MatMul (x, w1)
            q = QuantizeLinear <axis = -1> (h, s, z)
            d = DequantizeLinear <axis = -1> (q, s, z)
            [last] y = MatMul (d, w2)
            """,
            w1=(5, 4), s=scales(4), z=points(4), w2=(4, 2),
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 1)) == {
            "w1": (5, 3), "s": (3,), "z": (3,), "w2": (3, 2),
        }  # fmt: skip

    def test_a_whole_layer_between_pairs(self) -> None:
        # as exported: activations per tensor, weights per channel, the bias in int32
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            q0 = QuantizeLinear (x, s0, z0)
            x0 = DequantizeLinear (q0, s0, z0)
            k1 = DequantizeLinear <axis = 0> (q1, s1, z1)
            b1 = DequantizeLinear <axis = 0> (c1, t1)
            [first] h = Conv (x0, k1, b1)
            q2 = QuantizeLinear (h, s2, z2)
            h2 = DequantizeLinear (q2, s2, z2)
            k3 = DequantizeLinear <axis = 0> (q3, s3, z3)
            [last] y = Conv (h2, k3)
            """,
            s0=scales(), z0=np.array(128, np.uint8),
            q1=int8(4, 3, 1, 1), s1=scales(4), z1=np.zeros(4, np.int8),
            c1=np.array([900, -700, 300, 50], np.int32), t1=scales(4),
            s2=scales(), z2=np.array(128, np.uint8),
            q3=int8(2, 4, 1, 1), s3=scales(2), z3=np.zeros(2, np.int8),
        )  # fmt: skip
        assert list(case.groups) == ["first"]
        assert case.sizes_after(case.units("h", 1, 0, 3)) == {
            "q1": (2, 3, 1, 1), "s1": (2,), "z1": (2,), "c1": (2,), "t1": (2,),
            "q3": (2, 2, 1, 1),
        }  # fmt: skip

    def test_a_scalar_tensor_has_no_axis(self) -> None:
        case = analysed(
            "(float[5] x) => (float y)",
            """
            [first] h = MatMul (x, w1)
            v = MatMul (h, w2)
            [down] q = QuantizeLinear (v, s, z)
            [up] y = DequantizeLinear (q, s, z)
            """,
            w1=(5, 4), w2=(4,), s=scales(), z=points(),
        )  # fmt: skip
        assert case.channels.barriers == ()
        assert case.sizes_after(case.units("h", 0, 2)) == {"w1": (5, 3), "w2": (3,)}

    def test_the_input_of_the_graph_freezes_scales_and_what_goes_with_them(self) -> None:
        # one vector of scales for x, which is fed, and for h
        case = analysed(
            "(float[N,4,5,5] x) => (float[N,2,5,5] y)",
            """
            q = QuantizeLinear (x, s, z)
            d = DequantizeLinear (q, s, z)
            [first] h = Conv (d, w1)
            p = QuantizeLinear (h, s, z)
            e = DequantizeLinear (p, s, z)
            [last] y = Conv (e, w2)
            """,
            s=scales(4), z=points(4), w1=(4, 4, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: x is an input of the graph"


class TestBlocks:
    """Since opset 21 neighbours on an axis can share a scale: that axis is frozen."""

    @staticmethod
    def blocked(axis: int, *zero_point: str) -> Analysed:
        """Returns 3 -> 8 -> 4 -> 2 features, the middle matrix quantised in blocks of 2 on axis."""
        sizes = (4, 4) if axis in (0, -2) else (8, 2)
        operands = ", ".join(("q", "s", *zero_point))
        return analysed(
            "(float[N,3] x) => (float[N,2] y)",
            f"""
            [first] h = MatMul (x, w1)
            [up] k = DequantizeLinear <axis = {axis}, block_size = 2> ({operands})
            [second] g = MatMul (h, k)
            [last] y = MatMul (g, w3)
            """,
            dict.fromkeys(zero_point, points(*sizes)),
            opset=21, w1=(3, 8), q=int8(8, 4), s=scales(*sizes), w3=(4, 2),
        )  # fmt: skip

    @pytest.mark.parametrize("axis", [0, -2])
    @pytest.mark.parametrize("zero_point", [(), ("z",)])
    def test_rows_in_blocks_stay_and_columns_can_go(
        self, axis: int, zero_point: tuple[str, ...]
    ) -> None:
        case = self.blocked(axis, *zero_point)
        assert list(case.groups) == ["second"]
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "up")
        assert reason.sentence == "axis 0 of q is quantised in blocks"
        assert case.sizes_after(case.units("g", 1, 1)) == {
            "q": (8, 3), "s": (4, 3), "w3": (3, 2), **dict.fromkeys(zero_point, (4, 3)),
        }  # fmt: skip

    @pytest.mark.parametrize("axis", [1, -1])
    @pytest.mark.parametrize("zero_point", [(), ("z",)])
    def test_columns_in_blocks_stay_and_rows_can_go(
        self, axis: int, zero_point: tuple[str, ...]
    ) -> None:
        case = self.blocked(axis, *zero_point)
        assert list(case.groups) == ["first"]
        reason = case.reasons["second"]
        assert (reason.code, reason.node) == (Code.MIXED, "up")
        assert reason.sentence == "axis 1 of q is quantised in blocks"
        assert case.sizes_after(case.units("h", 1, 0, 7)) == {
            "w1": (3, 6), "q": (6, 4), "s": (6, 2), **dict.fromkeys(zero_point, (6, 2)),
        }  # fmt: skip


def test_no_macs_and_no_weight() -> None:
    case = weights_per_channel()
    assert case.macs("left", q1=(4, 3, 1, 1), k1=(4, 3, 1, 1)) == 0
    assert case.weights("left") == ()
