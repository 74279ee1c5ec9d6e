"""The cut: what is sliced, what is rewritten, and what is left alone."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from oracle import Arrays, assert_equal_to_masked, assert_identical, proto_of, run

from onnxtrim.channels import analyze
from onnxtrim.channels.relations import Ids
from onnxtrim.errors import ShapeError
from onnxtrim.graph import load, normalize, save
from onnxtrim.selection import PrunePlan, make_plan
from onnxtrim.surgery import changes, cut

TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 5, 5] x) => (float[N, 3] y) {
  [first] a = Conv(x, w1, b1)
  [deep] d = Conv <group=4> (a, wd)
  [relu] r = Relu(d)
  [flat] f = Reshape(r, target)
  [last] y = Gemm(f, w2, b2)
}"""
RNG = np.random.default_rng(4)
WEIGHTS: Arrays = {
    "w1": RNG.standard_normal((4, 2, 2, 2)).astype(np.float32),
    "b1": RNG.standard_normal(4).astype(np.float32),
    "wd": RNG.standard_normal((8, 1, 2, 2)).astype(np.float32),
    "target": np.array([-1, 72]),
    "w2": RNG.standard_normal((72, 3)).astype(np.float32),
    "b2": RNG.standard_normal(3).astype(np.float32),
}
X: Arrays = {"x": RNG.standard_normal((3, 2, 5, 5)).astype(np.float32)}
GONE = [1, 2]  # of the four channels of `first`; 2 to 5 of the eight behind `deep`


def model_of() -> ir.Model:
    return normalize(load(proto_of(TEXT, WEIGHTS)))


def plan_of(model: ir.Model, places: list[int]) -> tuple[Ids, PrunePlan]:
    channel_map = analyze(model)
    (group,) = channel_map.groups
    removed = np.sort(group.units[places])
    return removed, make_plan(channel_map, model.graph.initializers, removed, "")


def array(model: ir.Model, name: str) -> np.ndarray:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return np.asarray(tensor.numpy())


def test_weights_are_what_numpy_makes_of_them() -> None:
    model = model_of()
    _, plan = plan_of(model, GONE)
    thinner = cut(model, analyze(model), plan)
    rows = [r for r in range(72) if r // 9 not in (2, 3, 4, 5)]
    expected = {
        "w1": WEIGHTS["w1"][[0, 3]],
        "b1": WEIGHTS["b1"][[0, 3]],
        "wd": WEIGHTS["wd"][[0, 1, 6, 7]],
        "w2": WEIGHTS["w2"][rows],
        "b2": WEIGHTS["b2"],
    }
    for name, want in expected.items():
        got = array(thinner, name)
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        assert got.tobytes() == want.tobytes()
        assert tuple(thinner.graph.initializers[name].shape or ()) == want.shape


def test_attributes_and_shape_operands_follow() -> None:
    model = model_of()
    _, plan = plan_of(model, GONE)
    thinner = cut(model, analyze(model), plan)
    assert changes(model, thinner) == {"deep": {"group": 2}, "flat": {"operand 1": [-1, 36]}}
    assert changes(model, model) == {}
    assert array(model, "target").tolist() == [-1, 72]


BRANCHED = """<ir_version: 8, opset_import: ["": 17]>
g (float[N, 2, 5, 5] x, bool c) => (float[N, 3] y, float[N, 2, 5, 5] z) {
  [choice] z = If (c) <
    then_branch = then () => (float[N, 2, 5, 5] p) { p = Neg(x) },
    else_branch = other () => (float[N, 2, 5, 5] q) { [half] q = Mul(x, point) }>
  [first] a = Conv(x, w1, b1)
  [deep] d = Conv <group=4> (a, wd)
  [relu] r = Relu(d)
  [flat] f = Reshape(r, target)
  [last] y = Gemm(f, w2, b2)
}"""


def test_graphs_inside_the_graph_are_no_change() -> None:
    """An If beside what is cut: its bodies are copied, which is nothing a plan could say."""
    weights: Arrays = {**WEIGHTS, "point": np.array(0.5, np.float32)}
    model = normalize(load(proto_of(BRANCHED, weights)))
    assert [n.op_type for n in model.graph].count("If") == 1
    _, plan = plan_of(model, GONE)
    thinner = cut(model, analyze(model), plan)
    found = changes(model, thinner)
    assert found == {"deep": {"group": 2}, "flat": {"operand 1": [-1, 36]}}
    assert changes(model, model.clone()) == {}
    whole = dataclasses.replace(plan, attributes=found)
    assert json.loads(whole.to_json())["attributes"] == found
    assert PrunePlan.from_json(whole.to_json()) == whole


def test_the_result_computes_what_the_masked_original_does() -> None:
    model = model_of()
    removed, plan = plan_of(model, GONE)
    thinner = cut(model, analyze(model), plan)
    onnx.checker.check_model(ir.to_proto(thinner), full_check=True)
    assert_equal_to_masked(model, analyze(model), removed, thinner, X)


def test_the_model_that_is_cut_stays_whole() -> None:
    model = model_of()
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    outputs = run(model, X)
    cut(model, analyze(model), plan_of(model, GONE)[1])
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before
    assert_identical(run(model, X), outputs)


def test_inferred_shapes_are_those_of_the_result() -> None:
    model = model_of()
    thinner = cut(model, analyze(model), plan_of(model, GONE)[1])
    sizes = {
        str(v.name): [d if isinstance(d, int) else None for d in v.shape or ()]
        for node in thinner.graph
        for v in node.outputs
    }
    assert sizes == {
        "a": [None, 2, 4, 4],
        "d": [None, 4, 3, 3],
        "r": [None, 4, 3, 3],
        "f": [None, 36],
        "y": [None, 3],
    }


def test_a_rule_that_leaves_a_contradiction_is_noticed() -> None:
    """Without rules nothing mends `group` and the target of the Reshape."""
    model = model_of()
    with pytest.raises(ShapeError):
        cut(model, analyze(model), plan_of(model, GONE)[1], rules=())


def test_weights_on_disk_are_read_when_they_are_written(tmp_path: Path) -> None:
    proto = proto_of(TEXT, WEIGHTS)
    path = tmp_path / "m.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="m.data", size_threshold=0)
    model = normalize(load(path))
    assert isinstance(model.graph.initializers["w2"].const_value, ir.ExternalTensor)
    thinner = cut(model, analyze(model), plan_of(model, GONE)[1])
    lazy = thinner.graph.initializers["w2"].const_value
    assert isinstance(lazy, ir.LazyTensor)
    assert tuple(lazy.shape.numpy()) == (36, 3)
    in_memory = model_of()
    expected = cut(in_memory, analyze(in_memory), plan_of(in_memory, GONE)[1])
    written = [save(m, tmp_path / f"{i}.onnx") for i, m in enumerate((thinner, expected))]
    assert_identical(run(onnx.load(written[0]), X), run(onnx.load(written[1]), X))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.onnx", "1.onnx", "m.data", "m.onnx"]


@pytest.mark.parametrize("looked_at", [False, True])
def test_the_file_is_let_go_once_a_weight_is_read(tmp_path: Path, looked_at: bool) -> None:
    onnx.save(
        proto_of(TEXT, WEIGHTS), tmp_path / "m.onnx",
        save_as_external_data=True, location="m.data", size_threshold=0,
    )  # fmt: skip
    model = normalize(load(tmp_path / "m.onnx"))
    source = model.graph.initializers["w2"].const_value
    assert isinstance(source, ir.ExternalTensor)
    view = source.numpy() if looked_at else None
    thinner = cut(model, analyze(model), plan_of(model, GONE)[1])
    thin = thinner.graph.initializers["w2"].const_value
    assert thin is not None
    assert thin.numpy().shape == (36, 3)
    assert source.raw is None or looked_at
    assert view is None or view.tolist() == WEIGHTS["w2"].tolist()  # the file stays under it
    assert source.numpy().tolist() == WEIGHTS["w2"].tolist()
