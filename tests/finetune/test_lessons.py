"""Batches to learn from."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnxtrim.calibration import Dataset, input_specs, open_data
from onnxtrim.config import DataConfig
from onnxtrim.errors import DataError, TrainingError
from onnxtrim.finetune import lessons as room
from onnxtrim.finetune.augment import Augmentation
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
MSE, CLASSES = Goal("y", "mse"), Goal("y", "cross-entropy", sizes=(2,), labelled=True)


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


@pytest.mark.parametrize("size", [1, 3, 4, 7, 10, 64])
def test_means_of_batches_have_the_mean_of_all_samples_whatever_fills_them_up(
    size: int, teacher: Teacher
) -> None:
    table = []
    for arrays, weight in Lessons("held-out", data(Y), size, [MSE, CLASSES], teacher).weighed():
        assert len(arrays["x"]) == len(arrays["y.labels"]) == size
        np.testing.assert_array_equal(arrays["y.target"], 2 * arrays["x"])
        table.append((np.mean(arrays["x"] ** 2), arrays["y.labels"][:, 1].mean(), weight))
    squares, ones, weights = np.array(table).T
    assert weights.sum() == len(X)
    assert np.average(squares, weights=weights) == pytest.approx(np.mean(X**2), rel=1e-6)
    assert np.average(ones, weights=weights) == pytest.approx(0.5)


def test_labels_are_targets_where_there_is_no_teacher() -> None:
    ((_, _), (_, _), (last, _)) = Lessons("exam", data(Y), 4, [CLASSES], None).epoch()
    assert last["y.labels"].tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]


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


PICTURES = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N, 1, 8, 8] x) => (float[N, 1, 8, 8] y) <float two = {2}> { y = Mul (x, two) }
"""
CHANGE = Augmentation(flip=True, crop=True, layouts={"x": "nchw"}, seed=1)


class TestChangedImages:
    """Images are changed before the teacher and the student see them."""

    MODEL = ir.from_proto(onnx.parser.parse_model(PICTURES))
    IMAGES = np.random.default_rng(3).permutation(10 * 64).astype("f4").reshape(10, 1, 8, 8)

    def lessons(self, teacher: Teacher | None, change: Augmentation | None = CHANGE) -> Lessons:
        source = self.IMAGES if teacher else (self.IMAGES, Y)
        images = open_data(source, input_specs(self.MODEL), DataConfig())
        goal = MSE if teacher else CLASSES
        return Lessons("training", images, 5, [goal], teacher, seed=1, change=change)

    def test_the_teacher_answers_to_what_is_shown_and_none_of_it_is_kept(
        self, tmp_path: Path
    ) -> None:
        lessons = self.lessons(Teacher(self.MODEL, tmp_path, threads=1, room=0))
        seen = []
        for number in (0, 1, 0):
            seen.append([arrays for arrays, _ in lessons.epoch(number)])
            for arrays in seen[-1]:
                np.testing.assert_array_equal(arrays["y.target"], 2 * arrays["x"])
        assert list(tmp_path.iterdir()) == []
        first, second, again = ({a["x"].tobytes() for a in batches} for batches in seen)
        assert first == again
        assert not first & second

    def test_labels_stay_with_their_samples(self) -> None:
        plain = list(self.lessons(None, change=None).epoch(2))
        changed = list(self.lessons(None).epoch(2))
        for (old, before), (new, after) in zip(plain, changed, strict=True):
            assert before == after == 5
            np.testing.assert_array_equal(old["y.labels"], new["y.labels"])
            assert not np.array_equal(old["x"], new["x"])


class TestFullDisk:
    """Answers that cannot be kept are given anew."""

    @staticmethod
    def learn_twice(folder: Path) -> None:
        teacher = Teacher(MODEL, folder, threads=1, room=0)
        lessons = Lessons("training", data(), 2, [MSE], teacher, seed=1)
        for number in range(2):
            for arrays, _ in lessons.epoch(number):
                np.testing.assert_array_equal(arrays["y.target"], 2 * arrays["x"])

    def test_what_others_need_of_the_disk_is_left_to_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room, "_SPARE_BYTES", shutil.disk_usage(tmp_path).total)
        self.learn_twice(tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_nothing_is_left_of_a_file_that_does_not_fit(self, tmp_path: Path) -> None:
        """In a process of its own, where a file ends after 100 bytes, in the middle of one."""
        pytest.importorskip("resource", reason="this system has no limit for the size of a file")
        code = (
            "import resource, sys; from pathlib import Path\n"
            "from finetune.test_lessons import TestFullDisk\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
            "TestFullDisk.learn_twice(Path(sys.argv[1]))\n"
        )
        command = [sys.executable, "-B", "-c", code, str(tmp_path)]
        subprocess.run(command, cwd=Path(__file__).parents[1], check=True)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_gone_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError) as caught:
            self.learn_twice(tmp_path / "gone")
        assert str(caught.value) == (
            f"the teacher's answers cannot be kept in {tmp_path / 'gone'}: No such file or "
            "directory; set TMPDIR to a folder that can be written"
        )

    def test_half_a_file_is_never_read(self, tmp_path: Path) -> None:
        """What a process leaves that is killed while it writes."""
        for index in range(5):
            (tmp_path / f"training-{index}.part").write_bytes(b"PK, and half of the rest")
        self.learn_twice(tmp_path)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == [f"training-{index}.npz" for index in range(5)]


class _Counting:
    """A runner that notes what it is asked."""

    def __init__(self, run: object, asked: list[Arrays]) -> None:
        self._run, self._asked = run, asked
        self.output_names = ["y"]

    def __call__(self, inputs: Arrays) -> Arrays:
        self._asked.append(inputs)
        found: Arrays = self._run(inputs)  # type: ignore[operator]
        return found
