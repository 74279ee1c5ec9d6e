"""Deliberately broken rules by theme, each with a network that shows the fault."""

from teeth import (
    convolutions,
    elementwise,
    layout,
    normalizations,
    positions,
    products,
    space,
)
from teeth.bite import Case

__all__ = ["CASES"]

THEMES = (convolutions, elementwise, layout, normalizations, positions, products, space)

CASES: dict[str, Case] = {name: case for theme in THEMES for name, case in theme.CASES.items()}
