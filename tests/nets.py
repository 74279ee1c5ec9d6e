"""A random network under construction."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from oracle import Arrays

__all__ = ["SIZE", "Map", "Net", "Option"]

SIZE = 6
"""Height and width of every feature map."""

Option = TypeVar("Option")

Map = tuple[str, int]
"""A feature map and its channels."""


@dataclass
class Net:
    """A network under construction: feature maps of one spatial size, then matrices."""

    draw: st.DrawFn
    rng: np.random.Generator
    opset: int = 17
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: Arrays = field(default_factory=dict)
    count: int = 0
    maps: dict[str, int] = field(default_factory=dict)
    """Channels of the maps whose sizes shape inference does not know."""

    def node(
        self,
        op: str,
        inputs: list[str],
        **attributes: int | float | list[int] | str | onnx.TensorProto | None,
    ) -> str:
        """Returns the output of a new node."""
        return self.nodes_of(op, inputs, 1, **attributes)[0]

    def nodes_of(
        self,
        op: str,
        inputs: list[str],
        outputs: int,
        **attributes: int | float | list[int] | str | onnx.TensorProto | None,
    ) -> list[str]:
        """Returns the outputs of a new node of several."""
        self.count += 1
        name = f"{op.lower()}{self.count}"
        given: dict[str, Any] = {k: v for k, v in attributes.items() if v is not None}
        made = [f"{name}.y", *(f"{name}.y{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(op, inputs, made, name=name, **given))
        return made

    def ints(self, *values: int) -> str:
        """Returns a new constant vector of integers."""
        return self.constant(np.array(values, dtype=np.int64))

    def one_of(self, *options: Option) -> Option:
        """Returns one of the options."""
        return self.draw(st.sampled_from(options))

    def weight(self, *shape: int, positive: bool = False) -> str:
        """Returns a new random constant, an initializer or the output of a Constant node."""
        self.count += 1
        array = self.rng.standard_normal(shape)
        fan_in = max(int(np.prod(shape[1:])), 1)
        array = np.abs(array) + 0.5 if positive else array / np.sqrt(fan_in)
        return self.constant(array.astype(np.float32))

    def constant(self, array: npt.NDArray[np.generic]) -> str:
        """Returns a new constant with the given values."""
        self.count += 1
        name = f"w{self.count}"
        if self.draw(st.booleans()):
            self.weights[name] = array
            return name
        return self.node("Constant", [], value=numpy_helper.from_array(array, name))
