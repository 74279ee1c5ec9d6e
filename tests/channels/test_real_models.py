"""Trained models of many exporters: none is refused, and what is called free can be cut."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from oracle import RTOL, Arrays, assert_close, masked_by_hand, run, runtime_before

from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.channels.relations import Ids
from onnxtrim.graph import load, normalize
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut, verify

ASSETS = Path(os.environ.get("ONNXTRIM_ASSETS", Path(__file__).parents[3] / "shared" / "assets"))
MODELS = ASSETS / "models"
NAMES = sorted(
    str(path.relative_to(MODELS).with_suffix(""))
    for path in [*MODELS.glob("*.onnx"), *MODELS.glob("*/*.onnx")]
)

MOBILENET_V1 = 8 + 16 + 32 + 32 + 64 + 64 + 6 * 128 + 2 * 256  # a quarter of the widths
MOBILENET_V2 = (
    (32 + 96 + 2 * 144 + 3 * 192 + 4 * 384 + 3 * 576 + 3 * 960)  # inside the blocks
    + (16 + 24 + 32 + 64 + 96 + 160 + 320)  # the streams between them
    + 1280
)
SQUEEZENET = 64 + 2 * (16 + 2 * 64) + 2 * (32 + 2 * 128) + 2 * (48 + 2 * 192) + 2 * (64 + 2 * 256)
RESNET_20 = 3 * 16 + 3 * 32 + 3 * 64  # inside the blocks; shortcuts of Slice and Pad hold the rest
LEAST_FREE = {
    "SqueezeNet_fp16": SQUEEZENET,
    "squeezenet_imagenet_fp32_ir3": SQUEEZENET,
    "cifar10_resnet20": RESNET_20,
    "cifar10_resnet20_bn_kept": RESNET_20,
    "cifar10_resnet20_constant_nodes": RESNET_20,
    "cifar10_resnet20_dynamo": RESNET_20,
    "cifar10_resnet20_external/model": RESNET_20,
    "cifar10_resnet20_ir3_init_as_inputs": RESNET_20,
    "espcn_x3_depth_to_space": 64 + 64 + 32,
    "espcn_x3_reshape_transpose": 64 + 64 + 32,
    "mlperftiny_autoencoder_ad01.tf2onnx": 4 * 128 + 8 + 4 * 128,
    "mlperftiny_dscnn_kws.tflite2onnx": 5 * 64,
    "mlperftiny_mobilenetv1_025_vww96.tf2onnx": MOBILENET_V1,
    "mlperftiny_resnet8_cifar10.tf2onnx": 2 * (16 + 32 + 64),
    "mobilenetv1_0.25_128_imagenet.dequant": MOBILENET_V1,
    "mobilenetv2_1.0_224_imagenet.dequant": MOBILENET_V2,
}
"""Units that the architecture has, but for the outputs: fewer free ones is freezing too much."""

SILERO: dict[str, int | tuple[int, ...]] = {"input": (1, 576), "state": (2, 1, 128), "sr": 16_000}
"""One window of 512 samples with 64 of context, its state, and the rate of 16 kHz."""

HALF = 2.0**-10
"""The relative step of float16, for the one model whose arithmetic is that coarse."""


def test_the_models_are_there() -> None:
    if not MODELS.is_dir():
        pytest.skip("needs the real models of ../shared/assets (or the folder of ONNXTRIM_ASSETS)")
    assert set(LEAST_FREE) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_third_of_what_is_free_can_be_cut(name: str) -> None:
    model = normalize(load(MODELS / f"{name}.onnx"))
    channels = analyze(model)
    for group in channels.frozen_groups:
        assert group.reason is not None
        assert group.reason.sentence
    assert sum(group.width for group in channels.groups) >= LEAST_FREE.get(name, 0)
    removed = a_third(channels, np.random.default_rng(20))
    thinner = cut(model, channels, make_plan(channels, model.graph.initializers, removed, ""))
    if not removed.size:  # nothing but refusals: then nothing may have changed
        assert ir.to_proto(thinner) == ir.to_proto(model)
        return
    if name == "silero_vad_16k_op15" and runtime_before(1, 28):
        pytest.skip("ONNX Runtime before 1.28 cannot load its bodies beside cut weights")
    inputs = random_inputs(model, SILERO if name.startswith("silero") else {})
    verify(model, thinner, channels, removed, inputs, 1)
    in_memory(model)
    in_memory(thinner)
    actual = run(thinner, inputs)
    half = any(a.dtype == np.float16 for a in actual.values())
    expected = run(masked_by_hand(model, channels, removed), inputs)
    assert_close(actual, expected, HALF if half else RTOL)
    whole = run(model, inputs)
    assert any(not np.array_equal(whole[output], actual[output]) for output in whole)


def a_third(channels: ChannelMap, rng: np.random.Generator) -> Ids:
    """Returns about a third of the units of every free group, at least one of any two."""
    parts = [np.zeros(0, dtype=np.int64)]
    for group in channels.groups:
        count = min(max(group.width // 3, 1), group.width - 1)
        parts.append(rng.choice(group.units, count, replace=False))
    return np.sort(np.concatenate(parts))


def random_inputs(model: ir.Model, known: Mapping[str, int | tuple[int, ...]]) -> Arrays:
    """Returns one random sample; sizes that are open become 1 for the batch and 48 in space.

    Of `known`, a number is fed as it is, and a shape is that of random numbers.
    """
    rng = np.random.default_rng(8)
    inputs: Arrays = {}
    for value in model.graph.inputs:
        assert value.shape is not None
        assert value.dtype is not None
        open_sizes = (1 if axis == 0 else 48 for axis in range(len(value.shape)))
        sizes = [
            size if isinstance(size, int) else other
            for size, other in zip(value.shape, open_sizes, strict=True)
        ]
        given = known.get(str(value.name), tuple(sizes))
        inputs[str(value.name)] = (
            rng.standard_normal(given).astype(value.dtype.numpy())
            if isinstance(given, tuple)
            else np.array(given, value.dtype.numpy())
        )
    return inputs


def in_memory(model: ir.Model) -> None:
    """Reads what lies in a file beside the model: the oracle runs models from memory."""
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor | ir.LazyTensor):
            value.const_value = ir.Tensor(value.const_value.numpy(), name=value.name)
