"""Where results go: every path is looked at before the work, and written whole or not at all."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from onnxtrim.cli.speech import Speech, say
from onnxtrim.errors import LoadError, OutputError, UsageError, VerificationError

if TYPE_CHECKING:
    from onnxtrim.api import PruneResult, TuneResult
    from onnxtrim.report import Document, Report, Sensitivity

__all__ = [
    "PLOTS",
    "REPORTS",
    "check_outputs",
    "check_plots",
    "check_suffixes",
    "plots_of",
    "publish",
    "reproducer",
    "target_of",
    "write",
]

REPORTS = (".json", ".md")
PLOTS = (".png", ".svg")


def target_of(
    model: Path,
    output: Path | None,
    others: Sequence[Path],
    inputs: Sequence[Path | None],
    ending: str = "trimmed",
) -> Path:
    """Returns where the model goes, after a look at every path that will be written.

    Beside the model as NAME-ENDING.onnx, where nothing else is asked for.

    Raises:
        LoadError: the model is a folder.
        OutputError: an output cannot be written, is an input, or has the path of another one.
    """
    if model.is_dir():
        raise LoadError(f"{model}: is a folder; name the .onnx file in it")
    target = output or model.with_name(f"{model.stem}-{ending}.onnx")
    paths = [target, *others]
    if len({path.resolve() for path in paths}) < len(paths):
        raise OutputError("two outputs have the same path; give each a name of its own")
    check_outputs(paths, [model, *inputs])
    return target


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path | None]) -> None:
    """Raises OutputError where an output is an input, or cannot be written."""
    from onnxtrim.graph.save import check_writable, refuse_overwriting

    given = [path for path in inputs if path is not None]
    refuse_overwriting(outputs, given)
    if all(path.exists() for path in given):  # a missing input is the more useful thing to say
        for path in outputs:
            check_writable(path)


def check_suffixes(option: str, paths: Sequence[Path], suffixes: Sequence[str]) -> None:
    """Raises UsageError for a path in a format that there is none of."""
    for path in paths:
        if path.suffix.lower() not in suffixes:
            raise UsageError(f"{option} {path}: the suffix must be {' or '.join(suffixes)}")


def check_plots(plot: Path | None) -> list[Path]:
    """Returns the paths of pictures that are asked for.

    Raises:
        UsageError: a picture has a format that there is none of, or nothing can draw it.
    """
    if plot is None:
        return []
    check_suffixes("--plot", [plot], PLOTS)
    from onnxtrim.report.plot import require_plotting

    require_plotting()
    return [plot]


def plots_of(document: "Report | Sensitivity", plot: Path | None) -> dict[Path, str | bytes]:
    """Returns the picture of a document, where it is asked for."""
    if plot is None:
        return {}
    from onnxtrim.report.plot import plotted

    return {plot: plotted(document, "svg" if plot.suffix.lower() == ".svg" else "png")}


def write(
    result: "PruneResult | TuneResult",
    target: Path,
    reports: Sequence[Path],
    others: Mapping[Path, str | bytes],
    speech: Speech,
) -> None:
    """Writes the model, the reports and other files, then says what there is to say."""
    from onnxtrim.graph.save import atomic_write, refuse_overwriting

    refuse_overwriting([*reports, *others], result.sources)
    texts = _rendered(result.report, reports)
    _save(result, target)
    for path, text in {**texts, **others}.items():
        atomic_write(path, text)
    say(result.report, speech)
    if not speech.quiet and not speech.json:
        print(f"written: {target}")


def _save(result: "PruneResult | TuneResult", target: Path) -> None:
    """Writes the model, elsewhere where it cannot be written any more: it may be hours of work.

    Raises:
        OutputError: it is not at `target`; the message says where it is, if anywhere.
    """
    try:
        result.save(target)
    except OutputError as error:
        try:
            spare = result.save(Path(tempfile.mkdtemp(prefix="onnxtrim-"), target.name))
        except (OSError, OutputError):
            raise error from None
        raise OutputError(f"{error}; it was written to {spare}, take it from there") from error


def publish(document: "Document", reports: Sequence[Path], speech: Speech) -> None:
    """Writes the reports and shows `document` as asked."""
    from onnxtrim.graph.save import atomic_write

    for path, text in _rendered(document, reports).items():
        atomic_write(path, text)
    say(document, speech)


def _rendered(document: "Document", reports: Sequence[Path]) -> dict[Path, str]:
    """Returns the text of every report that was asked for."""
    from onnxtrim.report import to_json, to_markdown

    return {
        path: (to_json if path.suffix.lower() == ".json" else to_markdown)(document)
        for path in reports
    }


def _free_folder(target: Path) -> Path:
    """Returns the folder for a reproducer: NAME.failed, numbered where a file is in its way."""
    names = (f"{target.stem}.failed{number or ''}" for number in count())
    return next(folder for folder in map(target.with_name, names) if not folder.is_file())


@contextmanager
def reproducer(target: Path) -> Iterator[None]:
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
