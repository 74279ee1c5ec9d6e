"""Einsum: letters of the result pass through, those that a constant is summed over can be cut."""

import numpy as np
import pytest
from cutting import Analysed, analysed

from onnxtrim.channels import Code
from onnxtrim.channels.relations import Ids
from onnxtrim.selection import make_plan
from onnxtrim.surgery import cut, verify


def mixed(equation: str, shape: tuple[int, ...], *, swapped: bool = False) -> Analysed:
    """Returns conv (4 channels) -> einsum with a constant (3 results) -> conv."""
    operands = "w, h" if swapped else "h, w"
    return analysed(
        "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
        f"""
        [first] h = Conv (x, w1)
        [mix] m = Einsum <equation = "{equation}"> ({operands})
        [last] y = Conv (m, w2)
        """,
        w1=(4, 3, 1, 1), w=shape, w2=(2, 3, 1, 1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("equation", "shape", "swapped", "after"),
    [
        ("nchw,mc->nmhw", (3, 4), False, (2, 3)),
        ("nchw, cm -> nmhw", (4, 3), False, (3, 2)),
        ("mc,nchw->nmhw", (3, 4), True, (2, 3)),
        ("nchw,hcm->nmhw", (5, 4, 3), False, (5, 3, 2)),
    ],
)
def test_both_sides_of_a_constant_can_be_cut(
    equation: str, shape: tuple[int, ...], swapped: bool, after: tuple[int, ...]
) -> None:
    case = mixed(equation, shape, swapped=swapped)
    assert {name: group.width for name, group in case.groups.items()} == {"first": 4, "mix": 3}
    sizes = case.sizes_after(case.units("h", 1, 1), case.units("m", 1, 2))
    assert sizes == {"w1": (3, 3, 1, 1), "w": after, "w2": (2, 2, 1, 1)}


def test_a_letter_of_all_three_goes_from_all_three() -> None:
    case = analysed(
        "(float[N,3,5,6] x) => (float[N,2,5,6] y)",
        """
        [first] h = Conv (x, w1)
        [scale] m = Einsum <equation = "nchw,c->nchw"> (h, w)
        [last] y = Conv (m, w2)
        """,
        w1=(4, 3, 1, 1), w=(4,), w2=(2, 4, 1, 1),
    )  # fmt: skip
    assert case.weights("scale") == ()
    assert case.pattern(("h", 1), ("w", 0), ("m", 1)) == [[0, 1, 2, 3]] * 3
    assert case.sizes_after(case.units("h", 1, 0, 3)) == {
        "w1": (2, 3, 1, 1), "w": (2,), "w2": (2, 2, 1, 1),
    }  # fmt: skip


def test_without_an_arrow_the_result_is_in_alphabetical_order() -> None:
    case = analysed(
        "(float[N,5] x) => (float[2,N] y)",
        """
        [first] h = MatMul (x, w1)
        [mix] m = Einsum <equation = "nc,cb"> (h, w)
        [last] y = MatMul (w2, m)
        """,
        w1=(5, 4), w=(4, 3), w2=(2, 3),
    )  # fmt: skip
    assert case.sizes_after(case.units("h", 1, 1), case.units("m", 0, 2)) == {
        "w1": (5, 3), "w": (3, 2), "w2": (2, 2),
    }  # fmt: skip


def test_two_letters_of_one_constant_are_read_at_once() -> None:
    case = analysed(
        "(float[N,3,5,6] x) => (float[N,2] y)",
        """
        [p] p = Conv (x, w1)
        [q] q = Conv (x, w2)
        [mix] y = Einsum <equation = "nchw,ndhw,cdm->nm"> (p, q, w)
        """,
        w1=(4, 3, 1, 1), w2=(5, 3, 1, 1), w=(4, 5, 2),
    )  # fmt: skip
    gone = case.units("p", 1, 0), case.units("q", 1, 1, 4)
    assert case.sizes_after(*gone) == {"w1": (3, 3, 1, 1), "w2": (3, 3, 1, 1), "w": (3, 3, 2)}
    assert_proven(case, *gone)


def test_every_one_of_several_constants_reads_and_makes() -> None:
    case = analysed(
        "(float[N,3] x) => (float[N,3] y)",
        """
        [first] h = MatMul (x, w1)
        [mix] m = Einsum <equation = "nc,cd,dk->nk"> (h, u, v)
        [last] y = MatMul (m, w2)
        """,
        w1=(3, 4), u=(4, 5), v=(5, 6), w2=(6, 3),
    )  # fmt: skip
    assert [(w.value.name, w.writes, w.reads) for w in case.weights("mix")] == [
        ("u", None, 0), ("u", None, 1), ("v", 1, None),
    ]  # fmt: skip
    gone = case.units("h", 1, 2), case.units("m", 1, 0, 5)
    assert case.sizes_after(*gone) == {"w1": (3, 3), "u": (3, 5), "v": (5, 4), "w2": (4, 3)}
    assert_proven(case, *gone)


def assert_proven(case: Analysed, *gone: Ids) -> None:
    """Fails unless the proof before writing holds too: it masks by the weights of the rule."""
    removed = np.unique(np.concatenate(gone))
    plan = make_plan(case.channels, case.model.graph.initializers, removed, "")
    thinner = cut(case.model, case.channels, plan)
    verify(case.model, thinner, case.channels, removed, case.inputs(), 2)


class TestFrozen:
    """What no weight can drop stays."""

    def test_computed_operands_that_are_summed_over(self) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,5,5] y)",
            """
            [a] p = Conv (x, w1)
            [b] q = Conv (x, w2)
            [mix] y = Einsum <equation = "nchw,nciw->nhi"> (p, q)
            """,
            w1=(4, 3, 1, 1), w2=(4, 3, 1, 1),
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["a"]
        assert (reason.code, reason.node) == (Code.MIXED, "mix")
        assert reason.sentence == "axis 'c' is summed over, and no weight reads it"
        assert case.weights("mix") == ()

    @pytest.mark.parametrize(
        ("equation", "result"), [("n...,mc->n...m", "N,4,5,5,3"), ("ncii,mc->nmi", "N,3,5")]
    )
    def test_what_is_not_plain(self, equation: str, result: str) -> None:
        case = analysed(
            f"(float[N,3,5,5] x) => (float[{result}] y)",
            f"""
            [first] h = Conv (x, w1)
            [mix] m = Einsum <equation = "{equation}"> (h, w)
            y = Neg (m)
            """,
            w1=(4, 3, 1, 1), w=(3, 4),
        )  # fmt: skip
        assert case.groups == {}
        assert case.reasons["first"].node == "mix"

    def test_a_sum_over_one_operand(self) -> None:
        case = analysed(
            "(float[N,3,5,6] x) => (float[N,5,6] y)",
            """
            [first] h = Conv (x, w1)
            [sum] y = Einsum <equation = "nchw->nhw"> (h)
            """,
            w1=(4, 3, 1, 1),
        )  # fmt: skip
        assert case.reasons["first"].node == "sum"
        assert case.weights("sum") == ()

    def test_a_constant_that_is_summed_over_alone(self) -> None:
        case = analysed(
            "(float[N,3] x) => (float[N,3] y, float[3,2] z)",
            """
            [first] h = MatMul (x, w)
            [last] y = MatMul (h, w2)
            [sum] z = Einsum <equation = "ab,cd->ad"> (w, v)
            """,
            w=(3, 4), w2=(4, 3), v=(5, 2),
        )  # fmt: skip
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "sum")
        assert reason.sentence == "axis 'b' is summed over, and no weight reads it"

    def test_a_constant_that_stands_twice(self) -> None:
        case = analysed(
            "(float[N,3] x) => (float[N] y)",
            """
            [first] h = MatMul (x, w1)
            [mix] y = Einsum <equation = "nc,cd,ed->n"> (h, w, w)
            """,
            w1=(3, 4), w=(4, 5),
        )  # fmt: skip
        assert case.weights("mix") == ()
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "mix")
        assert reason.sentence == "axis 'c' is summed over, and no weight reads it"


def test_macs_are_the_product_of_all_sizes() -> None:
    case = mixed("nchw,mc->nmhw", (3, 4))
    assert case.macs("mix", h=(2, 4, 5, 6), w=(3, 4), m=(2, 3, 5, 6)) == 2 * 4 * 5 * 6 * 3
