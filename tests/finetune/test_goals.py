"""What an output is to become."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnxtrim.calibration import Dataset, input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.errors import TrainingError, UsageError
from onnxtrim.finetune.config import Loss, TuneConfig
from onnxtrim.finetune.goals import Aim, aim_of
from onnxtrim.finetune.losses import Goal

X = np.random.default_rng(1).normal(size=(50, 3)).astype("f4") * 2 + 5
LABELS = np.arange(50) % 3


def net(body: str = "y = Identity (x)", outputs: str = "float[N, 3] y") -> ir.Model:
    text = f"""
    <ir_version: 8, opset_import: ["" : 13]> net (float[N, 3] x) => ({outputs}) {{ {body} }}
    """
    return ir.from_proto(onnx.parser.parse_model(text))


def aim(model: ir.Model, loss: Loss, *, labelled: bool, taught: bool = True) -> Aim:
    specs = input_specs(model)
    data: Dataset = open_data((X, LABELS) if labelled else X, specs, DataConfig())
    return aim_of(model, data, specs, TuneConfig(loss=loss), taught=taught, batch_size=16)


CLASSES = Goal("y", "cross-entropy", 1.0, (3,))
SOFT = Goal("y", "cross-entropy", 4.0, (3,))


def test_labels_of_a_classifier_are_learned_whether_there_is_a_teacher_or_not() -> None:
    assert aim(net(), "auto", labelled=True) == Aim((CLASSES,), labelled=True)
    assert aim(net(), "ce", labelled=True, taught=False) == Aim((CLASSES,), labelled=True)


@pytest.mark.parametrize(
    ("body", "labelled"), [("z = Neg (x) y = Softmax (z)", False), ("y = Identity (x)", True)]
)
def test_scores_that_surely_are_some_are_softened(body: str, labelled: bool) -> None:
    assert aim(net(body), "distill", labelled=labelled) == Aim((SOFT,), labelled=False)


@pytest.mark.parametrize(("loss", "kind"), [("auto", "mse"), ("mse", "mse"), ("l1", "l1")])
def test_other_outputs_are_compared_relative_to_their_spread(loss: Loss, kind: str) -> None:
    found = aim(net(), loss, labelled=False)
    (goal,) = found.goals
    assert (goal.output, goal.kind, found.labelled) == ("y", kind, False)
    assert goal.spread == pytest.approx(X.astype(np.float64).std(), rel=1e-6)


def test_an_output_that_never_changes_counts_as_it_is_and_whole_numbers_not_at_all() -> None:
    body = "y = Mul (x, x) c = Sub (x, x) i = ArgMax (x)"
    outputs = "float[N, 3] y, float[N, 3] c, int64[N, 1] i"
    goals = aim(net(body, outputs), "auto", labelled=False).goals
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
    ],
)
def test_what_is_missing_is_named(loss: Loss, labelled: bool, taught: bool, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        aim(net(), loss, labelled=labelled, taught=taught)
    assert str(caught.value).startswith(sentence)
