"""MatMul: a fully connected layer when a constant matrix is on its right."""

import pytest
from cutting import Analysed, analysed

from onnxtrim.channels import Code


def two_layers(*batch: int) -> Analysed:
    """Returns 5 -> 4 -> 2 features over any batch axes."""
    lead = "".join(f"{size}," for size in batch)
    return analysed(
        f"(float[{lead}5] x) => (float[{lead}2] y)",
        """
        [first] p = MatMul (x, w1)
        h = Add (p, b1)
        r = Relu (h)
        [second] y = MatMul (r, w2)
        """,
        w1=(5, 4), b1=(4,), w2=(4, 2),
    )  # fmt: skip


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 3, 2)])
def test_any_number_of_batch_axes(batch: tuple[int, ...]) -> None:
    case = two_layers(*batch)
    last = len(batch)
    keys = ("w1", 1), ("b1", 0), ("p", last), ("r", last), ("w2", 0)
    assert case.pattern(*keys) == [[0, 1, 2, 3]] * 5
    assert not any(case.carries("p", axis) for axis in range(last))
    sizes = case.sizes_after(case.units("w1", 1, 1, 2))
    assert sizes == {"w1": (5, 2), "b1": (2,), "w2": (2, 2)}


def test_channels_before_the_last_axis_pass_through() -> None:
    # Conv makes channels on axis 1 of (N, 4, 6); the product works on the positions, axis 2
    case = analysed(
        "(float[N,3,6] x) => (float[N,2,5] y)",
        """
        [first] h = Conv (x, w1)
        [positions] p = MatMul (h, m)
        [last] y = Conv (p, w2)
        """,
        w1=(4, 3, 1), m=(6, 5), w2=(2, 4, 1),
    )  # fmt: skip
    assert case.pattern(("h", 1), ("p", 1), ("w2", 1)) == [[0, 1, 2, 3]] * 3
    assert case.sizes_after(case.units("h", 1, 0)) == {"w1": (3, 3, 1), "w2": (2, 3, 1)}


def test_columns_that_no_channel_axis_takes_up_are_frozen() -> None:
    # the columns of m become positions of a convolution: nobody can drop one of those
    case = analysed(
        "(float[N,3,6] x) => (float[N,2,5] y)",
        "[positions] p = MatMul (x, m) [last] y = Conv (p, w2)",
        m=(6, 5), w2=(2, 3, 1),
    )  # fmt: skip
    assert case.groups == {}
    assert case.reasons["positions"].node == "last"


class TestFrozen:
    """A product that is no layer freezes what it touches, and says so."""

    def test_two_computed_factors(self) -> None:
        case = analysed(
            "(float[2,5] x) => (float[2,2] y)",
            """
            [first] h = MatMul (x, w1)
            [other] v = MatMul (m, w2)
            [product] y = MatMul (h, v)
            """,
            w1=(5, 4), w2=(2, 2), m=(4, 2),
        )  # fmt: skip
        assert "first" not in case.groups

    @pytest.mark.parametrize(
        ("product", "result"),
        [("MatMul (left, h)", "[6,4]"), ("MatMul (h, stack)", "[2,3,4]")],
    )
    def test_a_constant_on_the_left_or_in_a_stack(self, product: str, result: str) -> None:
        case = analysed(
            f"(float[3,5] x) => (float{result} y)",
            f"[first] h = MatMul (x, w1) [product] y = {product}",
            w1=(5, 4), left=(6, 3), stack=(2, 4, 4),
        )  # fmt: skip
        assert case.groups == {}
        assert str(case.reasons["first"]) == (
            "channels are mixed: a product without a constant matrix on its right"
        )
        assert case.reasons["first"].node == "product"
        assert case.weights("product") == ()

    def test_attention_scores_freeze_both_factors(self) -> None:
        case = analysed(
            "(float[2,5] x, float[3,5] k) => (float[2,2] y)",
            """
            [first] h = MatMul (x, w1)
            [keys] g = Gemm <transA = 1> (k, wk)
            [product] s = MatMul (h, g)
            [last] y = MatMul (s, w2)
            """,
            w1=(5, 5), wk=(3, 4), w2=(4, 2),
        )  # fmt: skip
        assert {name: reason.code for name, reason in case.reasons.items()} == {
            "first": Code.MIXED,
            "keys": Code.MIXED,
            "last": Code.GRAPH_OUTPUT,
        }


class TestFigures:
    """What the rest of the program asks of a rule."""

    def test_macs_are_outputs_times_the_inner_size(self) -> None:
        assert two_layers(2, 3).macs("first", x=(2, 3, 5), p=(2, 3, 4)) == 24 * 5
        assert two_layers().macs("first", x=(5,), p=(4,)) == 4 * 5

    def test_the_weight_is_the_matrix(self) -> None:
        weight = two_layers(3).weights("first")[0]
        assert weight is not None
        assert (weight.value.name, weight.writes, weight.reads) == ("w1", 1, 0)
