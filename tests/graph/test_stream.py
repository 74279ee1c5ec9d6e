"""A model in pieces: put together they are the protobuf that serialising gives."""

import io
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from oracle import Arrays, proto_of
from test_load import external_in_a_body

from onnxtrim.graph import load
from onnxtrim.graph.edit import in_memory
from onnxtrim.graph.stream import pieces

TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N,30] x) => (float[N,40] y) {
    h = MatMul (x, w)
    y = Add (h, b)
}"""
RNG = np.random.default_rng(1)
WEIGHTS: Arrays = {
    "w": RNG.standard_normal((30, 40)).astype(np.float32),
    "b": RNG.standard_normal(40).astype(np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.array(3, np.int64),
}


def on_disk(folder: Path, proto: onnx.ModelProto) -> ir.Model:
    """Returns a model whose weights lie in a file."""
    onnx.save(
        proto, folder / "in.onnx", save_as_external_data=True, location="in.data", size_threshold=0
    )
    return load(folder / "in.onnx")


def together(model: ir.Model) -> bytes:
    """Returns all pieces behind one another."""
    file = io.BytesIO()
    for piece in pieces(model):
        if isinstance(piece, bytes):
            file.write(piece)
        else:
            piece.tofile(file)
    return file.getvalue()


def serialised(model: ir.Model) -> onnx.ModelProto:
    """Returns the model as a protobuf, with all of its weights in it."""
    return ir.to_proto(in_memory(model))


class TestPieces:
    """What they are, and what they make."""

    def test_a_model_in_memory(self) -> None:
        model = load(proto_of(TEXT, WEIGHTS))
        assert all(isinstance(piece, bytes) for piece in pieces(model))
        assert onnx.load_from_string(together(model)) == serialised(model)

    def test_a_model_on_disk(self, tmp_path: Path) -> None:
        model = on_disk(tmp_path, proto_of(TEXT, WEIGHTS))
        later = [piece.name for piece in pieces(model) if isinstance(piece, ir.ExternalTensor)]
        assert later == list(WEIGHTS)
        found = onnx.load_from_string(together(model))
        assert found == serialised(model)
        arrays = {t.name: numpy_helper.to_array(t) for t in found.graph.initializer}
        assert {name: a.tobytes() for name, a in arrays.items()} == {
            name: a.tobytes() for name, a in WEIGHTS.items()
        }

    @pytest.mark.parametrize("size", [1, 29, 30, 31, 120, 127, 128, 4000, 2**14, 2**19 + 1])
    def test_lengths_on_both_sides_of_what_a_byte_holds(self, tmp_path: Path, size: int) -> None:
        text = '<ir_version: 8, opset_import: ["": 17]> g (float[N] x) => (float[N] y) '
        weight = {"w": np.arange(size, dtype=np.float32)}
        model = on_disk(tmp_path, proto_of(text + "{ y = Neg (x) }", weight))
        assert onnx.load_from_string(together(model)) == serialised(model)

    def test_four_bits_an_element(self, tmp_path: Path) -> None:
        array = np.arange(-3, 4).astype(ml_dtypes.int4)
        proto = proto_of(
            '<ir_version: 10, opset_import: ["": 21]> g (float[N] x) => (float[N] y) '
            "{ y = Neg (x) }",
            {"w": array},
        )
        model = on_disk(tmp_path, proto)
        found = onnx.load_from_string(together(model))
        assert found == serialised(model)
        assert numpy_helper.to_array(found.graph.initializer[0]).astype(int).tolist() == [
            -3, -2, -1, 0, 1, 2, 3,
        ]  # fmt: skip

    def test_one_that_is_computed_is_computed_once_and_late(self) -> None:
        asked: list[str] = []

        def compute() -> ir.TensorProtocol:
            asked.append("w")
            return ir.Tensor(WEIGHTS["w"], name="w")

        model = load(proto_of(TEXT, WEIGHTS))
        model.graph.initializers["w"].const_value = ir.LazyTensor(
            compute, dtype=ir.DataType.FLOAT, shape=ir.Shape((30, 40)), name="w", doc_string="doc"
        )
        parts = list(pieces(model))
        assert asked == []
        data = [part if isinstance(part, bytes) else part.tobytes() for part in parts]
        assert asked == ["w"]
        found = onnx.load_from_string(b"".join(data))
        assert {t.name: t.doc_string for t in found.graph.initializer if t.doc_string} == {
            "w": "doc"
        }
        assert numpy_helper.to_array(found.graph.initializer[0]).tolist() == WEIGHTS["w"].tolist()

    def test_weights_in_the_body_of_an_if_come_as_bytes(self, tmp_path: Path) -> None:
        model = load(external_in_a_body(tmp_path))
        assert all(isinstance(piece, bytes) for piece in pieces(model))
        assert onnx.load_from_string(together(model)) == serialised(model)

    def test_all_else_that_a_model_says_stays(self, tmp_path: Path) -> None:
        proto = proto_of(TEXT, WEIGHTS)
        proto.producer_name, proto.doc_string, proto.graph.doc_string = "me", "model", "graph"
        helper.set_model_props(proto, {"key": "value"})
        proto.graph.value_info.add().CopyFrom(
            helper.make_tensor_value_info("h", TensorProto.FLOAT, ["N", 40])
        )
        model = on_disk(tmp_path, proto)
        found = onnx.load_from_string(together(model))
        assert found == serialised(model)
        assert (found.producer_name, found.doc_string, found.graph.doc_string) == (
            "me", "model", "graph",
        )  # fmt: skip
        assert found.metadata_props[0].value == "value"

    def test_the_model_is_not_changed(self, tmp_path: Path) -> None:
        model = on_disk(tmp_path, proto_of(TEXT, WEIGHTS))
        before = ir.to_proto(model)
        together(model)
        assert ir.to_proto(model) == before
