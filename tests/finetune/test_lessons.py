"""Batches to learn from."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnxtrim.calibration import Dataset, input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError
from onnxtrim.finetune.lessons import Lessons, Teacher
from onnxtrim.finetune.losses import Goal
from onnxtrim.graph.runtime import Arrays

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N, 2] x) => (float[N, 2] y) <float two = {2}> { y = Mul (x, two) }
"""
MODEL = ir.from_proto(onnx.parser.parse_model(TEXT))
X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10) % 2
MSE, CLASSES = Goal("y", "mse"), Goal("y", "cross-entropy", sizes=(2,))


def data(labels: np.ndarray | None = None) -> Dataset:
    source = X if labels is None else (X, labels)
    return open_data(source, input_specs(MODEL), DataConfig())


def firsts(lessons: Lessons, epoch: int) -> list[list[float]]:
    """Returns the first figure of every sample, batch by batch."""
    return [arrays["x"][:, 0].tolist() for arrays, _ in lessons.epoch(epoch)]


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    return Teacher(MODEL, tmp_path, threads=1)


def test_every_epoch_has_the_same_batches_in_another_order(teacher: Teacher) -> None:
    lessons = Lessons("training", data(), 2, [MSE], teacher, seed=1)
    epochs = [firsts(lessons, number) for number in range(4)]
    assert {len(lessons)} == {len(epoch) for epoch in epochs} == {5}
    assert sorted(figure for batch in epochs[0] for figure in batch) == X[:, 0].tolist()
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert len({str(epoch) for epoch in epochs}) > 1
    assert sorted(epochs[0]) != [[0, 4], [8, 12], [16, 20], [24, 28], [32, 36]], "not shuffled"
    assert firsts(Lessons("training", data(), 2, [MSE], teacher, seed=1), 2) == epochs[2]
    assert firsts(Lessons("training", data(), 2, [MSE], teacher, seed=2), 2) != epochs[2]


def test_the_targets_are_what_the_teacher_answers_to_the_very_samples(teacher: Teacher) -> None:
    lessons = Lessons("training", data(), 4, [MSE], teacher, seed=1)
    for number in (0, 1, 2):
        for arrays, count in lessons.epoch(number):
            assert count == 4
            np.testing.assert_array_equal(arrays["y.target"], 2 * arrays["x"])


def test_a_short_batch_is_left_out_where_it_is_shuffled_and_filled_up_elsewhere(
    teacher: Teacher,
) -> None:
    shuffled = list(Lessons("training", data(), 4, [MSE], teacher, seed=1).epoch())
    assert [count for _, count in shuffled] == [4, 4]
    exam = Lessons("held-out", data(), 4, [MSE], teacher)
    in_order = list(exam.epoch())
    assert len(exam) == len(in_order) == 3
    assert [count for _, count in in_order] == [4, 4, 2]
    last = in_order[-1][0]
    assert last["x"][:, 0].tolist() == [16, 18, 18, 18]
    np.testing.assert_array_equal(last["y.target"], 2 * last["x"])


def test_labels_are_targets_where_there_is_no_teacher() -> None:
    ((_, _), (_, _), (last, _)) = Lessons("exam", data(Y), 4, [CLASSES], None).epoch()
    assert last["y.target"].tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(DataError, match="label 2 is none of the 2 classes"):
        list(Lessons("exam", data(Y + 1), 4, [CLASSES], None).epoch())


def test_answers_beyond_the_room_are_kept_on_disk_and_none_is_asked_for_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = Teacher(MODEL, tmp_path, threads=1, room=16)
    asked: list[Arrays] = []
    run = teacher._runner
    monkeypatch.setattr(teacher, "_runner", _Counting(run, asked))
    lessons = Lessons("training", data(), 2, [MSE], teacher, seed=1)
    for number in range(3):
        for arrays, _ in lessons.epoch(number):
            np.testing.assert_array_equal(arrays["y.target"], 2 * arrays["x"])
    assert len(asked) == 5
    assert len(list(tmp_path.iterdir())) == 4, "one of five fits in 16 bytes"


class _Counting:
    """A runner that notes what it is asked."""

    def __init__(self, run: object, asked: list[Arrays]) -> None:
        self._run, self._asked = run, asked
        self.output_names = ["y"]

    def __call__(self, inputs: Arrays) -> Arrays:
        self._asked.append(inputs)
        found: Arrays = self._run(inputs)  # type: ignore[operator]
        return found
