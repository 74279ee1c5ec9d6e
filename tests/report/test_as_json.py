"""The JSON that scripts rely on: its keys, its values, and nothing that is no JSON."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import (
    CANDIDATES,
    comparison,
    hopeless,
    inspection,
    report,
    sensitivity,
    sparse_report,
    tuned_report,
    tuning,
)

from onnxtrim.report import Change, to_json

LATENCY = {"median", "p10", "p90", "runs"}
SIDE = {"params", "macs", "bytes", "latency_ms", "metric"}
METRIC = {"name", "value"}
REPORT = {
    "schema", "model", "before", "after", "groups", "frozen", "steps", "verification", "timings_s",
    "environment",
}  # fmt: skip
"""What scripts were promised first."""
MORE = {
    "settings", "latency_ratio", "agreement", "relative_error", "data", "warnings", "candidates",
    "allocations", "compensation", "tuning", "sparsity",
}  # fmt: skip
"""What came on top: how it was run, the paired latencies, the quality, the data, what was said."""

PAGE = (Path(__file__).parents[2] / "docs" / "report-schema.md").read_text(encoding="utf-8")


def documented(heading: str) -> set[str]:
    """Returns the fields in the table of the documentation that follows a line."""
    table = PAGE.partition(f"\n{heading}\n")[2].partition("| field | content |\n")[2]
    rows = [line.split("|")[1] for line in table.partition("\n\n")[0].splitlines()[1:]]
    assert rows
    return {field for row in rows for field in re.findall(r"`(\w+)`", row)}


def test_the_documentation_lists_every_field_and_no_other() -> None:
    document = loaded(to_json(report()))
    assert documented("## Report: `onnxtrim.report/1`") == document.keys()
    assert documented("`before` and `after`:") == document["before"].keys()
    assert documented("A row of `groups`:") == document["groups"][0].keys()


def test_the_documentation_lists_the_fields_of_tuning() -> None:
    document = loaded(to_json(tuning()))
    listed = documented("`tuning`, and what `onnxtrim finetune --json` prints:")
    assert listed == document.keys()
    assert loaded(to_json(tuned_report()))["tuning"] == document


def test_the_zeros_of_weight_pruning() -> None:
    assert loaded(to_json(report()))["sparsity"] is None
    document = loaded(to_json(sparse_report()))["sparsity"]
    heading = "`sparsity`, counted on the result, after tuning where there was any:"
    assert documented(heading) == document.keys()
    row = PAGE.partition(f"\n{heading}\n")[2].partition("\n| `layers` | ")[2].partition("\n")[0]
    assert set(re.findall(r"`(\w+)`", row)) == document["layers"][0].keys()
    assert document["layers"][0] == {
        "tensor": "w[1]|a",
        "weights": 400_000,
        "zeros_before": 10,
        "zeros": 300_000,
        "sparsity": 0.75,
        "reason": "",
    }
    assert (document["gzip_before"], document["gzip_after"]) == (1_590_000, 477_000)


def test_the_sum_of_scales_that_were_slimmed() -> None:
    assert loaded(to_json(tuning()))["scales"] is None
    document = loaded(to_json(tuning(scales=Change("scales", 6.0, 2.5))))
    assert document["scales"] == {"name": "scales", "before": 6.0, "after": 2.5}


def test_the_values_of_tuning() -> None:
    document = loaded(to_json(tuning()))
    assert document["metric"] == {"name": "accuracy", "before": 0.5, "after": 0.96875}
    assert document["loss"] == {"name": "ce", "before": 1.25, "after": 0.125}
    assert document["looks"][1] == {"step": 12, "loss": 0.5}
    assert document["learned_from"] == ["labels", "teacher"]
    assert document["environment"]["onnxruntime-training"] == "1.19.2"
    (step,) = loaded(to_json(tuned_report()))["steps"]
    assert (step["metric"]["value"], step["metric_tuned"]["value"]) == (0.8125, 0.965)


def test_the_documentation_lists_the_fields_of_the_other_commands() -> None:
    paragraph = PAGE.partition("`onnxtrim inspect --json` has ")[2].partition("\n\n")[0]
    inspected, _, rest = paragraph.partition("`onnxtrim compare --json`")
    compared, _, curves = rest.partition("`onnxtrim sensitivity --json`")
    document = loaded(to_json(inspection()))
    wanted = document.keys() | document["barriers"][0].keys() | {"before"}  # "cost (as before)"
    assert set(re.findall(r"`(\w+)`", inspected)) == wanted
    assert set(re.findall(r"`(\w+)`", compared)) == loaded(to_json(comparison())).keys()
    document = loaded(to_json(sensitivity()))
    curve = document["curves"][0]
    wanted = document.keys() | curve.keys() | curve["points"][0].keys()
    assert set(re.findall(r"`(\w+)`", curves)) == wanted


def loaded(text: str) -> dict[str, Any]:
    """Returns the document in `text`, which must be JSON by the letter."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert text.endswith("\n")
    document = json.loads(text, parse_constant=refuse)
    assert isinstance(document, dict)
    return document


def test_the_keys_of_a_report() -> None:
    document = loaded(to_json(report()))
    assert document.keys() == REPORT | MORE
    assert document["schema"] == "onnxtrim.report/1"
    assert document["model"].keys() == {"name", "sha256", "inputs"}
    for side in ("before", "after"):
        assert document[side].keys() == SIDE
        assert document[side]["latency_ms"].keys() == LATENCY
        assert document[side]["metric"].keys() == METRIC
    assert document["latency_ratio"].keys() == LATENCY
    for row in document["groups"]:
        assert row.keys() == {
            "name", "before", "after", "step", "score", "statistics", "tensors", "unit_macs",
            "unit_params",
        }  # fmt: skip
        assert row["score"].keys() == {"min", "median", "max"}
    for row in document["frozen"]:
        assert row.keys() == {"name", "width", "code", "reason", "node"}
    for row in document["steps"]:
        assert row.keys() == {
            "params", "macs", "metric", "metric_tuned", "bytes", "latency_ms", "widths", "accepted",
        }  # fmt: skip
    assert document["verification"].keys() == {"max_abs_error", "max_rel_error", "samples"}


def test_the_values_of_a_report() -> None:
    document = loaded(to_json(report()))
    assert document["model"] == {
        "name": "lenet.onnx",
        "sha256": "abc",
        "inputs": {"image": [1, 1, 28, 28]},
    }
    assert document["after"] == {
        "params": 271_454,
        "macs": 1_048_200,
        "bytes": 1_087_303,
        "latency_ms": {"median": 0.132, "p10": 0.093, "p90": 0.243, "runs": 201},
        "metric": {"name": "accuracy", "value": 0.965},
    }
    assert document["groups"][0] == {
        "name": "conv1",
        "before": 20,
        "after": 12,
        "step": 16,
        "score": {"min": 0.25, "median": 0.5, "max": 0.75},
        "statistics": {"zeros": 0.453},
        "tensors": ["a", "w1"],
        "unit_macs": 1_250,
        "unit_params": 76,
    }
    assert document["frozen"][0] == {
        "name": "fc2",
        "width": 10,
        "code": "graph output",
        "reason": "logits is an output of the graph",
        "node": "last",
    }
    assert document["settings"] == {"macs": 0.5, "mean": [0.0], "samples": None}
    assert document["data"] == {"samples": 300, "fingerprint": "def"}
    assert (document["agreement"], document["relative_error"]) == (0.975, 0.0123)


def test_what_was_not_evaluated_is_null() -> None:
    for document in (
        loaded(to_json(report(agreement=None, relative_error=None))),
        loaded(to_json(comparison(agreement=None, relative_error=None))),
    ):
        assert (document["agreement"], document["relative_error"]) == (None, None)


def test_the_keys_of_a_comparison() -> None:
    document = loaded(to_json(comparison()))
    assert document.keys() == {
        "schema", "names", "before", "after", "latency_ratio", "agreement", "relative_error",
    }  # fmt: skip
    assert document["names"] == ["a.onnx", "b.onnx"]
    assert (document["agreement"], document["relative_error"]) == (0.975, 0.0123)


def test_the_keys_of_an_inspection() -> None:
    document = loaded(to_json(inspection()))
    assert document.keys() >= {"schema", "model", "cost", "groups", "frozen"}
    assert document.keys() <= {
        "schema", "model", "cost", "groups", "frozen", "barriers", "warnings",
    }  # fmt: skip
    assert document["cost"].keys() == SIDE
    assert document["cost"]["latency_ms"] is None


def test_the_criteria_that_were_compared() -> None:
    assert loaded(to_json(report()))["candidates"] == []
    rows = loaded(to_json(report(candidates=CANDIDATES)))["candidates"]
    assert rows[0] == {
        "criterion": "reconstruction",
        "macs": 0.4989,
        "relative_error": 0.01234,
        "metric": {"name": "accuracy", "value": 0.965},
        "chosen": True,
    }
    assert [(row["criterion"], row["chosen"]) for row in rows[1:]] == [
        ("mean", False),
        ("random", False),
    ]


def test_curves() -> None:
    document = loaded(to_json(sensitivity()))
    assert document.keys() == {"schema", "model", "whole", "curves", "data", "warnings"}
    assert document["schema"] == "onnxtrim.report/1"
    assert document["whole"] == {"name": "accuracy", "value": 0.99}
    assert document["curves"][1] == {
        "group": "conv[2]|x",
        "width": 50,
        "points": [{"removed": 1, "macs": 0.99, "metric": 0.99, "relative_error": 0.0}],
    }
    assert [len(curve["points"]) for curve in document["curves"]] == [2, 1, 0]


def test_figures_that_are_not_finite_become_null() -> None:
    document = loaded(to_json(hopeless()))
    assert document["before"]["latency_ms"] == {
        "median": None,
        "p10": None,
        "p90": None,
        "runs": 0,
    }
    assert document["before"]["metric"] == {"name": "relative_error", "value": None}
    assert document["groups"][0]["score"] == {"min": None, "median": None, "max": None}
    assert document["groups"][0]["statistics"] == {"mean": None}
    assert document["verification"] == {
        "max_abs_error": None,
        "max_rel_error": None,
        "samples": 0,
    }
    assert document["settings"] == {"scale": None, "mean": [None]}
    assert (document["agreement"], document["relative_error"]) == (None, None)


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf])
def test_not_even_in_a_comparison(figure: float) -> None:
    document = loaded(to_json(comparison(agreement=figure, relative_error=figure)))
    assert (document["agreement"], document["relative_error"]) == (None, None)


def test_names_come_back_as_they_are() -> None:
    document = loaded(to_json(report()))
    assert [row["name"] for row in document["frozen"]] == ["fc2", "[bold]odd|name[/bold]"]


def test_numbers_of_numpy_are_numbers() -> None:
    settings = {"seed": np.int64(3), "ratio": np.float64(0.5), "nan": np.float32("nan")}
    found = json.loads(to_json(report(settings=settings)))
    assert found["settings"] == {"seed": 3, "ratio": 0.5, "nan": None}
