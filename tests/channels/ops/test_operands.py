"""What several rules ask of a node's operands."""

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from onnxtrim.channels.ops.operands import (
    bind_like,
    blocked_channels,
    freeze_all,
    is_constant,
    merged,
    name,
    optional,
    relate_broadcast,
    sizes_of,
)
from onnxtrim.channels.reasons import Code
from onnxtrim.channels.relations import Fixed, Relations
from onnxtrim.graph import infer_shapes, load

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


class TestMerged:
    """Neighbouring axes in row-major order."""

    def test_positions_behind_the_channels_repeat_them(self, values: dict[str, ir.Value]) -> None:
        rel = Relations()
        rel.bind(values["t"], 1, rel.axis(values["b"], 0))  # t is (2, 3, 4); ids 0 to 2
        assert ids(merged(rel, values["t"], (1, 2))) == [0] * 4 + [1] * 4 + [2] * 4

    def test_positions_in_front_tile_them(self, values: dict[str, ir.Value]) -> None:
        rel = Relations()
        rel.bind(values["t"], 1, rel.axis(values["b"], 0))
        assert ids(merged(rel, values["t"], (0, 1))) == [0, 1, 2, 0, 1, 2]
        assert ids(merged(rel, values["t"], (0, 1, 2))) == ([0] * 4 + [1] * 4 + [2] * 4) * 2

    def test_one_axis_is_itself(self, values: dict[str, ir.Value]) -> None:
        rel = Relations()
        rel.bind(values["t"], 1, rel.axis(values["b"], 0))
        assert ids(merged(rel, values["t"], (1,))) == [0, 1, 2]

    def test_without_channels_the_first_reason_is_handed_on(
        self, values: dict[str, ir.Value]
    ) -> None:
        found = merged(Relations(), values["x"], (0, 1))
        assert isinstance(found, Fixed)
        assert found.reason.sentence == "x is an input of the graph"

    def test_two_channel_axes_are_frozen(self, values: dict[str, ir.Value]) -> None:
        rel = Relations()
        found = merged(rel, values["w"], (0, 1))
        assert isinstance(found, Fixed)
        assert found.reason.code == Code.MIXED
        assert found.reason.sentence == "several axes of w with channels are flattened into one"
        assert [ids(frozen) for frozen, _ in rel.refusals()] == [[0, 1, 2], [3, 4, 5, 6]]
        assert [reason for _, reason in rel.refusals()] == [found.reason] * 2

    def test_positions_of_unknown_number_freeze_the_channels(
        self, values: dict[str, ir.Value]
    ) -> None:
        rel = Relations()
        rel.bind(values["y"], 1, rel.axis(values["b"], 0))  # y is (N, 3, 4)
        found = merged(rel, values["y"], (0, 1))
        assert isinstance(found, Fixed)
        [(frozen, reason)] = rel.refusals()
        assert ids(frozen) == [0, 1, 2]
        assert reason == found.reason
        assert reason.code == Code.DYNAMIC_SIZE
        assert reason.sentence == "y is flattened, and a size of it is not known"

    def test_two_channel_axes_and_an_unknown_size_are_mixed_first(
        self, values: dict[str, ir.Value]
    ) -> None:
        rel = Relations()
        rel.bind(values["y"], 1, rel.axis(values["w"], 0))  # y is (N, 3, 4)
        rel.bind(values["y"], 2, rel.axis(values["w"], 1))
        found = merged(rel, values["y"], (0, 1, 2))
        assert isinstance(found, Fixed)
        assert found.reason.code == Code.MIXED
        assert found.reason.sentence == "several axes of y with channels are flattened into one"
        assert [ids(frozen) for frozen, _ in rel.refusals()] == [[0, 1, 2], [3, 4, 5, 6]]
