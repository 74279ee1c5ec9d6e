"""The step in which widths change: what the runtime computes in blocks should fill them.

ONNX Runtime lays convolutions out in blocks of channels; a width that is no multiple of the block
costs as much as the next one that is, and one that is no multiple of 4 leaves the fast layout
altogether. So widths between two steps stay at the upper one: those channels are free.
"""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from onnxtrim.channels import ChannelGroup
from onnxtrim.errors import UsageError
from onnxtrim.graph import load
from onnxtrim.graph.edit import new_initializer
from onnxtrim.graph.runtime import Runner
from onnxtrim.graph.shapes import dims

__all__ = [
    "Alignment",
    "aligned_width",
    "alignments_of",
    "block_of_runtime",
    "group_alignment",
    "group_step",
    "step_taken",
]

_SMALLEST = 4
_KERNEL_RANK = 4


@dataclass(frozen=True, slots=True)
class Alignment:
    """The steps that widths keep to, in channels.

    Attributes:
        step: widths are multiples of it; 1 for no alignment.
        below: widths below one step are multiples of this one; `step` where none shall be.
    """

    step: int
    below: int


def alignments_of(align: str | int) -> tuple[Alignment, ...]:
    """Returns what `--align` allows, the preferred alignment first.

    `auto` is the block of the runtime. Only where no budget can be met so, widths may fall below
    one block, to multiples of 4, which the runtime's fast layout still takes.

    Raises:
        UsageError: it is neither `auto`, `none` nor a positive figure.
    """
    if align == "auto":
        block = block_of_runtime()
        whole = Alignment(block, block)
        return (whole,) if block == _SMALLEST else (whole, Alignment(block, _SMALLEST))
    if align == "none":
        return (Alignment(1, 1),)
    if str(align).isdecimal() and int(align) > 0:
        return (Alignment(int(align), int(align)),)
    raise UsageError(f"--align {align}: give auto, none, or a step in channels such as 8")


def block_of_runtime() -> int:
    """Returns how many channels the installed ONNX Runtime computes at a time on this machine.

    A convolution with a single output channel is optimised and read back: the runtime pads its
    weight to a whole block. Where it has no blocked layout, 4, the width of a vector.
    """
    graph = ir.Graph([], [], nodes=[], opset_imports={"": 13}, name="probe")
    x = ir.Value(name="x", shape=ir.Shape((1, 4, 8, 8)), type=ir.TensorType(ir.DataType.FLOAT))
    graph.inputs.append(x)
    weight = new_initializer(graph, "w", np.ones((1, 4, 3, 3), dtype=np.float32))
    conv = ir.Node("", "Conv", [x, weight], outputs=[ir.Value(name="y", type=x.type)])
    conv.outputs[0].shape = ir.Shape((1, 1, 6, 6))
    graph.append(conv)
    graph.outputs.append(conv.outputs[0])
    with tempfile.TemporaryDirectory(prefix="onnxtrim-") as folder:
        dump = Path(folder) / "optimised.onnx"
        Runner(ir.Model(graph, ir_version=8), dump=dump)
        optimised = load(dump)
    blocked = any(node.domain.endswith("nchwc") for node in optimised.graph)
    kernels = (dims(v) or () for v in optimised.graph.initializers.values())
    widths = [sizes[0] or 0 for sizes in kernels if len(sizes) == _KERNEL_RANK]
    return max(_SMALLEST, *widths) if blocked and widths else _SMALLEST


def group_step(group: ChannelGroup, step: int) -> int:
    """Returns the step of a group in units: every blocked axis it lives on gets whole steps."""
    return math.lcm(*(step // math.gcd(step, positions) for positions in group.block_positions))


def group_alignment(group: ChannelGroup, alignment: Alignment) -> Alignment:
    """Returns an alignment in channels as the one of a group in units."""
    return Alignment(group_step(group, alignment.step), group_step(group, alignment.below))


def step_taken(group: ChannelGroup, width: int, alignment: Alignment) -> int:
    """Returns the step in units that brought a group to `width`: see `aligned_width`."""
    own = group_alignment(group, alignment)
    if group.width < own.step:
        return math.gcd(own.step, _SMALLEST)
    return own.below if width < own.step else own.step


def aligned_width(kept: int, width: int, alignment: Alignment) -> int:
    """Returns the smallest width from `kept` up to `width` that wastes no computation.

    A group narrower than a step never fills one, so that multiples of 4 are all it can keep to.
    """
    step = alignment.step
    if width < step:
        step = math.gcd(step, _SMALLEST)
    elif kept <= step - alignment.below:
        step = alignment.below
    return min(-(-kept // step) * step, width)
