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
    assert reason.sentence == "h is regrouped, and a size of it is not known"


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
    assert reason.sentence == "h is regrouped, and a size of it is not known"


def test_all_axes_in_front_become_rows_of_the_output() -> None:
    # axis 4 of 4: all elements are rows, and the product hands these to the output
    case = analysed(
        "(float[2,3,1,3] x) => (float[12,5] y)",
        "[first] h = Conv (x, w1) f = Flatten <axis = 4> (h) [last] y = MatMul (f, w2)",
        w1=(2, 3, 1, 1), w2=(1, 5),
    )  # fmt: skip
    assert case.groups == {}
    assert case.reasons["first"].code == Code.GRAPH_OUTPUT


class TestTwoAxesOfChannels:
    """Only one of them can carry units where both are flattened into one: whichever frees more."""

    def flattened(self, rows: int, columns: int, body: str = "") -> Analysed:
        """Returns g = w1 x w2, (rows, columns), flattened and read by a product."""
        return analysed(
            "(float[6,5] x) => (float[1,2] y)",
            f"""
            [left] h = MatMul (w1, x)
            [right] g = MatMul (h, w2)
            [flat] f = Flatten <axis = 0> (g)
            {body or "[last] y = MatMul (f, w3)"}
            """,
            w1=(rows, 6), w2=(5, columns), w3=(rows * columns, 2),
        )  # fmt: skip

    def test_more_rows(self) -> None:
        case = self.flattened(3, 2)
        assert list(case.groups) == ["left"]
        assert case.pattern(("g", 0), ("f", 1)) == [[0, 1, 2], [0, 0, 1, 1, 2, 2]]
        assert case.sizes_after(case.units("g", 0, 1)) == {"w1": (2, 6), "w3": (4, 2)}
        reason = case.reasons["right"]
        assert (reason.code, reason.node) == (Code.MIXED, "flat")
        assert reason.sentence == "several axes of g with channels are flattened into one"

    def test_more_columns(self) -> None:
        case = self.flattened(2, 3)
        assert list(case.groups) == ["right"]
        assert case.pattern(("g", 1), ("f", 1)) == [[0, 1, 2], [0, 1, 2, 0, 1, 2]]
        assert case.sizes_after(case.units("g", 1, 0, 2)) == {"w2": (5, 1), "w3": (2, 2)}
        reason = case.reasons["left"]
        assert (reason.code, reason.node) == (Code.MIXED, "flat")

    def test_as_many_of_both_are_cut_by_rows(self) -> None:
        case = self.flattened(3, 3)
        assert list(case.groups) == ["left"]
        assert case.sizes_after(case.units("g", 0, 0)) == {"w1": (2, 6), "w3": (6, 2)}


def test_no_macs_and_no_weight() -> None:
    case = flattened((1, 3), 1)
    assert case.macs("flat", h=(1, 2, 1, 3), f=(1, 6)) == 0
    assert case.weights("flat") == ()
