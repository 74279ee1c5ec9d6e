"""A home for the training runtime that is nobody's, and the real one where its wheel is known."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune.twin.checking import Gradients
from onnxtrim.finetune import TrainingRuntime, TrainingSetup, find_runtime, setup_training
from onnxtrim.finetune.runtime.find import installed_runtime


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns where the training runtime of a test goes, which does not exist yet."""
    monkeypatch.setenv("ONNXTRIM_TRAINING_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Has Ctrl-C end what it should, even where the tests themselves run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts pip off from every place that it could install from."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture(scope="session")
def wheel() -> Path:
    """Returns the real wheel."""
    path = os.environ.get("ONNXTRIM_TRAINING_WHEEL")
    if not path:
        pytest.skip("ONNXTRIM_TRAINING_WHEEL does not name the wheel of the training runtime")
    return Path(path)


@pytest.fixture(scope="session")
def real_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns where the real wheel is installed, once for all tests."""
    return tmp_path_factory.mktemp("training") / "home"


def own_runtime() -> str:
    """Returns the version and the file of the `onnxruntime` that this environment imports."""
    code = "import onnxruntime; print(onnxruntime.__version__, onnxruntime.__file__)"
    return subprocess.check_output([sys.executable, "-c", code], text=True)


@pytest.fixture(scope="session")
def own_runtime_before() -> str:
    """Returns the `onnxruntime` of this environment before the real wheel was installed."""
    return own_runtime()


@pytest.fixture(scope="session")
def installation(wheel: Path, real_home: Path, own_runtime_before: str) -> TrainingSetup:
    """Returns what installing the real wheel did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONNXTRIM_TRAINING_HOME", str(real_home))
        return setup_training(wheel=wheel)


@pytest.fixture(scope="session")
def runtime(request: pytest.FixtureRequest) -> TrainingRuntime:
    """Returns a training runtime that works: the one of the wheel, else one that is installed."""
    if os.environ.get("ONNXTRIM_TRAINING_WHEEL"):
        installation: TrainingSetup = request.getfixturevalue("installation")
        return installation.runtime
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ONNXTRIM_TRAINING_HOME", raising=False)
        if installed_runtime() is None:
            pytest.skip("no training runtime is installed; run: onnxtrim setup-training")
        return find_runtime()


@pytest.fixture
def installed(runtime: TrainingRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the training runtime the one that is found."""
    if runtime.folder is not None:
        monkeypatch.setenv("ONNXTRIM_TRAINING_HOME", str(runtime.folder.parent))


@pytest.fixture(scope="session")
def gradients(
    runtime: TrainingRuntime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gradients]:
    """Yields the worker that computes gradients, started once."""
    worker = Gradients(runtime, tmp_path_factory.mktemp("gradients"))
    yield worker
    worker.close()
