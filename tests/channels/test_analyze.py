"""Model -> channel map: who goes together, who stays, and why."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from oracle import Arrays, proto_of

from onnxtrim.channels import ChannelGroup, ChannelMap, Code, Reason, analyze
from onnxtrim.channels.ops import RULES, OpId, OpRule, rule_for
from onnxtrim.channels.relations import Relations
from onnxtrim.graph import load, normalize
from onnxtrim.graph.edit import shape_of

Given = tuple[int, ...] | npt.NDArray[Any]


def model_of(
    signature: str,
    body: str,
    domains: str = "",
    further: Mapping[str, Given] | None = None,
    **weights: Given,
) -> ir.Model:
    """Returns the normalised model in ONNX text; a shape makes a weight of ones."""
    weights |= further or {}
    arrays: Arrays = {
        name: np.ones(given, np.float32) if isinstance(given, tuple) else given
        for name, given in weights.items()
    }
    text = f'<ir_version: 8, opset_import: ["": 17{domains}]> g {signature} {{ {body} }}'
    return normalize(load(proto_of(text, arrays)))


def mapped(signature: str, body: str, domains: str = "", **weights: Given) -> ChannelMap:
    return analyze(model_of(signature, body, domains, weights))


def groups(channels: ChannelMap) -> dict[str, ChannelGroup]:
    return {group.name: group for group in channels.groups}


def reasons(channels: ChannelMap) -> dict[str, Reason]:
    found = {}
    for group in channels.frozen_groups:
        assert group.reason is not None
        found[group.name] = group.reason
    return found


class TestBarriers:
    """What nobody described freezes what it touches; the run goes on."""

    def test_an_unknown_operator(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [a] h = Conv (x, w1)
            [b] g = Conv (h, w2)
            [strange] s = ScatterND (g, place, figure)
            [c] f = Conv (s, w3)
            [d] y = Conv (f, w4)
            """,
            place=np.array([[0, 1, 2, 3]]),
            figure=(1,),
            w1=(4, 3, 1, 1),
            w2=(5, 4, 1, 1),
            w3=(6, 5, 1, 1),
            w4=(2, 6, 1, 1),
        )
        # what lies before and behind the neighbours of the barrier is as free as ever
        assert {name: g.width for name, g in groups(channels).items()} == {"a": 4, "c": 6}
        assert reasons(channels)["b"] == Reason(
            Code.UNKNOWN_OPERATOR, "strange", "no rule describes ai.onnx.ScatterND (opset 17)"
        )

    def test_an_operator_of_another_domain(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [a] h = Conv (x, w1)
            [theirs] s = my.Conv (h, w2)
            y = my.Other (s)
            """,
            ', "my": 3',
            w1=(4, 3, 1, 1),
            w2=(2, 4, 1, 1),
        )
        assert groups(channels) == {}
        assert reasons(channels)["a"] == Reason(
            Code.UNKNOWN_OPERATOR, "theirs", "no rule describes my.Conv (opset 3)"
        )

    def test_a_weight_that_an_unknown_operator_reads_too(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y, int64 z)",
            """
            [a] h = Conv (x, w1)
            [b] y = Conv (h, w2)
            [size] z = Size (w1)
            """,
            ', "my": 1',
            w1=(4, 3, 1, 1),
            w2=(2, 4, 1, 1),
        )
        assert {r.code for r in reasons(channels).values()} <= {
            Code.UNKNOWN_OPERATOR,
            Code.GRAPH_OUTPUT,
        }
        assert groups(channels) == {}

    @pytest.mark.parametrize(
        "body",
        [
            "t = Relu (h)",  # read by a node of the body
            "t = If (c) <then_branch = i () => (float[N,4,5,5] u) { u = Neg (h) },"
            " else_branch = j () => (float[N,4,5,5] v) { v = Abs (x4) }>",  # ... two levels down
        ],
    )
    def test_a_tensor_that_the_body_of_an_if_captures(self, body: str) -> None:
        channels = mapped(
            "(float[N,3,5,5] x, bool c, float[N,4,5,5] x4) => (float[N,2,5,5] y, float[N,4,5,5] z)",
            f"""
            [a] h = Conv (x, w1)
            [b] y = Conv (h, w2)
            [branch] z = If (c) <
                then_branch = yes () => (float[N,4,5,5] t) {{ {body} }},
                else_branch = no () => (float[N,4,5,5] e) {{ e = Abs (x4) }}
            >
            """,
            w1=(4, 3, 1, 1),
            w2=(2, 4, 1, 1),
        )
        assert groups(channels) == {}
        assert reasons(channels)["a"] == Reason(
            Code.UNKNOWN_OPERATOR, "branch", "no rule describes ai.onnx.If (opset 17)"
        )

    def test_a_tensor_that_the_body_of_an_if_returns_untouched(self) -> None:
        model = model_of(
            "(float[N,3,5,5] x, bool c) => (float[N,2,5,5] y, float[N,4,5,5] z)",
            """
            [a] h = Conv (x, w1)
            [b] y = Conv (h, w2)
            [branch] z = If (c) <
                then_branch = yes () => (float[N,4,5,5] t) { t = Identity (h) },
                else_branch = no () => (float[N,4,5,5] e) { e = Identity (h) }
            >
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert groups(analyze(model)) == {}

    def test_a_weight_that_the_body_of_an_if_captures(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x, bool c) => (float[N,2,5,5] y, float[4,3,1,1] z)",
            """
            [a] h = Conv (x, w1)
            [b] y = Conv (h, w2)
            [branch] z = If (c) <
                then_branch = yes () => (float[4,3,1,1] t) { t = Neg (w1) },
                else_branch = no () => (float[4,3,1,1] e) { e = Abs (w1) }
            >
            """,
            w1=(4, 3, 1, 1),
            w2=(2, 4, 1, 1),
        )
        assert reasons(channels)["a"].node == "branch"

    def test_a_tensor_of_unknown_rank(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x, float k) => (float[N,2,5,5] y)",
            """
            [a] h = Conv (x, w1)
            [theirs] s = my.Thing (x)
            [sum] g = Add (h, s)
            [b] y = my.Other (g)
            """,
            ', "my": 1',
            w1=(4, 3, 1, 1),
        )
        assert reasons(channels)["a"] == Reason(
            Code.DYNAMIC_SIZE, "sum", "the rank of s is unknown"
        )


@pytest.mark.parametrize("used", [False, True], ids=["returned as it is", "used"])
def test_a_node_of_another_domain_may_hold_a_list_of_graphs(used: bool) -> None:
    model = model_of(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y, float[2] z)",
        "[a] h = Conv (x, w1) [b] y = Conv (h, w2) [theirs] z = my.Choice (x)",
        ', "my": 1',
        w1=(4, 3, 1, 1),
        w2=(2, 4, 1, 1),
    )
    assert set(groups(analyze(model))) == {"a"}
    captured = model.graph.node("a").outputs[0]
    inner = ir.Node("", "Neg", [captured], num_outputs=1)
    body = (
        ir.Graph([], inner.outputs, nodes=[inner], opset_imports={"": 17})
        if used
        else ir.Graph([], [captured], nodes=[], opset_imports={"": 17})
    )
    model.graph.node("theirs").attributes["bodies"] = ir.AttrGraphs("bodies", [body])
    assert reasons(analyze(model))["a"].node == "theirs"


class Faulty(OpRule):
    """A rule for `Relu` that speaks, and then fails."""

    ops = (OpId("Relu", since=17),)

    def relate(self, node: ir.Node, rel: Relations) -> None:
        """Binds the output and divides by zero."""
        rel.bind(node.outputs[0], 1, rel.axis(node.inputs[0], 1))
        raise ZeroDivisionError("division by zero")


class TestFaultyRules:
    """A rule that raises costs its node, not the run."""

    def test_the_reason_holds_node_operator_version_shapes_and_error(self) -> None:
        model = model_of(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            """
            [a] h = Conv (x, w1)
            [broken] r = Relu (h)
            [b] g = Conv (r, w2)
            [c] y = Conv (g, w3)
            """,
            w1=(4, 3, 1, 1), w2=(5, 4, 1, 1), w3=(2, 5, 1, 1),
        )  # fmt: skip
        assert set(groups(analyze(model))) == {"a", "b"}
        channels = analyze(model, (*RULES, Faulty()))
        assert set(groups(channels)) == {"b"}
        assert reasons(channels)["a"] == Reason(
            Code.RULE_FAILED,
            "broken",
            "the rule for ai.onnx.Relu (opset 17) failed on (h: [N,4,5,5]): division by zero",
        )

    def test_a_rule_that_states_nonsense_is_a_faulty_one(self) -> None:
        # reduces nothing but calls the width of h that of y: 4 ids cannot be the same as 3
        class Wrong(OpRule):
            ops = (OpId("Relu", since=17),)

            def relate(self, node: ir.Node, rel: Relations) -> None:
                weight = node.graph.initializers["w3"]  # type: ignore[union-attr]
                rel.same(rel.axis(node.inputs[0], 1), rel.axis(weight, 1))

        model = model_of(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            "[a] h = Conv (x, w1) r = Relu (h) [b] g = Conv (r, w2) [c] y = Conv (g, w3)",
            w1=(4, 3, 1, 1), w2=(3, 4, 1, 1), w3=(2, 3, 1, 1),
        )  # fmt: skip
        found = reasons(analyze(model, (*RULES, Wrong())))["a"]
        assert found.code == Code.RULE_FAILED
        assert found.sentence.endswith("4 ids cannot be the same as 3")


class TestInterface:
    """Inputs and outputs of the graph keep their sizes."""

    def test_an_output_that_is_used_inside_as_well(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y, float[N,4,5,5] h)",
            "[a] h = Conv (x, w1) [b] y = Conv (h, w2)",
            w1=(4, 3, 1, 1),
            w2=(2, 4, 1, 1),
        )
        assert groups(channels) == {}
        sentences = {name: str(reason) for name, reason in reasons(channels).items()}
        assert sentences == {
            "a": "graph output: h is an output of the graph",
            "b": "graph output: y is an output of the graph",
        }

    def test_an_output_freezes_what_it_is_tied_to_further_up(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,4,5,5] y)",
            """
            [a] h = Conv (x, w1)
            [b] g = Conv (h, w2)
            y = Add (h, g)
            """,
            w1=(4, 3, 1, 1),
            w2=(4, 4, 1, 1),
        )
        assert reasons(channels).keys() == {"a"}
        assert channels.frozen_groups[0].writers[1].node == "b"

    def test_an_input_freezes_what_meets_it(self) -> None:
        channels = mapped(
            "(float[N,4,5,5] x) => (float[N,2,5,5] y)",
            "[a] h = Conv (x, w1) s = Add (x, h) [b] y = Conv (s, w2)",
            w1=(4, 4, 1, 1),
            w2=(2, 4, 1, 1),
        )
        assert str(reasons(channels)["a"]) == "graph input: x is an input of the graph"

    def test_of_several_reasons_the_first_of_the_list_is_given(self) -> None:
        channels = mapped(
            "(float[N,4,5,5] x) => (float[N,4,5,5] y, float[N,1,5,5] z, float[N,4,5,5] t)",
            """
            [a] h = Conv (x, w1)
            s = Add (x, h)
            z = ReduceMax <axes = [1]> (h)
            t = Neg (s)
            y = Neg (h)
            """,
            w1=(4, 4, 1, 1),
        )
        assert reasons(channels)["a"].code == Code.GRAPH_OUTPUT  # before input and mixing


class TestSharing:
    """One initializer that several nodes use ties them."""

    def test_a_weight_of_two_convolutions(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x, float[N,3,5,5] z) => (float[N,2,5,5] y, float[N,2,5,5] t)",
            """
            [a] h = Conv (x, w)
            [b] g = Conv (z, w)
            [c] y = Conv (h, v1)
            [d] t = Conv (g, v2)
            """,
            w=(4, 3, 1, 1),
            v1=(2, 4, 1, 1),
            v2=(2, 4, 1, 1),
        )
        [group] = channels.groups
        assert [use.node for use in group.writers] == ["a", "b"]
        assert [use.node for use in group.readers] == ["c", "d"]
        assert set(group.axes) == {("w", 0), ("h", 1), ("g", 1), ("v1", 1), ("v2", 1)}

    def test_a_bias_of_two_convolutions(self) -> None:
        channels = mapped(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y, float[N,2,5,5] t)",
            """
            [a] h = Conv (x, w1, b)
            [b] g = Conv (x, w2, b)
            [c] y = Conv (h, v1)
            [d] t = Conv (g, v2)
            """,
            w1=(4, 3, 1, 1),
            w2=(4, 3, 1, 1),
            b=(4,),
            v1=(2, 4, 1, 1),
            v2=(2, 4, 1, 1),
        )
        [group] = channels.groups
        assert [use.tensor for use in group.writers] == ["w1", "w2"]

    def test_a_weight_that_writes_here_and_reads_there_ties_both_ends(self) -> None:
        # the same square matrix twice in a row: its rows are its columns
        channels = mapped(
            "(float[N,3] x) => (float[N,2] y)",
            """
            [a] h = MatMul (x, w1)
            [b] g = MatMul (h, w)
            [c] f = MatMul (g, w)
            [d] y = MatMul (f, w2)
            """,
            w1=(3, 4),
            w=(4, 4),
            w2=(4, 2),
        )
        [group] = channels.groups
        assert (group.name, group.width) == ("a", 4)
        assert group.axes["w", 0] == group.axes["w", 1] == 1

    def test_a_weight_shared_with_an_output_layer_is_frozen_with_it(self) -> None:
        channels = mapped(
            "(float[N,4] x, float[N,4] z) => (float[N,4] y, float[N,2] t)",
            "[a] y = MatMul (x, w) [b] h = MatMul (z, w) [c] t = MatMul (h, v)",
            w=(4, 4),
            v=(4, 2),
        )
        assert groups(channels) == {}
        assert reasons(channels)["a"].code == Code.GRAPH_OUTPUT


class TestSolution:
    """What the analysis promises of its result."""

    RESIDUAL = (
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        """
        [stem] h0 = Conv (x, w0)
        [in1] a1 = Conv (h0, u1)
        [out1] b1 = Conv (a1, v1)
        h1 = Add (h0, b1)
        [in2] a2 = Conv (h1, u2)
        [out2] b2 = Conv (a2, v2)
        h2 = Add (h1, b2)
        [last] y = Conv (h2, w9)
        """,
    )
    WEIGHTS: ClassVar[dict[str, Given]] = {
        "w0": (4, 3, 1, 1), "u1": (5, 4, 1, 1), "v1": (4, 5, 1, 1), "u2": (6, 4, 1, 1),
        "v2": (4, 6, 1, 1), "w9": (2, 4, 1, 1),
    }  # fmt: skip

    def model(self) -> ir.Model:
        return model_of(*self.RESIDUAL, further=self.WEIGHTS)

    def test_a_residual_stream_is_one_group_with_all_its_writers(self) -> None:
        found = groups(analyze(self.model()))
        assert {name: group.width for name, group in found.items()} == {
            "stem": 4,
            "in1": 5,
            "in2": 6,
        }
        assert [use.node for use in found["stem"].writers] == ["stem", "out1", "out2"]
        assert [use.node for use in found["stem"].readers] == ["in1", "in2", "last"]

    def test_units_are_numbered_without_gaps_and_lie_in_one_group(self) -> None:
        channels = analyze(self.model())
        everywhere = np.concatenate(list(channels.axes.values()))
        assert sorted(set(everywhere.tolist())) == list(range(channels.unit_count))
        # 4 of the stream, 5 and 6 inside, 3 that the stem reads, 2 of the output: 20
        assert channels.unit_count == 20
        grouped = [int(u) for g in (*channels.groups, *channels.frozen_groups) for u in g.units]
        assert len(grouped) == len(set(grouped)) == 4 + 5 + 6 + 2

    def test_no_weight_is_read(self) -> None:
        model = self.model()

        def read() -> ir.TensorProtocol:
            raise AssertionError("a weight was read")

        expected = analyze(model)
        for name, value in model.graph.initializers.items():
            assert value.const_value is not None
            value.const_value = ir.LazyTensor(
                read,
                dtype=value.const_value.dtype,
                shape=shape_of(value.const_value),
                name=name,
            )
        found = analyze(model)
        assert [(g.name, dict(g.axes)) for g in found.groups] == [
            (g.name, dict(g.axes)) for g in expected.groups
        ]

    def test_the_model_is_not_changed(self) -> None:
        model = self.model()
        before = ir.to_proto(model).SerializeToString(deterministic=True)
        analyze(model)
        assert ir.to_proto(model).SerializeToString(deterministic=True) == before

    @pytest.mark.parametrize("seed", range(8))
    def test_the_order_of_the_nodes_does_not_matter(self, seed: int) -> None:
        expected, other = analyze(self.model()), self.model()
        nodes = list(other.graph)
        other.graph.remove(nodes)
        other.graph.extend(shuffled(nodes, np.random.default_rng(seed)))
        found = analyze(other)
        for name in ("groups", "frozen_groups"):
            for mine, yours in zip(getattr(found, name), getattr(expected, name), strict=True):
                assert (mine.name, mine.axes, mine.writers, mine.readers, mine.taps) == (
                    yours.name, yours.axes, yours.writers, yours.readers, yours.taps,
                )  # fmt: skip
                for tensor, axis in mine.axes:
                    places = mine.positions(found.axes, tensor, axis)
                    assert places.tolist() == yours.positions(expected.axes, tensor, axis).tolist()

    def test_the_rules_of_the_table_are_the_default(self) -> None:
        model = self.model()
        only = tuple(rule for rule in RULES if rule is rule_for("", "Conv", 17))
        assert reasons(analyze(model, only))["stem"].code == Code.UNKNOWN_OPERATOR
        assert "stem" in groups(analyze(model))

    @pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
    def test_a_reason_does_not_depend_on_the_order_of_the_nodes(
        self, order: tuple[str, str]
    ) -> None:
        # both pools take the channels of `first`, on axis 2, for positions
        pools = "".join(f"[{name}] {name} = GlobalAveragePool (h) " for name in order)
        channels = mapped(
            "(float[N,3,5] x) => (float[N,3,1] y)",
            f"[first] h = MatMul (x, w) {pools} y = Add (a, b)",
            w=(5, 4),
        )
        assert reasons(channels)["first"].node == "a"

    @pytest.mark.parametrize("op", ["Conv (h{i}, w)", "Neg (h{i})"])
    def test_a_graph_of_hundreds_of_nodes_in_a_row(self, op: str) -> None:
        steps = "".join(f"h{i + 1} = {op.format(i=i)}\n" for i in range(600))
        model = model_of(
            "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
            f"[first] h0 = Conv (x, w0) {steps} [last] y = Conv (h600, w9)",
            w0=(4, 3, 1, 1), w=(4, 4, 1, 1), w9=(2, 4, 1, 1),
        )  # fmt: skip
        [group] = analyze(model).groups
        assert (group.name, group.width, group.readers[-1].node) == ("first", 4, "last")

    def test_a_graph_without_channels_has_no_groups(self) -> None:
        channels = analyze(model_of("(float[N] x) => (float[N] y)", "y = Relu (x)"))
        assert (channels.groups, channels.frozen_groups, channels.unit_count) == ((), (), 0)


def shuffled(nodes: list[ir.Node], rng: np.random.Generator) -> list[ir.Node]:
    """Returns the nodes in another order in which each comes after those it needs."""
    left, order = list(nodes), []
    while left:
        able = [node for node in left if not any(p in left for p in node.predecessors())]
        order.append(able[int(rng.integers(len(able)))])
        left.remove(order[-1])
    return order
