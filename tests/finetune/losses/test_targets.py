"""Targets, from labels and from answers."""

import numpy as np
import pytest

from onnxtrim.calibration.data.dataset import Batch
from onnxtrim.errors import DataError
from onnxtrim.finetune.losses import Goal, one_hot, softened, targets_of

X = np.zeros((4, 2), np.float32)
BATCH = Batch({"x": X}, np.array([1, 0, 1]), 3)
"""Three samples, filled up to four."""


def told(kind: str, *sizes: int) -> Goal:
    return Goal("y", kind, sizes=sizes, labelled=True)  # type: ignore[arg-type]


def test_one_score_is_compared_with_the_label_and_several_with_one_of_them() -> None:
    one = targets_of([told("bce", 1)], BATCH, {})["y.labels"]
    assert one.dtype == np.float32
    assert one.tolist() == [[1], [0], [1], [1]]
    several = targets_of([told("bce", 3)], BATCH, {})["y.labels"]
    assert several.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_one_score_knows_two_classes() -> None:
    wrong = Batch({"x": X}, np.array([0, 1, 2, 0]), 4)
    with pytest.raises(DataError, match="label 2 is none of the 2 classes"):
        targets_of([told("bce", 1)], wrong, {})


def test_what_a_teacher_answers_is_made_a_probability() -> None:
    answers = {"y": np.array([[0, np.log(3), -1e4, 1e4]], np.float32)}
    found = targets_of([Goal("y", "bce")], BATCH, answers)["y.target"]
    np.testing.assert_allclose(found, [[0.5, 0.75, 0, 1]], rtol=1e-6)
    assert found.dtype == np.float32


def test_an_output_may_have_two_targets() -> None:
    answers = {"y": np.array([[0, np.log(3)]] * 4, np.float32)}
    goals = [told("cross-entropy", 2), Goal("y", "cross-entropy", 1.0, (2,))]
    found = targets_of(goals, BATCH, answers)
    assert found["y.labels"].tolist() == [[0, 1], [1, 0], [0, 1], [0, 1]]
    np.testing.assert_allclose(found["y.target"], [[0.25, 0.75]] * 4, rtol=1e-6)


def test_a_classifier_may_have_axes_of_one_position_behind_the_classes() -> None:
    assert one_hot(np.array([1, 0]), (2, 2, 1, 1)).tolist() == [
        [[[0.0]], [[1.0]]],
        [[[1.0]], [[0.0]]],
    ]


def test_softened_scores_do_not_overflow_and_sum_up_to_1() -> None:
    shares = softened(np.array([[1e4, 0.0], [0.0, 0.0]], np.float32), 2.0)
    np.testing.assert_array_equal(shares, np.array([[1, 0], [0.5, 0.5]], np.float32))
