"""One file per operator family, and the table that lists them all.

A rule holds from its `since` on, until a later entry of the same operator takes over: operator
sets re-issue operators without changing them, and tables by exact version would lose those.
"""

from collections.abc import Mapping
from functools import lru_cache

import onnx_ir as ir

from onnxtrim.channels.ops.along_axis import AlongAxis, ArgReduce, CumSum, SoftmaxBefore13
from onnxtrim.channels.ops.base import OpId, OpRule, Shapes, Weight
from onnxtrim.channels.ops.batch_normalization import BatchNormalization
from onnxtrim.channels.ops.concat import Concat
from onnxtrim.channels.ops.conv import Conv
from onnxtrim.channels.ops.conv_transpose import ConvTranspose
from onnxtrim.channels.ops.depth_to_space import DepthToSpace, SpaceToDepth
from onnxtrim.channels.ops.einsum import Einsum
from onnxtrim.channels.ops.elementwise_binary import ElementwiseBinary, PRelu
from onnxtrim.channels.ops.elementwise_unary import Activation, Clip, PassThrough, Relu
from onnxtrim.channels.ops.expand import ConstantOfShape, Expand
from onnxtrim.channels.ops.flatten import Flatten
from onnxtrim.channels.ops.gather import Gather
from onnxtrim.channels.ops.gemm import Gemm
from onnxtrim.channels.ops.group_normalization import GroupNormalization
from onnxtrim.channels.ops.instance_normalization import InstanceNormalization
from onnxtrim.channels.ops.layer_normalization import LayerNormalization, MeanVarianceNormalization
from onnxtrim.channels.ops.lrn import LRN
from onnxtrim.channels.ops.matmul import MatMul
from onnxtrim.channels.ops.operands import moved
from onnxtrim.channels.ops.pad import Pad, PadBefore11
from onnxtrim.channels.ops.pool import Pool
from onnxtrim.channels.ops.products import Product, refit, takes_bias
from onnxtrim.channels.ops.quantize import Quantize
from onnxtrim.channels.ops.recurrent import Recurrent
from onnxtrim.channels.ops.reduce import Reduce
from onnxtrim.channels.ops.reshape import Reshape
from onnxtrim.channels.ops.resize import Resize, ResizeBefore11, Upsample
from onnxtrim.channels.ops.sampling import Sampling
from onnxtrim.channels.ops.shape import ShapeOf
from onnxtrim.channels.ops.slice import Slice, SliceBefore10
from onnxtrim.channels.ops.split import Split, SplitBefore13
from onnxtrim.channels.ops.squeeze import Squeeze, Unsqueeze
from onnxtrim.channels.ops.sums import Sum, sum_behind
from onnxtrim.channels.ops.tile import Tile
from onnxtrim.channels.ops.transpose import Transpose
from onnxtrim.graph.constants import opset_of
from onnxtrim.graph.shapes import unranked

__all__ = [
    "RULES",
    "OpId",
    "OpRule",
    "Product",
    "Shapes",
    "Sum",
    "Weight",
    "moved",
    "product_of",
    "products_of",
    "refit",
    "rule_for",
    "rule_of",
    "sum_behind",
    "takes_bias",
]

RULES: tuple[OpRule, ...] = (
    Activation(),
    AlongAxis(),
    ArgReduce(),
    BatchNormalization(),
    Clip(),
    Concat(),
    ConstantOfShape(),
    Conv(),
    ConvTranspose(),
    CumSum(),
    DepthToSpace(),
    Einsum(),
    ElementwiseBinary(),
    Expand(),
    Flatten(),
    Gather(),
    Gemm(),
    GroupNormalization(),
    InstanceNormalization(),
    LRN(),
    LayerNormalization(),
    MatMul(),
    MeanVarianceNormalization(),
    PRelu(),
    Pad(),
    PadBefore11(),
    PassThrough(),
    Pool(),
    Quantize(),
    Recurrent(),
    Reduce(),
    Relu(),
    Reshape(),
    Resize(),
    ResizeBefore11(),
    Sampling(),
    ShapeOf(),
    Slice(),
    SliceBefore10(),
    SoftmaxBefore13(),
    SpaceToDepth(),
    Split(),
    SplitBefore13(),
    Squeeze(),
    Tile(),
    Transpose(),
    Unsqueeze(),
    Upsample(),
)


def rule_of(model: ir.Model, node: ir.Node, rules: tuple[OpRule, ...] = RULES) -> OpRule | None:
    """Returns the rule that holds for `node` at the operator sets of `model`, or None."""
    return rule_for(node.domain, node.op_type, opset_of(model, node), rules)


def rule_for(
    domain: str, op_type: str, version: int, rules: tuple[OpRule, ...] = RULES
) -> OpRule | None:
    """Returns the rule that holds for an operator at a version of its operator set, or None."""
    entries = _by_operator(rules).get(("" if domain == "ai.onnx" else domain, op_type), ())
    found = [(since, rule) for since, rule in entries if since <= version]
    return max(found, key=lambda entry: entry[0])[1] if found else None


def products_of(model: ir.Model) -> list[Product]:
    """Returns the nodes of a model whose weights can be fitted anew, in the order of the graph."""
    rules = ((node, rule_of(model, node)) for node in model.graph if unranked(node) is None)
    found = (rule.product(node) for node, rule in rules if rule is not None)
    return [product for product in found if product is not None]


def product_of(model: ir.Model, weight: str) -> Product | None:
    """Returns the product that alone reads a weight, or None."""
    value = model.graph.initializers.get(weight)
    uses = [] if value is None else list(value.uses())
    if len(uses) != 1 or unranked(uses[0][0]) is not None:
        return None
    rule = rule_of(model, uses[0][0])
    product = None if rule is None else rule.product(uses[0][0])
    return product if product is not None and product.weight == weight else None


@lru_cache(maxsize=8)
def _by_operator(
    rules: tuple[OpRule, ...],
) -> Mapping[tuple[str, str], list[tuple[int, OpRule]]]:
    """Returns the rules by domain and operator, each with the version that it holds from."""
    table: dict[tuple[str, str], list[tuple[int, OpRule]]] = {}
    for rule in rules:
        for op in rule.ops:
            table.setdefault((op.domain, op.name), []).append((op.since, rule))
    return table
