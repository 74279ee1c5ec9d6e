"""Functions of one, two and more operands, broadcast to each other."""

import numpy as np
import pytest

from finetune.twin.checking import Gradients, assert_gradients, behind_conv

VECTOR = np.array([0.2, -0.3, 1.0, -1.0], dtype=np.float32).reshape(4, 1, 1)


@pytest.mark.parametrize("opset", [18, 22])
@pytest.mark.parametrize("operands", ["t", "t, vector", "t, vector, s", "n, t, vector, s"])
@pytest.mark.parametrize("operator", ["Max", "Mean", "Min", "Sum"])
def test_it_has_the_derivatives_of_the_original(
    operator: str, operands: str, opset: int, gradients: Gradients
) -> None:
    body = f"n = Exp (t)  s = Sigmoid (t)  y = {operator} ({operands})"
    assert_gradients(behind_conv(body, opset, vector=VECTOR), gradients, "w")
