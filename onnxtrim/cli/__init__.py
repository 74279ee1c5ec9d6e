"""The command line: argv -> configuration -> api -> text and exit status."""

from onnxtrim.cli.commands import app, main

__all__ = ["app", "main"]
