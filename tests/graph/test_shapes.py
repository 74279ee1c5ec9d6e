"""Strict shapes: inferred anew, or refused."""

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from onnxtrim.errors import ModelError, ShapeError
from onnxtrim.graph import infer_shapes, load, normalize
from onnxtrim.graph.shapes import Shape, concrete_shapes, dims, pinned, ranked, unranked

ONES: Arrays = {"w": np.ones((3, 4), np.float32), "v": np.ones((4, 2), np.float32)}


def shape(model: ir.Model, name: str) -> Shape | None:
    """Returns the stored sizes of a tensor that a node makes."""
    made = {v.name: v for node in model.graph for v in node.outputs}
    return dims(made[name])


class TestDims:
    """Sizes, None for what is not known."""

    @pytest.mark.parametrize(
        ("stored", "expected"),
        [
            (ir.Shape([2, 3]), (2, 3)),
            (ir.Shape(["N", 3, None]), (None, 3, None)),
            (ir.Shape([]), ()),
            (ir.Shape([0]), (0,)),
            (None, None),
        ],
    )
    def test_of_a_value(self, stored: ir.Shape | None, expected: Shape | None) -> None:
        assert dims(ir.Value(name="v", shape=stored)) == expected


class TestUnranked:
    """The first operand or result of a node whose rank is not known."""

    @staticmethod
    def node(*inputs: ir.Value | None, outputs: tuple[ir.Value, ...] = ()) -> ir.Node:
        return ir.Node("", "Thing", inputs, outputs=outputs)

    KNOWN = ("N", 3), (2,), ()

    def test_where_all_are_known_there_is_none(self) -> None:
        values = [ir.Value(name=f"v{i}", shape=ir.Shape(s)) for i, s in enumerate(self.KNOWN)]
        assert unranked(self.node(*values[:2], outputs=(values[2],))) is None

    def test_an_operand(self) -> None:
        known, hidden = ir.Value(name="k", shape=ir.Shape([2])), ir.Value(name="h")
        assert unranked(self.node(known, hidden, outputs=(ir.Value(name="o"),))) == "h"

    def test_a_result(self) -> None:
        known = ir.Value(name="k", shape=ir.Shape([None]))
        first = ir.Value(name="a", shape=ir.Shape([2]))
        assert unranked(self.node(known, outputs=(first, ir.Value(name="o")))) == "o"

    def test_what_is_left_out_has_no_rank_to_know(self) -> None:
        known = ir.Value(name="k", shape=ir.Shape([2]))
        assert unranked(self.node(None, known, outputs=(ir.Value(name=""),))) is None

    def test_of_a_model(self) -> None:
        # how many sizes are fed is open: the rank of r is, and with it that of all behind
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
            g (float[2,6] x, int64[K] t) => (float[a,b] y) {
                h = Relu (x)
                r = Reshape (h, t)
                y = Neg (r)
            }"""
        )
        model = normalize(load(proto))
        assert [unranked(node) for node in model.graph] == [None, "r", "r"]


class TestInferShapes:
    """Interior shapes follow from the inputs and the weights."""

    TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N,3] x) => (float[N,2] y)
    {info} {{
        h = MatMul (x, w)
        r = Relu (h)
        y = MatMul (r, v)
    }}"""

    def test_along_the_graph(self) -> None:
        model = infer_shapes(load(proto_of(self.TEXT.format(info=""), ONES)))
        assert [shape(model, name) for name in "hry"] == [(None, 4), (None, 4), (None, 2)]
        assert ir.to_proto(model).graph.value_info

    def test_what_was_stored_before_a_cut_is_replaced(self) -> None:
        stale = self.TEXT.format(info="<float[N,9] h, float[N,9] r>")
        model = infer_shapes(load(proto_of(stale, ONES)))
        assert [shape(model, name) for name in "hr"] == [(None, 4), (None, 4)]

    def test_the_model_that_is_given_stays_as_it_is(self) -> None:
        source = load(proto_of(self.TEXT.format(info="<float[N,9] h>"), ONES))
        before = ir.to_proto(source)
        infer_shapes(source)
        assert ir.to_proto(source) == before

    def test_inputs_outputs_and_weights_are_those_that_were_given(self) -> None:
        source = load(proto_of(self.TEXT.format(info=""), ONES))
        model = infer_shapes(source)
        assert [v.name for v in model.graph.inputs] == ["x"]
        assert list(model.graph.initializers) == ["w", "v"]
        weights = zip(
            model.graph.initializers.values(), source.graph.initializers.values(), strict=True
        )
        assert all(mine.const_value is yours.const_value for mine, yours in weights)

    def test_large_weights_are_not_read(self) -> None:
        model = load(proto_of(self.TEXT.format(info="").replace(",2]", ",300]"), ONES))

        def read() -> ir.TensorProtocol:
            raise AssertionError("a weight was read")

        model.graph.initializers["v"].const_value = ir.LazyTensor(
            read, dtype=ir.DataType.FLOAT, shape=ir.Shape([4, 300]), name="v"
        )
        assert shape(infer_shapes(model), "y") == (None, 300)

    @pytest.mark.parametrize(
        ("text", "weights"),
        [
            (TEXT.format(info="").replace("N,2]", "N,7]"), ONES),  # against the output
            (TEXT.format(info="").replace("N,3]", "N,7]"), ONES),  # against the input
            (TEXT.format(info=""), {**ONES, "v": np.ones((5, 2), np.float32)}),
        ],
    )
    def test_contradictions_are_refused_in_one_line(self, text: str, weights: Arrays) -> None:
        with pytest.raises(ShapeError, match="shape inference failed: ") as caught:
            infer_shapes(load(proto_of(text, weights)))
        assert "\n" not in str(caught.value)

    def test_types_that_contradict_are_refused(self) -> None:
        with pytest.raises(ShapeError):
            infer_shapes(
                load(proto_of(self.TEXT.format(info="").replace("float[N,2]", "int64[N,2]"), ONES))
            )


class TestOtherDomains:
    """Inference knows nothing of them: what is stored counts."""

    TEXT = """<ir_version: 8, opset_import: ["": 17, "my": 1]>
    g (float[N,3] x) => (float[N,2] y) {info} {{
        h = my.Thing (x)
        r = Relu (h)
        y = MatMul (r, v)
    }}"""

    def test_their_stored_shapes_stay_and_flow_on(self) -> None:
        text = self.TEXT.format(info="<float[N,4] h, float[N,9] r>")
        model = infer_shapes(load(proto_of(text, {"v": ONES["v"]})))
        assert [shape(model, name) for name in "hr"] == [(None, 4), (None, 4)]

    def test_without_stored_shapes_nothing_is_known(self) -> None:
        model = infer_shapes(load(proto_of(self.TEXT.format(info=""), {"v": ONES["v"]})))
        assert [shape(model, name) for name in "hr"] == [None, None]

    def test_what_comes_behind_one_without_a_stored_shape_is_not_refused(self) -> None:
        text = self.TEXT.format(info="<float[N,4] r>")
        model = normalize(load(proto_of(text, {"v": ONES["v"]})))
        assert shape(model, "y") == (None, 2)


def test_a_stored_rank_that_inference_cannot_confirm_does_not_cost_the_model() -> None:
    # the axes are fed: inference does not know the rank of r, the exporter did
    proto = proto_of(
        """<ir_version: 8, opset_import: ["": 18]>
        g (float[N,3,5,6] x, int64[2] axes) => (float[N,3,a,b] y) <float[N,3,a,b] r> {
            r = ReduceSum (x, axes)
            y = Neg (r)
        }"""
    )
    assert [node.op_type for node in normalize(load(proto)).graph] == ["ReduceSum", "Neg"]


def test_a_stored_shape_stays_where_inference_knows_nothing() -> None:
    # the target comes from an operator that nobody knows
    model = load(
        proto_of(
            """<ir_version: 8, opset_import: ["": 17, "my": 1]>
            g (float[2,6] x) => (float[a,b] y)
            <float[3,4] r> { t = my.Thing (x) r = Reshape (x, t) y = Neg (r) }"""
        )
    )
    assert shape(infer_shapes(model), "r") == (3, 4)


class TestConcreteShapes:
    """The sizes of every tensor when the model runs on a sample."""

    def test_symbolic_sizes_are_those_of_the_sample(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]> g (float[N,3,H,W] x) => (float[N,2,a,b] y) {
                h = Conv <strides = [2, 2]> (x, w)
                y = Relu (h)
            }""",
            {"w": np.ones((2, 3, 3, 3), np.float32)},
        )
        model = normalize(load(proto))
        sample = {"x": np.zeros((5, 3, 9, 8), np.float32)}
        # (9 - 3) / 2 + 1 = 4 and (8 - 3) / 2 + 1 = 3, rounded down
        assert concrete_shapes(model, sample) == {
            "x": (5, 3, 9, 8),
            "w": (2, 3, 3, 3),
            "h": (5, 2, 4, 3),
            "y": (5, 2, 4, 3),
        }

    def test_what_inference_cannot_tell_is_measured(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
            g (float[N,6] x, int64[2] t) => (float[a,b] y) {
                r = Reshape (x, t)
                z = NonZero (r)
                y = Cast <to = 1> (z)
            }"""
        )
        sample = {"x": np.array([[0, 1, 0, 1, 1, 0]], np.float32), "t": np.array([2, 3])}
        found = concrete_shapes(normalize(load(proto)), sample)
        # two axes, and three elements that are not zero
        assert (found["r"], found["z"], found["y"]) == ((2, 3), (2, 3), (2, 3))

    def test_what_cannot_be_run_either_is_left_out(self) -> None:
        text = TestOtherDomains.TEXT.format(info="")
        model = normalize(load(proto_of(text, {"v": ONES["v"]})))
        found = concrete_shapes(model, {"x": np.zeros((1, 3), np.float32)})
        assert found == {"x": (1, 3), "v": (4, 2)}

    def test_an_empty_weight_is_empty(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]> g (float[2,3] x) => (float[2,3] y) {
                y = Concat <axis = 1> (x, none)
            }""",
            {"none": np.zeros((2, 0), np.float32)},
        )
        found = concrete_shapes(load(proto), {"x": np.zeros((2, 3), np.float32)})
        assert found == {"x": (2, 3), "none": (2, 0), "y": (2, 3)}

    def test_a_sample_that_does_not_fit_is_refused(self) -> None:
        model = load(proto_of(TestInferShapes.TEXT.format(info=""), ONES))
        with pytest.raises(ModelError):
            concrete_shapes(model, {"x": np.zeros((2, 5), np.float32)})

    def test_the_model_is_not_changed(self) -> None:
        model = load(proto_of(TestInferShapes.TEXT.format(info=""), ONES))
        before = ir.to_proto(model)
        concrete_shapes(model, {"x": np.zeros((2, 3), np.float32)})
        assert ir.to_proto(model) == before


class TestPinned:
    """A model for inputs of one size only."""

    TEXT = """
    <ir_version: 8, opset_import: ["" : 13]>
    net (float[N, 3] x, float[N, M] z) => (float[N, 4] y, float[M, N] t)
    { y = MatMul (x, w) t = Transpose (z) }
    """

    def test_every_tensor_has_the_sizes_of_the_run(self) -> None:
        model = infer_shapes(load(proto_of(self.TEXT, {"w": ONES["w"]})))
        sample = {"x": np.zeros((5, 3), np.float32), "z": np.zeros((5, 2), np.float32)}
        found = pinned(model, sample)
        assert [dims(value) for value in found.graph.inputs] == [(5, 3), (5, 2)]
        assert [dims(value) for value in found.graph.outputs] == [(5, 4), (2, 5)]
        assert [dims(value) for value in model.graph.inputs] == [(None, 3), (None, None)]


class TestRanked:
    """Types and ranks that inference does not know."""

    TEXT = """
    <ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
    net (float[N, 3] x) => (float[N, 4] y)
    { [own] u = com.microsoft.Gelu (x) i = Cast <to = 7> (u) r = Relu (x) y = MatMul (u, w) }
    """

    def test_they_are_those_of_a_run_and_sizes_stay_open(self) -> None:
        text = self.TEXT.replace("(float[N, 4] y)", "(float[N, 4] y, int64[N, 3] i)")
        model = normalize(load(proto_of(text.replace("r = Relu (x)", ""), {"w": ONES["w"]})))
        found = ranked(model, {"x": np.zeros((2, 3), np.float32)})
        made = {v.name: v for node in found.graph for v in node.outputs}
        assert (made["u"].dtype, dims(made["u"])) == (ir.DataType.FLOAT, (None, None))
        assert (made["i"].dtype, dims(made["i"])) == (ir.DataType.INT64, (None, 3))
        assert dims(made["y"]) == (None, 4)

    def test_what_is_known_stays(self) -> None:
        text = self.TEXT.replace("com.microsoft.Gelu", "Neg")
        model = normalize(load(proto_of(text, {"w": ONES["w"]})))
        found = ranked(model, {"x": np.zeros((2, 3), np.float32)})
        assert ir.to_proto(found) == ir.to_proto(model)

    def test_where_the_runtime_cannot_run_it_they_stay_unknown(self) -> None:
        text = self.TEXT.replace("com.microsoft.Gelu", "com.microsoft.NoSuchOperator")
        model = normalize(load(proto_of(text, {"w": ONES["w"]})))
        assert shape(ranked(model, {"x": np.zeros((2, 3), np.float32)}), "u") is None
