"""Which axis carries the units where a Reshape splits or merges several: the one that frees most.

Splitting h * d features into (h, d) heads leaves two axes, and only whole rows or whole columns can
go. Both are exact; which one the rest of the graph allows is seen by trying. Every fork takes its
first option, then its second, and so on; forks that share units (query, key and value) then take
together the option that leaves most of them free, and among equals the one with more free units.
"""

from collections.abc import Callable, Mapping

import numpy as np

from onnxtrim.channels.components import components
from onnxtrim.channels.relations import Ids, Relations
from onnxtrim.channels.solve import Solution, solve

__all__ = ["settle"]

_Key = tuple[str, int]
_Trial = dict[_Key, tuple[Ids, Ids]]
"""The units at stake at each fork, and those among them that some weight makes and that can go."""

_FEWEST = 2
"""A fork with fewer free units is as good as frozen: one must stay."""


def settle(relate: Callable[[Mapping[_Key, int], int], Relations]) -> tuple[Relations, Solution]:
    """Returns the relations, and their solution, with the best choice at every fork.

    `relate` states all relations anew, for choices by key and one for all other forks.
    """
    first = relate({}, 0)
    solution = solve(first)
    options = max((fork.options for fork in first.forks), default=1)
    if options == 1:
        return first, solution
    trials = [_trial(first, solution)]
    for option in range(1, options):
        relations = relate({}, option)
        trials.append(_trial(relations, solve(relations)))
    chosen = _best(trials)
    if any(chosen.values()):
        first = relate(chosen, 0)
        solution = solve(first)
    return first, solution


def _trial(relations: Relations, solution: Solution) -> _Trial:
    """Returns what is free at each fork; units that no weight makes are nothing to cut."""
    made = np.zeros(len(solution.reasons), dtype=np.bool_)
    for ids in relations.written:
        made[solution.unit_of[ids]] = True
    found = {}
    for fork in relations.forks:
        free = solution.free(fork.ids)
        found[fork.key] = np.unique(solution.unit_of[fork.ids]), free[made[free]]
    return found


def _best(trials: list[_Trial]) -> dict[_Key, int]:
    """Returns the option that each fork takes."""
    keys = sorted({key for trial in trials for key in trial})
    cluster = _clusters(keys, trials)
    chosen: dict[_Key, int] = {}
    for root in np.unique(cluster):
        members = [key for key, own in zip(keys, cluster, strict=True) if own == root]
        scores = [_score([trial[key][1] for key in members if key in trial]) for trial in trials]
        chosen |= dict.fromkeys(members, scores.index(max(scores)))
    return chosen


def _score(free: list[Ids]) -> tuple[int, int]:
    """Returns how many forks are free, and how many units."""
    alive = [units for units in free if len(units) >= _FEWEST]
    return len(alive), len(np.unique(np.concatenate(alive))) if alive else 0


def _clusters(keys: list[_Key], trials: list[_Trial]) -> Ids:
    """Returns the cluster of each fork: forks that share a unit in some trial are in one."""
    number = {key: i for i, key in enumerate(keys)}
    left, right, count = [], [], len(keys)
    for trial in trials:
        for key, (units, _) in trial.items():
            left.append(np.full(len(units), number[key], dtype=np.int64))
            right.append(units + count)
        count += 1 + max((int(units.max(initial=0)) for units, _ in trial.values()), default=0)
    return components(count, np.concatenate(left), np.concatenate(right))[: len(keys)]
