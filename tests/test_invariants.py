"""P1 to P9: what must hold for every graph and every plan."""

import copy
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import numpy_helper
from oracle import (
    Arrays,
    assert_close,
    assert_equal_to_masked,
    assert_identical,
    masked_by_hand,
    run,
)
from strategies import Example, networks

import onnxtrim
from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.channels.relations import Ids
from onnxtrim.config import CriterionName
from onnxtrim.graph import load, normalize, save
from onnxtrim.graph.proto import check
from onnxtrim.graph.shapes import concrete_shapes
from onnxtrim.selection import CostModel, PrunePlan, make_plan, removed_units
from onnxtrim.surgery import cut, masked, verify


def drawn_units(data: st.DataObject, channel_map: ChannelMap) -> Ids:
    """Returns units to remove: some of every group that can be cut, never all of one."""
    parts = [np.zeros(0, dtype=np.int64)]
    for group in channel_map.groups:
        flags = data.draw(st.lists(st.booleans(), min_size=group.width, max_size=group.width))
        flags[data.draw(st.integers(0, group.width - 1))] = False
        parts.append(group.units[np.array(flags, dtype=np.bool_)])
    return np.sort(np.concatenate(parts))


def planned(model: ir.Model, channel_map: ChannelMap, removed: Ids) -> PrunePlan:
    return make_plan(channel_map, model.graph.initializers, removed, "")


@given(networks(), st.data())
def test_p1_the_cut_model_equals_the_masked_original(example: Example, data: st.DataObject) -> None:
    model = normalize(load(example.model))
    channel_map = analyze(model)
    removed = drawn_units(data, channel_map)
    thinner = cut(model, channel_map, planned(model, channel_map, removed))
    assert_equal_to_masked(model, channel_map, removed, thinner, example.inputs)
    proof = verify(model, thinner, channel_map, removed, example.inputs, 2)
    assert proof.max_rel_error <= 1e-4
    by_hand = run(masked_by_hand(model, channel_map, removed), example.inputs)
    assert_close(run(masked(model, channel_map, removed), example.inputs), by_hand, rtol=1e-6)


@given(networks(), st.booleans())
def test_p2_an_empty_plan_changes_no_bit(example: Example, optimize: bool) -> None:
    model = normalize(load(example.model))
    thinner = cut(model, analyze(model), PrunePlan(""))
    expected = run(example.model, example.inputs, optimize=optimize)
    assert_identical(run(thinner, example.inputs, optimize=optimize), expected)


@given(networks(), st.data())
def test_p3_two_plans_in_turn_equal_their_union(example: Example, data: st.DataObject) -> None:
    model = normalize(load(example.model))
    channel_map = analyze(model)
    first, union = drawn_units(data, channel_map), drawn_units(data, channel_map)
    first = np.intersect1d(first, union)
    once = planned(model, channel_map, first)
    at_once = cut(model, channel_map, planned(model, channel_map, union))
    between = cut(model, channel_map, once)
    assume(same_units(channel_map, first, analyze(between)))
    rest = {
        name: {
            axis: tuple(
                np.searchsorted(once.initializers.get(name, {}).get(axis, range(10**6)), kept)
            )
            for axis, kept in axes.items()
            if len(kept) < len(once.initializers.get(name, {}).get(axis, range(10**6)))
        }
        for name, axes in planned(model, channel_map, union).initializers.items()
    }
    plan = PrunePlan("", {name: axes for name, axes in rest.items() if axes})
    in_turn = cut(between, analyze(between), plan)
    for name, value in at_once.graph.initializers.items():
        other = in_turn.graph.initializers[name].const_value
        assert value.const_value is not None
        assert other is not None
        assert np.array_equal(value.const_value.numpy(), other.numpy()), name
    assert_identical(run(in_turn, example.inputs), run(at_once, example.inputs))


def same_units(channel_map: ChannelMap, removed: Ids, again: ChannelMap) -> bool:
    """Returns whether the units of a cut model are those of the model before, without `removed`.

    They are not where a cut makes an operator another: a grouped convolution left with one input
    channel a group is depthwise from then on, and a single head is no axis to cut whole heads from.
    """
    stays = np.isin(np.arange(channel_map.unit_count), removed, invert=True)
    before = {key: units[stays[units]] for key, units in channel_map.axes.items()}
    keys = sorted(set(before) & set(again.axes))
    if any(len(before[key]) != len(again.axes[key]) for key in keys):
        return False
    free = [{unit for g in m.groups for unit in g.units.tolist()} for m in (channel_map, again)]
    pairs = {
        (a, b)
        for key in keys
        for a, b in zip(before[key].tolist(), again.axes[key].tolist(), strict=True)
    }
    return (
        len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
        and {b for a, b in pairs if a in free[0]} <= free[1]
    )


@given(networks(), st.data())
def test_p4_the_interface_stays_and_no_shape_is_stale(
    example: Example, data: st.DataObject
) -> None:
    model = normalize(load(example.model))
    channel_map = analyze(model)
    plan = planned(model, channel_map, drawn_units(data, channel_map))
    thinner = cut(model, channel_map, plan)
    check(thinner)
    result = ir.to_proto(thinner)
    onnx.checker.check_model(result, full_check=True)
    assert list(result.graph.input) == list(example.model.graph.input)
    assert list(result.graph.output) == list(example.model.graph.output)
    bare = copy.deepcopy(result)
    del bare.graph.value_info[:]
    without_group_normalization(bare)
    fresh = onnx.shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True)
    stored = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in result.graph.value_info
    }
    for value in fresh.graph.value_info:
        assert stored[value.name] == [d.dim_value for d in value.type.tensor_type.shape.dim]


def without_group_normalization(model: onnx.ModelProto) -> None:
    """Puts Identity in its place: shape inference ends at it, though it changes no shape."""
    for node in model.graph.node:
        if node.op_type == "GroupNormalization":
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]


@given(networks(), st.data())
def test_p5_predicted_costs_equal_those_counted(example: Example, data: st.DataObject) -> None:
    model = normalize(load(example.model))
    channel_map = analyze(model)
    removed = drawn_units(data, channel_map)
    thinner = cut(model, channel_map, planned(model, channel_map, removed))
    batch = example.model.graph.input[0].type.tensor_type.shape.dim[0]
    single = {"x": example.inputs["x"][: 1 if batch.dim_param else 2]}
    costs = CostModel(model, concrete_shapes(model, single))
    predicted = costs.after(channel_map.without(removed))
    macs, params = counted_by_hand(ir.to_proto(thinner), single)
    assert predicted.macs == macs
    assert predicted.params == params
    assert predicted.weight_bytes == sum(
        v.const_value.nbytes
        for v in thinner.graph.initializers.values()
        if v.const_value is not None and v.dtype in (ir.DataType.FLOAT, ir.DataType.INT8)
    )


def counted_by_hand(model: onnx.ModelProto, inputs: Arrays) -> tuple[int, int]:
    """Returns MACs and parameters of a model, from the sizes that its tensors have in a run."""
    del model.graph.output[:]
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for node in model.graph.node for name in node.output if name
    )
    shapes = {t.name: list(t.dims) for t in model.graph.initializer}
    shapes |= {name: list(array.shape) for name, array in (inputs | run(model, inputs)).items()}
    weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    macs = 0
    for node in model.graph.node:
        sizes = [shapes.get(name, []) for name in node.input]
        if node.op_type == "Conv":
            macs += int(np.prod(shapes[node.output[0]]) * np.prod(sizes[1][1:]))
        elif node.op_type == "ConvTranspose":
            macs += int(np.prod(sizes[0]) * np.prod(sizes[1][1:]))
        elif node.op_type in ("Gemm", "MatMul"):
            macs += int(np.prod(shapes[node.output[0]])) * sizes[0][-1]
        elif node.op_type == "Einsum":
            macs += int(np.prod(shapes[node.output[0]])) * sizes[0][1]
        elif node.op_type in ("LSTM", "GRU", "RNN"):
            steps = sizes[0][0] * sizes[0][1]
            macs += int(steps * (np.prod(sizes[1]) + np.prod(sizes[2])))
    kinds = (np.float32, np.int8)
    return macs, sum(w.size for w in weights.values() if w.dtype in kinds)


@given(networks())
def test_p6_normalising_is_neutral_and_idempotent(example: Example) -> None:
    once = normalize(load(example.model))
    assert ir.to_proto(normalize(once)) == ir.to_proto(once)
    assert_identical(run(once, example.inputs), run(example.model, example.inputs))


@given(networks(), st.data())
def test_p7_kept_weights_are_sub_arrays_of_the_originals(
    example: Example, data: st.DataObject
) -> None:
    model = normalize(load(example.model))
    channel_map = analyze(model)
    plan = planned(model, channel_map, drawn_units(data, channel_map))
    thinner = cut(model, channel_map, plan)
    for name, value in thinner.graph.initializers.items():
        if name not in model.graph.initializers:  # a shape that was computed, corrected
            assert value.dtype in (ir.DataType.INT64, ir.DataType.BOOL)
            continue
        original = model.graph.initializers[name].const_value
        assert original is not None
        assert value.const_value is not None
        if original.dtype == ir.DataType.INT64:
            continue
        expected = original.numpy()
        for axis, kept in plan.initializers.get(name, {}).items():
            expected = expected.take(kept, axis=axis)
        assert value.const_value.numpy().tobytes() == expected.tobytes()


@given(networks(), st.data(), st.sampled_from(["l1", "l2", "random"]))
def test_p8_the_plan_does_not_depend_on_the_order_of_nodes(
    example: Example, data: st.DataObject, criterion: CriterionName
) -> None:
    model = normalize(load(example.model))
    if not analyze(model).groups:
        return
    other = copy.deepcopy(example.model)
    order = shuffled(list(other.graph.node), data)
    del other.graph.node[:]
    other.graph.node.extend(order)
    outcomes = [outcome(m, criterion) for m in (example.model, other)]
    assert outcomes[0] == outcomes[1]


def outcome(model: onnx.ModelProto, criterion: CriterionName) -> object:
    """Returns what is cut, or the sentence that says why nothing can be."""
    try:
        plan = onnxtrim.prune(model, ratio=0.3, criterion=criterion, align="none").plan
    except onnxtrim.BudgetError as error:
        return str(error)
    return plan.initializers, plan.groups


def shuffled(nodes: list[onnx.NodeProto], data: st.DataObject) -> list[onnx.NodeProto]:
    """Returns the nodes in another order that is topological too."""
    made = {output for node in nodes for output in node.output}
    ready: set[str] = set()
    order = []
    while nodes:
        able = [n for n in nodes if all(i not in made or i in ready for i in n.input)]
        node = data.draw(st.sampled_from(able))
        nodes.remove(node)
        ready.update(node.output)
        order.append(node)
    return order


@given(networks())
def test_p9_inputs_are_never_modified(example: Example) -> None:
    model = load(example.model)
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    source = example.model.SerializeToString(deterministic=True)
    if analyze(normalize(model)).groups:
        onnxtrim.prune(model, {"x": example.inputs["x"]}, ratio=0.5, scope="layer")
        onnxtrim.prune(example.model, ratio=0.5, scope="layer", criterion="l1")
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before
    assert example.model.SerializeToString(deterministic=True) == source


def test_p9_an_output_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) {y = Add(x, w)}'
    model = ir.from_onnx_text(text.replace("{y", "<float[2] w = {1, 2}> {y"))

    def fail() -> ir.TensorProtocol:
        raise OSError("the disk is full")

    weight = model.graph.initializers["w"]
    weight.const_value = ir.LazyTensor(
        fail, dtype=ir.DataType.FLOAT, shape=ir.Shape((2,)), name="w"
    )
    target = tmp_path / "out.onnx"
    target.write_bytes(b"what was there before")
    with pytest.raises(onnxtrim.OutputError, match=r"out\.onnx: cannot be written"):
        save(model, target)
    assert target.read_bytes() == b"what was there before"
    assert list(tmp_path.iterdir()) == [target]


@given(networks(), st.data())
def test_a_plan_survives_json_and_names_the_same_units(
    example: Example, data: st.DataObject
) -> None:
    model = normalize(load(example.model))
    channel_map = analyze(model)
    removed = drawn_units(data, channel_map)
    plan = planned(model, channel_map, removed)
    again = PrunePlan.from_json(plan.to_json())
    assert again == plan
    listed = removed_units(channel_map, again)
    on_weights = {
        int(u)
        for n in model.graph.initializers
        for a in range(4)
        for u in channel_map.axes.get((n, a), ())
    }
    assert set(listed.tolist()) == set(removed.tolist()) & on_weights


def test_the_oracle_notices_a_difference() -> None:
    with pytest.raises(AssertionError, match="off by"):
        assert_close({"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 2.001])})
