"""What a cut model must compute, worked out without any code under test but the channel map.

The oracle zeroes the weights that *read* a dropped unit, and nothing else; the cut slices writers
and readers. It knows readers from a table of its own and runs both models without optimisations.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import numpy_helper

from onnxtrim.channels import ChannelMap
from onnxtrim.channels.relations import Ids

RTOL = 1e-4

Arrays = dict[str, npt.NDArray[Any]]


def runtime_before(major: int, minor: int) -> bool:
    """Returns whether the installed ONNX Runtime is older than that version."""
    return tuple(int(part) for part in ort.__version__.split(".")[:2]) < (major, minor)


def proto_of(text: str, weights: Arrays | None = None) -> onnx.ModelProto:
    """Returns the model in ONNX text, with `weights` as further initializers."""
    model = onnx.parser.parse_model(text)
    for name, array in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def run(model: onnx.ModelProto | ir.Model, inputs: Arrays, *, optimize: bool = False) -> Arrays:
    """Returns the outputs of a model for `inputs`, from ONNX Runtime on the CPU."""
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def masked_by_hand(model: ir.Model, channel_map: ChannelMap, removed: Ids) -> onnx.ModelProto:
    """Returns a copy of `model` in which the weights that read the units `removed` are zero there.

    A product with a 0/1 mask stands between each weight and the node that reads with it.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(ir.to_proto(model))
    sizes = {tensor.name: list(tensor.dims) for tensor in copy.graph.initializer}
    for v in copy.graph.value_info:
        sizes[v.name] = [dim.dim_value for dim in v.type.tensor_type.shape.dim]
    kinds = {tensor.name: tensor.data_type for tensor in copy.graph.initializer}
    kinds |= {v.name: v.type.tensor_type.elem_type for v in copy.graph.value_info}
    constant = {tensor.name for tensor in copy.graph.initializer}
    nodes = []
    for node in copy.graph.node:
        if all(name in constant for name in node.input if name):
            constant.update(node.output)
        weights = list(node.input)
        for operand, axis in _reading_axes(node, sizes, constant):
            units = channel_map.axes.get((weights[operand], axis))
            if units is None or not np.isin(units, removed).any():
                continue
            weight = node.input[operand]  # masked by now, where it reads with another axis too
            shape = [-1 if i == axis else 1 for i in range(len(sizes[weights[operand]]))]
            mask = (~np.isin(units, removed)).reshape(shape)
            name = f"{weights[operand]}.{node.output[0]}.{operand}.{axis}"
            kind = onnx.helper.tensor_dtype_to_np_dtype(kinds[weights[operand]])
            tensor = numpy_helper.from_array(mask.astype(kind), f"{name}.mask")
            copy.graph.initializer.append(tensor)
            nodes.append(onnx.helper.make_node("Mul", [weight, f"{name}.mask"], [f"{name}.masked"]))
            node.input[operand] = f"{name}.masked"
        nodes.append(node)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def assert_equal_to_masked(
    model: ir.Model, channel_map: ChannelMap, removed: Ids, thinner: ir.Model, inputs: Arrays
) -> None:
    """Fails unless `thinner` computes what `model` computes with the units `removed` unread."""
    expected = run(masked_by_hand(model, channel_map, removed), inputs)
    assert_close(run(thinner, inputs), expected)


def assert_close(actual: Arrays, expected: Arrays, rtol: float = RTOL) -> None:
    """Fails unless outputs agree within `rtol` of the largest magnitude of each."""
    assert actual.keys() == expected.keys()
    for name, want in expected.items():
        got = actual[name]
        assert got.shape == want.shape, f"{name}: {got.shape} instead of {want.shape}"
        assert np.isfinite(want).all(), f"{name}: the oracle itself is not finite"
        scale = max(float(np.abs(want).max(initial=0.0)), 1e-6)
        worst = float(np.abs(got - want).max(initial=0.0))
        assert worst <= rtol * scale, f"{name}: off by {worst / scale:.2e} of its range"


def assert_identical(actual: Arrays, expected: Arrays) -> None:
    """Fails unless outputs are the same, bit for bit."""
    assert actual.keys() == expected.keys()
    for name, want in expected.items():
        assert actual[name].dtype == want.dtype
        assert actual[name].tobytes() == want.tobytes(), f"{name} differs"


def _reading_axes(
    node: onnx.NodeProto, sizes: dict[str, list[int]], constant: set[str]
) -> list[tuple[int, int]]:
    """Returns the (operand, axis) by which weights of a node read channels."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    group = attributes.get("group", 1)
    if node.op_type == "Conv" and node.input[1] in constant:
        return [(1, 1)] if group == 1 or sizes[node.input[1]][1] != 1 else []
    if node.op_type == "ConvTranspose" and node.input[1] in constant:
        return [(1, 0)] if group == 1 or sizes[node.input[1]][0] != group else []
    if node.op_type in ("LSTM", "GRU", "RNN"):
        return [(1, 2), (2, 2)]
    if node.op_type == "Einsum":
        return _summed_axes(node, attributes["equation"].decode(), constant)
    if node.op_type not in ("Gemm", "MatMul"):
        return []
    left, right = (name in constant for name in node.input[:2])
    if left == right:
        return []
    if node.op_type == "Gemm":
        if right:
            return [(1, 1 if attributes.get("transB", 0) else 0)]
        return [(0, 0 if attributes.get("transA", 0) else 1)]
    rank = len(sizes[node.input[1 if right else 0]])
    return [(1, max(rank - 2, 0))] if right else [(0, rank - 1)]


def _summed_axes(node: onnx.NodeProto, equation: str, constant: set[str]) -> list[tuple[int, int]]:
    """Returns the axes of a constant operand that an Einsum sums over together with others."""
    left, _, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    result = result or "".join(letter for letter in left if left.count(letter) == 1)
    return [
        (operand, axis)
        for operand, term in enumerate(terms)
        for axis, letter in enumerate(term)
        if node.input[operand] in constant and letter not in result and left.count(letter) > 1
    ]
