"""Writes docs/operators.md: every operator that a rule describes, from the table of rules itself.

python tools/support_table.py
"""

import inspect
from pathlib import Path

from onnxtrim.channels.ops import RULES, OpRule

TARGET = Path(__file__).resolve().parents[1] / "docs" / "operators.md"

HEAD = """# Operators

Made by `tools/support_table.py`; do not edit.

A number is the version of the operator set from which on an entry holds, until a later entry of the
same operator takes over. What is not listed, what lies in another domain and what has a body (If,
Loop, Scan) is a barrier: everything it touches stays, and `onnxtrim inspect` names it.

| family | operators | |
|---|---|---|
"""


def families() -> dict[str, list[OpRule]]:
    """Returns the rules by the file that they stand in, both in alphabetical order."""
    found: dict[str, list[OpRule]] = {}
    for rule in sorted(RULES, key=lambda rule: type(rule).__module__):
        found.setdefault(type(rule).__module__.rsplit(".", 1)[1], []).append(rule)
    return found


def row(file: str, rules: list[OpRule]) -> str:
    """Returns the line of one family."""
    module = inspect.getmodule(type(rules[0]))
    summary = str(inspect.getdoc(module)).split("\n\n")[0].replace("\n", " ")
    operators = sorted((op.name, op.since) for rule in rules for op in rule.ops)
    names = ", ".join(f"{name} {since}" for name, since in operators)
    return f"| {summary} | {names} | [{file}.py](../onnxtrim/channels/ops/{file}.py) |\n"


def table() -> str:
    """Returns the page."""
    return HEAD + "".join(row(file, rules) for file, rules in families().items())


if __name__ == "__main__":
    TARGET.write_text(table(), encoding="utf-8")
    print(f"{TARGET}: {len({op.name for rule in RULES for op in rule.ops})} operators")
