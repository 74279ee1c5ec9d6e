"""What is left behind of a cut that could not be proven."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from oracle import Arrays, assert_identical, proto_of, run

from onnxtrim.graph import load, normalize
from onnxtrim.selection import PlannedGroup, PrunePlan
from onnxtrim.surgery import FailedCut

PLAN = PrunePlan(
    "abc", {"w": {0: (0, 2)}}, {"deep": {"group": 2}}, (PlannedGroup("first", 3, (0, 2)),)
)


def model_of(name: str = "x") -> ir.Model:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2] NAME) => (float[N, 3] y) {
      [first] y = Gemm(NAME, w)
    }"""
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    return normalize(load(proto_of(text.replace("NAME", name), {"w": w})))


def test_what_is_written_loads_back(tmp_path: Path) -> None:
    model = model_of()
    x: Arrays = {"x": np.array([[1.5, -2.5]], np.float32)}
    folder = FailedCut(model, PLAN, x).save(tmp_path / "deep" / "failed")
    assert folder == tmp_path / "deep" / "failed"
    assert sorted(p.name for p in folder.iterdir()) == ["inputs.npz", "model.onnx", "plan.json"]
    again = onnx.load(folder / "model.onnx")
    assert_identical(run(again, x), run(model, x))
    assert PrunePlan.from_json((folder / "plan.json").read_text()) == PLAN
    with np.load(folder / "inputs.npz") as archive:
        assert_identical({name: archive[name] for name in archive.files}, x)


def test_a_second_failure_takes_the_place_of_the_first(tmp_path: Path) -> None:
    for figure in (1.0, 2.0):
        inputs = {"x": np.full((1, 2), figure, np.float32)}
        FailedCut(model_of(), PLAN, inputs).save(tmp_path / "failed")
    with np.load(tmp_path / "failed" / "inputs.npz") as archive:
        assert archive["x"].tolist() == [[2.0, 2.0]]
    assert len(list((tmp_path / "failed").iterdir())) == 3


@pytest.mark.parametrize("name", ["input", "file", "allow_pickle"])
def test_inputs_may_bear_any_name(tmp_path: Path, name: str) -> None:
    inputs: Arrays = {name: np.ones((1, 2), np.float32)}
    folder = FailedCut(model_of(name), PLAN, inputs).save(tmp_path)
    with np.load(folder / "inputs.npz") as archive:
        assert archive.files == [name]
        assert archive[name].tolist() == [[1.0, 1.0]]


def test_names_of_other_frameworks_survive(tmp_path: Path) -> None:
    model = model_of()
    model.graph.inputs[0].name = "serving/input_1:0"
    inputs: Arrays = {"serving/input_1:0": np.ones((1, 2), np.float32)}
    folder = FailedCut(model, PLAN, inputs).save(tmp_path)
    with np.load(folder / "inputs.npz") as archive:
        assert archive.files == ["serving/input_1:0"]
