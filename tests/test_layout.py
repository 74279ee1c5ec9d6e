"""The house rules that a machine can check: sizes, directions, who may name what."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "onnxtrim"
MODULES = sorted(PACKAGE.rglob("*.py"))

ROOMS = (
    "errors",
    "zeros",
    "config",
    "clock",
    "graph",
    "channels",
    "calibration",
    "criteria",
    "selection",
    "surgery",
    "sparsity",
    "report",
    "subject",
    "mend",
    "finetune",
    "recover",
    "search",
    "checks",
    "execute",
    "sparsify",
    "schedule",
    "look",
    "api",
    "cli",
    "__main__",
)
"""A module imports only from rooms above its own."""

MAKES_NODES = {
    "calibration/taps.py",
    "finetune/losses/features.py",
    "finetune/losses/terms.py",
    "finetune/losses/own.py",
    "selection/staircase.py",
    "sparsity/proof.py",
    "surgery/verify.py",
}
"""These add nodes of their own to a clone, so they name operators; none may ask a node for its."""

WORKER = "finetune/worker/"
"""This runs in a process of its own, where `onnxruntime` is the training build."""

QUICKER = "finetune/worker/onnxtrim_worker/quicker.py"
"""This says gradients in other operators, as a lowering says those of a student."""

OPERATORS = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room(path: Path) -> str:
    return relative(path).split("/")[0].removesuffix(".py")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Yields the full names of the modules that a file imports, at any depth."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_has_at_most_400_lines_and_a_function_60(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_point_to_rooms_above(path: Path) -> None:
    if relative(path) == "__init__.py":
        return
    here = ROOMS.index(room(path))
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "onnxtrim" and len(parts) > 1 and parts[1] in ROOMS:
            assert ROOMS.index(parts[1]) <= here, f"{relative(path)} imports {name}"
            if parts[1] in ("api", "cli"):
                assert room(path) in ("cli", "__main__"), f"{relative(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_only_the_graph_room_imports_onnx(path: Path) -> None:
    names = {name.split(".")[0] for name in imported(path)}
    assert "onnx" not in names or room(path) == "graph" or relative(path).startswith(WORKER)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_only_the_graph_room_makes_sessions(path: Path) -> None:
    names = {name.split(".")[0] for name in imported(path)}
    where = relative(path)
    assert "onnxruntime" not in names or where == "graph/runtime.py" or where.startswith(WORKER)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_the_worker_and_the_package_do_not_import_each_other(path: Path) -> None:
    other = "onnxtrim" if relative(path).startswith(WORKER) else "onnxtrim_worker"
    assert other not in {part for name in imported(path) for part in name.split(".")}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_operators_are_named_in_their_rooms_only(path: Path) -> None:
    where = relative(path)
    if where.startswith(("channels/ops/", "finetune/twin/", "graph/", QUICKER)):
        return
    texts = {
        node.value
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    if where not in MAKES_NODES:
        assert not texts & OPERATORS
        return
    asked = [
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr == "op_type"
    ]
    assert not asked, f"{where} asks a node for its operator"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_only_the_command_line_and_the_report_print(path: Path) -> None:
    if room(path) in ("cli", "report"):
        return
    calls = [
        node.func.id
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert "print" not in calls


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_lists_its_names_sorted(path: Path) -> None:
    if relative(path) == "__main__.py":
        return
    lists = [
        ast.literal_eval(node.value)
        for node in tree(path).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "__all__"
    ]
    assert len(lists) == 1, f"{relative(path)} has no __all__"
    # The order of the linter: CONSTANTS, Classes, functions, each in alphabetical order.
    kinds = [0 if n.isupper() else 1 if n[0].isupper() else 2 for n in lists[0]]
    assert kinds == sorted(kinds)
    for kind in range(3):
        names = [n for n, k in zip(lists[0], kinds, strict=True) if k == kind]
        assert names == sorted(names)


def test_an_operator_family_has_a_test_of_its_name() -> None:
    families = {p.stem for p in (PACKAGE / "channels" / "ops").glob("*.py")}
    families -= {"__init__", "base"}
    tests = {p.stem.removeprefix("test_") for p in (ROOT / "tests/channels/ops").glob("test_*.py")}
    assert families <= tests


def test_the_ci_script_runs_the_two_commands_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"```sh\n(pip install .*?)\n```", readme, flags=re.DOTALL)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert len(commands) == 2
    for command in commands:
        assert f'run "{command}"' in script.splitlines()
