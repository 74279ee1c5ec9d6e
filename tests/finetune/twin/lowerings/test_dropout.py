"""Dropout, which drops nothing outside of training."""

import numpy as np
import pytest

from finetune.twin.checking import Gradients, assert_gradients, behind_conv
from onnxtrim.errors import TrainingError
from onnxtrim.finetune.twin import twin_of

OPERANDS = {"ratio": np.array(0.5, np.float32), "off": np.array(False), "on": np.array(True)}


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("y = Dropout <ratio = 0.5> (t)", 7),
        ("y = Dropout (t, ratio)", 13),
        ("y, mask = Dropout (t, ratio, off)", 22),
    ],
)
def test_it_has_the_derivatives_of_the_original(
    body: str, opset: int, gradients: Gradients
) -> None:
    operands = {name: array for name, array in OPERANDS.items() if name in body.split("(")[1]}
    student = behind_conv(body, opset, **operands if opset > 7 else {})
    assert_gradients(student, gradients, "w")


def test_one_that_trains_stands_in_the_way() -> None:
    with pytest.raises(TrainingError, match="no gradient for Dropout"):
        twin_of(
            behind_conv(
                "y = Dropout (t, ratio, on)", 13, ratio=OPERANDS["ratio"], on=OPERANDS["on"]
            )
        )
