"""MACs, parameters and bytes, against figures worked out by hand."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from onnxtrim.channels import analyze
from onnxtrim.graph import load, normalize
from onnxtrim.graph.shapes import concrete_shapes
from onnxtrim.selection import Cost, CostModel

LENET = Path(__file__).parents[2] / "models" / "lenet-digits.onnx"


def costs_of(model: ir.Model, *shape: int) -> CostModel:
    """Returns the costs for an input of that shape."""
    (value,) = model.graph.inputs
    assert value.dtype is not None
    sample = {str(value.name): np.zeros(shape, value.dtype.numpy())}
    return CostModel(model, concrete_shapes(model, sample))


def lenet() -> ir.Model:
    return normalize(load(LENET))


def test_lenet() -> None:
    # conv1 20x24x24 x 1x5x5, conv2 50x8x8 x 20x5x5, fc1 500 x 800, fc2 10 x 500
    macs = 288_000 + 1_600_000 + 400_000 + 5_000
    # weights and biases: 20x25 + 20, 50x500 + 50, 500x800 + 500, 10x500 + 10
    params = 520 + 25_050 + 400_500 + 5_010
    assert (macs, params) == (2_293_000, 431_080)
    found = costs_of(lenet(), 1, 1, 28, 28).now()
    assert found == Cost(macs, params, 4 * params)


def test_costs_are_those_of_one_batch_of_the_given_size() -> None:
    assert costs_of(lenet(), 3, 1, 28, 28).now().macs == 3 * 2_293_000


def test_lenet_after_a_cut() -> None:
    model = lenet()
    channel_map = analyze(model)
    conv1, conv2, fc1 = channel_map.groups
    gone = np.concatenate([conv1.units[:4], conv2.units[:18], fc1.units[:100]])
    found = costs_of(model, 1, 1, 28, 28).after(channel_map.without(gone))
    # 16, 32 and 400 stay: 16x24x24x25, 32x8x8x16x25, 400 x 512, 10 x 400
    macs = 230_400 + 819_200 + 204_800 + 4_000
    params = (400 + 16) + (32 * 16 * 25 + 32) + (400 * 512 + 400) + (4_000 + 10)
    assert found == Cost(macs, params, 4 * params)


def test_grouped_depthwise_and_strided_convolutions() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4, 8, 8] x) => (float[N, 6, 2, 2] y) {
      a = Conv <group=2, pads=[1, 1, 1, 1]> (x, grouped)
      b = Conv <group=8, strides=[2, 2], pads=[1, 1, 1, 1]> (a, deep)
      y = Conv <strides=[2, 2]> (b, point)
    }"""  # noqa: E501
    weights: Arrays = {
        "grouped": np.ones((8, 2, 3, 3), np.float32),
        "deep": np.ones((8, 1, 3, 3), np.float32),
        "point": np.ones((6, 8, 1, 1), np.float32),
    }
    found = costs_of(normalize(load(proto_of(text, weights))), 1, 4, 8, 8).now()
    # 8x8x8 outputs x 2x3x3, 8x4x4 x 1x3x3, 6x2x2 x 8
    assert found.macs == 512 * 18 + 128 * 9 + 24 * 8
    assert found.params == 8 * 18 + 8 * 9 + 6 * 8


@pytest.mark.parametrize("transposed", [0, 1])
def test_matrix_products_over_tokens(transposed: int) -> None:
    text = f"""<ir_version: 8, opset_import: ["": 17]> g (float[N, 7, 3] x) => (float[N, 7, 2] y) {{
      a = MatMul(x, w)
      f = Reshape(a, rows)
      b = Gemm <transB={transposed}> (f, v, c)
      y = Reshape(b, back)
    }}"""
    weights: Arrays = {
        "w": np.ones((3, 5), np.float32),
        "v": np.ones((2, 5) if transposed else (5, 2), np.float32),
        "c": np.ones(2, np.float32),
        "rows": np.array([-1, 5]),
        "back": np.array([-1, 7, 2]),
    }
    found = costs_of(normalize(load(proto_of(text, weights))), 2, 7, 3).now()
    assert found.macs == 2 * 7 * (3 * 5 + 5 * 2)
    assert found.params == 15 + 10 + 2  # shapes to reshape to are no parameters


def test_bytes_follow_the_element_type() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float16[N, 3] x) => (float16[N, 2] y) {
      y = Gemm(x, w, b)
    }"""
    weights: Arrays = {"w": np.ones((3, 2), np.float16), "b": np.ones(2, np.float16)}
    assert costs_of(normalize(load(proto_of(text, weights))), 1, 3).now() == Cost(6, 8, 16)


def test_integer_weights_are_parameters_and_shape_arithmetic_is_not() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4] x) => (float[N, 2, 2] y) {
      w = DequantizeLinear(q, scale)
      m = MatMul(x, w)
      y = Reshape(m, target)
    }"""
    weights: Arrays = {
        "q": np.ones((4, 4), np.int8),
        "scale": np.array(0.5, np.float32),
        "target": np.array([-1, 2, 2]),
    }
    found = costs_of(normalize(load(proto_of(text, weights))), 1, 4).now()
    assert found == Cost(16, 17, 16 + 4)


def test_sizes_that_no_rule_of_onnx_tells_are_measured() -> None:
    """The target is read off a tensor of shape [1, 6]: inference does not know it, a run does."""
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 3] x, int64[2] target) => (float[A, B] y) {
      f = Reshape(x, target)
      y = MatMul(f, w)
    }"""  # noqa: E501
    model = normalize(load(proto_of(text, {"w": np.ones((6, 4), np.float32)})))
    sample = {"x": np.zeros((5, 2, 3), np.float32), "target": np.array([-1, 6])}
    found = CostModel(model, concrete_shapes(model, sample))
    assert found.now() == Cost(5 * 6 * 4, 24, 96)
    assert found.uncounted == ()


def test_what_follows_an_operator_that_nobody_knows_is_named_and_left_out() -> None:
    text = """<ir_version: 8, opset_import: ["": 17, "my.own": 1]>
    g (float[N, 3] x) => (float[N, 2] y) {
      [before] a = Gemm(x, w)
      [mystery] b = my.own.Mystery(a)
      [relu] c = Relu(b)
      [behind] y = Gemm(c, v)
    }"""
    weights: Arrays = {"w": np.ones((3, 4), np.float32), "v": np.ones((4, 2), np.float32)}
    found = costs_of(normalize(load(proto_of(text, weights))), 1, 3)
    assert found.now() == Cost(12, 20, 80)
    assert found.uncounted == ("behind",)


def test_an_operator_with_a_weight_but_no_rule_is_named() -> None:
    text = """<ir_version: 9, opset_import: ["": 19]>
    g (float[1, 3, 4, 4] x) => (float[1, 2, 3, 3] y) {
      [counted] a = Conv(x, w)
      [normal] b = InstanceNormalization(a, gain, bias)
      [bent] y = DeformConv(b, v, places)
    }"""
    weights: Arrays = {
        "w": np.ones((5, 3, 1, 1), np.float32),
        "gain": np.ones(5, np.float32),  # one axis: nothing is multiplied and summed
        "bias": np.ones(5, np.float32),
        "v": np.ones((2, 5, 2, 2), np.float32),
        "places": np.zeros((1, 8, 3, 3), np.float32),
    }
    found = costs_of(normalize(load(proto_of(text, weights))), 1, 3, 4, 4)
    assert found.uncounted == ("bent",)
    assert found.now() == Cost(16 * 5 * 3, 15 + 10 + 40 + 72, 4 * 137)


def test_a_graph_inside_the_graph_is_named_and_its_weights_are_parameters() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[N, 4] x, bool c) => (float[N, 4] y) {
      [before] a = MatMul(x, w)
      [choice] y = If (c) <
        then_branch = then () => (float[N, 4] p) <float[4, 4] u = {
          1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}> { p = MatMul(a, u) },
        else_branch = other () => (float[N, 4] q) { q = Neg(a) }>
    }"""
    model = normalize(load(proto_of(text, {"w": np.ones((4, 4), np.float32)})))
    sample = {"x": np.zeros((1, 4), np.float32), "c": np.array(True)}
    found = CostModel(model, concrete_shapes(model, sample))
    assert found.uncounted == ("choice",)
    assert found.now() == Cost(16, 32, 128)


def test_nothing_is_left_out_of_a_model_that_rules_describe() -> None:
    assert costs_of(lenet(), 1, 1, 28, 28).uncounted == ()
