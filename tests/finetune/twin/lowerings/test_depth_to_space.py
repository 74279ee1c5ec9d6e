"""Both directions, in both orders, with sizes that are known and with sizes that are not."""

import numpy as np
import pytest

from finetune.twin.checking import Gradients, assert_gradients, student_of

CASES = {
    "DepthToSpace": ("DepthToSpace <blocksize = 2>", 11),
    "DepthToSpace, first of all": ("DepthToSpace <blocksize = 2>", 7),
    "DepthToSpace, CRD": ('DepthToSpace <blocksize = 2, mode = "CRD">', 13),
    "SpaceToDepth": ("SpaceToDepth <blocksize = 2>", 13),
}


@pytest.mark.parametrize("sizes", ["2,2,4,6", "N,2,4,6", "N,2,P,Q"])
@pytest.mark.parametrize("case", CASES)
def test_it_has_the_derivatives_of_the_original(
    case: str, sizes: str, gradients: Gradients
) -> None:
    expression, opset = CASES[case]
    text = f"""
    <ir_version: 8, opset_import: ["": {opset}]>
    g (float[{sizes}] x) => (float[A,B,C,D] y) {{ t = Conv (x, w)  y = {expression} (t) }}
    """
    kernel = np.random.default_rng(0).normal(size=(8, 2, 1, 1)).astype(np.float32)
    assert_gradients(student_of(text, w=kernel), gradients, "w")
