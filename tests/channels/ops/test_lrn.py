"""Local response normalisation: a channel needs its neighbours."""

import pytest
from cutting import Analysed, analysed

from onnxtrim.channels import Code


def normalised(opset: int = 17) -> Analysed:
    """Returns conv -> conv -> LRN -> conv."""
    return analysed(
        "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
        """
        [before] g = Conv (x, w0)
        [first] h = Conv (g, w1)
        [middle] q = LRN <size = 3, alpha = 0.5> (h)
        [last] y = Conv (q, w2)
        """,
        opset=opset, w0=(5, 3, 1, 1), w1=(4, 5, 1, 1), w2=(2, 4, 1, 1),
    )  # fmt: skip


@pytest.mark.parametrize("opset", [7, 13, 22])
def test_its_channels_are_frozen_and_those_before_are_free(opset: int) -> None:
    case = normalised(opset)
    assert list(case.groups) == ["before"]
    reason = case.reasons["first"]
    assert (reason.code, reason.node) == (Code.MIXED, "middle")
    assert reason.sentence == "LRN divides every channel of h by others"
    assert case.pattern(("h", 1), ("q", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
    assert case.sizes_after(case.units("g", 1, 0, 3)) == {"w0": (3, 3, 1, 1), "w1": (4, 3, 1, 1)}


def test_channels_on_another_axis_pass() -> None:
    # the transposition puts what conv made on axis 2 and positions of space where LRN looks
    case = analysed(
        "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
        """
        [first] h = Conv (x, w1)
        t = Transpose <perm = [0, 2, 1, 3]> (h)
        [middle] n = LRN <size = 3> (t)
        q = Transpose <perm = [0, 2, 1, 3]> (n)
        [last] y = Conv (q, w2)
        """,
        w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
    )  # fmt: skip
    assert case.pattern(("h", 1), ("t", 2), ("n", 2)) == [[0, 1, 2, 3]] * 3
    assert case.sizes_after(case.units("h", 1, 1)) == {"w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1)}


def test_no_macs_and_no_weight() -> None:
    case = normalised()
    assert case.macs("middle", h=(1, 4, 5, 6), q=(1, 4, 5, 6)) == 0
    assert case.weights("middle") == ()
