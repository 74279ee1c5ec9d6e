"""Markdown whose tables are tables."""

import re

import pytest
from documents import (
    CANDIDATES,
    FROZEN,
    WARNINGS,
    comparison,
    hopeless,
    inspection,
    report,
    sensitivity,
    sparse_report,
    tuned_report,
    tuning,
)

from onnxtrim.report import Document, to_markdown
from onnxtrim.report.tables import tables


def cells(line: str) -> list[str]:
    """Returns the cells of a line of a table as GitHub reads it: an escaped pipe is text."""
    assert line.startswith("| ")
    assert line.endswith(" |")
    return [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line)[1:-1]]


def grids(text: str) -> dict[str, list[list[str]]]:
    """Returns the rows of every table by the heading above it."""
    found: dict[str, list[list[str]]] = {}
    title = ""
    for line in text.splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
        elif line.startswith("|"):
            found.setdefault(title, []).append(cells(line))
    return found


@pytest.mark.parametrize(
    "document",
    [
        report(candidates=CANDIDATES),
        comparison(),
        inspection(),
        sensitivity(),
        hopeless(),
        tuning(),
        tuned_report(),
    ],
    ids=lambda d: type(d).__name__,
)
def test_every_table_is_there_and_well_formed(document: Document) -> None:
    found = grids(to_markdown(document))
    expected = tables(document)
    assert list(found) == [table.title for table in expected]
    for table in expected:
        head, rule, *rows = found[table.title]
        assert head == list(table.head)
        assert rule == ["---"] * len(table.head)
        assert rows == [list(row) for row in table.rows]


def test_a_table_starts_behind_a_blank_line() -> None:
    lines = to_markdown(report()).splitlines()
    for number, line in enumerate(lines):
        if line.startswith("|") and not lines[number - 1].startswith("|"):
            assert lines[number - 1] == ""
        if line.startswith("#"):
            assert number == 0 or lines[number - 1] == ""


def test_pipes_are_escaped() -> None:
    text = to_markdown(report())
    assert "conv[2]\\|x" in text
    assert "odd\\|name" in text
    assert FROZEN[1].reason.replace("|", "\\|") in text


def test_a_name_with_a_line_break_stays_in_its_row() -> None:
    text = to_markdown(report(groups=(), frozen=(type(FROZEN[0])("a\nb", 1, "code", "c\nd"),)))
    rows = [line for line in text.splitlines() if "code" in line]
    assert len(rows) == 1
    assert len(cells(rows[0])) == 3


def test_the_headline() -> None:
    assert to_markdown(report()).splitlines()[0] == "# lenet.onnx"
    assert to_markdown(inspection()).splitlines()[0] == "# lenet.onnx"
    assert to_markdown(comparison()).splitlines()[0] == "# a.onnx and b.onnx"


def test_proof_environment_and_warnings_of_a_report() -> None:
    text = to_markdown(report())
    assert "within 1.0e-07 of its range (1.9e-06 absolute) on 8 samples" in text
    assert "numpy 2.0, cores 2" in text
    for warning in WARNINGS:
        assert f"- {warning}" in text.splitlines()
    assert "## Warnings" not in to_markdown(report(warnings=()))


def test_warnings_of_an_inspection() -> None:
    text = to_markdown(inspection())
    for warning in WARNINGS:
        assert warning in text


@pytest.mark.parametrize("document", [tuning(), tuned_report()], ids=lambda d: type(d).__name__)
def test_how_a_model_learned_is_said_in_words(document: Document) -> None:
    lines = to_markdown(document).splitlines()
    assert lines[lines.index("## How it learned") + 2] == (
        "24 steps in 2 epochs, 812 images/s, 3.2 s in all; learned from labels and teacher."
    )
    assert lines[lines.index("## Cuts") + 2] == "- trained up to 'h', before LSTM 'lstm'"
    untrained = lines[lines.index("## Not trained") + 2]
    assert untrained == "- w|1: no gradient passes an [odd] node (lstm)"
    assert lines.count("## Environment") == lines.count("## Warnings") == 1


def test_what_is_not_there_has_no_heading() -> None:
    text = to_markdown(tuning(cuts=(), untrained=(), warnings=()))
    assert "Cuts" not in text
    assert "Not trained" not in text
    assert "Warnings" not in text
    assert "numpy 2.0, onnxruntime-training 1.19.2" in text


def test_that_zeros_are_no_gain_by_themselves_is_said() -> None:
    text = to_markdown(sparse_report())
    assert "\n## Zeros\n\nZeros in place make nothing smaller.\n" in text
    assert "## Zeros" not in to_markdown(report())
