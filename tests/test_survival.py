"""What a prune must leave as it was: names, notes, versions, types, files, and all it cannot cut.

Weights are made so that the units at even positions matter least: half of each group is the odd.
"""

import hashlib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import convert_model_to_external_data
from oracle import RTOL, Arrays, assert_close, masked_by_hand, proto_of, run

import onnxtrim
from onnxtrim.channels import Code, analyze
from onnxtrim.graph import ModelSource, load, normalize
from onnxtrim.graph.edit import in_memory
from onnxtrim.selection import make_plan, removed_units
from onnxtrim.surgery import cut

SIZES = {"N": 2, "H": 6, "W": 5}
"""What symbolic sizes of inputs become in a run."""

BLOCK = """
    [one] a = Conv (x, w1, b1)
    [act] b = Relu (a)
    [two] y = Conv (b, w2)
"""
"""From x (N, 3, H, W) to y (N, 2, H, W) by way of 8 channels."""


def weight(*sizes: int, kind: Any = np.float32) -> npt.NDArray[Any]:  # noqa: ANN401
    """Returns random weights; those that make the units at even positions are small.

    They lie between 0.5 and 1, or four times lower, with random signs.
    """
    rng = np.random.default_rng(sum(sizes))
    array: npt.NDArray[Any] = rng.uniform(0.5, 1.0, sizes) * rng.choice([-1.0, 1.0], sizes)
    array[::2] /= 4
    return array.astype(kind)


def block_weights() -> Arrays:
    return {"w1": weight(8, 3, 1, 1), "b1": weight(8), "w2": weight(2, 8, 1, 1)}


def text(signature: str, body: str, opset: int = 17, ir_version: int = 8, domains: str = "") -> str:
    """Returns a model in ONNX text."""
    opsets = f'"": {opset}{domains}'
    return f"<ir_version: {ir_version}, opset_import: [{opsets}]> g {signature} {{ {body} }}"


def made_up(model: ir.Model) -> Arrays:
    """Returns random inputs for a model."""
    rng = np.random.default_rng(1)
    found: Arrays = {}
    for value in model.graph.inputs:
        assert value.shape is not None
        assert value.dtype is not None
        sizes = [d if isinstance(d, int) else SIZES[str(d.value)] for d in value.shape]
        found[str(value.name)] = rng.standard_normal(sizes).astype(value.dtype.numpy())
    return found


def pruned(source: ModelSource, rtol: float = RTOL) -> onnxtrim.PruneResult:
    """Returns `source` without half of each group, after comparing it with the masked original."""
    result = onnxtrim.prune(
        source, ratio=0.5, align="none", scope="layer", criterion="l1", threads=1
    )
    original = in_memory(normalize(load(source)))
    channels = analyze(original)
    removed = removed_units(channels, result.plan)
    assert removed.size > 0
    inputs = made_up(original)
    actual = run(result.model, inputs)
    assert_close(actual, run(masked_by_hand(original, channels, removed), inputs), rtol)
    before = run(original, inputs)
    assert any(not np.allclose(before[name], actual[name], atol=1e-5) for name in before)
    return result


def sizes(model: ir.Model) -> dict[str, tuple[int, ...]]:
    """Returns the sizes of every initializer."""
    found = {}
    for name, value in model.graph.initializers.items():
        assert value.const_value is not None
        found[name] = value.const_value.numpy().shape
    return found


def array(model: ir.Model, name: str) -> npt.NDArray[Any]:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def names(values: Any) -> list[str]:  # noqa: ANN401 - of either library
    return [value.name for value in values]


def runs(proto: onnx.ModelProto) -> bool:
    """Returns whether ONNX Runtime loads a model as it is."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    except Exception:  # the runtime raises its own unrelated types
        return False
    return True


def note(proto: Any, about: str) -> None:  # noqa: ANN401 - any message with both fields
    """Writes a doc string and an entry of metadata into a part of a model."""
    proto.doc_string = f"about {about}"
    entry = proto.metadata_props.add()
    entry.key, entry.value = "key", f"of {about}"


def notes(proto: Any) -> tuple[str, set[tuple[str, str]]]:  # noqa: ANN401
    """Returns the doc string and the metadata of a part of a model."""
    return proto.doc_string, {(entry.key, entry.value) for entry in proto.metadata_props}


def noted(about: str) -> tuple[str, set[tuple[str, str]]]:
    """Returns what `note` wrote."""
    return f"about {about}", {("key", f"of {about}")}


class TestNotes:
    """Doc strings and metadata of the model and of every part that stays."""

    @staticmethod
    def source() -> onnx.ModelProto:
        info = helper.make_tensor_value_info
        proto = proto_of(text("(float[N,3,6,6] x) => (float[N,2,6,6] y)", BLOCK), block_weights())
        proto.ir_version, proto.opset_import[0].version = 10, 21
        proto.producer_name, proto.producer_version = "maker", "1.2"
        proto.domain, proto.model_version = "org.example", 7
        proto.graph.name = "network"
        proto.graph.value_info.extend(
            info(name, TensorProto.FLOAT, ["N", 8, 6, 6]) for name in ("a", "b")
        )
        note(proto, "model")
        note(proto.graph, "graph")
        parts = (proto.graph.node, proto.graph.input, proto.graph.output)
        for part in (*parts, proto.graph.value_info, proto.graph.initializer):
            for one in part:
                note(one, one.name)
        return proto

    def test_of_the_model(self, saved: onnx.ModelProto) -> None:
        assert notes(saved) == noted("model")
        assert (saved.producer_name, saved.producer_version) == ("maker", "1.2")
        assert (saved.domain, saved.model_version) == ("org.example", 7)

    def test_of_the_graph(self, saved: onnx.ModelProto) -> None:
        assert saved.graph.name == "network"
        assert notes(saved.graph) == noted("graph")

    def test_of_the_nodes_in_their_order(self, saved: onnx.ModelProto) -> None:
        assert names(saved.graph.node) == ["one", "act", "two"]
        assert [notes(node) for node in saved.graph.node] == [
            noted(name) for name in ("one", "act", "two")
        ]

    def test_of_inputs_and_outputs(self, saved: onnx.ModelProto) -> None:
        assert [notes(v) for v in (*saved.graph.input, *saved.graph.output)] == [
            noted("x"), noted("y"),
        ]  # fmt: skip

    def test_of_the_tensors_in_between_that_became_thinner(self, saved: onnx.ModelProto) -> None:
        found = {v.name: v for v in saved.graph.value_info if v.name in ("a", "b")}
        assert {name: notes(v) for name, v in found.items()} == {"a": noted("a"), "b": noted("b")}
        channels = [v.type.tensor_type.shape.dim[1].dim_value for v in found.values()]
        assert channels == [4, 4]

    def test_of_the_weights_that_became_smaller(self, saved: onnx.ModelProto) -> None:
        assert {tensor.name: list(tensor.dims) for tensor in saved.graph.initializer} == {
            "w1": [4, 3, 1, 1], "b1": [4], "w2": [2, 4, 1, 1],
        }  # fmt: skip
        for tensor in saved.graph.initializer:
            assert notes(tensor) == noted(tensor.name)

    def test_of_weights_that_lie_beside_the_model(self, tmp_path: Path) -> None:
        proto = self.source()
        convert_model_to_external_data(proto, location="w.bin", size_threshold=0)
        onnx.save(proto, tmp_path / "model.onnx")
        thin = onnx.load(pruned(tmp_path / "model.onnx").save(tmp_path / "thin.onnx"))
        for tensor in thin.graph.initializer:
            assert notes(tensor) == noted(tensor.name)

    def test_what_an_axis_or_a_tensor_denotes(self) -> None:
        proto = self.source()
        kind = proto.graph.input[0].type
        kind.denotation = "IMAGE"
        kind.tensor_type.shape.dim[1].denotation = "DATA_CHANNEL"
        found = ir.to_proto(pruned(proto).model).graph.input[0].type
        assert found == kind

    def test_where_the_scales_of_a_tensor_are(self) -> None:
        proto = self.source()
        annotation = proto.graph.quantization_annotation.add()
        annotation.tensor_name = "b"
        entry = annotation.quant_parameter_tensor_names.add()
        entry.key, entry.value = "SCALE_TENSOR", "b1"
        [found] = ir.to_proto(pruned(proto).model).graph.quantization_annotation
        assert found == annotation

    def test_the_source_is_left_alone(self) -> None:
        proto = self.source()
        before = proto.SerializeToString(deterministic=True)
        pruned(proto)
        assert proto.SerializeToString(deterministic=True) == before


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """Returns the file that a model with notes everywhere becomes."""
    path = tmp_path_factory.mktemp("notes") / "thin.onnx"
    return onnx.load(pruned(TestNotes.source()).save(path))


class TestInterface:
    """Names, order, types and sizes of inputs and outputs."""

    def test_several_of_both_keep_their_order(self) -> None:
        proto = proto_of(
            text(
                "(float[N,4] right, float[N,3,6,5] x, float[2] unused, float[N,3,6,5] left) => "
                "(float[N,2,6,5] z, float[N,5] features, float[N,2,6,5] y)",
                """
                [r] p = Gemm (right, w3)
                q = Relu (p)
                [l] features = Gemm (q, w4)
                [one] a = Conv (x, w1)
                [uno] b = Conv (left, w5)
                s = Add (a, b)
                [two] y = Conv (s, w2)
                [due] z = Conv (s, w6)
                """,
            ),
            {
                "w1": weight(8, 3, 1, 1), "w2": weight(2, 8, 1, 1), "w5": weight(8, 3, 1, 1),
                "w6": weight(2, 8, 1, 1), "w3": weight(6, 4).T.copy(), "w4": weight(6, 5),
            },
        )  # fmt: skip
        model = pruned(proto).model
        assert names(model.graph.inputs) == ["right", "x", "unused", "left"]
        assert names(model.graph.outputs) == ["z", "features", "y"]
        stated = [str(v.shape) for v in (*model.graph.inputs, *model.graph.outputs)]
        assert stated == [
            "[N,4]", "[N,3,6,5]", "[2]", "[N,3,6,5]", "[N,2,6,5]", "[N,5]", "[N,2,6,5]",
        ]  # fmt: skip
        assert sizes(model) == {
            "w1": (4, 3, 1, 1), "w2": (2, 4, 1, 1), "w3": (4, 3), "w4": (3, 5),
            "w5": (4, 3, 1, 1), "w6": (2, 4, 1, 1),
        }  # fmt: skip

    def test_an_output_that_is_also_used_inside_keeps_its_channels(self) -> None:
        proto = proto_of(
            text(
                "(float[N,3,6,5] x) => (float[N,6,6,5] middle, float[N,2,6,5] y)",
                """
                [one] a = Conv (x, w1)
                [two] b = Conv (a, w2)
                middle = Relu (b)
                [three] c = Conv (middle, w3)
                [four] y = Conv (c, w4)
                """,
            ),
            {
                "w1": weight(8, 3, 1, 1), "w2": weight(6, 8, 1, 1), "w3": weight(4, 6, 1, 1),
                "w4": weight(2, 4, 1, 1),
            },
        )  # fmt: skip
        result = pruned(proto)
        assert sizes(result.model) == {
            "w1": (4, 3, 1, 1), "w2": (6, 4, 1, 1), "w3": (2, 6, 1, 1), "w4": (2, 2, 1, 1),
        }  # fmt: skip
        frozen = {row.name: (row.code, row.reason) for row in result.report.frozen}
        assert frozen["two"] == (Code.GRAPH_OUTPUT, "middle is an output of the graph")

    @pytest.mark.parametrize(
        ("outputs", "further"),
        [
            ("float[N,2,6,5] y, float[N,3,6,5] x", ""),  # an input
            ("float[N,2,6,5] y, float[N,2,6,5] y", ""),  # one twice
            ("float[N,2,6,5] y, float[N,2,6,5] z", "z = Identity (y)"),
            ("int64[2] k, float[N,2,6,5] y", "k = Constant <value_ints = [3, 4]> ()"),
            ("int64[4] s, float[N,2,6,5] y", "s = Shape (y)"),
        ],
    )
    def test_unusual_outputs(self, outputs: str, further: str) -> None:
        signature = f"(float[N,3,6,5] x) => ({outputs})"
        proto = proto_of(text(signature, BLOCK + further), block_weights())
        model = pruned(proto).model
        assert names(model.graph.outputs) == names(proto.graph.output)
        assert sizes(model)["w1"] == (4, 3, 1, 1)
        inputs = made_up(model)
        kept, expected = run(model, inputs), run(proto, inputs)
        for name in expected.keys() & {"x", "k", "s"}:
            assert kept[name].tolist() == expected[name].tolist()

    def test_a_sequence(self) -> None:
        signature = "(float[N,3,6,5] x) => (seq(float[N,2,6,5]) s, float[N,2,6,5] y)"
        body = BLOCK + "s = SequenceConstruct (y, y)"
        proto = proto_of(text(signature, body), block_weights())
        result = onnxtrim.prune(
            proto, ratio=0.5, align="none", scope="layer", criterion="l1", threads=1
        )
        assert sizes(result.model)["w1"] == (4, 3, 1, 1)
        assert ir.to_proto(result.model).graph.output[0].type == proto.graph.output[0].type

    def test_an_output_that_is_a_weight_keeps_it_whole(self) -> None:
        signature = "(float[N,3,6,5] x) => (float[8,3,1,1] w1, float[N,2,6,5] y)"
        proto = proto_of(text(signature, BLOCK), block_weights())
        with pytest.raises(onnxtrim.BudgetError, match="nothing can be cut: graph output"):
            pruned(proto)

    @pytest.mark.parametrize("size", ["N,3,H,W", "N,3,6,W", "2,3,H,5", "2,3,6,5"])
    def test_open_sizes_stay_open_under_their_names(self, size: str) -> None:
        out = size.replace(",3,", ",2,")
        proto = proto_of(text(f"(float[{size}] x) => (float[{out}] y)", BLOCK), block_weights())
        model = pruned(proto).model
        stated = [str(v.shape) for v in (*model.graph.inputs, *model.graph.outputs)]
        assert stated == [f"[{size}]", f"[{out}]"]
        assert sizes(model) == {"w1": (4, 3, 1, 1), "b1": (4,), "w2": (2, 4, 1, 1)}

    def test_images_of_bytes(self) -> None:
        body = "x = Cast <to = 1> (image)" + BLOCK
        proto = proto_of(
            text("(uint8[N,3,6,5] image) => (float[N,2,6,5] y)", body), block_weights()
        )
        model = pruned(proto).model
        assert model.graph.inputs[0].dtype == ir.DataType.UINT8
        assert sizes(model)["w1"] == (4, 3, 1, 1)


class TestFunctions:
    """Local functions are inlined; what they are made of can be cut."""

    TEXT = """<ir_version: 8, opset_import: ["": 17, "local": 1, "other": 3, "ai.onnx.ml": 2]>
    g (float[N,3,6,5] x) => (float[N,2,6,5] y) {
        [one] a = local.block (x, w1)
        [two] b = local.block (a, w2)
        [three] y = Conv (b, w3)
    }
    <domain: "local", opset_import: ["": 17]>
    block (p, w) => (r) {
        [inner] q = Conv (p, w)
        [act] r = Relu (q)
    }"""

    def test_every_call_is_cut_by_itself(self, inlined: ir.Model) -> None:
        assert not inlined.functions
        assert sizes(inlined) == {
            "w1": (4, 3, 1, 1), "w2": (3, 4, 1, 1), "w3": (2, 3, 1, 1),
        }  # fmt: skip

    def test_nodes_have_names_of_their_own(self, inlined: ir.Model) -> None:
        found = [(node.op_type, str(node.name)) for node in inlined.graph]
        assert [op for op, _ in found] == ["Conv", "Relu", "Conv", "Relu", "Conv"]
        assert len({name for _, name in found}) == 5
        assert found[-1] == ("Conv", "three")

    def test_other_operator_sets_stay(self, inlined: ir.Model) -> None:
        versions = {name: inlined.opset_imports[name] for name in ("", "other", "ai.onnx.ml")}
        assert versions == {"": 17, "other": 3, "ai.onnx.ml": 2}

    def test_tensors_of_the_graph_keep_their_names(self, inlined: ir.Model) -> None:
        made = {v.name for node in inlined.graph for v in node.outputs}
        assert {"a", "b", "y"} <= made


@pytest.fixture(scope="module")
def inlined() -> ir.Model:
    """Returns what the model with functions becomes."""
    arrays = {"w1": weight(8, 3, 1, 1), "w2": weight(6, 8, 1, 1), "w3": weight(2, 6, 1, 1)}
    return pruned(proto_of(TestFunctions.TEXT, arrays)).model


NETWORK_THIN = {"w1": (4, 3, 3, 3), "b1": (4,), "w2": (3, 4, 3, 1), "w3": (4, 3), "b3": (4,)}


class TestVersions:
    """Each version of ONNX goes out as it came in."""

    NETWORK = """
        [one] a = Conv (x, w1, b1)
        b = Relu (a)
        [two] c = Conv (b, w2)
        d = Relu (c)
        e = GlobalAveragePool (d)
        f = Flatten (e)
        [three] y = Gemm <transB = 1> (f, w3, b3)
    """
    SIGNATURE = "(float[N,3,6,5] x) => (float[N,4] y)"

    @staticmethod
    def weights() -> Arrays:
        return {
            "w1": weight(8, 3, 3, 3), "b1": weight(8), "w2": weight(6, 8, 3, 1),
            "w3": weight(4, 6), "b3": weight(4),
        }  # fmt: skip

    @pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
    def test_of_the_operator_set(self, opset: int) -> None:
        proto = proto_of(text(self.SIGNATURE, self.NETWORK, opset), self.weights())
        if runs(proto):
            model = pruned(proto).model
        else:  # newer than the runtime: nothing can be proven, so nothing is returned
            assert opset > 21
            with pytest.raises(onnxtrim.ModelError, match="ONNX Runtime cannot load the model"):
                pruned(proto)
            model = halved(proto)
        assert dict(model.opset_imports) == {"": opset}
        assert sizes(model) == NETWORK_THIN
        assert [node.op_type for node in model.graph] == [node.op_type for node in proto.graph.node]

    @pytest.mark.parametrize("version", range(3, onnx.IR_VERSION + 1))
    def test_of_the_format(self, version: int) -> None:
        proto = proto_of(text(self.SIGNATURE, self.NETWORK, 9, version), self.weights())
        if version == 3:  # whose weights are inputs too
            for tensor in proto.graph.initializer:
                info = helper.make_tensor_value_info
                proto.graph.input.append(info(tensor.name, tensor.data_type, tensor.dims))
        if runs(proto):
            model = pruned(proto).model
        else:
            assert version > 10
            with pytest.raises(onnxtrim.ModelError, match="ONNX Runtime cannot load the model"):
                pruned(proto)
            model = halved(proto)
        assert model.ir_version == max(version, 4)
        assert names(model.graph.inputs) == ["x"]
        assert sizes(model) == NETWORK_THIN


def halved(proto: onnx.ModelProto) -> ir.Model:
    """Returns a model without the even units of every group, for what the runtime cannot run."""
    model = normalize(load(proto))
    channels = analyze(model)
    units = np.concatenate([group.units[::2] for group in channels.groups])
    return cut(model, channels, make_plan(channels, model.graph.initializers, units, ""))


class TestTypes:
    """Weights keep their type, and what stays of them its bits."""

    @pytest.mark.parametrize(("name", "kind"), [("float", np.float32), ("float16", np.float16)])
    def test_of_convolutions(self, name: str, kind: type) -> None:
        arrays: Arrays = {key: w.astype(kind) for key, w in block_weights().items()}
        proto = proto_of(text(f"({name}[N,3,6,5] x) => ({name}[N,2,6,5] y)", BLOCK), arrays)
        model = pruned(proto, 1e-4 if kind is np.float32 else 2e-2).model
        self.check(model, arrays)

    @pytest.mark.parametrize(
        ("name", "kind", "rtol"),
        [
            ("float16", np.float16, 2e-2),
            ("float", np.float32, 1e-4),
            ("double", np.float64, 1e-12),
        ],
    )
    def test_of_matrix_products(self, name: str, kind: type, rtol: float) -> None:
        arrays: Arrays = {
            "w1": weight(8, 3, kind=kind), "b1": weight(8, kind=kind),
            "w2": weight(2, 8, kind=kind),
        }  # fmt: skip
        body = """
            [one] a = Gemm <transB = 1> (x, w1, b1)
            b = Relu (a)
            [two] y = Gemm <transB = 1> (b, w2)
        """
        proto = proto_of(text(f"({name}[N,3] x) => ({name}[N,2] y)", body), arrays)
        self.check(pruned(proto, rtol).model, arrays)

    def test_of_what_the_runtime_has_no_kernels_for(self) -> None:
        kind = ml_dtypes.bfloat16
        arrays: Arrays = {key: w.astype(kind) for key, w in block_weights().items()}
        proto = proto_of(text("(bfloat16[N,3,6,5] x) => (bfloat16[N,2,6,5] y)", BLOCK, 22, 10))
        for name, w in arrays.items():
            tensor = TensorProto(name=name, data_type=TensorProto.BFLOAT16, dims=w.shape)
            tensor.raw_data = w.tobytes()
            proto.graph.initializer.append(tensor)
        if not runs(proto):
            with pytest.raises(onnxtrim.ModelError, match="ONNX Runtime cannot load the model"):
                pruned(proto)
        self.check(halved(proto), arrays)

    @staticmethod
    def check(model: ir.Model, arrays: Arrays) -> None:
        """Fails unless the weights are the odd units of `arrays`, bit by bit."""
        expected = {
            "w1": arrays["w1"][1::2], "b1": arrays["b1"][1::2], "w2": arrays["w2"][:, 1::2],
        }  # fmt: skip
        assert list(model.graph.initializers) == list(expected)
        for name, want in expected.items():
            found = array(model, name)
            assert (found.dtype, found.shape) == (want.dtype, want.shape)
            assert found.tobytes() == want.tobytes()
        assert {v.dtype for v in (*model.graph.inputs, *model.graph.outputs)} == {
            model.graph.initializers["w1"].dtype
        }


class TestFiles:
    """Models whose weights lie in files of their own."""

    @staticmethod
    def source(folder: Path) -> Path:
        proto = proto_of(text("(float[N,3,6,5] x) => (float[N,2,6,5] y)", BLOCK), block_weights())
        convert_model_to_external_data(proto, location="w.bin", size_threshold=0)
        onnx.save(proto, folder / "model.onnx")
        return folder / "model.onnx"

    @staticmethod
    def digests(folder: Path) -> dict[str, str]:
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.iterdir())
        }

    def test_the_source_stays_and_the_result_stands_alone(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "out").mkdir()
        path = self.source(tmp_path / "in")
        before = self.digests(tmp_path / "in")
        assert list(before) == ["model.onnx", "w.bin"]
        result = pruned(path)
        thin = result.save(tmp_path / "out" / "thin.onnx")
        assert self.digests(tmp_path / "in") == before
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["thin.onnx"]
        (tmp_path / "in" / "w.bin").unlink()
        found = onnx.load(thin)
        arrays = {t.name: numpy_helper.to_array(t) for t in found.graph.initializer}
        whole = block_weights()
        assert arrays["w1"].tobytes() == whole["w1"][1::2].tobytes()
        assert arrays["b1"].tobytes() == whole["b1"][1::2].tobytes()
        assert arrays["w2"].tobytes() == whole["w2"][:, 1::2].tobytes()

    def test_the_same_comes_out_as_from_memory(self, tmp_path: Path) -> None:
        path = self.source(tmp_path)
        beside = pruned(path).save(tmp_path / "beside.onnx")
        inside = pruned(onnx.load(path)).save(tmp_path / "inside.onnx")
        assert onnx.load(beside) == onnx.load(inside)

    def test_the_source_is_not_written_over(self, tmp_path: Path) -> None:
        path = self.source(tmp_path)
        before = self.digests(tmp_path)
        with pytest.raises(onnxtrim.OutputError, match="is an input of this run"):
            pruned(path).save(path)
        assert self.digests(tmp_path) == before


class TestSharedWeights:
    """A weight of several nodes is cut once, for all of them."""

    def test_of_two_branches(self) -> None:
        proto = proto_of(
            text(
                "(float[N,3,6,5] x, float[N,3,6,5] z) => (float[N,2,6,5] y, float[N,2,6,5] v)",
                """
                [one] a = Conv (x, w1, b1)
                b = Relu (a)
                [uno] c = Conv (z, w1, b1)
                d = Relu (c)
                [two] y = Conv (b, w2)
                [due] v = Conv (d, w2)
                """,
            ),
            block_weights(),
        )
        model = pruned(proto).model
        assert sizes(model) == {"w1": (4, 3, 1, 1), "b1": (4,), "w2": (2, 4, 1, 1)}
        assert model.graph.node("one").inputs[1] is model.graph.node("uno").inputs[1]

    def test_of_two_layers_behind_one_another_on_both_axes(self) -> None:
        # the second reads what the first makes, by the same weight: rows and columns go together
        proto = proto_of(
            text(
                "(float[N,3,6,5] x) => (float[N,2,6,5] y)",
                """
                [zero] o = Conv (x, w0)
                [one] a = Conv (o, w1)
                b = Relu (a)
                [uno] c = Conv (b, w1)
                [two] y = Conv (c, w2)
                """,
            ),
            {"w0": weight(8, 3, 1, 1), "w1": weight(8, 8, 1, 1), "w2": weight(2, 8, 1, 1)},
        )
        model = pruned(proto).model
        whole = weight(8, 8, 1, 1)
        assert array(model, "w1").tobytes() == whole[1::2][:, 1::2].tobytes()
        assert sizes(model) == {"w0": (4, 3, 1, 1), "w1": (4, 4, 1, 1), "w2": (2, 4, 1, 1)}

    def test_with_a_branch_that_is_an_output_nothing_goes(self) -> None:
        proto = proto_of(
            text(
                "(float[N,3,6,5] x) => (float[N,8,6,5] p, float[N,2,6,5] y)",
                """
                [one] a = Conv (x, w1)
                [two] y = Conv (a, w2)
                [uno] p = Conv (x, w1)
                """,
            ),
            {"w1": weight(8, 3, 1, 1), "w2": weight(2, 8, 1, 1)},
        )
        with pytest.raises(onnxtrim.BudgetError, match="nothing can be cut"):
            pruned(proto)
        [row] = [row for row in onnxtrim.inspect(proto).frozen if row.name == "one"]
        assert (row.code, row.reason) == (Code.GRAPH_OUTPUT, "p is an output of the graph")


AROUND = """
    [one] a = Conv (x, w1)
    b = Relu (a)
    [two] c = Conv (b, w2)
    {}
    [three] d = Conv (m, w3)
    e = Relu (d)
    [four] y = Conv (e, w4)
"""
"""Four convolutions of which the second writes into something that nobody knows, c to m."""


def around_weights() -> Arrays:
    return {
        "w1": weight(8, 3, 1, 1), "w2": weight(6, 8, 1, 1), "w3": weight(4, 6, 1, 1),
        "w4": weight(2, 4, 1, 1),
    }  # fmt: skip


AROUND_THIN = {
    "w1": (4, 3, 1, 1), "w2": (6, 4, 1, 1), "w3": (2, 6, 1, 1), "w4": (2, 2, 1, 1),
}  # fmt: skip
"""The unknown keeps its 6 channels; those before and behind it go."""


def around(unknown: str, domains: str = "", inputs: str = "", **further: Any) -> onnx.ModelProto:  # noqa: ANN401
    """Returns the four convolutions around something unknown; the file states the sizes behind."""
    return proto_of(
        text(
            f"(float[N,3,6,5] x{inputs}) => (float[N,2,6,5] y) "
            "<float[N,6,6,5] m, float[N,4,6,5] d, float[N,4,6,5] e>",
            AROUND.format(unknown),
            domains=domains,
        ),
        around_weights() | {name: np.array(value) for name, value in further.items()},
    )


class TestBodies:
    """The bodies of If, Loop and Scan freeze what they see, and nothing else."""

    IF = """
        [body] m = If (t) <
            then_branch = yes () => (float[N,6,6,5] p) { p = Relu (c) },
            else_branch = no () => (float[N,6,6,5] q) { q = Neg (c) }
        >
    """
    LOOP = """
        [body] m = Loop (trips, always, c) <
            body = again (int64 i, bool k, float[N,6,6,5] s) => (bool k2, float[N,6,6,5] s2) {
                k2 = Identity (k)
                s2 = Add (s, c)
            }
        >
    """

    @pytest.mark.parametrize(
        ("unknown", "inputs", "further"),
        [
            (IF, ", bool t", {}),
            (LOOP, "", {"trips": 2, "always": True}),
        ],
        ids=["If", "Loop"],
    )
    def test_what_they_capture_stays(
        self, unknown: str, inputs: str, further: dict[str, Any]
    ) -> None:
        result = pruned(around(unknown, inputs=inputs, **further))
        after = {name: size for name, size in sizes(result.model).items() if name in AROUND_THIN}
        assert after == AROUND_THIN
        behind = result.model.graph.node("three").outputs[0]
        assert str(behind.shape) == "[N,2,6,5]"
        op = "If" if inputs else "Loop"
        sentence = f"no rule describes ai.onnx.{op} (opset 17)"
        [row] = [row for row in result.report.frozen if row.name == "two"]
        assert (row.code, row.reason) == (Code.UNKNOWN_OPERATOR, sentence)
        [barrier] = onnxtrim.inspect(around(unknown, inputs=inputs, **further)).barriers
        assert (barrier.node, barrier.reason) == ("body", sentence)

    def test_both_ways_through_a_body_still_compute(self) -> None:
        proto = around(self.IF, inputs=", bool t")
        model = pruned(proto).model
        original = normalize(load(proto))
        channels = analyze(original)
        removed = removed_units(channels, pruned(proto).plan)
        masked = masked_by_hand(original, channels, removed)
        for way in (True, False):
            inputs = made_up(original) | {"t": np.array(way)}
            assert_close(run(model, inputs), run(masked, inputs))

    def test_weights_that_a_body_reads_stay(self) -> None:
        # w2 is used in the body alone: b, which it reads, stays too
        proto = proto_of(
            text(
                "(float[N,3,6,5] x, bool t) => (float[N,2,6,5] y)",
                """
                [one] a = Conv (x, w1)
                b = Relu (a)
                [body] m = If (t) <
                    then_branch = yes () => (float[N,6,6,5] p) { p = Conv (b, w2) },
                    else_branch = no () => (float[N,6,6,5] q) { n = Neg (b) q = Conv (n, w2) }
                >
                [three] d = Conv (m, w3)
                e = Relu (d)
                [four] y = Conv (e, w4)
                """,
            ),
            around_weights(),
        )
        result = pruned(proto)
        assert sizes(result.model) == {
            "w1": (8, 3, 1, 1), "w2": (6, 8, 1, 1), "w3": (2, 6, 1, 1), "w4": (2, 2, 1, 1),
        }  # fmt: skip
        assert [group.name for group in result.report.groups] == ["three"]

    def test_a_body_within_a_body(self) -> None:
        inner = """
            If (t) <
                then_branch = a () => (float[N,6,6,5] u) { u = Relu (c) },
                else_branch = b () => (float[N,6,6,5] v) { v = Abs (c) }
            >
        """
        unknown = f"""
            [body] m = If (t) <
                then_branch = yes () => (float[N,6,6,5] p) {{ p = {inner} }},
                else_branch = no () => (float[N,6,6,5] q) {{ q = Neg (x6) }}
            >
        """
        proto = around("x6 = Relu (c)" + unknown, inputs=", bool t")
        assert sizes(pruned(proto).model) == AROUND_THIN

    def test_names_within_a_body_are_left_free(self) -> None:
        # a constant that the tool makes must not take the name of a tensor inside
        proto = proto_of(
            text(
                "(float[N,3,2,2] x, bool t) => (float[N,32] y)",
                """
                [one] a = Conv (x, w1)
                [two] c = Conv (a, w2)
                s = Shape (c)
                n = Slice (s, zero, first)
                k = Concat <axis = 0> (n, rest)
                f = Reshape (c, k)
                y = If (t) <
                    then_branch = yes () => (float[N,32] p) { inside = Relu (f) p = Neg (inside) },
                    else_branch = no () => (float[N,32] q) { q = Neg (f) }
                >
                """,
            ),
            {
                "w1": weight(8, 3, 1, 1), "w2": weight(8, 8, 1, 1), "zero": np.array([0]),
                "first": np.array([1]), "rest": np.array([32]),
            },
        )  # fmt: skip
        body = proto.graph.node[-1].attribute[0].g
        body.node[0].output[0] = body.node[1].input[0] = "f.shape"
        model = pruned(proto).model
        assert sizes(model)["w1"] == (4, 3, 1, 1)


class TestOtherDomains:
    """An operator that nobody knows freezes what it touches, and nothing else."""

    @pytest.mark.parametrize(
        "unknown",
        [
            "[custom] m = com.microsoft.Gelu (c)",
            "[custom] m = com.microsoft.QuickGelu <alpha = 1.5> (c)",
        ],
    )
    def test_one_that_the_runtime_knows(self, unknown: str) -> None:
        result = pruned(around(unknown, domains=', "com.microsoft": 1'))
        assert sizes(result.model) == AROUND_THIN
        node = result.model.graph.node("custom")
        assert node.domain == "com.microsoft"
        assert dict(result.model.opset_imports) == {"": 17, "com.microsoft": 1}
        [row] = [row for row in result.report.frozen if row.name == "two"]
        assert row.code == Code.UNKNOWN_OPERATOR
        assert row.reason == f"no rule describes com.microsoft.{node.op_type} (opset 1)"

    def test_one_that_holds_weights(self) -> None:
        proto = around(
            '[custom] m = com.microsoft.FusedConv <activation = "Relu"> (c, w5)',
            domains=', "com.microsoft": 1',
        )
        proto.graph.initializer.append(numpy_helper.from_array(weight(6, 6, 1, 1), "w5"))
        assert sizes(pruned(proto).model) == {**AROUND_THIN, "w5": (6, 6, 1, 1)}

    def test_one_that_nobody_can_run(self) -> None:
        proto = around("[custom] m = my.Thing (c)", domains=', "my": 4')
        found = onnxtrim.inspect(proto)
        assert [group.name for group in found.groups] == ["one", "three"]
        [barrier] = found.barriers
        assert barrier.node == "custom"
        assert barrier.reason == "no rule describes my.Thing (opset 4)"
        with pytest.raises(onnxtrim.ModelError, match="ONNX Runtime cannot load the model"):
            pruned(proto)
        model = halved(proto)
        assert sizes(model) == AROUND_THIN
        assert dict(model.opset_imports) == {"": 17, "my": 4}

    def test_where_its_result_is_unknown_all_behind_it_stays(self) -> None:
        proto = around("[custom] m = my.Thing (c)", domains=', "my": 4')
        del proto.graph.value_info[:]
        found = onnxtrim.inspect(proto)
        assert [group.name for group in found.groups] == ["one"]
        hidden = [row.reason for row in found.barriers if row.code == Code.DYNAMIC_SIZE]
        assert "the rank of m is unknown" in hidden
        assert sizes(halved(proto)) == {
            "w1": (4, 3, 1, 1), "w2": (6, 4, 1, 1), "w3": (4, 6, 1, 1), "w4": (2, 4, 1, 1),
        }  # fmt: skip
