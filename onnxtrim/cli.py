"""argv -> configuration -> api -> text and exit status. No logic lives here.

Imports that take long (the graph library, the runtime) wait until a command needs them.
"""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from onnxtrim.config import DataConfig, PruneConfig
from onnxtrim.errors import LoadError, OnnxtrimError, OutputError, UsageError, VerificationError

if TYPE_CHECKING:
    from onnxtrim.api import PruneResult
    from onnxtrim.calibration import Progress
    from onnxtrim.report import Comparison, Inspection, Report

__all__ = ["app", "main"]

_DONE, _USAGE, _UNUSABLE, _INTERRUPTED = 0, 2, 3, 130
_REPORT_SUFFIXES = (".json", ".md")
_PIPED_WIDTH = 120


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
class Speech:
    """How much is said, and in which form.

    Attributes:
        json: Print the result as JSON instead of tables.
        quiet: Print nothing but errors.
        verbose: Add the traceback to an error.
    """

    json: bool = False
    quiet: Annotated[bool, Parameter(alias="-q")] = False
    verbose: Annotated[bool, Parameter(alias="-v")] = False

    def __post_init__(self) -> None:
        """Raises UsageError where two ways of speaking contradict each other."""
        if self.quiet and self.json:
            raise UsageError("--quiet and --json contradict each other; give one of them")


_Pruning = Annotated[PruneConfig | None, Parameter(name="*")]
_Reading = Annotated[DataConfig | None, Parameter(name="*", consume_multiple=True)]
_Speaking = Annotated[Speech | None, Parameter(name="*")]
_Output = Annotated[Path | None, Parameter(alias="-o")]


@app.default
def prune(
    model: Path,
    *,
    data: Path | None = None,
    output: _Output = None,
    report: tuple[Path, ...] = (),
    plan: Path | None = None,
    pruning: _Pruning = None,
    reading: _Reading = None,
    speech: _Speaking = None,
) -> None:
    """Prune a model: the default command.

    Args:
        model: The .onnx file.
        data: Calibration inputs: a folder of images (class sub-folders are labels), a folder of
            .npy or .npz, or one such file.
        output: Where the thinner model goes; beside the model as NAME-trimmed.onnx by default.
        report: Where the report goes, as .json or .md; repeatable.
        plan: Where the plan goes, as JSON; `onnxtrim apply` replays it.
        pruning: What to remove.
        reading: How to read the data.
        speech: How to say it.
    """
    speech = speech or Speech()
    _check_reports(report)
    target = _target(model, output, [*report, *([plan] if plan else [])], [data])
    from onnxtrim import api

    with _progress(speech) as progress, _reproducer(target):
        options: dict[str, Any] = asdict(pruning or PruneConfig()) | asdict(reading or DataConfig())
        result = api.prune(model, data, progress=progress, **options)
    _write(result, target, report, plan, speech)


@app.command
def apply(
    model: Path,
    plan: Path,
    *,
    data: Path | None = None,
    output: _Output = None,
    report: tuple[Path, ...] = (),
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
        reading: How to read the data.
        speech: How to say it.
    """
    speech = speech or Speech()
    _check_reports(report)
    target = _target(model, output, report, [plan, data])
    from onnxtrim import api

    with _progress(speech) as progress, _reproducer(target):
        options: dict[str, Any] = asdict(reading or DataConfig())
        result = api.apply(model, plan, data, progress=progress, **options)
    _write(result, target, report, None, speech)


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
    _check_reports(report)
    _check_outputs(report, [model, data])
    from onnxtrim import api

    with _progress(speech) as progress:
        options: dict[str, Any] = asdict(reading or DataConfig())
        result = api.inspect(model, data, progress=progress, **options)
    _publish(result, report, speech)


@app.command
def compare(
    before: Path,
    after: Path,
    *,
    data: Path | None = None,
    report: tuple[Path, ...] = (),
    reading: _Reading = None,
    speech: _Speaking = None,
) -> None:
    """Compare two models: size, parameters, MACs, latency with spread, agreement, metric.

    Args:
        before: The first .onnx file.
        after: The second .onnx file.
        data: Inputs to compare the outputs on.
        report: Where the result goes, as .json or .md; repeatable.
        reading: How to read the data.
        speech: How to say it.
    """
    speech = speech or Speech()
    _check_reports(report)
    _check_outputs(report, [before, after, data])
    from onnxtrim import api

    with _progress(speech) as progress:
        options: dict[str, Any] = asdict(reading or DataConfig())
        result = api.compare(before, after, data, progress=progress, **options)
    _publish(result, report, speech)


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


def _target(
    model: Path,
    output: Path | None,
    others: Sequence[Path],
    inputs: Sequence[Path | None],
) -> Path:
    """Returns where the model goes, after a look at every path that will be written.

    Raises:
        LoadError: the model is a folder.
        OutputError: an output cannot be written, is an input, or has the path of another one.
    """
    if model.is_dir():
        raise LoadError(f"{model}: is a folder; name the .onnx file in it")
    target = output or model.with_name(f"{model.stem}-trimmed.onnx")
    paths = [target, *others]
    if len({path.resolve() for path in paths}) < len(paths):
        raise OutputError("two outputs have the same path; give each a name of its own")
    _check_outputs(paths, [model, *inputs])
    return target


def _check_outputs(outputs: Sequence[Path], inputs: Sequence[Path | None]) -> None:
    """Raises OutputError where an output is an input, or cannot be written."""
    from onnxtrim.graph.save import check_writable, refuse_overwriting

    given = [path for path in inputs if path is not None]
    refuse_overwriting(outputs, given)
    if all(path.exists() for path in given):  # a missing input is the more useful thing to say
        for path in outputs:
            check_writable(path)


def _check_reports(reports: Sequence[Path]) -> None:
    """Raises UsageError for a report in a format that there is none of."""
    for path in reports:
        if path.suffix.lower() not in _REPORT_SUFFIXES:
            raise UsageError(f"--report {path}: the suffix must be .json or .md")


def _write(
    result: "PruneResult",
    target: Path,
    reports: Sequence[Path],
    plan: Path | None,
    speech: Speech,
) -> None:
    """Writes the model, the plan and the reports, then says what there is to say."""
    from onnxtrim.graph.save import atomic_write, refuse_overwriting

    refuse_overwriting([*reports, *([plan] if plan else [])], result.sources)
    texts = _rendered(result.report, reports)
    if plan is not None:
        texts[plan] = result.plan.to_json()
    result.save(target)
    for path, text in texts.items():
        atomic_write(path, text)
    _say(result.report, speech)
    if not speech.quiet and not speech.json:
        print(f"written: {target}")


def _publish(
    document: "Report | Comparison | Inspection", reports: Sequence[Path], speech: Speech
) -> None:
    """Writes the reports and shows `document` as asked."""
    from onnxtrim.graph.save import atomic_write

    for path, text in _rendered(document, reports).items():
        atomic_write(path, text)
    _say(document, speech)


def _rendered(
    document: "Report | Comparison | Inspection", reports: Sequence[Path]
) -> dict[Path, str]:
    """Returns the text of every report that was asked for."""
    from onnxtrim.report import to_json, to_markdown

    return {
        path: (to_json if path.suffix.lower() == ".json" else to_markdown)(document)
        for path in reports
    }


def _say(document: "Report | Comparison | Inspection", speech: Speech) -> None:
    """Shows `document` as asked."""
    from onnxtrim.report import to_json

    if speech.json:
        print(to_json(document), end="")
    elif not speech.quiet:
        from rich.console import Console

        from onnxtrim.report.text import show

        wide = None if sys.stdout.isatty() else _PIPED_WIDTH
        try:
            show(document, Console(width=wide))
        except SystemExit as error:  # rich's answer to a reader that leaves
            raise BrokenPipeError from error


@contextmanager
def _progress(speech: Speech) -> Iterator["Progress | None"]:
    """Yields what shows progress on standard error; None where nobody watches."""
    if speech.quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield show


def _free_folder(target: Path) -> Path:
    """Returns the folder for a reproducer: NAME.failed, numbered where a file is in its way."""
    names = (f"{target.stem}.failed{number or ''}" for number in count())
    return next(folder for folder in map(target.with_name, names) if not folder.is_file())


@contextmanager
def _reproducer(target: Path) -> Iterator[None]:
    """Writes the reproducer of a failed verification beside where the output would have gone."""
    try:
        yield
    except VerificationError as error:
        if error.reproducer is None:
            raise
        folder = error.reproducer.save(_free_folder(target))
        raise VerificationError(
            f"{error}; nothing was written but a reproducer in {folder}, please report it"
        ) from error
