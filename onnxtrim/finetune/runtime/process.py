"""Asking a worker: a module of `worker/onnxtrim_worker` in a process of another interpreter."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxtrim.errors import TrainingError

__all__ = ["answer_of", "environment_with", "run"]

_WORKER = Path(__file__).parents[1] / "worker"
_PATIENCE_S = 600


def environment_with(folder: Path | None) -> dict[str, str]:
    """Returns the environment variables of a worker that finds `folder` before its own modules."""
    paths = [folder, _WORKER, os.environ.get("PYTHONPATH")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(path) for path in paths if path),
        "PYTHONSAFEPATH": "1",  # nothing is imported from the folder that the user stands in
    }


def answer_of(
    python: Path, module: str, environment: Mapping[str, str], arguments: Sequence[str] = ()
) -> Any:  # noqa: ANN401
    """Returns what a module of the worker says: JSON, on the last line of its output.

    Raises:
        TrainingError: it fails or says something else; the message is no more than the reason.
    """
    output = run([str(python), "-m", f"onnxtrim_worker.{module}", *arguments], environment)
    try:
        return json.loads(output.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise TrainingError("it gives no answer") from error


def run(command: list[str], environment: Mapping[str, str]) -> str:
    """Returns the standard output of a command.

    Raises:
        TrainingError: it fails; the message is no more than the reason, in one line.
    """
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE_S,
            check=False,
        )
    except OSError as error:
        raise TrainingError(error.strerror or str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise TrainingError(f"no answer within {_PATIENCE_S} s") from error
    if done.returncode:
        raise TrainingError(_reason(done.stderr) or f"exit status {done.returncode}")
    return done.stdout


def _reason(stderr: str) -> str:
    """Returns the line that says why: the first that pip calls an error, else the last."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:] or [""])[0]
