"""Small networks with everything that a choice needs but the scores; no test lives here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from oracle import Arrays, proto_of

from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.channels.relations import Ids
from onnxtrim.config import PruneConfig
from onnxtrim.graph import load, normalize
from onnxtrim.graph.shapes import concrete_shapes
from onnxtrim.selection import (
    Alignment,
    Budget,
    Choice,
    Cost,
    CostModel,
    Ladder,
    choose,
    ladders,
    make_plan,
    queues_of,
)
from onnxtrim.surgery import cut

__all__ = [
    "CONCAT",
    "COUPLED",
    "GROUPED",
    "PADDED",
    "PAIR",
    "Problem",
    "Scores",
    "chosen",
    "cost_of",
    "kept_units",
    "kept_widths",
    "ladder_of",
    "plain",
    "problem_of",
    "scores_of",
    "thinned",
]

Scores = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Problem:
    """A model, its groups and its costs."""

    model: ir.Model
    channel_map: ChannelMap
    costs: CostModel

    @property
    def widths(self) -> tuple[int, ...]:
        """Returns the widths of the groups."""
        return tuple(group.width for group in self.channel_map.groups)


def problem_of(source: str | onnx.ModelProto, weights: Arrays, **inputs: Any) -> Problem:  # noqa: ANN401
    """Returns a model, as ONNX text or as it is, for `inputs` (arrays, or shapes of them)."""
    proto = proto_of(source, weights) if isinstance(source, str) else source
    model = normalize(load(proto))
    given = {
        name: np.zeros(what, np.float32) if isinstance(what, tuple) else what
        for name, what in inputs.items()
    }
    return Problem(model, analyze(model), CostModel(model, concrete_shapes(model, given)))


def ones(**shapes: tuple[int, ...]) -> Arrays:
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


def plain(step: int) -> Alignment:
    """Returns the alignment of `--align STEP`."""
    return Alignment(step, step)


def scores_of(problem: Problem, seed: int = 0, digits: int = 6) -> Scores:
    """Returns random scores in [0, 1), rounded so that few digits make ties."""
    rng = np.random.default_rng(seed)
    return {g.name: np.round(rng.random(g.width), digits) for g in problem.channel_map.groups}


def budget_of(problem: Problem, config: PruneConfig) -> Budget:
    """Returns the budget for a file that holds the weights and nothing else."""
    now = problem.costs.now()
    return Budget.of(config, now, now.weight_bytes, 0)


def chosen(problem: Problem, scores: Scores, config: PruneConfig, *alignments: Alignment) -> Choice:
    """Returns what is removed."""
    budget = budget_of(problem, config)
    return choose(problem.channel_map, scores, problem.costs, config, alignments, budget)


def ladder_of(
    problem: Problem, scores: Scores, config: PruneConfig, alignment: Alignment
) -> Ladder:
    """Returns every plan that the scores allow."""
    queues = queues_of(problem.channel_map, scores, config)
    (found,) = ladders(problem.channel_map, queues, problem.costs, config, [alignment])
    return found


def thinned(problem: Problem, removed: Ids) -> ir.Model:
    """Returns the model that is really cut."""
    plan = make_plan(problem.channel_map, problem.model.graph.initializers, removed, "")
    return cut(problem.model, problem.channel_map, plan)


def cost_of(thinner: ir.Model, **inputs: Any) -> Cost:  # noqa: ANN401
    """Returns the cost of a model that is cut, from shapes inferred anew."""
    proto = ir.to_proto(thinner)
    sizes = {
        t.name: math.prod(t.dims)
        for t in proto.graph.initializer
        if t.data_type == onnx.TensorProto.FLOAT
    }
    shapes = concrete_shapes(thinner, {k: np.zeros(v, np.float32) for k, v in inputs.items()})
    macs = 0
    for node in proto.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            per_output = math.prod(shapes[node.input[1]][1:])
            if node.op_type == "Gemm":
                per_output = shapes[node.input[0]][1]
            macs += math.prod(shapes[node.output[0]]) * per_output
    params = sum(sizes.values())
    return Cost(macs, params, 4 * params)


def kept_widths(problem: Problem, removed: Ids) -> list[int]:
    """Returns how many units stay of each group; the units removed are sorted and each is one."""
    gone = set(removed.tolist())
    assert removed.tolist() == sorted(gone)
    return [g.width - len(gone & set(g.units.tolist())) for g in problem.channel_map.groups]


def kept_units(problem: Problem, removed: Ids) -> dict[str, list[int]]:
    """Returns which units stay of each group, by their place in it."""
    return {
        g.name: np.flatnonzero(~np.isin(g.units, removed)).tolist()
        for g in problem.channel_map.groups
    }


# Two hidden layers of 4 and 6: 10 a + a b + b parameters, and as many multiply-accumulates.
PAIR = problem_of(
    """<ir_version: 8, opset_import: ["": 17]> g (float[N, 10] x) => (float[N, 1] y) {
      [a] u = Gemm(x, w1)
      [r1] v = Relu(u)
      [b] s = Gemm(v, w2)
      [r2] t = Relu(s)
      [last] y = Gemm(t, w3)
    }""",
    ones(w1=(10, 4), w2=(4, 6), w3=(6, 1)),
    x=(1, 10),
)

# `wide` makes 16 channels, 8 of which meet the shortcut of `stem` between its zeros.
PADDED = problem_of(
    """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3, 4, 4] x) => (float[N, 2] y)
    <int64[8] pads = {0, 2, 0, 0, 0, 6, 0, 0}> {
      [stem] a = Conv(x, w0)
      [r0] r = Relu(a)
      [wide] b = Conv(r, w1)
      [pad] s = Pad(r, pads)
      [sum] c = Add(b, s)
      [r1] d = Relu(c)
      [pool] p = GlobalAveragePool(d)
      [flat] f = Flatten(p)
      [last] y = Gemm(f, w2)
    }""",
    ones(w0=(8, 3, 1, 1), w1=(16, 8, 1, 1), w2=(16, 2)),
    x=(1, 3, 4, 4),
)

# `mid` reads what `left` (4) and `right` (6) make, side by side.
CONCAT = problem_of(
    """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3, 4, 4] x) => (float[N, 2] y) {
      [left] a = Conv(x, w0)
      [right] b = Conv(x, w1)
      [cat] c = Concat <axis=1> (a, b)
      [r0] d = Relu(c)
      [mid] e = Conv(d, w2)
      [r1] h = Relu(e)
      [pool] p = GlobalAveragePool(h)
      [flat] f = Flatten(p)
      [last] y = Gemm(f, w3)
    }""",
    ones(w0=(4, 3, 1, 1), w1=(6, 3, 1, 1), w2=(8, 10, 1, 1), w3=(8, 2)),
    x=(1, 3, 4, 4),
)

# A unit has a channel in either block of `grouped`.
GROUPED = problem_of(
    """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3, 4, 4] x) => (float[N, 2] y) {
      [stem] a = Conv(x, w0)
      [r0] r = Relu(a)
      [grouped] b = Conv <group=2> (r, w1)
      [r1] d = Relu(b)
      [pool] p = GlobalAveragePool(d)
      [flat] f = Flatten(p)
      [last] y = Gemm(f, w2)
    }""",
    ones(w0=(8, 3, 1, 1), w1=(12, 4, 1, 1), w2=(12, 2)),
    x=(1, 3, 4, 4),
)

COUPLED = {"padded": PADDED, "concat": CONCAT, "grouped": GROUPED}
