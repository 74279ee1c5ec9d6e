"""What several rules ask of a node's operands."""

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from onnxtrim.channels.ops.operands import (
    axes_of,
    bearer,
    bind_like,
    blocked_channels,
    chosen,
    contract,
    factor_weights,
    freeze_all,
    hand_on,
    is_constant,
    name,
    optional,
    relate_broadcast,
    repeated,
    sizes_of,
    tiled,
)
from onnxtrim.channels.reasons import Code, Reason
from onnxtrim.channels.relations import Channels, Fixed, Relations
from onnxtrim.graph import infer_shapes, load

FIXED = Fixed(Reason(Code.BROADCAST, "somewhere", "because"))

MODEL = """<ir_version: 8, opset_import: ["": 17]>
g (float[N,3,4] x, float[2,3,4] z) => (float[N,3,4] y, float[2,3,4] t, float[2,3,2] u)
<float[3,4] w> {
    k = Cast <to = 1> (w)
    [clip] y = Clip (x, , top)
    [sum] t = Add (z, k)
    [product] u = MatMul (t, v)
    [noise] r = RandomNormal <shape = [2]> ()
    [strange] q = my.Strange (x)
}"""


@pytest.fixture
def values() -> dict[str, ir.Value]:
    """Returns every tensor of the model by name."""
    text = MODEL.replace('["": 17]', '["": 17, "my": 1]').replace("<float[3,4] w> ", "")
    weights: Arrays = {
        "w": np.zeros((3, 4), np.float16), "v": np.zeros((4, 2), np.float32),
        "top": np.array(6, np.float32), "b": np.zeros((3, 1), np.float32),
    }  # fmt: skip
    graph = infer_shapes(load(proto_of(text, weights))).graph
    made = [v for node in graph for v in node.outputs]
    return {str(v.name): v for v in (*graph.inputs, *graph.initializers.values(), *made)}


def tensor(name: str, *sizes: int | str) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(sizes), type=ir.TensorType(ir.DataType.FLOAT))


def made(name: str, *sizes: int | str) -> ir.Value:
    """Returns the output of a node that nothing constant goes into."""
    value = tensor(name, *sizes)
    ir.Node("", "Thing", [tensor("fed", 1)], outputs=[value])
    return value


def constant_of(name: str, *values: int) -> ir.Value:
    """Returns an initializer that holds integers."""
    value = ir.Value(name=name, const_value=ir.Tensor(np.array(values, dtype=np.int64), name=name))
    ir.Graph([], [], nodes=[], initializers=[value], opset_imports={"": 17})
    return value


def producer(value: ir.Value) -> ir.Node:
    node = value.producer()
    assert node is not None
    return node


def ids(channels: object) -> list[int]:
    assert isinstance(channels, np.ndarray)
    return [int(i) for i in channels]


def test_name_of_an_operand_left_out_is_empty(values: dict[str, ir.Value]) -> None:
    assert name(values["x"]) == "x"
    assert name(None) == ""
    assert name(ir.Value(name=None)) == ""


def test_optional_operands_may_be_left_out_or_lie_behind_the_end(
    values: dict[str, ir.Value],
) -> None:
    clip = producer(values["y"])
    assert optional(clip, 1) is None
    assert optional(clip, 2) is values["top"]
    assert optional(clip, 3) is None


def test_sizes_of_a_tensor_without_rank_are_refused(values: dict[str, ir.Value]) -> None:
    assert sizes_of(values["x"]) == (None, 3, 4)
    with pytest.raises(ValueError, match="the rank of 'q' is unknown"):
        sizes_of(values["q"])
    with pytest.raises(ValueError, match="the rank of '' is unknown"):
        sizes_of(None)


def test_a_constant_is_an_initializer_or_made_of_nothing_else(
    values: dict[str, ir.Value],
) -> None:
    constant = {n for n, value in values.items() if is_constant(value)}
    assert constant == {"w", "v", "top", "b", "k", "r"}


def test_a_weight_is_a_constant_only_a_few_nodes_behind_initializers(
    values: dict[str, ir.Value],
) -> None:
    chain = [values["w"]]
    for i in range(9):
        chain.append(tensor(f"c{i}", 3, 4))
        ir.Node("", "Neg", [chain[-2]], outputs=[chain[-1]])
    assert [is_constant(value) for value in chain] == [True] * 9 + [False]


def test_blocked_channels_are_axis_1_of_the_first_input_and_output(
    values: dict[str, ir.Value],
) -> None:
    assert blocked_channels(producer(values["t"])) == (("z", 1), ("t", 1))


def test_bind_like_hands_every_axis_on(values: dict[str, ir.Value]) -> None:
    rel = Relations()
    given = rel.axis(values["w"], 1)
    bind_like(rel, values["k"], values["w"])
    assert ids(rel.axis(values["k"], 1)) == ids(given)
    assert ids(rel.axis(values["k"], 0)) == ids(rel.axis(values["w"], 0))
    bind_like(rel, values["y"], values["x"])
    assert all(isinstance(rel.axis(values["y"], axis), Fixed) for axis in range(3))


def test_freeze_all_refuses_every_axis(values: dict[str, ir.Value]) -> None:
    rel = Relations()
    rel.begin(producer(values["t"]))
    freeze_all(rel, values["w"], Code.MIXED, "because")
    frozen = [(ids(found), reason.node, reason.sentence) for found, reason in rel.refusals()]
    # w is 3 x 4: ids 0 to 2 for its rows, 3 to 6 for its columns
    assert frozen == [([0, 1, 2], "sum", "because"), ([3, 4, 5, 6], "sum", "because")]


def test_relate_broadcast_meets_from_the_right(values: dict[str, ir.Value]) -> None:
    rel = Relations()
    rel.begin(producer(values["t"]))
    rows, columns = rel.axis(values["w"], 0), rel.axis(values["w"], 1)  # 0..2 and 3..6
    relate_broadcast(rel, values["b"], (rel.axis(None, 0), rows, columns), (2, 3, 4))
    left, right = rel.edges()
    # b is (3, 1): its 3 rows (ids 7 to 9) meet those of w; its one column (id 10) is stretched
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == [(7, 0), (8, 1), (9, 2)]
    [(frozen, reason)] = rel.refusals()
    assert ids(frozen) == [10]
    assert (reason.code, reason.node) == (Code.BROADCAST, "sum")
    assert reason.sentence == "axis 1 of b is stretched over several positions"


def test_relate_broadcast_stretches_nothing_over_one_position(
    values: dict[str, ir.Value],
) -> None:
    rel = Relations()
    one = rel.concrete(Fixed(rel.reason(Code.POSITIONS, "")), 1)  # id 0
    relate_broadcast(rel, values["b"], (rel.axis(values["w"], 0), one), (3, 1))
    left, right = rel.edges()
    # w has ids 1 to 3, the rows of b 4 to 6, its column 7
    pairs = list(zip(left.tolist(), right.tolist(), strict=True))
    assert pairs == [(4, 1), (5, 2), (6, 3), (7, 0)]


class TestIds:
    """`repeated`, `tiled` and `chosen`."""

    def test_each_in_a_row_or_all_behind_one_another(self) -> None:
        given = np.array([7, 5, 6])
        assert ids(repeated(given, 2)) == [7, 7, 5, 5, 6, 6]
        assert ids(tiled(given, 2)) == [7, 5, 6, 7, 5, 6]
        assert ids(repeated(given, 1)) == ids(tiled(given, 1)) == [7, 5, 6]

    def test_some_in_the_order_of_their_places(self) -> None:
        assert ids(chosen(np.array([7, 5, 6]), np.array([2, 0, 2]))) == [6, 7, 6]
        assert ids(chosen(np.array([7, 5, 6]), np.array([], dtype=np.int64))) == []

    def test_a_fixed_axis_stays_what_it_is(self) -> None:
        assert repeated(FIXED, 2) is FIXED
        assert tiled(FIXED, 2) is FIXED
        assert chosen(FIXED, np.array([0])) is FIXED


class TestAxesOf:
    """Axes as an attribute, as an operand, or not at all."""

    def axes(self, *inputs: ir.Value | None, attribute: tuple[int, ...] | None = None) -> object:
        attributes = [] if attribute is None else [ir.AttrInt64s("axes", attribute)]
        node = ir.Node("", "Thing", [ir.Value(name="x"), *inputs], attributes=attributes)
        return axes_of(node, 4)

    def test_of_an_attribute(self) -> None:
        assert self.axes(attribute=(1, -1)) == (1, 3)

    def test_of_a_constant_operand(self) -> None:
        assert self.axes(constant_of("axes", -4, 2)) == (0, 2)

    def test_of_another_operand(self) -> None:
        node = ir.Node("", "Thing", [ir.Value(name="x"), None, constant_of("axes", -1)])
        assert axes_of(node, 2, 2) == (1,)

    @pytest.mark.parametrize("inputs", [(), (None,)])
    def test_none_named(self, inputs: tuple[None, ...]) -> None:
        assert self.axes(*inputs) == ()

    def test_computed_ones_are_unknown(self) -> None:
        assert self.axes(ir.Value(name="fed")) is None

    def test_of_a_scalar(self) -> None:
        node = ir.Node("", "Thing", [ir.Value(name="x")], attributes=[ir.AttrInt64s("axes", (0,))])
        assert axes_of(node, 0) == (0,)


class TestHandOn:
    """The axes of the first operand, some of them frozen, on every output."""

    def node(self, *outputs: tuple[int | str, ...] | None) -> ir.Node:
        """Returns a node over x (2, 3, 4) with outputs of some sizes; None for one left out."""
        made = [
            tensor("" if sizes is None else f"y{i}", *(sizes or ()))
            for i, sizes in enumerate(outputs)
        ]
        return ir.Node("", "Thing", [tensor("x", 2, 3, 4)], outputs=made, name="thing")

    def related(self, node: ir.Node, frozen: dict[int, str]) -> Relations:
        """Returns the relations: ids 0 to 2 on axis 1 of x, 3 to 6 on axis 2."""
        rel, x = Relations(), node.inputs[0]
        assert x is not None
        rel.bind(x, 0, FIXED)
        rel.bind(x, 1, rel.fresh(3))
        rel.bind(x, 2, rel.fresh(4))
        rel.begin(node)
        hand_on(rel, node, frozen)
        return rel

    def test_axes_that_are_not_frozen(self) -> None:
        node = self.node((2, 3, 4))
        rel = self.related(node, {})
        assert rel.axis(node.outputs[0], 0) == FIXED
        assert ids(rel.axis(node.outputs[0], 1)) == [0, 1, 2]
        assert ids(rel.axis(node.outputs[0], 2)) == [3, 4, 5, 6]
        assert rel.refusals() == []

    def test_frozen_ones_say_why_and_are_handed_on_where_they_have_their_size(self) -> None:
        node = self.node((2, 3, 4), None, (2, 3, 1))
        rel = self.related(node, {2: "because", 0: "for nothing"})
        [(frozen, reason)] = rel.refusals()
        assert ids(frozen) == [3, 4, 5, 6]
        assert (reason.code, reason.node, reason.sentence) == (Code.MIXED, "thing", "because")
        assert ids(rel.axis(node.outputs[0], 2)) == [3, 4, 5, 6]
        assert ("y2", 2) not in rel.axes
        assert ids(rel.axis(node.outputs[2], 1)) == [0, 1, 2]
        assert {name for name, _ in rel.axes} == {"x", "y0", "y2"}


class TestBearer:
    """Which operand's ids an axis of a broadcast result has."""

    def found(self, axis: int, size: int | None, fixed: bool = False) -> Channels:
        """Returns the ids of an axis of a (3, 4) [ids 0..2, 3..6] with b (2, 1, 4) [7, 8..11]."""
        rel = Relations()
        a, b = tensor("a", 3, 4), tensor("b", 2, 1, 4)
        for value, own, length in ((a, 0, 3), (a, 1, 4), (b, 1, 1), (b, 2, 4)):
            rel.bind(value, own, rel.fresh(length))
        rel.bind(b, 0, FIXED)
        if fixed:
            rel.bind(b, 2, FIXED)
        return bearer(rel, [(a, (3, 4)), (b, (2, 1, 4))], axis, size)

    def test_the_first_that_spans_it(self) -> None:
        assert ids(self.found(-1, 4)) == [3, 4, 5, 6]

    def test_one_that_is_stretched_does_not_span_it(self) -> None:
        assert ids(self.found(-2, 3)) == [0, 1, 2]

    def test_one_of_lower_rank_does_not_reach_it(self) -> None:
        assert self.found(-3, 2) == FIXED

    def test_a_fixed_axis_wins(self) -> None:
        assert self.found(-1, 4, fixed=True) == FIXED

    def test_what_none_spans_is_fixed(self) -> None:
        found = self.found(-1, 5)
        assert isinstance(found, Fixed)
        assert found.reason.code == Code.POSITIONS


class TestContract:
    """The inner axes of a matrix product."""

    def test_by_a_weight_they_are_tied_and_free(self, values: dict[str, ir.Value]) -> None:
        rel, product = Relations(), producer(values["u"])
        rel.bind(values["t"], 2, rel.fresh(4))  # ids 0 to 3; the rows of v are 4 to 7
        rel.begin(product)
        contract(rel, product, (1, 2), (1, 0))
        left, right = rel.edges()
        pairs = list(zip(left.tolist(), right.tolist(), strict=True))
        assert pairs == [(0, 4), (1, 5), (2, 6), (3, 7)]
        assert rel.refusals() == []

    def test_between_computed_factors_they_are_frozen(self) -> None:
        a, b = made("a", 2, 3), made("b", 3, 4)
        node = ir.Node("", "MatMul", [a, b], name="scores")
        rel = Relations()
        rel.bind(a, 1, rel.fresh(3))
        rel.bind(b, 0, rel.fresh(3))
        rel.begin(node)
        contract(rel, node, (0, 1), (1, 0))
        left, right = rel.edges()
        assert list(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 3), (1, 4), (2, 5)]
        sentence = "both factors of the product are computed"
        assert [(ids(found), r.code, r.node, r.sentence) for found, r in rel.refusals()] == [
            ([0, 1, 2], Code.MIXED, "scores", sentence),
            ([3, 4, 5], Code.MIXED, "scores", sentence),
        ]


class TestFactorWeights:
    """The constant factor writes its outer axis and reads its inner one."""

    def test_on_the_right(self, values: dict[str, ir.Value]) -> None:
        [weight] = factor_weights(producer(values["u"]), (1, 2), (1, 0))
        assert (weight.value, weight.writes, weight.reads) == (values["v"], 1, 0)

    def test_on_the_left(self, values: dict[str, ir.Value]) -> None:
        node = ir.Node("", "MatMul", [values["w"], values["x"]])
        [weight] = factor_weights(node, (0, 1), (None, 0))
        assert (weight.value, weight.writes, weight.reads) == (values["w"], 0, 1)

    @pytest.mark.parametrize("pair", [("x", "z"), ("w", "v"), ("x", ""), ("", "v")])
    def test_none_where_both_or_neither_is_constant(
        self, values: dict[str, ir.Value], pair: tuple[str, str]
    ) -> None:
        node = ir.Node("", "MatMul", [values.get(name) for name in pair])
        assert factor_weights(node, (0, 1), (1, 0)) == ()
