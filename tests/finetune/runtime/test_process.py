"""Asking another process."""

import os
import sys
from pathlib import Path

import pytest

from onnxtrim.errors import TrainingError
from onnxtrim.finetune.runtime.process import answer_of, environment_with, run


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_a_command_prints_is_returned() -> None:
    assert run(python("print('Grüße')"), {**os.environ, "PYTHONUTF8": "1"}) == "Grüße\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.exit('one\\ntwo\\n\\n')", "two"),
        ("import sys; sys.exit('note\\nERROR: first\\nERROR: second\\nhint')", "first"),
        ("import sys; sys.exit(7)", "exit status 7"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_the_reason_of_a_failure_is_one_line(code: str, reason: str) -> None:
    with pytest.raises(TrainingError) as caught:
        run(python(code), os.environ)
    assert str(caught.value) == reason


def test_a_missing_program_is_named_by_the_system(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^No such file or directory$"):
        run([str(tmp_path / "none")], os.environ)


def test_a_command_is_given_nothing_to_read() -> None:
    assert run(python("import sys; print(repr(sys.stdin.read()))"), os.environ) == "''\n"


def test_the_folder_comes_before_what_the_user_has_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "mine"))
    paths = environment_with(tmp_path / "runtime")["PYTHONPATH"].split(os.pathsep)
    assert [paths[0], paths[-1]] == [str(tmp_path / "runtime"), str(tmp_path / "mine")]
    assert len(environment_with(None)["PYTHONPATH"].split(os.pathsep)) == len(paths) - 1


def test_a_worker_takes_nothing_from_the_folder_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise AssertionError('imported')\n")
    monkeypatch.chdir(tmp_path)
    answer = answer_of(Path(sys.executable), "describe", environment_with(None))
    assert answer["minor"] == sys.version_info.minor


def test_a_worker_that_is_none_gives_no_answer() -> None:
    with pytest.raises(TrainingError, match=r"^.*No module named onnxtrim_worker\.nothing$"):
        answer_of(Path(sys.executable), "nothing", environment_with(None))


@pytest.mark.parametrize("said", ["", "hello", "{}\\nhello"])
def test_what_is_no_json_is_no_answer(tmp_path: Path, said: str) -> None:
    worker = tmp_path / "onnxtrim_worker"
    worker.mkdir()
    (worker / "__init__.py").touch()
    (worker / "speaks.py").write_text(f"print('{said}')\n")
    with pytest.raises(TrainingError, match=r"^it gives no answer$"):
        answer_of(Path(sys.executable), "speaks", environment_with(tmp_path))
