"""A loss that somebody wrote: an `onnxblock.Block`, turned into a graph by the training runtime.

The block is called with the names of the outputs, then with those of the targets, and returns that
of the loss. Where it is called, all of them are made by nodes of a graph and are outputs of it:

    an input for each -> Identity -> what the block sees -> ... -> loss
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from onnxtrim.errors import TrainingError, UsageError
from onnxtrim.finetune.losses.goal import LABELS, OwnLoss, target_name
from onnxtrim.finetune.runtime.find import TrainingRuntime
from onnxtrim.finetune.runtime.process import answer_of
from onnxtrim.finetune.twin.twin import at_known_versions
from onnxtrim.graph import save
from onnxtrim.graph.edit import in_memory

__all__ = ["own_loss"]


def own_loss(
    name: str,
    student: ir.Model,
    outputs: Sequence[str],
    runtime: TrainingRuntime,
    *,
    labelled: bool,
) -> OwnLoss:
    """Returns the loss that a block makes of the outputs of a student.

    Args:
        name: `FILE.py:NAME` or `module:NAME`, a subclass of `onnxblock.Block` or an instance.
        student: a normalised model.
        outputs: those of its outputs that the block is called with, float32.
        runtime: whose interpreter imports it.
        labelled: whether the target is the labels; else what a teacher answers.

    Raises:
        UsageError: it cannot be imported, fails, makes no scalar, or has no gradient.
    """
    targets = (LABELS,) if labelled else tuple(map(target_name, outputs))
    template = _template(at_known_versions(student), outputs, targets)
    with tempfile.TemporaryDirectory(prefix="onnxtrim-", ignore_cleanup_errors=True) as folder:
        path = save(template, Path(folder) / "loss.onnx")
        arguments = [name, str(path), str(len(outputs))]
        try:
            answer_of(runtime.python, "loss", runtime.environment(), arguments)
        except TrainingError as error:
            raise UsageError(f"--loss {name}: {error}") from error
        return _used(in_memory(ir.load(path)), outputs, () if labelled else tuple(outputs))


def _used(model: ir.Model, outputs: Sequence[str], answers: tuple[str, ...]) -> OwnLoss:
    """Returns the loss that a model computes, without the outputs that it does not depend on."""
    RemoveUnusedNodesPass()(model)
    fed = dict(zip(outputs, model.graph.inputs, strict=False))
    for value in fed.values():
        if not value.uses():
            model.graph.inputs.remove(value)
    return OwnLoss(tuple(name for name, value in fed.items() if value.uses()), answers, model)


def _template(student: ir.Model, outputs: Sequence[str], targets: Sequence[str]) -> ir.Model:
    """Returns a graph that a block can be called on, in the versions of the student."""
    made = {str(value.name): value for value in student.graph.outputs}
    likes = [made[name] for name in outputs]
    if targets == (LABELS,):
        rows = likes[0].shape[:1] if likes[0].shape else [None]
        likes.append(ir.Value(type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(rows)))
    else:
        likes += likes
    nodes = []
    for name, like in zip((*outputs, *targets), likes, strict=True):
        fed = ir.Value(name=f"{name}.fed", type=like.type, shape=like.shape)
        seen = ir.Value(name=name, type=like.type, shape=like.shape)
        nodes.append(ir.Node("", "Identity", [fed], outputs=[seen]))
    graph = ir.Graph(
        [fed for node in nodes for fed in node.inputs if fed is not None],
        [node.outputs[0] for node in nodes],
        nodes=nodes,
        opset_imports={"": student.opset_imports[""]},
        name="loss",
    )
    return ir.Model(graph, ir_version=student.ir_version)
