"""BatchNormalization as a fixed affine, whose scale and bias are trained.

    y = scale (x - mean) / sqrt(var + eps) + bias = x a + c                     x: (N, C, ...)
    a = scale / sqrt(var + eps),  c = bias - mean a                     scale ... c: (C,)

The training runtime differentiates the inference form too, but as if mean and variance were those
of the batch. Scale and bias stay the initializers that they are, under their names. To move a and c
into the kernels of a convolution before it is no gain: the step becomes slower by a fifth.
"""

import numpy as np
import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import constant, float_attr

__all__ = ["with_fixed_norms"]

_EPSILON = 1e-5


def with_fixed_norms(model: ir.Model) -> ir.Model:
    """Returns a clone of a twin, in which BatchNormalization with known statistics is an affine."""
    clone = model.clone()
    for node in list(clone.graph):
        if node.op_type == "BatchNormalization" and node.domain == "":
            _fix(clone.graph, node)
    return clone


def _fix(graph: ir.Graph, node: ir.Node) -> None:
    """Puts an affine in the place of a BatchNormalization; it stays where it cannot be one."""
    site = Site(graph, node)
    x, scale, bias, mean, var = node.inputs
    known = constant(mean), constant(var)
    if x is None or x.shape is None or known[0] is None or known[1] is None:
        return
    spread = np.sqrt(known[1].astype(np.float64) + float_attr(node, "epsilon", _EPSILON))
    a = site.add("Mul", scale, site.constant((1 / spread).astype(known[0].dtype)))
    c = site.add("Sub", bias, site.add("Mul", mean, a))
    sizes = site.ints(-1, *[1] * (len(x.shape) - 2))
    scaled = site.add("Mul", x, site.add("Reshape", a, sizes))
    site.finish(site.add("Add", scaled, site.add("Reshape", c, sizes)))
