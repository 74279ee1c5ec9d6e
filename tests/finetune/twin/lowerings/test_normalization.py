"""Normalisations: the derivatives by what is normalised, and by scale and bias."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from finetune.twin.checking import Gradients, assert_gradients, behind_conv
from onnxtrim.finetune.twin import twin_of

RNG = np.random.default_rng(5)


def floats(*shape: int) -> npt.NDArray[np.float32]:
    return RNG.normal(size=shape).astype(np.float32)


CASES: dict[str, tuple[str, int, dict[str, npt.NDArray[Any]]]] = {
    "InstanceNormalization": (
        "y = InstanceNormalization <epsilon = 0.01> (t, s, b)", 11, {"s": floats(4), "b": floats(4)}
    ),
    "InstanceNormalization, new": (
        "y = InstanceNormalization (t, s, b)", 22, {"s": floats(4), "b": floats(4)}
    ),
    "GroupNormalization, by group": (
        "y = GroupNormalization <num_groups = 2> (t, s, b)", 18, {"s": floats(2), "b": floats(2)}
    ),
    "GroupNormalization, by channel": (
        "y = GroupNormalization <num_groups = 2, epsilon = 0.1> (t, s, b)", 21,
        {"s": floats(4), "b": floats(4)},
    ),
    "LayerNormalization": (
        "y = LayerNormalization (t, s, b)", 17, {"s": floats(5), "b": floats(5)}
    ),
    "LayerNormalization, no bias": (
        "y = LayerNormalization <axis = 2, epsilon = 0.01> (t, s)", 18, {"s": floats(6, 5)}
    ),
    "LayerNormalization, broadcast": (
        "y = LayerNormalization <axis = 1> (t, s, b)", 21, {"s": floats(1, 5), "b": floats(5)}
    ),
    "RMSNormalization": ("y = RMSNormalization <axis = 1> (t, s)", 23, {"s": floats(4, 6, 5)}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_has_the_derivatives_of_the_original(case: str, gradients: Gradients) -> None:
    body, opset, operands = CASES[case]
    assert_gradients(behind_conv(body, opset, **operands), gradients, "w", *operands)


def test_a_layer_normalization_whose_mean_is_read_keeps_the_weights_before_it() -> None:
    student = behind_conv(
        "n, mean = LayerNormalization (t, s)  u = Add (n, mean)  y = Conv (u, k)",
        s=floats(5), k=floats(2, 4, 1, 1),
    )  # fmt: skip
    twin = twin_of(student)
    assert twin.trainable == ("k",)
    reasons = {one.weight: (one.operator, one.reason.split(";")[0]) for one in twin.untrained}
    sentence = "the training runtime has no gradient for LayerNormalization"
    assert reasons == {"s": ("LayerNormalization", sentence), "w": ("LayerNormalization", sentence)}
