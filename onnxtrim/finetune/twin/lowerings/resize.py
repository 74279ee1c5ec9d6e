"""Resampling, which is linear in x and goes axis by axis.

    whole factor, nearest   every element repeated: (n, 1) expanded to (n, f), as (f n)
    else, nearest           Gather of the places that it takes from
    else                    a product with a constant matrix (n, n')

What an axis becomes is asked of ONNX Runtime itself, by resizing the rows of an identity matrix, so
that every mode is what it is.
"""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import constant, constant_ints, ints_attr, string_attr
from onnxtrim.graph.runtime import Runner

__all__ = ["resize"]

_SOME_SIZE = 8
_Matrix = npt.NDArray[np.float32]


def resize(site: Site) -> ir.Value | None:
    """Returns x resampled; None where sizes that it takes to say how are not known."""
    node = site.node
    if (
        site.sizes is None
        or string_attr(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize"
        or string_attr(node, "keep_aspect_ratio_policy", "stretch") != "stretch"
    ):
        return None
    axes = [axis % len(site.sizes) for axis in ints_attr(node, "axes") or range(len(site.sizes))]
    scales, results = constant(site.operand(2)), constant_ints(site.operand(3))
    x = site.x
    for place, axis in enumerate(axes):
        scale = float(scales[place]) if scales is not None and scales.size else None
        given, made = site.sizes[axis], results[place] if results else None
        if scale == 1.0 or (scale is None and given is not None and given == made):
            continue
        resized = _resized(site, x, axis, given, scale, made)
        if resized is None:
            return None
        x = resized
    return x if x is not site.x else site.add("Identity", x)


def _resized(
    site: Site, x: ir.Value, axis: int, given: int | None, scale: float | None, made: int | None
) -> ir.Value | None:
    """Returns `x` with one axis resampled from size `given` by `scale`, or to size `made`."""
    nearest = string_attr(site.node, "mode", "nearest") == "nearest"
    if scale is None and (given is None or made is None):
        return None
    factor = scale if scale is not None else (made or 0) / (given or 1)
    aligned = "align" in string_attr(site.node, "coordinate_transformation_mode", "half_pixel")
    if given is None and aligned:
        return None
    size = given if given is not None else _SOME_SIZE
    matrix = _matrix(site, size, scale, made)
    if nearest and factor == int(factor):
        whole = np.repeat(np.eye(size, dtype=np.float32), int(factor), axis=1)
        if np.array_equal(matrix, whole):
            return _repeated(site, x, axis, int(factor))
    if given is None:
        return None
    if nearest:
        return site.add("Gather", x, site.ints(*matrix.argmax(axis=0).tolist()), axis=axis)
    return _multiplied(site, x, axis, matrix)


def _matrix(site: Site, size: int, scale: float | None, made: int | None) -> _Matrix:
    """Returns what an axis of `size` is multiplied by, (size, result)."""
    eye = np.eye(size, dtype=np.float32)[None, None]
    x = ir.Value(name="x", shape=ir.Shape(eye.shape), type=ir.TensorType(ir.DataType.FLOAT))
    y = ir.Value(name="y", type=ir.TensorType(ir.DataType.FLOAT))
    target = ir.Value(name="target", const_value=_target(size, scale, made))
    left_out: list[ir.Value | None] = [None] if scale is not None else [None, None]
    attributes = [a for name, a in site.node.attributes.items() if name != "axes"]
    node = ir.Node("", "Resize", [x, *left_out, target], attributes, outputs=[y])
    opsets = {"": site.opset}
    graph = ir.Graph([x], [y], nodes=[node], initializers=[target], opset_imports=opsets, name="r")
    result = Runner(ir.Model(graph, ir_version=10), optimize=False)({"x": eye})["y"]
    return np.asarray(result[0, 0], dtype=np.float32)


def _target(size: int, scale: float | None, made: int | None) -> ir.TensorProtocol:
    """Returns the scales, or the sizes, that resize the last of four axes alone."""
    if scale is not None:
        return ir.Tensor(np.array([1, 1, 1, scale], dtype=np.float32), name="target")
    return ir.Tensor(np.array([1, 1, size, made], dtype=np.int64), name="target")


def _repeated(site: Site, x: ir.Value, axis: int, factor: int) -> ir.Value:
    """Returns `x` with every element of an axis repeated."""
    rank = len(site.sizes or ())
    apart = site.add("Unsqueeze", x, site.ints(axis + 1))
    ones = [1] * (rank + 1)
    ones[axis + 1] = factor
    repeated = site.add("Expand", apart, site.ints(*ones))
    factors = [1] * rank
    factors[axis] = factor
    sizes = site.add("Mul", site.add("Shape", x), site.ints(*factors))
    return site.add("Reshape", repeated, sizes)


def _multiplied(site: Site, x: ir.Value, axis: int, matrix: _Matrix) -> ir.Value:
    """Returns `x` with an axis multiplied by a matrix (n, n')."""
    last = len(site.sizes or ()) - 1
    if axis == last:
        return site.add("MatMul", x, site.constant(matrix))
    if axis == last - 1:
        return site.add("MatMul", site.constant(np.ascontiguousarray(matrix.T)), x)
    swap = list(range(last + 1))
    swap[axis], swap[last] = last, axis
    product = site.add("MatMul", site.add("Transpose", x, perm=swap), site.constant(matrix))
    return site.add("Transpose", product, perm=swap)
