"""`--metric`: a function named by its module or its file, and every way in which there is none."""

import sys
from pathlib import Path

import pytest

from onnxtrim.calibration import metric_function
from onnxtrim.errors import UsageError

MODULE = """
LIMIT = 3

def score(model):
    return 0.5

class Ranking:
    def __call__(self, model):
        return 2.0

ranking = Ranking()
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test in a folder of its own; what it imports is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def refused(metric: str) -> str:
    before = list(sys.path)
    with pytest.raises(UsageError) as caught:
        metric_function(metric)
    message = str(caught.value)
    assert message.startswith(f"--metric {metric}: ")
    assert "\n" not in message
    assert sys.path == before
    return message


def figure(metric: str) -> float:
    """Returns what a metric says of no model at all; the path of modules stays as it was."""
    before = list(sys.path)
    function = metric_function(metric)
    assert function is not None
    assert sys.path == before
    return function(None)


@pytest.mark.parametrize(("name", "value"), [("score", 0.5), ("ranking", 2.0)])
@pytest.mark.parametrize("source", ["quality_a", "./quality_a.py", "quality_a.py"])
def test_by_module_or_by_file(tmp_path: Path, source: str, name: str, value: float) -> None:
    (tmp_path / "quality_a.py").write_text(MODULE)
    assert figure(f"{source}:{name}") == value


def test_by_the_path_of_a_file_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "else where"
    folder.mkdir()
    (folder / "quality_b.py").write_text(MODULE)
    assert figure(f"{folder / 'quality_b.py'}:score") == 0.5
    assert figure("else where/quality_b.py:score") == 0.5


def test_a_module_in_a_package(tmp_path: Path) -> None:
    (tmp_path / "quality_c").mkdir()
    (tmp_path / "quality_c" / "metrics.py").write_text(MODULE)
    assert figure("quality_c.metrics:score") == 0.5


def test_a_module_that_is_installed() -> None:
    assert metric_function("math:fsum") is sys.modules["math"].fsum


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "quality_helper.py").write_text("VALUE = 0.25\n")
    (tmp_path / "deep" / "quality_d.py").write_text(
        "from quality_helper import VALUE\ndef score(model):\n    return VALUE\n"
    )
    assert figure("deep/quality_d.py:score") == 0.25


def test_a_file_may_hold_data_classes(tmp_path: Path) -> None:
    """Those with annotations as texts look for their own module."""
    (tmp_path / "quality_e.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from typing import ClassVar\n"
        "@dataclass\n"
        "class Figures:\n"
        "    right: float\n"
        "    best: ClassVar[float] = 1.0\n"
        "def score(model):\n"
        "    return Figures(0.75).right\n"
    )
    assert figure("quality_e.py:score") == 0.75


def test_a_file_takes_the_place_of_no_module(tmp_path: Path) -> None:
    (tmp_path / "math.py").write_text(MODULE)
    before = sys.modules["math"]
    assert figure("math.py:score") == 0.5
    assert sys.modules["math"] is before


def test_what_is_a_function_already_comes_back() -> None:
    def own(model: object) -> float:
        return 1.0

    assert metric_function(own) is own
    assert metric_function(None) is None


@pytest.mark.parametrize(
    "metric", ["", ":", "quality", "quality:", ":score", "quality.py", "a.py:"]
)
def test_it_takes_a_module_and_a_function(metric: str) -> None:
    assert refused(metric).endswith("give module:function, or file.py:function")


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("quality_nowhere:score", "ModuleNotFoundError: No module named 'quality_nowhere'"),
        ("nowhere/quality.py:score", "FileNotFoundError: "),
        ("quality_f:nothing", "AttributeError: module 'quality_f' has no attribute 'nothing'"),
        ("quality_f.py:nothing", "AttributeError: module 'quality_f' has no attribute 'nothing'"),
        ("quality_f:LIMIT", "LIMIT is no function"),
        ("quality_f.py:LIMIT", "LIMIT is no function"),
        ("quality f:score", "ModuleNotFoundError: No module named 'quality f'"),
        ("..quality:score", "TypeError: "),
    ],
)
def test_where_there_is_none(tmp_path: Path, metric: str, said: str) -> None:
    (tmp_path / "quality_f.py").write_text(MODULE)
    assert said in refused(metric)


@pytest.mark.parametrize("source", ["quality_g", "quality_g.py"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("def score(model:\n    pass\n", "SyntaxError: "),
        ("import quality_nowhere\n", "ModuleNotFoundError: No module named 'quality_nowhere'"),
        ("raise RuntimeError('two\\nlines')\n", "RuntimeError: two lines"),
        ("import sys\nsys.exit('no tables here')\n", "SystemExit: no tables here"),
    ],
)
def test_a_module_that_fails(tmp_path: Path, source: str, text: str, said: str) -> None:
    (tmp_path / "quality_g.py").write_text(text)
    assert said in refused(f"{source}:score")
    assert "quality_g" not in sys.modules
