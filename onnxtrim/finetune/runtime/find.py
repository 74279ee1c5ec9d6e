"""Where the training build of ONNX Runtime is.

It owns the same module name as `onnxruntime`, so it lies in a folder of its own and is imported
only by a worker, a process that finds this folder on its PYTHONPATH. Here it is never imported.

    training_home()/
        1.19.2-cp311-linux-x86_64/      one folder for each kind of interpreter, put there whole
            onnxruntime/                the training build
            interpreter.json            who runs it, where the running interpreter cannot
"""

import importlib.util
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from onnxtrim.errors import TrainingError
from onnxtrim.finetune.runtime.process import environment_with
from onnxtrim.finetune.runtime.wheels import VERSION, running_tag

__all__ = [
    "RECORD",
    "TrainingRuntime",
    "find_runtime",
    "folder_for",
    "installed_runtime",
    "recorded_python",
    "training_home",
]

RECORD = "interpreter.json"

_TRAINING_BUILD = re.compile(r"package_name = '(?:onnxruntime-training.*)'\s+__version__ = '(.+)'")


@dataclass(frozen=True, slots=True)
class TrainingRuntime:
    """What trains: an interpreter, and where it finds the training build.

    Attributes:
        python: the interpreter.
        folder: what goes on its PYTHONPATH; None where its own `onnxruntime` is the training build.
        version: of the training build.
    """

    python: Path
    folder: Path | None
    version: str

    def environment(self) -> dict[str, str]:
        """Returns the environment variables of a worker."""
        return environment_with(self.folder)


def training_home() -> Path:
    """Returns the folder that holds what is installed; ONNXTRIM_TRAINING_HOME names another."""
    named = os.environ.get("ONNXTRIM_TRAINING_HOME")
    if named:
        return Path(named).expanduser().absolute()
    return user_data_path("onnxtrim", appauthor=False) / "training"


def folder_for(tag: str) -> Path:
    """Returns where the training build for interpreters of one tag goes."""
    return training_home() / f"{VERSION}-{tag}"


def find_runtime() -> TrainingRuntime:
    """Returns the training runtime.

    Raises:
        TrainingError: there is none.
    """
    found = installed_runtime()
    if found is None:
        raise TrainingError(
            "fine-tuning takes the training build of ONNX Runtime, which is not installed; "
            "run: onnxtrim setup-training"
        )
    return found


def installed_runtime() -> TrainingRuntime | None:
    """Returns the training runtime: the environment's own, its interpreter's, or another's."""
    return _own_build() or _for_this_interpreter() or _for_another()


def recorded_python(folder: Path) -> Path | None:
    """Returns the interpreter that `folder` was installed for; None where it is not complete."""
    try:
        return Path(json.loads((folder / RECORD).read_text(encoding="utf-8"))["python"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _own_build() -> TrainingRuntime | None:
    """Returns the runtime of an environment whose `onnxruntime` is the training build.

    Both builds write the same files, and the last one installed wins while the metadata of both
    stay. So the files are asked, not the metadata.
    """
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return None
    facts = Path(spec.origin).parent / "capi" / "build_and_package_info.py"
    found = _TRAINING_BUILD.search(facts.read_text(encoding="utf-8")) if facts.is_file() else None
    return found and TrainingRuntime(Path(sys.executable), None, found[1])


def _for_this_interpreter() -> TrainingRuntime | None:
    """Returns the runtime that this interpreter can run itself."""
    folder = folder_for(running_tag())
    if recorded_python(folder) is None:
        return None
    return TrainingRuntime(Path(sys.executable), folder, VERSION)


def _for_another() -> TrainingRuntime | None:
    """Returns the runtime of another interpreter that is still there, the newest first."""
    for folder in sorted(training_home().glob(f"{VERSION}-*"), reverse=True):
        python = recorded_python(folder)
        if python is not None and python.is_file():
            return TrainingRuntime(python, folder, VERSION)
    return None
