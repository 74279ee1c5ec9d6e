"""Padding with what is there."""

import numpy as np
import pytest

from finetune.twin.checking import Gradients, assert_gradients, behind_conv, student_of


@pytest.mark.parametrize(
    ("mode", "opset"), [("reflect", 11), ("reflect", 18), ("edge", 13), ("edge", 21), ("wrap", 19)]
)
@pytest.mark.parametrize("pads", [(0, 0, 2, 1, 0, 0, 0, 3), (0, 3, 0, 0, 0, 1, 1, 0)])
def test_it_has_the_derivatives_of_the_original(
    mode: str, opset: int, pads: tuple[int, ...], gradients: Gradients
) -> None:
    student = behind_conv(f'y = Pad <mode = "{mode}"> (t, pads)', opset, pads=np.array(pads))
    assert_gradients(student, gradients, "w")


def test_axes_may_be_named(gradients: Gradients) -> None:
    arrays = {"pads": np.array([1, 2, 0, 3]), "axes": np.array([-1, 2])}
    student = behind_conv('y = Pad <mode = "reflect"> (t, pads, , axes)', 18, **arrays)
    assert_gradients(student, gradients, "w")


def test_sizes_need_not_be_known(gradients: Gradients) -> None:
    text = """
    <ir_version: 8, opset_import: ["": 10]>
    g (float[N,2,H,W] x) => (float[N,3,C,D] y) {
        t = Conv (x, w)
        y = Pad <mode = "edge", pads = [0, 0, 1, 0, 0, 0, 2, 1]> (t)
    }
    """
    kernel = np.random.default_rng(0).normal(size=(3, 2, 1, 1)).astype(np.float32)
    assert_gradients(student_of(text, w=kernel), gradients, "w")
