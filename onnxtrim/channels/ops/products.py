"""Linear operators as sums over what they read, so that their weights can be fitted anew.

    y[r, b, o] = sum over f of w[b, o, f] p[r, b, f] + c[b, o]

    r  rows: the positions of a sample, sample by sample; some of them will do
    b  blocks: the groups of a convolution; one in a matrix product
    o  the outputs of a block
    f  features: the input channels of a block, each with its kernel positions behind one another

A convolution reads windows of x, padded; a matrix product reads the last axis of x.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.channels.relations import Ids
from onnxtrim.graph.constants import constant, float_attr, int_attr, ints_attr, node_label
from onnxtrim.graph.edit import free_name, new_initializer, replace_constant, set_constant
from onnxtrim.graph.shapes import dims

__all__ = [
    "Product",
    "Window",
    "conv_product",
    "gemm_product",
    "matmul_product",
    "refit",
    "takes_bias",
]

Array = npt.NDArray[Any]

_FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16})
_BIAS = 2
"""The operand that is the bias of a Conv or a Gemm."""

_MEAN = 3
"""The operand that is the mean of a BatchNormalization; a bias before it is as good as one less."""


@dataclass(frozen=True, slots=True)
class Window:
    """How a convolution moves over the spatial axes; pads are starts, then ends."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """A node that multiplies what it reads by a weight of its own.

    Attributes:
        node: its label.
        source: the tensor that it reads, (samples, ...).
        weight: the initializer.
        result: the tensor that it makes.
        blocks: how many groups there are.
        inputs: features of a block.
        window: of a convolution; None of a matrix product.
        turned: whether the weight of a matrix product is (outputs, features).
        bias: whether the operator has an operand for a bias; else one is added behind it.

    It is known by its weight, which no other node reads.
    """

    node: str
    source: str
    weight: str
    result: str
    blocks: int
    inputs: int
    window: Window | None
    turned: bool
    bias: bool

    @property
    def axes(self) -> tuple[int, int]:
        """Returns the axes of the weight that make outputs, and that read channels."""
        return (0, 1) if self.window is not None or self.turned else (1, 0)

    def positions(self, sizes: Sequence[int]) -> int:
        """Returns how many rows a sample has, by the sizes of the result."""
        return math.prod(sizes[2:] if self.window is not None else sizes[1:-1])

    def rows(self, x: Array, places: Ids) -> Array:
        """Returns what is read at some positions of every sample, (rows, blocks, features)."""
        if self.window is None:
            flat = x.reshape(len(x), -1, x.shape[-1])[:, places]
            return flat.reshape(-1, 1, x.shape[-1])
        window, rank = self.window, x.ndim - 2
        edges = zip(window.pads[:rank], window.pads[rank:], strict=True)
        padded = np.pad(x, ((0, 0), (0, 0), *edges))
        spans = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilations, strict=True)]
        axes = tuple(range(2, 2 + rank))
        views = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=axes)
        steps = tuple(slice(None, None, s) for s in (*window.strides, *window.dilations))
        kept: Any = (slice(None), slice(None))
        views = views[kept + steps]
        where = np.unravel_index(places, views.shape[2 : 2 + rank])
        taken: Array = np.moveaxis(views[kept + where], 2, 1)
        return taken.reshape(len(x) * len(places), self.blocks, -1)

    def made(self, y: Array, places: Ids) -> Array:
        """Returns what is made at some positions of every sample, (rows, blocks, outputs)."""
        if self.window is not None:
            y = np.moveaxis(y.reshape(*y.shape[:2], -1), 1, 2)
        flat = y.reshape(len(y), -1, y.shape[-1])[:, places]
        return flat.reshape(len(y) * len(places), self.blocks, -1)

    def matrix(self, weight: Array) -> npt.NDArray[np.float64]:
        """Returns a weight as (blocks, outputs, features)."""
        rows = weight if self.window is not None or self.turned else weight.T
        return rows.reshape(self.blocks, len(rows) // self.blocks, -1).astype(np.float64)

    def weight_of(self, matrix: Array, like: Array) -> Array:
        """Returns a matrix as a weight of the shape and type of another."""
        if self.window is None and not self.turned:
            return np.ascontiguousarray(matrix[0].T, dtype=like.dtype)
        return np.ascontiguousarray(matrix.reshape(like.shape), dtype=like.dtype)

    def features(self, channels: Ids) -> Ids:
        """Returns the features of places on the weight's axis of channels, (units, features).

        Args:
            channels: (units, places).
        """
        kernel = 1 if self.window is None else math.prod(self.window.kernel)
        spread = channels[:, :, None] * kernel + np.arange(kernel)
        return spread.reshape(len(channels), -1)

    def bias_in(self, model: ir.Model) -> npt.NDArray[np.float64]:
        """Returns the bias that the node adds itself, (blocks, outputs)."""
        node = _reader(model, self)
        weight = constant(node.inputs[1])
        width = 0 if weight is None else weight.shape[self.axes[0]]
        known = constant(node.inputs[_BIAS]) if len(node.inputs) > _BIAS and self.bias else None
        full = np.zeros(width) + (0 if known is None else known.reshape(-1).astype(np.float64))
        return np.asarray(full.reshape(self.blocks, -1), dtype=np.float64)


def conv_product(node: ir.Node) -> Product | None:
    """Returns a convolution with a constant kernel as a product."""
    sizes = _own_weight(node)
    if sizes is None or not _may_bias(node):
        return None
    rank = len(sizes) - 2
    window = Window(
        tuple(sizes[2:]),
        ints_attr(node, "strides") or (1,) * rank,
        ints_attr(node, "pads") or (0,) * 2 * rank,
        ints_attr(node, "dilations") or (1,) * rank,
    )
    return _product(node, int_attr(node, "group", 1), window, turned=True, bias=True)


def gemm_product(node: ir.Node) -> Product | None:
    """Returns a Gemm by a constant on the right as a product; None where factors scale it."""
    plain = float_attr(node, "alpha", 1.0) == 1.0 == float_attr(node, "beta", 1.0)
    if _own_weight(node) is None or int_attr(node, "transA", 0) or not plain:
        return None
    if not _may_bias(node):
        return None
    return _product(node, 1, None, turned=bool(int_attr(node, "transB", 0)), bias=True)


def matmul_product(node: ir.Node) -> Product | None:
    """Returns a MatMul by a constant matrix on the right as a product."""
    sizes = _own_weight(node)
    if sizes is None or len(sizes) != 2:
        return None
    return _product(node, 1, None, turned=False, bias=False)


def refit(model: ir.Model, product: Product, matrix: Array, bias: Array) -> None:
    """Gives a product another weight and bias, in place, once.

    Args:
        model: is changed.
        product: one of its nodes.
        matrix: (blocks, outputs, features).
        bias: (blocks, outputs): what it adds from now on, where it has no bias of its own what is
            to be added behind it.
    """
    node = _reader(model, product)
    value = model.graph.initializers[product.weight]
    old = constant(value)
    if old is None:
        raise ValueError(f"{product.weight} is no constant")
    value.const_value = ir.Tensor(product.weight_of(matrix, old), name=value.name)
    shift = np.ascontiguousarray(bias.reshape(-1), dtype=old.dtype)
    bare = len(node.inputs) <= _BIAS or node.inputs[_BIAS] is None
    norm = _norm_behind(node) if bare else None
    if bare and not shift.any():
        return
    if norm is not None:
        mean = constant(norm.inputs[_MEAN])
        replace_constant(norm, _MEAN, np.asarray(mean) - shift)
    elif product.bias:
        set_constant(node, _BIAS, f"{product.weight}.bias", shift)
    else:
        _add_behind(model.graph, node, shift)


def takes_bias(model: ir.Model, product: Product) -> bool:
    """Returns whether a product can get a bias without a tensor more in the model."""
    node = _reader(model, product)
    own = product.bias and len(node.inputs) > _BIAS and node.inputs[_BIAS] is not None
    return own or _norm_behind(node) is not None or _constant_behind(node) is not None


def _norm_behind(node: ir.Node) -> ir.Node | None:
    """Returns the normalisation by a constant mean that alone reads a node, or None."""
    result = node.outputs[0]
    uses = list(result.uses())
    if len(uses) != 1 or result.is_graph_output() or uses[0][1] != 0:
        return None
    user = uses[0][0]
    if user.op_type != "BatchNormalization" or int_attr(user, "training_mode", 0):
        return None
    return None if constant(user.inputs[_MEAN]) is None or len(user.outputs) > 1 else user


def _add_behind(graph: ir.Graph, node: ir.Node, shift: Array) -> None:
    """Adds a vector to the last axis of what a node makes, in a constant there or by a new node."""
    result, place = node.outputs[0], _constant_behind(node)
    if place is not None:
        user, index = place
        replace_constant(user, index, np.asarray(constant(user.inputs[index])) + shift)
        return
    made = ir.Value(name=free_name(graph, f"{result.name}.product"))
    made.type, made.shape = result.type, result.shape
    vector = new_initializer(graph, f"{node_label(node)}.bias", shift)
    fresh = ir.Node("", node.op_type, node.inputs, node.attributes.values(), outputs=[made])
    total = ir.Node("", "Add", [made, vector], outputs=[_like(result)], name=f"{node.name}.bias")
    fresh.name = node.name
    graph.insert_before(node, [fresh, total])
    result.replace_all_uses_with(total.outputs[0], replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _constant_behind(node: ir.Node) -> tuple[ir.Node, int] | None:
    """Returns the Add of a vector that alone reads a node, and which operand that is."""
    result = node.outputs[0]
    uses, sizes = list(result.uses()), dims(result)
    if len(uses) != 1 or result.is_graph_output() or uses[0][0].op_type != "Add" or not sizes:
        return None
    user, index = uses[0]
    known = constant(user.inputs[1 - index])
    fits = known is not None and known.shape == (sizes[-1],)
    return (user, 1 - index) if fits else None


def _like(value: ir.Value) -> ir.Value:
    """Returns a new tensor of the name, type and sizes of another that is about to go."""
    return ir.Value(name=value.name, type=value.type, shape=value.shape)


def _product(
    node: ir.Node, blocks: int, window: Window | None, *, turned: bool, bias: bool
) -> Product:
    """Returns what is common to all products."""
    x, weight, y = node.inputs[0], node.inputs[1], node.outputs[0]
    source, own, result = (str(value.name) for value in (x, weight, y) if value is not None)
    sizes = _own_weight(node) or ()
    inputs = math.prod(sizes[1:]) if window is not None or turned else sizes[0]
    return Product(node_label(node), source, own, result, blocks, inputs, window, turned, bias)


def _own_weight(node: ir.Node) -> tuple[int, ...] | None:
    """Returns the sizes of a real weight that is an initializer and read by this node alone."""
    x, weight = node.inputs[0], node.inputs[1]
    if x is None or weight is None or constant(weight) is None or constant(x) is not None:
        return None
    if weight.dtype not in _FLOATS or len(weight.uses()) != 1 or weight.const_value is None:
        return None
    return tuple(int(size) for size in weight.const_value.shape.numpy())


def _may_bias(node: ir.Node) -> bool:
    """Returns whether the bias of a node is a constant, or missing."""
    bias = node.inputs[_BIAS] if len(node.inputs) > _BIAS else None
    return bias is None or constant(bias) is not None


def _reader(model: ir.Model, product: Product) -> ir.Node:
    """Returns the node of a product."""
    ((node, _),) = model.graph.initializers[product.weight].uses()
    return node
