"""A document as Markdown."""

from collections.abc import Sequence

from onnxtrim.report.model import Comparison, Document, Report, Tuning
from onnxtrim.report.tables import Table, pace, proof_samples, tables

__all__ = ["to_markdown"]


def to_markdown(document: Document) -> str:
    """Returns `document` as Markdown text."""
    lines = [f"# {_title(document)}", ""]
    for table in tables(document):
        lines += [f"## {table.title}", "", *_grid(table), ""]
    tuning = document.tuning if isinstance(document, Report) else document
    if isinstance(tuning, Tuning):
        lines += ["## How it learned", "", f"{pace(tuning)}.", ""]
        lines += _listed("Cuts", tuning.cuts) + _listed("Not trained", tuning.untrained)
    if isinstance(document, Report):
        proof = document.verification
        lines += [
            "## Proof",
            "",
            f"Equal to the masked original within {proof.max_rel_error:.1e} of its range "
            f"({proof.max_abs_error:.1e} absolute) on {proof_samples(proof.samples)}.",
            "",
        ]
    if isinstance(document, Report) and document.sparsity is not None:
        note = document.sparsity.note
        lines += ["## Zeros", "", f"{note[0].upper()}{note[1:]}.", ""]
    if isinstance(document, Report | Tuning):
        versions = ", ".join(f"{name} {value}" for name, value in document.environment.items())
        lines += ["## Environment", "", versions, ""]
    if not isinstance(document, Comparison):
        lines += _listed("Warnings", document.warnings)
    return "\n".join(lines)


def _listed(title: str, sentences: Sequence[str]) -> list[str]:
    """Returns the lines of a list, none where it is empty."""
    return ["## " + title, "", *(f"- {one}" for one in sentences), ""] if sentences else []


def _title(document: Document) -> str:
    """Returns the headline."""
    if isinstance(document, Comparison):
        return " and ".join(document.names)
    return document.model.name


def _grid(table: Table) -> list[str]:
    """Returns the lines of a Markdown table."""
    rows = [table.head, tuple("---" for _ in table.head), *table.rows]
    return ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]


def _cell(text: str) -> str:
    """Returns `text` as it can stand in a table: in one line, its pipes escaped."""
    return " ".join(text.split()).replace("|", "\\|")
