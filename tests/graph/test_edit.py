"""Small edits: new constants under free names, and operands of a node's own."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from oracle import proto_of, run
from test_load import external_in_a_body

from onnxtrim.graph import load
from onnxtrim.graph.constants import constant_ints
from onnxtrim.graph.edit import (
    appended,
    in_memory,
    initializers,
    new_initializer,
    override_elements,
    replace_constant,
    set_constant,
    shape_of,
    weight_bytes,
    with_outputs,
)


def model() -> ir.Model:
    return load(
        proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
            g (float[6] x) => (float[2,3] y, float[2,3] z) {
                [a] y = Reshape (x, shape)
                [b] z = Reshape (x, shape)
                [c] t = Reshape (x, own)
            }""",
            {"shape": np.array([2, 3]), "own": np.array([3, 2])},
        )
    )


def computed() -> ir.Model:
    """Returns two nodes with one target that is fed."""
    return load(
        proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
            g (float[6] x, int64[2] t) => (float[a,b] y, float[c,d] z) {
                [a] y = Reshape (x, t)
                [b] z = Reshape (x, t)
            }"""
        )
    )


def operand(m: ir.Model, node: str) -> ir.Value:
    value = m.graph.node(node).inputs[1]
    assert value is not None
    return value


class TestAppended:
    """It stands at the end, has its attributes, and a name of its own."""

    def test_it_computes_what_it_says(self) -> None:
        m = model()
        y, z = m.graph.outputs
        total = appended(
            m.graph, "ReduceSum", appended(m.graph, "Add", y, z, prefix="p"), prefix="p", keepdims=0
        )
        total.type = ir.TensorType(ir.DataType.FLOAT)
        m.graph.outputs.append(total)
        assert run(m, {"x": np.arange(6, dtype=np.float32)})["p.reducesum"] == 30

    def test_a_list_is_an_attribute_of_several_and_no_name_is_there_twice(self) -> None:
        m = model()
        y = m.graph.outputs[0]
        made = [appended(m.graph, "Transpose", y, prefix="p", perm=[1, 0]) for _ in range(2)]
        assert [value.name for value in made] == ["p.transpose", "p.transpose_2"]
        m.graph.outputs.append(made[1])
        made[1].type = y.type
        found = run(m, {"x": np.arange(6, dtype=np.float32)})["p.transpose_2"]
        np.testing.assert_array_equal(found, [[0, 3], [1, 4], [2, 5]])


class TestNewInitializer:
    """It is registered, typed, and named like nothing else."""

    def test_a_free_name_is_taken(self) -> None:
        m = model()
        value = new_initializer(m.graph, "new", np.array([[1, 2]], dtype=np.float16))
        assert m.graph.initializers["new"] is value
        assert (value.name, value.dtype) == ("new", ir.DataType.FLOAT16)
        assert value.shape == [1, 2]
        assert value.const_value is not None
        assert value.const_value.numpy().tolist() == [[1, 2]]

    @pytest.mark.parametrize("name", ["x", "shape", "y", "t"])
    def test_a_name_of_an_input_initializer_or_output_is_avoided(self, name: str) -> None:
        m = model()
        found = [new_initializer(m.graph, name, np.zeros(1)).name for _ in range(3)]
        assert found == [f"{name}_2", f"{name}_3", f"{name}_4"]

    def test_a_view_is_stored_as_it_looks(self) -> None:
        value = new_initializer(model().graph, "new", np.arange(6).reshape(2, 3).T)
        assert value.const_value is not None
        assert value.const_value.tobytes() == np.array([0, 3, 1, 4, 2, 5]).tobytes()


class TestAllGraphs:
    """Weights of the bodies of If, Loop and Scan count as those of the main graph."""

    def test_every_initializer_is_listed(self, tmp_path: Path) -> None:
        found = load(external_in_a_body(tmp_path))
        assert sorted(str(v.name) for v in initializers(found)) == ["add.w", "sub.w"]
        assert [v.name for v in initializers(model())] == ["shape", "own"]

    def test_their_bytes_are_counted(self, tmp_path: Path) -> None:
        # two branches with two float32 each; two targets with two int64 each
        assert weight_bytes(load(external_in_a_body(tmp_path))) == 2 * 2 * 4
        assert weight_bytes(model()) == 2 * 2 * 8

    def test_in_memory_they_need_no_file(self, tmp_path: Path) -> None:
        source = load(external_in_a_body(tmp_path))
        found = in_memory(source)
        (tmp_path / "w.bin").unlink()
        tensors = [value.const_value for value in initializers(found)]
        assert [t.numpy().tolist() for t in tensors if t is not None] == [[1, 2], [1, 2]]
        assert all(isinstance(v.const_value, ir.ExternalTensor) for v in initializers(source))


class TestReplaceConstant:
    """A node gets a constant of its own."""

    def test_one_that_nobody_shares_is_replaced_in_place(self) -> None:
        m = model()
        replace_constant(m.graph.node("c"), 1, np.array([1, 6]))
        assert operand(m, "c").name == "own"
        assert constant_ints(operand(m, "c")) == (1, 6)
        assert set(m.graph.initializers) == {"shape", "own"}

    def test_a_scalar_stays_a_scalar(self) -> None:
        m = model()
        replace_constant(m.graph.node("c"), 1, np.array(5))
        for value in (operand(m, "c"), new_initializer(m.graph, "k", np.array(7))):
            assert value.const_value is not None
            assert value.const_value.numpy().shape == ()

    def test_one_that_is_shared_stays_for_the_others(self) -> None:
        m = model()
        replace_constant(m.graph.node("a"), 1, np.array([1, 6]))
        assert (operand(m, "a").name, operand(m, "b").name) == ("shape_cut", "shape")
        assert (constant_ints(operand(m, "a")), constant_ints(operand(m, "b"))) == ((1, 6), (2, 3))

    def test_the_last_of_those_who_shared_it_takes_it_over(self) -> None:
        m = model()
        replace_constant(m.graph.node("a"), 1, np.array([1, 6]))
        replace_constant(m.graph.node("b"), 1, np.array([6, 1]))
        assert operand(m, "b").name == "shape"
        assert (constant_ints(operand(m, "a")), constant_ints(operand(m, "b"))) == ((1, 6), (6, 1))

    @pytest.mark.parametrize("kind", [np.int32, np.int64, np.float16])
    @pytest.mark.parametrize("others", [0, 1])
    def test_it_keeps_the_type(self, kind: type, others: int) -> None:
        m = load(
            proto_of(
                """<ir_version: 8, opset_import: ["": 17]>
                g (float[2] x) => (float[2] y) {
                    [a] c = Cast <to = 1> (k)
                    [b] d = Cast <to = 1> (k2)
                    [e] y = Add (c, d)
                }""",
                {"k": np.array([1, 2], dtype=kind), "k2": np.array([1, 2], dtype=kind)},
            )
        )
        if others:
            m.graph.node("b").replace_input_with(0, m.graph.initializers["k"])
        replace_constant(m.graph.node("a"), 0, np.array([3, 4, 5]))
        value = m.graph.node("a").inputs[0]
        assert value is not None
        assert value.const_value is not None
        assert value.name == ("k_cut" if others else "k")
        assert (value.dtype, value.const_value.dtype) == (
            ir.DataType.from_numpy(np.dtype(kind)),
        ) * 2
        assert value.const_value.numpy().dtype == kind
        assert value.const_value.numpy().tolist() == [3, 4, 5]

    @pytest.mark.parametrize("node", ["a", "c"])
    @pytest.mark.parametrize("array", [np.array([6]), np.array([1, 2, 3]), np.array(6)])
    def test_it_has_the_shape_of_the_new_one(self, node: str, array: npt.NDArray[np.int64]) -> None:
        m = model()
        replace_constant(m.graph.node(node), 1, array)
        value = operand(m, node)
        assert value.const_value is not None
        assert value.shape == list(array.shape)
        assert value.const_value.shape == list(array.shape)

    def test_a_view_is_written_as_it_looks(self) -> None:
        m = model()
        replace_constant(m.graph.node("c"), 1, np.array([3, 2])[::-1])
        assert constant_ints(operand(m, "c")) == (2, 3)

    def test_what_is_computed_is_replaced_by_a_constant(self) -> None:
        m = model()
        replace_constant(m.graph.node("c"), 0, np.zeros(6, np.float32))
        value = m.graph.node("c").inputs[0]
        assert value is not None
        assert (value.name, value.is_initializer()) == ("x_cut", True)

    def test_a_node_outside_a_graph_or_an_operand_left_out_is_refused(self) -> None:
        value = ir.Value(name="v")
        with pytest.raises(ValueError, match="lost has no operand 0 in a graph"):
            replace_constant(ir.Node("", "Relu", [value], name="lost"), 0, np.zeros(1))
        m = model()
        clip = ir.Node("", "Clip", [m.graph.inputs[0], None], name="clip")
        m.graph.append(clip)
        with pytest.raises(ValueError, match="clip has no operand 1 in a graph"):
            replace_constant(clip, 1, np.zeros(1))


class TestOverrideElements:
    """Some places of a computed vector get figures of a node's own."""

    @pytest.mark.parametrize(
        ("elements", "known", "figures", "expected"),
        [
            ({1: 3}, [False, True], [0, 3], (2, 3)),
            ({0: 1, 1: 6}, [True, True], [1, 6], (1, 6)),
            ({}, [False, False], [0, 0], (2, 3)),
        ],
    )
    def test_the_others_are_what_was_computed(
        self,
        elements: dict[int, int],
        known: list[bool],
        figures: list[int],
        expected: tuple[int, int],
    ) -> None:
        m = computed()
        override_elements(m.graph.node("a"), 1, elements, 2)
        arrays = m.graph.initializers
        names = ("t_known", "t_cut")
        found = [tensor.numpy() for n in names if (tensor := arrays[n].const_value) is not None]
        assert [array.tolist() for array in found] == [known, figures]
        assert [array.dtype for array in found] == [np.bool_, np.int64]
        result = run(m, {"x": np.zeros(6, np.float32), "t": np.array([2, 3])})
        assert (result["y"].shape, result["z"].shape) == (expected, (2, 3))

    def test_the_vector_has_a_name_a_type_and_a_length(self) -> None:
        m = computed()
        override_elements(m.graph.node("a"), 1, {0: 2}, 2)
        value = operand(m, "a")
        assert (value.name, value.dtype) == ("t_cut.chosen", ir.DataType.INT64)
        assert value.shape == [2]
        assert operand(m, "b").name == "t"

    def test_it_is_chosen_before_it_is_read(self) -> None:
        m = computed()
        override_elements(m.graph.node("b"), 1, {0: 2}, 2)
        assert [node.op_type for node in m.graph] == ["Reshape", "Where", "Reshape"]

    def test_before_there_was_a_where(self) -> None:
        proto = proto_of(
            """<ir_version: 4, opset_import: ["": 8]>
            g (float[6] x, int64[2] t) => (float[a,b] y, float[c,d] z) {
                [a] y = Reshape (x, t)
                [b] z = Reshape (x, t)
            }"""
        )
        m = load(proto)
        override_elements(m.graph.node("a"), 1, {0: 3}, 2)
        assert [node.op_type for node in m.graph] == ["Mul", "Add", "Reshape", "Reshape"]
        result = run(m, {"x": np.zeros(6, np.float32), "t": np.array([6, -1])})
        assert (result["y"].shape, result["z"].shape) == ((3, 2), (6, 1))

    def test_names_are_free_for_a_second_one(self) -> None:
        m = computed()
        override_elements(m.graph.node("a"), 1, {0: 1, 1: 6}, 2)
        override_elements(m.graph.node("b"), 1, {0: 6, 1: 1}, 2)
        assert operand(m, "b").name == "t_cut_2.chosen"
        result = run(m, {"x": np.zeros(6, np.float32), "t": np.array([2, 3])})
        assert (result["y"].shape, result["z"].shape) == ((1, 6), (6, 1))

    def test_a_node_outside_a_graph_or_an_operand_left_out_is_refused(self) -> None:
        value = ir.Value(name="v")
        with pytest.raises(ValueError, match="lost has no operand 0 in a graph"):
            override_elements(ir.Node("", "Relu", [value], name="lost"), 0, {}, 1)
        m = model()
        clip = ir.Node("", "Clip", [m.graph.inputs[0], None], name="clip")
        m.graph.append(clip)
        with pytest.raises(ValueError, match="clip has no operand 1 in a graph"):
            override_elements(clip, 1, {}, 1)


class TestSetConstant:
    """A node gets a constant operand, whether it had one there or not."""

    def test_one_that_is_there_is_replaced(self) -> None:
        m = model()
        set_constant(m.graph.node("c"), 1, "new", np.array([1, 6]))
        assert (operand(m, "c").name, constant_ints(operand(m, "c"))) == ("own", (1, 6))
        assert set(m.graph.initializers) == {"shape", "own"}

    def test_one_that_is_shared_stays_for_the_others(self) -> None:
        m = model()
        set_constant(m.graph.node("a"), 1, "new", np.array([1, 6]))
        assert (operand(m, "a").name, operand(m, "b").name) == ("shape_cut", "shape")

    @pytest.mark.parametrize("before", [[], [None], [None, None, None]])
    @pytest.mark.parametrize("index", [1, 2])
    def test_one_that_is_missing_is_added(self, before: list[None], index: int) -> None:
        m = model()
        node = ir.Node("", "Clip", [m.graph.inputs[0], *before], name="clip")
        m.graph.append(node)
        set_constant(node, index, "new", np.array(6.0, dtype=np.float32))
        value = node.inputs[index]
        assert value is not None
        assert m.graph.initializers["new"] is value
        assert (value.name, value.dtype) == ("new", ir.DataType.FLOAT)
        names = [None if v is None else v.name for v in node.inputs]
        assert len(names) == max(1 + len(before), index + 1)
        assert names[0] == "x"
        assert [name for i, name in enumerate(names) if i not in (0, index)] == [None] * (
            len(names) - 2
        )

    def test_its_name_is_made_free(self) -> None:
        m = model()
        node = ir.Node("", "Clip", [m.graph.inputs[0]], name="clip")
        m.graph.append(node)
        set_constant(node, 1, "shape", np.array(6.0, dtype=np.float32))
        assert str(node.inputs[1].name if node.inputs[1] else "") == "shape_2"

    def test_a_node_outside_a_graph_stays_as_it_is(self) -> None:
        node = ir.Node("", "Clip", [ir.Value(name="v")], name="lost")
        set_constant(node, 1, "new", np.zeros(()))
        assert len(node.inputs) == 1


def test_the_shape_of_a_tensor_is_known() -> None:
    assert shape_of(ir.Tensor(np.zeros((2, 0, 3)))) == [2, 0, 3]
    assert shape_of(ir.Tensor(np.zeros(()))) == []


def test_tensors_become_outputs_once_each_and_the_model_is_not_changed() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y)
    { a = Neg (x) b = Exp (a) y = Relu (b) }"""
    before = load(proto_of(text))
    after = with_outputs(before, ["b", "y", "a"])
    assert [value.name for value in after.graph.outputs] == ["y", "b", "a"]
    assert [value.name for value in before.graph.outputs] == ["y"]
    x = np.array([1.0, 2.0], np.float32)
    np.testing.assert_array_equal(run(after, {"x": x})["a"], -x)
