"""The decision as data: which indices stay on which axis of which tensor. JSON both ways."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnxtrim.channels import ChannelMap
from onnxtrim.channels.relations import Ids
from onnxtrim.errors import PlanError

__all__ = ["SCHEMA", "PlannedGroup", "PrunePlan", "composed", "make_plan", "removed_units"]

SCHEMA = "onnxtrim.plan/1"


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    """What becomes of one group: its name, its width before, and the units that stay."""

    name: str
    width: int
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What stays of every initializer that is cut.

    Attributes:
        model_sha256: the model it was made for; another checkpoint of the same graph will do.
        initializers: kept indices by initializer name and axis; only axes that lose some.
        attributes: what else changed: `{node: {attribute or operand: new value}}`.
        groups: the same decision group by group, for people.
    """

    model_sha256: str
    initializers: Mapping[str, Mapping[int, tuple[int, ...]]] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    groups: tuple[PlannedGroup, ...] = ()

    def to_json(self) -> str:
        """Returns the plan as JSON text."""
        document = {
            "schema": SCHEMA,
            "model_sha256": self.model_sha256,
            "initializers": {
                name: {str(axis): list(kept) for axis, kept in axes.items()}
                for name, axes in self.initializers.items()
            },
            "attributes": {node: dict(changed) for node, changed in self.attributes.items()},
            "groups": [
                {"name": g.name, "width": g.width, "kept": list(g.kept)} for g in self.groups
            ],
        }
        return json.dumps(document, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "PrunePlan":
        """Returns the plan in `text`.

        Raises:
            PlanError: `text` is no JSON, or not a plan of a schema known here.
        """
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise PlanError(f"the plan is not JSON (line {error.lineno}: {error.msg})") from error
        schema = document.get("schema") if isinstance(document, dict) else None
        if schema != SCHEMA:
            raise PlanError(f"the plan has schema {schema!r}; this version reads {SCHEMA!r}")
        try:
            return cls(
                model_sha256=str(document.get("model_sha256", "")),
                initializers={
                    str(name): {int(axis): _indices(kept) for axis, kept in axes.items()}
                    for name, axes in document["initializers"].items()
                },
                attributes={k: dict(v) for k, v in document.get("attributes", {}).items()},
                groups=tuple(
                    PlannedGroup(str(g["name"]), int(g["width"]), _indices(g["kept"]))
                    for g in document.get("groups", [])
                ),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PlanError(f"the plan is damaged: {error!r}") from error


def make_plan(
    channel_map: ChannelMap, initializers: Mapping[str, object], removed: Ids, digest: str
) -> PrunePlan:
    """Returns the plan that removes the units `removed`, for a model with these initializers."""
    kept = channel_map.without(removed)
    cut = {name: kept.cut_axes(name) for name in initializers}
    return PrunePlan(
        model_sha256=digest,
        initializers={
            name: {axis: tuple(indices.tolist()) for axis, indices in axes.items()}
            for name, axes in sorted(cut.items())
            if axes
        },
        groups=tuple(
            PlannedGroup(g.name, g.width, tuple(np.flatnonzero(kept.stays[g.units]).tolist()))
            for g in channel_map.groups
            if not kept.stays[g.units].all()
        ),
    )


def removed_units(channel_map: ChannelMap, plan: PrunePlan) -> Ids:
    """Returns the units that `plan` removes, sorted.

    One axis of one initializer is enough to name a unit; the axes that must follow do.

    Raises:
        PlanError: an initializer or axis is unknown or of another size, a unit is frozen, or the
            plan keeps one end of a unit whose other end it removes.
    """
    free = np.zeros(channel_map.unit_count, dtype=np.bool_)
    for group in channel_map.groups:
        free[group.units] = True
    gone = np.zeros(channel_map.unit_count, dtype=np.bool_)
    for name, axis, kept in _entries(plan):
        units = channel_map.axes.get((name, axis))
        if units is None:
            raise PlanError(
                f"the plan cuts axis {axis} of {name!r}, which carries no channels here"
            )
        if any(not 0 <= i < len(units) for i in kept) or sorted(set(kept)) != list(kept):
            raise PlanError(
                f"the plan keeps indices of axis {axis} of {name!r} that are not increasing "
                f"figures from 0 to {len(units) - 1}"
            )
        dropped = np.delete(units, kept)
        if not free[dropped].all():
            raise PlanError(
                f"the plan cuts frozen channels on axis {axis} of {name!r}; see inspect"
            )
        gone[dropped] = True
    for name, axis, kept in _entries(plan):
        left = np.flatnonzero(~gone[channel_map.axes[name, axis]])
        if left.tolist() != list(kept):
            raise PlanError(
                f"the plan keeps channels on axis {axis} of {name!r} that it removes elsewhere"
            )
    named = [(name, axis) for name, axis, _ in _entries(plan)]
    for name, axis in [*named, *channel_map.axes]:
        if gone[channel_map.axes[name, axis]].all():
            raise PlanError(
                f"the plan leaves nothing on axis {axis} of {name!r}; keep one at least"
            )
    return np.flatnonzero(gone)


def composed(first: PrunePlan, second: PrunePlan) -> PrunePlan:
    """Returns the plan for the model of `first` that does what both do in turn.

    It says so of initializers alone; `make_plan` completes it.
    """
    found: dict[str, dict[int, tuple[int, ...]]] = {}
    for name in sorted({*first.initializers, *second.initializers}):
        found[name] = dict(first.initializers.get(name, {}))
        for axis, kept in second.initializers.get(name, {}).items():
            before = found[name].get(axis)
            found[name][axis] = kept if before is None else tuple(before[index] for index in kept)
    return PrunePlan(first.model_sha256, found)


def _indices(value: object) -> tuple[int, ...]:
    """Returns a list of whole numbers from JSON.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, list) or not all(type(index) is int for index in value):
        raise TypeError(f"{value!r} is no list of indices")
    return tuple(value)


def _entries(plan: PrunePlan) -> list[tuple[str, int, tuple[int, ...]]]:
    """Returns (initializer, axis, kept indices) for every axis that the plan cuts."""
    return [
        (name, axis, kept)
        for name, axes in plan.initializers.items()
        for axis, kept in axes.items()
    ]
