"""Units -> groups: same axes, as often, for the same reason; named and ordered by the graph."""

from typing import ClassVar

import numpy as np
import pytest
from oracle import proto_of

from onnxtrim.channels import ChannelGroup, ChannelMap, Code, Tap, WeightRead, WeightUse, analyze
from onnxtrim.channels.grouping import group_units
from onnxtrim.channels.ops.matmul import MatMul
from onnxtrim.graph import load, normalize


def mapped(signature: str, body: str, **shapes: tuple[int, ...]) -> ChannelMap:
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    text = f'<ir_version: 8, opset_import: ["": 17]> g {signature} {{ {body} }}'
    return analyze(normalize(load(proto_of(text, weights))))


def named(channels: ChannelMap) -> dict[str, ChannelGroup]:
    return {group.name: group for group in channels.groups}


class TestMembers:
    """Which units are ranked together."""

    def test_a_tie_may_run_through_several_channels_of_one_tensor(self) -> None:
        channels = mapped(
            "(float[N,2,5,5] x) => (float[N,2,5,5] y)",
            """
            [stem] h = Conv (x, w1)
            [twin] t = Conv (x, w2)
            j = Concat <axis = 1> (h, t)
            k = Concat <axis = 1> (t, h)
            s = Add (j, k)
            [last] y = Conv (s, w3)
            """,
            w1=(4, 2, 1, 1), w2=(2, 2, 1, 1), w3=(2, 6, 1, 1),
        )  # fmt: skip
        # j is h0 h1 h2 h3 t0 t1 and k is t0 t1 h0 h1 h2 h3: h0 = t0 = h2 and h1 = t1 = h3
        [group] = channels.groups
        assert group.width == 2
        assert (group.axes["h", 1], group.axes["t", 1], group.axes["s", 1]) == (2, 1, 3)

    def test_units_that_lie_on_other_axes_are_another_group(self) -> None:
        # of the 4 channels of `wide`, the first is tied to `narrow`, the others to `other`
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [wide] h = Conv (x, w1)
            [narrow] n = Conv (x, w2)
            [other] o = Conv (x, w3)
            j = Concat <axis = 1> (n, o)
            s = Add (h, j)
            [last] y = Conv (s, w4)
            """,
            w1=(4, 3, 1, 1), w2=(1, 3, 1, 1), w3=(3, 3, 1, 1), w4=(2, 4, 1, 1),
        )  # fmt: skip
        found = named(channels)
        assert {name: group.width for name, group in found.items()} == {"narrow": 1, "other": 3}
        assert [use.node for use in found["narrow"].writers] == ["narrow", "wide"]
        assert [use.node for use in found["other"].writers] == ["other", "wide"]

    def test_one_writer_of_two_groups_names_both(self) -> None:
        # of the 5 channels of `a`, the first 2 are tied to `b`, the others to `c`
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [a] h = Conv (x, w1)
            [b] n = Conv (x, w2)
            [c] m = Conv (x, w3)
            j = Concat <axis = 1> (n, m)
            s = Add (h, j)
            [last] y = Conv (s, w4)
            """,
            w1=(5, 3, 1, 1), w2=(2, 3, 1, 1), w3=(3, 3, 1, 1), w4=(2, 5, 1, 1),
        )  # fmt: skip
        # both groups have `a` as a writer, at the same depth as `b` and `c`: it comes first
        assert [(g.name, g.width) for g in channels.groups] == [("a", 2), ("a#2", 3)]
        assert [use.node for use in channels.groups[1].writers] == ["a", "c"]

    def test_how_often_a_unit_lies_on_an_axis_tells_groups_apart(self) -> None:
        # channel 0 of `one` is joined twice, those of `two` once: no unit lies on the same axes
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [one] p = Conv (x, w1)
            [two] q = Conv (x, w2)
            j = Concat <axis = 1> (p, q, p)
            [last] y = Conv (j, w3)
            """,
            w1=(1, 3, 1, 1), w2=(2, 3, 1, 1), w3=(2, 4, 1, 1),
        )  # fmt: skip
        found = named(channels)
        assert (found["one"].axes["j", 1], found["two"].axes["j", 1]) == (2, 1)
        assert found["one"].positions(channels.axes, "j", 1).tolist() == [[0, 3]]
        assert found["two"].positions(channels.axes, "j", 1).tolist() == [[1], [2]]

    def test_on_the_same_axes_but_not_as_often_is_another_group(self) -> None:
        # unit 1 has two of the four rows of w, units 0 and 2 one each
        proto = proto_of(
            """<ir_version: 8, opset_import: ["": 17]> g (float[N,3] x) => (float[N,4] y) {
                [a] y = MatMul (x, w)
            }""",
            {"w": np.ones((3, 4), np.float32)},
        )
        [node] = load(proto).graph
        axes = {("w", 1): np.array([0, 1, 2, 1]), ("y", 1): np.array([0, 1, 2, 1])}
        found = group_units(axes, [None, None, None], [(node, MatMul())], {node: 1})
        assert [(g.name, g.units.tolist(), g.axes["y", 1]) for g in found] == [
            ("a", [0, 2], 1),
            ("a#2", [1], 2),
        ]

    def test_a_part_that_is_frozen_is_a_group_of_its_own(self) -> None:
        # the first 2 of 5 channels of h meet the input
        channels = mapped(
            "(float[N,2,5,5] x) => (float[N,2,5,5] y)",
            """
            [a] h = Conv (x, w1)
            [b] n = Conv (x, w2)
            j = Concat <axis = 1> (x, n)
            s = Add (h, j)
            [last] y = Conv (s, w3)
            """,
            w1=(5, 2, 1, 1), w2=(3, 2, 1, 1), w3=(2, 5, 1, 1),
        )  # fmt: skip
        [free] = channels.groups
        assert (free.width, [use.node for use in free.writers]) == (3, ["a", "b"])
        frozen = {g.name: (g.width, g.reason.code) for g in channels.frozen_groups if g.reason}
        assert set(frozen.values()) == {(2, Code.GRAPH_INPUT), (2, Code.GRAPH_OUTPUT)}


class TestOrder:
    """From input to output, whatever the order and the names of the nodes."""

    CHAIN = """
        [z] h1 = Conv (x, w1)
        [m] h2 = Conv (h1, w2)
        {middle}
        [c] h4 = Conv (h3, w4)
        [a] h5 = Conv (h4, w5)
        [b] y = Conv (h5, w6)
    """
    WEIGHTS: ClassVar[dict[str, tuple[int, ...]]] = {
        "w1": (2, 3, 1, 1), "w2": (3, 2, 1, 1), "w4": (4, 3, 1, 1), "w5": (5, 4, 1, 1),
        "w6": (2, 5, 1, 1),
    }  # fmt: skip
    SIGNATURE = "(float[N,3,5,5] x) => (float[N,2,5,5] y)"

    def test_along_a_chain(self) -> None:
        body = self.CHAIN.format(middle="h3 = Relu (h2)")
        channels = mapped(self.SIGNATURE, body, **self.WEIGHTS)
        assert [group.name for group in channels.groups] == ["z", "m", "c", "a"]

    def test_across_a_barrier(self) -> None:
        body = self.CHAIN.format(middle="h3 = LRN <size = 3> (h2)")
        channels = mapped(self.SIGNATURE, body, **self.WEIGHTS)
        assert [group.name for group in channels.groups] == ["z", "c", "a"]

    def test_side_by_side_by_name(self) -> None:
        channels = mapped(
            self.SIGNATURE,
            """
            [second] p = Conv (x, w1)
            [first] q = Conv (x, w2)
            j = Concat <axis = 1> (p, q)
            [last] y = Conv (j, w3)
            """,
            w1=(2, 3, 1, 1), w2=(3, 3, 1, 1), w3=(2, 5, 1, 1),
        )  # fmt: skip
        assert [group.name for group in channels.groups] == ["first", "second"]

    def test_units_come_in_the_order_of_the_first_writer(self) -> None:
        channels = mapped(
            self.SIGNATURE,
            "[a] h = Conv (x, w1) [b] y = Conv (h, w2)",
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        [group] = channels.groups
        assert group.units.tolist() == channels.axes["w1", 0].tolist()
        assert group.positions(channels.axes, "w1", 0).tolist() == [[0], [1], [2], [3]]


class TestTaps:
    """Statistics are taken after activations; for want of one, where a weight reads."""

    SIGNATURE = "(float[N,3,5,5] x) => (float[N,2,5,5] y)"
    WEIGHTS: ClassVar[dict[str, tuple[int, ...]]] = {"w1": (4, 3, 1, 1), "w2": (2, 4, 1, 1)}

    @pytest.mark.parametrize(
        ("between", "taps"),
        [
            ("r = Relu (h)", [Tap("r", 1, activation=True, zeroes=True)]),
            ("r = Sigmoid (h)", [Tap("r", 1, activation=True, zeroes=False)]),
            ("r = Abs (h)", [Tap("r", 1, activation=False, zeroes=False)]),
            (
                "s = Relu (h) r = Tanh (s)",
                [
                    Tap("r", 1, activation=True, zeroes=False),
                    Tap("s", 1, activation=True, zeroes=True),
                ],
            ),
            (
                "s = Relu (h) r = MaxPool <kernel_shape = [1, 1]> (s)",
                [Tap("s", 1, activation=True, zeroes=True)],
            ),
        ],
    )
    def test_where(self, between: str, taps: list[Tap]) -> None:
        body = f"[a] h = Conv (x, w1) {between} [b] y = Conv (r, w2)"
        [group] = mapped(self.SIGNATURE, body, **self.WEIGHTS).groups
        assert list(group.taps) == taps

    def test_both_branches_that_read_without_activation(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y, float[N,2,5,5] z)",
            "[a] h = Conv (x, w1) n = Neg (h) [b] y = Conv (h, w2) [c] z = Conv (n, w3)",
            w3=(2, 4, 1, 1), **self.WEIGHTS,
        )  # fmt: skip
        [group] = channels.groups
        assert [(tap.tensor, tap.activation) for tap in group.taps] == [("h", False), ("n", False)]

    def test_what_is_sliced_away_is_measured_where_it_is_made(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [a] h = Conv (x, w1)
            zero = Constant <value_ints = [0]> () two = Constant <value_ints = [2]> ()
            one = Constant <value_ints = [1]> ()
            s = Slice (h, zero, two, one)
            [b] y = Conv (s, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 2, 1, 1),
        )  # fmt: skip
        read, dead = channels.groups
        assert list(read.taps) == [Tap("s", 1, activation=False, zeroes=False)]
        assert (dead.readers, list(dead.taps)) == (
            (), [Tap("h", 1, activation=False, zeroes=False)],
        )  # fmt: skip


class TestWeights:
    """Writers, readers and block widths."""

    def test_writers_and_readers_name_node_tensor_and_axis(self) -> None:
        channels = mapped(
            "(float[N,3,2,2] x) => (float[N,2] y)",
            """
            [a] h = Conv (x, w1)
            f = Flatten (h)
            [b] y = Gemm <transB = 1> (f, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 16),
        )  # fmt: skip
        [group] = channels.groups
        assert group.writers == (WeightUse("a", "w1", 0),)
        source = Tap("f", 1, activation=False, zeroes=False)
        assert group.readers == (WeightRead("b", "w2", 1, outputs=0, source=source),)
        assert group.axes["w2", 1] == 4

    @pytest.mark.parametrize(
        ("read", "shape", "axis", "outputs"),
        [
            ("g = Conv (h, w)", (2, 4, 3, 3), 1, 0),
            ("g = ConvTranspose (h, w)", (4, 2, 3, 3), 0, 1),
            ("f = Flatten (h) g = Gemm (f, w)", (100, 2), 0, 1),
            ("f = Flatten (h) g = Gemm <transA = 1, transB = 1> (w, f)", (100, 2), 0, 1),
            ("p = ReduceMean <axes = [2, 3], keepdims = 0> (h) g = MatMul (p, w)", (6, 4, 2), 1, 2),
            ("t = Transpose <perm = [0, 2, 1, 3]> (h) g = MatMul (w, t)", (2, 4), 1, 0),
            ("t = Transpose <perm = [0, 2, 3, 1]> (h) g = MatMul (t, w)", (4,), 0, None),
            ('g = Einsum <equation = "nchw,cdk->ndkhw"> (h, w)', (4, 2, 3), 0, None),
        ],
    )
    def test_a_reader_says_which_axis_makes_its_outputs(
        self, read: str, shape: tuple[int, ...], axis: int, outputs: int | None
    ) -> None:
        channels = mapped(
            "(float[N,3,5,5] x) => (float y)",
            f"[a] h = Conv (x, w1) {read} y = ReduceSum <keepdims = 0> (g)",
            w1=(4, 3, 1, 1), w=shape,
        )  # fmt: skip
        [group] = channels.groups
        [found] = group.readers
        assert (found.tensor, found.axis, found.outputs) == ("w", axis, outputs)

    def test_every_reader_says_where_it_is_fed(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y, float[N,2] z)",
            """
            [a] h = Conv (x, w1)
            r = Relu (h)
            [b] y = Conv (r, w2)
            p = GlobalAveragePool (r)
            f = Flatten (p)
            [c] z = Gemm (f, w3)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), w3=(4, 2),
        )  # fmt: skip
        [group] = channels.groups
        assert [(read.node, read.source) for read in group.readers] == [
            ("b", Tap("r", 1, activation=False, zeroes=False)),
            ("c", Tap("f", 1, activation=False, zeroes=False)),
        ]

    def test_hidden_units_are_fed_to_themselves_where_nothing_can_be_measured(self) -> None:
        channels = mapped(
            "(float[5,N,3] x) => (float[5,1,N,2] y)",
            "[cell] s = RNN <hidden_size = 4> (x, w, r) [last] y = MatMul (s, v)",
            w=(1, 4, 3), r=(1, 4, 4), v=(4, 2),
        )  # fmt: skip
        [group] = channels.groups
        assert group.writers == (WeightUse("cell", "r", 1), WeightUse("cell", "w", 1))
        assert group.readers == (
            WeightRead("cell", "r", 2, outputs=1, source=None),
            WeightRead(
                "last", "v", 0, outputs=1, source=Tap("s", 3, activation=False, zeroes=False)
            ),
        )

    def test_scales_come_in_the_order_of_their_nodes(self) -> None:
        vectors = ("scale", "zz", "shift", "mean", "var")
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [a] h = Conv (x, w1)
            [z] m = BatchNormalization (h, zz, shift, mean, var)
            [b] n = BatchNormalization (m, scale, shift, mean, var)
            [last] y = Conv (n, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), **dict.fromkeys(vectors, (4,)),
        )  # fmt: skip
        [group] = channels.groups
        assert group.scales == (WeightUse("z", "zz", 0), WeightUse("b", "scale", 0))

    def test_widths_that_runtimes_compute_in_blocks(self) -> None:
        # `a` makes 2 units of one channel each, `deep` two of each: both lie on axes of a Conv
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2] y)",
            """
            [a] h = Conv (x, w1)
            [deep] d = Conv <group = 2> (h, w2)
            p = GlobalAveragePool (d)
            f = Flatten (p)
            [b] g = MatMul (f, w3)
            [c] y = MatMul (g, w4)
            """,
            w1=(2, 3, 1, 1), w2=(4, 1, 1, 1), w3=(4, 6), w4=(6, 2),
        )  # fmt: skip
        found = named(channels)
        assert found["a"].block_positions == (1, 2)
        assert found["b"].block_positions == ()

    def test_what_no_weight_writes_is_no_group(self) -> None:
        channels = mapped(
            "(float[N,3] x, float[N,4] z) => (float[N,2] y)",
            "s = Add (z, c) [b] y = MatMul (s, w)",
            c=(4,), w=(4, 2),
        )  # fmt: skip
        assert channels.groups == ()
        assert [group.name for group in channels.frozen_groups] == ["b"]
