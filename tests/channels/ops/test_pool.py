"""Pools: channels pass through one by one."""

import numpy as np
import pytest
from cutting import Analysed, analysed, ints
from oracle import proto_of

from onnxtrim.channels import Code, analyze
from onnxtrim.graph import infer_shapes, load

WINDOWED = ("AveragePool", "LpPool", "MaxPool")
WHOLE = ("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool")


def pooled(pool: str, space: tuple[int, ...] = (6, 6), opset: int = 17) -> Analysed:
    """Returns conv -> pool -> conv over any spatial axes."""
    ones = (1,) * len(space)
    sizes, unknown = ",".join(map(str, space)), ",".join(f"s{i}" for i in range(len(space)))
    return analysed(
        f"(float[N,3,{sizes}] x) => (float[N,2,{unknown}] y)",
        f"[first] h = Conv (x, w1) [pool] {pool} [last] y = Conv (p, w2)",
        opset=opset, w1=(4, 3, *ones), w2=(2, 4, *ones),
    )  # fmt: skip


@pytest.mark.parametrize("op", WINDOWED)
@pytest.mark.parametrize(
    "attributes",
    [
        "kernel_shape = [2, 2], strides = [2, 2]",
        "kernel_shape = [3, 3], pads = [1, 1, 1, 1]",
        'kernel_shape = [3, 3], auto_pad = "SAME_UPPER"',
    ],
)
def test_windows(op: str, attributes: str) -> None:
    case = pooled(f"p = {op} <{attributes}> (h)")
    assert case.pattern(("h", 1), ("p", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
    assert [case.carries("p", axis) for axis in (0, 2, 3)] == [False] * 3
    assert case.sizes_after(case.units("h", 1, 1, 2)) == {
        "w1": (2, 3, 1, 1),
        "w2": (2, 2, 1, 1),
    }


@pytest.mark.parametrize("op", WHOLE)
@pytest.mark.parametrize("space", [(6,), (6, 5), (3, 4, 5)])
def test_whole_maps(op: str, space: tuple[int, ...]) -> None:
    case = pooled(f"p = {op} (h)", space)
    ones = (1,) * len(space)
    assert case.pattern(("h", 1), ("p", 1)) == [[0, 1, 2, 3]] * 2
    assert case.sizes_after(case.units("h", 1, 0)) == {"w1": (3, 3, *ones), "w2": (2, 3, *ones)}


@pytest.mark.parametrize("opset", [8, 10, 11, 12, 22])
def test_through_the_operator_sets(opset: int) -> None:
    case = pooled("p = MaxPool <kernel_shape = [2, 2]> (h)", opset=opset)
    assert case.sizes_after(case.units("h", 1, 0))["w2"] == (2, 3, 1, 1)


def test_indices_that_nobody_uses_freeze_nothing() -> None:
    case = pooled("p, unused = MaxPool <kernel_shape = [2, 2]> (h)")
    assert case.sizes_after(case.units("h", 1, 0))["w2"] == (2, 3, 1, 1)


def test_indices_that_nobody_uses_freeze_nothing_in_a_model_that_is_not_normalised() -> None:
    proto = proto_of(
        """<ir_version: 8, opset_import: ["": 17]> g (float[N,3,6,6] x) => (float[N,2,5,5] y) {
            [first] h = Conv (x, w1)
            p, unused = MaxPool <kernel_shape = [2, 2]> (h)
            [last] y = Conv (p, w2)
        }""",
        {"w1": np.ones((4, 3, 1, 1), np.float32), "w2": np.ones((2, 4, 1, 1), np.float32)},
    )
    model = infer_shapes(load(proto))
    assert len(model.graph.node(1).outputs) == 2
    assert [group.name for group in analyze(model).groups] == ["first"]


@pytest.mark.parametrize("use", ["output", "node"])
def test_indices_that_are_used_freeze_the_channels(use: str) -> None:
    name, more = ("i", "") if use == "output" else ("j", "j = Neg (i)")
    case = analysed(
        f"(float[N,3,6,6] x) => (float[N,2,5,5] y, int64[N,4,5,5] {name})",
        f"""
        [first] h = Conv (x, w1)
        [pool] p, i = MaxPool <kernel_shape = [2, 2]> (h)
        {more}
        [last] y = Conv (p, w2)
        """,
        w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
    )  # fmt: skip
    assert case.groups == {}
    reason = case.reasons["first"]
    assert (reason.code, reason.node) == (Code.MIXED, "pool")
    assert reason.sentence == "the indices of its maxima are used, and count over all channels"


def test_indices_that_are_used_freeze_what_lies_on_the_axis_of_samples() -> None:
    case = analysed(
        "(float[6,5] x) => (float[3,2,6] y, int64[8,1,6] i)",
        """
        [first] h = MatMul (x, w1)
        t = Transpose <perm = [1, 0]> (h)
        s = Reshape (t, target)
        [pool] p, i = MaxPool <kernel_shape = [1]> (s)
        f = Reshape (p, flat)
        [last] z = MatMul (w2, f)
        y = Reshape (z, shape)
        """,
        w1=(5, 8), target=ints(8, 1, 6), flat=ints(8, 6), w2=(6, 8), shape=ints(3, 2, 6),
    )  # fmt: skip
    assert case.groups == {}
    reason = case.reasons["first"]
    assert (reason.code, reason.node) == (Code.MIXED, "pool")
    assert reason.sentence == "the indices of its maxima are used, and count over all channels"


@pytest.mark.parametrize("pool", ["GlobalAveragePool (p)", "MaxPool <kernel_shape = [2]> (p)"])
def test_channels_that_lie_on_a_pooled_axis_are_frozen(pool: str) -> None:
    # the columns of m are the positions that are pooled: fewer of them, another result
    case = analysed(
        "(float[N,3,6] x) => (float[N,2,s] y)",
        f"[positions] p = MatMul (x, m) [pool] q = {pool} [last] y = Conv (q, w2)",
        m=(6, 5), w2=(2, 3, 1),
    )  # fmt: skip
    assert case.groups == {}
    assert case.reasons["positions"].node == "pool"


def test_no_macs_no_weight_and_no_tap() -> None:
    case = pooled("p = GlobalAveragePool (h)")
    assert case.macs("pool", h=(1, 4, 6, 6), p=(1, 4, 1, 1)) == 0
    assert case.weights("pool") == ()
    assert not case.rule("pool").activation
