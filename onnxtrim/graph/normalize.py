"""Canonical form: what the exporters write differently is written one way.

In this order, each numerically neutral and idempotent:

1. weights listed as graph inputs (IR 3) are weights only;
2. local functions are inlined, `Constant` nodes are initializers, `Identity` nodes are gone;
3. operators that ONNX withdrew are said in standard ones (`legacy.py`), the axes of a
   `MeanVarianceNormalization` are written out and those of a `Squeeze` sorted;
4. integer arithmetic on constants is folded (by ONNX Runtime itself: `fold.py`), and so are sizes
   that do not depend on the inputs;
5. a computed Reshape target is a constant where what is unknown can be said by 0 and -1;
6. channel shuffles are Gathers (`shuffles.py`);
7. `auto_pad` is explicit where the sizes are known;
8. nodes and initializers that reach no output are gone;
9. shapes are strict.
"""

import math

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from onnxtrim.graph.constants import constant_ints, int_attr, ints_attr, string_attr
from onnxtrim.graph.edit import new_initializer, shape_of
from onnxtrim.graph.fold import fold_constants
from onnxtrim.graph.legacy import replace_withdrawn
from onnxtrim.graph.shape_arithmetic import Element, computed_shapes
from onnxtrim.graph.shapes import Shape, dims, infer_shapes
from onnxtrim.graph.shuffles import gather_shuffles

__all__ = ["normalize"]

_OLDEST_IR_WITH_FREE_WEIGHTS = 4
_OLDEST_OPSET_THAT_NEEDS_AXES = 13
_INTEGERS = (ir.DataType.INT32, ir.DataType.INT64)
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
    replace_withdrawn(model.graph)
    _make_axes_explicit(model.graph)
    _sort_axes(model.graph)
    model = fold_constants(infer_shapes(model))
    while _make_sizes_constant(model.graph) or _make_targets_constant(model.graph):
        model = fold_constants(infer_shapes(model))
    if gather_shuffles(model.graph):
        common.RemoveUnusedNodesPass()(model)
    for node in model.graph:
        if node.domain == "" and node.op_type in _PADDED:
            _make_pads_explicit(node)
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


def _make_axes_explicit(graph: ir.Graph) -> None:
    """Writes out the default axes of `MeanVarianceNormalization`.

    Without them the shape inference of `onnx` takes the operator for invalid since opset 13.
    """
    if graph.opset_imports.get("", 1) >= _OLDEST_OPSET_THAT_NEEDS_AXES:
        for node in graph:
            if node.domain == "" and node.op_type == "MeanVarianceNormalization":
                node.attributes.setdefault("axes", ir.AttrInt64s("axes", [0, 2, 3]))


def _sort_axes(graph: ir.Graph) -> None:
    """Sorts the axes of every `Squeeze` that has them as an attribute; their order says nothing.

    Before opset 11, where none is negative, the shape inference of `onnx` takes them for sorted and
    finds a wrong shape where they are not.
    """
    for node in graph:
        axes = ints_attr(node, "axes") if node.domain == "" and node.op_type == "Squeeze" else None
        if axes is not None and list(axes) != sorted(axes):
            node.attributes["axes"] = ir.AttrInt64s("axes", sorted(axes))


def _make_pads_explicit(node: ir.Node) -> None:
    """Replaces `auto_pad` by `pads`: total = max((ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0).

    SAME_UPPER puts the odd element at the end, SAME_LOWER at the start. With stride 1 the total
    does not depend on n; with a longer stride and an unknown n the attribute stays.
    """
    mode = string_attr(node, "auto_pad", "NOTSET")
    kernel = _kernel(node)
    dilations = ints_attr(node, "dilations") or (1,) * len(kernel or ())
    if kernel is None or "auto_pad" not in node.attributes:
        return
    if node.op_type != "Conv" and any(
        d != 1 for d in dilations
    ):  # the runtime reads those its own way
        return
    rank = len(kernel)
    begins, ends = [0] * rank, [0] * rank
    if mode == "NOTSET":
        pads = list(ints_attr(node, "pads") or (0,) * 2 * rank)
        begins, ends = pads[:rank], pads[rank:]
    if mode.startswith("SAME"):
        sizes = (dims(node.inputs[0]) or (None,) * (rank + 2)) if node.inputs[0] else ()
        strides = ints_attr(node, "strides") or (1,) * rank
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


def _make_sizes_constant(graph: ir.Graph) -> bool:
    """Returns whether sizes that the graph computes, and that are known, became constants."""
    changed = False
    for value, elements in computed_shapes(graph).items():
        node = value.producer()
        if node is None or value.is_graph_output() or not value.uses() or value.shape is None:
            continue
        sizes = [size for size in elements if isinstance(size, int)]
        if value.dtype in _INTEGERS and len(sizes) == len(elements):
            array = np.array(sizes, dtype=value.dtype.numpy() if value.dtype else np.int64)
            array = array.reshape([-1] * len(value.shape))
            value.replace_all_uses_with(new_initializer(graph, f"{value.name}.folded", array))
            changed = True
    return changed


def _make_targets_constant(graph: ir.Graph) -> bool:
    """Returns whether a Reshape got a constant target in the place of a computed one."""
    known = computed_shapes(graph)
    changed = False
    for node in graph:
        if node.domain != "" or node.op_type != "Reshape" or len(node.inputs) != 2:
            continue
        x, target = node.inputs
        if x is None or target is None or constant_ints(target) is not None:
            continue
        if target not in known and None in (dims(target) or (None,)):
            continue  # the sizes of the result are then what the file says, not what follows
        sizes = _constant_target(x, known.get(target), dims(node.outputs[0]))
        if sizes is not None and not int_attr(node, "allowzero", 0):
            array = np.array(sizes, dtype=np.int64)
            name = f"{node.outputs[0].name}.shape"
            node.replace_input_with(1, new_initializer(graph, name, array))
            changed = True
    return changed


def _constant_target(
    x: ir.Value, elements: tuple[Element, ...] | None, result: Shape | None
) -> list[int] | None:
    """Returns a constant target that does what a computed one does; None where there is none.

    A size that is the operand's own at the same position is 0 (copy); one that is left open, and
    the only one, is -1 (the rest).
    """
    if elements is None:
        elements = result
    if elements is None or (result is not None and len(result) != len(elements)):
        return None
    own = [d if isinstance(d, int) else d.value for d in x.shape or ()]
    sizes: list[int] = []
    for axis, element in enumerate(elements):
        inferred = result[axis] if result is not None else None
        if isinstance(element, str) and axis < len(own) and element == own[axis]:
            sizes.append(0)  # whatever the file says of an output of the graph
        elif isinstance(inferred, int) and inferred > 0:
            sizes.append(inferred)
        elif isinstance(element, int) and element != 0:
            sizes.append(element)
        elif element is not None and axis < len(own) and element == own[axis]:
            sizes.append(0)
        else:
            sizes.append(-1)
    return sizes if sizes.count(-1) <= 1 else None
