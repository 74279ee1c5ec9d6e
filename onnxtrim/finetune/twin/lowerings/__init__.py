"""What is said in operators that have a gradient, and the table that lists it all."""

from collections.abc import Callable, Mapping

import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings import activations, many_operands, normalization
from onnxtrim.finetune.twin.lowerings.average_pool import average_pool
from onnxtrim.finetune.twin.lowerings.conv_transpose import conv_transpose
from onnxtrim.finetune.twin.lowerings.depth_to_space import depth_to_space, space_to_depth
from onnxtrim.finetune.twin.lowerings.dropout import dropout
from onnxtrim.finetune.twin.lowerings.einsum import einsum
from onnxtrim.finetune.twin.lowerings.pad import pad
from onnxtrim.finetune.twin.lowerings.reduce_max import global_max_pool, reduce_max, reduce_min
from onnxtrim.finetune.twin.lowerings.resize import resize
from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.finetune.twin.lowerings.slices import slice_backwards, split

__all__ = ["LOWERINGS", "Lowering", "Site"]

Lowering = Callable[[Site], ir.Value | tuple[ir.Value, ...] | None]
"""Returns what takes the place of the first output of a node, or of all; None where it cannot."""

LOWERINGS: Mapping[str, Lowering] = {
    "AveragePool": average_pool,
    "Celu": activations.celu,
    "ConvTranspose": conv_transpose,
    "DepthToSpace": depth_to_space,
    "Dropout": dropout,
    "Einsum": einsum,
    "Elu": activations.elu,
    "GlobalMaxPool": global_max_pool,
    "GroupNormalization": normalization.group_normalization,
    "HardSigmoid": activations.hard_sigmoid,
    "HardSwish": activations.hard_swish,
    "InstanceNormalization": normalization.instance_normalization,
    "LayerNormalization": normalization.layer_normalization,
    "Max": many_operands.extreme,
    "Mean": many_operands.mean,
    "Min": many_operands.extreme,
    "Mish": activations.mish,
    "PRelu": activations.prelu,
    "Pad": pad,
    "RMSNormalization": normalization.rms_normalization,
    "ReduceMax": reduce_max,
    "ReduceMin": reduce_min,
    "Resize": resize,
    "Selu": activations.selu,
    "Slice": slice_backwards,
    "Softplus": activations.softplus,
    "Softsign": activations.softsign,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Sum": many_operands.total,
    "Swish": activations.swish,
    "ThresholdedRelu": activations.thresholded_relu,
}
