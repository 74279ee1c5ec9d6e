"""The largest and the smallest elements over several axes."""

import numpy as np
import pytest

from finetune.twin.checking import Gradients, assert_gradients, behind_conv, student_of


@pytest.mark.parametrize("opset", [18, 22])
@pytest.mark.parametrize(
    "body",
    [
        "y = GlobalMaxPool (t)",
        "y = ReduceMax (t, axes)",
        "y = ReduceMin (t, axes)",
        "y = ReduceMax (t)",
        "u = ReduceMin <keepdims = 0> (t, axes)  y = Unsqueeze (u, axes)",
    ],
)
@pytest.mark.parametrize("axes", [(1,), (-1, 2)])
def test_it_has_the_derivatives_of_the_original(
    body: str, axes: tuple[int, ...], opset: int, gradients: Gradients
) -> None:
    operands = {"axes": np.array(axes)} if "axes" in body else {}
    assert_gradients(behind_conv(body, opset, **operands), gradients, "w")


@pytest.mark.parametrize("opset", [11, 13])
def test_axes_may_be_an_attribute_as_they_were(opset: int, gradients: Gradients) -> None:
    body = "y = ReduceMax <axes = [2, 3]> (t)"
    assert_gradients(behind_conv(body, opset), gradients, "w")


def test_sizes_need_not_be_known(gradients: Gradients) -> None:
    text = """
    <ir_version: 8, opset_import: ["": 17]>
    g (float[N,2,H,W] x) => (float[N,3,1,1] y) { t = Conv (x, w)  y = GlobalMaxPool (t) }
    """
    kernel = np.random.default_rng(0).normal(size=(3, 2, 1, 1)).astype(np.float32)
    assert_gradients(student_of(text, w=kernel), gradients, "w")
