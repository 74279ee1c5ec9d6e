"""`--metric module:function` -> the function."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from onnxtrim.calibration.evaluate import MetricFunction
from onnxtrim.errors import UsageError

__all__ = ["metric_function"]


def metric_function(metric: MetricFunction | str | None) -> MetricFunction | None:
    """Returns the function that `module:function` or `path/to/file.py:function` names.

    Modules are looked for in the current folder, too. What is a function already comes back.

    Raises:
        UsageError: there is no such function, or its module fails on import.
    """
    if not isinstance(metric, str):
        return metric
    source, colon, name = metric.rpartition(":")
    if not (source and colon and name):
        raise UsageError(f"--metric {metric}: give module:function, or file.py:function")
    try:
        module = _from_file(Path(source)) if source.endswith(".py") else _by_name(source)
        function = getattr(module, name)
    except (Exception, SystemExit) as error:  # whatever the module of a user raises
        reason = " ".join(str(error).split())
        raise UsageError(f"--metric {metric}: {type(error).__name__}: {reason}") from error
    if not callable(function):
        raise UsageError(f"--metric {metric}: {name} is no function")
    found: MetricFunction = function
    return found


def _by_name(name: str) -> ModuleType:
    """Returns a module that is installed or lies in the current folder."""
    with _importable(Path.cwd()):
        return importlib.import_module(name)


def _from_file(path: Path) -> ModuleType:
    """Returns the module in a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    known = sys.modules.setdefault(path.stem, module)  # where data classes look for their own
    try:
        with _importable(path.resolve().parent):
            spec.loader.exec_module(module)
    except BaseException:
        if known is module:
            del sys.modules[path.stem]
        raise
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Lets modules in `folder` be imported inside."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
