"""Prunes every model of a folder to 0.7 of its MACs and writes what came of it as a table.

    python tools/bench/models.py FOLDER [--macs 0.7] [--markdown FILE] [--json FILE]

Channels are ranked by the L1 norm of their weights, over all layers, in the steps in which this
machine's ONNX Runtime gets faster. Accuracy is not looked at: this is about what can be cut at all,
exactly, and what that saves. A model that does not go that far goes as far as its groups allow.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import onnxtrim

HEAD = """| model | free | frozen | parameters removed | MACs left | latency | error | what stays |
|---|---|---|---|---|---|---|---|
"""


def pruned(path: Path, macs: float) -> dict[str, Any]:
    """Returns the row of one model; the ratio of MACs is the smallest that can be reached."""
    found = onnxtrim.inspect(path)
    reasons = Counter(
        {code: sum(r.width for r in found.frozen if r.code == code) for code in codes(found)}
    )
    row: dict[str, Any] = {
        "model": path.stem if path.stem != "model" else path.parent.name,
        "free": sum(group.before for group in found.groups),
        "frozen": sum(group.width for group in found.frozen),
        "reasons": dict(reasons.most_common()),
        "barriers": len(found.barriers),
    }
    for budget in (macs, 0.8, 0.9, 0.95):
        try:
            report = onnxtrim.prune(path, macs=budget, criterion="l1").report
        except onnxtrim.BudgetError as error:
            row["why"] = str(error)
            continue
        ratio = report.latency_ratio
        return row | {
            "params": 1 - report.after.params / report.before.params,
            "macs": report.after.macs / report.before.macs,
            "latency": None if ratio is None else ratio.median,
            "error": report.verification.max_rel_error,
        }
    return row


def codes(found: onnxtrim.Inspection) -> set[str]:
    """Returns the codes of what is frozen."""
    return {row.code for row in found.frozen}


def line(row: dict[str, Any]) -> str:
    """Returns a row as Markdown."""
    stays = ", ".join(f"{code}: {width}" for code, width in row["reasons"].items())
    if "params" not in row:
        return f"| {row['model']} | {row['free']} | {row['frozen']} | | | | | {row['why']} |\n"
    return (
        f"| {row['model']} | {row['free']} | {row['frozen']} | {row['params']:.1%} "
        f"| {row['macs']:.3f} | {row['latency']:.2f} | {row['error']:.0e} | {stays} |\n"
    )


def main() -> None:
    """Prints the table and writes it where files are named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--macs", type=float, default=0.7)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(HEAD, end="")
    for path in sorted(arguments.folder.rglob("*.onnx")):
        rows.append(pruned(path, arguments.macs))
        print(line(rows[-1]), end="", flush=True)
    if arguments.markdown:
        arguments.markdown.write_text(HEAD + "".join(line(row) for row in rows), encoding="utf-8")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
