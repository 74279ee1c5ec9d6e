"""Broken rules and the networks they are tried on: what a case is, and how one is run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from oracle import Arrays, assert_equal_to_masked, proto_of

from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.channels.ops import RULES, OpRule
from onnxtrim.channels.ops.operands import bind_like
from onnxtrim.channels.relations import Fixed, Ids, Relations
from onnxtrim.graph import load, normalize
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut, verify

__all__ = [
    "FIRST",
    "Case",
    "Net",
    "attempt",
    "chain",
    "deep",
    "family",
    "freezes",
    "ids_at",
    "net",
    "perceptron",
    "refuses",
    "reverse_channels",
    "with_fault",
]

Net = tuple[str, Arrays]
"""A network as text, and its weights."""

Given = tuple[int, ...] | npt.NDArray[Any]
"""A weight, or the shape of a random one."""

Position = tuple[str, int, tuple[int, ...]]
"""A weight, an axis of it, and places there."""

FIRST: Position = ("w1", 0, (0,))


@dataclass(frozen=True)
class Case:
    """A network, positions to remove, and a broken rule.

    The rules as they are refuse to remove what must stay; for such a case `free` are positions of
    the same network that can go.
    """

    net: Callable[[], Net]
    broken: OpRule
    removed: tuple[Position, ...] = (FIRST,)
    free: tuple[Position, ...] = ()


# -- networks -------------------------------------------------------------------------------


def net(signature: str, body: str, opset: int = 13, **given: Given) -> Net:
    """Returns a network; weights are random, and positive where the name begins with `var`."""
    rng = np.random.default_rng(7)
    arrays: Arrays = {}
    for name, array in given.items():
        if isinstance(array, tuple):
            drawn = rng.standard_normal(array).astype(np.float32)
            arrays[name] = np.abs(drawn) + np.float32(0.5) if name.startswith("var") else drawn
        else:
            arrays[name] = array
    head = f'<ir_version: 8, opset_import: ["": {opset}]> net'
    return f"{head} {signature} {{ {body} }}", arrays


def chain(
    middle: str, width: int = 4, opset: int = 13, made: str = "N, 2, 4, 4", **more: Given
) -> Net:
    """Returns conv -> middle (h -> z) -> conv, with 4 channels at h and `width` at z."""
    given = {"w1": (4, 3, 1, 1), "w2": (2, width, 1, 1), **more}
    body = f"h = Conv(x, w1) {middle} y = Conv(z, w2)"
    return net(f"(float[N, 3, 4, 4] x) => (float[{made}] y)", body, opset, **given)


def deep(middle: str, width: int = 4, opset: int = 13, **more: Given) -> Net:
    """Returns conv (w0) -> conv (w1) -> middle (h -> z) -> conv, with 4 channels at h."""
    given = {"w0": (5, 3, 1, 1), "w1": (4, 5, 1, 1), "w2": (2, width, 1, 1), **more}
    body = f"g = Conv(x, w0) r = Relu(g) h = Conv(r, w1) {middle} y = Conv(z, w2)"
    return net("(float[N, 3, 4, 4] x) => (float[N, 2, 4, 4] y)", body, opset, **given)


def perceptron(middle: str, opset: int = 13, **more: Given) -> Net:
    """Returns a matrix product -> middle (h -> z) -> a matrix product, 4 -> 6 -> 6 -> 3."""
    body = f"h0 = MatMul(x, w1) h = Relu(h0) {middle} y = MatMul(z, w3)"
    given = {"w1": (4, 6), "w3": (6, 3), **more}
    return net("(float[N, 4] x) => (float[N, 3] y)", body, opset, **given)


def freezes(network: Callable[[], Net], broken: OpRule) -> Case:
    """Returns a case of a `deep` network whose middle must freeze what comes into it."""
    return Case(network, broken, free=(("w0", 0, (0,)),))


# -- faults ---------------------------------------------------------------------------------


def ids_at(rel: Relations, value: ir.Value | None, axis: int = 1) -> Ids:
    """Returns the ids of an axis that has some."""
    ids = rel.axis(value, axis)
    assert not isinstance(ids, Fixed)
    return ids


def reverse_channels(rel: Relations, node: ir.Node) -> None:
    """Binds axis 1 of the output to the ids of the input, back to front."""
    bind_like(rel, node.outputs[0], node.inputs[0])
    rel.bind(node.outputs[0], 1, ids_at(rel, node.inputs[0])[::-1])


# -- running --------------------------------------------------------------------------------


def family(broken: OpRule) -> type:
    """Returns the rule that a broken one is derived from."""
    return type(broken).__mro__[1]


def with_fault(broken: OpRule) -> tuple[OpRule, ...]:
    """Returns the rules with `broken` in the place of the one it is derived from."""
    assert any(type(rule) is family(broken) for rule in RULES)
    return tuple(broken if type(rule) is family(broken) else rule for rule in RULES)


def attempt(
    case: Case, rules: tuple[OpRule, ...], removed: tuple[Position, ...], *, prove: bool
) -> None:
    """Cuts the case's network by `rules`; raises where the oracle, or the proof, objects."""
    text, arrays = case.net()
    model = normalize(load(proto_of(text, arrays)))
    channel_map = analyze(model, rules)
    units = _units_at(channel_map, removed)
    if not _are_free(channel_map, units):
        pytest.fail(f"the units are frozen: {channel_map.frozen_groups}")
    plan = make_plan(channel_map, model.graph.initializers, units, "")
    shape = [2 if not isinstance(d, int) else d for d in model.graph.inputs[0].shape or ()]
    inputs = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    thinner = cut(model, channel_map, plan, rules)
    if prove:
        verify(model, thinner, channel_map, units, inputs, 2)
    else:
        assert_equal_to_masked(model, channel_map, units, thinner, inputs)


def refuses(case: Case) -> bool:
    """Returns whether the rules as they are freeze what a case removes."""
    text, arrays = case.net()
    channel_map = analyze(normalize(load(proto_of(text, arrays))))
    return not _are_free(channel_map, _units_at(channel_map, case.removed))


def _units_at(channel_map: ChannelMap, positions: tuple[Position, ...]) -> Ids:
    """Returns the units behind some positions."""
    found = [channel_map.axes[name, axis][list(at)] for name, axis, at in positions]
    return np.unique(np.concatenate(found))


def _are_free(channel_map: ChannelMap, units: Ids) -> bool:
    """Returns whether all of some units can go."""
    free = {int(unit) for group in channel_map.groups for unit in group.units}
    return set(units.tolist()) <= free
