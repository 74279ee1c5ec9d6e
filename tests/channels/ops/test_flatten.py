"""Flatten: a channel takes its spatial positions along."""

import pytest
from cutting import Analysed, analysed

from onnxtrim.channels import Code


def flattened(space: tuple[int, ...], axis: int, batch: str = "N", opset: int = 17) -> Analysed:
    """Returns conv (2 channels) -> flatten -> matrix product over any spatial axes."""
    ones, sizes = (1,) * len(space), ",".join(map(str, space))
    wide = 2
    for size in space:
        wide *= size
    return analysed(
        f"(float[{batch},3,{sizes}] x) => (float[{batch},2] y)",
        f"""
        [first] h = Conv (x, w1)
        [flat] f = Flatten <axis = {axis}> (h)
        [last] y = MatMul (f, w2)
        """,
        opset=opset, w1=(2, 3, *ones), w2=(wide, 2),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (
            (1, 3),
            [0, 0, 0, 1, 1, 1],
        ),  # row-major: first all of channel 0, then all of 1
        ((1, 1), [0, 1]),
        ((2, 2), [0, 0, 0, 0, 1, 1, 1, 1]),
        ((3,), [0, 0, 0, 1, 1, 1]),
        ((2, 1, 2), [0, 0, 0, 0, 1, 1, 1, 1]),
    ],
)
def test_each_channel_is_repeated_for_its_positions(
    space: tuple[int, ...], expected: list[int]
) -> None:
    case = flattened(space, 1)
    assert case.pattern(("h", 1), ("f", 1), ("w2", 0)) == [[0, 1], expected, expected]
    ones = (1,) * len(space)
    assert case.sizes_after(case.units("h", 1, 0)) == {
        "w1": (1, 3, *ones),
        "w2": (len(expected) // 2, 2),
    }


@pytest.mark.parametrize("opset", [11, 13, 21])
def test_the_axis_may_be_counted_from_the_end(opset: int) -> None:
    case = flattened((1, 3), -3, opset=opset)
    assert case.pattern(("f", 1)) == [[0, 0, 0, 1, 1, 1]]
    assert case.sizes_after(case.units("h", 1, 1))["w2"] == (3, 2)


@pytest.mark.parametrize("opset", [7, 9])
def test_the_default_axis_is_1(opset: int) -> None:
    case = analysed(
        "(float[N,3,1,3] x) => (float[N,2] y)",
        "[first] h = Conv (x, w1) f = Flatten (h) [last] y = MatMul (f, w2)",
        opset=opset, w1=(2, 3, 1, 1), w2=(6, 2),
    )  # fmt: skip
    assert case.pattern(("f", 1)) == [[0, 0, 0, 1, 1, 1]]


def test_axis_0_takes_the_batch_in_front_along() -> None:
    # (2, C = 2, 1, 3) to (1, 12): both samples have the channels one after the other
    case = analysed(
        "(float[2,3,1,3] x) => (float[1,2] y)",
        "[first] h = Conv (x, w1) f = Flatten <axis = 0> (h) [last] y = MatMul (f, w2)",
        w1=(2, 3, 1, 1), w2=(12, 2),
    )  # fmt: skip
    assert case.pattern(("f", 1)) == [[0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]]
    assert not case.carries("f", 0)
    assert case.sizes_after(case.units("h", 1, 1)) == {"w1": (1, 3, 1, 1), "w2": (6, 2)}


def test_axis_0_over_an_unknown_batch_is_frozen() -> None:
    case = analysed(
        "(float[N,3,1,3] x) => (float[1,M] y)",
        "[first] h = Conv (x, w1) [flat] f = Flatten <axis = 0> (h) y = Neg (f)",
        w1=(2, 3, 1, 1),
    )
    assert case.groups == {}
    reason = case.reasons["first"]
    assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "flat")
    assert reason.sentence == "h is flattened, and a size of it is not known"


@pytest.mark.parametrize(
    ("axis", "rows"),
    [(2, [0, 1, 0, 1]), (3, [0, 1, 0, 1]), (4, [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1])],
)
def test_channels_in_front_of_the_axis_become_rows(axis: int, rows: list[int]) -> None:
    # (2, C = 2, 1, 3): the rows are samples and channels; from axis 4 on, positions too
    case = analysed(
        "(float[2,3,1,3] x) => (float[a,b] y)",
        f"[first] h = Conv (x, w1) f = Flatten <axis = {axis}> (h) y = Neg (f)",
        w1=(2, 3, 1, 1),
    )
    assert case.pattern(("f", 0)) == [rows]
    assert not case.carries("f", 1)


def test_a_spatial_axis_of_unknown_size_freezes() -> None:
    case = analysed(
        "(float[N,3,1,L] x) => (float[N,M] y)",
        "[first] h = Conv (x, w1) [flat] f = Flatten (h) y = Neg (f)",
        w1=(2, 3, 1, 1),
    )
    assert case.groups == {}
    reason = case.reasons["first"]
    assert (reason.code, reason.node) == (Code.DYNAMIC_SIZE, "flat")
    assert reason.sentence == "h is flattened, and a size of it is not known"


def test_two_channel_axes_in_one_freeze_both() -> None:
    # g = h' w2 is (4, 3): its rows are the channels of `first`, its columns those of `second`
    case = analysed(
        "(float[6,5] x) => (float[1,2] y)",
        """
        [first] h = Gemm (x, w1)
        [second] g = Gemm <transA = 1> (h, w2)
        [flat] f = Flatten <axis = 0> (g)
        [last] y = MatMul (f, w3)
        """,
        w1=(5, 4), w2=(6, 3), w3=(12, 2),
    )  # fmt: skip
    assert case.groups == {}
    assert [case.reasons[name].code for name in ("first", "second")] == [Code.MIXED, Code.MIXED]
    assert case.reasons["second"].node == "flat"
    assert case.reasons["second"].sentence == (
        "several axes of g with channels are flattened into one"
    )


def test_no_macs_and_no_weight() -> None:
    case = flattened((1, 3), 1)
    assert case.macs("flat", h=(1, 2, 1, 3), f=(1, 6)) == 0
    assert case.weights("flat") == ()
