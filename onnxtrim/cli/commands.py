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

from cyclopts import CycloptsError, Parameter

from onnxtrim.cli.app import Reading, Speaking, Typed, app
from onnxtrim.cli.looking import compare, inspect, recipes, sensitivity
from onnxtrim.cli.outputs import (
    REPORTS,
    check_plots,
    check_suffixes,
    plots_of,
    reproducer,
    target_of,
    write,
)
from onnxtrim.cli.speech import Speech, progress_of, say_setup, watch_of
from onnxtrim.config import Compensate, DataConfig, PruneConfig
from onnxtrim.errors import OnnxtrimError
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.schedule.config import LoopConfig

if TYPE_CHECKING:
    from onnxtrim.api import PruneResult

__all__ = ["app", "main"]

_DONE, _USAGE, _UNUSABLE, _INTERRUPTED = 0, 2, 3, 130


@dataclass(frozen=True, slots=True)
class _Recovery(TuneConfig):
    """The options of tuning beside those of pruning, with which they share the seed."""

    seed: Annotated[int, Parameter(parse=False)] = 0


_Pruning = Annotated[PruneConfig | None, Parameter(name="*")]
_Tuning = Annotated[TuneConfig | None, Parameter(name="*")]
_Recovering = Annotated[_Recovery | None, Parameter(name="*", group="With --finetune")]
_Looping = Annotated[LoopConfig | None, Parameter(name="*", group="Steps")]
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
    recipe: str | None = None,
    workdir: Path | None = None,
    resume: bool = False,
    plot: Path | None = None,
    pruning: _Pruning = None,
    looping: _Looping = None,
    tuning: _Recovering = None,
    reading: Reading = None,
    speech: Speaking = None,
    typed: Typed = (),
) -> None:
    """Prune a model: the default command.

    Args:
        model: The .onnx file.
        data: Calibration inputs: a folder of images (class sub-folders are labels), of .npy or
            .npz or of test_data_set_N, or one .npy or .npz file.
        train_data: What --finetune learns from, all of it; the few calibration inputs by default.
        output: Where the thinner model goes; beside the model as NAME-trimmed.onnx by default.
        report: Where the report goes, as .json or .md; repeatable.
        plan: Where the plan goes, as JSON; `onnxtrim apply` replays it.
        metric: What to go by, as `module:function` or `file.py:function`: it takes the model
            (onnx.ModelProto) and returns a figure, the higher the better. By default accuracy where
            there are labels, else agreement with the original, else the error of the outputs.
        recipe: A published procedure: its name, see `onnxtrim recipes`, or a .toml file of one.
        workdir: A folder that keeps what a run has come to after every step.
        resume: Go on with the run in --workdir, if there is one.
        plot: Where the trajectory goes as a picture, .png or .svg; takes onnxtrim[plot].
        pruning: What to remove.
        looping: In which steps.
        tuning: What to learn, and how fast.
        reading: How to read the data.
        speech: How to say it.
        typed: The options that were typed.
    """
    speech = speech or Speech()
    check_suffixes("--report", report, REPORTS)
    others = [*report, *([plan] if plan else []), *check_plots(plot)]
    target = target_of(model, output, others, [data, train_data])
    from onnxtrim import api

    options: dict[str, Any] = asdict(tuning or _Recovery()) | asdict(pruning or PruneConfig())
    options |= asdict(reading or DataConfig()) | asdict(looping or LoopConfig())
    options = {name: options[name] for name in map(_field, typed) if name in options}
    options |= {"train_data": train_data, "metric": metric, "recipe": recipe}
    options |= {"workdir": workdir, "resume": resume}
    with progress_of(speech) as progress, reproducer(target):
        result = api.prune(model, data, progress=progress, watch=watch_of(progress), **options)
    texts = {plan: result.plan.to_json()} if plan else {}
    write(result, target, report, texts | plots_of(result.report, plot), speech)
    _raise_what_is_missing(result)


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
    reading: Reading = None,
    speech: Speaking = None,
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


@app.command(name="finetune")
def fine_tune(
    model: Path,
    *,
    data: Path,
    teacher: Path | None = None,
    output: _Output = None,
    report: tuple[Path, ...] = (),
    tuning: _Tuning = None,
    reading: Reading = None,
    speech: Speaking = None,
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
    if result.report.interrupted:
        raise KeyboardInterrupt


@app.command
def setup_training(
    *,
    wheel: Annotated[Path | None, Parameter(name="--from")] = None,
    python: Path | None = None,
    speech: Speaking = None,
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


for _command in (inspect, compare, sensitivity, recipes):
    app.command(_command)


def _raise_what_is_missing(result: "PruneResult") -> None:
    """Raises what a run whose result is written by now did not come to."""
    for error in (result.untuned, result.unmet):
        if error is not None:
            raise error
    if result.interrupted:
        raise KeyboardInterrupt


def _field(option: str) -> str:
    """Returns the field that an option sets."""
    return option.removeprefix("--").replace("-", "_")


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
