"""argv -> configuration -> api -> text and exit status. No logic lives here.

Imports that take long (the graph library, the runtime) wait until a command needs them.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from onnxtrim.cli.outputs import (
    PLOTS,
    REPORTS,
    check_outputs,
    check_suffixes,
    publish,
    reproducer,
    target_of,
    write,
)
from onnxtrim.cli.speech import Speech, progress_of, say_setup, watch_of
from onnxtrim.config import (
    DEFAULT_CRITERION,
    Compensate,
    CriterionName,
    DataConfig,
    PruneConfig,
)
from onnxtrim.errors import OnnxtrimError
from onnxtrim.finetune.config import TuneConfig

if TYPE_CHECKING:
    from onnxtrim.report import Tuning

__all__ = ["app", "main"]

_DONE, _USAGE, _UNUSABLE, _INTERRUPTED = 0, 2, 3, 130


def _shown(default: object) -> str | None:
    """Returns a default as one would type it; None where it is no more than being left out."""
    if default is None or default is False or default == ():
        return None
    if isinstance(default, tuple):
        return " ".join(f"{value:g}" for value in default)
    return f"{default:.6g}" if isinstance(default, float) else str(default)


app = App(
    name="onnxtrim",
    help=(
        "Make an ONNX file thinner and faster: remove the channels that matter least, and prove "
        "the result before it is written.\n\n"
        "Exit status: 0 done, 1 a budget or a check was not met, 2 usage, 3 the model or the data "
        "cannot be used, 130 interrupted."
    ),
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=_shown),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)


@dataclass(frozen=True, slots=True)
class _Recovery(TuneConfig):
    """The options of tuning beside those of pruning, with which they share the seed."""

    seed: Annotated[int, Parameter(parse=False)] = 0


_Pruning = Annotated[PruneConfig | None, Parameter(name="*")]
_Tuning = Annotated[TuneConfig | None, Parameter(name="*")]
_Recovering = Annotated[_Recovery | None, Parameter(name="*", group="With --finetune")]
_Reading = Annotated[DataConfig | None, Parameter(name="*", consume_multiple=True)]
_Speaking = Annotated[Speech | None, Parameter(name="*")]
_Output = Annotated[Path | None, Parameter(alias="-o")]


@app.default
def prune(
    model: Path,
    *,
    data: Path | None = None,
    train_data: Path | None = None,
    output: _Output = None,
    report: tuple[Path, ...] = (),
    plan: Path | None = None,
    metric: str | None = None,
    pruning: _Pruning = None,
    tuning: _Recovering = None,
    reading: _Reading = None,
    speech: _Speaking = None,
) -> None:
    """Prune a model: the default command.

    Args:
        model: The .onnx file.
        data: Calibration inputs: a folder of images (class sub-folders are labels), of .npy or
            .npz or of test_data_set_N, or one .npy or .npz file.
        train_data: What --finetune learns from, all of it, whatever --samples says; the calibration
            inputs by default, which are few.
        output: Where the thinner model goes; beside the model as NAME-trimmed.onnx by default.
        report: Where the report goes, as .json or .md; repeatable.
        plan: Where the plan goes, as JSON; `onnxtrim apply` replays it.
        metric: What to go by, as `module:function` or `file.py:function`: it takes the model
            (onnx.ModelProto) and returns a figure, the higher the better. By default accuracy where
            there are labels, else agreement with the original, else the error of the outputs.
        pruning: What to remove.
        tuning: What to learn, and how fast.
        reading: How to read the data.
        speech: How to say it.
    """
    speech = speech or Speech()
    check_suffixes("--report", report, REPORTS)
    target = target_of(model, output, [*report, *([plan] if plan else [])], [data, train_data])
    from onnxtrim import api

    options: dict[str, Any] = asdict(tuning or _Recovery()) | asdict(pruning or PruneConfig())
    options |= asdict(reading or DataConfig()) | {"train_data": train_data, "metric": metric}
    with progress_of(speech) as progress, reproducer(target):
        watch = watch_of(progress)
        result = api.prune(model, data, progress=progress, watch=watch, **options)
    write(result, target, report, {plan: result.plan.to_json()} if plan else {}, speech)
    if result.untuned is not None:
        raise result.untuned
    _end_if_interrupted(result.report.tuning)


@app.command
def apply(
    model: Path,
    plan: Path,
    *,
    data: Path | None = None,
    output: _Output = None,
    report: tuple[Path, ...] = (),
    compensate: Compensate = "auto",
    metric: str | None = None,
    reading: _Reading = None,
    speech: _Speaking = None,
) -> None:
    """Replay a plan on the model it was made for, or on another checkpoint of the same graph.

    Args:
        model: The .onnx file.
        plan: The plan that `--plan` wrote.
        data: Inputs to prove and evaluate the result on.
        output: Where the thinner model goes; beside the model as NAME-trimmed.onnx by default.
        report: Where the report goes, as .json or .md; repeatable.
        compensate: What makes good for the channels that are gone; see the help of pruning.
        metric: What to go by, as `module:function`; see the help of pruning.
        reading: How to read the data.
        speech: How to say it.
    """
    speech = speech or Speech()
    check_suffixes("--report", report, REPORTS)
    target = target_of(model, output, report, [plan, data])
    from onnxtrim import api

    with progress_of(speech) as progress, reproducer(target):
        options: dict[str, Any] = asdict(reading or DataConfig())
        options |= {"compensate": compensate, "metric": metric}
        result = api.apply(model, plan, data, progress=progress, **options)
    write(result, target, report, {}, speech)


@app.command
def inspect(
    model: Path,
    *,
    data: Path | None = None,
    report: tuple[Path, ...] = (),
    reading: _Reading = None,
    speech: _Speaking = None,
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


@app.command
def compare(
    before: Path,
    after: Path,
    *,
    data: Path | None = None,
    report: tuple[Path, ...] = (),
    metric: str | None = None,
    reading: _Reading = None,
    speech: _Speaking = None,
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


@app.command
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
    reading: _Reading = None,
    speech: _Speaking = None,
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
    plots = [] if plot is None else [plot]
    check_suffixes("--report", report, REPORTS)
    check_suffixes("--plot", plots, PLOTS)
    check_outputs([*report, *plots], [model, data])
    from onnxtrim import api
    from onnxtrim.graph.save import atomic_write
    from onnxtrim.report.plot import plotted, require_plotting

    if plots:
        require_plotting()
    with progress_of(speech) as progress:
        options: dict[str, Any] = asdict(reading or DataConfig())
        options |= {"criterion": criterion, "max_layer_ratio": max_layer_ratio, "seed": seed}
        options |= {"include": include, "exclude": exclude, "metric": metric}
        result = api.sensitivity(model, data, points=points, progress=progress, **options)
    for path in plots:
        atomic_write(path, plotted(result, "svg" if path.suffix.lower() == ".svg" else "png"))
    publish(result, report, speech)


@app.command(name="finetune")
def fine_tune(
    model: Path,
    *,
    data: Path,
    teacher: Path | None = None,
    output: _Output = None,
    report: tuple[Path, ...] = (),
    tuning: _Tuning = None,
    reading: _Reading = None,
    speech: _Speaking = None,
) -> None:
    """Let a model learn again, from labels or from the model it was; see `setup-training`.

    Ctrl-C ends it with the best weights so far.

    Args:
        model: The .onnx file.
        data: Samples to learn from; a tenth is held out to judge by.
        teacher: The model as it was before it was pruned, whose outputs are the targets.
        output: Where the tuned model goes; beside the model as NAME-tuned.onnx by default.
        report: Where the report goes, as .json or .md; repeatable.
        tuning: What to learn, and how fast.
        reading: How to read the data.
        speech: How to say it.
    """
    speech = speech or Speech()
    check_suffixes("--report", report, REPORTS)
    target = target_of(model, output, report, [teacher, data], ending="tuned")
    from onnxtrim import api

    with progress_of(speech) as progress:
        options: dict[str, Any] = asdict(tuning or TuneConfig()) | asdict(reading or DataConfig())
        result = api.fine_tune(model, data, teacher, watch=watch_of(progress), **options)
    write(result, target, report, {}, speech)
    _end_if_interrupted(result.report)


@app.command
def setup_training(
    *,
    wheel: Annotated[Path | None, Parameter(name="--from")] = None,
    python: Path | None = None,
    speech: _Speaking = None,
) -> None:
    """Fetch the training build of ONNX Runtime, once, and check it with one step of training.

    Args:
        wheel: Its wheel, for a machine without a network; from PyPI by default.
        python: The interpreter that runs it, a CPython 3.11 or 3.12 with numpy and onnx; the one
            that runs this by default.
        speech: How to say it.
    """
    speech = speech or Speech()
    from onnxtrim.finetune import setup_training as set_up

    say_setup(set_up(wheel=wheel, python=python), speech)


def _end_if_interrupted(tuning: "Tuning | None") -> None:
    """Raises KeyboardInterrupt where Ctrl-C has ended a run whose result is written by now."""
    if tuning is not None and tuning.interrupted:
        raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status of one run of the command line."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    verbose = "-v" in tokens or "--verbose" in tokens
    try:
        app(tokens, print_error=False, exit_on_error=False)
    except OnnxtrimError as error:
        return _failed(str(error), error.exit_status, verbose)
    except CycloptsError as error:
        return _failed(f"{_one_line(error)} (see onnxtrim --help)", _USAGE, verbose)
    except KeyboardInterrupt:
        return _failed("interrupted; no file was left half-written", _INTERRUPTED, verbose=False)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _DONE
    except Exception as error:  # a fault of ours still deserves one line and a status
        message = f"internal error: {type(error).__name__}: {error}"
        return _failed(f"{message}; please report it, with the output of -v", _UNUSABLE, verbose)
    return _DONE


def _failed(message: str, status: int, verbose: bool) -> int:
    """Returns `status` after saying `message` on standard error, in one line."""
    if verbose:
        traceback.print_exc()
    print(f"onnxtrim: {' '.join(message.split())}", file=sys.stderr)
    return status


def _one_line(error: CycloptsError) -> str:
    """Returns what the parser has to say."""
    return " ".join(str(error).split())
