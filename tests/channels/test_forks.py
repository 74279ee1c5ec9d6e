"""Where several axes could carry the units, the one that frees most of them does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import pytest
from oracle import Arrays, assert_equal_to_masked, proto_of, run

from onnxtrim.channels import ChannelMap, Code, Reason, analyze
from onnxtrim.channels.forks import settle
from onnxtrim.channels.relations import Fixed, Relations
from onnxtrim.graph import load, normalize
from onnxtrim.graph.edit import initializers
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut

BECAUSE = Reason(Code.MIXED, "somewhere", "because")
BATCH = 2


@dataclass(frozen=True)
class Case:
    """A model in ONNX text, normalised and analysed."""

    model: ir.Model
    channels: ChannelMap

    @property
    def widths(self) -> dict[str, int]:
        """Returns the units of each group that can be cut."""
        return {group.name: group.width for group in self.channels.groups}

    def why(self, group: str) -> Reason:
        """Returns why a group is frozen."""
        [reason] = [g.reason for g in self.channels.frozen_groups if g.name == group]
        assert reason is not None
        return reason

    def pattern(self, *keys: tuple[str, int]) -> list[list[int]]:
        """Returns the units of several axes, numbered in the order of their first appearance."""
        numbers: dict[int, int] = {}
        return [
            [numbers.setdefault(int(unit), len(numbers)) for unit in self.channels.axes[key]]
            for key in keys
        ]

    def cut(self, group: str, *places: int) -> Arrays:
        """Returns the weights without some units of a group.

        The cut model computes what the original computes with their readers zeroed, which is not
        what it computes with them.
        """
        [units] = [g.units for g in self.channels.groups if g.name == group]
        removed = units[list(places)]
        plan = make_plan(self.channels, self.model.graph.initializers, removed, "")
        thinner = cut(self.model, self.channels, plan)
        rng = np.random.default_rng(7)
        inputs: Arrays = {}
        for value in self.model.graph.inputs:
            sizes = [size if isinstance(size, int) else BATCH for size in value.shape or ()]
            inputs[str(value.name)] = rng.standard_normal(sizes).astype(np.float32)
        assert_equal_to_masked(self.model, self.channels, removed, thinner, inputs)
        before, after = run(self.model, inputs), run(thinner, inputs)
        assert any(not np.allclose(before[name], after[name], atol=1e-3) for name in before)
        return {
            str(value.name): value.const_value.numpy()
            for value in initializers(thinner)
            if value.const_value is not None
        }


def analysed(
    signature: str,
    body: str,
    weights: Mapping[str, tuple[int, ...]],
    ints: Mapping[str, int | Sequence[int]] | None = None,
) -> Case:
    """Returns the graph in ONNX text with random weights of some shapes, and integer constants."""
    rng = np.random.default_rng(42)
    arrays: Arrays = {n: rng.standard_normal(s).astype(np.float32) for n, s in weights.items()}
    arrays |= {name: np.array(values, dtype=np.int64) for name, values in (ints or {}).items()}
    text = f'<ir_version: 8, opset_import: ["": 17]> g {signature} {{ {body} }}'
    model = normalize(load(proto_of(text, arrays)))
    return Case(model, analyze(model))


def shapes(arrays: Arrays, *names: str) -> list[tuple[int, ...]]:
    return [arrays[name].shape for name in names]


def attention(
    *,
    scores: str = "u = Div (s, root)",
    apart: tuple[int, ...] = (0, 0, 3, 2),
    together: tuple[int, ...] = (0, 0, 6),
    more_inputs: str = "",
    more_weights: Mapping[str, tuple[int, ...]] | None = None,
) -> Case:
    """Returns self-attention by 3 heads of 2 over 4 tokens of 5 features.

    `scores` makes u of s, both (N, 3, 4, 4). Of q, k and v, which lie at one depth, the first by
    name gives its name to what they share.
    """
    return analysed(
        f"(float[N,4,5] x{more_inputs}) => (float[N,4,7] y)",
        f"""
        [q] q1 = MatMul (x, wq) q2 = Add (q1, bq) q3 = Reshape (q2, apart)
        qt = Transpose <perm = [0, 2, 1, 3]> (q3)
        [k] k1 = MatMul (x, wk) k3 = Reshape (k1, apart)
        kt = Transpose <perm = [0, 2, 3, 1]> (k3)
        [v] v1 = MatMul (x, wv) v3 = Reshape (v1, apart)
        vt = Transpose <perm = [0, 2, 1, 3]> (v3)
        [scores] s = MatMul (qt, kt)
        {scores}
        p = Softmax <axis = -1> (u)
        [mix] m = MatMul (p, vt)
        mt = Transpose <perm = [0, 2, 1, 3]> (m) f = Reshape (mt, together)
        [out] y = MatMul (f, wo)
        """,
        {"wq": (5, 6), "bq": (6,), "wk": (5, 6), "wv": (5, 6), "wo": (6, 7), "root": (1,),
         **(more_weights or {})},
        {"apart": apart, "together": together},
    )  # fmt: skip


class TestAttention:
    """Query, key and value split their features into heads: only whole heads are free in all."""

    @pytest.mark.parametrize(
        ("apart", "together", "apart_after", "together_after"),
        [
            ((0, 0, 3, 2), (0, 0, 6), (0, 0, 2, 2), (0, 0, 4)),
            ((0, 0, -1, 2), (0, 0, -1), (0, 0, -1, 2), (0, 0, -1)),
            ((-1, 4, 3, 2), (-1, 4, 6), (-1, 4, 2, 2), (-1, 4, 4)),
        ],
    )
    def test_whole_heads_can_go(
        self,
        apart: tuple[int, ...],
        together: tuple[int, ...],
        apart_after: tuple[int, ...],
        together_after: tuple[int, ...],
    ) -> None:
        case = attention(apart=apart, together=together)
        assert case.widths == {"k": 3}
        heads = [0, 0, 1, 1, 2, 2]
        features = [("q1", 2), ("bq", 0), ("k1", 2), ("v1", 2), ("f", 2), ("wo", 0)]
        assert case.pattern(*features) == [heads] * 6
        assert (
            case.pattern(("qt", 1), ("kt", 1), ("s", 1), ("p", 1), ("vt", 1), ("m", 1))
            == [[0, 1, 2]] * 6
        )
        left = case.cut("k", 1)
        assert shapes(left, "wq", "bq", "wk", "wv", "wo") == [
            (5, 4), (4,), (5, 4), (5, 4), (4, 7),
        ]  # fmt: skip
        assert left["apart"].tolist() == list(apart_after)
        assert left["together"].tolist() == list(together_after)

    def test_one_head_may_be_all_that_is_left(self) -> None:
        left = attention().cut("k", 0, 2)
        assert shapes(left, "wq", "wo") == [(5, 2), (2, 7)]
        assert left["apart"].tolist() == [0, 0, 1, 2]

    def test_the_heads_that_stay_keep_their_numbers(self) -> None:
        case = attention()
        before = {str(v.name): v.const_value for v in initializers(case.model)}
        left = case.cut("k", 0)
        for name, axis in (("wq", 1), ("wk", 1), ("wv", 1), ("wo", 0)):
            tensor = before[name]
            assert tensor is not None
            assert left[name].tolist() == np.take(tensor.numpy(), [2, 3, 4, 5], axis).tolist()

    def test_what_is_added_to_the_scores_of_each_head_goes_with_it(self) -> None:
        case = attention(scores="u = Add (s, table)", more_weights={"table": (3, 4, 4)})
        assert case.widths == {"k": 3}
        assert shapes(case.cut("k", 2), "table", "wo") == [(2, 4, 4), (4, 7)]

    def test_a_mask_for_all_heads_is_no_hindrance(self) -> None:
        case = attention(scores="u = Add (s, mask)", more_inputs=", float[N,1,4,4] mask")
        assert case.widths == {"k": 3}
        assert shapes(case.cut("k", 1), "wq", "wo") == [(5, 4), (4, 7)]

    def test_where_heads_cannot_go_the_features_of_the_values_can(self) -> None:
        # a mask that is fed has every head in it; of each head's values one feature may go, but
        # not of queries and keys, whose product sums over them: these take the first option
        case = attention(scores="u = Add (s, mask)", more_inputs=", float[N,3,4,4] mask")
        assert case.widths == {"v": 2}
        assert case.pattern(("v1", 2), ("vt", 3), ("m", 3), ("wo", 0)) == [
            [0, 1, 0, 1, 0, 1], [0, 1], [0, 1], [0, 1, 0, 1, 0, 1],
        ]  # fmt: skip
        assert case.pattern(("q1", 2), ("k1", 2)) == [[0, 0, 1, 1, 2, 2]] * 2
        assert case.why("k") == Reason(Code.GRAPH_INPUT, "", "mask is an input of the graph")
        left = case.cut("v", 1)
        assert shapes(left, "wq", "wk", "wv", "wo") == [(5, 6), (5, 6), (5, 3), (3, 7)]
        # q and k keep the target that they shared with v
        assert left["apart"].tolist() == [0, 0, 3, 2]
        targets = {name: a.tolist() for name, a in left.items() if a.dtype == np.int64}
        assert sorted(targets.values()) == [[0, 0, 3], [0, 0, 3, 1], [0, 0, 3, 2]]

    def test_two_layers_choose_alike(self) -> None:
        # the features between them are a group of their own
        def layer(i: int, x: str, y: str) -> str:
            return f"""
            [q{i}] q{i}1 = MatMul ({x}, wq{i}) q{i}3 = Reshape (q{i}1, apart)
            q{i}t = Transpose <perm = [0, 2, 1, 3]> (q{i}3)
            [k{i}] k{i}1 = MatMul ({x}, wk{i}) k{i}3 = Reshape (k{i}1, apart)
            k{i}t = Transpose <perm = [0, 2, 3, 1]> (k{i}3)
            [v{i}] v{i}1 = MatMul ({x}, wv{i}) v{i}3 = Reshape (v{i}1, apart)
            v{i}t = Transpose <perm = [0, 2, 1, 3]> (v{i}3)
            s{i} = MatMul (q{i}t, k{i}t) p{i} = Softmax (s{i}) m{i} = MatMul (p{i}, v{i}t)
            m{i}t = Transpose <perm = [0, 2, 1, 3]> (m{i}) f{i} = Reshape (m{i}t, together)
            [out{i}] {y} = MatMul (f{i}, wo{i})
            """

        weights: dict[str, tuple[int, ...]] = {"wo1": (6, 8), "wo2": (6, 7)}
        for name in "qkv":
            weights |= {f"w{name}1": (5, 6), f"w{name}2": (8, 6)}
        case = analysed(
            "(float[N,4,5] x) => (float[N,4,7] y)",
            layer(1, "x", "h") + layer(2, "h", "y"),
            weights,
            {"apart": (0, 0, 3, 2), "together": (0, 0, 6)},
        )
        assert case.widths == {"k1": 3, "out1": 8, "k2": 3}
        left = case.cut("k2", 0, 1)
        assert shapes(left, "wq1", "wo1", "wq2", "wo2") == [(5, 6), (6, 8), (8, 2), (2, 7)]


class TestPackedAttention:
    """One product makes query, key and value; the axis of 3 can never be cut."""

    def packed(self, parts: str, apart: tuple[int, ...], perm: list[int]) -> Case:
        """Returns attention by 4 heads of 2; `parts` takes q, k and v (N, 4, T, 2) from p."""
        return analysed(
            "(float[N,3,5] x) => (float[N,3,7] y)",
            f"""
            [qkv] h = MatMul (x, w1) a = Reshape (h, apart)
            p = Transpose <perm = {perm}> (a)
            {parts}
            kt = Transpose <perm = [0, 1, 3, 2]> (k)
            s = MatMul (q, kt) w = Softmax (s) m = MatMul (w, v)
            mt = Transpose <perm = [0, 2, 1, 3]> (m) f = Reshape (mt, together)
            [out] y = MatMul (f, w2)
            """,
            {"w1": (5, 24), "w2": (8, 7)},
            {"apart": apart, "together": (0, 0, 8), "first": (0,), "ones": (1, 1, 1),
             "i0": 0, "i1": 1, "i2": 2},
        )  # fmt: skip

    SPLIT = """
        q1, k1, v1 = Split <axis = 0> (p, ones)
        q = Squeeze (q1, first) k = Squeeze (k1, first) v = Squeeze (v1, first)
    """
    GATHER = """
        q = Gather <axis = 0> (p, i0) k = Gather <axis = 0> (p, i1) v = Gather <axis = 0> (p, i2)
    """

    @pytest.mark.parametrize("parts", [SPLIT, GATHER])
    def test_heads_behind_the_3(self, parts: str) -> None:
        case = self.packed(parts, (0, 0, 3, 4, 2), [2, 0, 3, 1, 4])
        assert case.widths == {"qkv": 4}
        heads = [0, 0, 1, 1, 2, 2, 3, 3]
        assert case.pattern(("h", 2), ("p", 2), ("w2", 0)) == [heads * 3, [0, 1, 2, 3], heads]
        left = case.cut("qkv", 1, 3)
        assert shapes(left, "w1", "w2") == [(5, 12), (4, 7)]
        assert left["apart"].tolist() == [0, 0, 3, 2, 2]
        assert left["together"].tolist() == [0, 0, 4]

    @pytest.mark.parametrize("parts", [SPLIT, GATHER])
    def test_heads_in_front_of_the_3(self, parts: str) -> None:
        case = self.packed(parts, (0, 0, 4, 3, 2), [3, 0, 2, 1, 4])
        assert case.widths == {"qkv": 4}
        assert case.pattern(("h", 2)) == [[0] * 6 + [1] * 6 + [2] * 6 + [3] * 6]
        left = case.cut("qkv", 0)
        assert shapes(left, "w1", "w2") == [(5, 18), (6, 7)]
        assert left["apart"].tolist() == [0, 0, 3, 3, 2]

    def test_split_before_the_heads_are_made(self) -> None:
        # three Reshapes over one product: three forks, tied by the scores
        case = analysed(
            "(float[N,3,5] x) => (float[N,3,7] y)",
            """
            [qkv] h = MatMul (x, w1)
            q1, k1, v1 = Split <axis = 2> (h, widths)
            q3 = Reshape (q1, apart) k3 = Reshape (k1, apart) v3 = Reshape (v1, apart)
            q = Transpose <perm = [0, 2, 1, 3]> (q3)
            kt = Transpose <perm = [0, 2, 3, 1]> (k3)
            v = Transpose <perm = [0, 2, 1, 3]> (v3)
            s = MatMul (q, kt) w = Softmax (s) m = MatMul (w, v)
            mt = Transpose <perm = [0, 2, 1, 3]> (m) f = Reshape (mt, together)
            [out] y = MatMul (f, w2)
            """,
            {"w1": (5, 24), "w2": (8, 7)},
            {"apart": (0, 0, 4, 2), "together": (0, 0, 8), "widths": (8, 8, 8)},
        )
        assert case.widths == {"qkv": 4}
        left = case.cut("qkv", 2)
        assert shapes(left, "w1", "w2") == [(5, 18), (6, 7)]
        assert left["widths"].tolist() == [6, 6, 6]
        assert left["apart"].tolist() == [0, 0, 3, 2]


def shuffle(i: int, x: str, y: str, order: str) -> str:
    """Returns a pixel shuffle by 2 as text; `order` says where the channels lie in the sixths."""
    perm = [0, 1, 4, 2, 5, 3] if order == "Crr" else [0, 3, 4, 1, 5, 2]
    return f"""
        a{i} = Reshape ({x}, apart{i}_{order}) t{i} = Transpose <perm = {perm}> (a{i})
        {y} = Reshape (t{i}, together{i})
    """


class TestPixelShuffle:
    """Of the three axes that the channels are split into, only C stays an axis of channels."""

    @pytest.mark.parametrize(
        ("order", "apart", "pattern", "after"),
        [
            ("Crr", (0, 3, 2, 2, 2, 5), [0] * 4 + [1] * 4 + [2] * 4, [0, 2, 2, 2, 2, 5]),
            ("rrC", (0, 2, 2, 3, 2, 5), [0, 1, 2] * 4, [0, 2, 2, 2, 2, 5]),
        ],
    )
    def test_channels_in_front_or_behind(
        self, order: str, apart: tuple[int, ...], pattern: list[int], after: list[int]
    ) -> None:
        name = f"apart1_{order}"
        case = analysed(
            "(float[N,5,2,5] x) => (float[N,7,4,10] y)",
            f"[first] h = Conv (x, w1) {shuffle(1, 'h', 'u', order)} [last] y = Conv (u, w2)",
            {"w1": (12, 5, 1, 1), "w2": (7, 3, 1, 1)},
            {name: apart, "together1": (0, 3, 4, 10)},
        )
        assert case.widths == {"first": 3}
        assert case.pattern(("h", 1), ("u", 1)) == [pattern, [0, 1, 2]]
        left = case.cut("first", 1)
        assert shapes(left, "w1", "w2") == [(8, 5, 1, 1), (7, 2, 1, 1)]
        assert left[name].tolist() == after
        assert left["together1"].tolist() == [0, 2, 4, 10]

    @pytest.mark.parametrize("orders", [("Crr", "rrC"), ("rrC", "Crr")])
    def test_two_in_one_network_choose_each_for_itself(self, orders: tuple[str, str]) -> None:
        case = analysed(
            "(float[N,5,2,2] x) => (float[N,7,8,8] y)",
            f"""
            [first] h = Conv (x, w1) {shuffle(1, "h", "u", orders[0])}
            [second] g = Conv (u, w2) {shuffle(2, "g", "v", orders[1])}
            [last] y = Conv (v, w3)
            """,
            {"w1": (12, 5, 1, 1), "w2": (12, 3, 1, 1), "w3": (7, 3, 1, 1)},
            {"apart1_Crr": (0, 3, 2, 2, 2, 2), "apart1_rrC": (0, 2, 2, 3, 2, 2),
             "apart2_Crr": (0, 3, 2, 2, 4, 4), "apart2_rrC": (0, 2, 2, 3, 4, 4),
             "together1": (0, 3, 4, 4), "together2": (0, 3, 8, 8)},
        )  # fmt: skip
        assert case.widths == {"first": 3, "second": 3}
        assert shapes(case.cut("first", 0), "w1", "w2") == [(8, 5, 1, 1), (12, 2, 1, 1)]
        assert shapes(case.cut("second", 0, 2), "w2", "w3") == [(4, 3, 1, 1), (7, 1, 1, 1)]


class TestReshapedWeights:
    """A weight behind a Reshape: one of the axes that it is split into can be cut."""

    def test_inputs_before_positions_of_the_kernel(self) -> None:
        # (2, 4 * 3 * 3) to (2, 4, 3, 3): outputs are kept apart, of the rest inputs are free
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,3,3] y)",
            "[first] h = Conv (x, w1) k = Reshape (w2, sizes) [last] y = Conv (h, k)",
            {"w1": (4, 3, 1, 1), "w2": (2, 36)},
            {"sizes": (2, 4, 3, 3)},
        )
        assert case.widths == {"first": 4}
        assert case.pattern(("h", 1), ("w2", 1)) == [
            [0, 1, 2, 3],
            [0] * 9 + [1] * 9 + [2] * 9 + [3] * 9,
        ]
        left = case.cut("first", 2)
        assert shapes(left, "w1", "w2") == [(3, 3, 1, 1), (2, 27)]
        assert left["sizes"].tolist() == [2, 3, 3, 3]

    def test_outputs_of_a_kernel_stored_flat(self) -> None:
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            "k = Reshape (w1, sizes) [first] h = Conv (x, k) [last] y = Conv (h, w2)",
            {"w1": (12,), "w2": (2, 4, 1, 1)},
            {"sizes": (4, 3, 1, 1)},
        )
        assert case.widths == {"first": 4}
        assert case.pattern(("h", 1), ("w1", 0)) == [
            [0, 1, 2, 3], [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
        ]  # fmt: skip
        assert shapes(case.cut("first", 0, 3), "w1", "w2") == [(6,), (2, 2, 1, 1)]

    def test_inputs_of_a_kernel_stored_flat(self) -> None:
        # its outputs are those of the graph, so the second option it is
        case = analysed(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            "k = Reshape (w2, sizes) [first] h = Conv (x, w1) [last] y = Conv (h, k)",
            {"w1": (4, 3, 1, 1), "w2": (8,)},
            {"sizes": (2, 4, 1, 1)},
        )
        assert case.widths == {"first": 4}
        assert case.pattern(("h", 1), ("w2", 0)) == [[0, 1, 2, 3], [0, 1, 2, 3] * 2]
        assert shapes(case.cut("first", 1), "w1", "w2") == [(3, 3, 1, 1), (6,)]

    def test_a_table_that_is_flattened(self) -> None:
        # (3, 2) to (6,): a weight has units on every axis, and more rows than columns
        case = analysed(
            "(float[N,5] x) => (float[N,7] y)",
            """
            [first] h = MatMul (x, w1)
            bias = Reshape (table, flat) s = Add (h, bias)
            [last] y = MatMul (s, w2)
            """,
            {"w1": (5, 6), "table": (3, 2), "w2": (6, 7)},
            {"flat": (6,)},
        )
        assert case.widths == {"first": 3}
        assert case.pattern(("h", 1), ("table", 0)) == [[0, 0, 1, 1, 2, 2], [0, 1, 2]]
        assert shapes(case.cut("first", 0), "w1", "table", "w2") == [(5, 4), (2, 2), (4, 7)]


class Forks:
    """Relations made for a test: forks of some options, each with a number of free units.

    Args:
        forks: for each fork the free units of each option, of 6 ids that are at stake.
        tied: forks that share their first id whatever they choose.
    """

    def __init__(self, *forks: tuple[int, ...], tied: tuple[int, ...] = ()) -> None:
        """Nothing is related yet."""
        self.forks, self.tied = forks, tied
        self.calls: list[tuple[dict[tuple[str, int], int], int]] = []
        self.made: list[tuple[Relations, list[int]]] = []

    def __call__(self, choices: Mapping[tuple[str, int], int], choice: int) -> Relations:
        """States all relations anew."""
        self.calls.append((dict(choices), choice))
        rel, chosen = Relations(choices, choice), []
        firsts = []
        for free in self.forks:
            ids = rel.fresh(6)
            rel.written.append(ids)
            firsts.append(ids[:1])
            chosen.append(rel.fork(len(free), ids))
            rel.same(ids[free[chosen[-1]] :], Fixed(BECAUSE))
        for a, b in zip(self.tied, self.tied[1:], strict=False):
            rel.same(firsts[a], firsts[b])
        self.made.append((rel, chosen))
        return rel

    def settled(self) -> list[int]:
        """Returns which option each fork took in the relations that `settle` hands back."""
        found, _ = settle(self)
        [chosen] = [chosen for rel, chosen in self.made if rel is found]
        return chosen


class TestSettle:
    """Trials, and what is made of them."""

    def test_without_forks_relations_are_stated_once(self) -> None:
        made = Forks()
        settle(made)
        assert made.calls == [({}, 0)]

    def test_every_option_is_tried_once(self) -> None:
        made = Forks((0, 0, 3), (2, 5))
        found, solution = settle(made)
        best = {("", 0): 2, ("", 1): 1}
        assert made.calls == [({}, 0), ({}, 1), ({}, 2), (best, 0)]
        assert made.made[-1] == (found, [2, 1])
        free = solution.free(np.arange(found.count))
        assert len(free) == 3 + 5

    def test_where_the_first_options_are_best_nothing_is_stated_again(self) -> None:
        made = Forks((3, 2), (4, 4))
        found, solution = settle(made)
        assert made.calls == [({}, 0), ({}, 1)]
        assert len(solution.free(np.arange(found.count))) == 3 + 4

    def test_the_result_is_that_of_the_choice(self) -> None:
        made = Forks((2, 4))
        found, solution = settle(made)
        assert len(found.forks) == 1
        assert len(solution.unit_of) == found.count == 6
        assert len(solution.free(found.forks[0].ids)) == 4

    def test_more_units_win_among_equals(self) -> None:
        assert Forks((2, 5, 3)).settled() == [1]

    def test_a_single_free_unit_is_as_good_as_none(self) -> None:
        # it would have to stay: what is left of an axis is never nothing
        assert Forks((1, 0)).settled() == [0]
        assert Forks((0, 1)).settled() == [0]
        assert Forks((1, 2)).settled() == [1]

    def test_forks_that_share_units_take_one_option(self) -> None:
        # each for itself they would take 1 and 0
        assert Forks((2, 6), (3, 0), tied=(0, 1)).settled() == [0, 0]
        assert Forks((2, 6), (3, 0)).settled() == [1, 0]

    def test_many_free_forks_count_more_than_many_units(self) -> None:
        # 3 forks with 2 units each before 1 fork with 6
        assert Forks((2, 6), (2, 0), (2, 0), tied=(0, 1, 2)).settled() == [0, 0, 0]
        assert Forks((2, 6), (2, 2), (2, 3), tied=(0, 1, 2)).settled() == [1, 1, 1]

    def test_a_fork_with_fewer_options_takes_its_last(self) -> None:
        assert Forks((0, 0, 4), (0, 4), tied=(0, 1)).settled() == [2, 1]

    def test_a_fork_that_only_some_choices_lead_to(self) -> None:
        # option 1 of the first leads to a second one, of which option 1 is the better
        taken: list[dict[tuple[str, int], int]] = []

        def relate(choices: Mapping[tuple[str, int], int], choice: int) -> Relations:
            taken.append(dict(choices))
            rel = Relations(choices, choice)
            ids = rel.fresh(4)
            rel.written.append(ids)
            if rel.fork(2, ids) == 0:
                rel.same(ids, Fixed(BECAUSE))
            else:
                more = rel.fresh(3)
                rel.written.append(more)
                if rel.fork(2, more) == 0:
                    rel.same(more, Fixed(BECAUSE))
            return rel

        found, solution = settle(relate)
        assert taken[-1] == {("", 0): 1, ("", 1): 1}
        assert len(found.forks) == 2
        assert len(solution.free(np.arange(found.count))) == 4 + 3
