"""The blocks of published networks: half of every group goes, exactly, and enough of them."""

import numpy as np
import pytest
from oracle import assert_close, masked_by_hand, run
from topologies import TOPOLOGIES

import onnxtrim
from onnxtrim.channels import analyze
from onnxtrim.graph import load, normalize
from onnxtrim.selection.plan import removed_units

BAR = {
    "conv, BN unfused, relu", "ResNet, BN unfused", "ResNet, BN folded",
    "DenseNet, pre-activation BN", "DenseNet concat chain", "U-Net, Resize scales",
    "U-Net, Resize sizes", "U-Net, ConvTranspose", "ShuffleNet split + shuffle",
    "MobileNetV2, Clip", "transpose + MatMul MLP block", "two output heads",
}  # fmt: skip
"""Where at least 45 % of the parameters must go."""


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_half_of_every_group_goes_and_the_rest_computes_what_it_did(name: str) -> None:
    source = TOPOLOGIES[name].model()
    result = onnxtrim.prune(source, ratio=0.5, align="none", scope="layer", criterion="l1")
    before, after = result.report.before.params, result.report.after.params
    assert 1 - after / before >= (0.45 if name in BAR else 0.4)

    model = normalize(load(source))
    channels = analyze(model)
    removed = removed_units(channels, result.plan)
    assert len(removed) > 0
    rng = np.random.default_rng(4)
    inputs = {
        str(v.name): rng.standard_normal(
            [d if isinstance(d, int) else 2 + i for i, d in enumerate(v.shape or ())]
        ).astype(np.float32)
        for v in model.graph.inputs
    }
    expected = run(masked_by_hand(model, channels, removed), inputs)
    assert_close(run(result.model, inputs), expected, rtol=1e-5)
    whole = run(source, inputs)
    assert any(not np.allclose(whole[output], expected[output], atol=1e-3) for output in whole)
