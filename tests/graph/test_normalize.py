"""Canonical form: what exporters write differently is written one way, with the same numbers."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from oracle import Arrays, assert_identical, proto_of, run

from onnxtrim.errors import LoadError, ShapeError
from onnxtrim.graph import load, normalize
from onnxtrim.graph.constants import constant_ints
from onnxtrim.graph.proto import check

RNG = np.random.default_rng(11)


def random(*shape: int) -> npt.NDArray[Any]:
    return RNG.standard_normal(shape).astype(np.float32)


def normalized(proto: onnx.ModelProto, inputs: Arrays | None = None) -> ir.Model:
    """Returns the canonical form after holding it to its promises.

    It leaves the caller's model alone, is idempotent and valid, keeps the interface, and with
    `inputs` computes the same, bit by bit.
    """
    before = proto.SerializeToString(deterministic=True)
    source = load(proto)
    stored = ir.to_proto(source).SerializeToString(deterministic=True)
    model = normalize(source)
    assert ir.to_proto(source).SerializeToString(deterministic=True) == stored
    assert proto.SerializeToString(deterministic=True) == before
    assert ir.to_proto(normalize(model)) == ir.to_proto(model)
    check(model)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert [v.name for v in model.graph.outputs] == [v.name for v in proto.graph.output]
    if inputs is not None:
        assert_identical(run(model, inputs), run(proto, inputs))
    return model


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def array(model: ir.Model, name: str) -> npt.NDArray[Any]:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


class TestConstants:
    """`Constant` nodes become initializers of the same name."""

    @pytest.mark.parametrize(
        ("attribute", "kind", "sizes", "expected"),
        [
            ("value = float[2] {1.5, -2}", np.float32, (2,), [1.5, -2.0]),
            ("value = int64[1,2] {3, 4}", np.int64, (1, 2), [[3, 4]]),
            ("value = bool {1}", np.bool_, (), True),
            ("value = double[0] {}", np.float64, (0,), []),
            ("value_int = 7", np.int64, (), 7),
            ("value_ints = [7, 8, 9]", np.int64, (3,), [7, 8, 9]),
            ("value_float = 0.25", np.float32, (), 0.25),
            ("value_floats = [0.25, 4.0]", np.float32, (2,), [0.25, 4.0]),
        ],
    )
    def test_numbers(
        self, attribute: str, kind: type, sizes: tuple[int, ...], expected: object
    ) -> None:
        name = helper.tensor_dtype_to_string(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
        result = {"FLOAT": "float", "INT64": "int64", "BOOL": "bool", "DOUBLE": "double"}
        of = result[name.removeprefix("TensorProto.")]
        shape = f"[{','.join(map(str, sizes))}]" if sizes else ""
        proto = proto_of(
            f"""<ir_version: 8, opset_import: ["": 17]> g ({of}{shape} x) => ({of}{shape} y) {{
                c = Constant <{attribute}> ()
                [last] y = {"And" if of == "bool" else "Add"} (x, c)
            }}"""
        )
        model = normalized(proto, {"x": np.ones(sizes, kind)})
        assert operators(model) == ["And" if of == "bool" else "Add"]
        found = array(model, "c")
        assert (found.dtype, found.shape) == (np.dtype(kind), sizes)
        assert found.tolist() == expected
        assert model.graph.initializers["c"].shape == list(sizes)

    @pytest.mark.parametrize(
        ("attribute", "expected"),
        [
            ({"value_string": "ab"}, b"ab"),
            ({"value_strings": ["ab", "ü"]}, [b"ab", "ü".encode()]),
            ({"value": numpy_helper.from_array(np.array([b"ab"], dtype=object))}, [b"ab"]),
        ],
    )
    def test_texts(self, attribute: dict[str, Any], expected: object) -> None:
        sizes = list(np.shape(np.array(expected, dtype=object)))
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            [
                helper.make_node("Constant", [], ["c"], **attribute),
                helper.make_node("Equal", ["x", "c"], ["y"]),
            ],
            "g",
            [info("x", TensorProto.STRING, sizes)],
            [info("y", TensorProto.BOOL, sizes)],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
        model = normalized(proto)
        assert operators(model) == ["Equal"]
        assert array(model, "c").tolist() == expected

    def test_small_types_keep_their_bits(self) -> None:
        import ml_dtypes

        values = np.array([1.5, -2.0], ml_dtypes.bfloat16)
        tensor = helper.make_tensor("t", TensorProto.BFLOAT16, [2], values.astype(np.float32))
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            [
                helper.make_node("Constant", [], ["c"], value=tensor),
                helper.make_node("Cast", ["c"], ["d"], to=TensorProto.FLOAT),
                helper.make_node("Add", ["x", "d"], ["y"]),
            ],
            "g",
            [info("x", TensorProto.FLOAT, [2])],
            [info("y", TensorProto.FLOAT, [2])],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        model = normalized(proto, {"x": np.zeros(2, np.float32)})
        assert model.graph.initializers["c"].dtype == ir.DataType.BFLOAT16
        assert array(model, "c").astype(np.float32).tolist() == [1.5, -2.0]

    def test_one_that_is_an_output_of_the_graph_stays_a_node(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
                g (float[2] x) => (float[2] y, float[2] c) {
                c = Constant <value = float[2] {1, 2}> ()
                y = Add (x, c)
            }"""
        )
        model = normalized(proto, {"x": np.zeros(2, np.float32)})
        assert operators(model) == ["Constant", "Add"]

    def test_one_that_holds_a_sparse_tensor_is_refused_by_that_name(self) -> None:
        values = helper.make_tensor("v", TensorProto.FLOAT, [1], [5.0])
        places = helper.make_tensor("i", TensorProto.INT64, [1], [1])
        sparse = helper.make_sparse_tensor(values, places, [3])
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            [
                helper.make_node("Constant", [], ["c"], sparse_value=sparse),
                helper.make_node("Add", ["x", "c"], ["y"]),
            ],
            "g",
            [info("x", TensorProto.FLOAT, [3])],
            [info("y", TensorProto.FLOAT, [3])],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        with pytest.raises(LoadError, match=r"(?i)sparse"):
            normalize(load(proto))

    def test_one_that_the_body_of_an_if_uses(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
                g (float[2] x, bool b) => (float[2] y) {
                c = Constant <value = float[2] {1, 2}> ()
                y = If (b) <
                    then_branch = yes () => (float[2] t) { t = Add (x, c) },
                    else_branch = no () => (float[2] e) { e = Sub (x, c) }
                >
            }"""
        )
        model = normalized(proto, {"x": np.zeros(2, np.float32), "b": np.array(False)})
        assert operators(model) == ["If"]
        assert array(model, "c").tolist() == [1, 2]


class TestIdentities:
    """`Identity` nodes go, but for those that name an output."""

    def test_in_the_middle(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
                g (float[2] x) => (float[2] y) {
                a = Identity (x)
                b = Relu (a)
                c = Identity (b)
                d = Identity (c)
                y = Add (d, a)
            }"""
        )
        model = normalized(proto, {"x": np.array([-1, 2], np.float32)})
        assert operators(model) == ["Relu", "Add"]
        assert [v.name for v in model.graph.node(1).inputs if v] == ["b", "x"]

    @pytest.mark.parametrize(
        "body",
        [
            "h = Relu (x) y = Identity (h)",
            "y = Identity (x)",
            "h = Relu (x) y = Identity (h) z = Neg (h)",
            "y = Identity (x) z = Neg (y)",
        ],
    )
    def test_at_an_output(self, body: str) -> None:
        outputs = "float[2] y, float[2] z" if "z =" in body else "float[2] y"
        proto = proto_of(
            f'<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => ({outputs}) {{ {body} }}'
        )
        model = normalized(proto, {"x": np.array([-1, 2], np.float32)})
        assert "Identity" in operators(model)

    def test_of_a_weight_that_two_nodes_then_share(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
                g (float[2,3] x) => (float[2,3] y) {
                v = Identity (w)
                h = MatMul (x, w)
                y = MatMul (h, v)
            }""",
            {"w": random(3, 3)},
        )
        model = normalized(proto, {"x": random(2, 3)})
        assert operators(model) == ["MatMul", "MatMul"]
        assert len({node.inputs[1] for node in model.graph}) == 1


class TestInterface:
    """Weights are no inputs, and functions are inlined."""

    def test_weights_that_ir_3_lists_as_inputs(self) -> None:
        proto = proto_of(
            """<ir_version: 3, opset_import: ["": 8]>
            g (float[2,3] x, float[3,4] w) => (float[2,4] y) { y = MatMul (x, w) }""",
            {"w": random(3, 4)},
        )
        model = normalized(proto, {"x": random(2, 3)})
        assert [v.name for v in model.graph.inputs] == ["x"]
        assert model.ir_version == 4  # the first whose weights need not be inputs

    def test_an_input_between_them_keeps_its_place(self) -> None:
        proto = proto_of(
            """<ir_version: 3, opset_import: ["": 8]>
            g (float[3,4] w, float[2,3] x, float[4] b, float[2,4] z) => (float[2,4] y) {
                h = MatMul (x, w)
                s = Add (h, b)
                y = Add (s, z)
            }""",
            {"w": random(3, 4), "b": random(4)},
        )
        model = normalized(proto, {"x": random(2, 3), "z": random(2, 4)})
        assert [v.name for v in model.graph.inputs] == ["x", "z"]

    def test_functions_are_inlined(self) -> None:
        proto = onnx.parser.parse_model(
            """<ir_version: 8, opset_import: ["": 17, "local": 1]>
            g (float[2] x) => (float[2] y) <float[2] w = {3, 4}> {
                h = local.scaled <factor = 0.5> (x, w)
                y = local.scaled <factor = 2.0> (h, w)
            }
            <domain: "local", opset_import: ["": 17]>
            scaled <factor> (a, b) => (c) {
                f = Constant <value_float: float = @factor> ()
                s = Mul (a, f)
                c = Add (s, b)
            }"""
        )
        model = normalized(proto, {"x": np.array([10, 20], np.float32)})
        assert operators(model) == ["Mul", "Add", "Mul", "Add"]
        assert not model.functions
        # ((10, 20) / 2 + (3, 4)) * 2 + (3, 4)
        assert run(model, {"x": np.array([10, 20], np.float32)})["y"].tolist() == [19.0, 32.0]

    def test_nodes_and_weights_that_reach_no_output_go(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
                g (float[2,3] x) => (float[2,4] y) {
                y = MatMul (x, w)
                dead = MatMul (x, v)
                deader = Relu (dead)
            }""",
            {"w": random(3, 4), "v": random(3, 4), "unused": random(9)},
        )
        model = normalized(proto, {"x": random(2, 3)})
        assert operators(model) == ["MatMul"]
        assert set(model.graph.initializers) == {"w"}

    def test_an_input_that_nobody_uses_stays(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
            g (float[2] x, float[3] unused) => (float[2] y) { y = Relu (x) }"""
        )
        assert [v.name for v in normalized(proto).graph.inputs] == ["x", "unused"]

    def test_metadata_stays(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17], producer_name: "me", model_version: 3,
            doc_string: "about"> g (float[2] x) => (float[2] y) { y = Relu (x) }"""
        )
        entry = proto.metadata_props.add()
        entry.key, entry.value = "author", "someone"
        result = ir.to_proto(normalized(proto))
        assert (result.producer_name, result.model_version) == ("me", 3)
        assert result.doc_string == "about"
        assert [(e.key, e.value) for e in result.metadata_props] == [("author", "someone")]

    def test_shapes_that_contradict_each_other_are_refused(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
                g (float[2,3] x) => (float[2,5] y) {
                y = MatMul (x, w)
            }""",
            {"w": random(3, 4)},
        )
        with pytest.raises(ShapeError) as caught:
            normalize(load(proto))
        assert "\n" not in str(caught.value)

    def test_before_opset_5_a_reshape_has_no_target_operand(self) -> None:
        proto = proto_of(
            """<ir_version: 3, opset_import: ["": 4]>
                g (float[2,6] x) => (float[3,4] y) {
                y = Reshape <shape = [3, 4]> (x)
            }"""
        )
        assert operators(normalize(load(proto))) == ["Reshape"]


class TestSizes:
    """Sizes that the graph computes, and that no input can change, are constants."""

    def model(self, body: str, source: str = "2,4,H,6", **constants: object) -> ir.Model:
        """Returns the canonical form of a graph from x to y, which computes the same."""
        proto = proto_of(
            f"""<ir_version: 8, opset_import: ["": 17]>
            g (float[{source}] x) => (float[a,b,c,d] y) {{ {body} }}""",
            {name: np.array(value) for name, value in constants.items()},
        )
        sizes = [int(size) if size.isdigit() else 3 for size in source.split(",")]
        return normalized(proto, {"x": random(*sizes)})

    def test_of_a_vector(self) -> None:
        # 4 channels are repeated once each, twice, once, once
        model = self.model(
            """
            s = Shape (x)
            c = Slice (s, one, two)
            half = Div (c, two)
            r = Concat <axis = 0> (one, half, one, one)
            y = Tile (x, r)
            """,
            one=[1], two=[2],
        )  # fmt: skip
        assert operators(model) == ["Tile"]
        assert constant_ints(model.graph.node(0).inputs[1]) == (1, 2, 1, 1)

    def test_of_a_scalar(self) -> None:
        # 6 wide: Range from 0 to 6 by 2
        model = self.model(
            """
            s = Shape (x)
            w = Gather (s, last)
            i = Range (zero, w, step)
            y = Gather <axis = 3> (x, i)
            """,
            last=3, zero=0, step=2,
        )  # fmt: skip
        assert operators(model) == ["Gather"]
        indices = model.graph.node(0).inputs[1]
        assert indices is not None
        assert indices.shape == [3]
        assert constant_ints(indices) == (0, 2, 4)

    def test_of_another_type(self) -> None:
        model = self.model(
            """
            s = Shape (x)
            w = Gather (s, last)
            i = Cast <to = 6> (w)
            j = Sub (i, one)
            k = Unsqueeze (j, axes)
            y = Gather <axis = 3> (x, k)
            """,
            last=3, one=np.array(1, np.int32), axes=[0],
        )  # fmt: skip
        assert operators(model) == ["Gather"]
        indices = model.graph.node(0).inputs[1]
        assert indices is not None
        assert (indices.dtype, constant_ints(indices)) == (ir.DataType.INT32, (5,))

    def test_that_only_a_body_reads(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]> g (float[N,4] x, bool b) => (int64[1] y) {
                s = Shape (x)
                c = Slice (s, one, two)
                y = If (b) <
                    then_branch = yes () => (int64[1] t) { t = Neg (c) },
                    else_branch = no () => (int64[1] e) { e = Abs (c) }
                >
            }""",
            {"one": np.array([1]), "two": np.array([2])},
        )
        model = normalized(proto, {"x": random(2, 4), "b": np.array(True)})
        assert operators(model) == ["If"]
        assert array(model, "c.folded").tolist() == [4]

    @pytest.mark.parametrize("b", ["N", "?"])
    def test_an_open_one_stays_computed(self, b: str) -> None:
        model = self.model(
            """
            s = Shape (x)
            n = Slice (s, zero, one)
            r = Concat <axis = 0> (one, one, one, n)
            y = Tile (x, r)
            """,
            source=f"{b},4,5,6", zero=[0], one=[1],
        )  # fmt: skip
        assert operators(model) == ["Shape", "Slice", "Concat", "Tile"]

    def test_known_ones_beside_an_open_one(self) -> None:
        # the sum of the two known sizes, 4 + 6, is a constant; the open one is not
        model = self.model(
            """
            s = Shape (x)
            n = Slice (s, zero, one)
            c = Slice (s, one, two)
            w = Slice (s, three, four)
            t = Add (c, w)
            r = Concat <axis = 0> (one, one, n, t)
            y = Tile (x, r)
            """,
            source="N,4,5,6", zero=[0], one=[1], two=[2], three=[3], four=[4],
        )  # fmt: skip
        assert operators(model) == ["Shape", "Slice", "Concat", "Tile"]
        assert array(model, "t.folded").tolist() == [10]

    def test_an_output_of_the_graph_stays_computed(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
            g (float[2,4] x) => (int64[2] s, int64[2] y) { s = Shape (x) y = Neg (s) }"""
        )
        model = normalized(proto, {"x": random(2, 4)})
        assert operators(model) == ["Shape", "Neg"]

    def test_floats_stay_computed(self) -> None:
        # numbers that are calculated with, not sizes: they are folded by nobody
        model = self.model(
            """
            s = Shape (x)
            w = Gather (s, last)
            f = Cast <to = 1> (w)
            y = Div (x, f)
            """,
            last=3,
        )  # fmt: skip
        assert operators(model) == ["Cast", "Div"]
        assert array(model, "w.folded").tolist() == 6

    @pytest.mark.parametrize("kind", [TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT8])
    def test_a_type_that_cannot_hold_a_size_changes_it(self, kind: int) -> None:
        # 300 is True as a boolean, 44 in eight bits
        proto = proto_of(
            f"""<ir_version: 8, opset_import: ["": 17]>
            g (float[300] x, int64[1] z) => (int64[1] y) {{
                s = Shape (x)
                n = Cast <to = {kind}> (s)
                w = Cast <to = 7> (n)
                y = Add (w, z)
            }}"""
        )
        model = normalized(proto, {"x": random(300), "z": np.array([0])})
        expected = 1 if kind == TensorProto.BOOL else 44
        result = run(model, {"x": random(300), "z": np.array([0])})["y"]
        assert result.tolist() == [expected]


class TestPads:
    """`auto_pad` is explicit: worked out by hand from the published formula.

    The result has ceil(n / s) positions. They span (positions - 1) * s + (k - 1) * d + 1 elements;
    what is missing of that is padding, its odd element at the end (UPPER) or the start (LOWER).
    """

    @pytest.mark.parametrize(
        ("n", "k", "s", "d", "upper"),
        [
            (6, 3, 1, 1, (1, 1)),  # 6 positions span 8
            (6, 2, 1, 1, (0, 1)),  # 6 positions span 7
            (6, 4, 1, 1, (1, 2)),  # 6 positions span 9
            (6, 1, 1, 1, (0, 0)),
            (5, 3, 2, 1, (1, 1)),  # 3 positions span 2 * 2 + 3 = 7
            (6, 3, 2, 1, (0, 1)),  # 3 positions span 7
            (7, 2, 3, 1, (0, 1)),  # 3 positions span 2 * 3 + 2 = 8
            (7, 2, 2, 1, (0, 1)),  # 4 positions span 3 * 2 + 2 = 8
            (6, 2, 2, 1, (0, 0)),  # 3 positions span 6
            (6, 1, 2, 1, (0, 0)),  # 3 positions span 5: nothing is missing, nothing is cropped
            (6, 2, 3, 1, (0, 0)),  # 2 positions span 5
            (6, 3, 1, 2, (2, 2)),  # 6 positions span 5 + 5 = 10
            (6, 2, 1, 3, (1, 2)),  # 6 positions span 5 + 4 = 9
            (7, 3, 2, 2, (2, 2)),  # 4 positions span 6 + 5 = 11
            (6, 3, 2, 2, (1, 2)),  # 3 positions span 4 + 5 = 9
        ],
    )
    @pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
    def test_same(self, n: int, k: int, s: int, d: int, upper: tuple[int, int], mode: str) -> None:
        # the other axis has its own figures: 4 wide, kernel 3, stride 1: one at either side
        proto = proto_of(
            f"""<ir_version: 8, opset_import: ["": 17]>
                g (float[1,2,{n},4] x) => (float[a,b,c,d] y) {{
                y = Conv <auto_pad = "{mode}", strides = [{s}, 1], dilations = [{d}, 1]> (x, w)
            }}""",
            {"w": random(3, 2, k, 3)},
        )
        # the runtime has no dilated SAME convolution: there is nothing to compare with
        model = normalized(proto, {"x": random(1, 2, n, 4)} if d == 1 else None)
        begin, end = upper if mode == "SAME_UPPER" else upper[::-1]
        node = model.graph.node(0)
        assert "auto_pad" not in node.attributes
        assert tuple(node.attributes["pads"].as_ints()) == (begin, 1, end, 1)
        result = run(model, {"x": random(1, 2, n, 4)})["y"]
        assert result.shape == (1, 3, -(-n // s), 4)

    @pytest.mark.parametrize("mode", ["VALID", "NOTSET"])
    @pytest.mark.parametrize("strides", [1, 2])
    def test_none(self, mode: str, strides: int) -> None:
        proto = proto_of(
            f"""<ir_version: 8, opset_import: ["": 17]>
                g (float[1,2,7,7] x) => (float[a,b,c,d] y) {{
                y = Conv <auto_pad = "{mode}", strides = [{strides}, {strides}]> (x, w)
            }}""",
            {"w": random(3, 2, 3, 3)},
        )
        node = normalized(proto, {"x": random(1, 2, 7, 7)}).graph.node(0)
        assert "auto_pad" not in node.attributes
        assert tuple(node.attributes["pads"].as_ints()) == (0, 0, 0, 0)

    def test_explicit_pads_stay(self) -> None:
        for mode in ("", 'auto_pad = "NOTSET", '):
            proto = proto_of(
                f"""<ir_version: 8, opset_import: ["": 17]>
                g (float[1,2,7,7] x) => (float[a,b,c,d] y) {{
                    y = Conv <{mode} pads = [0, 1, 2, 3]> (x, w)
                }}""",
                {"w": random(3, 2, 3, 3)},
            )
            node = normalized(proto, {"x": random(1, 2, 7, 7)}).graph.node(0)
            assert tuple(node.attributes["pads"].as_ints()) == (0, 1, 2, 3)
            assert "auto_pad" not in node.attributes

    def test_an_unknown_size_does_not_matter_at_stride_1(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
                g (float[N,2,H,W] x) => (float[a,b,c,d] y) {
                y = Conv <auto_pad = "SAME_UPPER"> (x, w)
            }""",
            {"w": random(3, 2, 4, 3)},
        )
        model = normalized(proto, {"x": random(1, 2, 6, 5)})
        # 4 wide: 3 missing, the odd one at the end; 3 wide: 2 missing
        assert tuple(model.graph.node(0).attributes["pads"].as_ints()) == (1, 1, 2, 1)

    def test_an_unknown_size_matters_at_longer_strides(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
                g (float[N,2,H,6] x) => (float[a,b,c,d] y) {
                y = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (x, w)
            }""",
            {"w": random(3, 2, 3, 3)},
        )
        node = normalized(proto, {"x": random(1, 2, 7, 6)}).graph.node(0)
        assert node.attributes["auto_pad"].as_string() == "SAME_UPPER"
        assert "pads" not in node.attributes

    @pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
    @pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
    @pytest.mark.parametrize("attributes", ["", ", strides = [2, 3]"])
    def test_pools(self, op: str, mode: str, attributes: str) -> None:
        proto = proto_of(
            f"""<ir_version: 8, opset_import: ["": 17]>
                g (float[1,2,7,6] x) => (float[a,b,c,d] y) {{
                y = {op} <auto_pad = "{mode}", kernel_shape = [3, 4] {attributes}> (x)
            }}"""
        )
        node = normalized(proto, {"x": random(1, 2, 7, 6)}).graph.node(0)
        assert "auto_pad" not in node.attributes
        # 7 high, kernel 3: stride 1 spans 9, stride 2 (4 positions) spans 9: 2 missing, 1 each
        # 6 wide, kernel 4: stride 1 spans 9: 3 missing; stride 3 (2 positions) spans 7: 1 missing
        small, large = (0, 1) if attributes else (1, 2)
        expected = {
            "SAME_UPPER": (1, small, 1, large),
            "SAME_LOWER": (1, large, 1, small),
            "VALID": (0, 0, 0, 0),
        }
        assert tuple(node.attributes["pads"].as_ints()) == expected[mode]

    @pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
    @pytest.mark.parametrize("strides", ["1, 1", "2, 2"])
    def test_what_the_runtime_makes_of_a_dilated_pool_is_not_changed(
        self, op: str, strides: str
    ) -> None:
        # ONNX Runtime leaves the dilation out of SAME padding, the formula does not
        proto = proto_of(
            f"""<ir_version: 9, opset_import: ["": 19]>
                g (float[1,2,7,7] x) => (float[a,b,c,d] y) {{
                y = {op} <auto_pad = "SAME_UPPER", kernel_shape = [3, 3], dilations = [2, 2],
                          strides = [{strides}]> (x)
            }}"""
        )
        normalized(proto, {"x": random(1, 2, 7, 7)})

    @pytest.mark.parametrize(("count", "rounding"), [(0, 0), (1, 0), (0, 1), (1, 1)])
    @pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
    def test_averages_count_and_round_as_before(self, mode: str, count: int, rounding: int) -> None:
        proto = proto_of(
            f"""<ir_version: 8, opset_import: ["": 17]>
                g (float[1,2,7,6] x) => (float[a,b,c,d] y) {{
                y = AveragePool <auto_pad = "{mode}", kernel_shape = [3, 2], strides = [2, 2],
                    count_include_pad = {count}, ceil_mode = {rounding}> (x)
            }}"""
        )
        node = normalized(proto, {"x": random(1, 2, 7, 6)}).graph.node(0)
        assert "auto_pad" not in node.attributes

    def test_a_kernel_of_unknown_size_leaves_the_attribute(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
            g (float[1,2,7,7] x, float[3,2,k,l] w) => (float[a,b,c,d] y) {
                y = Conv <auto_pad = "SAME_UPPER"> (x, w)
            }"""
        )
        model = normalized(proto, {"x": random(1, 2, 7, 7), "w": random(3, 2, 3, 3)})
        assert model.graph.node(0).attributes["auto_pad"].as_string() == "SAME_UPPER"

    def test_a_convolution_of_another_domain_is_left_alone(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17, "my": 1]>
            g (float[1,2,7,7] x) => (float[1,3,7,7] y) {
                y = my.Conv <auto_pad = "SAME_UPPER"> (x, w)
            }""",
            {"w": random(3, 2, 3, 3)},
        )
        assert "auto_pad" in normalized(proto).graph.node(0).attributes


def view(middle: str, signature: str, opset: int = 17) -> onnx.ModelProto:
    """Returns a Reshape of x (4 channels of 2 x 3) by a target `t` that `middle` computes."""
    constants = {
        "zero": np.array(0), "first": np.array([0]), "one": np.array([1]), "two": np.array([2]),
        "rest": np.array([-1]), "wide": np.array([24]), "six": np.array([6]),
    }  # fmt: skip
    used = {name: value for name, value in constants.items() if name in middle}
    return proto_of(
        f"""<ir_version: 8, opset_import: ["": {opset}]> g {signature} {{
            h = Relu (x)
            {middle}
            y = Reshape (h, t)
        }}""",
        used,
    )


class TestAxes:
    """Since opset 13 inference takes a normalisation without axes for invalid."""

    @pytest.mark.parametrize("opset", [9, 13, 21])
    def test_default_axes_are_written_out(self, opset: int) -> None:
        model = normalized(
            proto_of(
                f'<ir_version: 8, opset_import: ["": {opset}]>'
                "g (float[2,3,4,4] x) => (float[2,3,4,4] y) {"
                "h = MeanVarianceNormalization (x) y = Relu (h) }"
            ),
            {"x": random(2, 3, 4, 4)},
        )
        axes = model.graph[0].attributes.get("axes")
        assert (axes and list(axes.as_ints())) == (None if opset == 9 else [0, 2, 3])

    def test_axes_that_are_named_stay(self) -> None:
        model = normalized(
            proto_of(
                '<ir_version: 8, opset_import: ["": 17]> g (float[2,3,4] x) => (float[2,3,4] y) {'
                "h = MeanVarianceNormalization <axes = [0, 1]> (x) y = Relu (h) }"
            ),
            {"x": random(2, 3, 4)},
        )
        assert list(model.graph[0].attributes["axes"].as_ints()) == [0, 1]

    @pytest.mark.parametrize(("opset", "axes"), [(9, [2, 0]), (11, [2, 0]), (12, [-2, 0])])
    def test_axes_to_squeeze_may_come_in_any_order(self, opset: int, axes: list[int]) -> None:
        model = normalized(
            proto_of(
                f'<ir_version: 8, opset_import: ["": {opset}]>'
                "g (float[1,2,1,3] x) => (float[2,3] y) {"
                f"h = Squeeze <axes = {axes}> (x) y = Relu (h) }}"
            ),
            {"x": random(1, 2, 1, 3)},
        )
        assert model.graph[0].outputs[0].shape == [2, 3]
        assert list(model.graph[0].attributes["axes"].as_ints()) == sorted(axes)


class TestTargets:
    """A target that is computed from shapes is a constant, and the arithmetic is gone."""

    FLAT = "(float[{batch},4,2,3] x) => (float[a,b] y)"
    SIZE = "s = Shape (h) n = Gather (s, zero) u = Unsqueeze{axes} "

    @pytest.mark.parametrize(
        ("batch", "last", "expected"),
        [
            # 24 is 4 * 2 * 3; a batch may be copied (0), and one size may be worked out (-1)
            ("2", "rest", {(2, 24), (2, -1), (0, 24), (0, -1)}),
            ("2", "wide", {(2, 24), (-1, 24), (0, 24)}),
            ("N", "rest", {(0, 24), (-1, 24), (0, -1)}),
            ("N", "wide", {(0, 24), (-1, 24)}),
        ],
    )
    @pytest.mark.parametrize("opset", [11, 13, 17])
    def test_the_flattening_view_of_torch(
        self, batch: str, last: str, expected: set[tuple[int, ...]], opset: int
    ) -> None:
        axes = "<axes = [0]> (n)" if opset < 13 else "(n, first)"
        middle = f"{self.SIZE.format(axes=axes)} t = Concat <axis = 0> (u, {last})"
        proto = view(middle, self.FLAT.format(batch=batch), opset)
        model = normalized(proto, {"x": random(2, 4, 2, 3)})
        assert operators(model) == ["Relu", "Reshape"]
        assert constant_ints(model.graph.node(1).inputs[1]) in expected

    def test_the_target_has_a_free_name(self) -> None:
        # another tensor already bears the name that a target of y would have
        middle = (
            "p = Shape (h) n = Slice (p, first, one) t = Concat <axis = 0> (n, rest) k = Neg (p)"
        )
        proto = view(middle, "(float[N,4,2,3] x) => (float[a,b] y, int64[4] k)")
        for node in proto.graph.node:
            for names in (node.input, node.output):
                names[:] = ["y.shape" if name == "p" else name for name in names]
        model = normalized(proto, {"x": random(2, 4, 2, 3)})
        assert sorted(operators(model)) == ["Neg", "Relu", "Reshape", "Shape"]

    def test_a_batch_that_is_split_is_left_computed(self) -> None:
        # (N, 4, 2, 3) to (N * 4, 6) by way of a product that cannot be known
        middle = """
            s = Shape (h)
            n = Gather (s, first)
            c = Gather (s, one)
            m = Mul (n, c)
            t = Concat <axis = 0> (m, six)
        """
        proto = view(middle, self.FLAT.format(batch="N"))
        model = normalized(proto, {"x": random(2, 4, 2, 3)})
        assert run(model, {"x": random(2, 4, 2, 3)})["y"].shape == (8, 6)

    def test_two_open_sizes_stay_computed(self) -> None:
        middle = "s = Shape (z) t = Slice (s, first, two)"
        proto = view(middle, "(float[2,6] x, float[A,B] z) => (float[a,b] y)")
        inputs = {"x": random(2, 6), "z": random(3, 4)}
        model = normalized(proto, inputs)
        assert "Slice" in operators(model)
        assert run(model, inputs)["y"].shape == (3, 4)

    def test_sizes_of_another_tensor_are_not_copied_from_this_one(self) -> None:
        # x is (A, 6) and becomes (B, -1): B is no size of x
        middle = "s = Shape (z) b = Slice (s, first, one) t = Concat <axis = 0> (b, rest)"
        proto = view(middle, "(float[A,6] x, float[B,2] z) => (float[a,b] y)")
        inputs = {"x": random(2, 6), "z": random(3, 2)}
        assert run(normalized(proto, inputs), inputs)["y"].shape == (3, 4)

    def test_sizes_that_change_places_are_not_copied(self) -> None:
        # x is (A, B) and becomes (B, A)
        middle = """
            s = Shape (x)
            a = Slice (s, first, one)
            b = Slice (s, one, two)
            t = Concat <axis = 0> (b, a)
        """
        proto = view(middle, "(float[A,B] x) => (float[c,d] y)")
        inputs = {"x": random(2, 6)}
        assert run(normalized(proto, inputs), inputs)["y"].shape == (6, 2)

    def test_a_target_that_copies_by_itself(self) -> None:
        # the 0 of the computed target means the size of x there, whatever its name
        middle = "s = Shape (z) a = Slice (s, first, one) t = Concat <axis = 0> (first, a)"
        proto = view(middle, "(float[A,6] x, float[6,2] z) => (float[c,d] y)")
        inputs = {"x": random(2, 6), "z": random(6, 2)}
        assert run(normalized(proto, inputs), inputs)["y"].shape == (2, 6)

    def test_rows_of_a_matrix_of_sizes(self) -> None:
        # u is (1, 2), and its row 0 is the whole shape of z
        middle = "s = Shape (z) u = Unsqueeze (s, first) t = Gather <axis = 0> (u, zero)"
        proto = view(middle, "(float[2,6] x, float[A,B] z) => (float[a,b] y)")
        inputs = {"x": random(2, 6), "z": random(3, 4)}
        assert run(normalized(proto, inputs), inputs)["y"].shape == (3, 4)

    def test_a_target_that_is_fed_stays(self) -> None:
        proto = view("", "(float[2,6] x, int64[2] t) => (float[a,b] y)")
        model = normalized(proto, {"x": random(2, 6), "t": np.array([3, 4])})
        assert [v.name for v in model.graph.inputs] == ["x", "t"]
        assert model.graph.node(1).inputs[1] is model.graph.inputs[1]

    def test_a_target_of_unknown_length_stays(self) -> None:
        middle = "r = Reshape (h, k) t = Abs (u)"
        proto = view(middle, "(float[2,6] x, int64[K] k, int64[2] u) => (float[a,b] y)")
        proto.graph.node[-1].input[0] = "r"
        inputs = {"x": random(2, 6), "k": np.array([3, 2, 2]), "u": np.array([4, -3])}
        model = normalized(proto, inputs)
        assert operators(model) == ["Relu", "Reshape", "Abs", "Reshape"]

    def test_a_batch_that_the_file_denies_is_still_copied(self) -> None:
        # the output is said to have a batch of 1, the input any; the runtime only warns
        middle = "s = Shape (h) n = Slice (s, first, one) t = Concat <axis = 0> (n, wide)"
        proto = view(middle, "(float[N,4,2,3] x) => (float[1,24] y)")
        model = normalized(proto, {"x": random(2, 4, 2, 3)})
        assert constant_ints(model.graph.node(1).inputs[1]) == (0, 24)

    def test_sizes_that_only_the_file_states_are_no_target(self) -> None:
        # how many sizes are fed is open, so inference knows nothing of r; (3, 4) is but a claim
        proto = view(
            "r = Reshape (h, k)", "(float[2,6] x, int64[K] k, int64[2] t) => (float[a,b] y)"
        )
        proto.graph.node[-1].input[0] = "r"
        proto.graph.value_info.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, [3, 4]))
        inputs = {"x": random(2, 6), "k": np.array([4, 3]), "t": np.array([3, 4])}
        model = normalized(proto, inputs)
        assert operators(model) == ["Relu", "Reshape", "Reshape"]
        assert model.graph.node(1).inputs[1] is model.graph.inputs[1]

    def test_an_operand_of_which_nothing_is_known(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17, "my": 1]>
            g (float[2,6] x, int64[2] t) => (float[a,b] y) {
                h = my.Thing (x)
                r = Reshape (h, t)
                y = Neg (r)
            }"""
        )
        node = normalize(load(proto)).graph.node(1)
        assert [v.name for v in node.inputs if v is not None] == ["h", "t"]

    def test_an_axis_without_elements(self) -> None:
        # x is (0, N) and becomes (0, N): the first 0 is a size, and copies one
        proto = view("t = Shape (h)", "(float[0,N] x) => (float[a,b] y)")
        model = normalized(proto, {"x": random(0, 3)})
        assert constant_ints(model.graph.node(1).inputs[1]) == (0, 0)

    def test_one_after_the_other(self) -> None:
        # the second target needs a size that only the first, once constant, gives: 24
        middle = """
            s = Shape (h)
            b = Slice (s, first, one)
            t1 = Concat <axis = 0> (b, u)
            f = Reshape (h, t1)
            r = Relu (f)
            s2 = Shape (r)
            c = Slice (s2, one, two)
            m = Mul (c, one)
            t = Concat <axis = 0> (m, rest)
        """
        proto = view(middle, "(float[N,4,2,3] x, int64[1] u) => (float[a,b] y)")
        proto.graph.node[-1].input[0] = "r"
        inputs = {"x": random(2, 4, 2, 3), "u": np.array([24])}
        model = normalized(proto, inputs)
        assert operators(model) == ["Relu", "Reshape", "Relu", "Reshape"]
        assert run(model, inputs)["y"].shape == (24, 2)


def test_everything_at_once_computes_the_same() -> None:
    info, node = helper.make_tensor_value_info, helper.make_node
    graph = helper.make_graph(
        [
            node("Constant", [], ["w"], value=numpy_helper.from_array(random(4, 3, 3, 3))),
            node("Identity", ["w"], ["v"]),
            node("Conv", ["x", "v"], ["h"], auto_pad="SAME_LOWER", strides=[2, 2]),
            node("Identity", ["h"], ["i"]),
            node("Shape", ["i"], ["s"]),
            node("Constant", [], ["zero"], value_ints=[0]),
            node("Gather", ["s", "zero"], ["n"]),
            node("Constant", [], ["rest"], value_ints=[-1]),
            node("Concat", ["n", "rest"], ["t"], axis=0),
            node("Reshape", ["i", "t"], ["f"]),
            node("Relu", ["x"], ["dead"]),
            node("MatMul", ["f", "m"], ["p"]),
            node("Identity", ["p"], ["y"]),
        ],
        "g",
        [info("x", TensorProto.FLOAT, ["N", 3, 6, 5]), info("m", TensorProto.FLOAT, [36, 2])],
        [info("y", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(random(36, 2), "m")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=3)
    model = normalized(proto, {"x": random(2, 3, 6, 5)})
    # 6 x 5 at stride 2 is 3 x 3, and 4 * 9 = 36
    assert operators(model) == ["Conv", "Reshape", "MatMul", "Identity"]
    assert {"w", "m"} - set(model.graph.initializers) == set()
    assert len(model.graph.initializers) == 3  # and the target
