"""The same model in another version of the standard operator set.

Upwards the converter of `onnx` rewrites the graph; it sees a skeleton, so that no weight is copied.
Downwards only the label changes, for nothing between the two may mean something else.
"""

import onnx
import onnx_ir as ir

from onnxtrim.errors import ModelError
from onnxtrim.graph import proto as edge

__all__ = ["raised", "relabelled"]


def raised(model: ir.Model, version: int) -> ir.Model:
    """Returns `model` converted up to opset `version`; names of weights and interface stay.

    Raises:
        ModelError: an operator cannot be converted.
    """
    weights = model.clone().graph.initializers
    try:
        proto = onnx.version_converter.convert_version(edge.skeleton(model), version)
    except Exception as error:  # the C++ layer raises several unrelated types
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"model: cannot be converted to opset {version} ({reason}); "
            f"export it with opset {version}"
        ) from error
    converted = ir.from_proto(proto)
    graph = converted.graph
    for value in [v for v in graph.inputs if v.name in weights]:
        graph.inputs.remove(value)
        value.const_value = weights[str(value.name)].const_value
        graph.register_initializer(value)
    return converted


def relabelled(model: ir.Model, version: int) -> ir.Model:
    """Returns a clone of `model` that says it is of opset `version`."""
    clone = model.clone()
    clone.opset_imports[""] = version
    for graph in clone.graphs():
        graph.opset_imports[""] = version
    return clone
