"""Parts of a tensor."""

import numpy as np
import pytest

from finetune.twin.checking import Gradients, assert_gradients, behind_conv

LAST = -(2**31)


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("y, u = Split <axis = 1, num_outputs = 2> (t)", 18),
        ("u, y, v = Split <axis = -1> (t, sizes)", 13),
        ("u, v = Split <axis = 1, split = [1, 3]> (t)  y = Mul (u, v)", 11),
    ],
)
def test_parts_of_a_split_need_not_all_be_used(body: str, opset: int, gradients: Gradients) -> None:
    operands = {"sizes": np.array([2, 1, 2])} if "sizes" in body else {}
    assert_gradients(behind_conv(body, opset, **operands), gradients, "w")


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ((5, -1), (0, -4), (2, 3), (-1, -2)),
        ((100, 1), (LAST, 4), (1, 2), (-1, 1)),
        ((-2,), (-100,), (-1,), (-3,)),
    ],
)
def test_a_slice_may_run_backwards(
    starts: tuple[int, ...],
    ends: tuple[int, ...],
    axes: tuple[int, ...],
    steps: tuple[int, ...],
    gradients: Gradients,
) -> None:
    operands = {
        name: np.array(values)
        for name, values in zip(("a", "b", "c", "d"), (starts, ends, axes, steps), strict=True)
    }
    assert_gradients(behind_conv("y = Slice (t, a, b, c, d)", 13, **operands), gradients, "w")
