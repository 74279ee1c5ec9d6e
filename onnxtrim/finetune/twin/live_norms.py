"""What the statistics of BatchNormalization are in a model, whatever is stored in it.

A cut changes what flows into every normalisation behind it. So here each one normalises by mean and
variance of the batch itself, which are outputs too. Over batches b of one size, for a channel,

    mean = mean_b(m_b),  var = mean_b(v_b + m_b^2) - mean^2,        m_b, v_b: of batch b
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import float_attr
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = ["own_statistics"]

_EPSILON = 1e-5

Floats = npt.NDArray[np.float64]


def own_statistics(model: ir.Model, batches: Iterable[Arrays], threads: int = 0) -> Arrays:
    """Returns mean and variance, (C,) each, of every BatchNormalization by initializer name.

    Args:
        model: the model of a twin.
        batches: inputs, in batches of one size.
        threads: threads of the runtime; 0 lets it choose.
    """
    clone = model.clone()
    norms = [n for n in clone.graph if n.op_type == "BatchNormalization" and n.domain == ""]
    names = [pair for pair in (_opened(clone.graph, norm) for norm in norms) if pair is not None]
    if not names:
        return {}
    seen: dict[tuple[str, str], list[tuple[Floats, Floats]]] = {}
    runner = Runner(clone, threads=threads)
    for batch in batches:
        found = runner(batch)
        for mean, var, m, v in names:
            first = found[m].astype(np.float64).ravel()
            seen.setdefault((mean, var), []).append((first, found[v].ravel() + first**2))
    statistics: Arrays = {}
    for (mean, var), moments in seen.items():
        first, second = np.mean(moments, axis=0)
        statistics[mean] = first.astype(np.float32)
        statistics[var] = np.maximum(second - first**2, 0).astype(np.float32)
    return statistics


def _opened(graph: ir.Graph, node: ir.Node) -> tuple[str, str, str, str] | None:
    """Returns the names of stored and of own mean and variance of a norm, which now uses its own.

    Those of its own are outputs from now on. None, and no change, where ranks are not known.
    """
    site = Site(graph, node)
    x, scale, bias, mean, var = node.inputs
    if mean is None or var is None or not (mean.is_initializer() and var.is_initializer()):
        return None
    if x is None or x.shape is None or x.dtype != ir.DataType.FLOAT:
        return None
    axes = site.ints(*(axis for axis in range(len(x.shape)) if axis != 1))
    m = site.add("ReduceMean", x, axes, keepdims=1)
    off = site.add("Sub", x, m)
    v = site.add("ReduceMean", site.add("Mul", off, off), axes, keepdims=1)
    safe = site.add("Add", v, site.number(float_attr(node, "epsilon", _EPSILON)))
    sizes = site.ints(-1, *[1] * (len(x.shape) - 2))
    normal = site.add("Div", off, site.add("Sqrt", safe))
    scaled = site.add("Mul", normal, site.add("Reshape", scale, sizes))
    graph.outputs.extend([m, v])
    for value in (m, v):
        value.type = ir.TensorType(ir.DataType.FLOAT)
    site.finish(site.add("Add", scaled, site.add("Reshape", bias, sizes)))
    return str(mean.name), str(var.name), str(m.name), str(v.name)
