"""Removing channels: one loop slices every initializer; rules only mend what is no weight.

On each axis of each initializer the positions stay whose unit stays. A rule's `rewrite` sets
attributes and shape operands, such as the `group` of a depthwise convolution.
"""

import contextlib
from itertools import zip_longest
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxtrim.channels import ChannelMap, Kept
from onnxtrim.channels.ops import RULES, OpRule, rule_of
from onnxtrim.channels.relations import Ids
from onnxtrim.graph import infer_shapes
from onnxtrim.graph.constants import constant_ints, node_label
from onnxtrim.graph.edit import shape_of
from onnxtrim.graph.shapes import unranked
from onnxtrim.selection.plan import PrunePlan, removed_units

__all__ = ["changes", "cut"]


_PLAIN = frozenset(
    {
        ir.AttributeType.FLOAT,
        ir.AttributeType.FLOATS,
        ir.AttributeType.INT,
        ir.AttributeType.INTS,
        ir.AttributeType.STRING,
        ir.AttributeType.STRINGS,
    }
)


def cut(
    model: ir.Model,
    channel_map: ChannelMap,
    plan: PrunePlan,
    rules: tuple[OpRule, ...] = RULES,
) -> ir.Model:
    """Returns a thinner clone of a normalised `model`; kept weights are the originals' bits.

    Raises:
        PlanError: the plan does not fit the model.
        ShapeError: the result contradicts itself (a rule is wrong).
    """
    kept = channel_map.without(removed_units(channel_map, plan))
    thinner = model.clone()
    for name, value in thinner.graph.initializers.items():
        axes = kept.cut_axes(name)
        if axes and value.const_value is not None:
            value.const_value = _sliced(value.const_value, axes, name)
            value.shape = shape_of(value.const_value)
    for node in thinner.graph:
        rule = rule_of(thinner, node, rules)
        if rule is not None and unranked(node) is None and not kept.stays.all():
            rule.rewrite(node, kept)
        for value in node.outputs:
            _narrow(value, kept)
    return infer_shapes(thinner)


def changes(before: ir.Model, after: ir.Model) -> dict[str, dict[str, Any]]:
    """Returns what is new besides the weights: `{node: {attribute or operand: new value}}`.

    Nodes are matched by their first output; those that only the cut model has are left out.
    """
    found: dict[str, dict[str, Any]] = {}
    originals = {node.outputs[0].name: node for node in before.graph if node.outputs}
    pairs = ((originals.get(n.outputs[0].name), n) for n in after.graph if n.outputs)
    for old, new in ((old, new) for old, new in pairs if old is not None):
        changed = {
            name: list(attr.value) if isinstance(attr.value, tuple) else attr.value
            for name, attr in new.attributes.items()
            if attr.type in _PLAIN
            and (name not in old.attributes or old.attributes[name].value != attr.value)
        }
        for index, (a, b) in enumerate(zip_longest(old.inputs, new.inputs)):
            sizes = constant_ints(b)
            if sizes is not None and sizes != constant_ints(a):
                changed[f"operand {index}"] = list(sizes)
        if changed:
            found[node_label(new)] = changed
    return found


def _narrow(value: ir.Value, kept: Kept) -> None:
    """Narrows the stored shape of a computed tensor, for where inference will not know better."""
    if value.shape is None or value.is_graph_output():
        return
    sizes = [
        kept.size(str(value.name), axis, size) if isinstance(size, int) else size
        for axis, size in enumerate(value.shape)
    ]
    value.shape = ir.Shape(sizes)


def _sliced(tensor: ir.TensorProtocol, axes: dict[int, Ids], name: str) -> ir.TensorProtocol:
    """Returns the kept positions of a tensor; one on disk is read only when it is written."""
    doc, metadata = tensor.doc_string, dict(tensor.metadata_props)

    def take() -> ir.TensorProtocol:
        (first, places), *others = axes.items()
        array = np.take(tensor.numpy(), places, axis=first)
        if isinstance(tensor, ir.ExternalTensor):
            with contextlib.suppress(BufferError):  # somebody else looks at the file
                tensor.release()
        for axis, indices in others:
            array = np.take(array, indices, axis=axis)
        thin = ir.Tensor(np.ascontiguousarray(array), dtype=tensor.dtype, name=name, doc_string=doc)
        thin.metadata_props.update(metadata)
        return thin

    if not isinstance(tensor, ir.ExternalTensor | ir.LazyTensor):
        return take()
    sizes = [int(size) for size in tensor.shape.numpy()]
    for axis, indices in axes.items():
        sizes[axis] = len(indices)
    thin = ir.LazyTensor(take, dtype=tensor.dtype, shape=ir.Shape(sizes), name=name, doc_string=doc)
    thin.metadata_props.update(metadata)
    return thin
