"""Setting the training runtime up: whole or not at all, and never without a check."""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import numpy
import pytest

import onnxtrim
from finetune.conftest import own_runtime
from finetune.stand_ins import ANSWER, complete_folder, empty_environment, package_facts, program
from onnxtrim.cli import main
from onnxtrim.errors import TrainingError
from onnxtrim.finetune import TrainingSetup, find_runtime, setup_training
from onnxtrim.finetune.runtime.find import folder_for, recorded_python
from onnxtrim.finetune.runtime.wheels import WHEELS, running_tag

Captured = pytest.CaptureFixture[str]

PYTHON = Path(sys.executable)
NAMES_ONE = "name a CPython 3.11 or 3.12 that has numpy and onnx with --python"

pytestmark = pytest.mark.skipif(
    running_tag() not in WHEELS, reason="there is no training runtime for this interpreter"
)


def sentence(capfd: Captured, *arguments: str | Path) -> str:
    """Returns the one line with which `setup-training` fails."""
    assert main(["setup-training", *map(str, arguments)]) == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("onnxtrim: ")
    assert err.count("\n") == 1
    assert "internal error" not in err
    return err.removeprefix("onnxtrim: ").rstrip("\n")


def published(path: Path, monkeypatch: pytest.MonkeyPatch, tag: str) -> None:
    """Makes believe that the file at `path` is the wheel for `tag`."""
    monkeypatch.setitem(WHEELS, tag, hashlib.sha256(path.read_bytes()).hexdigest())


class TestInterpreter:
    """The one that `--python` names."""

    @pytest.mark.parametrize(
        ("name", "reason"), [("none", "No such file or directory"), ("", "Permission denied")]
    )
    def test_a_path_that_cannot_be_run(
        self, name: str, reason: str, tmp_path: Path, capfd: Captured
    ) -> None:
        said = sentence(capfd, "--python", tmp_path / name)
        assert said == f"{tmp_path / name}: cannot be run as Python ({reason}); {NAMES_ONE}"

    @pytest.mark.parametrize(
        ("does", "reason"),
        [("true", "it gives no answer"), ("echo what? >&2; exit 2", "what?")],
    )
    def test_a_program_that_is_no_python(
        self, does: str, reason: str, tmp_path: Path, capfd: Captured
    ) -> None:
        path = program(tmp_path / "sh", does)
        said = sentence(capfd, "--python", path)
        assert said == f"{path}: cannot be run as Python ({reason}); {NAMES_ONE}"

    def test_a_python_without_numpy(self, tmp_path: Path, capfd: Captured, home: Path) -> None:
        python = empty_environment(tmp_path / "empty")
        said = sentence(capfd, "--python", python)
        assert said == f"{python}: has no numpy and no onnx; {NAMES_ONE}"
        assert not home.exists()

    def test_a_python_that_no_wheel_is_for(self, tmp_path: Path, capfd: Captured) -> None:
        facts = {"python": "p", "implementation": "CPython", "major": 3, "minor": 13}
        said = json.dumps({**facts, "platform": "linux-x86_64", "missing": []})
        path = program(tmp_path / "python3.13", f"echo '{said}'")
        assert sentence(capfd, "--python", path) == (
            f"{path}: there is no onnxruntime-training-cpu 1.19.2 for cp313-linux-x86_64; "
            f"{NAMES_ONE}"
        )


class TestWheel:
    """The one that `--from` names."""

    @pytest.mark.parametrize(
        ("name", "reason"), [("none.whl", "No such file or directory"), ("", "Is a directory")]
    )
    def test_a_path_that_cannot_be_read(
        self, name: str, reason: str, tmp_path: Path, capfd: Captured
    ) -> None:
        said = sentence(capfd, "--from", tmp_path / name)
        assert said == f"{tmp_path / name}: cannot be read ({reason}); check the path of --from"

    def test_another_hash(self, tmp_path: Path, capfd: Captured, home: Path) -> None:
        path = tmp_path / "onnxruntime_training_cpu-1.19.2-cp311-cp311-linux_x86_64.whl"
        path.write_bytes(b"abc")  # FIPS 180-2, B.1
        digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        said = sentence(capfd, "--from", path)
        assert said.startswith(f"{path}: is no wheel of onnxruntime-training-cpu 1.19.2")
        assert f"its SHA-256 is {digest}" in said
        assert not home.exists()

    def test_one_for_another_interpreter(
        self, tmp_path: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "other.whl"
        path.write_bytes(b"another")
        published(path, monkeypatch, "cp310-win-amd64")
        said = sentence(capfd, "--from", path)
        assert said.startswith(f"{path}: is for cp310-win-amd64, but {sys.executable} is ")

    def test_a_file_that_is_no_wheel_leaves_nothing(
        self, tmp_path: Path, capfd: Captured, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "onnxruntime_training_cpu-1.19.2-py3-none-any.whl"
        path.write_bytes(b"no archive")
        published(path, monkeypatch, running_tag())
        said = sentence(capfd, "--from", path)
        assert said.startswith("onnxruntime-training-cpu 1.19.2: pip cannot install it (")
        assert not home.exists()

    def test_one_that_does_not_train_leaves_nothing(
        self, tmp_path: Path, capfd: Captured, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "onnxruntime_training_cpu-1.19.2-py3-none-any.whl"
        info = "onnxruntime_training_cpu-1.19.2.dist-info"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("onnxruntime/__init__.py", "")
            archive.writestr(
                f"{info}/METADATA",
                "Metadata-Version: 2.1\nName: onnxruntime-training-cpu\nVersion: 1.19.2\n",
            )
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        published(path, monkeypatch, running_tag())
        home.mkdir()
        assert sentence(capfd, "--from", path) == (
            f"onnxruntime-training-cpu 1.19.2 does not train with {sys.executable} "
            "(ModuleNotFoundError: No module named 'onnxruntime.training'); "
            "nothing was installed; name another interpreter with --python"
        )
        assert list(home.iterdir()) == []


class TestInstalling:
    """What can be in the way, whatever is installed."""

    def test_without_a_network_the_way_out_is_named_and_nothing_is_left(
        self, no_index: None, capfd: Captured, home: Path
    ) -> None:
        said = sentence(capfd)
        assert said.startswith(
            "onnxruntime-training-cpu 1.19.2: pip cannot install it (Could not find a version"
        )
        assert said.endswith("; without a network, give its wheel with --from")
        assert not home.exists()

    @pytest.mark.parametrize("below", ["", "deep/er"])
    def test_a_home_that_cannot_be_written(
        self, below: str, tmp_path: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("mine")
        home = tmp_path / "file" / below
        monkeypatch.setenv("ONNXTRIM_TRAINING_HOME", str(home))
        said = sentence(capfd)
        assert said.startswith(f"{home}: cannot be written (")
        assert said.endswith("; name another folder in ONNXTRIM_TRAINING_HOME")
        assert (tmp_path / "file").read_text() == "mine"

    def test_an_environment_without_pip(
        self, capfd: Captured, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pip", None)
        said = sentence(capfd)
        assert said.startswith(f"{sys.executable}: has no pip")
        assert "python -m ensurepip" in said
        assert not home.exists()

    def test_an_incomplete_folder_is_for_the_user_to_delete(self, capfd: Captured) -> None:
        folder = folder_for(running_tag())
        folder.mkdir(parents=True)
        (folder / "mine").touch()
        assert sentence(capfd) == (
            f"{folder}: is incomplete; delete {folder} and run onnxtrim setup-training again"
        )
        assert (folder / "mine").exists()


@pytest.mark.usefixtures("no_index")
class TestThereAlready:
    """Nothing is installed anew: pip is cut off here."""

    def test_it_is_only_checked(self) -> None:
        folder = complete_folder(folder_for(running_tag()))
        before = sorted(folder.parent.rglob("*"))
        done = setup_training()
        assert (done.runtime, done.installed) == (find_runtime(), False)
        assert (done.loss_before, done.loss_after) == (2.0, 1.5)
        assert [p for p in sorted(folder.parent.rglob("*")) if "__pycache__" not in p.parts] == (
            before
        )

    def test_the_command_says_so(self, capfd: Captured) -> None:
        folder = complete_folder(folder_for(running_tag()))
        assert main(["setup-training"]) == 0
        first, second = capfd.readouterr().out.splitlines()
        assert first == (
            f"training runtime 1.19.2 was there already: {folder}, run by {sys.executable}"
        )
        assert second.startswith(
            "checked: one step of training took the loss from 2.000 to 1.500; "
        )

    def test_the_command_says_so_as_json_or_not_at_all(self, capfd: Captured) -> None:
        folder = complete_folder(folder_for(running_tag()))
        assert main(["setup-training", "--json"]) == 0
        said = json.loads(capfd.readouterr().out)
        assert said.pop("seconds") > 0
        assert said == {
            "runtime": {"python": sys.executable, "folder": str(folder), "version": "1.19.2"},
            "installed": False,
            "loss_before": 2.0,
            "loss_after": 1.5,
        }
        assert main(["setup-training", "-q"]) == 0
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ({"after": 2.0}, "the loss goes from 2 to 2"),
            ({"after": float("nan")}, "the loss goes from 2 to nan"),
            ({"version": "1.31.1"}, "it imports version 1.31.1"),
        ],
    )
    def test_one_that_does_not_train_any_more_is_to_be_deleted(
        self, answer: dict[str, object], reason: str, capfd: Captured
    ) -> None:
        folder = complete_folder(folder_for(running_tag()), answer={**ANSWER, **answer})
        assert sentence(capfd) == (
            f"onnxruntime-training-cpu 1.19.2 does not train with {sys.executable} ({reason}); "
            f"delete {folder} and run onnxtrim setup-training again"
        )

    def test_the_environments_own_build_is_checked_too(
        self, tmp_path: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(package_facts(tmp_path, "onnxruntime-training", "1.18.0"))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
        assert sentence(capfd) == (
            f"onnxruntime-training-cpu 1.18.0 does not train with {sys.executable} "
            "(AssertionError: imported); install it anew in that environment"
        )

    def test_another_interpreter_that_is_named_takes_the_place_of_the_last(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        python = empty_environment(tmp_path / "other")
        monkeypatch.setenv("PYTHONPATH", str(Path(numpy.__file__).parents[1]))
        folder = complete_folder(folder_for(running_tag()), tmp_path / "gone")
        done = setup_training(python=python)
        assert not done.installed
        assert done.runtime.python.parent == python.parent
        assert recorded_python(folder) == done.runtime.python

    def test_a_wheel_is_still_looked_at(self, tmp_path: Path) -> None:
        complete_folder(folder_for(running_tag()))
        with pytest.raises(TrainingError, match="cannot be read"):
            setup_training(wheel=tmp_path / "none.whl")


class TestRealWheel:
    """With the real wheel."""

    def test_it_is_installed_and_trains(self, installation: TrainingSetup, real_home: Path) -> None:
        folder = real_home / f"1.19.2-{running_tag()}"
        assert installation.installed
        assert installation.runtime == onnxtrim.TrainingRuntime(PYTHON, folder, "1.19.2")
        assert [path for path in real_home.iterdir() if path != folder] == []
        assert (folder / "onnxruntime" / "training" / "artifacts.py").is_file()
        assert installation.loss_before == 2.5
        assert installation.loss_after == pytest.approx(1.94, abs=2e-5)

    @pytest.mark.usefixtures("no_index")
    def test_the_second_time_it_is_not_installed_anew(
        self,
        installation: TrainingSetup,
        real_home: Path,
        wheel: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("ONNXTRIM_TRAINING_HOME", str(real_home))
        folder = installation.runtime.folder
        assert folder is not None
        before = (folder.stat().st_ino, (folder / "interpreter.json").stat().st_mtime_ns)
        for again in (setup_training(), setup_training(wheel=wheel)):
            assert not again.installed
            assert again.runtime == installation.runtime == find_runtime()
        assert (folder.stat().st_ino, (folder / "interpreter.json").stat().st_mtime_ns) == before

    @pytest.mark.usefixtures("installation")
    def test_the_environment_keeps_its_own_runtime(
        self, own_runtime_before: str, real_home: Path
    ) -> None:
        assert own_runtime() == own_runtime_before
        assert str(real_home) not in own_runtime_before

    @pytest.mark.usefixtures("installation")
    def test_nothing_of_it_is_imported_here(self, real_home: Path) -> None:
        files = [str(getattr(module, "__file__", "")) for module in sys.modules.values()]
        assert [file for file in files if file.startswith(str(real_home))] == []
        assert "onnxruntime.training" not in sys.modules
