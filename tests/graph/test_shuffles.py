"""Channel shuffles become one Gather each; what only looks like one stays."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from oracle import Arrays, assert_equal_to_masked, assert_identical, proto_of, run

from onnxtrim.channels import analyze
from onnxtrim.graph import load, normalize
from onnxtrim.graph.constants import constant_ints, int_attr
from onnxtrim.graph.proto import check
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut

RNG = np.random.default_rng(3)
UNTOUCHED = ["Reshape", "Transpose", "Reshape", "Neg"]
BEHIND = "{} z = Neg (y)"
"""So that the sizes of y are inferred, not those that an output of the graph is said to have."""


def graph(
    source: str,
    split: list[int],
    perm: list[int],
    whole: list[int],
    *,
    body: str = BEHIND,
    target: str = "float[a,b,c,d] z",
    opset: int = 17,
) -> onnx.ModelProto:
    """Returns Reshape, Transpose, Reshape from x to y, with the `body` around them."""
    three = f"""
        [split] s = Reshape (x, split)
        [turn] t = Transpose <perm = {perm}> (s)
        [join] y = Reshape (t, whole)
    """
    return proto_of(
        f"""<ir_version: 8, opset_import: ["": {opset}]>
        g ({source} x) => ({target}) {{ {body.replace("{}", three)} }}""",
        {"split": np.array(split), "whole": np.array(whole)},
    )


def canonical(proto: onnx.ModelProto, *sizes: int, name: str = "float32") -> ir.Model:
    """Returns the canonical form, after comparing bits on an x of the given sizes."""
    model = normalize(load(proto))
    check(model)
    x = RNG.integers(0, 100, sizes).astype(name)
    assert_identical(run(model, {"x": x}), run(proto, {"x": x}))
    assert ir.to_proto(normalize(model)) == ir.to_proto(model)
    return model


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def stored(sizes: dict[str, list[Any]]) -> list[onnx.ValueInfoProto]:
    """Returns sizes of tensors as a file states them."""
    info = onnx.helper.make_tensor_value_info
    return [info(name, onnx.TensorProto.FLOAT, shape) for name, shape in sizes.items()]


def order(model: ir.Model) -> tuple[int, list[int]]:
    """Returns axis and indices of the Gather that alone stands before the last node."""
    assert operators(model) == ["Gather", "Neg"]
    node = model.graph.node(0)
    places = constant_ints(node.inputs[1])
    assert places is not None
    return int_attr(node, "axis", 0), list(places)


class TestShuffled:
    """Position (i, j) of the pieces comes from position (j, i)."""

    # 6 channels: (0 1 2) (3 4 5) read by columns; or (0 1) (2 3) (4 5)
    BY_TWO, BY_THREE = [0, 3, 1, 4, 2, 5], [0, 2, 4, 1, 3, 5]

    @pytest.mark.parametrize("opset", [7, 9, 13, 17, 21])
    def test_of_a_fixed_batch(self, opset: int) -> None:
        proto = graph("float[2,6,4,5]", [2, 2, 3, 4, 5], [0, 2, 1, 3, 4], [2, 6, 4, 5], opset=opset)
        assert order(canonical(proto, 2, 6, 4, 5)) == (1, self.BY_TWO)

    @pytest.mark.parametrize(
        ("split", "whole"),
        [
            ([-1, 2, 3, 4, 5], [-1, 6, 4, 5]),  # as torch exports a shuffle
            ([0, 2, 3, 4, 5], [0, 6, 4, 5]),
            ([0, 2, 3, 4, 5], [-1, 6, 4, 5]),
            ([0, 2, -1, 4, 5], [0, -1, 4, 5]),
            ([0, -1, 3, 4, 5], [0, 6, -1, 5]),
        ],
    )
    @pytest.mark.parametrize("batch", ["N", "?", "2"])
    def test_of_a_dynamic_batch(self, split: list[int], whole: list[int], batch: str) -> None:
        proto = graph(f"float[{batch},6,4,5]", split, [0, 2, 1, 3, 4], whole)
        model = canonical(proto, 2, 6, 4, 5)
        assert order(model) == (1, self.BY_TWO)

    def test_of_more_groups(self) -> None:
        proto = graph("float[N,6,4,5]", [0, 3, 2, 4, 5], [0, 2, 1, 3, 4], [0, 6, 4, 5])
        assert order(canonical(proto, 2, 6, 4, 5)) == (1, self.BY_THREE)

    def test_of_channels_that_come_last(self) -> None:
        proto = graph("float[N,4,5,6]", [0, 4, 5, 2, 3], [0, 1, 2, 4, 3], [0, 4, 5, 6])
        assert order(canonical(proto, 2, 4, 5, 6)) == (3, self.BY_TWO)

    def test_of_features(self) -> None:
        proto = graph("float[N,6]", [-1, 2, 3], [0, 2, 1], [-1, 6], target="float[a,b] z")
        assert order(canonical(proto, 2, 6)) == (1, self.BY_TWO)

    def test_of_the_batch(self) -> None:
        proto = graph("float[6,4]", [2, 3, 4], [1, 0, 2], [6, 4], target="float[a,b] z")
        assert order(canonical(proto, 6, 4)) == (0, self.BY_TWO)

    @pytest.mark.parametrize(
        ("perm", "expected"),
        [
            # (2, 2, 3): a = 6 i + 3 j + k at (i, j, k)
            ([0, 3, 2, 1, 4, 5], [0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11]),
            ([0, 2, 1, 3, 4, 5], [0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11]),
            ([0, 2, 3, 1, 4, 5], [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]),
        ],
    )
    def test_of_three_pieces(self, perm: list[int], expected: list[int]) -> None:
        proto = graph("float[N,12,4,5]", [-1, 2, 2, 3, 4, 5], perm, [-1, 12, 4, 5])
        assert order(canonical(proto, 2, 12, 4, 5)) == (1, expected)

    def test_of_equal_axes_the_right_one_is_found(self) -> None:
        # (6, 6): only the second axis is split, then only the first
        second = graph("float[6,6]", [6, 2, 3], [0, 2, 1], [6, 6], target="float[a,b] z")
        assert order(canonical(second, 6, 6)) == (1, self.BY_TWO)
        first = graph("float[6,6]", [2, 3, 6], [1, 0, 2], [6, 6], target="float[a,b] z")
        assert order(canonical(first, 6, 6)) == (0, self.BY_TWO)

    def test_of_integers(self) -> None:
        proto = graph(
            "int32[N,6,4,5]",
            [0, 2, 3, 4, 5],
            [0, 2, 1, 3, 4],
            [0, 6, 4, 5],
            target="int32[a,b,c,d] z",
        )
        assert order(canonical(proto, 2, 6, 4, 5, name="int32")) == (1, self.BY_TWO)

    def test_a_single_open_size_may_lie_anywhere(self) -> None:
        proto = graph("float[2,6,H,5]", [2, 2, 3, -1, 5], [0, 2, 1, 3, 4], [2, 6, -1, 5])
        assert order(canonical(proto, 2, 6, 7, 5)) == (1, self.BY_TWO)

    def test_two_open_sizes_that_are_copied_by_name(self) -> None:
        # (A, B, 6): both lie before the pieces, where 0 copies them
        proto = graph(
            "float[A,B,6]", [0, 0, 2, 3], [0, 1, 3, 2], [0, 0, 6], target="float[a,b,c] z"
        )
        assert order(canonical(proto, 2, 3, 6)) == (2, self.BY_TWO)

    def test_two_behind_one_another(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]> g (float[N,6,4] x) => (float[N,6,4] y) {
                s = Reshape (x, two)
                t = Transpose <perm = [0, 2, 1, 3]> (s)
                h = Reshape (t, whole)
                u = Reshape (h, two)
                v = Transpose <perm = [0, 2, 1, 3]> (u)
                y = Reshape (v, whole)
            }""",
            {"two": np.array([-1, 2, 3, 4]), "whole": np.array([-1, 6, 4])},
        )
        assert operators(canonical(proto, 2, 6, 4)) == ["Gather", "Gather"]

    def test_targets_that_the_graph_computes(self) -> None:
        # the batch is read off the tensor, as older exporters write it
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]> g (float[N,6,4,5] x) => (float[a,b,c,d] z) {
                sizes = Shape (x)
                n = Slice (sizes, zero, one)
                first = Concat <axis = 0> (n, split)
                s = Reshape (x, first)
                t = Transpose <perm = [0, 2, 1, 3, 4]> (s)
                second = Concat <axis = 0> (n, whole)
                y = Reshape (t, second)
                z = Neg (y)
            }""",
            {
                "zero": np.array([0]),
                "one": np.array([1]),
                "split": np.array([2, 3, 4, 5]),
                "whole": np.array([6, 4, 5]),
            },
        )
        model = canonical(proto, 2, 6, 4, 5)
        assert order(model) == (1, self.BY_TWO)
        assert set(model.graph.initializers) == {"y.order"}


class TestNames:
    """The last node and its result keep what they are called."""

    def test_of_node_and_result(self) -> None:
        proto = graph(
            "float[N,6,4,5]",
            [0, 2, 3, 4, 5],
            [0, 2, 1, 3, 4],
            [0, 6, 4, 5],
            body="{} z = Relu (y)",
            target="float[N,6,4,5] z",
        )
        proto.graph.node[2].doc_string = "about the node"
        entry = proto.graph.node[2].metadata_props.add()
        entry.key, entry.value = "from", "above"
        info = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None, "about y")
        proto.graph.value_info.append(info)
        model = canonical(proto, 2, 6, 4, 5)
        node = model.graph.node("join")
        assert (node.op_type, node.doc_string) == ("Gather", "about the node")
        assert dict(node.metadata_props) == {"from": "above"}
        assert (node.outputs[0].name, node.outputs[0].doc_string) == ("y", "about y")
        assert str(node.outputs[0].shape) == "[N,6,4,5]"

    def test_of_an_output_that_is_also_used(self) -> None:
        proto = graph(
            "float[N,6,4,5]",
            [0, 2, 3, 4, 5],
            [0, 2, 1, 3, 4],
            [0, 6, 4, 5],
            body="{} z = Relu (y)",
            target="float[N,6,4,5] y, float[N,6,4,5] z",
        )
        model = canonical(proto, 2, 6, 4, 5)
        assert operators(model) == ["Gather", "Relu"]
        assert [v.name for v in model.graph.outputs] == ["y", "z"]

    def test_of_the_indices_are_free(self) -> None:
        proto = graph(
            "float[N,6,4,5]",
            [0, 2, 3, 4, 5],
            [0, 2, 1, 3, 4],
            [0, 6, 4, 5],
            body="{} z = Add (y, q)",
            target="float[N,6,4,5] z",
        )
        proto.graph.initializer.append(
            onnx.numpy_helper.from_array(np.ones(1, np.float32), "y.order")
        )
        proto.graph.node[-1].input[1] = "y.order"
        model = canonical(proto, 2, 6, 4, 5)
        assert {"y.order", "y.order_2"} == set(model.graph.initializers)

    def test_of_a_result_that_a_body_reads(self) -> None:
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]> g (float[2,6] x) => (float[2,6] z) {
                s = Reshape (x, split)
                t = Transpose <perm = [0, 2, 1]> (s)
                y = Reshape (t, whole)
                z = If (yes) <
                    then_branch = a () => (float[2,6] p) { p = Neg (y) },
                    else_branch = b () => (float[2,6] q) { q = Relu (y) }
                >
            }""",
            {
                "split": np.array([2, 2, 3]),
                "whole": np.array([2, 6]),
                "yes": np.array(True),
            },
        )
        assert operators(canonical(proto, 2, 6)) == ["Gather", "If"]


class TestLeftAlone:
    """What is no shuffle, or is wanted in between."""

    @pytest.mark.parametrize(
        ("source", "split", "perm", "whole"),
        [
            # the batch moves, or space does
            ("2,6,4,5", [2, 2, 3, 4, 5], [1, 2, 0, 3, 4], [2, 6, 4, 5]),
            ("N,6,4,4", [0, 2, 3, 4, 4], [0, 2, 1, 4, 3], [0, 6, 4, 4]),
            ("N,6,4,4", [0, 2, 3, 4, 4], [0, 1, 2, 4, 3], [0, 6, 4, 4]),
            # it becomes something else than it was
            ("N,6,4,5", [0, 2, 3, 4, 5], [0, 2, 1, 3, 4], [0, 6, 5, 4]),
            ("N,6,4,5", [0, 2, 3, 4, 5], [0, 2, 1, 3, 4], [0, 3, 8, 5]),
            ("N,6,4,5", [0, 2, 3, 4, 5], [0, 2, 1, 3, 4], [0, 6, 20, 1]),
            # space is merged on the way
            ("N,6,4,5", [0, 2, 3, 20], [0, 2, 1, 3], [0, 6, 4, 5]),
            # channels are taken together with space
            ("N,6,4,5", [0, 4, 3, 2, 5], [0, 3, 2, 1, 4], [0, 6, 4, 5]),
            # nothing is split
            ("N,6,6,5", [0, 6, 6, 5], [0, 2, 1, 3], [0, 6, 6, 5]),
            ("N,6,4,5", [0, 6, 4, 5], [0, 1, 2, 3], [0, 6, 4, 5]),
            # 2 times 3 is 6, but those 6 lie across the border of two channels
            ("4,6,2,1", [8, 2, 3, 1, 1], [0, 2, 1, 3, 4], [4, 6, 2, 1]),
            # the batch is open before and behind, yet not the same: N times 6 fours
            ("N,6,4,1", [-1, 2, 2, 4, 1], [0, 2, 1, 3, 4], [-1, 6, 4, 1]),
        ],
    )
    def test_as_it_was(
        self, source: str, split: list[int], perm: list[int], whole: list[int]
    ) -> None:
        sizes = [int(size) if size.isdigit() else 2 for size in source.split(",")]
        model = canonical(graph(f"float[{source}]", split, perm, whole), *sizes)
        assert operators(model) == UNTOUCHED

    def test_a_result_of_another_rank(self) -> None:
        proto = graph(
            "float[N,6,4,5]", [0, 2, 3, 4, 5], [0, 2, 1, 3, 4], [0, 6, 20], target="float[a,b,c] z"
        )
        assert operators(canonical(proto, 2, 6, 4, 5)) == UNTOUCHED

    @pytest.mark.parametrize("names", ["H,W", "?,?"])
    def test_two_open_sizes(self, names: str) -> None:
        # 0 at place 3 of the target copies W to where H was; x is no longer what it seems
        proto = graph(f"float[2,6,{names}]", [2, 2, 3, 0, -1], [0, 2, 1, 3, 4], [2, 6, -1, 0])
        assert operators(canonical(proto, 2, 6, 4, 5)) == UNTOUCHED

    def test_an_open_number_of_channels(self) -> None:
        proto = graph("float[2,C,4,5]", [2, 2, -1, 4, 5], [0, 2, 1, 3, 4], [2, -1, 4, 5])
        assert operators(canonical(proto, 2, 6, 4, 5)) == UNTOUCHED

    def test_an_open_piece(self) -> None:
        # the number of channels is known, but not that all of them are split
        proto = graph("float[N,6,H,5]", [2, 2, -1, 4, 5], [0, 2, 1, 3, 4], [2, 6, 4, 5])
        assert operators(canonical(proto, 2, 6, 4, 5)) == UNTOUCHED

    @pytest.mark.parametrize("tensor", ["s", "t"])
    def test_a_tensor_in_between_that_is_used_elsewhere(self, tensor: str) -> None:
        proto = graph(
            "float[N,6,4,5]",
            [0, 2, 3, 4, 5],
            [0, 2, 1, 3, 4],
            [0, 6, 4, 5],
            body=f"{BEHIND} w = Relu ({tensor})",
            target="float[a,b,c,d] z, float[e,f,g,h,i] w",
        )
        assert operators(canonical(proto, 2, 6, 4, 5)) == [*UNTOUCHED, "Relu"]

    @pytest.mark.parametrize("tensor", ["s", "t"])
    def test_a_tensor_in_between_that_is_an_output(self, tensor: str) -> None:
        sizes = "N,2,3,4,5" if tensor == "s" else "N,3,2,4,5"
        proto = graph(
            "float[N,6,4,5]",
            [0, 2, 3, 4, 5],
            [0, 2, 1, 3, 4],
            [0, 6, 4, 5],
            target=f"float[a,b,c,d] z, float[{sizes}] {tensor}",
        )
        assert operators(canonical(proto, 2, 6, 4, 5)) == UNTOUCHED

    @pytest.mark.parametrize("tensor", ["s", "t"])
    def test_a_tensor_in_between_that_a_body_reads(self, tensor: str) -> None:
        proto = graph(
            "float[2,6,4,5]",
            [2, 2, 3, 4, 5],
            [0, 2, 1, 3, 4],
            [2, 6, 4, 5],
            body=f"""{BEHIND} w = If (yes) <
                then_branch = a () => (float[e,f,g,h,i] p) {{ p = Neg ({tensor}) }},
                else_branch = b () => (float[e,f,g,h,i] q) {{ q = Relu ({tensor}) }}
            >""",
            target="float[a,b,c,d] z, float[e,f,g,h,i] w",
        )
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
        assert operators(canonical(proto, 2, 6, 4, 5)) == [*UNTOUCHED, "If"]

    @pytest.mark.parametrize("place", [1, 2])
    def test_something_between_the_three(self, place: int) -> None:
        operand = "s" if place == 1 else "t"
        proto = graph("float[N,6,4,5]", [0, 2, 3, 4, 5], [0, 2, 1, 3, 4], [0, 6, 4, 5])
        proto.graph.node.insert(place, onnx.helper.make_node("Relu", [operand], ["between"]))
        proto.graph.node[place + 1].input[0] = "between"
        expected = [*UNTOUCHED[:place], "Relu", *UNTOUCHED[place:]]
        assert operators(canonical(proto, 2, 6, 4, 5)) == expected

    def test_a_transpose_that_turns_everything_round(self) -> None:
        # (2, 3, 4) to (4, 3, 2): without `perm` all axes are meant
        proto = graph("float[6,4]", [2, 3, 4], [1, 0, 2], [6, 4], target="float[a,b] z")
        del proto.graph.node[1].attribute[:]
        assert operators(canonical(proto, 6, 4)) == UNTOUCHED

    @pytest.mark.parametrize("target", ["split", "whole"])
    def test_a_target_that_is_fed(self, target: str) -> None:
        sizes = {"split": [2, 2, 3, 4, 5], "whole": [2, 6, 4, 5]}
        proto = graph("float[2,6,4,5]", sizes["split"], [0, 2, 1, 3, 4], sizes["whole"])
        kept = [tensor for tensor in proto.graph.initializer if tensor.name != target]
        del proto.graph.initializer[:]
        proto.graph.initializer.extend(kept)
        info = onnx.helper.make_tensor_value_info
        proto.graph.input.append(info(target, onnx.TensorProto.INT64, ["K"]))
        proto.graph.value_info.extend(stored({"s": sizes["split"], "y": sizes["whole"]}))
        model = normalize(load(proto))
        assert operators(model) == UNTOUCHED
        inputs: Arrays = {
            "x": RNG.standard_normal((2, 6, 4, 5)).astype(np.float32),
            target: np.array(sizes[target]),
        }
        assert_identical(run(model, inputs), run(proto, inputs))

    def test_an_operand_of_unknown_rank(self) -> None:
        proto = graph("float[2,6]", [2, 2, 3], [0, 2, 1], [2, 6], target="float[a,b] z")
        proto.graph.node.insert(0, onnx.helper.make_node("Reshape", ["x", "fed"], ["r"]))
        proto.graph.node[1].input[0] = "r"
        info = onnx.helper.make_tensor_value_info("fed", onnx.TensorProto.INT64, ["K"])
        proto.graph.input.append(info)
        model = normalize(load(proto))
        assert operators(model) == ["Reshape", *UNTOUCHED]
        inputs: Arrays = {
            "x": RNG.standard_normal((2, 6)).astype(np.float32),
            "fed": np.array([6, 2]),
        }
        assert_identical(run(model, inputs), run(proto, inputs))

    def test_targets_that_are_attributes(self) -> None:
        # before opset 5; ONNX Runtime does not run those
        proto = proto_of(
            """<ir_version: 3, opset_import: ["": 4]> g (float[2,6] x) => (float[2,6] z) {
                s = Reshape <shape = [2, 2, 3]> (x)
                t = Transpose <perm = [0, 2, 1]> (s)
                y = Reshape <shape = [2, 6]> (t)
                z = Neg (y)
            }"""
        )
        assert operators(normalize(load(proto))) == UNTOUCHED

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_operators_of_another_domain(self, place: int) -> None:
        proto = graph("float[N,6,4,5]", [0, 2, 3, 4, 5], [0, 2, 1, 3, 4], [0, 6, 4, 5])
        proto.opset_import.append(onnx.helper.make_opsetid("my", 1))
        proto.graph.node[place].domain = "my"
        sizes = {"s": ["N", 2, 3, 4, 5], "t": ["N", 3, 2, 4, 5], "y": ["N", 6, 4, 5]}
        proto.graph.value_info.extend(stored(sizes))
        assert operators(normalize(load(proto))) == UNTOUCHED


class TestCut:
    """Behind the Gather any set of channels can go, where only rectangles could before."""

    @pytest.mark.parametrize("removed", [[0], [1, 5], [0, 2, 3, 4]])
    def test_any_channels(self, removed: list[int]) -> None:
        weights: dict[str, npt.NDArray[Any]] = {
            name: RNG.standard_normal(sizes).astype(np.float32)
            for name, sizes in {"w1": (6, 3, 1, 1), "w2": (2, 6, 1, 1)}.items()
        }
        weights |= {"split": np.array([-1, 2, 3, 4, 5]), "whole": np.array([-1, 6, 4, 5])}
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]>
            g (float[N,3,4,5] x) => (float[N,2,4,5] y) {
                [front] p = Conv (x, w1)
                s = Reshape (p, split)
                t = Transpose <perm = [0, 2, 1, 3, 4]> (s)
                q = Reshape (t, whole)
                [back] y = Conv (q, w2)
            }""",
            weights,
        )
        model = normalize(load(proto))
        channels = analyze(model)
        [group] = channels.groups
        assert group.width == 6
        assert channels.axes["q", 1].tolist() == channels.axes["p", 1][TestShuffled.BY_TWO].tolist()
        units = np.sort(channels.axes["p", 1][removed])
        thinner = cut(model, channels, make_plan(channels, model.graph.initializers, units, ""))
        x: Arrays = {"x": RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)}
        assert_equal_to_masked(model, channels, units, thinner, x)
        left = 6 - len(removed)
        assert math.prod(run(thinner, x)["y"].shape) == 2 * 2 * 4 * 5
        assert str(thinner.graph.initializers["w2"].shape) == f"[2,{left},1,1]"
