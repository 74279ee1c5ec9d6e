"""Which wheel an interpreter takes."""

import hashlib
import platform
import re
import sys
from pathlib import Path

import pytest

from onnxtrim.finetune.runtime.wheels import DISTRIBUTION, VERSION, WHEELS, running_tag, tag_of


@pytest.mark.parametrize(
    ("implementation", "minor", "system", "tag"),
    [
        ("CPython", 11, "linux-x86_64", "cp311-linux-x86_64"),
        ("CPython", 12, "win-amd64", "cp312-win-amd64"),
        ("CPython", 12, "macosx-14.0-arm64", "cp312-macosx"),
        ("CPython", 11, "macosx-10.9-universal2", "cp311-macosx"),
    ],
)
def test_an_interpreter_with_a_wheel_has_the_tag_of_it(
    implementation: str, minor: int, system: str, tag: str
) -> None:
    assert tag_of(implementation, 3, minor, system) == tag
    assert tag in WHEELS


@pytest.mark.parametrize(
    ("implementation", "minor", "system"),
    [
        ("CPython", 13, "linux-x86_64"),
        ("CPython", 11, "linux-aarch64"),
        ("CPython", 12, "win-arm64"),
        ("PyPy", 11, "linux-x86_64"),
    ],
)
def test_others_have_none(implementation: str, minor: int, system: str) -> None:
    assert tag_of(implementation, 3, minor, system) not in WHEELS


def test_there_are_six_wheels_with_a_hash_each() -> None:
    assert len(WHEELS) == len(set(WHEELS.values())) == 6
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in WHEELS.values())


def test_the_running_interpreter_has_its_version_in_its_tag() -> None:
    name = "cp" if platform.python_implementation() == "CPython" else "pypy"
    assert running_tag().split("-")[0] == f"{name}{sys.version_info[0]}{sys.version_info[1]}"


def test_the_real_wheel_has_the_hash_that_its_name_promises(wheel: Path) -> None:
    name = re.fullmatch(rf"{DISTRIBUTION.replace('-', '_')}-{VERSION}-(cp\d+)-\1-(.+)", wheel.stem)
    assert name is not None
    python, system = name.groups()
    systems = {"manylinux": "linux-x86_64", "win": "win-amd64", "macosx": "macosx"}
    tag = next(f"{python}-{key}" for start, key in systems.items() if system.startswith(start))
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == WHEELS[tag]
