"""The order in which units go: against brute force, and what hand-made readers must give."""

import numpy as np
import numpy.typing as npt
import pytest

from onnxtrim.criteria.elimination import ReaderView, eliminated

Floats = npt.NDArray[np.float64]
RNG = np.random.default_rng(9)


def reader(units: int, features: int, outputs: int = 3) -> ReaderView:
    size = units * features
    root = RNG.normal(size=(size, size))
    places = RNG.permutation(size).reshape(units, features)
    return ReaderView(RNG.normal(size=(outputs, size)), root @ root.T / size, places)


def remaining_error(view: ReaderView, gone: list[int]) -> float:
    """Returns the mean squared error of the best weights without some units, by least squares."""
    c = view.covariance + 1e-4 * np.trace(view.covariance) / len(view.covariance) * np.eye(
        len(view.covariance)
    )
    out = view.places[gone].ravel()
    stay = np.setdiff1d(np.arange(len(c)), out)
    schur = c[np.ix_(out, out)] - c[np.ix_(out, stay)] @ np.linalg.solve(
        c[np.ix_(stay, stay)], c[np.ix_(stay, out)]
    )
    lost = view.matrix[:, out]
    made = np.einsum("of,fg,og->", view.matrix, view.covariance, view.matrix)
    return float(np.trace(lost @ schur @ lost.T) / made)


@pytest.mark.parametrize(("units", "features"), [(5, 1), (4, 3)])
def test_each_goes_that_adds_least_to_what_is_left_of_the_error(units: int, features: int) -> None:
    views = [reader(units, features), reader(units, features)]
    scores = eliminated(views)
    gone: list[int] = []
    errors = [0.0]
    for _ in range(units - 1):
        tries = {
            u: sum(remaining_error(view, [*gone, u]) for view in views)
            for u in range(units)
            if u not in gone
        }
        gone.append(min(tries, key=lambda u: tries[u]))
        errors.append(tries[gone[-1]])
    assert list(np.argsort(scores, kind="stable")[: units - 1]) == gone
    steps = np.maximum.accumulate(np.diff(errors))
    np.testing.assert_allclose(np.sort(scores)[: units - 1], steps, rtol=1e-6)


def test_a_copy_costs_nothing_and_what_stands_alone_goes_last() -> None:
    """Of features a, a and b, each of variance 1, one a goes for free; then b is worth 1/5."""
    covariance = np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])
    view = ReaderView(np.array([[1.0, 1, 1]]), covariance, np.arange(3)[:, None])
    scores = eliminated([view])
    assert min(scores[:2]) < 1e-3
    assert scores[2] == pytest.approx(1 / 5, rel=1e-2)
    assert max(scores[:2]) >= scores[2]


def test_it_does_not_matter_in_which_order_units_come() -> None:
    view = reader(6, 2)
    order = RNG.permutation(6)
    turned = ReaderView(view.matrix, view.covariance, view.places[order])
    np.testing.assert_allclose(eliminated([turned]), eliminated([view])[order], rtol=1e-9)


def test_units_that_are_never_read_score_nothing() -> None:
    view = reader(4, 1)
    view.matrix[:, view.places[1]] = 0.0
    independent = ReaderView(view.matrix, np.diag(np.arange(1.0, 5.0)), view.places)
    scores = eliminated([independent])
    assert scores[1] == 0.0
    assert (np.delete(scores, 1) > 0).all()
