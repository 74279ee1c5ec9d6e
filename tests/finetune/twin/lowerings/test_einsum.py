"""Sums of products of two operands, in every role of a letter."""

import numpy as np
import pytest

from finetune.twin.checking import Gradients, assert_gradients, behind_conv, student_of
from onnxtrim.errors import TrainingError
from onnxtrim.finetune.twin import twin_of

RNG = np.random.default_rng(7)

# t is (n, c, h, w) = (2, 4, 6, 5)
CASES = {
    "columns": ("nchw,wv->nchv", (5, 3)),
    "a convolution of one": ("nchw,mc->nmhw", (3, 4)),
    "two summed": ("nchw,wchv->nhcv", (5, 4, 6, 3)),
    "two rows and columns": ("nchw,wuv->nchuv", (5, 3, 2)),
    "batch": ("nchw,cwv->cnhv", (4, 5, 3)),
    "outer product": ("nchw,v->nvchw", (2,)),
    "nothing summed": ("nchw,chw->wnhc", (4, 6, 5)),
    "no arrow": ("nchw,hv", (6, 3)),  # -> cnvw
}


@pytest.mark.parametrize("case", CASES)
def test_it_has_the_derivatives_of_the_original(case: str, gradients: Gradients) -> None:
    equation, shape = CASES[case]
    kernel = RNG.normal(size=shape).astype(np.float32)
    rank = len(equation.partition("->")[2] or "chnvw"[:4])
    axes = ",".join("ABCDE"[:rank])
    text = f"""
    <ir_version: 8, opset_import: ["": 12]>
    g (float[2,3,6,5] x) => (float[{axes}] y) {{
        t = Conv (x, w)
        y = Einsum <equation = "{equation}"> (t, k)
    }}
    """
    arrays = {"k": kernel, "w": RNG.normal(size=(4, 3, 1, 1)).astype(np.float32)}
    weights = () if case == "nothing summed" else ("k",)  # that one is a scale, and not a vector
    assert_gradients(student_of(text, **arrays), gradients, "w", *weights)


@pytest.mark.parametrize(
    ("equation", "operands"),
    [
        ("nchw->nhwc", "t"),
        ("nchw,nchw,nchw->nchw", "t, t, t"),
        ("nchw,v->nch", "t, k"),
        ("...w,wv->...v", "t, m"),
    ],
)
def test_other_equations_stand_in_the_way(equation: str, operands: str) -> None:
    arrays = {"k": np.ones(3, np.float32), "m": np.ones((5, 2), np.float32)}
    body = f'u = Einsum <equation = "{equation}"> ({operands})  s = Shape (t)  y = Reshape (u, s)'
    with pytest.raises(TrainingError, match=r"no gradient for Einsum"):
        twin_of(behind_conv(body, 13, **arrays))
