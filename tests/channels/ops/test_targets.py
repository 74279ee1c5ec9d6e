"""Operands that say how large a result is follow the cut, constant or computed.

Normalisation makes constants of sizes that are known. Where they are to be computed the models here
are analysed without it.
"""

import numpy as np
import onnx_ir as ir
import pytest
from cutting import Analysed, Given, analysed, initializers, ints
from oracle import Arrays, proto_of

from onnxtrim.channels import analyze
from onnxtrim.graph import infer_shapes, load


def as_written(signature: str, body: str, /, **weights: Given) -> Analysed:
    """Returns the graph in ONNX text, analysed as it is."""
    rng = np.random.default_rng(42)
    arrays: Arrays = {
        name: rng.standard_normal(given).astype(np.float32) if isinstance(given, tuple) else given
        for name, given in weights.items()
    }
    text = f'<ir_version: 8, opset_import: ["": 17]> g {signature} {{ {body} }}'
    model = infer_shapes(load(proto_of(text, arrays)))
    return Analysed(model, analyze(model))


def operand(model: ir.Model, node: str, index: int) -> ir.Value:
    """Returns an operand of the node of that name."""
    value = model.graph.node(node).inputs[index]
    assert value is not None
    return value


def figures(model: ir.Model, node: str, index: int) -> list[int]:
    """Returns a constant operand."""
    return [int(i) for i in initializers(model)[str(operand(model, node, index).name)]]


def correction(model: ir.Model, node: str, index: int) -> tuple[dict[int, int], str]:
    """Returns what a `Where` puts into a computed operand, by place, and the operand's name."""
    where = operand(model, node, index).producer()
    assert where is not None
    assert where.op_type == "Where"
    known, sizes, old = (str(value.name) for value in where.inputs if value is not None)
    arrays = initializers(model)
    places = np.flatnonzero(arrays[known])
    return {int(place): int(arrays[sizes][place]) for place in places}, old


class TestConstants:
    """A constant is replaced where it names a width that is another now."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ((2, 4, 6), (2, 3, 6)),
            ((0, 4, 6), (0, 3, 6)),
            ((-1, 4, 6), (-1, 3, 6)),
            ((0, 4, -1), (0, 3, -1)),
            ((0, 0, -1), (0, 0, -1)),  # 0 copies the new width
            ((2, -1, 6), (2, -1, 6)),  # -1 is the rest
        ],
    )
    def test_of_reshape(self, before: tuple[int, ...], after: tuple[int, ...]) -> None:
        case = analysed(
            "(float[2,3,2,3] x) => (float[2,5,6] y)",
            "[first] h = Conv (x, w1) [size] f = Reshape (h, target) [last] y = Conv (f, w2)",
            w1=(4, 3, 1, 1), w2=(5, 4, 1), target=ints(*before),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 1))
        assert figures(thinner, "size", 1) == list(after)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ((2, 4, 6, 6), (2, 2, 6, 6)),
            ((4, 6, 6), (2, 6, 6)),  # the axes on the right
            ((1, 1, 6, 6), (1, 1, 6, 6)),  # 1 takes what is there
        ],
    )
    def test_of_expand(self, before: tuple[int, ...], after: tuple[int, ...]) -> None:
        case = analysed(
            "(float[2,3,6,1] x) => (float[2,5,6,6] y)",
            "[first] h = Conv (x, w1) [size] f = Expand (h, target) [last] y = Conv (f, w2)",
            w1=(4, 3, 1, 1), w2=(5, 4, 1, 1), target=ints(*before),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 1, 2))
        assert figures(thinner, "size", 1) == list(after)

    def test_of_resize(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x) => (float[N,5,4,6] y)",
            """
            [first] h = Conv (x, w1)
            [size] f = Resize <mode = "nearest"> (h, , , sizes)
            [last] y = Conv (f, w2)
            """,
            w1=(4, 3, 1, 1), w2=(5, 4, 1, 1), sizes=ints(2, 4, 4, 6),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0))
        assert figures(thinner, "size", 3) == [2, 3, 4, 6]

    def test_of_resize_along_some_axes(self) -> None:
        case = analysed(
            "(float[N,3,2,3] x) => (float[N,5,2,6] y)",
            """
            [first] h = Conv (x, w1)
            [size] f = Resize <mode = "nearest", axes = [3, 1]> (h, , , sizes)
            [last] y = Conv (f, w2)
            """,
            opset=18, w1=(4, 3, 1, 1), w2=(5, 4, 1, 1), sizes=ints(6, 4),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0))
        assert figures(thinner, "size", 3) == [6, 3]

    def test_another_user_keeps_its_own_value(self) -> None:
        case = analysed(
            "(float[2,3,2,3] x, float[2,4,2,3] k) => (float[2,5,6] y, float[2,4,6] z)",
            """
            [first] h = Conv (x, w1)
            [size] f = Reshape (h, target) [last] y = Conv (f, w2)
            [other] z = Reshape (k, target)
            """,
            w1=(4, 3, 1, 1), w2=(5, 4, 1), target=ints(2, 4, 6),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0, 3))
        assert figures(thinner, "size", 1) == [2, 2, 6]
        assert figures(thinner, "other", 1) == [2, 4, 6]
        assert operand(thinner, "other", 1).name == "target"


class TestComputed:
    """An operand that the graph computes is corrected where the size of the result is known."""

    def space(self, wide: str) -> Analysed:
        """Returns conv (4 channels) -> reshape to (N, 4, S * T), computed with `wide` -> conv."""
        return as_written(
            "(float[N,3,S,T] x, int64[1] fed) => (float[N,5,m] y)",
            f"""
            [first] h = Conv (x, w1)
            all = Shape (h) n = Gather (all, i0) c = Gather (all, i1)
            target = Concat <axis = 0> (n, {wide}, rest)
            [size] f = Reshape (h, target)
            [last] y = Conv (f, w2)
            """,
            w1=(4, 3, 1, 1), w2=(5, 4, 1), i0=ints(0), i1=ints(1), four=ints(4), rest=ints(-1),
        )  # fmt: skip

    @pytest.mark.parametrize("wide", ["c", "four"])
    def test_the_width_is_put_in(self, wide: str) -> None:
        case = self.space(wide)
        assert case.pattern(("h", 1), ("f", 1)) == [[0, 1, 2, 3]] * 2
        thinner = case.cut(case.units("h", 1, 1, 2))
        assert correction(thinner, "size", 1) == ({1: 2}, "target")
        assert initializers(thinner)["four"].tolist() == [4]

    def test_nothing_is_put_in_where_nothing_is_cut(self) -> None:
        case = as_written(
            "(float[N,3,S,T] x) => (float[N,5,S,T] y, float[N,3,m] z)",
            """
            [first] h = Conv (x, w1) [last] y = Conv (h, w2)
            all = Shape (x) n = Gather (all, i0) c = Gather (all, i1)
            target = Concat <axis = 0> (n, c, rest)
            [size] z = Reshape (x, target)
            """,
            w1=(4, 3, 1, 1), w2=(5, 4, 1, 1), i0=ints(0), i1=ints(1), rest=ints(-1),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 1))
        assert operand(thinner, "size", 1).name == "target"

    def test_two_readers_are_corrected_each_for_itself(self) -> None:
        # `target` says 4 for both: h loses one channel and g two
        case = as_written(
            "(float[N,3,S,T] x) => (float[N,5,m] y, float[N,5,m] z)",
            """
            [first] h = Conv (x, w1) [second] g = Conv (x, w2)
            all = Shape (x) n = Gather (all, i0)
            target = Concat <axis = 0> (n, four, rest)
            [size] f = Reshape (h, target) [last] y = Conv (f, w3)
            [sizes] e = Reshape (g, target) [end] z = Conv (e, w4)
            """,
            w1=(4, 3, 1, 1), w2=(4, 3, 1, 1), w3=(5, 4, 1), w4=(5, 4, 1),
            i0=ints(0), four=ints(4), rest=ints(-1),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 1), case.units("g", 1, 0, 2))
        assert correction(thinner, "size", 1) == ({1: 3}, "target")
        assert correction(thinner, "sizes", 1) == ({1: 2}, "target")


class TestShapesOfCutTensors:
    """A size read off a tensor that is cut must not shrink what stays whole."""

    @pytest.mark.parametrize(
        "sized",
        [
            "[size] e = Expand (one, all)",
            "passed = Cast <to = 7> (all) [size] e = Expand (one, passed)",
            # by way of many nodes
            "s0 = Cast <to = 7> (all) "
            + " ".join(f"s{i + 1} = Cast <to = 7> (s{i})" for i in range(30))
            + " [size] e = Expand (one, s30)",
        ],
    )
    def test_a_constant_stretched_to_it_keeps_its_width(self, sized: str) -> None:
        # e is as large as h was: its 4 rows are read as positions of the output z
        case = as_written(
            "(float[2,3,5,6] x) => (float[2,7,5,6] y, float[2,4,5,6] z)",
            f"[first] h = Conv (x, w1) [last] y = Conv (h, w2) all = Shape (h) {sized} z = Neg (e)",
            w1=(4, 3, 1, 1), w2=(7, 4, 1, 1), one=(1,),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 3))
        where, _ = correction(thinner, "size", 1)
        assert where == {0: 2, 1: 4, 2: 5, 3: 6}

    def test_by_either_of_two_ways(self) -> None:
        # `top` and `bottom` are the same shape, so what is behind it is asked for once
        case = as_written(
            "(float[2,3,5,6] x) => (float[2,7,5,6] y, float[2,4,5,6] z)",
            """
            [first] h = Conv (x, w1) [last] y = Conv (h, w2)
            all = Shape (h)
            a = Slice (all, i0, i2) b = Slice (all, i2, i4)
            there = Concat <axis = 0> (a, b)
            [size] e = Expand (one, there) z = Neg (e)
            """,
            w1=(4, 3, 1, 1), w2=(7, 4, 1, 1), one=(1,), i0=ints(0), i2=ints(2), i4=ints(4),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0, 3))
        assert correction(thinner, "size", 1) == ({0: 2, 1: 4, 2: 5, 3: 6}, "there")

    def test_a_shape_of_a_whole_tensor_is_left_alone(self) -> None:
        case = as_written(
            "(float[2,3,5,6] x) => (float[2,7,5,6] y, float[2,3,5,6] z)",
            """
            [first] h = Conv (x, w1) [last] y = Conv (h, w2)
            all = Shape (x) [size] e = Expand (one, all) z = Neg (e)
            """,
            w1=(4, 3, 1, 1), w2=(7, 4, 1, 1), one=(1,),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0))
        assert operand(thinner, "size", 1).name == "all"

    def test_one_that_is_fed_is_left_alone(self) -> None:
        case = as_written(
            "(float[2,3,5,6] x, int64[4] all) => (float[2,7,5,6] y, float[a,b,c,d] z)",
            """
            [first] h = Conv (x, w1) [last] y = Conv (h, w2)
            [size] z = Expand (one, all)
            """,
            w1=(4, 3, 1, 1), w2=(7, 4, 1, 1), one=(1,),
        )  # fmt: skip
        kept = case.channels.without(case.units("h", 1, 0))
        node = case.node("size")
        case.rule("size").rewrite(node, kept)
        assert node.inputs[1] is case.model.graph.inputs[1]

    def test_what_follows_the_cut_is_as_small_as_the_cut_leaves_it(self) -> None:
        # zeros of h's sizes are added to h, and follow it
        case = as_written(
            "(float[N,3,5,6] x) => (float[N,7,5,6] y)",
            """
            [first] h = Conv (x, w1)
            all = Shape (h) [size] e = ConstantOfShape (all)
            s = Add (h, e) [last] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), w2=(7, 4, 1, 1),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0))
        assert correction(thinner, "size", 0) == ({1: 3, 2: 5, 3: 6}, "all")
