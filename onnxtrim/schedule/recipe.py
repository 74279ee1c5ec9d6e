"""Recipes: a published procedure as a TOML file, read and checked before anything is done.

    summary = "one line"
    source = "where it comes from"

    [prune]    fields of PruneConfig
    [loop]     fields of LoopConfig
    [tune]     fields of TuneConfig; that the table is there, even empty, means --finetune

What is given beside a recipe goes before what is in it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, cast

from onnxtrim.config import PruneConfig
from onnxtrim.errors import UsageError
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.schedule.config import LoopConfig, RunOptions, run_config

__all__ = ["Recipe", "recipe_of", "recipes"]

_TABLES: Mapping[str, type[Any]] = {"prune": PruneConfig, "loop": LoopConfig, "tune": TuneConfig}
_BUDGETS = ("ratio", "macs", "params", "size", "latency")
_TEXTS = ("summary", "source")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A procedure as options.

    Attributes:
        name: its own, or that of its file.
        summary: what it does, in a line.
        source: where it was published.
        options: the fields of configurations that it sets.
    """

    name: str
    summary: str
    source: str
    options: RunOptions

    def under(self, given: RunOptions) -> RunOptions:
        """Returns the options of a run that has this recipe, and `given` beside it.

        A budget that is given takes the place of those of the recipe.
        """
        own: Mapping[str, object] = self.options
        if any(given.get(name) is not None for name in _BUDGETS):
            own = {name: value for name, value in own.items() if name not in _BUDGETS}
        return cast(RunOptions, {**own, **given})


def recipes() -> tuple[Recipe, ...]:
    """Returns the recipes that come with the package, by name."""
    files = (
        f
        for f in resources.files("onnxtrim").joinpath("recipes").iterdir()
        if f.name.endswith(".toml")
    )
    found = {f.name.removesuffix(".toml"): f.read_text(encoding="utf-8") for f in files}
    return tuple(_parsed(name, found[name]) for name in sorted(found))


def recipe_of(name: str) -> Recipe:
    """Returns the recipe of this name, or in this file.

    Raises:
        UsageError: there is none, or it holds a key, a value or a combination that makes no sense.
    """
    own = {recipe.name: recipe for recipe in recipes()}
    if name in own:
        return own[name]
    path = Path(name)
    if path.suffix != ".toml":
        raise UsageError(
            f"--recipe {name}: there is none; give one of {', '.join(own)}, or a .toml file"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--recipe {name}: cannot be read ({error}); check the path") from error
    return _parsed(name, text)


def _parsed(name: str, text: str) -> Recipe:
    """Returns the recipe in a text.

    Raises:
        UsageError: it is not TOML, or holds what makes no sense.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"recipe {name}: is not TOML: {error}") from error
    for key, value in document.items():
        _check_top(name, key, value)
    options: dict[str, Any] = {"finetune": True} if "tune" in document else {}
    for table, kind in _TABLES.items():
        own = document.get(table, {})
        _check_keys(name, table, own, kind)
        clash = sorted(own.keys() & options.keys() - {"finetune"})
        if clash:
            raise UsageError(f"recipe {name}: [{table}] {clash[0]}: is in another table already")
        options |= own
    try:
        run_config(cast(RunOptions, options))
    except UsageError as error:
        raise UsageError(f"recipe {name}: {error}") from error
    return Recipe(
        name, document.get("summary", ""), document.get("source", ""), cast(RunOptions, options)
    )


def _check_top(name: str, key: str, value: object) -> None:
    """Raises UsageError for what can not stand at the top of a recipe."""
    if key in _TEXTS:
        if not isinstance(value, str):
            raise UsageError(f"recipe {name}: {key} = {value!r}: give a text")
    elif key not in _TABLES:
        known = ", ".join([*_TEXTS, *(f"[{table}]" for table in _TABLES)])
        raise UsageError(f"recipe {name}: unknown key {key} = {value!r}; there are {known}")
    elif not isinstance(value, dict):
        raise UsageError(f"recipe {name}: {key} = {value!r}: is a table, [{key}]")


def _check_keys(name: str, table: str, own: Mapping[str, object], kind: type[Any]) -> None:
    """Raises UsageError for a key that a table can not have."""
    known = sorted(field.name for field in fields(kind))
    for key, value in own.items():
        if key not in known:
            raise UsageError(
                f"recipe {name}: [{table}] unknown key {key} = {value!r}; there are "
                f"{', '.join(known)}"
            )
