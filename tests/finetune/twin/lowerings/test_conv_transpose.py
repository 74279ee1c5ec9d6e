"""Transposed convolutions: the derivatives by x, by the weight as it is stored, and by the bias."""

import numpy as np
import pytest

from finetune.twin.checking import Gradients, assert_gradients, behind_conv, student_of

RNG = np.random.default_rng(6)

CASES = {
    "plain": ("", (4, 3, 2, 3)),
    "one by one": ("strides = [2, 2]", (4, 2, 1, 1)),
    "doubles": ("strides = [2, 2], pads = [1, 1, 1, 1]", (4, 3, 4, 4)),
    "strides differ": ("strides = [3, 1], pads = [0, 1, 1, 0]", (4, 3, 3, 2)),
    "longer at the end": (
        "strides = [2, 2], pads = [1, 1, 1, 1], output_padding = [1, 0]", (4, 2, 3, 3)
    ),
    "grouped": ("group = 2, strides = [2, 2]", (4, 3, 3, 2)),
    "depthwise": ("group = 4, strides = [2, 2], pads = [1, 1, 1, 1]", (4, 1, 4, 4)),
    "dilated": ("dilations = [2, 1], strides = [1, 2]", (4, 3, 2, 3)),
    "more cut than the kernel reaches": ("strides = [2, 2], pads = [2, 3, 2, 2]", (4, 3, 2, 3)),
    "gaps": ("strides = [3, 3]", (4, 3, 2, 2)),
    "SAME_UPPER": ('auto_pad = "SAME_UPPER", strides = [2, 2]', (4, 3, 3, 3)),
    "SAME_LOWER": ('auto_pad = "SAME_LOWER", strides = [2, 2]', (4, 3, 3, 3)),
    "VALID": ('auto_pad = "VALID", strides = [2, 2]', (4, 3, 3, 3)),
    "a smaller result": ("output_shape = [10, 9], strides = [2, 2]", (4, 3, 3, 3)),
    "a larger result": ("output_shape = [14, 12], strides = [2, 2]", (4, 3, 3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("opset", [11, 22])
@pytest.mark.parametrize("case", CASES)
def test_it_has_the_derivatives_of_the_original(
    case: str, opset: int, gradients: Gradients
) -> None:
    attributes, shape = CASES[case]
    kernel = RNG.normal(size=shape).astype(np.float32)
    groups = 4 if "group = 4" in attributes else 2 if "group" in attributes else 1
    bias = RNG.normal(size=shape[1] * groups).astype(np.float32)
    body = (
        f"y = ConvTranspose <{attributes}> (t, k, b)"
        if attributes
        else ("y = ConvTranspose (t, k, b)")
    )
    assert_gradients(behind_conv(body, opset, k=kernel, b=bias), gradients, "w", "k", "b")


@pytest.mark.parametrize("space", ["H", "H,W", "A,B,C"])
def test_sizes_need_not_be_known(space: str, gradients: Gradients) -> None:
    rank = len(space.split(","))
    text = f"""
    <ir_version: 8, opset_import: ["": 17]>
    g (float[N,2,{space}] x) => (float[N,2,{space.lower()}] y) {{
        t = Conv (x, w)
        y = ConvTranspose <strides = {[2] * rank}> (t, k)
    }}
    """
    shapes = {"w": (3, 2, *[1] * rank), "k": (3, 2, *[3] * rank)}
    arrays = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    assert_gradients(student_of(text, **arrays), gradients, "w", "k")
