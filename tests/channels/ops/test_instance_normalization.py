"""InstanceNormalization: two vectors that go with the channels."""

import pytest
from cutting import Analysed, analysed, initializers

from onnxtrim.channels import Code


def normalised(opset: int = 17) -> Analysed:
    """Returns conv -> InstanceNormalization -> conv over four channels."""
    return analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        """
        [first] h = Conv (x, w1)
        [norm] n = InstanceNormalization <epsilon = 0.01> (h, scale, shift)
        [last] y = Conv (n, w2)
        """,
        opset=opset,
        w1=(4, 3, 1, 1), scale=(4,), shift=(4,), w2=(2, 4, 1, 1),
    )  # fmt: skip


def test_both_vectors_belong_to_the_channels() -> None:
    case = normalised()
    keys = ("h", 1), ("scale", 0), ("shift", 0), ("n", 1), ("w2", 1)
    assert case.pattern(*keys) == [[0, 1, 2, 3]] * 5
    assert [case.carries("n", axis) for axis in (0, 2, 3)] == [False] * 3


@pytest.mark.parametrize("opset", [7, 13, 22])
def test_cutting_two_of_four_is_exact(opset: int) -> None:
    case = normalised(opset)
    before = initializers(case.model)
    after = initializers(case.cut(case.units("h", 1, 0, 2)))
    for vector in ("scale", "shift"):
        assert after[vector].tolist() == before[vector][[1, 3]].tolist()
    assert after["w1"].shape == (2, 3, 1, 1)
    assert after["w2"].shape == (2, 2, 1, 1)


@pytest.mark.parametrize("space", ["7", "3,4,2"])
def test_one_or_three_spatial_axes(space: str) -> None:
    ones = (1,) * len(space.split(","))
    case = analysed(
        f"(float[N,3,{space}] x) => (float[N,2,{space}] y)",
        """
        [first] h = Conv (x, w1)
        [norm] n = InstanceNormalization (h, scale, shift)
        [last] y = Conv (n, w2)
        """,
        w1=(4, 3, *ones), scale=(4,), shift=(4,), w2=(2, 4, *ones),
    )  # fmt: skip
    assert case.sizes_after(case.units("h", 1, 1)) == {
        "w1": (3, 3, *ones), "scale": (3,), "shift": (3,), "w2": (2, 3, *ones),
    }  # fmt: skip


def test_one_vector_for_both_operands() -> None:
    case = analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        """
        [first] h = Conv (x, w1)
        [norm] n = InstanceNormalization (h, both, both)
        [last] y = Conv (n, w2)
        """,
        w1=(4, 3, 1, 1), both=(4,), w2=(2, 4, 1, 1),
    )  # fmt: skip
    assert case.sizes_after(case.units("h", 1, 3)) == {
        "w1": (3, 3, 1, 1), "both": (3,), "w2": (2, 3, 1, 1),
    }  # fmt: skip


def test_channels_on_the_batch_axis_pass() -> None:
    case = analysed(
        "(float[1,3,4,5] x) => (float[1,2,4,5] y)",
        """
        [first] h = Conv (x, w1)
        t = Transpose <perm = [1, 0, 2, 3]> (h)
        [norm] n = InstanceNormalization (t, scale, shift)
        u = Transpose <perm = [1, 0, 2, 3]> (n)
        [last] y = Conv (u, w2)
        """,
        w1=(4, 3, 1, 1), scale=(1,), shift=(1,), w2=(2, 4, 1, 1),
    )  # fmt: skip
    assert case.sizes_after(case.units("h", 1, 1)) == {"w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1)}


class TestFrozen:
    """What the mean is taken over stays, and what meets something fixed."""

    def test_channels_on_a_spatial_axis(self) -> None:
        case = analysed(
            "(float[N,3,1,5] x) => (float[N,2,1,5] y)",
            """
            [first] h = Conv (x, w1)
            t = Transpose <perm = [0, 2, 1, 3]> (h)
            [norm] n = InstanceNormalization (t, scale, shift)
            u = Transpose <perm = [0, 2, 1, 3]> (n)
            [last] y = Conv (u, w2)
            """,
            w1=(4, 3, 1, 1), scale=(1,), shift=(1,), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.POSITIONS, "norm")
        assert reason.sentence == "axis 2 of t is read as positions, not channels"

    def test_the_input_of_the_graph(self) -> None:
        case = analysed(
            "(float[N,4,5,5] x) => (float[N,2,5,5] y)",
            """
            [norm] n = InstanceNormalization (x, scale, shift)
            [deep] d = Conv <group = 4> (n, wd)
            [last] y = Conv (d, w2)
            """,
            scale=(4,), shift=(4,), wd=(4, 1, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["deep"]) == "graph input: x is an input of the graph"

    def test_a_scale_that_is_fed(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x, float[4] scale) => (float[N,2,5,5] y)",
            """
            [first] h = Conv (x, w1)
            [norm] n = InstanceNormalization (h, scale, shift)
            [last] y = Conv (n, w2)
            """,
            w1=(4, 3, 1, 1), shift=(4,), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == "graph input: scale is an input of the graph"


def test_no_macs_and_no_weight() -> None:
    case = normalised()
    assert case.macs("norm", h=(1, 4, 5, 5), n=(1, 4, 5, 5)) == 0
    assert case.weights("norm") == ()
