"""Sessions of ONNX Runtime over `ir.Model`."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx.external_data_helper import convert_model_to_external_data
from oracle import Arrays, proto_of
from test_load import external_in_a_body

from onnxtrim.errors import ModelError, RunError
from onnxtrim.graph import load, runtime
from onnxtrim.graph.edit import weight_bytes
from onnxtrim.graph.runtime import RUNTIME_VERSION, Runner

TEXT = """<ir_version: 8, opset_import: ["": 17]>
g (float[N,2] x, float[N,3] z) => (float[N,3] b, float[N,3] a) {
    h = MatMul (x, w)
    a = Add (h, z)
    b = Relu (a)
}"""
WEIGHTS: Arrays = {"w": np.array([[1, 2, 3], [4, 5, 6]], np.float32)}
FED: Arrays = {"x": np.array([[1, -1]], np.float32), "z": np.array([[0, 1, 10]], np.float32)}
# x w is (1 - 4, 2 - 5, 3 - 6) = (-3, -3, -3); with z it is (-3, -2, 7)
EXPECTED = {"b": [[0, 0, 7]], "a": [[-3, -2, 7]]}


def results(runner: Runner) -> dict[str, object]:
    return {name: array.tolist() for name, array in runner(FED).items()}


class TestRunner:
    """A model ready to run."""

    @pytest.mark.parametrize("optimize", [False, True])
    @pytest.mark.parametrize("threads", [0, 1])
    def test_outputs_come_by_name_in_the_order_of_the_graph(
        self, optimize: bool, threads: int
    ) -> None:
        runner = Runner(load(proto_of(TEXT, WEIGHTS)), optimize=optimize, threads=threads)
        assert list(runner.output_names) == ["b", "a"]
        assert results(runner) == EXPECTED
        assert list(runner(FED)) == ["b", "a"]

    def test_the_model_is_not_changed(self) -> None:
        model = load(proto_of(TEXT, WEIGHTS))
        before = ir.to_proto(model)
        results(Runner(model))
        assert ir.to_proto(model) == before

    def test_optimisations_are_on_or_off(self, tmp_path: Path) -> None:
        # Relu behind Relu: the optimiser makes one of two, and folds what is constant
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y)
        <float[2] w = {1, 2}> { c = Add (w, w) d = Add (c, c) y = Add (x, d) }"""
        counts = {}
        for optimize in (False, True):
            path = tmp_path / f"{optimize}.onnx"
            Runner(load(onnx.parser.parse_model(text)), optimize=optimize, dump=path)
            counts[optimize] = len(onnx.load(path).graph.node)
        assert counts == {False: 3, True: 1}

    def test_weights_beside_the_file_are_found(self, tmp_path: Path) -> None:
        proto = proto_of(TEXT, WEIGHTS)
        convert_model_to_external_data(proto, location="w.bin", size_threshold=0)
        onnx.save(proto, tmp_path / "m.onnx")
        model = load(tmp_path / "m.onnx")
        assert results(Runner(model)) == EXPECTED
        assert isinstance(model.graph.initializers["w"].const_value, ir.ExternalTensor)

    def test_weights_beside_the_file_that_a_body_of_an_if_uses(self, tmp_path: Path) -> None:
        runner = Runner(load(external_in_a_body(tmp_path)))
        fed = {"x": np.array([10, 20], np.float32), "c": np.array(True)}
        assert runner(fed)["y"].tolist() == [11, 22]

    def test_models_too_large_for_a_protobuf_go_through_a_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runtime, "_IN_MEMORY_BYTES", 23)  # the weights take 24
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        model = load(proto_of(TEXT, WEIGHTS))
        assert results(Runner(model)) == EXPECTED
        assert list(tmp_path.iterdir()) == []
        assert isinstance(model.graph.initializers["w"].const_value, ir.TensorProtocol)
        assert not isinstance(model.graph.initializers["w"].const_value, ir.ExternalTensor)

    def test_a_lazy_weight_is_read_when_the_session_is_made(self) -> None:
        model = load(proto_of(TEXT, WEIGHTS))
        model.graph.initializers["w"].const_value = ir.LazyTensor(
            lambda: ir.Tensor(WEIGHTS["w"]),
            dtype=ir.DataType.FLOAT,
            shape=ir.Shape([2, 3]),
            name="w",
        )
        assert results(Runner(model)) == EXPECTED


class TestErrors:
    """What the runtime says, in one line."""

    def test_a_model_that_it_cannot_load(self) -> None:
        text = TEXT.replace("Relu", "my.Relu").replace('"": 17', '"": 17, "my": 1')
        with pytest.raises(ModelError, match=r"^ONNX Runtime cannot load the model: ") as caught:
            Runner(load(proto_of(text, WEIGHTS)))
        assert not isinstance(caught.value, RunError)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 450

    @pytest.mark.parametrize(
        "fed",
        [
            {"x": FED["x"]},
            {**FED, "other": FED["x"]},
            {**FED, "x": np.ones((1, 5), np.float32)},
            {**FED, "x": FED["x"].astype(np.float64)},
            {**FED, "z": np.ones((2, 3), np.float32), "x": np.ones((3, 2), np.float32)},
        ],
    )
    def test_inputs_that_it_cannot_run(self, fed: Arrays) -> None:
        runner = Runner(load(proto_of(TEXT, WEIGHTS)))
        with pytest.raises(RunError, match=r"^ONNX Runtime cannot run the model: ") as caught:
            runner(fed)
        assert "\n" not in str(caught.value)


class TestWeightBytes:
    """What the weights take, without reading them."""

    def test_all_are_counted(self) -> None:
        weights = {**WEIGHTS, "n": np.zeros(3, np.int64), "half": np.zeros(5, np.float16)}
        assert weight_bytes(load(proto_of(TEXT, weights))) == 6 * 4 + 3 * 8 + 5 * 2

    def test_none_is_read(self) -> None:
        def read() -> ir.TensorProtocol:
            raise AssertionError("a weight was read")

        model = load(proto_of(TEXT, WEIGHTS))
        model.graph.initializers["w"].const_value = ir.LazyTensor(
            read, dtype=ir.DataType.FLOAT16, shape=ir.Shape([1000, 1000]), name="w"
        )
        assert weight_bytes(model) == 2_000_000

    def test_a_model_without_weights_has_none(self) -> None:
        text = (
            '<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) {y = Neg (x)}'
        )
        assert weight_bytes(load(proto_of(text))) == 0


def test_the_version_is_that_of_the_runtime() -> None:
    assert ort.__version__ == RUNTIME_VERSION
