"""Operators along one axis: channels there stay, channels of other axes pass."""

import pytest
from cutting import Analysed, analysed, ints

from onnxtrim.channels import Code
from onnxtrim.channels.ops import rule_for
from onnxtrim.channels.ops.along_axis import AlongAxis, SoftmaxBefore13

SOFTMAXES = ("Hardmax", "LogSoftmax", "Softmax")


def around(middle: str, opset: int = 17, **operands: tuple[int, ...]) -> Analysed:
    """Returns conv -> `middle` (p -> q), of float[N,4,5,6] and back -> conv."""
    return analysed(
        "(float[N,3,5,6] x) => (float[N,2,s,t] y)",
        f"[first] p = Conv (x, w1) [middle] {middle} [last] y = Conv (q, w2)",
        {name: ints(*values) for name, values in operands.items()},
        opset=opset, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
    )  # fmt: skip


def assert_passes(case: Analysed) -> None:
    """Fails unless the channels go through the middle and can be cut."""
    assert case.pattern(("p", 1), ("q", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
    sizes = case.sizes_after(case.units("p", 1, 0, 2))
    assert sizes == {"w1": (2, 3, 1, 1), "w2": (2, 2, 1, 1)}


def assert_frozen(case: Analysed, op: str) -> None:
    """Fails unless the channels stay because `op` compares them."""
    assert case.groups == {}
    reason = case.reasons["first"]
    assert (reason.code, reason.node) == (Code.MIXED, "middle")
    assert reason.sentence == f"{op} compares all positions on axis 1 of p"


class TestSoftmaxSince13:
    """One axis, the last by default."""

    @pytest.mark.parametrize("op", SOFTMAXES)
    @pytest.mark.parametrize("axis", ["", "<axis = -1>", "<axis = 2>", "<axis = 3>", "<axis = -2>"])
    @pytest.mark.parametrize("opset", [13, 22])
    def test_over_space_the_channels_pass(self, op: str, axis: str, opset: int) -> None:
        assert_passes(around(f"q = {op} {axis} (p)", opset))

    @pytest.mark.parametrize("op", SOFTMAXES)
    @pytest.mark.parametrize("axis", [1, -3])
    def test_over_the_channels_they_are_frozen(self, op: str, axis: int) -> None:
        assert_frozen(around(f"q = {op} <axis = {axis}> (p)", 13), op)

    def test_over_the_batch_the_channels_pass(self) -> None:
        assert_passes(around("q = Softmax <axis = 0> (p)"))

    def test_each_version_has_the_rule_that_knows_it(self) -> None:
        for op in SOFTMAXES:
            assert isinstance(rule_for("", op, 12), SoftmaxBefore13)
            assert isinstance(rule_for("", op, 13), AlongAxis)


class TestSoftmaxBefore13:
    """All axes from `axis` on, 1 by default, are one."""

    @pytest.mark.parametrize("op", SOFTMAXES)
    @pytest.mark.parametrize(("axis", "opset"), [("", 7), ("<axis = 1>", 11), ("<axis = -3>", 12)])
    def test_from_the_channels_on_they_are_frozen(self, op: str, axis: str, opset: int) -> None:
        assert_frozen(around(f"q = {op} {axis} (p)", opset), op)

    @pytest.mark.parametrize("axis", [0, -4])
    def test_from_the_batch_on_they_are_frozen(self, axis: int) -> None:
        assert_frozen(around(f"q = Softmax <axis = {axis}> (p)", 11), "Softmax")

    @pytest.mark.parametrize("op", SOFTMAXES)
    @pytest.mark.parametrize(("axis", "opset"), [(2, 7), (3, 10), (2, 11), (-1, 11), (-2, 12)])
    def test_from_space_on_the_channels_pass(self, op: str, axis: int, opset: int) -> None:
        assert_passes(around(f"q = {op} <axis = {axis}> (p)", opset))

    @pytest.mark.parametrize("axis", ["", "<axis = 1>", "<axis = -1>"])
    @pytest.mark.parametrize("opset", [11, 13])
    def test_of_flat_features_the_only_axis_there_is(self, axis: str, opset: int) -> None:
        case = analysed(
            "(float[N,3] x) => (float[N,2] y)",
            f"[first] p = MatMul (x, w1) [middle] q = Softmax {axis} (p) y = MatMul (q, w2)",
            opset=opset, w1=(3, 4), w2=(4, 2),
        )  # fmt: skip
        assert_frozen(case, "Softmax")


class TestLpNormalization:
    """The last axis by default."""

    @pytest.mark.parametrize("attributes", ["", "<axis = 2>", "<axis = -1, p = 1>"])
    @pytest.mark.parametrize("opset", [7, 17, 21])
    def test_over_space_the_channels_pass(self, attributes: str, opset: int) -> None:
        assert_passes(around(f"q = LpNormalization {attributes} (p)", opset))

    @pytest.mark.parametrize("axis", [1, -3])
    def test_over_the_channels_they_are_frozen(self, axis: int) -> None:
        assert_frozen(around(f"q = LpNormalization <axis = {axis}> (p)"), "LpNormalization")


class TestTopK:
    """Values and indices of fewer positions; k is an attribute before opset 10."""

    @pytest.mark.parametrize("axis", ["axis = -1", "axis = 2", ""])
    @pytest.mark.parametrize("opset", [10, 11, 24])
    def test_over_space_the_channels_pass(self, axis: str, opset: int) -> None:
        attributes = f"<{axis}>" if axis else ""
        assert_passes(around(f"q, i = TopK {attributes} (p, k)", opset, k=(2,)))

    @pytest.mark.parametrize("axis", ["axis = 3, ", ""])
    def test_with_k_as_an_attribute(self, axis: str) -> None:
        assert_passes(around(f"q, i = TopK <{axis}k = 2> (p)", 9))

    def test_the_indices_are_of_the_same_channels(self) -> None:
        case = around("v, i = TopK (p, k) q = Cast <to = 1> (i)", k=(2,))
        assert case.pattern(("p", 1), ("v", 1), ("i", 1)) == [[0, 1, 2, 3]] * 3
        assert_passes(case)

    @pytest.mark.parametrize("k", [4, 3])
    @pytest.mark.parametrize("axis", [1, -3])
    def test_over_the_channels_they_are_frozen(self, axis: int, k: int) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
            f"[first] p = Conv (x, w1) [middle] q, i = TopK <axis = {axis}> (p, k) y = Conv (q, w)",
            {"k": ints(k)},
            w1=(4, 3, 1, 1), w=(2, k, 1, 1),
        )  # fmt: skip
        assert_frozen(case, "TopK")
        assert case.carries("q", 1) is (k == 4)  # all of them, sorted: still nothing can go

    def test_a_k_that_is_fed_leaves_the_other_axes_free(self) -> None:
        case = analysed(
            "(float[N,3,5,6] x, int64[1] k) => (float[N,2,5,s] y)",
            "[first] p = Conv (x, w1) [middle] q, i = TopK (p, k) [last] y = Conv (q, w2)",
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert [group.width for group in case.groups.values()] == [4]
        assert case.carries("q", 1)


class TestCumulative:
    """`CumSum`: its axis is an operand."""

    @pytest.mark.parametrize("axis", [2, 3, -1])
    @pytest.mark.parametrize("attributes", ["", "<exclusive = 1, reverse = 1>"])
    @pytest.mark.parametrize("opset", [11, 14])
    def test_over_space_the_channels_pass(self, axis: int, attributes: str, opset: int) -> None:
        assert_passes(around(f"q = CumSum {attributes} (p, axis)", opset, axis=(axis,)))

    @pytest.mark.parametrize(("op", "opset"), [("CumSum", 11), ("CumProd", 26)])
    @pytest.mark.parametrize("axis", [1, -3])
    def test_over_the_channels_they_are_frozen(self, op: str, opset: int, axis: int) -> None:
        assert_frozen(around(f"q = {op} (p, axis)", opset, axis=(axis,)), op)

    def test_a_product_over_space_leaves_the_channels_free(self) -> None:
        # old runtimes have no kernel: only what is known of the channels is asked
        case = around("q = CumProd (p, axis)", 26, axis=(2,))
        assert case.pattern(("p", 1), ("q", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
        assert list(case.groups) == ["first"]

    def test_an_axis_that_is_fed_freezes_everything(self) -> None:
        case = analysed(
            "(float[N,3,5,6] x, int64 axis) => (float[N,2,5,6] y)",
            "[first] p = Conv (x, w1) [middle] q = CumSum (p, axis) [last] y = Conv (q, w2)",
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "middle")
        assert reason.sentence == "the axis to sum along is computed"


class TestArgReduce:
    """`ArgMax` and `ArgMin`: the axis becomes one position, or goes."""

    @pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
    @pytest.mark.parametrize("axis", ["axis = 2", "axis = -1, keepdims = 1", "axis = 3"])
    @pytest.mark.parametrize("opset", [11, 12, 13])
    def test_over_space_the_channels_pass(self, op: str, axis: str, opset: int) -> None:
        assert_passes(around(f"a = {op} <{axis}> (p) q = Cast <to = 1> (a)", opset))

    @pytest.mark.parametrize(
        ("attributes", "place"),
        [
            ("", 1),
            ("axis = 0, keepdims = 0", 0),
            ("axis = 2, keepdims = 0", 1),
            ("axis = -1, keepdims = 0", 1),
            ("axis = -4, keepdims = 0", 0),
        ],
    )
    def test_where_the_channels_come_to_lie(self, attributes: str, place: int) -> None:
        # of (N, C, H, W), an axis before C that goes moves C one to the left
        rank = 4 if attributes == "" else 3
        sizes = ",".join(f"d{i}" for i in range(rank))
        case = analysed(
            f"(float[2,3,5,6] x) => (float[{sizes}] y)",
            f"""
            [first] p = Conv (x, w1)
            [middle] a = ArgMax <{attributes}> (p)
            c = Cast <to = 1> (a)
            y = Neg (c)
            """ if attributes else """
            [first] p = Conv (x, w1)
            [middle] a = ArgMax (p)
            c = Cast <to = 1> (a)
            y = Neg (c)
            """,
            w1=(4, 3, 1, 1),
        )  # fmt: skip
        assert case.pattern(("p", 1), ("a", place)) == [[0, 1, 2, 3]] * 2
        assert [axis for axis in range(rank) if case.carries("a", axis)] == [place]

    @pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
    @pytest.mark.parametrize("attributes", ["axis = 1", "axis = -3, keepdims = 0"])
    def test_over_the_channels_they_are_frozen(self, op: str, attributes: str) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (int64[a,b,c] y)"
            if "keepdims" in attributes
            else "(float[N,3,5,6] x) => (int64[a,b,c,d] y)",
            f"[first] p = Conv (x, w1) [middle] y = {op} <{attributes}> (p)",
            w1=(4, 3, 1, 1),
        )
        assert_frozen(case, op)


def test_no_macs_and_no_weight() -> None:
    case = around("q = Softmax (p)")
    assert case.macs("middle", p=(1, 4, 5, 6), q=(1, 4, 5, 6)) == 0
    assert case.weights("middle") == ()
    assert not case.rule("middle").activation
