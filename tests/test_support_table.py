"""The page of operators says what the table of rules says."""

import importlib.util
from pathlib import Path
from types import ModuleType

from onnxtrim.channels.ops import RULES

ROOT = Path(__file__).resolve().parents[1]


def tool() -> ModuleType:
    """Returns the module that makes the page."""
    spec = importlib.util.spec_from_file_location("support_table", ROOT / "tools/support_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_the_one_that_the_tool_makes() -> None:
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    assert page == tool().table(), "run: python tools/support_table.py"


def test_every_operator_is_on_the_page_with_its_version() -> None:
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    for rule in RULES:
        for op in rule.ops:
            assert f" {op.name} {op.since}" in page
