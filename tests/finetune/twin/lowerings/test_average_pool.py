"""Means of windows, whatever is known of the sizes."""

import pytest

from finetune.twin.checking import Gradients, assert_gradients, behind_conv
from onnxtrim.errors import TrainingError
from onnxtrim.finetune.twin import twin_of

CASES = {
    "windows": "kernel_shape = [2, 3], strides = [2, 1]",
    "all of space": "kernel_shape = [6, 5], strides = [6, 5]",
    "zeros do not count": "kernel_shape = [2, 3], strides = [2, 1], pads = [1, 1, 0, 1]",
    "zeros count": "kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1",
    "dilated": "kernel_shape = [2, 2], dilations = [2, 3], pads = [1, 1, 1, 1]",
    "VALID": 'kernel_shape = [4, 2], auto_pad = "VALID"',
}


@pytest.mark.parametrize("sizes", ["2,3,6,5", "N,3,6,5", "N,3,H,W"])
@pytest.mark.parametrize("case", CASES)
def test_it_has_the_derivatives_of_the_original(
    case: str, sizes: str, gradients: Gradients
) -> None:
    body = f"y = AveragePool <{CASES[case]}> (t)"
    assert_gradients(behind_conv(body, 19, sizes), gradients, "w")


def test_windows_that_reach_over_the_edge_stand_in_the_way() -> None:
    body = "y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (t)"
    with pytest.raises(TrainingError, match="no gradient for AveragePool"):
        twin_of(behind_conv(body))
