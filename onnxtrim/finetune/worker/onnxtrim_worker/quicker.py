"""The same function in nodes that ONNX Runtime 1.19.2 is faster at; times are of one thread here.

With x (N, C, H, W), w (M, C, kh, kw), y (N, M, H', W'), strides s, pads p, dilations d:

    ReluGrad(dy, y) = dy * [y > 0]          as Mul and a HardSigmoid that is a step    0.10 to 0.14
    ConvGrad's dx, where s = 1              as a Conv of dy with w' (C, M, kh, kw),    0.6 to 0.9
        w'[c, m, i, j] = w[m, c, kh - 1 - i, kw - 1 - j]  and pads  d (k - 1) - p
    Conv, where kh kw > 1                   in the blocked layout of the runtime       0.55 to 0.9

The runtime itself takes its blocked layout only where weights are constants. There, channels come
in blocks of B: x (N, C/B, H, W, B) and w (M/B, C/B, kh, kw, B of C, B of M). `ReorderInput` and
`ReorderOutput` go there and back. B is 16 with AVX-512 and 8 with AVX2.

Weights are laid out anew in every step, by whoever feeds them. This pays where they are used at
`_POSITIONS` or more. (At 512 channels of 7 x 7 it costs 1.4 to 5 times the Conv.)
"""

import itertools
import math
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

__all__ = ["Layout", "block_size", "quickened"]

_BLOCKED = "com.microsoft.nchwc"
_POSITIONS = 2048
_STEEP = 1e38
"""Of a HardSigmoid that is 0 at 0, and 1 from the least normal number on."""

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """A weight in another order: an input that is fed `weight.ravel()[places]`."""

    weight: str
    places: Places


@dataclass(frozen=True)
class _Window:
    """The attributes of a convolution of one group, with pads (starts, then ends)."""

    kernel_shape: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]

    @property
    def mirrored(self) -> "_Window":
        """Returns that of the gradient by x, for strides of 1."""
        spans = [d * (k - 1) for d, k in zip(self.dilations, self.kernel_shape, strict=True)]
        pads = [span - pad for span, pad in zip(spans * 2, self.pads, strict=True)]
        return replace(self, pads=tuple(pads))

    @property
    def attributes(self) -> dict[str, Any]:
        """Returns them by name."""
        return {**{name: list(value) for name, value in vars(self).items()}, "group": 1}


@dataclass(frozen=True)
class _Sight:
    """What is known of a graph, and what is found out on the way.

    Attributes:
        shapes: the sizes of tensors of which all are known.
        fed: the inputs of the graph.
        block: channels a block; 0 where there is no blocked layout.
        layouts: the inputs to add.
    """

    shapes: dict[str, Sequence[int]]
    fed: frozenset[str]
    block: int
    layouts: dict[str, Layout] = field(default_factory=dict)


def quickened(model: onnx.ModelProto, block: int) -> tuple[onnx.ModelProto, dict[str, Layout]]:
    """Returns the same function in faster nodes, and the layouts that are new inputs of it.

    Args:
        model: of the training artifacts, in opset 18 or newer; it is changed.
        block: channels a block of the blocked layout; 0 where there is none.
    """
    graph = model.graph
    sight = _Sight(_shapes(model), frozenset(value.name for value in graph.input), block)
    nodes = list(itertools.chain.from_iterable(_faster(node, sight) for node in graph.node))
    made = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    for place, node in enumerate(made):
        node.name = f"{place}.{node.op_type}"
    del graph.node[:]
    graph.node.extend(made)
    for name, layout in sight.layouts.items():
        shape = layout.places.shape
        graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    if any(node.domain == _BLOCKED for node in made):
        model.opset_import.append(helper.make_opsetid(_BLOCKED, 1))
    return model, sight.layouts


def block_size() -> int:
    """Returns how many channels are a block of the blocked layout here; 0 where there is none.

    The runtime fills 4 channels up to a whole block.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return 0
    import onnxruntime

    node = helper.make_node("ReorderInput", ["x"], ["y"], domain=_BLOCKED)
    x, y = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in "xy")
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(_BLOCKED, 1)]
    graph = helper.make_graph([node], "probe", [x], [y])
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (filled,) = session.run(None, {"x": np.zeros((1, 4, 1, 1), np.float32)})
    return int(filled.shape[1]) if filled.shape[1] > 1 else 0


def _faster(node: onnx.NodeProto, sight: _Sight) -> Iterator[onnx.NodeProto]:
    """Yields the nodes that take the place of one."""
    if node.op_type == "ReluGrad":
        yield from _step(node)
    elif node.op_type == "Conv":
        yield from _forward(node, sight)
    elif node.op_type == "ConvGrad":
        yield from _backward(node, sight)
    else:
        yield node


def _step(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Yields dy * [y > 0]."""
    (slope, y), (result,) = node.input, node.output
    yield helper.make_node("HardSigmoid", [y], [f"{result}.open"], alpha=_STEEP, beta=0.0)
    yield helper.make_node("Mul", [slope, f"{result}.open"], [result])


def _forward(node: onnx.NodeProto, sight: _Sight) -> Iterator[onnx.NodeProto]:
    """Yields a Conv in the blocked layout, where this is faster."""
    x, w, *bias = node.input
    window = _window(node, sight.shapes.get(x, ()))
    weight = sight.shapes.get(w, ())
    positions = _positions(sight.shapes.get(node.output[0], ()))
    if window and w in sight.fed and _blockable(weight, positions, sight.block):
        yield from _blocked([x, w, *bias], node.output[0], window, _places(weight), sight)
    else:
        yield node


def _backward(node: onnx.NodeProto, sight: _Sight) -> Iterator[onnx.NodeProto]:
    """Yields the gradient by x as a Conv, and what is left of a ConvGrad."""
    slope, x, w = node.input[:3]
    result, positions = node.output[0], _positions(sight.shapes.get(x, ()))
    window = _window(node, sight.shapes.get(x, ()))
    weight = sight.shapes.get(w, ()) if w in sight.fed else ()
    whole = window is not None and set(window.strides) == {1} and min(window.mirrored.pads) >= 0
    if not (result and weight and window and whole and positions >= _POSITIONS):
        yield node
        return
    places = np.flip(_places(weight).swapaxes(0, 1), tuple(range(2, len(weight))))
    if _blockable(places.shape, positions, sight.block):
        yield from _blocked([slope, w], result, window.mirrored, places, sight)
    else:
        turned = _laid_out(w, places, sight)
        attributes = window.mirrored.attributes
        yield helper.make_node("Conv", [slope, turned], [result], **attributes)
    if any(node.output[1:]):
        node.output[0] = ""
        yield node


def _blocked(
    inputs: Sequence[str], result: str, window: _Window, places: Places, sight: _Sight
) -> Iterator[onnx.NodeProto]:
    """Yields a Conv of x, w and perhaps a bias in the blocked layout.

    `places`, of the shape that the weight has in a Conv, says where in w its elements are.
    """
    x, w, *bias = inputs
    (m, c, *kernel), block = places.shape, sight.block
    parts = places.reshape(m // block, block, c // block, block, *kernel)
    blocks = parts.transpose(0, 2, 4, 5, 3, 1).reshape(places.shape)
    yield helper.make_node("ReorderInput", [x], [f"{result}.x"], domain=_BLOCKED)
    feeds, made = [f"{result}.x", _laid_out(w, blocks, sight), *bias], f"{result}.y"
    yield helper.make_node("Conv", feeds, [made], domain=_BLOCKED, **window.attributes)
    yield helper.make_node("ReorderOutput", [made], [result], domain=_BLOCKED, channels=m)


def _laid_out(weight: str, places: Places, sight: _Sight) -> str:
    """Returns the input that is a weight in another order."""
    name = f"{weight}.layout.{len(sight.layouts)}"
    sight.layouts[name] = Layout(weight, np.ascontiguousarray(places))
    return name


def _places(sizes: Sequence[int]) -> Places:
    """Returns where each element of a tensor is."""
    return np.arange(math.prod(sizes)).reshape(sizes)


def _blockable(weight: Sequence[int], positions: int, block: int) -> bool:
    """Returns whether a Conv of (M, C, kh, kw) is faster in the blocked layout."""
    if len(weight) != 4 or not block or positions < _POSITIONS:
        return False
    m, c, *kernel = weight
    return m % block == 0 and c % block == 0 and math.prod(kernel) > 1


def _window(node: onnx.NodeProto, x: Sequence[int]) -> _Window | None:
    """Returns the attributes of a Conv or a ConvGrad; None of several groups, or where unknown."""
    known = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if known.get("group", 1) != 1 or not x or "kernel_shape" not in known:
        return None
    if known.get("auto_pad", b"NOTSET") not in (b"", b"NOTSET", b"VALID"):
        return None
    rank = len(x) - 2
    return _Window(
        tuple(known["kernel_shape"]),
        tuple(known.get("strides", [1] * rank)),
        tuple(known.get("pads", [0] * 2 * rank)),
        tuple(known.get("dilations", [1] * rank)),
    )


def _positions(sizes: Sequence[int]) -> int:
    """Returns how many positions of how many samples a tensor (N, C, ...) has; 0 if unknown."""
    return sizes[0] * math.prod(sizes[2:]) if len(sizes) > 1 else 0


def _shapes(model: onnx.ModelProto) -> dict[str, Sequence[int]]:
    """Returns the sizes of all tensors of which all are known."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = [*inferred.input, *inferred.value_info, *inferred.output]
    found = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    return {name: sizes for name, sizes in found.items() if sizes and min(sizes) > 0}
