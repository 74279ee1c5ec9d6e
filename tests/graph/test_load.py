"""Anything that holds a model -> `ir.Model`, or one line that says why not."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import convert_model_to_external_data
from oracle import assert_identical, proto_of, run

from onnxtrim.errors import LoadError, ModelError
from onnxtrim.graph import ModelSource, load, model_digest, normalize

TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N,3] x) => (float[N,4] y) {
    y = MatMul (x, w)
}"""
WEIGHTS = {"w": np.arange(12, dtype=np.float32).reshape(3, 4)}
PROTO = proto_of(TEXT, WEIGHTS)
BYTES = PROTO.SerializeToString(deterministic=True)
X = {"x": np.array([[1.0, -2.0, 0.5]], dtype=np.float32)}


@dataclass
class Named:
    """Something with a path, as `os.PathLike` has it."""

    path: Path

    def __fspath__(self) -> str:
        """Returns the path."""
        return str(self.path)


def external(folder: Path) -> Path:
    """Returns a model file in `folder` whose weights lie beside it in `w.bin`."""
    proto = proto_of(TEXT, WEIGHTS)
    convert_model_to_external_data(proto, location="w.bin", size_threshold=0)
    onnx.save(proto, folder / "model.onnx")
    return folder / "model.onnx"


def told(source: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a protobuf the way the graph library writes it, which spells defaults out."""
    return ir.to_proto(ir.from_proto(source))


def refused(source: ModelSource) -> str:
    """Returns the one line with which a source is refused."""
    with pytest.raises(LoadError) as caught:
        load(source)
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestSources:
    """Every kind of source gives the same model."""

    @pytest.mark.parametrize("kind", [str, Path, Named], ids=lambda kind: kind.__name__)
    def test_paths(self, tmp_path: Path, kind: Callable[[Path], os.PathLike[str]]) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(BYTES)
        assert ir.to_proto(load(kind(path))) == told(PROTO)

    @pytest.mark.parametrize("source", [PROTO, BYTES, ir.from_proto(PROTO)], ids=type)
    def test_in_memory(self, source: ModelSource) -> None:
        assert ir.to_proto(load(source)) == told(PROTO)

    def test_a_model_comes_back_as_a_clone_with_the_same_weights(self) -> None:
        source = load(PROTO)
        clone = load(source)
        assert clone is not source
        weights = [model.graph.initializers["w"].const_value for model in (clone, source)]
        assert weights[0] is weights[1]
        clone.graph.remove(list(clone.graph))
        clone.graph.initializers["w"].const_value = None
        assert ir.to_proto(source) == told(PROTO)

    def test_a_protobuf_is_not_changed_by_what_follows(self) -> None:
        proto = proto_of(TEXT, WEIGHTS)
        model = load(proto)
        model.graph.node(0).op_type = "Gemm"
        model.graph.inputs[0].name = "z"
        assert proto == PROTO

    def test_it_computes_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(BYTES)
        # x w, with w = 0..11 by rows: 1 * (0 1 2 3) - 2 * (4 5 6 7) + 0.5 * (8 9 10 11)
        assert run(load(path), X)["y"].tolist() == [[-4.0, -4.5, -5.0, -5.5]]


class TestExternalWeights:
    """They stay where they are until somebody reads them."""

    def test_they_are_looked_for_beside_the_model(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        path = external(tmp_path)
        monkeypatch.chdir(tmp_path / "elsewhere")
        tensor = load(path).graph.initializers["w"].const_value
        assert isinstance(tensor, ir.ExternalTensor)
        assert tensor.numpy().tolist() == WEIGHTS["w"].tolist()

    def test_a_relative_path_will_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        external(tmp_path)
        monkeypatch.chdir(tmp_path)
        tensor = load("model.onnx").graph.initializers["w"].const_value
        assert tensor is not None
        assert tensor.numpy().tolist() == WEIGHTS["w"].tolist()

    def test_nothing_is_read(self, tmp_path: Path) -> None:
        path = external(tmp_path)
        model = load(path)
        (tmp_path / "w.bin").unlink()  # after the check, and before anybody reads
        assert ir.to_proto(model) == told(onnx.load(path, load_external_data=False))

    def test_missing(self, tmp_path: Path) -> None:
        path = external(tmp_path)
        (tmp_path / "w.bin").unlink()
        assert refused(path) == (
            f"{path}: its weights file {tmp_path / 'w.bin'} is missing; put it beside the model"
        )

    @pytest.mark.parametrize("with_length", [False, True])
    def test_truncated(self, tmp_path: Path, with_length: bool) -> None:
        path = external(tmp_path)
        proto = onnx.load(path, load_external_data=False)
        if not with_length:  # then 12 elements of 4 bytes are needed
            entries = proto.graph.initializer[0].external_data
            kept = [entry for entry in entries if entry.key != "length"]
            del entries[:]
            entries.extend(kept)
            path.write_bytes(proto.SerializeToString())
        os.truncate(tmp_path / "w.bin", 47)
        assert refused(path) == (
            f"{path}: its weights file {tmp_path / 'w.bin'} is truncated; copy it again"
        )

    def test_an_offset_counts_too(self, tmp_path: Path) -> None:
        path = external(tmp_path)
        proto = onnx.load(path, load_external_data=False)
        for entry in proto.graph.initializer[0].external_data:
            if entry.key == "offset":
                entry.value = "4096"
        path.write_bytes(proto.SerializeToString())
        assert "is truncated" in refused(path)

    def test_a_folder_in_the_place_of_the_weights(self, tmp_path: Path) -> None:
        path = external(tmp_path)
        (tmp_path / "w.bin").unlink()
        (tmp_path / "w.bin").mkdir()
        assert "is missing" in refused(path)

    def test_those_that_a_body_of_an_if_keeps_are_missed_as_well(self, tmp_path: Path) -> None:
        path = external_in_a_body(tmp_path)
        (tmp_path / "w.bin").unlink()
        assert "w.bin is missing" in refused(path)


def external_in_a_body(folder: Path) -> Path:
    """Returns a model file whose one weight, beside it, belongs to the body of an If."""
    info = helper.make_tensor_value_info

    def body(name: str, op: str) -> onnx.GraphProto:
        weight = numpy_helper.from_array(np.array([1, 2], np.float32), f"{name}.w")
        node = helper.make_node(op, ["x", f"{name}.w"], [name])
        return helper.make_graph([node], name, [], [info(name, TensorProto.FLOAT, [2])], [weight])

    branch = helper.make_node(
        "If", ["c"], ["y"], then_branch=body("add", "Add"), else_branch=body("sub", "Sub")
    )
    inputs = [info("x", TensorProto.FLOAT, [2]), info("c", TensorProto.BOOL, [])]
    graph = helper.make_graph([branch], "g", inputs, [info("y", TensorProto.FLOAT, [2])])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    convert_model_to_external_data(proto, location="w.bin", size_threshold=0)
    onnx.save(proto, folder / "model.onnx")
    return folder / "model.onnx"


class TestRefusals:
    """Every error is one line: what, where, what to do."""

    def test_no_such_file(self, tmp_path: Path) -> None:
        path = tmp_path / "no.onnx"
        assert refused(path) == f"{path}: no such file; check the path of the model"

    def test_a_folder(self, tmp_path: Path) -> None:
        assert refused(tmp_path) == f"{tmp_path}: is a folder; name the .onnx file in it"

    def test_a_path_that_the_system_refuses(self, tmp_path: Path) -> None:
        path = tmp_path / ("x" * 300)
        assert refused(path) == f"{path}: cannot be read (File name too long); check it"

    def test_a_path_through_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        path = tmp_path / "file" / "model.onnx"
        assert refused(path) == f"{path}: cannot be read (Not a directory); check it"

    @pytest.mark.parametrize(
        "content", [b"not a model", b"\x08", BYTES[:-1], BYTES[: len(BYTES) // 2]]
    )
    def test_no_protobuf_or_half_of_one(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        assert refused(path) == f"{path}: not an ONNX file, or a truncated one; export it again"
        assert refused(content).startswith("model bytes: not an ONNX file, or a truncated one")

    @pytest.mark.parametrize(
        "proto",
        [
            onnx.ModelProto(),
            onnx.ModelProto(ir_version=8),
            onnx.ModelProto(graph=onnx.GraphProto(name="g")),
        ],
        ids=["empty", "without graph", "without outputs"],
    )
    @pytest.mark.parametrize("kind", ["bytes", "protobuf"])
    def test_no_graph_with_outputs(self, proto: onnx.ModelProto, kind: str) -> None:
        source = proto if kind == "protobuf" else proto.SerializeToString()
        assert "not an ONNX file (it holds no graph with outputs)" in refused(source)

    def test_a_tensor_of_no_known_type(self, tmp_path: Path) -> None:
        proto = proto_of(TEXT, WEIGHTS)
        proto.graph.initializer[0].data_type = 99
        path = tmp_path / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        assert refused(path) == (
            f"{path}: weight 'w' has the unknown type 99: not a valid ONNX model "
            "(or one of a newer version of ONNX)"
        )

    def test_two_nodes_that_make_one_tensor(self) -> None:
        proto = proto_of(TEXT, WEIGHTS)
        proto.graph.node.append(proto.graph.node[0])
        message = refused(proto)
        assert message == "model: tensor 'y' is made twice; export the model again"

    @pytest.mark.parametrize(
        "nodes",
        [
            [("q", "y")],
            [("h", "y"), ("x", "h")],
            [("h", "y"), ("y", "h")],
            [("x", "h")],
        ],
        ids=["undefined input", "unsorted", "a cycle", "an output that nobody makes"],
    )
    def test_a_graph_that_does_not_hold_together(self, nodes: list[tuple[str, str]]) -> None:
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            [helper.make_node("Relu", [a], [b]) for a, b in nodes],
            "g",
            [info("x", TensorProto.FLOAT, [2])],
            [info("y", TensorProto.FLOAT, [2])],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        with pytest.raises(ModelError) as caught:
            normalize(load(proto))
        assert "\n" not in str(caught.value)

    def test_a_weight_with_too_few_bytes(self) -> None:
        proto = proto_of(TEXT, WEIGHTS)
        proto.graph.initializer[0].raw_data = bytes(47)  # 12 elements of 4 bytes are needed
        assert "'w'" in refused(proto)


class TestDigest:
    """SHA-256 of the file, or of what the file would be."""

    def test_of_a_file_and_its_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(BYTES)
        expected = hashlib.sha256(BYTES).hexdigest()
        assert model_digest(path) == model_digest(str(path)) == model_digest(BYTES) == expected

    def test_of_models_in_memory(self) -> None:
        assert model_digest(PROTO) == hashlib.sha256(BYTES).hexdigest()
        source = load(PROTO)
        assert (
            model_digest(source) == model_digest(ir.to_proto(source)) == model_digest(load(source))
        )

    def test_another_weight_is_another_model(self) -> None:
        other = proto_of(TEXT, {"w": WEIGHTS["w"] + 1})
        assert model_digest(other) != model_digest(PROTO)


def test_the_same_numbers_from_every_source(tmp_path: Path) -> None:
    path = external(tmp_path)
    model = load(path)
    tensor = model.graph.initializers["w"].const_value
    assert tensor is not None
    model.graph.initializers["w"].const_value = ir.Tensor(tensor.numpy(), name="w")
    assert_identical(run(model, X), run(PROTO, X))
