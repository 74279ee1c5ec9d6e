"""Operators that ONNX withdrew become standard ones that compute the same."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from oracle import Arrays, assert_close, assert_equal_to_masked, assert_identical, proto_of, run

from onnxtrim.channels import analyze
from onnxtrim.graph import load, normalize
from onnxtrim.graph.constants import constant_ints, ints_attr
from onnxtrim.graph.proto import check
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut

RNG = np.random.default_rng(5)
X: npt.NDArray[Any] = RNG.standard_normal((2, 3, 6, 5)).astype(np.float32)

RUNNABLE = [7, 8, 9]
"""Since opset 10 ONNX Runtime refuses the withdrawn operators; before 7 it has no Mul and Add."""

LATER = [10, 13, 17, 21]


def network(body: str, opset: int, **weights: npt.NDArray[Any]) -> onnx.ModelProto:
    """Returns a graph from x (N, 3, 6, 5) to y of unknown sizes."""
    text = f"""<ir_version: 8, opset_import: ["": {opset}]>
    g (float[N,3,6,5] x) => (float[a,b,c,d] y) {{ {body} }}"""
    return proto_of(text, weights)


def replaced(body: str, opset: int) -> ir.Model:
    """Returns the canonical form; where the runtime ran the original, it gives the same bits."""
    proto = network(body, opset)
    model = normalize(load(proto))
    check(model)
    if opset in RUNNABLE:
        assert_identical(run(model, {"x": X}), run(proto, {"x": X}))
    return model


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def result(model: ir.Model) -> npt.NDArray[Any]:
    return run(model, {"x": X})["y"]


class TestImageScaler:
    """y = scale x + bias[c]."""

    @pytest.mark.parametrize("opset", RUNNABLE + LATER)
    def test_it_is_a_product_and_a_sum(self, opset: int) -> None:
        model = replaced("y = ImageScaler <scale = 0.3, bias = [0.5, -1.0, 2.0]> (x)", opset)
        assert operators(model) == ["Mul", "Add"]
        bias = np.array([0.5, -1.0, 2.0], np.float32).reshape(1, 3, 1, 1)
        assert_close({"y": result(model)}, {"y": X * np.float32(0.3) + bias}, 1e-6)

    @pytest.mark.parametrize("opset", RUNNABLE)
    def test_without_a_scale_it_is_1(self, opset: int) -> None:
        # the runtime wants the attribute: 1.0 is what ONNX documents
        body = "y = ImageScaler <bias = [0.5, -1.0, 2.0]> (x)"
        model = normalize(load(network(body, opset)))
        bias = np.array([0.5, -1.0, 2.0], np.float32).reshape(1, 3, 1, 1)
        assert result(model).tolist() == (X + bias).tolist()

    def test_the_sizes_are_those_of_the_operand(self) -> None:
        model = replaced(
            "h = ImageScaler <scale = 2.0, bias = [1.0, 2.0, 3.0]> (x) y = Relu (h)", 9
        )
        assert str(model.graph.node(1).outputs[0].shape) == "[N,3,6,5]"


class TestAffine:
    """y = alpha x + beta."""

    @pytest.mark.parametrize("opset", RUNNABLE + LATER)
    def test_it_is_a_product_and_a_sum(self, opset: int) -> None:
        model = replaced("y = Affine <alpha = 0.3, beta = -1.7> (x)", opset)
        assert operators(model) == ["Mul", "Add"]
        expected = X * np.float32(0.3) + np.float32(-1.7)
        assert_close({"y": result(model)}, {"y": expected}, 1e-6)

    def test_what_is_left_out_is_1_and_0(self) -> None:
        assert result(normalize(load(network("y = Affine <beta = 2.0> (x)", 9)))).tolist() == (
            (X + np.float32(2)).tolist()
        )
        assert result(normalize(load(network("y = Affine <alpha = 2.0> (x)", 9)))).tolist() == (
            (X * np.float32(2)).tolist()
        )

    def test_two_behind_one_another(self) -> None:
        model = replaced(
            "h = Affine <alpha = 2.0, beta = 1.0> (x) y = Affine <alpha = 0.5, beta = 3.0> (h)", 9
        )
        assert operators(model) == ["Mul", "Add", "Mul", "Add"]
        assert set(model.graph.initializers) == {"h.scale", "h.bias", "y.scale", "y.bias"}


class TestCrop:
    """The part of the last two axes within (left, top, right, bottom), of a size if one is given.

    x is 6 high and 5 wide.
    """

    @pytest.mark.parametrize("opset", [6, *RUNNABLE, *LATER])
    @pytest.mark.parametrize(
        ("attributes", "rows", "columns"),
        [
            ("border = [1, 2, 1, 1]", slice(2, 5), slice(1, 4)),
            ("border = [1, 2, 0, 0]", slice(2, 6), slice(1, 5)),
            ("border = [0, 0, 3, 0]", slice(0, 6), slice(0, 2)),
            ("border = [0, 0, 0, 4]", slice(0, 2), slice(0, 5)),
            ("border = [0, 0, 0, 0]", slice(0, 6), slice(0, 5)),
            # a size is height, width; what right and bottom say no longer counts
            ("border = [1, 2, 0, 0], scale = [3, 2]", slice(2, 5), slice(1, 3)),
            ("border = [1, 2, 1, 1], scale = [4, 4]", slice(2, 6), slice(1, 5)),
            ("border = [0, 0, 1, 1], scale = [1, 5]", slice(0, 1), slice(0, 5)),
        ],
    )
    def test_it_is_a_slice(self, opset: int, attributes: str, rows: slice, columns: slice) -> None:
        proto = network(f"y = Crop <{attributes}> (x)", opset)
        model = normalize(load(proto))
        check(model)
        assert operators(model) == ["Slice"]
        assert result(model).tolist() == X[:, :, rows, columns].tolist()
        if opset < 10:
            assert_identical(run(model, {"x": X}), run(proto, {"x": X}))

    def test_before_opset_10_bounds_are_attributes(self) -> None:
        node = replaced("y = Crop <border = [1, 2, 1, 1], scale = [3, 2]> (x)", 9).graph.node(0)
        assert len(node.inputs) == 1
        bounds = [ints_attr(node, name) for name in ("starts", "ends", "axes")]
        assert bounds == [(2, 1), (5, 3), (2, 3)]

    def test_since_opset_10_they_are_operands(self) -> None:
        node = replaced("y = Crop <border = [1, 2, 1, 1], scale = [3, 2]> (x)", 10).graph.node(0)
        assert not node.attributes
        assert [constant_ints(value) for value in node.inputs[1:]] == [(2, 1), (5, 3), (2, 3)]

    @pytest.mark.parametrize("opset", [9, 10])
    def test_sizes_are_known_behind_it(self, opset: int) -> None:
        body = "h = Crop <border = [1, 2, 1, 1]> (x) y = Relu (h)"
        model = normalize(load(network(body, opset)))
        assert str(model.graph.node(0).outputs[0].shape) == "[N,3,3,3]"

    def test_without_a_border_nothing_goes(self) -> None:
        assert result(normalize(load(network("y = Crop (x)", 9)))).tolist() == X.tolist()


class TestNames:
    """Who refers to a node or a tensor by its name still finds it."""

    @pytest.mark.parametrize(
        ("expression", "kind"),
        [
            ("ImageScaler <scale = 2.0, bias = [1.0, 2.0, 3.0]> (x)", "Add"),
            ("Affine <alpha = 2.0, beta = 1.0> (x)", "Add"),
            ("Crop <border = [1, 1, 1, 1]> (x)", "Slice"),
        ],
    )
    @pytest.mark.parametrize("opset", [9, 10])
    def test_of_node_and_result_stay_with_their_notes(
        self, expression: str, kind: str, opset: int
    ) -> None:
        proto = network(f"[old] h = {expression} y = Relu (h)", opset)
        proto.graph.node[0].doc_string = "about the node"
        entry = proto.graph.node[0].metadata_props.add()
        entry.key, entry.value = "from", "above"
        info = onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, None, "about h")
        proto.graph.value_info.append(info)
        model = normalize(load(proto))
        node = model.graph.node("old")
        assert (node.op_type, node.doc_string) == (kind, "about the node")
        assert dict(node.metadata_props) == {"from": "above"}
        assert (node.outputs[0].name, node.outputs[0].doc_string) == ("h", "about h")

    def test_of_an_output_of_the_graph_stay(self) -> None:
        proto = network("y = Crop <border = [1, 1, 1, 1]> (x)", 9)
        model = normalize(load(proto))
        assert [v.name for v in model.graph.outputs] == ["y"]
        assert str(model.graph.outputs[0].shape) == "[a,b,c,d]"

    def test_new_ones_are_free(self) -> None:
        # tensors bear the names already that the new product and constants would have
        proto = network("p = Relu (x) q = Affine <alpha = 2.0, beta = 1.0> (p) y = Add (q, p)", 9)
        for node in proto.graph.node:
            for names in (node.input, node.output):
                names[:] = ["q.scaled" if name == "p" else name for name in names]
        model = normalize(load(proto))
        made = [v.name for node in model.graph for v in node.outputs]
        assert made == ["q.scaled", "q.scaled_2", "q", "y"]
        assert_identical(run(model, {"x": X}), run(proto, {"x": X}))

    def test_the_same_operators_of_another_domain_are_not_meant(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 9, "my": 1]>
            g (float[N,3,6,5] x) => (float[N,3,6,5] y) {
                y = my.Affine <alpha = 2.0, beta = 1.0> (x)
            }"""
        )
        model = normalize(load(proto))
        assert [(node.domain, node.op_type) for node in model.graph] == [("my", "Affine")]


@pytest.mark.parametrize(
    "between",
    [
        "Affine <alpha = 0.5, beta = 0.25> (p)",
        "ImageScaler <scale = 0.5, bias = [1.0, 2.0, 3.0, 4.0]> (p)",
        "Crop <border = [1, 2, 1, 1]> (p)",
        "Crop <border = [1, 2, 0, 0], scale = [3, 2]> (p)",
    ],
)
@pytest.mark.parametrize("opset", [7, 9])
def test_channels_behind_them_can_go(between: str, opset: int) -> None:
    proto = network(
        f"[front] p = Conv (x, w1) q = {between} [back] y = Conv (q, w2)",
        opset,
        w1=RNG.standard_normal((4, 3, 1, 1)).astype(np.float32),
        w2=RNG.standard_normal((2, 4, 1, 1)).astype(np.float32),
    )
    model = normalize(load(proto))
    inputs: Arrays = {"x": X}
    assert_identical(run(model, inputs), run(proto, inputs))
    channels = analyze(model)
    units = channels.axes["q", 1][[0, 2]]
    assert [group.name for group in channels.groups] == ["front"]
    thinner = cut(model, channels, make_plan(channels, model.graph.initializers, units, ""))
    sizes = {name: str(v.shape) for name, v in thinner.graph.initializers.items()}
    assert (sizes["w1"], sizes["w2"]) == ("[2,3,1,1]", "[2,2,1,1]")
    if "ImageScaler" in between:
        bias = thinner.graph.initializers["q.bias"].const_value
        assert bias is not None
        assert bias.numpy().reshape(-1).tolist() == [2, 4]
    assert_equal_to_masked(model, channels, units, thinner, inputs)


@pytest.mark.parametrize("opset", RUNNABLE)
def test_the_runtime_still_runs_the_originals(opset: int) -> None:
    """Without this the comparisons above would compare nothing."""
    for body in (
        "y = ImageScaler <scale = 0.3, bias = [0.5, -1.0, 2.0]> (x)",
        "y = Affine <alpha = 0.3, beta = -1.7> (x)",
        "y = Crop <border = [1, 2, 1, 1]> (x)",
    ):
        data = network(body, opset).SerializeToString()
        options = ort.SessionOptions()
        options.log_severity_level = 4
        assert ort.InferenceSession(data, options).get_outputs()[0].name == "y"
