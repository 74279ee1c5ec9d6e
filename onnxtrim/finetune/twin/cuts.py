"""Where training is cut: at operators that the training runtime cannot differentiate, or not run.

    learner      x -> ... -> t,    b -> ... -> y        trained; t and y have targets, b is fed
    prompter     x, t -> B -> b                         run here; t is the teacher's

A *stop* is a node B that lies behind a parameter and has no gradient, or that the training runtime
does not know. What it reads that depends on trained parameters is a *cut* t: it learns from the
tensor of that name in the teacher, and the stop is fed the teacher's. So what comes out of a stop,
b, does not change while the student learns. It is computed once for each batch, like the teacher's
answers, and what lies behind learns from there. The worker sees no stop.

A parameter with a way into a stop that is no cut, because the teacher has no tensor like it or
there is no teacher, keeps its value.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes import common

from onnxtrim.finetune.twin.flow import downstream, flow_of, operands
from onnxtrim.finetune.twin.gradients import UNKNOWN, edge_of
from onnxtrim.graph.constants import bodies, node_label
from onnxtrim.graph.runtime import Arrays
from onnxtrim.graph.shapes import concrete_shapes

__all__ = ["Cut", "Lost", "Parts", "alike", "is_unknown", "parted"]

_SIZES = ("Shape", "Size")
"""Operators whose results do not depend on the values of what they read."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A tensor up to which the student learns what the teacher has there.

    Attributes:
        tensor: its name.
        node: the node behind it that stops gradients.
        operator: the operator of the node.
    """

    tensor: str
    node: str
    operator: str


@dataclass(frozen=True, slots=True)
class Lost:
    """What keeps a parameter from learning.

    Attributes:
        node: a stop.
        tensor: what it reads that depends on the parameter, and is no cut.
        computed: whether the tensor depends on an input of the model too.
    """

    node: ir.Node
    tensor: str
    computed: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """A model that is cut for training.

    Attributes:
        learner: what is trained. Its outputs are real, and depend on trained parameters.
        prompter: fed inputs of the model and the `forced` tensors, it computes the other inputs
            of the learner, by name; None where there are none.
        forced: the tensors that the prompter is fed besides.
        cuts: those of them that the learner learns.
        lost: the parameters that cannot learn.
    """

    learner: ir.Model
    prompter: ir.Model | None
    forced: tuple[str, ...]
    cuts: tuple[Cut, ...]
    lost: Mapping[str, Lost]


def alike(student: ir.Model, teacher: ir.Model, sample: Arrays) -> frozenset[str]:
    """Returns the tensors that both models compute from `sample` in one type and shape."""
    return frozenset(dict(_kinds(student, sample).items() & _kinds(teacher, sample).items()))


def is_unknown(node: ir.Node) -> bool:
    """Returns whether the training runtime cannot even run a node, or one inside it."""
    return (
        node.domain != ""
        or node.op_type in UNKNOWN
        or any(is_unknown(inner) for body in bodies(node) for inner in body)
    )


def parted(model: ir.Model, weights: Collection[str], known: Collection[str]) -> Parts:
    """Returns the parts of a model in which `weights` are to be trained; it is not changed.

    Args:
        model: canonical, lowered.
        weights: names of initializers.
        known: the tensors that the teacher computes in the same type and shape.
    """
    whole, model = model, _with_outputs_of(model, ir.DataType.FLOAT)
    stops, needed = _stops(model.graph, weights)
    if not stops:
        return Parts(whole, None, (), (), {})
    origins = _origins(model.graph, weights, stops)
    computed = _computed(model.graph)
    reads = [(node, v) for node in stops for _, v in operands(node) if origins.get(v)]
    lost: dict[str, Lost] = {}
    for node, value in reads:
        found = Lost(node, str(value.name), value in computed.values())
        if not found.computed or found.tensor not in known:
            lost.update((name, found) for name in origins[value] - lost.keys())
    forced: dict[str, ir.Node] = {}
    for node, value in reads:
        if origins[value] - lost.keys():
            forced.setdefault(str(value.name), node)
    ends = [name for name in forced if computed[name] in needed]
    learner = _learner(model, stops, ends, set(weights) - lost.keys())
    learned = {value.name for value in learner.graph.outputs}
    cuts = [Cut(t, node_label(forced[t]), forced[t].op_type) for t in ends if t in learned]
    prompter = _prompter(model, learner, tuple(forced))
    return Parts(learner, prompter, tuple(forced), tuple(cuts), lost)


def _kinds(model: ir.Model, sample: Arrays) -> dict[str, tuple[object, ...]]:
    """Returns type and sizes of what a model computes from `sample`, where they are known."""
    shapes, tensors = concrete_shapes(model, sample), _computed(model.graph)
    return {name: (v.dtype, shapes[name]) for name, v in tensors.items() if name in shapes}


def _with_outputs_of(model: ir.Model, kind: ir.DataType) -> ir.Model:
    """Returns a clone with the outputs of one type, and with what they need."""
    clone = model.clone()
    outputs = [value for value in clone.graph.outputs if value.dtype == kind]
    clone.graph.outputs.clear()
    clone.graph.outputs.extend(outputs)
    _clean(clone)
    return clone


def _stops(
    graph: ir.Graph, weights: Collection[str]
) -> tuple[dict[ir.Node, None], Collection[ir.Value]]:
    """Returns the nodes that training has to do without, in order, and what has a derivative."""
    flow = flow_of(graph)
    needed = flow.reached | flow.blocked.keys()
    sources = {value for name, value in graph.initializers.items() if name in weights}
    carried = sources.copy()
    blockers: set[ir.Node] = set()
    for node in downstream(graph, sources):
        broken = any(v in carried and edge_of(node, i) == "breaks" for i, v in operands(node))
        if broken and not needed.isdisjoint(node.outputs):
            blockers.add(node)
        carried.update(node.outputs)
    return {n: None for n in graph if n in blockers or is_unknown(n)}, needed


def _origins(
    graph: ir.Graph, weights: Collection[str], stops: Collection[ir.Node]
) -> dict[ir.Value, frozenset[str]]:
    """Returns the weights that each tensor depends on by a way that leads through no stop."""
    origins = {
        value: frozenset([name]) for name, value in graph.initializers.items() if name in weights
    }
    for node in graph:
        if node in stops or (node.domain == "" and node.op_type in _SIZES):
            continue
        found = frozenset[str]().union(*(origins.get(v, ()) for _, v in operands(node)))
        if found:
            origins.update((value, found) for value in node.outputs)
    return origins


def _computed(graph: ir.Graph) -> dict[str, ir.Value]:
    """Returns the tensors that depend on an input of the graph, by name."""
    fed = set(graph.inputs)
    found: dict[str, ir.Value] = {}
    for node in graph:
        if any(value in fed for _, value in operands(node)):
            fed.update(node.outputs)
            found.update((value.name, value) for value in node.outputs if value.name)
    return found


def _learner(
    model: ir.Model,
    stops: Collection[ir.Node],
    ends: Collection[str],
    trained: Collection[str],
) -> ir.Model:
    """Returns a clone that is fed what comes out of stops, and has some tensors as outputs too.

    Only those of the `ends` are, that depend on what is `trained`. Where no output of the model
    does, none of them is left.
    """
    made = [str(value.name) for node in stops for value in node.outputs if value.name]
    clone = model.clone()
    graph = clone.graph
    tensors = {value.name: value for node in graph for value in node.outputs if value.name}
    outputs = list(graph.outputs)
    graph.outputs.clear()
    fed = _feed(graph, [tensors[name] for name in made])
    sources = {value for name, value in graph.initializers.items() if name in trained}
    reached = {value for node in downstream(graph, sources) for value in node.outputs}
    if any(value in reached and value not in fed for value in outputs):
        graph.outputs.extend(fed.get(value, value) for value in outputs)
    beside = [tensors[name] for name in ends]
    graph.outputs.extend(
        v
        for v in beside
        if v in reached and v not in graph.outputs and v.dtype == ir.DataType.FLOAT
    )
    _clean(clone)
    read = {value for node in graph for _, value in operands(node)} | set(graph.outputs)
    for value in [v for v in graph.inputs if v not in read]:
        graph.inputs.remove(value)
    return clone


def _prompter(model: ir.Model, learner: ir.Model, forced: Collection[str]) -> ir.Model | None:
    """Returns a clone that is fed the forced tensors, and computes what the learner is fed."""
    given = {value.name for value in model.graph.inputs}
    prompts = [str(v.name) for v in learner.graph.inputs if v.name not in given]
    if not prompts:
        return None
    clone = model.clone()
    graph = clone.graph
    tensors = {value.name: value for node in graph for value in node.outputs if value.name}
    graph.outputs.clear()
    _feed(graph, [tensors[name] for name in forced])
    graph.outputs.extend(tensors[name] for name in prompts)
    _clean(clone)
    return clone


def _feed(graph: ir.Graph, values: Iterable[ir.Value]) -> dict[ir.Value, ir.Value]:
    """Returns the new inputs of a graph without outputs that take the place of some tensors."""
    fed: dict[ir.Value, ir.Value] = {}
    for value in values:
        name, value.name = value.name, None
        fed[value] = ir.Value(name=name, type=value.type, shape=value.shape)
        value.replace_all_uses_with(fed[value])
    graph.inputs.extend(fed.values())
    return fed


def _clean(model: ir.Model) -> None:
    """Removes, in place, what no output needs.

    A node with a body does not hold on to what the body captures, once it is gone.
    """
    for node in reversed(model.graph):
        if any(value.uses() or value.is_graph_output() for value in node.outputs):
            continue
        for body in bodies(node):
            for inner in body.all_nodes():
                for place in range(len(inner.inputs)):
                    inner.replace_input_with(place, None)
        model.graph.remove(node, safe=True)
    common.RemoveUnusedNodesPass()(model)
