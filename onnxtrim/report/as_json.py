"""A report, comparison or inspection as JSON."""

import dataclasses
import json
import math
from typing import Any

import numpy as np

from onnxtrim.report.model import Document

__all__ = ["to_json"]


def to_json(document: Document) -> str:
    """Returns `document` as JSON text; figures that are not finite become null."""
    return json.dumps(_plain(dataclasses.asdict(document)), indent=1) + "\n"


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON is what it is
    """Returns a value of lists, dicts and finite figures only."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):  # numbers as callers of the Python API hold them
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
