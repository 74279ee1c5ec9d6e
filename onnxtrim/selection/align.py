"""The step in which widths change: what the runtime computes in blocks should fill them.

ONNX Runtime lays convolutions out in blocks of channels; a width that is no multiple of the block
costs as much as the next one that is, and one that is no multiple of 4 leaves the fast layout
altogether. So widths between two steps stay at the upper one: those channels are free.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from onnxtrim.channels import ChannelGroup
from onnxtrim.errors import UsageError
from onnxtrim.selection.staircase import cached_step

__all__ = [
    "PRESETS",
    "Alignment",
    "aligned_width",
    "alignments_of",
    "group_alignment",
    "group_step",
    "step_taken",
]

_SMALLEST = 4

PRESETS: Mapping[str, int] = {"ncnn": 8, "openvino": 16, "tflite": 8}
"""Steps for runtimes that are not measured here.

`ncnn` packs channels in fours (float32 on Arm) or eights (float16, AVX) where the width divides;
`openvino` runs oneDNN on the CPU, which lays channels out in blocks of 16 (nChw16c; 8 on AVX2);
`tflite` runs XNNPACK, whose matrix kernels make 8 output channels at a time.
"""


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

    `auto` is the step at which convolutions get faster on this machine. There and in the presets,
    only where no budget can be met so, widths may fall below one step, to multiples of 4.

    Raises:
        UsageError: it is neither `auto`, `none`, a preset nor a positive figure.
    """
    if align == "none":
        return (Alignment(1, 1),)
    if align == "auto" or align in PRESETS:
        step = cached_step() if align == "auto" else PRESETS[str(align)]
        whole = Alignment(step, step)
        return (whole,) if step == _SMALLEST else (whole, Alignment(step, _SMALLEST))
    if str(align).isdecimal() and int(align) > 0:
        return (Alignment(int(align), int(align)),)
    names = ", ".join(PRESETS)
    raise UsageError(f"--align {align}: give auto, none, {names}, or a step in channels such as 8")


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
