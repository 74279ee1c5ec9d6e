"""Squeeze and Unsqueeze: axes of one position come and go, channels stay."""

import pytest
from cutting import Analysed, Given, analysed, initializers, ints

from onnxtrim.channels import Code


def squeezed(expression: str, opset: int, **weights: Given) -> Analysed:
    """Returns conv (4 channels of 1 x 3) -> squeeze of the row -> conv."""
    return analysed(
        "(float[N,3,1,3] x) => (float[N,2,3] y)",
        f"[first] h = Conv (x, w1) [out] s = {expression} [last] y = Conv (s, w2)",
        weights,
        opset=opset, w1=(4, 3, 1, 1), w2=(2, 4, 1),
    )  # fmt: skip


def vector(opset: int, batch: int = 3, result: str = "3,3") -> Analysed:
    """Returns conv (2 channels of one pixel) -> squeeze without axes -> matrix product."""
    return analysed(
        f"(float[{batch},5,1,1] x) => (float[{result}] y)",
        "[first] h = Conv (x, w1) [out] s = Squeeze (h) [last] y = MatMul (s, w2)",
        opset=opset, w1=(2, 5, 1, 1), w2=(2, 3),
    )  # fmt: skip


class TestSqueeze:
    """The axes that are left hand their units on."""

    @pytest.mark.parametrize("axis", [2, -2])
    @pytest.mark.parametrize("opset", [11, 13, 17, 21])
    def test_positions_that_go_leave_the_channels(self, opset: int, axis: int) -> None:
        if opset < 13:
            case = squeezed(f"Squeeze <axes = [{axis}]> (h)", opset)
        else:
            case = squeezed("Squeeze (h, axes)", opset, axes=ints(axis))
        assert case.pattern(("h", 1), ("s", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
        assert [case.carries("s", other) for other in (0, 2)] == [False, False]
        assert case.sizes_after(case.units("h", 1, 0, 2)) == {
            "w1": (2, 3, 1, 1),
            "w2": (2, 2, 1),
        }

    @pytest.mark.parametrize(("axes", "opset"), [("[0, 2]", 11), ("[0, 2]", 9), ("[-2, -4]", 11)])
    def test_an_axis_in_front_moves_the_channels(self, axes: str, opset: int) -> None:
        # (1, 4, 1, 3) to (4, 3): the channels are rows, and the next product sums over them
        case = analysed(
            "(float[1,3,1,3] x) => (float[2,3] y)",
            f"[first] h = Conv (x, w1) s = Squeeze <axes = {axes}> (h) [last] y = MatMul (w2, s)",
            opset=opset, w1=(4, 3, 1, 1), w2=(2, 4),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("s", 0)) == [[0, 1, 2, 3]] * 2
        assert case.sizes_after(case.units("h", 1, 3)) == {"w1": (3, 3, 1, 1), "w2": (2, 3)}

    def test_a_shared_axes_operand_serves_both(self) -> None:
        case = analysed(
            "(float[N,3,1,3] x) => (float[N,2,3] y, float[N,3,3] z)",
            "[first] h = Conv (x, w1) s = Squeeze (h, axes) [last] y = Conv (s, w2) "
            "z = Squeeze (x, axes)",
            w1=(4, 3, 1, 1), w2=(2, 4, 1), axes=ints(2),
        )  # fmt: skip
        thinner = initializers(case.cut(case.units("h", 1, 0)))
        assert thinner["axes"].tolist() == [2]
        assert thinner["w1"].shape == (3, 3, 1, 1)


class TestSqueezeWithoutAxes:
    """Every axis of size 1 goes: a single channel that a cut leaves must not."""

    @pytest.mark.parametrize("opset", [11, 17])
    def test_the_axes_are_named_where_one_channel_is_left(self, opset: int) -> None:
        case = vector(opset)
        assert case.pattern(("h", 1), ("s", 1)) == [[0, 1], [0, 1]]
        thinner = case.cut(case.units("h", 1, 1))
        node = thinner.graph.node("out")
        if opset < 13:
            assert list(node.attributes["axes"].as_ints()) == [2, 3]
            assert len(node.inputs) == 1
        else:
            assert not node.attributes
            assert initializers(thinner)[str(node.inputs[1].name)].tolist() == [2, 3]  # type: ignore[union-attr]
        assert initializers(thinner)["w2"].shape == (1, 3)

    @pytest.mark.parametrize("opset", [11, 17])
    def test_they_are_not_where_more_are_left(self, opset: int) -> None:
        case = analysed(
            "(float[3,5,1,1] x) => (float[3,2] y)",
            "[first] h = Conv (x, w1) [out] s = Squeeze (h) [last] y = MatMul (s, w2)",
            opset=opset, w1=(4, 5, 1, 1), w2=(4, 2),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 1, 2))
        assert len(thinner.graph.node("out").inputs) == 1
        assert not thinner.graph.node("out").attributes

    def test_named_axes_stay_where_one_channel_is_left(self) -> None:
        case = analysed(
            "(float[3,5,1,1] x) => (float[3,2,1] y)",
            "[first] h = Conv (x, w1) [out] s = Squeeze (h, axes) [last] y = Conv (s, w2)",
            w1=(2, 5, 1, 1), w2=(2, 2, 1), axes=ints(-1),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0))
        assert initializers(thinner)["axes"].tolist() == [-1]

    def test_a_batch_of_one_goes_too(self) -> None:
        # (1, 2, 1, 1) to (2,): the product takes the vector for a row
        case = vector(17, batch=1, result="3")
        assert case.pattern(("h", 1), ("s", 0)) == [[0, 1], [0, 1]]
        thinner = case.cut(case.units("h", 1, 0))
        axes = thinner.graph.node("out").inputs[1]
        assert axes is not None
        assert initializers(thinner)[str(axes.name)].tolist() == [0, 2, 3]


class TestFrozenSqueeze:
    """What cannot be followed stays, and says why."""

    @pytest.mark.parametrize(
        ("expression", "opset"), [("Squeeze <axes = [1]> (h)", 11), ("Squeeze (h, one)", 17)]
    )
    def test_a_single_channel_whose_axis_goes(self, expression: str, opset: int) -> None:
        case = analysed(
            "(float[N,3,4,3] x) => (float[N,4,2] y)",
            f"[first] h = Conv (x, w1) [out] s = {expression} [last] y = MatMul (s, w2)",
            {"one": ints(1)} if opset > 12 else {},
            opset=opset, w1=(1, 3, 1, 1), w2=(3, 2),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "out")
        assert reason.sentence == "axis 1 is squeezed away"

    def test_axes_that_are_fed(self) -> None:
        # the rank of the result is declared, the axes are not
        case = analysed(
            "(float[N,3,1,1] x, int64[1] axes) => (float[N,2,1] y) <float[N,4,1] s>",
            "[first] h = Conv (x, w1) [out] s = Squeeze (h, axes) [last] y = Conv (s, w2)",
            w1=(4, 3, 1, 1), w2=(2, 4, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "out")
        assert reason.sentence == "the axes to squeeze are computed"

    def test_no_axes_over_a_batch_that_may_be_one(self) -> None:
        # the declared result has another rank than the axes known to be 1 leave
        case = analysed(
            "(float[N,3,1,1] x) => (float[2] y) <float[4] s>",
            "[first] h = Conv (x, w1) [out] s = Squeeze (h) [last] y = MatMul (w2, s)",
            w1=(4, 3, 1, 1), w2=(2, 4),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "out")
        assert reason.sentence == "the axes to squeeze are computed"

    def test_no_axes_and_no_declared_rank(self) -> None:
        case = analysed(
            "(float[N,3,1,1] x) => (float[a,2] y)",
            "[first] h = Conv (x, w1) [out] s = Squeeze (h) [last] y = MatMul (s, w2)",
            w1=(4, 3, 1, 1), w2=(4, 2),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "out")
        assert reason.sentence == "the rank of s is unknown"


class TestUnsqueeze:
    """New axes hold one position."""

    @pytest.mark.parametrize(
        ("axes", "place", "kernel"),
        [([2, 3], 1, (1, 1)), ([-1, -2], 1, (1, 1)), ([2], 1, (1,)), ([-1], 1, (1,))],
    )
    @pytest.mark.parametrize("opset", [11, 13, 21])
    def test_behind_the_channels(
        self, opset: int, axes: list[int], place: int, kernel: tuple[int, ...]
    ) -> None:
        ones = ",".join("1" for _ in kernel)
        operand = opset >= 13
        unsqueeze = "Unsqueeze (h, axes)" if operand else f"Unsqueeze <axes = {axes}> (h)"
        case = analysed(
            f"(float[N,5] x) => (float[N,2,{ones}] y)",
            f"[first] h = MatMul (x, w1) [in] u = {unsqueeze} [last] y = Conv (u, w2)",
            {"axes": ints(*axes)} if operand else {},
            opset=opset, w1=(5, 4), w2=(2, 4, *kernel),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("u", place)) == [[0, 1, 2, 3]] * 2
        others = [axis for axis in range(2 + len(kernel)) if axis != place]
        assert not any(case.carries("u", axis) for axis in others)
        assert case.sizes_after(case.units("h", 1, 0)) == {"w1": (5, 3), "w2": (2, 3, *kernel)}

    @pytest.mark.parametrize(
        ("axes", "place"), [((0,), 2), ((-3,), 2), ((1, 0), 3), ((0, -1), 2), ((0, 2), 3)]
    )
    def test_in_front_of_the_channels(self, axes: tuple[int, ...], place: int) -> None:
        # h is (N, 4); the new axes move its channels, and squeezing brings them back
        case = analysed(
            "(float[N,5] x) => (float[N,2] y)",
            """
            [first] h = MatMul (x, w1)
            u = Unsqueeze (h, axes)
            s = Squeeze (u, axes)
            [last] y = MatMul (s, w2)
            """,
            w1=(5, 4), w2=(4, 2), axes=ints(*axes),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("u", place), ("s", 1)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 1, 1)) == {"w1": (5, 3), "w2": (3, 2)}

    def test_a_bias_is_given_its_axes(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            b = Unsqueeze (bias, axes) s = Add (h, b)
            [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), bias=(4,), w2=(2, 4, 1, 1), axes=ints(1, 2),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("bias", 0), ("b", 0)) == [[0, 1, 2, 3]] * 3
        assert case.sizes_after(case.units("h", 1, 3)) == {
            "w1": (3, 3, 1, 1), "bias": (3,), "w2": (2, 3, 1, 1),
        }  # fmt: skip

    def test_axes_that_are_fed(self) -> None:
        case = analysed(
            "(float[N,5] x, int64[1] axes) => (float[N,2,1] y) <float[N,4,1] u>",
            "[first] h = MatMul (x, w1) [in] u = Unsqueeze (h, axes) [last] y = Conv (u, w2)",
            w1=(5, 4), w2=(2, 4, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "in")
        assert reason.sentence == "the axes to insert are computed"


def test_no_macs_and_no_weight() -> None:
    case = squeezed("Squeeze (h, axes)", 17, axes=ints(2))
    assert case.macs("out", h=(1, 4, 1, 3), s=(1, 4, 3)) == 0
    assert case.weights("out") == ()
