"""Every lowered activation: the same values, and the derivatives of the original."""

import numpy as np
import pytest

from finetune.twin.checking import Gradients, assert_gradients, assert_twin, behind_conv

CASES = {
    "Celu": "y = Celu <alpha = 0.7> (t)",
    "Celu, default": "y = Celu (t)",
    "Elu": "y = Elu <alpha = 0.6> (t)",
    "Elu, default": "y = Elu (t)",
    "HardSigmoid": "y = HardSigmoid <alpha = 0.3, beta = 0.4> (t)",
    "HardSigmoid, default": "y = HardSigmoid (t)",
    "HardSwish": "y = HardSwish (t)",
    "Mish": "y = Mish (t)",
    "PRelu, a channel": "y = PRelu (t, slopes)",
    "PRelu, all": "y = PRelu (t, slope)",
    "Selu": "y = Selu <alpha = 1.5, gamma = 1.2> (t)",
    "Selu, default": "y = Selu (t)",
    "Softplus": "y = Softplus (t)",
    "Softsign": "y = Softsign (t)",
    "ThresholdedRelu": "y = ThresholdedRelu <alpha = 0.4> (t)",
    "ThresholdedRelu, default": "y = ThresholdedRelu (t)",
}
OPERANDS = {
    "slope": np.array([0.3], dtype=np.float32),
    "slopes": np.array([0.1, -0.4, 0.7, 1.3], dtype=np.float32).reshape(4, 1, 1),
}


@pytest.mark.parametrize("opset", [18, 21, 22])
@pytest.mark.parametrize("case", CASES)
def test_it_has_the_derivatives_of_the_original(
    case: str, opset: int, gradients: Gradients
) -> None:
    operands = {name: OPERANDS[name] for name in OPERANDS if f"{name})" in CASES[case]}
    student = behind_conv(CASES[case], opset, **operands)
    assert_gradients(student, gradients, "w", *operands)


@pytest.mark.parametrize("attributes", ["", "<alpha = 1.7>"])
def test_a_swish_has_them_though_the_runtime_does_not_know_it(
    attributes: str, gradients: Gradients
) -> None:
    student = behind_conv(f"y = Swish {attributes} (t)", 24)
    assert_gradients(student, gradients, "w")


@pytest.mark.parametrize("operator", ["Celu", "Elu", "Mish", "Selu", "Softplus", "Softsign"])
def test_it_holds_where_an_exponential_would_overflow(operator: str) -> None:
    factor = np.array(500, dtype=np.float32)
    assert_twin(behind_conv(f"u = Mul (t, factor)  y = {operator} (u)", factor=factor))
