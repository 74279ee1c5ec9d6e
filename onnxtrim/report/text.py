"""A document for the terminal."""

from rich.console import Console
from rich.table import Table as RichTable

from onnxtrim.report.model import Comparison, Document, Inspection, Report, Tuning
from onnxtrim.report.tables import figure, pace, proof_samples, tables

__all__ = ["show"]


def show(document: Document, console: Console) -> None:
    """Prints the tables of `document` on `console`, and what else there is to say."""
    for table in tables(document):
        console.print(table.title, style="table.title", markup=False, highlight=False)
        grid = RichTable(box=None, pad_edge=False)
        for index, column in enumerate(table.head):
            right = index > 0 and column not in ("reason", "tensors")
            grid.add_column(column, justify="right" if right else "left", overflow="fold")
        for row in table.rows:
            grid.add_row(*row)
        console.print(grid, markup=False)
        console.print()
    if isinstance(document, Inspection):
        cost = document.cost
        console.print(
            f"{figure(cost.macs)} MACs, {figure(cost.params)} parameters, "
            f"{figure(cost.bytes)} bytes for inputs "
            + ", ".join(f"{n} {list(s)}" for n, s in document.model.inputs.items()),
            markup=False,
            highlight=False,
        )
    tuning = document.tuning if isinstance(document, Report) else document
    if isinstance(tuning, Tuning):
        console.print(f"tuned: {pace(tuning)}", markup=False, highlight=False)
        for sentence in (*tuning.cuts, *(f"not trained: {one}" for one in tuning.untrained)):
            console.print(sentence, markup=False, highlight=False)
    if isinstance(document, Report):
        proof = document.verification
        console.print(
            f"proven: equal to the masked original within {proof.max_rel_error:.1e} of its range "
            f"on {proof_samples(proof.samples)}",
            markup=False,
            highlight=False,
        )
        if document.sparsity is not None:
            console.print(document.sparsity.note, markup=False, highlight=False)
    if not isinstance(document, Comparison):
        for warning in document.warnings:
            console.print(f"warning: {warning}", markup=False, highlight=False)
