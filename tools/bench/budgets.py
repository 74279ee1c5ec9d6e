"""How much faster a model gets at one budget of MACs after another.

    python tools/bench/budgets.py MODEL [--macs 0.9 0.8 ...] [--criterion l1] [--align auto]
                                        [--threads 1] [--json FILE]

Channels are ranked by their weights, so that no data are needed. Latency is the median ratio of
paired runs; no plan should make a model slower.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import onnxtrim


def main() -> None:
    """Runs one budget after another and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--macs", type=float, nargs="+", default=[n / 10 for n in range(9, 2, -1)])
    parser.add_argument("--criterion", default="l1")
    parser.add_argument("--align", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    options: Any = {
        "criterion": arguments.criterion,
        "align": arguments.align,
        "threads": arguments.threads,
    }
    rows = []
    print("| budget | scope | MACs | parameters | latency (p10 .. p90) |\n|---|---|---|---|---|")
    for budget in arguments.macs:
        for scope in ("global", "layer"):
            report = onnxtrim.prune(arguments.model, macs=budget, scope=scope, **options).report
            ratio = report.latency_ratio
            assert ratio is not None
            found = {
                "budget": budget,
                "scope": scope,
                "macs": report.after.macs / report.before.macs,
                "params": report.after.params / report.before.params,
                "latency": {"median": ratio.median, "p10": ratio.p10, "p90": ratio.p90},
                **options,
            }
            rows.append(found)
            print(
                f"| {budget:g} | {scope} | {found['macs']:.3f} | {found['params']:.3f} | "
                f"{ratio.median:.3f} ({ratio.p10:.3f} .. {ratio.p90:.3f}) |",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
