"""Integer arithmetic on constants becomes constants; everything else stays."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from oracle import Arrays, assert_identical, proto_of, run

from onnxtrim.graph import infer_shapes, load, normalize
from onnxtrim.graph.fold import constant_array, fold_constants

CONSTANTS: Arrays = {
    "a": np.array([1, 2]),
    "b": np.array([10, 20]),
    "f": np.array([0.5, 1.5], np.float32),
    "edge": np.arange(4096),
    "large": np.arange(4097),
    "size": np.array([2100, 2]),
}


def folded(body: str, inputs: str = "int64[2] x", output: str = "int64[2] y") -> ir.Model:
    """Returns the model with its constants folded, after holding it to the same results."""
    words = body.replace(",", " ").replace("(", " ").replace(")", " ").split()
    used = {name: array for name, array in CONSTANTS.items() if name in words}
    proto = proto_of(
        f'<ir_version: 8, opset_import: ["": 17]> g ({inputs}) => ({output}) {{ {body} }}', used
    )
    source = infer_shapes(load(proto))
    before = ir.to_proto(source)
    model = fold_constants(source)
    assert ir.to_proto(source) == before
    fed: Arrays = {
        str(v.name): np.ones([int(str(d)) for d in v.shape or ()], v.dtype.numpy())
        for v in model.graph.inputs
        if v.dtype is not None
    }
    assert_identical(run(model, fed), run(proto, fed))
    return model


def operand(model: ir.Model, index: int = 1) -> ir.Value:
    """Returns an operand of the last node."""
    value = list(model.graph)[-1].inputs[index]
    assert value is not None
    return value


def numbers(model: ir.Model, index: int = 1) -> object:
    tensor = operand(model, index).const_value
    assert tensor is not None
    return tensor.numpy().tolist()


class TestFolded:
    """Integers and booleans that depend on constants alone."""

    def test_a_sum(self) -> None:
        assert numbers(folded("c = Add (a, b) y = Add (x, c)")) == [11, 22]

    def test_a_chain_by_way_of_floats(self) -> None:
        # (0.5, 1.5) * 2 + 0.5 = (1.5, 3.5), cut to (1, 3)
        model = folded("d = Add (f, f) e = Add (d, f) c = Cast <to = 7> (e) y = Add (x, c)")
        assert numbers(model) == [1, 4]  # 3 * 0.5 = 1.5 and 3 * 1.5 = 4.5

    def test_only_what_somebody_else_reads(self) -> None:
        model = folded("c = Add (a, b) d = Mul (c, a) y = Add (x, d)")
        assert set(model.graph.initializers) == {"a", "b", "d.folded"}
        assert numbers(model) == [11, 44]

    def test_each_result_that_is_read(self) -> None:
        model = folded("c = Add (a, b) d = Mul (c, a) e = Add (x, c) y = Add (e, d)")
        assert {"c.folded", "d.folded"} <= set(model.graph.initializers)

    @pytest.mark.parametrize(
        ("kind", "code"), [("int32", 6), ("int8", 3), ("uint8", 2), ("bool", 9)]
    )
    def test_other_integers(self, kind: str, code: int) -> None:
        op = "Or" if kind == "bool" else "Add"
        model = folded(
            f"c = Cast <to = {code}> (a) y = {op} (x, c)", f"{kind}[2] x", f"{kind}[2] y"
        )
        assert operand(model).name == "c.folded"

    def test_for_the_body_of_an_if(self) -> None:
        model = folded(
            """
            c = Add (a, b)
            y = If (t) <
                then_branch = yes () => (int64[2] v) { v = Add (x, c) },
                else_branch = no () => (int64[2] w) { w = Sub (x, c) }
            >
            """,
            "int64[2] x, bool t",
        )
        assert "c.folded" in model.graph.initializers

    def test_at_the_largest_size(self) -> None:
        model = folded("c = Neg (edge) y = Add (x, c)", "int64[4096] x", "int64[4096] y")
        assert operand(model).name == "c.folded"

    def test_several_outputs_of_one_node(self) -> None:
        model = folded("p, q = Split (b) z = Add (x, p) y = Add (z, q)", "int64[1] x", "int64[1] y")
        assert {"p.folded", "q.folded"} <= set(model.graph.initializers)


class TestLeftAlone:
    """What is no shape arithmetic, or would not be the same."""

    @pytest.mark.parametrize(
        ("body", "inputs", "output"),
        [
            ("c = Add (f, f) y = Add (x, c)", "float[2] x", "float[2] y"),  # floats: weights
            ("c = Neg (large) y = Add (x, c)", "int64[4097] x", "int64[4097] y"),
            ("c = ReduceMax <keepdims = 0> (large) y = Add (x, c)", "int64[2] x", "int64[2] y"),
            ("c = Expand (a, size) y = Add (x, c)", "int64[2100,2] x", "int64[2100,2] y"),
            ("c = Add (x, a) y = Add (c, c)", "int64[2] x", "int64[2] y"),  # fed
            ("c = Shape (x) y = Add (x, c)", "int64[2] x", "int64[2] y"),  # of what is fed
            ("y = Add (x, a)", "int64[2] x", "int64[2] y"),  # nothing to fold
        ],
    )
    def test_as_it_was(self, body: str, inputs: str, output: str) -> None:
        model = folded(body, inputs, output)
        assert not [name for name in model.graph.initializers if name.endswith(".folded")]

    def test_an_output_of_the_graph(self) -> None:
        model = folded("c = Add (a, b) y = Add (x, c)", output="int64[2] y, int64[2] c")
        assert operand(model).name == "c"

    @pytest.mark.parametrize(
        "body",
        [
            "r = RandomNormalLike (f) n = Less (r, f) y = Where (n, x, a)",
            "r = RandomUniformLike (f) n = Less (r, f) y = Where (n, x, a)",
            "r = Bernoulli (f) n = Less (r, f) y = Where (n, x, a)",
            "r = Multinomial <sample_size = 2> (odds) n = Cast <to = 7> (r) y = Add (x, n)",
        ],
    )
    def test_noise_is_drawn_anew_in_every_run(self, body: str) -> None:
        sizes = "1,2" if "odds" in body else "2"
        proto = proto_of(
            f"""<ir_version: 8, opset_import: ["": 17]>
            g (int64[{sizes}] x) => (int64[{sizes}] y) {{ {body} }}""",
            {
                "a": CONSTANTS["a"],
                "f": CONSTANTS["f"],
                "odds": np.array([[0.5, 0.5]], np.float32),
            },
        )
        kept = [node.op_type for node in normalize(load(proto)).graph]
        assert kept[0] == body.split()[2]

    def test_an_operator_of_another_domain(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17, "my": 1]> g (int64[2] x) => (int64[2] y)
            <int64[2] c> { c = my.Add (a, a) y = Add (x, c) }""",
            {"a": CONSTANTS["a"]},
        )
        model = fold_constants(infer_shapes(load(proto)))
        assert operand(model).name == "c"

    def test_a_choice_with_bodies(self) -> None:
        model = folded(
            """
            c = If (t) <
                then_branch = yes () => (int64[2] v) { v = Add (a, b) },
                else_branch = no () => (int64[2] w) { w = Sub (x, b) }
            >
            y = Add (x, c)
            """,
            "int64[2] x, bool t",
        )
        assert operand(model).name == "c"

    def test_a_sequence_of_constants(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]> g (int64[2] x, int64 i) => (int64[2] y) {
                s = SequenceConstruct (a, b)
                c = SequenceAt (s, i)
                y = Add (x, c)
            }""",
            {"a": CONSTANTS["a"], "b": CONSTANTS["b"]},
        )
        model = normalize(load(proto))
        fed = {"x": np.array([0, 0]), "i": np.array(1)}
        assert run(model, fed)["y"].tolist() == [10, 20]

    def test_a_constant_that_already_bears_the_name(self) -> None:
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            [
                helper.make_node("Add", ["a", "a"], ["c"]),
                helper.make_node("Add", ["x", "c"], ["d"]),
                helper.make_node("Add", ["d", "c.folded"], ["y"]),
            ],
            "g",
            [info("x", TensorProto.INT64, [2])],
            [info("y", TensorProto.INT64, [2])],
            [
                numpy_helper.from_array(np.array([1, 2]), "a"),
                numpy_helper.from_array(np.array([5, 5]), "c.folded"),
            ],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        model = fold_constants(infer_shapes(load(proto)))
        # x + 2 * (1, 2) + (5, 5)
        assert run(model, {"x": np.array([0, 0])})["y"].tolist() == [7, 9]


class TestConstantArray:
    """The array behind a tensor, stored or computed from what is stored."""

    MODEL = load(
        proto_of(
            """<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) {
                half = Cast <to = 10> (w)
                back = Cast <to = 1> (half)
                t = Transpose (back)
                both = Add (back, back)
                p = MatMul (x, t)
                y = MatMul (p, both)
            }""",
            {"w": np.array([[1, 2], [3, 4.5]], np.float32)},
        )
    )

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("w", [[1, 2], [3, 4.5]]),
            ("back", [[1, 2], [3, 4.5]]),
            ("t", [[1, 3], [2, 4.5]]),
            ("both", [[2, 4], [6, 9]]),
        ],
    )
    def test_what_is_known(self, name: str, expected: list[list[float]]) -> None:
        assert constant_array(self.MODEL, name).tolist() == expected

    def test_what_is_not_there(self) -> None:
        with pytest.raises(ValueError, match="the model has no tensor 'q'"):
            constant_array(self.MODEL, "q")
