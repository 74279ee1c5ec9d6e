"""What a gradient meets on its way back."""

from finetune.twin.checking import behind_conv
from onnxtrim.finetune.twin.flow import downstream, flow_of
from onnxtrim.graph.constants import node_label


def test_it_goes_on_ends_or_is_blocked() -> None:
    student = behind_conv("""
        [blocks] u = LRN <size = 3> (t)
        a = Neg (x)
        s = Shape (x)
        b = Reshape (a, s)
        y = Concat <axis = 1> (u, b)
    """)
    flow = flow_of(student.graph)
    assert {v.name for v in flow.reached} >= {"y", "u", "b", "a", "x"}
    assert "t" not in {v.name for v in flow.reached}
    blocked = {v.name: node_label(node) for v, node in flow.blocked.items()}
    assert blocked == {"t": "blocks", "w": "blocks", "x": "blocks"}


def test_what_a_body_captures_is_blocked_by_the_node_that_has_the_body() -> None:
    body = """
        c = ReduceSum <keepdims = 0> (x)
        z = Greater (c, c)
        [choice] y = If (z) <
            then_branch = one () => (float[2,4,6,5] p) { p = Relu (t) },
            else_branch = two () => (float[2,4,6,5] q) { q = Neg (t) }
        >
    """
    flow = flow_of(behind_conv(body, 17).graph)
    assert {v.name: node.name for v, node in flow.blocked.items()}["w"] == "choice"


def test_downstream_are_the_nodes_that_a_gradient_comes_by() -> None:
    student = behind_conv(
        "a = Neg (t)  s = Shape (a)  b = Exp (x)  v = Neg (b)  y = Reshape (a, s)"
    )
    sources = {student.graph.initializers["w"]}
    assert [n.op_type for n in downstream(student.graph, sources)] == ["Conv", "Neg", "Reshape"]
