"""Expand and ConstantOfShape: copies get ids of their own, the shape is written anew."""

import numpy as np
import onnx_ir as ir
import pytest
from cutting import Analysed, Given, analysed, initializers, ints

from onnxtrim.channels import Code


def stretched(
    operand: tuple[int, ...], shape: Given, opset: int = 17, batch: str = "2"
) -> Analysed:
    """Returns conv (4 channels), plus a constant `c` expanded, -> conv."""
    return analysed(
        f"(float[{batch},3,5,5] x) => (float[{batch},2,5,5] y)",
        """
        [first] h = Conv (x, w1)
        [wide] t = Expand (c, shape)
        s = Mul (h, t)
        [last] y = Conv (s, w2)
        """,
        opset=opset, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), c=operand, shape=shape,
    )  # fmt: skip


def filled(shape: tuple[int, ...], result: str, opset: int = 17, attributes: str = "") -> Analysed:
    """Returns conv (4 channels) joined by channels that hold one figure, -> conv."""
    return analysed(
        f"(float[2,3,5,5] x) => (float[{result}] y)",
        f"""
        [first] h = Conv (x, w1)
        [made] c = ConstantOfShape {attributes} (shape)
        s = Add (h, c)
        [last] y = Conv (s, w2)
        """,
        opset=opset, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), shape=ints(*shape),
    )  # fmt: skip


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


class TestConstantShapes:
    """Channels that are there are handed on, those that are made are new."""

    @pytest.mark.parametrize("opset", [8, 13])
    @pytest.mark.parametrize(
        ("operand", "shape", "left", "size"),
        [
            ((1, 4, 1, 1), (2, 4, 5, 5), [2, 3, 5, 5], (1, 3, 1, 1)),
            ((4, 1, 1), (2, 4, 5, 5), [2, 3, 5, 5], (3, 1, 1)),  # an axis more
            ((1, 4, 1, 1), (1, 1, 5, 5), [1, 1, 5, 5], (1, 3, 1, 1)),  # 1: as it is
            ((1, 4, 1, 1), (5, 5), [5, 5], (1, 3, 1, 1)),  # the last axes alone
            ((1, 4, 1, 1), (4, 5, 1), [3, 5, 1], (1, 3, 1, 1)),
            ((1, 4, 1, 1), (), [], (1, 3, 1, 1)),  # none at all
        ],
    )
    def test_channels_that_are_there(
        self,
        operand: tuple[int, ...],
        shape: tuple[int, ...],
        left: list[int],
        size: tuple[int, ...],
        opset: int,
    ) -> None:
        case = stretched(operand, ints(*shape), opset)
        assert case.pattern(("h", 1), ("t", 1), ("c", len(operand) - 3)) == [[0, 1, 2, 3]] * 3
        after = initializers(case.cut(case.units("h", 1, 2)))
        assert after["shape"].tolist() == left
        assert after["c"].shape == size

    @pytest.mark.parametrize(
        ("operand", "shape", "left"),
        [
            ((1, 1, 5, 5), (1, 4, 1, 1), [1, 2, 1, 1]),
            ((5, 5), (4, 5, 5), [2, 5, 5]),
            ((1,), (4, 1, 1), [2, 1, 1]),
            ((), (4, 1, 1), [2, 1, 1]),
        ],
    )
    def test_channels_that_are_made(
        self, operand: tuple[int, ...], shape: tuple[int, ...], left: list[int]
    ) -> None:
        case = stretched(operand, ints(*shape))
        axis = 1 if len(shape) == 4 else 0
        assert case.pattern(("h", 1), ("t", axis)) == [[0, 1, 2, 3]] * 2
        after = initializers(case.cut(case.units("h", 1, 0, 3)))
        assert after["shape"].tolist() == left
        assert after["c"].shape == operand

    def test_a_gate_is_stretched_over_space(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            m = GlobalAveragePool (h)
            [gate] g = Conv (m, w2)
            e = Sigmoid (g)
            [wide] t = Expand (e, shape)
            s = Mul (h, t)
            [last] y = Conv (s, w3)
            """,
            w1=(4, 3, 1, 1), w2=(4, 4, 1, 1), w3=(2, 4, 1, 1), shape=ints(1, 4, 5, 5),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("g", 1), ("t", 1)) == [[0, 1, 2, 3]] * 3
        after = initializers(case.cut(case.units("h", 1, 1)))
        assert after["shape"].tolist() == [1, 3, 5, 5]
        assert after["w2"].shape == (3, 3, 1, 1)

    def test_who_shares_the_shape_keeps_it(self) -> None:
        case = analysed(
            "(float[2,3,5,5] x, float[2,4,1,1] k) => (float[2,2,5,5] y, float[2,4,5,5] z)",
            """
            [first] h = Conv (x, w1)
            [wide] t = Expand (c, shape)
            [other] z = Expand (k, shape)
            s = Add (h, t)
            [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), c=(1, 4, 1, 1), shape=ints(2, 4, 5, 5),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0))
        arrays = initializers(thinner)
        names = [str(thinner.graph.node(n).inputs[1].name) for n in ("wide", "other")]  # type: ignore[union-attr]
        assert [arrays[name].tolist() for name in names] == [[2, 3, 5, 5], [2, 4, 5, 5]]


class TestComputedShapes:
    """A shape that the graph computes is corrected where the size is known."""

    @pytest.mark.parametrize("operand", [(1, 4, 1, 1), (1, 1, 5, 1)])
    def test_the_shape_of_what_is_cut_says_it_by_itself(self, operand: tuple[int, ...]) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            shape = Shape (h)
            [wide] t = Expand (c, shape)
            s = Mul (h, t)
            [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), c=operand,
        )  # fmt: skip
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3]] * 2
        size = (1, 3, 1, 1) if operand[1] == 4 else operand
        assert initializers(case.cut(case.units("h", 1, 1)))["c"].shape == size

    @pytest.mark.parametrize("operand", [(1, 4, 1, 1), (1, 1, 5, 1)])
    def test_a_width_that_is_written_in_is_overridden(self, operand: tuple[int, ...]) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            n = Shape <start = 0, end = 1> (x)
            shape = Concat <axis = 0> (n, rest)
            [wide] t = Expand (c, shape)
            s = Mul (h, t)
            [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), c=operand, rest=ints(4, 5, 5),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3]] * 2
        thinner = case.cut(case.units("h", 1, 1, 3))
        arrays = initializers(thinner)
        assert arrays["rest"].tolist() == [4, 5, 5]
        assert operators(thinner).count("Where") == 1
        assert arrays["shape_known"].tolist() == [False, True, True, True]
        assert arrays["shape_cut"].tolist() == [0, 2, 5, 5]

    def test_a_shorter_one(self) -> None:
        # the sizes of the last axes come from an input of unknown size
        case = analysed(
            "(float[2,3,5,1] x, float[2,W] k) => (float[2,2,5,W] y)",
            """
            [first] h = Conv (x, w1)
            w = Shape <start = 1> (k)
            shape = Concat <axis = 0> (front, w)
            [wide] t = Expand (h, shape)
            [last] y = Conv (t, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), front=ints(4, 5),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3]] * 2
        arrays = initializers(case.cut(case.units("h", 1, 0)))
        assert arrays["shape_known"].tolist() == [True, True, False]
        assert arrays["shape_cut"].tolist() == [3, 5, 0]

    def test_one_of_which_nothing_is_known(self) -> None:
        # k is multiplied by 0: the shape is (2, 4, 5, 5), but only a run can tell; whatever it
        # says of the channels, there are 4
        case = analysed(
            "(float[2,3,5,1] x, int64[4] k) => (float[2,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            nothing = Mul (k, zero)
            shape = Add (nothing, base)
            [wide] t = Expand (h, shape)
            [last] y = Conv (t, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), zero=ints(0), base=ints(2, 4, 5, 5),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3]] * 2
        arrays = initializers(case.cut(case.units("h", 1, 0)))
        assert arrays["shape_known"].tolist() == [True, True, True, False]
        assert arrays["shape_cut"].tolist() == [2, 3, 5, 0]


class TestFrozen:
    """What cannot be followed stays, and says why."""

    def test_one_channel_stretched_as_far_as_is_fed(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, int64[4] shape) => (float[N,2,a,b] y)",
            "[first] h = Conv (x, w1) [wide] t = Expand (h, shape) [last] y = Conv (t, w2)",
            w1=(1, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "wide")
        assert reason.sentence == "how far h is stretched is computed"

    def test_one_channel_that_serves_many(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            "[first] h = Conv (x, w1) [wide] t = Expand (h, shape) [last] y = Conv (t, w2)",
            w1=(1, 3, 1, 1), w2=(2, 4, 1, 1), shape=ints(1, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.POSITIONS, "wide")
        assert reason.sentence == "axis 1 of h is read as positions, not channels"

    def test_a_size_that_only_a_run_can_tell_is_no_channel(self) -> None:
        # the width of x is open; the shape says 4
        case = analysed(
            "(float[2,3,5,5] x, float[2,K,1,1] k) => (float[2,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [wide] t = Expand (k, shape)
            s = Add (h, t)
            [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), shape=ints(1, 4, 5, 5),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.POSITIONS, "wide")
        assert reason.sentence == "axis 1 of t holds positions, not channels"


class TestConstantOfShape:
    """All it makes comes from nowhere."""

    @pytest.mark.parametrize("opset", [9, 17])
    @pytest.mark.parametrize(
        ("shape", "left"),
        [((2, 4, 5, 5), [2, 3, 5, 5]), ((4, 1, 1), [3, 1, 1]), ((1, 4, 1, 5), [1, 3, 1, 5])],
    )
    def test_the_width_is_written_anew(
        self, shape: tuple[int, ...], left: list[int], opset: int
    ) -> None:
        case = filled(shape, "2,2,5,5", opset, "<value = float[1] {3.0}>")
        assert case.pattern(("h", 1), ("c", shape.index(4))) == [[0, 1, 2, 3]] * 2
        after = initializers(case.cut(case.units("h", 1, 1)))
        assert after["shape"].tolist() == left

    def test_one_channel_that_serves_all_stays(self) -> None:
        case = filled((1, 1, 5, 5), "2,2,5,5")
        after = initializers(case.cut(case.units("h", 1, 1)))
        assert after["shape"].tolist() == [1, 1, 5, 5]

    @pytest.mark.parametrize("source", ["h", "x"])
    def test_a_shape_that_is_computed(self, source: str) -> None:
        # the shape of h follows the cut; with that of x the width is written in
        sizes = "shape = Shape (h)"
        if source == "x":
            sizes = (
                "n = Shape <end = 1> (x) s = Shape <start = 2> (x) "
                "shape = Concat <axis = 0> (n, four, s)"
            )
        case = analysed(
            "(float[N,3,H,5] x) => (float[N,2,H,5] y)",
            f"""
            [first] h = Conv (x, w1)
            {sizes}
            [made] c = ConstantOfShape <value = float[1] {{2.0}}> (shape)
            j = Concat <axis = 1> (c, h)
            [deep] d = Conv <group = 8> (j, wd)
            [last] y = Conv (d, w2)
            """,
            {"four": ints(4)} if source == "x" else {},
            w1=(4, 3, 1, 1), wd=(8, 1, 1, 1), w2=(2, 8, 1, 1),
        )  # fmt: skip
        assert case.pattern(("c", 1), ("h", 1)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
        thinner = case.cut(case.units("d", 1, 0, 5))
        arrays = initializers(thinner)
        assert arrays["shape_known"].tolist() == [False, True, False, True]
        assert arrays["shape_cut"].tolist() == [0, 3, 0, 5]
        assert arrays["w1"].shape == (3, 3, 1, 1)

    def test_a_shape_that_is_fed_makes_no_channels(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, int64[4] f) => (float[N,2,a,b] y)",
            """
            [first] h = Conv (x, w1)
            [made] c = ConstantOfShape (f)
            s = Add (h, c)
            [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert not case.carries("c", 1)


@pytest.mark.parametrize(
    ("node", "case"),
    [
        ("wide", stretched((1, 4, 1, 1), ints(2, 4, 5, 5))),
        ("made", filled((2, 4, 5, 5), "2,2,5,5")),
    ],
)
def test_no_macs_and_no_weight(node: str, case: Analysed) -> None:
    assert case.macs(node, c=(2, 4, 5, 5), t=(2, 4, 5, 5)) == 0
    assert case.weights(node) == ()


def test_the_figures_of_a_shape_keep_their_type() -> None:
    case = stretched((1, 4, 1, 1), ints(2, 4, 5, 5))
    assert initializers(case.cut(case.units("h", 1, 2)))["shape"].dtype == np.int64
