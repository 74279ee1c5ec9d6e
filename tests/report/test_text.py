"""What the terminal shows, printed by a real rich Console into memory."""

import io

import pytest
from documents import (
    BARRIERS,
    CANDIDATES,
    FROZEN,
    WARNINGS,
    comparison,
    inspection,
    report,
    sensitivity,
    sparse_report,
    tuned_report,
    tuning,
)
from rich.console import Console

from onnxtrim.report import Document, Inspection, Report
from onnxtrim.report.text import show


def shown(document: Document, width: int = 100) -> str:
    out = io.StringIO()
    show(document, Console(file=out, width=width))
    return out.getvalue()


def squeezed(text: str) -> str:
    """Returns `text` without white space, for sentences that are folded over several lines."""
    return "".join(text.split())


@pytest.mark.parametrize("document", [report(), inspection()])
@pytest.mark.parametrize("width", [60, 80, 300])
def test_every_frozen_reason_is_shown_in_full(document: Report | Inspection, width: int) -> None:
    text = shown(document, width)
    for row in FROZEN:
        assert squeezed(row.reason) in squeezed(text)
        assert row.code in text


def test_names_are_no_markup() -> None:
    text = shown(report(), 300)
    assert "[bold]odd|name[/bold]" in text
    assert "conv[2]|x" in text
    assert "\x1b" not in text


def test_a_report_says_what_was_proven_and_what_to_mind() -> None:
    text = shown(report(), 300)
    assert "equal to the masked original within 1.0e-07 of its range on 8 samples" in text
    for warning in WARNINGS:
        assert f"warning: {warning}" in text.splitlines()


def test_a_report_on_made_up_inputs_does_not_claim_no_samples() -> None:
    """Without data the proof runs on inputs that are made up: that is not nothing."""
    verification = type(report().verification)(1.9e-06, 1.04e-07, 0)
    assert "on 0 samples" not in shown(report(verification=verification), 300)


def test_the_result_is_there_in_figures() -> None:
    for document in (report(), comparison()):
        text = shown(document, 300)
        for figure in (
            "2.29 M", "1.05 M", "0.457", "0.575 (0.349 .. 0.956, 201 pairs)", "99.00%", "97.50%",
            "0.0123",
        ):  # fmt: skip
            assert figure in text


def test_an_inspection_says_what_the_model_costs() -> None:
    text = shown(inspection(), 300)
    assert "2.29 M MACs, 431 k parameters, 1.73 M bytes for inputs image [1, 1, 28, 28]" in text


def test_an_inspection_says_what_to_mind_and_what_is_in_the_way() -> None:
    text = shown(inspection(), 300)
    for row in BARRIERS:
        assert row.reason in text
    for warning in WARNINGS:
        assert warning in text


def test_curves_and_what_to_mind_are_shown() -> None:
    text = shown(sensitivity(), 300)
    for word in ("conv[2]|x", "9: 98.75%", "18: 50.00%"):
        assert word in text
    assert squeezed("Units removed: accuracy (99.00% with none removed)") in squeezed(text)
    for warning in WARNINGS:
        assert f"warning: {warning}" in text.splitlines()


@pytest.mark.parametrize(
    "document", [report(candidates=CANDIDATES), comparison(), inspection(), sensitivity()]
)
def test_no_line_is_wider_than_the_terminal(document: Document) -> None:
    tables = shown(document, 60).split("proven:")[0]
    assert max(len(line) for line in tables.splitlines()) <= 60


def test_a_title_is_not_folded_to_the_width_of_its_table() -> None:
    lines = [line.rstrip() for line in shown(tuning()).splitlines()]
    assert "Looks at the held-out samples" in lines


@pytest.mark.parametrize("document", [tuning(), tuned_report()], ids=lambda d: type(d).__name__)
def test_what_was_learned_is_said_line_by_line(document: Document) -> None:
    lines = shown(document, 300).splitlines()
    assert (
        "tuned: 24 steps in 2 epochs, 812 images/s, 3.2 s in all; learned from labels and teacher"
    ) in lines
    assert "trained up to 'h', before LSTM 'lstm'" in lines
    assert "not trained: w|1: no gradient passes an [odd] node (lstm)" in lines
    assert [line for line in lines if line.startswith("warning: ")] == [
        f"warning: {warning}" for warning in WARNINGS
    ]


def test_that_zeros_are_no_gain_by_themselves_is_said() -> None:
    text = shown(sparse_report())
    assert "zeros in place make nothing smaller" in text
    assert squeezed("it reads 1 in a row, which is no [multiple] of 4") in squeezed(text)
