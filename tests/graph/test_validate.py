"""Files that are no graph at all are refused when they are read, in one line."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxtrim.errors import LoadError, ModelError
from onnxtrim.graph import load, normalize
from onnxtrim.graph.validate import validate

info = helper.make_tensor_value_info
X, Y = info("x", TensorProto.FLOAT, [2]), info("y", TensorProto.FLOAT, [2])


def proto_of_nodes(
    *nodes: onnx.NodeProto, inputs: tuple[onnx.ValueInfoProto, ...] = (X,)
) -> onnx.ModelProto:
    """Returns a model of `nodes` from x to y, with a weight w."""
    weights = [numpy_helper.from_array(np.array([1, 2], np.float32), "w")]
    graph = helper.make_graph(list(nodes), "g", list(inputs), [Y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(op: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    """Returns a node; names are separated by blanks, `_` is an operand left out."""
    ins = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(op, ins, outputs.split(), name=f"the {op}", **attributes)  # type: ignore[arg-type]


def refused(proto: onnx.ModelProto) -> str:
    """Returns the line with which loading, or canonical form at the latest, refuses a model."""
    with pytest.raises(ModelError) as caught:
        normalize(load(proto))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_sound_graph_passes() -> None:
    validate(proto_of_nodes(node("Add", "x w", "h"), node("Clip", "h _ w", "y")), "here")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Add", "x q", "y")], "node 'the Add' uses tensor 'q' that nothing makes"),
        (
            [node("Neg", "h", "y"), node("Relu", "x", "h")],
            "node 'the Neg' uses tensor 'h' before it is made; sort the nodes",
        ),
        (
            [node("Relu", "y", "h"), node("Neg", "h", "y")],
            "node 'the Relu' uses tensor 'y' before it is made; sort the nodes",
        ),
        ([node("Relu", "x", "h")], "nothing makes the output 'y' of the graph"),
        (
            [node("Relu", "x", "y"), node("Neg", "x", "y")],
            "tensor 'y' is made twice; export the model again",
        ),
        (
            [node("Relu", "x", "w"), node("Neg", "w", "y")],
            "tensor 'w' is made twice; export the model again",
        ),
    ],
)
def test_a_graph_that_does_not_hold_together(nodes: list[onnx.NodeProto], message: str) -> None:
    with pytest.raises(LoadError) as caught:
        validate(proto_of_nodes(*nodes), "here")
    assert str(caught.value) == f"here: {message}"


def test_a_node_without_name_is_called_by_its_operator() -> None:
    proto = proto_of_nodes(node("Add", "x q", "y"))
    proto.graph.node[0].name = ""
    with pytest.raises(LoadError, match="node 'Add' uses tensor 'q'"):
        validate(proto, "here")


def test_an_output_may_be_an_input_or_a_weight() -> None:
    proto = proto_of_nodes(node("Relu", "x", "y"))
    proto.graph.output.extend([X, info("w", TensorProto.FLOAT, [2])])
    validate(proto, "here")


@pytest.mark.parametrize("length", [0, 3, 7, 9])
def test_a_weight_whose_bytes_do_not_fit_its_sizes(length: int) -> None:
    proto = proto_of_nodes(node("Add", "x w", "y"))
    proto.graph.initializer[0].raw_data = bytes(length)
    # two float32 take 8 bytes
    assert f"weight 'w' has {length} bytes instead of 8" in refused(proto)


@pytest.mark.parametrize(
    ("kind", "dims", "length"),
    [
        (TensorProto.FLOAT, [0], 0),
        (TensorProto.FLOAT, [], 4),
        (TensorProto.BOOL, [3], 3),
        (TensorProto.INT4, [3], 2),  # two to a byte
        (TensorProto.FLOAT8E4M3FN, [5], 5),
        (TensorProto.BFLOAT16, [2, 2], 8),
        (TensorProto.COMPLEX64, [1], 8),
    ],
)
def test_weights_of_all_widths(kind: int, dims: list[int], length: int) -> None:
    proto = proto_of_nodes(node("Relu", "x", "y"))
    weight = proto.graph.initializer[0]
    weight.data_type, weight.raw_data = kind, bytes(length)
    weight.dims[:] = dims
    validate(proto, "here")
    weight.raw_data = bytes(length + 1)
    with pytest.raises(LoadError, match=f"has {length + 1} bytes instead of {length}"):
        validate(proto, "here")


def body(*nodes: onnx.NodeProto, output: str) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "body", [], [info(output, TensorProto.FLOAT, [2])])


def choice(then: onnx.GraphProto) -> onnx.ModelProto:
    """Returns an If between `then` and a sound body."""
    other = body(node("Neg", "x", "b"), output="b")
    condition = info("c", TensorProto.BOOL, [])
    return proto_of_nodes(
        node("If", "c", "y", then_branch=then, else_branch=other), inputs=(X, condition)
    )


@pytest.mark.parametrize(
    ("then", "named"),
    [
        (body(node("Relu", "q", "a"), output="a"), "'q'"),
        (body(node("Relu", "x", "a"), output="q"), "'q'"),
        (body(node("Neg", "h", "a"), node("Relu", "x", "h"), output="a"), "'h'"),
        (body(output="x"), "'x'"),  # no runtime lets a body return what is not its own
    ],
    ids=["undefined", "no such output", "unsorted", "not its own"],
)
def test_a_body_that_does_not_hold_together(then: onnx.GraphProto, named: str) -> None:
    assert named in refused(choice(then))


def test_a_body_that_captures_is_sound() -> None:
    then = body(node("Add", "x w", "h"), node("Relu", "h", "a"), output="a")
    assert [n.op_type for n in normalize(load(choice(then))).graph] == ["If"]


def nothing(tensor: onnx.TensorProto) -> None:
    tensor.ClearField("raw_data")


def unknown(tensor: onnx.TensorProto) -> None:
    tensor.data_type = 99


def undefined(tensor: onnx.TensorProto) -> None:
    tensor.data_type = 0


def truncated(tensor: onnx.TensorProto) -> None:
    tensor.raw_data = tensor.raw_data[:-1]


def too_few(tensor: onnx.TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.float_data.append(1.0)


@pytest.mark.parametrize("damage", [nothing, unknown, undefined, truncated, too_few])
@pytest.mark.parametrize("place", ["weight", "Constant", "body"])
def test_a_damaged_tensor(damage: Callable[[onnx.TensorProto], None], place: str) -> None:
    if place == "Constant":
        value = numpy_helper.from_array(np.array([3, 4], np.float32))
        damage(value)
        proto = proto_of_nodes(node("Constant", "", "k", value=value), node("Add", "x k", "y"))
    elif place == "body":
        then = body(node("Add", "x v", "a"), output="a")
        then.initializer.append(numpy_helper.from_array(np.array([3, 4], np.float32), "v"))
        damage(then.initializer[0])
        proto = choice(then)
    else:
        proto = proto_of_nodes(node("Add", "x w", "y"))
        damage(proto.graph.initializer[0])
    refused(proto)


def test_a_constant_without_a_value() -> None:
    refused(proto_of_nodes(node("Constant", "", "k"), node("Add", "x k", "y")))


@pytest.mark.parametrize("place", ["initializer", "Constant"])
def test_sparse_weights(place: str) -> None:
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [5.0])
    places = helper.make_tensor("i", TensorProto.INT64, [1], [1])
    sparse = helper.make_sparse_tensor(values, places, [2])
    if place == "Constant":
        constant = node("Constant", "", "k", sparse_value=sparse)
        proto = proto_of_nodes(constant, node("Add", "x k", "y"))
    else:
        proto = proto_of_nodes(node("Add", "x s", "y"))
        proto.graph.sparse_initializer.append(sparse)
    assert "holds sparse weights" in refused(proto)
