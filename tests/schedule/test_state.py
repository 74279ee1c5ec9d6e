"""States of a run in a folder: whole or as they were, and of this run alone."""

import json
from pathlib import Path

import onnx_ir as ir
import pytest

import onnxtrim
from onnxtrim.config import DataConfig
from onnxtrim.errors import LoadError, UsageError
from onnxtrim.execute import PruneResult
from onnxtrim.report import to_json
from onnxtrim.schedule.state import Folder, State
from onnxtrim.subject import Subject, prepare

LENET = Path(__file__).parents[2] / "models" / "lenet-digits.onnx"
IDENTITY = {"model": "abc", "--macs": 0.5, "--exclude": ["a"]}


@pytest.fixture(scope="module")
def first() -> Subject:
    return prepare(LENET, None, DataConfig())


@pytest.fixture(scope="module")
def result() -> PruneResult:
    return onnxtrim.prune(LENET, macs=0.5, criterion="l1", threads=1)


def state_of(result: PruneResult, done: int = 3) -> State:
    rows = result.report.steps * done
    return State(result.model, result, rows, done=done, trained=True, front=("conv1",))


def test_a_state_is_what_it_was(tmp_path: Path, first: Subject, result: PruneResult) -> None:
    folder = Folder(tmp_path / "run", IDENTITY)
    kept = state_of(result)
    folder.keep(kept)
    found = folder.begun(first, resume=True)
    assert (found.rows, found.done, found.front) == (kept.rows, 3, ("conv1",))
    assert found.trained
    assert not found.ended
    assert found.best is not None
    assert found.best.plan == result.plan
    assert to_json(found.best.report) == to_json(result.report)
    mine, its = (
        {n: v.const_value.numpy() for n, v in model.graph.initializers.items() if v.const_value}
        for model in (kept.model, found.model)
    )
    assert mine.keys() == its.keys()
    assert all((mine[name] == its[name]).all() for name in mine)


def test_models_of_earlier_steps_go(tmp_path: Path, first: Subject, result: PruneResult) -> None:
    folder = Folder(tmp_path, IDENTITY)
    for done in (1, 2, 3):
        folder.keep(state_of(result, done))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.json", "step-003.onnx"]
    assert folder.begun(first, resume=True).done == 3


def test_a_run_that_is_killed_between_the_files_is_as_it_was(
    tmp_path: Path, first: Subject, result: PruneResult
) -> None:
    folder = Folder(tmp_path, IDENTITY)
    folder.keep(state_of(result, 1))
    (tmp_path / "step-002.onnx").write_bytes(b"half a mod")
    assert folder.begun(first, resume=True).done == 1


def test_nothing_is_there_to_begin_with(tmp_path: Path, first: Subject) -> None:
    for resume in (False, True):
        found = Folder(tmp_path / "none").begun(first, resume=resume)
        assert found.model is first.model
        assert (found.done, found.best, found.rows) == (0, None, ())
    assert not (tmp_path / "none").exists()


def test_a_run_is_not_begun_over_another(
    tmp_path: Path, first: Subject, result: PruneResult
) -> None:
    folder = Folder(tmp_path, IDENTITY)
    folder.keep(state_of(result))
    with pytest.raises(UsageError, match=r"holds a run already; give --resume"):
        folder.begun(first, resume=False)
    other = Folder(tmp_path, {**IDENTITY, "--macs": 0.4})
    with pytest.raises(UsageError, match=r"had --macs 0.5, and this one has 0.4"):
        other.begun(first, resume=True)
    more = Folder(tmp_path, {**IDENTITY, "--epochs": 2})
    with pytest.raises(UsageError, match=r"had --epochs None, and this one has 2"):
        more.begun(first, resume=True)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "onnxtrim.state/9"}', '{"a": 1}'])
def test_what_cannot_be_read(
    tmp_path: Path, first: Subject, result: PruneResult, text: str
) -> None:
    (tmp_path / "state.json").write_text(text, encoding="utf-8")
    with pytest.raises(LoadError, match=r"state\.json: cannot be read .*give another folder"):
        Folder(tmp_path).begun(first, resume=True)


def test_a_model_that_is_gone(tmp_path: Path, first: Subject, result: PruneResult) -> None:
    folder = Folder(tmp_path, IDENTITY)
    folder.keep(state_of(result))
    (tmp_path / "step-003.onnx").unlink()
    with pytest.raises(LoadError):
        folder.begun(first, resume=True)


def test_the_file_is_json_with_its_schema(tmp_path: Path, result: PruneResult) -> None:
    Folder(tmp_path, IDENTITY).keep(state_of(result))
    document = json.loads((tmp_path / "state.json").read_text(encoding="utf-8"))
    assert document["schema"] == "onnxtrim.state/1"
    assert document["identity"] == IDENTITY
    assert isinstance(ir.load(tmp_path / document["model"]), ir.Model)
