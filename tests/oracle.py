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
    """Returns a copy of `model` in which the weights that read the units `removed` are zero."""
    proto = ir.to_proto(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    tensors = {tensor.name: tensor for tensor in copy.graph.initializer}
    for node in copy.graph.node:
        axis = _reading_axis(node, tensors)
        if axis is None:
            continue
        tensor = tensors[node.input[1]]
        units = channel_map.axes.get((tensor.name, axis))
        if units is None:
            continue
        array = numpy_helper.to_array(tensor).copy()
        np.moveaxis(array, axis, 0)[np.isin(units, removed)] = 0
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
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


def _reading_axis(node: onnx.NodeProto, tensors: dict[str, onnx.TensorProto]) -> int | None:
    """Returns the axis of a node's weight that reads channels; None where none does."""
    if len(node.input) < 2 or node.input[1] not in tensors:
        return None
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Conv":
        dims = tensors[node.input[1]].dims
        return None if attributes.get("group", 1) > 1 and dims[1] == 1 else 1
    if node.op_type == "Gemm":
        return 1 if attributes.get("transB", 0) else 0
    return 0 if node.op_type == "MatMul" else None
