"""The application: what all commands have in common."""

from typing import Annotated

from cyclopts import App, ArgumentCollection, Parameter, Token

from onnxtrim.cli.speech import Speech
from onnxtrim.config import DataConfig

__all__ = ["Reading", "Speaking", "Typed", "app"]

Reading = Annotated[DataConfig | None, Parameter(name="*", consume_multiple=True)]
Speaking = Annotated[Speech | None, Parameter(name="*")]
Typed = Annotated[tuple[str, ...], Parameter(name="--typed", show=False)]
"""The options that were typed: what is typed goes before a recipe, and a recipe before defaults."""


def _note_typed(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Tells a command that asks for it which options were typed."""
    names = [argument.name for argument in arguments if argument.tokens]
    for argument in arguments:
        if argument.name == "--typed":
            for index, name in enumerate(names):
                argument.append(Token(value=name, source="typed", index=index))


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
    config=_note_typed,
)
