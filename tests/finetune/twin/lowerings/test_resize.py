"""Resampling in every mode, by scales and to sizes."""

import numpy as np
import pytest

from finetune.twin.checking import Gradients, assert_gradients, behind_conv, student_of
from onnxtrim.errors import TrainingError
from onnxtrim.finetune.twin import twin_of

MODES = {
    "nearest": 'mode = "nearest"',
    "nearest, floor": 'nearest_mode = "floor", coordinate_transformation_mode = "asymmetric"',
    "nearest, ceil": 'nearest_mode = "ceil", coordinate_transformation_mode = "align_corners"',
    "linear": 'mode = "linear"',
    "linear, aligned": 'mode = "linear", coordinate_transformation_mode = "align_corners"',
    "linear, of torch": 'mode = "linear", coordinate_transformation_mode = "pytorch_half_pixel"',
    "cubic": 'mode = "cubic", cubic_coeff_a = -0.5',
}
SCALES = {"double": (2.0, 2.0), "wider": (1.0, 3.0), "odd": (1.7, 0.6)}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", MODES)
def test_it_has_the_derivatives_of_the_original(
    mode: str, scale: str, gradients: Gradients
) -> None:
    scales = np.array([1, 1, *SCALES[scale]], dtype=np.float32)
    student = behind_conv(f"y = Resize <{MODES[mode]}> (t, , scales)", 13, scales=scales)
    assert_gradients(student, gradients, "w")


@pytest.mark.parametrize("mode", MODES)
def test_sizes_serve_as_well(mode: str, gradients: Gradients) -> None:
    sizes = np.array([9, 10])
    body = f"y = Resize <{MODES[mode]}, axes = [2, 3]> (t, , , sizes)"
    assert_gradients(behind_conv(body, 18, sizes=sizes), gradients, "w")


def test_a_smaller_result_may_be_smoothed(gradients: Gradients) -> None:
    scales = np.array([1, 1, 0.5, 0.5], dtype=np.float32)
    body = 'y = Resize <mode = "linear", antialias = 1> (t, , scales)'
    assert_gradients(behind_conv(body, 18, scales=scales), gradients, "w")


@pytest.mark.parametrize("expression", ["Upsample (t, scales)", "Resize (t, scales)"])
def test_the_older_forms_serve_as_well(expression: str, gradients: Gradients) -> None:
    opset = 9 if "Upsample" in expression else 10
    scales = np.array([1, 1, 2, 3], dtype=np.float32)
    assert_gradients(behind_conv(f"y = {expression}", opset, scales=scales), gradients, "w")


UNKNOWN = """
<ir_version: 8, opset_import: ["": 13]>
g (float[N,2,H,W] x) => (float[N,3,A,B] y) {{ t = Conv (x, w)  y = Resize <{mode}> (t, , scales) }}
"""


def test_sizes_need_not_be_known_for_a_whole_factor(gradients: Gradients) -> None:
    arrays = {"w": np.ones((3, 2, 1, 1), np.float32), "scales": np.array([1, 1, 2, 3], np.float32)}
    assert_gradients(student_of(UNKNOWN.format(mode=MODES["nearest"]), **arrays), gradients, "w")


@pytest.mark.parametrize("mode", ["nearest, ceil", "linear"])
def test_else_they_need(mode: str) -> None:
    arrays = {"w": np.ones((3, 2, 1, 1), np.float32), "scales": np.array([1, 1, 2, 2], np.float32)}
    with pytest.raises(TrainingError, match=r"nothing can be trained .*no gradient for Resize"):
        twin_of(student_of(UNKNOWN.format(mode=MODES[mode]), **arrays))
