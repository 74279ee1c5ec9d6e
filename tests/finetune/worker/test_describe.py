"""What an interpreter says about itself."""

import platform
import sys
from pathlib import Path

import pytest

from finetune.stand_ins import empty_environment
from onnxtrim.finetune.runtime.process import answer_of, environment_with
from onnxtrim.finetune.runtime.wheels import running_tag, tag_of

PYTHON = Path(sys.executable)


def test_the_running_interpreter_describes_itself_as_it_is() -> None:
    facts = answer_of(PYTHON, "describe", environment_with(None))
    assert facts["python"] == sys.executable
    assert facts["implementation"] == platform.python_implementation()
    assert (facts["major"], facts["minor"]) == sys.version_info[:2]
    assert tag_of("CPython", facts["major"], facts["minor"], facts["platform"]) == running_tag()
    assert facts["missing"] == []


def test_an_empty_environment_says_what_it_lacks(tmp_path: Path) -> None:
    python = empty_environment(tmp_path / "empty")
    facts = answer_of(python, "describe", environment_with(None))
    assert facts["missing"] == ["numpy", "onnx"]
    assert Path(facts["python"]).parent == python.parent


@pytest.mark.parametrize("fault", ["raise OSError('no such library')", "import nowhere", "1 / 0"])
def test_a_broken_module_is_as_good_as_none(tmp_path: Path, fault: str) -> None:
    (tmp_path / "onnx.py").write_text(fault + "\n")
    assert answer_of(PYTHON, "describe", environment_with(tmp_path))["missing"] == ["onnx"]
