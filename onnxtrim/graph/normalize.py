"""Canonical form: what the exporters write differently is written one way.

In this order, each numerically neutral and idempotent:

1. weights listed as graph inputs (IR 3) are weights only;
2. local functions are inlined, `Constant` nodes are initializers, `Identity` nodes are gone;
3. integer arithmetic on constants is folded (by ONNX Runtime itself: `fold.py`);
4. `auto_pad` is explicit where the sizes are known;
5. a computed Reshape target is a constant where at most one size of the result is unknown;
6. nodes and initializers that reach no output are gone;
7. shapes are strict.
"""

import math

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from onnxtrim.graph.constants import constant_ints, ints_attr, string_attr
from onnxtrim.graph.edit import new_initializer, shape_of
from onnxtrim.graph.fold import fold_constants
from onnxtrim.graph.shapes import dims, infer_shapes

__all__ = ["normalize"]

_OLDEST_IR_WITH_FREE_WEIGHTS = 4
_PADDED = ("Conv", "MaxPool", "AveragePool", "LpPool")


def normalize(model: ir.Model) -> ir.Model:
    """Returns a canonical clone of `model`: same names, inputs, outputs and numbers.

    Raises:
        ShapeError: the shapes of the model contradict each other.
    """
    model = model.clone()
    _lift_weights(model)
    if model.functions:
        common.InlinePass()(model)
    _lift_constants(model.graph)
    _drop_identities(model.graph)
    model = fold_constants(infer_shapes(model))
    for node in model.graph:
        if node.domain == "" and node.op_type in _PADDED:
            _make_pads_explicit(node)
        elif node.domain == "" and node.op_type == "Reshape":
            _make_target_constant(model.graph, node)
    common.RemoveUnusedNodesPass()(model)
    return infer_shapes(model)


def _lift_weights(model: ir.Model) -> None:
    """Takes initializers off the input list, and raises the IR version to one that allows it."""
    graph = model.graph
    inputs = [v for v in graph.inputs if not v.is_initializer()]
    if len(inputs) < len(graph.inputs):
        graph.inputs.clear()
        graph.inputs.extend(inputs)
    model.ir_version = max(model.ir_version, _OLDEST_IR_WITH_FREE_WEIGHTS)


def _lift_constants(graph: ir.Graph) -> None:
    """Turns the `Constant` nodes of the main graph into initializers of the same name.

    Tensors are wrapped anew: clones share theirs with the caller's model, and a tensor in an
    initializer takes on its name.
    """
    for node in list(graph):
        output = node.outputs[0] if node.outputs else None
        if node.domain != "" or node.op_type != "Constant" or output is None:
            continue
        tensor = _constant_tensor(node, str(output.name))
        if tensor is None or output.is_graph_output():
            continue
        initializer = ir.Value(
            name=output.name,
            shape=shape_of(tensor),
            type=ir.TensorType(tensor.dtype),
            doc_string=output.doc_string,
            const_value=tensor,
            metadata_props=dict(output.metadata_props),
        )
        output.replace_all_uses_with(initializer)
        graph.remove(node, safe=True)
        graph.register_initializer(initializer)


def _constant_tensor(node: ir.Node, name: str) -> ir.TensorProtocol | None:
    """Returns what a `Constant` node holds as a tensor of its own; None for sparse ones."""
    name_of_kind, attr = next(iter(node.attributes.items()))
    if name_of_kind == "value":
        tensor = attr.as_tensor()
        if tensor.dtype == ir.DataType.STRING:
            return ir.StringTensor(tensor.numpy(), shape=shape_of(tensor), name=name)
        return ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=name)
    if name_of_kind in ("value_int", "value_ints"):
        return ir.Tensor(np.array(attr.value, dtype=np.int64), name=name)
    if name_of_kind in ("value_float", "value_floats"):
        return ir.Tensor(np.array(attr.value, dtype=np.float32), name=name)
    if name_of_kind in ("value_string", "value_strings"):
        texts = [attr.value] if name_of_kind == "value_string" else list(attr.value)
        array = np.array([text.encode() for text in texts], dtype=object)
        shape = () if name_of_kind == "value_string" else (len(texts),)
        return ir.StringTensor(array.reshape(shape), shape=ir.Shape(shape), name=name)
    return None


def _drop_identities(graph: ir.Graph) -> None:
    """Removes the `Identity` nodes of the main graph, but for those that name a graph output."""
    for node in list(graph):
        if node.domain == "" and node.op_type == "Identity" and node.inputs[0] is not None:
            if node.outputs[0].is_graph_output():
                continue
            node.outputs[0].replace_all_uses_with(node.inputs[0])
            graph.remove(node, safe=True)


def _make_pads_explicit(node: ir.Node) -> None:
    """Replaces `auto_pad` by `pads`: total = max((ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0).

    SAME_UPPER puts the odd element at the end, SAME_LOWER at the start. With stride 1 the total
    does not depend on n; with a longer stride and an unknown n the attribute stays.
    """
    mode = string_attr(node, "auto_pad", "NOTSET")
    kernel = _kernel(node)
    if kernel is None or (mode == "NOTSET" and "auto_pad" not in node.attributes):
        return
    rank = len(kernel)
    begins, ends = [0] * rank, [0] * rank
    if mode == "NOTSET":
        pads = list(ints_attr(node, "pads") or (0,) * 2 * rank)
        begins, ends = pads[:rank], pads[rank:]
    if mode.startswith("SAME"):
        sizes = (dims(node.inputs[0]) or (None,) * (rank + 2)) if node.inputs[0] else ()
        strides = ints_attr(node, "strides") or (1,) * rank
        dilations = ints_attr(node, "dilations") or (1,) * rank
        for i, (n, k, s, d) in enumerate(zip(sizes[2:], kernel, strides, dilations, strict=True)):
            if n is None and s > 1:
                return
            covered = 0 if n is None else (math.ceil(n / s) - 1) * s - n
            total = (k - 1) * d if n is None else max(covered + (k - 1) * d + 1, 0)
            small, large = total // 2, total - total // 2
            begins[i], ends[i] = (small, large) if mode == "SAME_UPPER" else (large, small)
    del node.attributes["auto_pad"]
    node.attributes["pads"] = ir.AttrInt64s("pads", [*begins, *ends])


def _kernel(node: ir.Node) -> tuple[int, ...] | None:
    """Returns the kernel sizes of a convolution or pool, from the attribute or the weight."""
    kernel = ints_attr(node, "kernel_shape")
    if kernel is None and len(node.inputs) > 1 and node.inputs[1] is not None:
        sizes = dims(node.inputs[1])
        if sizes is not None and None not in sizes:
            kernel = tuple(size for size in sizes[2:] if size is not None)
    return kernel


def _make_target_constant(graph: ir.Graph, node: ir.Node) -> None:
    """Gives a Reshape with a computed target a constant one: known sizes, -1 for the unknown."""
    target, result = node.inputs[1], dims(node.outputs[0])
    if target is None or constant_ints(target) is not None or result is None:
        return
    if result.count(None) > 1 or 0 in result:
        return
    sizes = np.array([-1 if size is None else size for size in result], dtype=np.int64)
    node.replace_input_with(1, new_initializer(graph, f"{node.outputs[0].name}.shape", sizes))
