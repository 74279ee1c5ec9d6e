"""How much is said, and in which form: tables or JSON, progress, or nothing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from onnxtrim.errors import UsageError

if TYPE_CHECKING:
    from onnxtrim.calibration import Progress
    from onnxtrim.report import Document

__all__ = ["Speech", "progress_of", "say"]

_PIPED_WIDTH = 120


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


def say(document: "Document", speech: Speech) -> None:
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
def progress_of(speech: Speech) -> Iterator["Progress | None"]:
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
