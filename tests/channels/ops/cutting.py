"""For the operator tests: analyse a graph written as text, cut chosen channels, compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from oracle import Arrays, assert_equal_to_masked, proto_of, run

from onnxtrim.channels import ChannelGroup, ChannelMap, Reason, analyze
from onnxtrim.channels.ops import Weight, rule_for
from onnxtrim.channels.ops.base import OpRule
from onnxtrim.channels.relations import Ids
from onnxtrim.graph import load, normalize
from onnxtrim.graph.constants import node_label, opset_of
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut

Given = tuple[int, ...] | npt.NDArray[Any]
"""A weight, or the shape of a random one."""

BATCH = 2
"""What a symbolic size of an input becomes in a run."""


@dataclass(frozen=True)
class Analysed:
    """A normalised model with its channel map."""

    model: ir.Model
    channels: ChannelMap

    @property
    def groups(self) -> dict[str, ChannelGroup]:
        """Returns the groups that can be cut, by name."""
        return {group.name: group for group in self.channels.groups}

    @property
    def reasons(self) -> dict[str, Reason]:
        """Returns why each frozen group stays, by name."""
        found = {}
        for group in self.channels.frozen_groups:
            assert group.reason is not None
            found[group.name] = group.reason
        return found

    def carries(self, tensor: str, axis: int) -> bool:
        """Returns whether an axis carries units at all."""
        return (tensor, axis) in self.channels.axes

    def pattern(self, *keys: tuple[str, int]) -> list[list[int]]:
        """Returns the units of several axes, numbered in the order of their first appearance."""
        numbers: dict[int, int] = {}
        return [
            [numbers.setdefault(int(unit), len(numbers)) for unit in self.channels.axes[key]]
            for key in keys
        ]

    def units(self, tensor: str, axis: int, *positions: int) -> Ids:
        """Returns the units at some positions of an axis; they must be free to go."""
        found = np.unique(self.channels.axes[tensor, axis][list(positions)])
        free = {int(unit) for group in self.channels.groups for unit in group.units}
        assert set(found.tolist()) <= free, f"{self.reasons}"
        return found

    def node(self, name: str) -> ir.Node:
        """Returns the node of that name."""
        return next(node for node in self.model.graph if node_label(node) == name)

    def rule(self, name: str) -> OpRule:
        """Returns the rule that holds for the node of that name."""
        node = self.node(name)
        rule = rule_for(node.domain, node.op_type, opset_of(self.model, node))
        assert rule is not None
        return rule

    def macs(self, name: str, **shapes: tuple[int, ...]) -> int:
        """Returns the MACs of a node for tensors of the given sizes."""
        return self.rule(name).macs(self.node(name), shapes)

    def weights(self, name: str) -> tuple[Weight, ...]:
        """Returns the weights of a node."""
        return self.rule(name).weights(self.node(name))

    def inputs(self) -> Arrays:
        """Returns random inputs; symbolic sizes become `BATCH`."""
        rng = np.random.default_rng(7)
        found: Arrays = {}
        for value in self.model.graph.inputs:
            assert value.shape is not None
            assert value.dtype is not None
            sizes = [size if isinstance(size, int) else BATCH for size in value.shape]
            found[str(value.name)] = rng.standard_normal(sizes).astype(value.dtype.numpy())
        return found

    def cut(self, *removed: Ids) -> ir.Model:
        """Returns the model without some units, after comparing it with the masked original.

        The cut must matter: a mask that changes no output would prove nothing.
        """
        units = np.unique(np.concatenate(removed))
        plan = make_plan(self.channels, self.model.graph.initializers, units, "")
        thinner = cut(self.model, self.channels, plan)
        inputs = self.inputs()
        assert_equal_to_masked(self.model, self.channels, units, thinner, inputs)
        before, after = run(self.model, inputs), run(thinner, inputs)
        assert any(not np.allclose(before[name], after[name], atol=1e-3) for name in before)
        return thinner

    def sizes_after(self, *removed: Ids) -> dict[str, tuple[int, ...]]:
        """Returns the new sizes of every initializer that `cut` makes smaller."""
        before, after = initializers(self.model), initializers(self.cut(*removed))
        return {
            name: array.shape
            for name, array in after.items()
            if name not in before or before[name].shape != array.shape
        }


def analysed(
    signature: str,
    body: str,
    further: Mapping[str, Given] | None = None,
    /,
    *,
    opset: int = 17,
    **weights: Given,
) -> Analysed:
    """Returns the graph in ONNX text, normalised and analysed; a shape makes a random weight."""
    rng = np.random.default_rng(42)
    weights |= further or {}
    arrays: Arrays = {
        name: rng.standard_normal(given).astype(np.float32) if isinstance(given, tuple) else given
        for name, given in weights.items()
    }
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g {signature} {{ {body} }}'
    model = normalize(load(proto_of(text, arrays)))
    return Analysed(model, analyze(model))


def initializers(model: ir.Model) -> Arrays:
    """Returns every initializer as an array."""
    found: Arrays = {}
    for name, value in model.graph.initializers.items():
        assert value.const_value is not None
        found[name] = value.const_value.numpy()
    return found


def ints(*values: int) -> npt.NDArray[np.int64]:
    """Returns a constant shape, axes or sizes operand."""
    return np.array(values, dtype=np.int64)
