"""Finding the training runtime, without ever importing it."""

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from finetune.stand_ins import complete_folder, package_facts
from onnxtrim.errors import TrainingError
from onnxtrim.finetune import TrainingRuntime, find_runtime, training_home
from onnxtrim.finetune.runtime.find import RECORD, folder_for, installed_runtime
from onnxtrim.finetune.runtime.wheels import running_tag

PYTHON = Path(sys.executable)


def test_the_home_is_a_folder_of_the_user_unless_a_variable_names_another(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert training_home() == home
    monkeypatch.setenv("ONNXTRIM_TRAINING_HOME", "~/here")
    assert training_home() == Path.home() / "here"
    monkeypatch.setenv("ONNXTRIM_TRAINING_HOME", "")
    assert training_home() == Path(platformdirs.user_data_dir("onnxtrim", False)) / "training"
    monkeypatch.delenv("ONNXTRIM_TRAINING_HOME")
    assert training_home() == Path(platformdirs.user_data_dir("onnxtrim", False)) / "training"


def test_a_home_is_the_same_wherever_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONNXTRIM_TRAINING_HOME", "here")
    assert training_home() == tmp_path / "here"


def test_where_there_is_none_the_error_says_what_to_run() -> None:
    with pytest.raises(TrainingError) as caught:
        find_runtime()
    assert str(caught.value).endswith("not installed; run: onnxtrim setup-training")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 3


def test_the_folder_for_this_interpreter_is_run_by_it_whoever_installed_it(tmp_path: Path) -> None:
    folder = complete_folder(folder_for(running_tag()), tmp_path / "gone")
    complete_folder(folder_for("cp399-linux-x86_64"))
    assert find_runtime() == TrainingRuntime(PYTHON, folder, "1.19.2")


@pytest.mark.parametrize("record", [None, "", "[]", "{}", '{"python": 3}', b"\xff"])
def test_a_folder_without_a_readable_record_is_not_complete(record: str | bytes | None) -> None:
    folder = complete_folder(folder_for(running_tag()))
    if record is None:
        (folder / RECORD).unlink()
    else:
        (folder / RECORD).write_bytes(record.encode() if isinstance(record, str) else record)
    assert installed_runtime() is None


def test_another_interpreter_runs_it_where_this_one_cannot_the_newest_that_is_there(
    tmp_path: Path,
) -> None:
    named = tmp_path / "python"
    named.touch()
    complete_folder(folder_for("cp397-linux-x86_64"), PYTHON)
    newest = complete_folder(folder_for("cp398-linux-x86_64"), named)
    complete_folder(folder_for("cp399-linux-x86_64"), tmp_path / "gone")
    assert find_runtime() == TrainingRuntime(named, newest, "1.19.2")


@pytest.mark.parametrize("name", ["onnxruntime-training-cpu", "onnxruntime-training"])
def test_the_environments_own_training_build_comes_first(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete_folder(folder_for(running_tag()))
    monkeypatch.syspath_prepend(package_facts(tmp_path, name, "1.18.0"))
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    assert find_runtime() == TrainingRuntime(PYTHON, None, "1.18.0")
    assert "onnxruntime" not in sys.modules


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-gpu"])
def test_a_training_build_that_was_overwritten_is_none_whatever_its_metadata_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "onnxruntime_training_cpu-1.19.2.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: onnxruntime-training-cpu\nVersion: 1.19.2\n")
    monkeypatch.syspath_prepend(package_facts(tmp_path, name, "1.31.1"))
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    assert installed_runtime() is None


def test_an_environment_without_any_onnxruntime_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert installed_runtime() is None


def test_a_worker_finds_the_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "mine")
    paths = TrainingRuntime(PYTHON, tmp_path, "1.19.2").environment()["PYTHONPATH"]
    assert paths.split(os.pathsep)[0] == str(tmp_path)
    own = TrainingRuntime(PYTHON, None, "1.19.2").environment()["PYTHONPATH"]
    assert paths == os.pathsep.join([str(tmp_path), own])


def test_a_worker_imports_the_training_build_and_this_process_another(
    runtime: TrainingRuntime,
) -> None:
    code = """
import sys
sys.modules["torch"] = None  # it imports it where it can
import onnxruntime
print(onnxruntime.__version__, onnxruntime.__file__)
"""
    command = [str(runtime.python), "-c", code]
    said = subprocess.check_output(command, env=runtime.environment(), text=True).split(maxsplit=1)
    assert said[0] == runtime.version
    if runtime.folder is None:
        return
    assert Path(said[1].strip()).is_relative_to(runtime.folder)
    from onnxruntime.capi.build_and_package_info import package_name

    assert "training" not in package_name
