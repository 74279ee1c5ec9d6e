"""The models by which ONNX tests its backends, a few nodes each, with stored inputs.

None is refused, and a cut of nothing keeps every bit. As they are, nothing in them can go: weights
are fed, and an operator at the edge of a graph has no channels of its own. So they are also set
between layers that write and read channels:

    x -> product with the identity along one axis -> the model -> products along every axis -> y

The first writes the channels of that axis and leaves the model the inputs that it was given; the
others read whatever axis the channels are on behind it.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper, version_converter
from onnx.backend.test.loader import load_model_tests
from oracle import run

from onnxtrim.channels import ChannelMap, Code, analyze
from onnxtrim.channels.ops import rule_for
from onnxtrim.channels.relations import Ids
from onnxtrim.errors import OnnxtrimError
from onnxtrim.graph import load, normalize
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut, verify

KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted")

SPARSELY = 16
"""Of the models of several nodes, functions spelt out, one in so many is in the plain run."""

OF_EACH = 3
"""So many models of each operator are in the plain run, one from each third of them by name."""

ENOUGH = 2
"""In so many of these a cut is proven in the plain run."""

WIDEST = 64
"""Axes longer than this get no layers: these would be large."""

OLDEST = 7
"""Before this operator set operands did not broadcast; such models are converted to it."""

NEVER_FREE = {
    "GridSample",  # its maps have a single channel
    "Resize",  # the same
    "Shape",  # all sizes are known, so that it is folded
    "Upsample",  # a single channel
}
"""Operators in whose models nothing can go."""

Values = dict[str, Any]
"""A value by name: an array, or a list of arrays, or a text."""


@dataclass(frozen=True, eq=False)
class Case:
    """A model and the inputs that it is tested on."""

    name: str
    model: onnx.ModelProto
    inputs: tuple[Values, ...]

    @property
    def operators(self) -> list[str]:
        """Returns its operators but for constants."""
        return [node.op_type for node in self.model.graph.node if node.op_type != "Constant"]

    @property
    def versions(self) -> dict[str, int]:
        """Returns its operator sets."""
        return {opset.domain: opset.version for opset in self.model.opset_import}

    @property
    def described(self) -> bool:
        """Returns whether a node of the main graph has a rule."""
        return any(
            rule_for(node.domain, node.op_type, self.versions.get(node.domain, 1)) is not None
            for node in self.model.graph.node
        )


@cache
def cases(kind: str) -> tuple[Case, ...]:
    """Returns the models of one kind that have a rule, by name."""
    with warnings.catch_warnings():  # numbers that are cast overflow
        warnings.simplefilter("ignore")
        tests = {test.name: test for test in load_model_tests(kind=kind)}
    found = []
    for name, test in sorted(tests.items()):
        place = Path(test.model_dir or "nowhere")
        model = test.model or onnx.load(place / "model.onnx")
        fed = [value.name for value in model.graph.input]
        sets = [inputs for inputs, _ in test.data_sets or ()]
        for folder in sorted(place.glob("test_data_set_*")):
            count = len(list(folder.glob("input_*.pb")))
            kinds = [value.type.WhichOneof("value") for value in model.graph.input]
            sets.append([stored(folder / f"input_{i}.pb", kinds[i]) for i in range(count)])
        inputs = (dict(zip(fed, map(python_of, given), strict=False)) for given in sets)
        found.append(Case(name, model, tuple(inputs)))
    return tuple(case for case in found if case.described)


def stored(path: Path, kind: str) -> TensorProto | onnx.SequenceProto | onnx.OptionalProto:
    """Returns an input that lies in a file."""
    proto: TensorProto | onnx.SequenceProto | onnx.OptionalProto = TensorProto()
    if kind in ("sequence_type", "optional_type"):
        proto = onnx.SequenceProto() if kind == "sequence_type" else onnx.OptionalProto()
    proto.ParseFromString(path.read_bytes())
    return proto


def python_of(value: object) -> object:
    """Returns a stored input as ONNX Runtime takes it."""
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, onnx.SequenceProto):
        return numpy_helper.to_list(value)
    if isinstance(value, onnx.OptionalProto):
        return numpy_helper.to_optional(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


@cache
def expected(case: Case) -> tuple[Values, ...] | str:
    """Returns the outputs for each set of inputs; why not, where the runtime cannot run it."""
    found = [outputs(case.model, inputs) for inputs in case.inputs]
    refused = [outcome for outcome in found if isinstance(outcome, str)]
    return refused[0] if refused else tuple(o for o in found if not isinstance(o, str))


def outputs(model: Any, inputs: Values, *, optimize: bool = False) -> Values | str:  # noqa: ANN401
    """Returns the outputs of a model, or why the runtime cannot run it."""
    ort.set_seed(1)
    try:
        return dict(run(model, inputs, optimize=optimize))
    except Exception as error:  # ONNX Runtime raises its own unrelated types
        return reason(" ".join(str(error).split()))


def reason(message: str) -> str:
    """Returns a message of the runtime in few words; messages that say the same are the same."""
    known = {
        "IR version": "of a newer IR version",
        "official released": "of an operator set that is not released",
        "Could not find an implementation": "of an operator that it has not",
        "Failed to find kernel": "of an operator that it has not",
        "Numpy_type": "of a type that it does not take from NumPy",
    }
    return next((short for part, short in known.items() if part in message), message[:80])


def results(case: Case) -> tuple[Values, ...]:
    """Returns the outputs for each set of inputs of a model that can run."""
    found = expected(case)
    return () if isinstance(found, str) else found


def runnable(kind: str, *, every: bool) -> list[Case]:
    """Returns the models that the runtime can run: `every` one, or those of the plain run."""
    found = [case for case in cases(kind) if not isinstance(expected(case), str)]
    if every:
        return found
    alike: dict[str, list[Case]] = defaultdict(list)
    for case in found:
        alike[case.operators[0] if len(case.operators) == 1 else ""].append(case)
    strides = (
        (group, -(-len(group) // OF_EACH) if key else SPARSELY) for key, group in alike.items()
    )
    return [case for group, stride in strides for case in group[::stride]]


class TestAsTheyAre:
    """Every model is taken, and comes out as it was."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_cut_of_nothing_keeps_every_bit(self, kind: str) -> None:
        assert failures(runnable(kind, every=False)) == {}

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_cut_of_nothing_keeps_every_bit_of_every_model(self, kind: str) -> None:
        assert failures(runnable(kind, every=True)) == {}

    def test_most_of_them_can_run(self) -> None:
        everything = [expected(case) for kind in KINDS for case in cases(kind)]
        refused = Counter(outcome for outcome in everything if isinstance(outcome, str))
        assert refused.total() < len(everything) / 3
        if refused:  # newer than the runtime, or of types that it does not know
            reasons = "; ".join(f"{count} {why}" for why, count in refused.most_common())
            pytest.skip(f"{refused.total()} of {len(everything)} cannot run at all: {reasons}")


def failures(chosen: Iterable[Case]) -> dict[str, str]:
    """Returns what went wrong, by model."""
    found = {}
    for case in chosen:
        try:
            changed = difference(case)
        except OnnxtrimError as error:
            changed = repr(error)
        if changed:
            found[case.name] = changed
    return found


def difference(case: Case) -> str:
    """Returns what a cut of nothing changes; the empty string where that is nothing."""
    model = normalize(load(case.model))
    channels = analyze(model)
    if failed := failed_rules(channels):
        return failed
    thinner = cut(model, channels, make_plan(channels, model.graph.initializers, NONE, ""))
    fed = {value.name for value in thinner.graph.inputs}
    for inputs, wanted in zip(case.inputs, results(case), strict=True):
        found = outputs(thinner, {name: inputs[name] for name in inputs if name in fed})
        if isinstance(found, str):
            return found
        if list(found) != list(wanted) or not all(same(found[n], wanted[n]) for n in wanted):
            return "other outputs"
    return ""


NONE: Ids = np.zeros(0, dtype=np.int64)


def failed_rules(channels: ChannelMap) -> str:
    """Returns what the rules that failed say."""
    reasons = (*channels.barriers, *channels.frozen.values())
    return "; ".join(sorted({r.sentence for r in reasons if r.code == Code.RULE_FAILED}))


def same(a: Any, b: Any) -> bool:  # noqa: ANN401 - whatever the runtime gives
    """Returns whether two outputs are the same, bit for bit."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return bool(a == b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return np.array_equal(a, b) if a.dtype.kind == "O" else a.tobytes() == b.tobytes()


class TestBetweenLayers:
    """Half of every group goes, and the rest computes what the masked original computes."""

    def test_of_each_operator_some_cuts(self) -> None:
        found = cuts(every=False)
        assert found.wrong == {}
        assert found.never_free == NEVER_FREE

    @pytest.mark.slow
    def test_of_each_operator_every_cut(self) -> None:
        found = cuts(every=True)
        assert found.wrong == {}
        assert found.never_free == NEVER_FREE


@dataclass(frozen=True)
class Cuts:
    """What came of many cuts: what went wrong, and the operators in whose models nothing goes."""

    wrong: dict[tuple[str, str, int], str]
    never_free: set[str]


def cuts(*, every: bool) -> Cuts:
    """Returns what comes of `every` cut, or of those of the plain run."""
    wrong: dict[tuple[str, str, int], str] = {}
    proven: dict[str, int] = {}
    for kind in KINDS:
        for case in runnable(kind, every=every):
            operator = case.operators[0] if len(case.operators) == 1 else ""
            if not every and operator and proven.get(operator, 0) >= ENOUGH:
                continue
            for name, axis in places(case):
                outcome = half_removed(case, name, axis)
                if isinstance(outcome, str):
                    wrong[case.name, name, axis] = outcome
                elif outcome is not None:
                    proven[operator] = proven.get(operator, 0) + outcome
                if not every and (outcome or not operator):
                    break
    return Cuts(wrong, {name for name, count in proven.items() if name and count == 0})


def places(case: Case) -> Iterator[tuple[str, int]]:
    """Yields the inputs and axes of a model that a layer can be set before."""
    known = [v for values in (*case.inputs[:1], *results(case)[:1]) for v in values.values()]
    if not case.inputs or not all(map(is_numeric, known)):
        return
    for name, array in case.inputs[0].items():
        if array.dtype == np.float32 and array.size:
            yield from ((name, axis) for axis, n in enumerate(array.shape) if 2 <= n <= WIDEST)


def is_numeric(value: object) -> bool:
    """Returns whether a value is an array of numbers that NumPy knows."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"


def half_removed(case: Case, name: str, axis: int) -> bool | str | None:
    """Returns whether half of every group can go; what went wrong, if anything did.

    None stands for a model of which the runtime cannot tell what it computed before.
    """
    proto = between_layers(case, name, axis)
    inputs = {name: case.inputs[0][name]}
    try:
        model = normalize(load(proto))
        channels = analyze(model)
        if failed := failed_rules(channels):
            return failed
        removed = np.concatenate([NONE, *(g.units[: g.width // 2] for g in channels.groups)])
        if not removed.size:
            return False
        before = outputs(proto, inputs, optimize=True)
        if isinstance(before, str) or not all(np.isfinite(a).all() for a in before.values()):
            return None
        thinner = cut(model, channels, make_plan(channels, model.graph.initializers, removed, ""))
        verify(model, thinner, channels, np.sort(removed), inputs, 1)
    except OnnxtrimError as error:
        return repr(error)
    return True


def between_layers(case: Case, name: str, axis: int) -> onnx.ModelProto:
    """Returns a model with a layer before one axis of one input, and layers behind all outputs.

    The other inputs are constants.
    """
    array, rng = case.inputs[0][name], np.random.default_rng(3)
    source = case.model
    if case.versions.get("", OLDEST) < OLDEST:
        source = version_converter.convert_version(source, OLDEST)
    graph = source.graph
    weights = [*graph.initializer]
    known = {tensor.name for tensor in weights} | {name}
    weights += [
        numpy_helper.from_array(value, other)
        for other, value in case.inputs[0].items()
        if other not in known
    ]
    identity = np.eye(array.shape[axis], dtype=np.float32)
    nodes, written = product_along(name, array.ndim, axis, identity, weights)
    for node in graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [written if operand == name else operand for operand in node.input]
        nodes.append(copy)
    ends = []
    for value, found in zip(graph.output, results(case)[0].values(), strict=True):
        read = value.name
        if found.dtype != np.float32:
            nodes.append(helper.make_node("Cast", [read], [f"{read}.float"], to=TensorProto.FLOAT))
            read = f"{read}.float"
        for along, size in enumerate(found.shape):
            if size > 1:
                mixing = rng.standard_normal((size, 2)).astype(np.float32)
                more, read = product_along(read, found.ndim, along, mixing, weights)
                nodes += more
        sizes = [min(size, 2) for size in found.shape]
        ends.append(helper.make_tensor_value_info(read, TensorProto.FLOAT, sizes))
    start = helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
    model = onnx.ModelProto()
    model.CopyFrom(source)
    model.ir_version = max(model.ir_version, 4)  # before, weights had to be inputs too
    model.graph.CopyFrom(helper.make_graph(nodes, "between", [start], ends, weights))
    return model


def product_along(
    name: str, rank: int, axis: int, weight: np.ndarray[Any, Any], weights: list[TensorProto]
) -> tuple[list[onnx.NodeProto], str]:
    """Returns the nodes of a product of one axis with a `weight`, and the name of the result."""
    new = f"{name}.along_{axis}"
    weights.append(numpy_helper.from_array(weight, f"{new}.weight"))
    perm = [*(i for i in range(rank) if i != axis), axis]
    back = [perm.index(i) for i in range(rank)]
    return [
        helper.make_node("Transpose", [name], [f"{new}.turned"], perm=perm),
        helper.make_node("MatMul", [f"{new}.turned", f"{new}.weight"], [f"{new}.product"], new),
        helper.make_node("Transpose", [f"{new}.product"], [new], perm=back),
    ], new
