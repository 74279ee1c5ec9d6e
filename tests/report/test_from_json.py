"""Reports read back: what was written is what is found."""

import dataclasses
import math
from collections.abc import Callable

import pytest
from documents import report, tuned_report

from onnxtrim.report import MetricValue, Report, Step, to_json
from onnxtrim.report.from_json import from_json, value_of


@pytest.mark.parametrize("made", [report, tuned_report])
def test_a_report_is_what_it_was(made: Callable[[], Report]) -> None:
    document = made()
    text = to_json(document)
    found = from_json(text)
    assert to_json(found) == text
    assert type(found) is type(document)
    assert found.steps == document.steps
    assert found.before == document.before
    assert found.verification == document.verification
    assert found.compensation == document.compensation


def test_null_is_no_number_where_a_figure_is_asked_for() -> None:
    found = value_of(MetricValue, {"name": "accuracy", "value": None})
    assert math.isnan(found.value)
    step = value_of(Step, {"params": 1, "macs": 2, "metric": None})
    assert step == Step(1, 2, None)
    assert step.latency_ms is None


def test_what_is_unknown_is_left_out_and_what_is_missing_told() -> None:
    known = dataclasses.asdict(Step(1, 2, None))
    assert value_of(Step, known | {"more": 3}) == Step(1, 2, None)
    with pytest.raises(ValueError, match="a Step has macs"):
        value_of(Step, {"params": 1})
    with pytest.raises(ValueError, match="no Step"):
        value_of(Step, [1, 2])
