"""The protobuf edge: parsing, skeletons, inference and the checker."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from onnx.external_data_helper import convert_model_to_external_data
from oracle import proto_of

from onnxtrim.errors import LoadError, ModelError, ShapeError
from onnxtrim.graph import infer_shapes, load
from onnxtrim.graph.proto import (
    check,
    inferred_types,
    parse,
    parse_file,
    pin_input_shapes,
    skeleton,
)

TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N,16] x) => (float[N,4] y) {
    h = MatMul (x, w)
    r = Reshape (h, target)
    y = MatMul (r, v)
}"""
WEIGHTS = {
    "w": np.ones((16, 16), np.float32),  # 1024 bytes
    "v": np.ones((16, 17), np.float32)[:, :4],  # 256 bytes
    "target": np.array([-1, 16]),
}


def model(**changes: npt.NDArray[np.generic]) -> ir.Model:
    return load(proto_of(TEXT, {**WEIGHTS, **changes}))


class TestParse:
    """Bytes -> protobuf, or one line that names where they came from."""

    def test_what_was_serialised(self, tmp_path: Path) -> None:
        proto = proto_of(TEXT, WEIGHTS)
        (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
        assert parse(proto.SerializeToString(), "here") == proto
        assert parse_file(tmp_path / "m.onnx") == proto

    def test_no_protobuf(self) -> None:
        with pytest.raises(LoadError, match=r"^here: not an ONNX file, or a truncated one"):
            parse(b"\xff\xff\xff", "here")


class TestSkeleton:
    """The graph without its larger weights."""

    def test_up_to_a_kilobyte_weights_stay(self) -> None:
        found = skeleton(model())
        assert {t.name for t in found.graph.initializer} == {"w", "v", "target"}
        assert [v.name for v in found.graph.input] == ["x"]

    def test_above_they_are_inputs_of_their_type(self) -> None:
        found = skeleton(model(w=np.ones((16, 16), np.float64)))
        assert {t.name for t in found.graph.initializer} == {"v", "target"}
        assert [v.name for v in found.graph.input] == ["x", "w"]
        kind = found.graph.input[1].type.tensor_type
        assert kind.elem_type == onnx.TensorProto.DOUBLE
        assert [d.dim_value for d in kind.shape.dim] == [16, 16]

    def test_weights_that_are_inputs_already_are_listed_once(self) -> None:
        text = TEXT.replace("x)", "x, float[16,16] w)").replace("ir_version: 8", "ir_version: 3")
        found = skeleton(load(proto_of(text, {**WEIGHTS, "w": np.ones((16, 16), np.float64)})))
        assert [v.name for v in found.graph.input] == ["x", "w"]

    def test_one_that_has_no_value_is_an_input(self) -> None:
        source = model()
        source.graph.initializers["w"].const_value = None
        found = skeleton(source)
        assert [v.name for v in found.graph.input] == ["x", "w"]
        assert [d.dim_value for d in found.graph.input[1].type.tensor_type.shape.dim] == [16, 16]

    def test_large_ones_are_not_read(self) -> None:
        def read() -> ir.TensorProtocol:
            raise AssertionError("a weight was read")

        source = model()
        source.graph.initializers["w"].const_value = ir.LazyTensor(
            read, dtype=ir.DataType.FLOAT, shape=ir.Shape([16, 17]), name="w"
        )
        assert "w" in {v.name for v in skeleton(source).graph.input}

    def test_small_ones_beside_the_file_are_read(self, tmp_path: Path) -> None:
        proto = proto_of(TEXT, WEIGHTS)
        convert_model_to_external_data(proto, location="w.bin", size_threshold=0)
        onnx.save(proto, tmp_path / "m.onnx")
        [target] = [
            t for t in skeleton(load(tmp_path / "m.onnx")).graph.initializer if t.name == "target"
        ]
        assert not target.external_data
        assert onnx.numpy_helper.to_array(target).tolist() == [-1, 16]

    def test_the_model_is_not_changed(self) -> None:
        source = model(w=np.ones((16, 16), np.float64))
        before = ir.to_proto(source)
        skeleton(source)
        assert ir.to_proto(source) == before


def test_pinned_shapes_replace_those_of_the_inputs_that_are_named() -> None:
    proto = proto_of(TEXT.replace("x)", "x, float[A] z)"), WEIGHTS)
    pin_input_shapes(proto, {"x": (7, 16), "other": (1,)})
    sizes = [
        [d.dim_value or d.dim_param for d in v.type.tensor_type.shape.dim]
        for v in proto.graph.input
    ]
    assert sizes == [[7, 16], ["A"]]


class TestInferredTypes:
    """Types and shapes of all tensors, or an error."""

    def test_inputs_and_results(self) -> None:
        found = inferred_types(skeleton(model()))
        assert list(found) == ["x", "h", "r", "y"]
        sizes = {name: str(found[name].shape) for name in ("x", "h", "y")}
        assert sizes == {"x": "[N,16]", "h": "[N,16]", "y": "[N,4]"}
        assert str(found["r"].shape).endswith(",16]")  # what -1 becomes has a name of its own
        assert found["h"].type == ir.TensorType(ir.DataType.FLOAT)

    @pytest.mark.parametrize(
        "text",
        [
            TEXT.replace("N,16]", "N,15]"),  # an input that does not fit
            TEXT.replace("N,4]", "N,5]"),  # an output that is not what is computed
            TEXT.replace("=> (float", "=> (int64"),
            TEXT.replace("y) {", "y) <float[N,9] h> {"),  # a stored shape that is not
        ],
    )
    def test_contradictions(self, text: str) -> None:
        with pytest.raises(ShapeError, match=r"^shape inference failed: ") as caught:
            inferred_types(skeleton(load(proto_of(text, WEIGHTS))))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 450


class TestGroupNormalization:
    """Inference knows nothing of it; its result has the sizes of its operand, which go on."""

    TEXT = """<ir_version: 8, opset_import: ["": {opset}]>
    g (float[N,4,H,6] x) => (float[a,b] y) {{
        n = GroupNormalization <num_groups = 2> (x, s, s)
        p = GlobalAveragePool (n)
        f = Flatten (p)
        y = MatMul (f, w)
    }}"""

    def proto(self, opset: int, text: str = TEXT) -> onnx.ModelProto:
        # scale and bias had one figure a group before opset 21, and have one a channel since
        scale = np.ones(2 if opset < 21 else 4, np.float32)
        return proto_of(text.format(opset=opset), {"s": scale, "w": np.ones((4, 3), np.float32)})

    @pytest.mark.parametrize("opset", [18, 20, 21, 23])
    def test_what_comes_behind_is_inferred(self, opset: int) -> None:
        found = inferred_types(self.proto(opset))
        sizes = {name: str(found[name].shape) for name in ("n", "p", "f")}
        assert sizes == {"n": "[N,4,H,6]", "p": "[N,4,1,1]", "f": "[N,4]"}
        assert found["n"].type == ir.TensorType(ir.DataType.FLOAT)

    def test_a_contradiction_behind_it_is_found(self) -> None:
        # 4 channels come out of it, a matrix of 5 rows cannot take them
        proto = self.proto(21)
        proto.graph.initializer[1].CopyFrom(
            onnx.numpy_helper.from_array(np.ones((5, 3), np.float32), "w")
        )
        with pytest.raises(ShapeError, match=r"^shape inference failed: "):
            inferred_types(proto)

    def test_the_model_keeps_the_operator_and_its_attributes(self) -> None:
        source = load(self.proto(21))
        before = ir.to_proto(source)
        thicker = infer_shapes(source)
        assert ir.to_proto(source) == before
        node = thicker.graph.node(0)
        assert (node.op_type, len(node.inputs)) == ("GroupNormalization", 3)
        assert node.attributes["num_groups"].as_int() == 2
        assert str(node.outputs[0].shape) == "[N,4,H,6]"
        check(thicker)

    def test_one_of_another_domain_is_not_meant(self) -> None:
        text = self.TEXT.replace("n = Group", "n = my.Group").replace(
            "opset_import: [", 'opset_import: ["my": 1, '
        )
        proto = self.proto(21, text)
        assert "n" not in inferred_types(proto)
        assert proto.graph.node[0].op_type == "GroupNormalization"


class TestCheck:
    """The full checker of ONNX, without the weights."""

    def test_a_sound_model_passes(self) -> None:
        check(model())
        check(model(w=np.ones((16, 16), np.float32)))

    def test_a_model_of_two_gigabytes_passes(self) -> None:
        # 2 ** 29 * 16 float32: no protobuf could hold them
        def read() -> ir.TensorProtocol:
            raise AssertionError("a weight was read")

        source = load(proto_of(TEXT.replace("N,16]", "N,536870912]"), WEIGHTS))
        source.graph.initializers["w"].const_value = ir.LazyTensor(
            read, dtype=ir.DataType.FLOAT, shape=ir.Shape([2**29, 16]), name="w"
        )
        check(source)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("y) {", "y) <float[N,9] h> {"),  # stale shapes
            ("MatMul (x, w)", "MatMul (x)"),  # too few operands
            ("MatMul (x, w)", "MatMul <axis = 1> (x, w)"),  # an attribute that there is not
            ("MatMul (x, w)", "NoSuchThing (x, w)"),
        ],
    )
    def test_an_unsound_one_is_refused_in_one_line(self, old: str, new: str) -> None:
        with pytest.raises(ModelError, match=r"^the ONNX checker refuses the model: ") as caught:
            check(load(proto_of(TEXT.replace(old, new), WEIGHTS)))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 450
