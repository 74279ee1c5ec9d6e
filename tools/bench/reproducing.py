"""What the reproductions of published results share: options, cuts to given widths, and writing."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from drawing import save

import onnxtrim
from onnxtrim.calibration import Latency
from onnxtrim.config import DataConfig
from onnxtrim.report import Report
from onnxtrim.selection import make_plan
from onnxtrim.subject import prepare

__all__ = ["conclude", "cut_to", "figures", "left", "mean_accuracies", "options", "times"]

_ROOT = Path(__file__).parents[2]


def options(text: str, name: str) -> argparse.ArgumentParser:
    """Returns the options that every reproduction has; `text` is its head."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    results = _ROOT / "tools" / "bench" / "results"
    parser.add_argument("--json", type=Path, default=results / f"{name}.json")
    parser.add_argument("--plot", type=Path, default=_ROOT / "docs" / "plots" / f"{name}.png")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def conclude(arguments: argparse.Namespace, found: Mapping[str, Any], figure: Any) -> None:  # noqa: ANN401
    """Prints what was found, writes it, and writes the picture of it."""
    text = json.dumps(found, indent=1)
    print(text)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(text + "\n", encoding="utf-8")
    save(figure, arguments.plot)


def cut_to(
    source: Path, widths: Mapping[str, int], *, threads: int, seed: int = 0
) -> onnxtrim.PruneResult:
    """Returns a model cut so that its groups have some widths, by group name, and proven.

    Which units go is drawn by lot.
    """
    rng, reading = np.random.default_rng(seed), DataConfig(threads=threads)
    subject = prepare(source, None, reading)
    groups = {group.name: group for group in subject.channel_map.groups}
    removed = [
        np.sort(rng.permutation(groups[name].units)[: groups[name].width - width])
        for name, width in widths.items()
    ]
    weights = subject.model.graph.initializers
    units = np.sort(np.concatenate(removed))
    plan = make_plan(subject.channel_map, weights, units, subject.facts.sha256)
    return onnxtrim.apply(source, plan, compensate="none", threads=threads)


def figures(report: Report) -> dict[str, Any]:
    """Returns what a model cost before and after, and the proof of it."""
    before, after = report.before, report.after
    assert before.latency_ms is not None
    assert after.latency_ms is not None
    assert report.latency_ratio is not None
    return {
        "params": [before.params, after.params],
        "macs": [before.macs, after.macs],
        "bytes": [before.bytes, after.bytes],
        "latency_ms": {"before": times(before.latency_ms), "after": times(after.latency_ms)},
        "latency_ratio": times(report.latency_ratio),
        "max_rel_error": report.verification.max_rel_error,
    }


def left(report: Report) -> dict[str, Any]:
    """Returns what is left of each layer, and of the whole."""
    return {
        "kept": {group.name: group.after for group in report.groups},
        "params_left": report.after.params / report.before.params,
        "macs_left": report.after.macs / report.before.macs,
    }


def mean_accuracies(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    """Returns the mean accuracy of the runs of each way."""
    return {
        name: float(np.mean([run["accuracy"] for run in found])) for name, found in runs.items()
    }


def times(found: Latency) -> dict[str, float]:
    """Returns the median and the spread of paired runs."""
    named = {"median": found.median, "p10": found.p10, "p90": found.p90}
    return {key: round(value, 4) for key, value in named.items()} | {"runs": found.runs}
