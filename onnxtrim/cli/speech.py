"""How much is said, and in which form: tables or JSON, progress, or nothing."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from onnxtrim.errors import UsageError

if TYPE_CHECKING:
    from onnxtrim.finetune import TrainingSetup
    from onnxtrim.finetune.course import Pace
    from onnxtrim.report import Document
    from onnxtrim.schedule.recipe import Recipe

__all__ = ["Speech", "progress_of", "say", "say_recipes", "say_setup", "watch_of"]

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


def say_setup(setup: "TrainingSetup", speech: Speech) -> None:
    """Shows where the training runtime is and that it trains, as asked."""
    runtime = setup.runtime
    if speech.json:
        print(json.dumps(asdict(setup), indent=1, default=str))
    elif not speech.quiet:
        state = "installed" if setup.installed else "was there already"
        print(
            f"training runtime {runtime.version} {state}: "
            f"{runtime.folder or 'the onnxruntime of this environment'}, run by {runtime.python}\n"
            f"checked: one step of training took the loss from {setup.loss_before:.3f} to "
            f"{setup.loss_after:.3f}; {setup.seconds:.1f} s in all"
        )


def say_recipes(recipes: "Sequence[Recipe]", speech: Speech) -> None:
    """Shows recipes, as asked: a line each, and where they come from."""
    if speech.json:
        print(json.dumps([asdict(recipe) for recipe in recipes], indent=1))
    elif not speech.quiet:
        wide = max(len(recipe.name) for recipe in recipes)
        for recipe in recipes:
            print(f"{recipe.name:{wide}}  {recipe.summary}\n{'':{wide}}  {recipe.source}")


def watch_of(show: Callable[..., None] | None) -> "Callable[[Pace], None] | None":
    """Returns what shows how far training is, on the bars of `progress_of`."""
    if show is None:
        return None

    def watch(pace: "Pace") -> None:
        facts = f"loss {pace.loss:.4f}, rate {pace.rate:.1e}, {pace.images_s:.0f} images/s"
        show("epochs", pace.epoch - 1 + pace.batch // pace.batches, pace.epochs)
        show("batches", pace.batch, pace.batches, facts)

    return watch


@contextmanager
def progress_of(speech: Speech) -> Iterator[Callable[..., None] | None]:
    """Yields what shows progress on standard error; None where nobody watches.

    It is called with (what, done, total), and may be given facts to be shown beside.
    """
    if speech.quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int, facts: str = "") -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, description=f"{what} {facts}".strip())

        yield show
