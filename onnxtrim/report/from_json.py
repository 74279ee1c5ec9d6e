"""JSON -> the report that it was written from."""

import json
import math
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from onnxtrim.report.model import Report

__all__ = ["from_json", "value_of"]

T = TypeVar("T")


def from_json(text: str) -> Report:
    """Returns the report that `to_json` made this text of; figures that are null are no numbers.

    Raises:
        ValueError: it is no such text.
    """
    return value_of(Report, json.loads(text))


def value_of(kind: type[T], document: object) -> T:
    """Returns the value of a type that a JSON document stands for.

    Raises:
        ValueError: it stands for none.
    """
    found: T = _read(kind, document)
    return found


def _read(hint: Any, document: Any) -> Any:  # noqa: ANN401 - JSON is what it is
    """Returns the value of a type hint that a document stands for."""
    parts = get_args(hint)
    if is_dataclass(hint):
        return _record(hint, document)
    if get_origin(hint) in (UnionType, Union):
        kinds = [part for part in parts if part is not type(None)]
        return None if document is None else _read(kinds[0], document)
    if get_origin(hint) is tuple:
        kinds = [parts[0]] * len(document) if parts[-1] is ... else list(parts)
        return tuple(_read(kind, one) for kind, one in zip(kinds, document, strict=True))
    if get_origin(hint) is dict:
        return {_read(parts[0], k): _read(parts[1], v) for k, v in document.items()}
    if hint is float:
        return math.nan if document is None else float(document)
    return document


def _record(kind: Any, document: Any) -> Any:  # noqa: ANN401 - JSON is what it is
    """Returns a dataclass of a mapping."""
    if not isinstance(document, dict):
        raise ValueError(f"{document!r} is no {kind.__name__}")
    hints = get_type_hints(kind)
    for field in fields(kind):
        required = field.default is MISSING and field.default_factory is MISSING
        if required and field.name not in document:
            raise ValueError(f"a {kind.__name__} has {field.name}")
    return kind(**{n: _read(hints[n], v) for n, v in document.items() if n in hints})
