"""The commands that only look: inspect, compare, sensitivity, recipes."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from onnxtrim.cli.app import Reading, Speaking
from onnxtrim.cli.outputs import (
    REPORTS,
    check_outputs,
    check_plots,
    check_suffixes,
    plots_of,
    publish,
)
from onnxtrim.cli.speech import Speech, progress_of, say_recipes
from onnxtrim.config import DEFAULT_CRITERION, CriterionName, DataConfig

__all__ = ["compare", "inspect", "recipes", "sensitivity"]


def inspect(
    model: Path,
    *,
    data: Path | None = None,
    report: tuple[Path, ...] = (),
    reading: Reading = None,
    speech: Speaking = None,
) -> None:
    """Show what can be cut, what it costs, and for every frozen group the reason.

    Args:
        model: The .onnx file.
        data: Calibration inputs, for the statistics of each group's activations.
        report: Where the result goes, as .json or .md; repeatable.
        reading: How to read the data.
        speech: How to say it.
    """
    speech = speech or Speech()
    check_suffixes("--report", report, REPORTS)
    check_outputs(report, [model, data])
    from onnxtrim import api

    with progress_of(speech) as progress:
        options: dict[str, Any] = asdict(reading or DataConfig())
        result = api.inspect(model, data, progress=progress, **options)
    publish(result, report, speech)


def compare(
    before: Path,
    after: Path,
    *,
    data: Path | None = None,
    report: tuple[Path, ...] = (),
    metric: str | None = None,
    reading: Reading = None,
    speech: Speaking = None,
) -> None:
    """Compare two models: size, parameters, MACs, latency with spread, agreement, metric.

    Args:
        before: The first .onnx file.
        after: The second .onnx file.
        data: Inputs to compare the outputs on.
        report: Where the result goes, as .json or .md; repeatable.
        metric: What to go by, as `module:function`; see the help of pruning.
        reading: How to read the data.
        speech: How to say it.
    """
    speech = speech or Speech()
    check_suffixes("--report", report, REPORTS)
    check_outputs(report, [before, after, data])
    from onnxtrim import api

    with progress_of(speech) as progress:
        options: dict[str, Any] = asdict(reading or DataConfig())
        result = api.compare(before, after, data, metric=metric, progress=progress, **options)
    publish(result, report, speech)


def sensitivity(
    model: Path,
    *,
    data: Path,
    points: int = 5,
    criterion: CriterionName = DEFAULT_CRITERION,
    max_layer_ratio: float = 0.9,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    seed: int = 0,
    plot: Path | None = None,
    report: tuple[Path, ...] = (),
    metric: str | None = None,
    reading: Reading = None,
    speech: Speaking = None,
) -> None:
    """Show how the metric falls as more and more of each group goes, all else left whole.

    Args:
        model: The .onnx file.
        data: Inputs to try it on.
        points: How many shares are tried, evenly up to --max-layer-ratio.
        criterion: The rule that says which units of a group go first.
        max_layer_ratio: The largest share that is tried.
        include: Only groups are tried that have a name, a writing node or a tensor that this glob
            matches; repeatable.
        exclude: Groups are left out that have a name, a writing node or a tensor that this glob
            matches; repeatable.
        seed: Seed of random scores.
        plot: Where the curves go as a picture, .png or .svg; takes onnxtrim[plot].
        report: Where the result goes, as .json or .md; repeatable.
        metric: What to go by, as `module:function`; see the help of pruning.
        reading: How to read the data.
        speech: How to say it.
    """
    speech = speech or Speech()
    check_suffixes("--report", report, REPORTS)
    check_outputs([*report, *check_plots(plot)], [model, data])
    from onnxtrim import api
    from onnxtrim.graph.save import atomic_write

    with progress_of(speech) as progress:
        options: dict[str, Any] = asdict(reading or DataConfig())
        options |= {"criterion": criterion, "max_layer_ratio": max_layer_ratio, "seed": seed}
        options |= {"include": include, "exclude": exclude, "metric": metric}
        result = api.sensitivity(model, data, points=points, progress=progress, **options)
    for path, picture in plots_of(result, plot).items():
        atomic_write(path, picture)
    publish(result, report, speech)


def recipes(*, speech: Speaking = None) -> None:
    """List the published procedures, and where they come from.

    Args:
        speech: How to say it.
    """
    from onnxtrim.schedule.recipe import recipes as known

    say_recipes(known(), speech or Speech())
