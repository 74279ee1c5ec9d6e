"""One file per operator family, and the table that lists them all.

A rule holds from its `since` on, until a later entry of the same operator takes over: operator
sets re-issue operators without changing them, and tables by exact version would lose those.
"""

import onnx_ir as ir

from onnxtrim.channels.ops.base import OpId, OpRule, Shapes, Weight
from onnxtrim.channels.ops.batch_normalization import BatchNormalization
from onnxtrim.channels.ops.concat import Concat
from onnxtrim.channels.ops.conv import Conv
from onnxtrim.channels.ops.elementwise_binary import ElementwiseBinary
from onnxtrim.channels.ops.elementwise_unary import Activation, Clip, PassThrough, Relu
from onnxtrim.channels.ops.flatten import Flatten
from onnxtrim.channels.ops.gemm import Gemm
from onnxtrim.channels.ops.matmul import MatMul
from onnxtrim.channels.ops.pool import Pool
from onnxtrim.channels.ops.reduce import Reduce
from onnxtrim.channels.ops.reshape import Reshape
from onnxtrim.graph.constants import opset_of

__all__ = ["RULES", "OpId", "OpRule", "Shapes", "Weight", "rule_for", "rule_of"]

RULES: tuple[OpRule, ...] = (
    Activation(),
    BatchNormalization(),
    Clip(),
    Concat(),
    Conv(),
    ElementwiseBinary(),
    Flatten(),
    Gemm(),
    MatMul(),
    PassThrough(),
    Pool(),
    Reduce(),
    Relu(),
    Reshape(),
)


def rule_of(model: ir.Model, node: ir.Node, rules: tuple[OpRule, ...] = RULES) -> OpRule | None:
    """Returns the rule that holds for `node` at the operator sets of `model`, or None."""
    return rule_for(node.domain, node.op_type, opset_of(model, node), rules)


def rule_for(
    domain: str, op_type: str, version: int, rules: tuple[OpRule, ...] = RULES
) -> OpRule | None:
    """Returns the rule that holds for an operator at a version of its operator set, or None."""
    domain = "" if domain == "ai.onnx" else domain
    found = [
        (op.since, rule)
        for rule in rules
        for op in rule.ops
        if (op.domain, op.name) == (domain, op_type) and op.since <= version
    ]
    return max(found, key=lambda entry: entry[0])[1] if found else None
