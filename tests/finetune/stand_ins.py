"""Folders, programs and packages that look like an installed runtime, to see what is made of it."""

import json
import os
import sys
import venv
from pathlib import Path

from onnxtrim.finetune.runtime.find import RECORD, TrainingRuntime

__all__ = ["ANSWER", "NOBODY", "complete_folder", "empty_environment", "package_facts", "program"]

NOBODY = TrainingRuntime(Path("nobody"), None, "0")
"""Who runs nothing."""

ANSWER = {"version": "1.19.2", "before": 2.0, "after": 1.5}
"""What a check says that goes well."""


def complete_folder(
    folder: Path,
    python: Path = Path(sys.executable),
    answer: dict[str, object] = ANSWER,
) -> Path:
    """Returns a folder that looks installed; its own self-check shadows the real one and answers.

    Args:
        folder: where it goes.
        python: who runs it, by its record.
        answer: what the check says.
    """
    worker = folder / "onnxtrim_worker"
    worker.mkdir(parents=True)
    (worker / "__init__.py").touch()
    (worker / "self_check.py").write_text(f"print({json.dumps(answer)!r})\n")
    (folder / RECORD).write_text(json.dumps({"python": str(python)}))
    return folder


def empty_environment(folder: Path) -> Path:
    """Returns the interpreter of a new environment with nothing in it."""
    venv.create(folder)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def package_facts(folder: Path, name: str, version: str) -> Path:
    """Returns a folder with an `onnxruntime` of this name and version, which nobody may import."""
    (folder / "onnxruntime" / "capi").mkdir(parents=True)
    (folder / "onnxruntime" / "__init__.py").write_text("raise AssertionError('imported')\n")
    facts = f"package_name = '{name}'\n__version__ = '{version}'\n"
    (folder / "onnxruntime" / "capi" / "build_and_package_info.py").write_text(facts)
    return folder


def program(path: Path, *lines: str) -> Path:
    """Returns a shell script."""
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path
