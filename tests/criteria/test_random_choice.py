"""Random scores: from the seed and the name of the group, and from nothing else."""

import zlib

import numpy as np
from views import STREAM, STREAM_WEIGHTS, view_of

from onnxtrim.criteria.random_choice import RandomChoice

ANY = RandomChoice()


def test_the_figures_are_uniform_from_seed_and_name() -> None:
    expected = np.random.default_rng([7, zlib.crc32(b"stem")]).random(3)
    scores = ANY.score(view_of(STREAM, STREAM_WEIGHTS, "stem", seed=7))
    assert scores.tolist() == [expected.tolist()]


def test_another_seed_gives_other_figures() -> None:
    rows = [
        ANY.score(view_of(STREAM, STREAM_WEIGHTS, "out1", seed=seed))[0].tolist()
        for seed in range(4)
    ]
    assert len({tuple(row) for row in rows}) == 4


def test_groups_of_one_width_get_figures_of_their_own() -> None:
    rows = [
        ANY.score(view_of(STREAM, STREAM_WEIGHTS, name))[0].tolist() for name in ("out1", "out2")
    ]
    assert len(rows[0]) == len(rows[1]) == 5
    assert rows[0] != rows[1]


def test_weights_do_not_matter() -> None:
    other = {name: array * 2 + 1 for name, array in STREAM_WEIGHTS.items()}
    scores = [ANY.score(view_of(STREAM, weights, "stem")) for weights in (STREAM_WEIGHTS, other)]
    assert scores[0].tolist() == scores[1].tolist()
