"""One graph at the end of another."""

from collections.abc import Sequence

import onnx_ir as ir

from onnxtrim.graph.edit import free_name

__all__ = ["spliced"]


def spliced(model: ir.Model, piece: ir.Model, feeds: Sequence[ir.Value]) -> ir.Value:
    """Returns the only output of `piece`, whose nodes now stand at the end of `model`.

    Tensors get names that `model` has none of.

    Args:
        model: is changed; of the operator set of `piece`.
        piece: a model without functions; stays as it is.
        feeds: tensors of `model`, one for each input of `piece`.
    """
    clone, graph = piece.clone(), model.graph
    inner = clone.graph
    (output,) = inner.outputs
    inner.outputs.clear()
    for place, feed in zip(list(inner.inputs), feeds, strict=True):
        place.replace_all_uses_with(feed)
        output = feed if output is place else output
    for value in list(inner.initializers.values()):
        del inner.initializers[str(value.name)]
        value.name = free_name(graph, f"loss.{value.name}")
        graph.register_initializer(value)
    for node in list(inner):
        inner.remove(node)
        for value in node.outputs:
            value.name = free_name(graph, f"loss.{value.name}") if value.name else value.name
        node.name = None
        graph.append(node)
    for domain, version in clone.opset_imports.items():
        model.opset_imports.setdefault(domain, version)
    return output
