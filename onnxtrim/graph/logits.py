"""A classifier's scores before they are made probabilities."""

import onnx_ir as ir

__all__ = ["ends_in_softmax", "without_softmax"]

_SOFTMAX = ("Softmax", "LogSoftmax")


def ends_in_softmax(model: ir.Model) -> bool:
    """Returns whether the only output of `model` is made by a Softmax or LogSoftmax."""
    return len(model.graph.outputs) == 1 and _softmax_of(model) is not None


def without_softmax(model: ir.Model) -> ir.Model:
    """Returns a clone whose only output is taken before the Softmax, under the same name.

    Where there is none, the clone is no different.
    """
    clone = model.clone()
    node = _softmax_of(clone)
    if node is None or node.inputs[0] is None:
        return clone
    logits, probabilities = node.inputs[0], node.outputs[0]
    name = probabilities.name
    clone.graph.outputs[0] = logits
    clone.graph.remove(node, safe=True)
    logits.name = name
    return clone


def _softmax_of(model: ir.Model) -> ir.Node | None:
    """Returns the Softmax that makes the first output and nothing else."""
    output = model.graph.outputs[0]
    node = output.producer()
    standard = node is not None and node.domain in ("", "ai.onnx") and node.op_type in _SOFTMAX
    if node is None or not standard or output.uses() or node.inputs[0] is None:
        return None
    return node if node.inputs[0].producer() is not None else None
