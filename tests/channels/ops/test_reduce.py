"""Reductions: channels of the other axes pass through."""

import numpy as np
import pytest
from cutting import Analysed, analysed, ints

from onnxtrim.channels import Code

OPERATORS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip


def reduced(
    op: str, axes: tuple[int, ...] | None, keepdims: int, opset: int, more: str = ""
) -> Analysed:
    """Returns conv -> reduction -> conv or matrix product, axes as attribute or as operand."""
    as_operand = opset >= (13 if op == "ReduceSum" else 18)
    operand = ", axes" if as_operand and axes is not None else ""
    attribute = f", axes = {list(axes)}" if axes is not None and not as_operand else ""
    last, size = ("Conv", "N,2,a,b") if keepdims else ("MatMul", "N,2")
    return analysed(
        f"(float[N,3,5,6] x) => (float[{size}] y)",
        f"""
        [first] h = Conv (x, w1)
        s = Sigmoid (h)
        p = Add (s, half)
        [reduce] r = {op} <keepdims = {keepdims} {attribute} {more}> (p {operand})
        [last] y = {last} (r, w2)
        """,
        {"axes": ints(*axes)} if operand and axes is not None else {},
        opset=opset,
        w1=(4, 3, 1, 1), w2=(2, 4, 1, 1) if keepdims else (4, 2),
        half=np.array(0.5, np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_over_space_the_channels_pass(op: str, opset: int, keepdims: int) -> None:
    case = reduced(op, (2, 3), keepdims, opset)
    keys = ("h", 1), ("r", 1), ("w2", 1 if keepdims else 0)
    assert case.pattern(*keys) == [[0, 1, 2, 3]] * 3
    sizes = case.sizes_after(case.units("h", 1, 0, 1))
    assert sizes == {"w1": (2, 3, 1, 1), "w2": (2, 2, 1, 1) if keepdims else (2, 2)}


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("axes", [(-1, -2), (2, -1), (-2, 3)])
def test_axes_may_be_counted_from_the_end(axes: tuple[int, ...], opset: int) -> None:
    case = reduced("ReduceMean", axes, 0, opset)
    assert case.sizes_after(case.units("h", 1, 3)) == {"w1": (3, 3, 1, 1), "w2": (3, 2)}


@pytest.mark.parametrize("opset", [11, 13])
def test_a_sum_takes_its_axes_as_operand_from_13_on(opset: int) -> None:
    case = reduced("ReduceSum", (2, 3), 1, opset)
    assert len(case.node("reduce").inputs) == (2 if opset == 13 else 1)
    assert case.sizes_after(case.units("h", 1, 3)) == {"w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1)}


@pytest.mark.parametrize(
    ("axes", "keepdims", "place"),
    [((0,), 0, 0), ((0,), 1, 1), ((2,), 0, 1), ((0, 2, 3), 0, 0), ((0, -1), 1, 1)],
)
def test_where_the_channels_come_to_lie(axes: tuple[int, ...], keepdims: int, place: int) -> None:
    # of (N, C, H, W), each axis before C that is reduced and not kept moves C one to the left
    rank = 4 if keepdims else 4 - len(axes)
    result = ",".join(f"d{i}" for i in range(rank))
    case = analysed(
        f"(float[2,3,5,6] x) => (float[{result}] y)",
        f"""
        [first] h = Conv (x, w1)
        [reduce] r = ReduceMax <keepdims = {keepdims}, axes = {list(axes)}> (h)
        y = Neg (r)
        """,
        opset=13, w1=(4, 3, 1, 1),
    )  # fmt: skip
    assert case.pattern(("h", 1), ("r", place)) == [[0, 1, 2, 3]] * 2
    assert [axis for axis in range(rank) if case.carries("r", axis)] == [place]


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("axes", [(1,), (-3,), (1, 2)])
def test_over_the_channels_they_are_frozen(axes: tuple[int, ...], opset: int) -> None:
    operand = opset == 18
    given = "(h, axes)" if operand else f"<axes = {list(axes)}> (h)"
    case = analysed(
        "(float[N,3,5,6] x) => (float[N,a,b,c] y)",
        f"""
        [first] h = Conv (x, w1)
        [reduce] r = ReduceMean {given}
        y = Neg (r)
        """,
        {"axes": ints(*axes)} if operand else {},
        opset=opset, w1=(4, 3, 1, 1),
    )  # fmt: skip
    assert case.groups == {}
    reason = case.reasons["first"]
    assert (reason.code, reason.node) == (Code.MIXED, "reduce")
    assert reason.sentence == "axis 1 is reduced to one figure"


@pytest.mark.parametrize("opset", [13, 18])
def test_without_axes_everything_is_reduced(opset: int) -> None:
    case = analysed(
        "(float[N,3,5,6] x) => (float[a,b,c,d] y)",
        "[first] h = Conv (x, w1) [reduce] r = ReduceSum (h) y = Neg (r)",
        opset=opset, w1=(4, 3, 1, 1),
    )  # fmt: skip
    assert case.reasons["first"].code == Code.MIXED


@pytest.mark.parametrize("empty", [False, True])
def test_without_axes_nothing_is_reduced_where_the_node_says_so(empty: bool) -> None:
    # the axes are left out, or an operand without elements
    case = reduced("ReduceSum", () if empty else None, 1, 18, ", noop_with_empty_axes = 1")
    assert case.pattern(("h", 1), ("r", 1)) == [[0, 1, 2, 3]] * 2
    assert case.sizes_after(case.units("h", 1, 0)) == {"w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1)}


def test_axes_that_are_fed_freeze_the_channels() -> None:
    case = analysed(
        "(float[N,3,5,6] x, int64[2] axes) => (float[a,b,c,d] y)",
        "[first] h = Conv (x, w1) [reduce] y = ReduceSum (h, axes)",
        opset=18, w1=(4, 3, 1, 1),
    )  # fmt: skip
    assert case.groups == {}
    assert str(case.reasons["first"]) == "dynamic size: the axes to reduce are computed"


def test_no_macs_and_no_weight() -> None:
    case = reduced("ReduceMean", (2, 3), 1, 13)
    assert case.macs("reduce", p=(1, 4, 5, 6), r=(1, 4, 1, 1)) == 0
    assert case.weights("reduce") == ()
