"""What training can go on from: the files of ONNX Runtime on-device training, in a new folder."""

import os
import shutil
import tempfile
from pathlib import Path

from onnxtrim.errors import OutputError
from onnxtrim.finetune.runtime.remote import RemoteTrainer

__all__ = ["check_free", "keep_artifacts"]


def check_free(target: Path) -> None:
    """Raises OutputError where a path is no place for a new folder."""
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise OutputError(f"{target}: is there already; name a new folder by --keep-artifacts")
    folder = target.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"{folder}: there is no such folder; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder}: cannot be written to; name another by --keep-artifacts")


def keep_artifacts(trainer: RemoteTrainer, best: Path, target: Path) -> None:
    """Leaves the models and a checkpoint in `target`; the folder appears whole or not at all.

    Args:
        trainer: who has trained.
        best: the weights that it saved.
        target: a new folder, or an empty one.

    Raises:
        OutputError: it cannot be written.
        TrainingError: the worker has died.
    """
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
        try:
            trainer.ask("keep", folder=str(part), weights=str(best))
            part.chmod(0o755)  # mkdtemp lets nobody else in
            part.replace(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error}); name another folder") from error
