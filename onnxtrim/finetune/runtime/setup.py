"""Installing the training build of ONNX Runtime, once, and proving that it trains.

describe the interpreter -> pick its wheel -> pip, by hash, into a folder aside -> one step of
training -> move the folder in place. Whatever fails, nothing is left.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onnxtrim.errors import TrainingError
from onnxtrim.finetune.runtime.find import (
    RECORD,
    TrainingRuntime,
    folder_for,
    installed_runtime,
    recorded_python,
)
from onnxtrim.finetune.runtime.process import answer_of, environment_with, run
from onnxtrim.finetune.runtime.wheels import DISTRIBUTION, VERSION, WHEELS, tag_of

__all__ = ["TrainingSetup", "setup_training"]


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """What `setup_training` did.

    Attributes:
        runtime: the training runtime, ready.
        installed: False where it was there already.
        loss_before: the loss of a tiny model before one step of training.
        loss_after: the same after it; lower, or the check has failed.
        seconds: how long all of it took.
    """

    runtime: TrainingRuntime
    installed: bool
    loss_before: float
    loss_after: float
    seconds: float


@dataclass(frozen=True, slots=True)
class _Interpreter:
    """An interpreter that can run the training build, and which wheel it takes."""

    python: Path
    tag: str


def setup_training(*, wheel: Path | None = None, python: Path | None = None) -> TrainingSetup:
    """Returns the training runtime, installed where it was not, and checked by a step of training.

    Args:
        wheel: the wheel, for machines without a network; from PyPI (or where pip looks) by default.
        python: the interpreter that will run it, CPython 3.11 or 3.12 with numpy and onnx; the
            running one by default.

    Raises:
        TrainingError: it cannot be installed, or does not train.
    """
    start = time.perf_counter()
    found = installed_runtime() if wheel is None and python is None else None
    if found is None:
        runtime, installed, losses = _ensured(_described(python or Path(sys.executable)), wheel)
    else:
        runtime, installed, losses = found, False, _losses(found, _remedy(found))
    return TrainingSetup(runtime, installed, *losses, time.perf_counter() - start)


def _ensured(
    interpreter: _Interpreter, wheel: Path | None
) -> tuple[TrainingRuntime, bool, tuple[float, float]]:
    """Returns the runtime for one interpreter, whether it is new, and the losses of its check."""
    requirement = _requirement(interpreter, wheel)
    folder = folder_for(interpreter.tag)
    runtime = TrainingRuntime(interpreter.python, folder, VERSION)
    known = recorded_python(folder)
    if known is not None:
        losses = _losses(runtime, _remedy(runtime))
        if known != interpreter.python:
            _record(folder, interpreter.python)
        return runtime, False, losses
    if folder.exists():
        raise TrainingError(f"{folder}: is incomplete; {_remedy(runtime)}")
    with _staging(folder.parent) as aside:
        fresh = aside / folder.name
        _install(requirement, interpreter.python, fresh)
        losses = _losses(
            TrainingRuntime(interpreter.python, fresh, VERSION),
            "nothing was installed; name another interpreter with --python",
        )
        _record(fresh, interpreter.python)
        fresh.rename(folder)
    return runtime, True, losses


def _described(python: Path) -> _Interpreter:
    """Returns what an interpreter says about itself.

    Raises:
        TrainingError: it is none, or has no numpy or no onnx, or there is no wheel for it.
    """
    wanted = "name a CPython 3.11 or 3.12 that has numpy and onnx with --python"
    try:
        facts = answer_of(python, "describe", environment_with(None))
    except TrainingError as error:
        raise TrainingError(f"{python}: cannot be run as Python ({error}); {wanted}") from error
    tag = tag_of(facts["implementation"], facts["major"], facts["minor"], facts["platform"])
    if tag not in WHEELS:
        raise TrainingError(f"{python}: there is no {DISTRIBUTION} {VERSION} for {tag}; {wanted}")
    if facts["missing"]:
        raise TrainingError(f"{python}: has no {' and no '.join(facts['missing'])}; {wanted}")
    return _Interpreter(Path(facts["python"]), tag)


def _requirement(interpreter: _Interpreter, wheel: Path | None) -> str:
    """Returns the line that tells pip what to install, with its hash.

    Raises:
        TrainingError: `wheel` cannot be read, or is not the one that the interpreter takes.
    """
    source = f"=={VERSION}"
    if wheel is not None:
        try:
            with wheel.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise TrainingError(
                f"{wheel}: cannot be read ({error.strerror}); check the path of --from"
            ) from error
        tag = next((tag for tag, known in WHEELS.items() if known == digest), None)
        if tag is None:
            raise TrainingError(
                f"{wheel}: is no wheel of {DISTRIBUTION} {VERSION} as published (its SHA-256 is "
                f"{digest}); fetch it again with pip download"
            )
        if tag != interpreter.tag:
            raise TrainingError(
                f"{wheel}: is for {tag}, but {interpreter.python} is {interpreter.tag}; "
                "give the other wheel, or another interpreter with --python"
            )
        source = f" @ {wheel.resolve().as_uri()}"
    return f"{DISTRIBUTION}{source} --hash=sha256:{WHEELS[interpreter.tag]}\n"


@contextlib.contextmanager
def _staging(home: Path) -> Iterator[Path]:
    """Yields a temporary folder in `home`; it is gone afterwards, and so is a new, empty `home`."""
    new = not home.exists()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".installing-") as folder:
            yield Path(folder)
    except OSError as error:
        raise TrainingError(
            f"{home}: cannot be written ({error.strerror or error}); name another folder in "
            "ONNXTRIM_TRAINING_HOME"
        ) from error
    finally:
        if new:
            with contextlib.suppress(OSError):
                home.rmdir()


def _install(requirement: str, python: Path, target: Path) -> None:
    """Installs one wheel into `target`, and nothing that it depends on.

    Raises:
        TrainingError: pip is missing or fails.
    """
    if importlib.util.find_spec("pip") is None:
        raise TrainingError(
            f"{sys.executable}: has no pip to install {DISTRIBUTION} with; "
            "run python -m ensurepip there first"
        )
    requirements = target.with_name("requirements.txt")
    requirements.write_text(requirement, encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "install"]
    command += ["--no-deps", "--no-compile", "--only-binary", ":all:", "--require-hashes"]
    command += ["--target", str(target), "--requirement", str(requirements)]
    try:
        run(command, os.environ)
    except TrainingError as error:
        raise TrainingError(
            f"{DISTRIBUTION} {VERSION}: pip cannot install it ({error}); "
            "without a network, give its wheel with --from"
        ) from error


def _losses(runtime: TrainingRuntime, remedy: str) -> tuple[float, float]:
    """Returns the loss before and after one step of training.

    Args:
        runtime: what trains.
        remedy: what to do where it does not.

    Raises:
        TrainingError: the runtime fails, is of another version, or its loss does not fall.
    """
    try:
        found = answer_of(runtime.python, "self_check", runtime.environment())
        before, after = float(found["before"]), float(found["after"])
        if found["version"] != runtime.version:
            raise TrainingError(f"it imports version {found['version']}")
        if not after < before:
            raise TrainingError(f"the loss goes from {before:g} to {after:g}")
    except TrainingError as error:
        raise TrainingError(
            f"{DISTRIBUTION} {runtime.version} does not train with {runtime.python} ({error}); "
            f"{remedy}"
        ) from error
    return before, after


def _remedy(runtime: TrainingRuntime) -> str:
    """Returns what to do about a runtime that was there before."""
    if runtime.folder is None:
        return "install it anew in that environment"
    return f"delete {runtime.folder} and run onnxtrim setup-training again"


def _record(folder: Path, python: Path) -> None:
    """Writes down who runs the build in `folder`, which thereby is complete."""
    from onnxtrim.graph.save import atomic_write  # the command line waits for no graph library

    atomic_write(folder / RECORD, json.dumps({"python": str(python)}) + "\n")
