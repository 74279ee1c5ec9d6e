"""What an output is to become."""

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from finetune.stand_ins import NOBODY
from onnxtrim.calibration import Dataset, input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.errors import TrainingError, UsageError
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.goals import Aim, aim_of, answering, relative, relevant
from onnxtrim.finetune.losses import Goal
from onnxtrim.graph.runtime import Runner

X = np.random.default_rng(1).normal(size=(50, 3)).astype("f4") * 2 + 5
LABELS = np.arange(50) % 3


def net(body: str = "y = Identity (x)", outputs: str = "float[N, 3] y") -> ir.Model:
    text = f"""
    <ir_version: 8, opset_import: ["" : 13]> net (float[N, 3] x) => ({outputs}) {{ {body} }}
    """
    return ir.from_proto(onnx.parser.parse_model(text))


def aim(
    model: ir.Model, loss: str, *, labelled: bool, taught: bool = True, **options: object
) -> Aim:
    specs = input_specs(model)
    data: Dataset = open_data((X, LABELS) if labelled else X, specs, DataConfig())
    config = TuneConfig(loss=loss, **options)  # type: ignore[arg-type]
    teacher = model if taught else None
    return aim_of(model, teacher, data, specs, config, batch_size=16, runtime=NOBODY)


def plain(found: Aim) -> list[Goal]:
    """Returns the goals, none of which is somebody's own loss."""
    goals = [goal for goal in found.goals if isinstance(goal, Goal)]
    assert len(goals) == len(found.goals)
    return goals


CLASSES = Goal("y", "cross-entropy", 1.0, (3,), labelled=True)
SOFT = Goal("y", "cross-entropy", 4.0, (3,))


def test_labels_of_a_classifier_are_learned_whether_there_is_a_teacher_or_not() -> None:
    assert aim(net(), "auto", labelled=True) == Aim((CLASSES,), loss="ce")
    found = aim(net(), "ce", labelled=True, taught=False)
    assert found == Aim((CLASSES,), loss="ce")


@pytest.mark.parametrize(
    ("body", "labelled"), [("z = Neg (x) y = Softmax (z)", False), ("y = Identity (x)", True)]
)
def test_scores_that_surely_are_some_are_softened(body: str, labelled: bool) -> None:
    found = aim(net(body), "distill", labelled=labelled)
    assert found == Aim((SOFT,), loss="distill")


@pytest.mark.parametrize(("loss", "kind"), [("auto", "mse"), ("mse", "mse"), ("l1", "l1")])
def test_other_outputs_are_compared_relative_to_their_spread(loss: str, kind: str) -> None:
    found = aim(net(), loss, labelled=False)
    (goal,) = plain(found)
    assert (goal.output, goal.kind, found.labelled) == ("y", kind, False)
    assert goal.spread == pytest.approx(X.astype(np.float64).std(), rel=1e-6)


def test_an_output_that_never_changes_counts_as_it_is_and_whole_numbers_not_at_all() -> None:
    body = "y = Mul (x, x) c = Sub (x, x) i = ArgMax (x)"
    outputs = "float[N, 3] y, float[N, 3] c, int64[N, 1] i"
    goals = plain(aim(net(body, outputs), "auto", labelled=False))
    assert [(goal.output, goal.kind) for goal in goals] == [("y", "mse"), ("c", "mse")]
    assert goals[1].spread == 1.0


def test_where_no_output_is_real_there_is_no_loss() -> None:
    with pytest.raises(TrainingError, match=r"^no output is of float32"):
        aim(net("i = ArgMax (x)", "int64[1, 3] i"), "auto", labelled=False)


@pytest.mark.parametrize(
    ("loss", "labelled", "taught", "sentence"),
    [
        ("auto", False, False, "there is nothing to learn from: give the original model by"),
        ("ce", False, True, "--loss ce takes labels; give them, or"),
        ("distill", True, False, "--loss distill compares with a model; give it by --teacher"),
        ("mse", True, False, "--loss mse compares with a model; give it by --teacher"),
        ("ce+distill", False, True, "--loss ce+distill takes labels; give them, or"),
        ("ce+distill", True, False, "--loss ce+distill compares with a model; give it by --teach"),
        ("bce", False, False, "--loss bce compares with a model; give it by --teacher or labels"),
        ("mine:Loss", False, False, "--loss mine:Loss compares with a model; give it by --teacher"),
    ],
)
def test_what_is_missing_is_named(loss: str, labelled: bool, taught: bool, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        aim(net(), loss, labelled=labelled, taught=taught)
    assert str(caught.value).startswith(sentence)


def test_labels_and_the_teacher_share_an_output() -> None:
    found = aim(net(), "ce+distill", labelled=True, distill_weight=0.25)
    assert found.goals == (replace(CLASSES, weight=0.75), replace(SOFT, weight=0.25))
    assert found.learned_from == ("labels", "teacher")
    assert found.classes
    assert not found.labelled


SIGMOID = "z = Neg (x) y = Sigmoid (z)"


@pytest.mark.parametrize("taught", [True, False])
def test_bce_is_to_the_teacher_and_without_one_to_labels(taught: bool) -> None:
    found = aim(net(SIGMOID), "bce", labelled=True, taught=taught)
    assert found.goals == (Goal("y", "bce", sizes=(3,), labelled=not taught),)
    assert found.learned_from == (("teacher",) if taught else ("labels",))


def test_bce_takes_a_sigmoid_off_and_leaves_scores_as_they_are() -> None:
    for body in (SIGMOID, "y = Neg (x)"):
        found = aim(net(body), "bce", labelled=False)
        np.testing.assert_array_equal(Runner(answering(net(body), found))({"x": X})["y"], -X)


def test_bce_of_labels_is_for_one_output() -> None:
    two = net("y = Identity (x) w = Neg (x)", "float[N, 3] y, float[N, 3] w")
    with pytest.raises(UsageError, match=r"^--loss bce takes labels for one output of \(samples, "):
        aim(two, "bce", labelled=True, taught=False)
    (goal,) = plain(aim(two, "bce", labelled=True, taught=False, output_weight=("w=0",)))
    assert (goal.output, goal.weight) == ("y", 1.0)


def test_bce_of_probabilities_that_come_about_otherwise_is_refused() -> None:
    body = "z = Neg (x) s = Sigmoid (z) y = Mul (s, s)"
    with pytest.raises(UsageError, match=r"output 'y' is in \[0, 1\] and neither; give --loss mse"):
        aim(net(body), "bce", labelled=False)


TWO = net("y = Identity (x) w = Neg (x)", "float[N, 3] y, float[N, 3] w")


def test_outputs_count_alike_or_as_they_are_weighted_and_all_together_1() -> None:
    goals = plain(aim(TWO, "mse", labelled=False))
    assert [(goal.output, goal.weight) for goal in goals] == [("y", 0.5), ("w", 0.5)]
    goals = plain(aim(TWO, "l1", labelled=False, output_weight=("w=3",)))
    assert [(goal.output, goal.weight) for goal in goals] == [("y", 0.25), ("w", 0.75)]


def test_what_counts_nothing_is_left_out_so_that_the_rest_may_be_a_classifier() -> None:
    found = aim(TWO, "auto", labelled=True, output_weight=("w=0",))
    assert found.goals == (CLASSES,)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (("v=2",), "--output-weight v=2: there is no such output of float32; there is y, w"),
        (("y=0", "w=0"), "--output-weight: no output has a weight above 0; give one to one of the"),
    ],
)
def test_weights_that_fit_no_output_are_refused(weights: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        aim(TWO, "mse", labelled=False, output_weight=weights)
    assert str(caught.value).startswith(sentence)


def test_features_take_a_teacher() -> None:
    with pytest.raises(UsageError, match=r"^--features compares with a model; give it by --teach"):
        aim(net(), "ce", labelled=True, taught=False, features=1.0)


def test_what_the_loss_does_not_depend_on_is_left_out_of_what_is_trained() -> None:
    found = aim(TWO, "mse", labelled=False, output_weight=("y=0",))
    left = relevant(answering(TWO, found), found)
    assert [value.name for value in left.graph.outputs] == ["w"]
    assert [node.op_type for node in left.graph] == ["Neg"]


def test_goals_are_relative_to_the_spread_of_their_targets() -> None:
    batches = [
        {"t.target": X[:20], "u.target": X[:20] * 0},
        {"t.target": X[20:], "u.target": X[20:] * 0},
    ]
    goals = [Goal("t", "mse", weight=0.5), Goal("u", "mse")]
    first, second = relative(goals, iter(batches))
    assert first.spread == pytest.approx(X.astype(np.float64).std(), rel=1e-6)
    assert (first.output, first.weight, second) == ("t", 0.5, goals[1])
    assert relative([], iter(())) == []
