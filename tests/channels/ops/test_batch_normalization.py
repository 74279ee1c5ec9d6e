"""BatchNormalization: four vectors that go with the channels."""

import numpy as np
import pytest
from cutting import Analysed, Given, analysed, initializers

from onnxtrim.channels import Code, WeightUse

VARIANCE = np.array([0.5, 1.5, 2.5, 0.25], dtype=np.float32)


def normalised(
    opset: int = 17,
    outputs: str = "n",
    attributes: str = "",
    results: str = "float[N,2,5,5] y",
    **vectors: Given,
) -> Analysed:
    """Returns conv -> BatchNormalization -> conv over four channels."""
    return analysed(
        f"(float[N,3,5,5] x) => ({results})",
        f"""
        [first] h = Conv (x, w1)
        [norm] {outputs} = BatchNormalization {attributes} (h, scale, shift, mean, var)
        [last] y = Conv (n, w2)
        """,
        {"scale": (4,), "shift": (4,), "mean": (4,), "var": VARIANCE, **vectors},
        opset=opset,
        w1=(4, 3, 1, 1),
        w2=(2, 4, 1, 1),
    )


def test_the_four_vectors_belong_to_the_channels() -> None:
    keys = ("h", 1), ("scale", 0), ("shift", 0), ("mean", 0), ("var", 0), ("n", 1), ("w2", 1)
    assert normalised().pattern(*keys) == [[0, 1, 2, 3]] * 7


@pytest.mark.parametrize("opset", [7, 9, 14, 15, 21])
def test_of_the_four_the_first_scales_the_channels(opset: int) -> None:
    group = normalised(opset).groups["first"]
    assert group.scales == (WeightUse("norm", "scale", 0),)
    assert "norm" not in {use.node for use in (*group.writers, *group.readers)}


def test_a_scale_that_is_computed_is_no_weight() -> None:
    case = analysed(
        "(float[N,3,5,5] x, float[4] given) => (float[N,2,5,5] y)",
        """
        [first] h = Conv (x, w1)
        [norm] n = BatchNormalization (h, given, shift, mean, var)
        [last] y = Conv (n, w2)
        """,
        w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), shift=(4,), mean=(4,), var=VARIANCE,
    )  # fmt: skip
    [group] = case.channels.frozen_groups[:1]
    assert (group.name, group.scales) == ("first", ())


@pytest.mark.parametrize("opset", [7, 9, 14, 15, 21])
def test_cutting_two_of_four_is_exact(opset: int) -> None:
    case = normalised(opset)
    thinner = initializers(case.cut(case.units("h", 1, 1, 3)))
    assert {name: thinner[name].shape for name in ("scale", "shift", "mean", "var")} == {
        "scale": (2,),
        "shift": (2,),
        "mean": (2,),
        "var": (2,),
    }
    assert thinner["var"].tolist() == [0.5, 2.5]


def test_a_channel_that_the_shift_alone_makes_is_not_zero_and_still_exact() -> None:
    # scale 0: channel 1 is 5 everywhere, which the reader must lose with it
    case = normalised(scale=np.array([1, 0, 1, 1], np.float32), shift=np.full(4, 5, np.float32))
    assert case.sizes_after(case.units("h", 1, 1))["w2"] == (2, 3, 1, 1)


def test_statistics_that_it_puts_out_are_per_channel_too() -> None:
    case = analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y, float[2] total)",
        """
        [first] h = Conv (x, w1)
        [norm] n, m, v = BatchNormalization <training_mode = 1> (h, scale, shift, mean, var)
        [last] y = Conv (n, w2)
        [sum] total = MatMul (v, w3)
        """,
        w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), w3=(4, 2),
        scale=(4,), shift=(4,), mean=(4,), var=VARIANCE,
    )  # fmt: skip
    assert case.pattern(("h", 1), ("m", 0), ("v", 0), ("w3", 0)) == [[0, 1, 2, 3]] * 4
    sizes = case.sizes_after(case.units("h", 1, 0))
    assert (sizes["w2"], sizes["w3"], sizes["var"]) == ((2, 3, 1, 1), (3, 2), (3,))


def test_statistics_may_be_left_out() -> None:
    case = analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y, float[2] total)",
        """
        [first] h = Conv (x, w1)
        [norm] n, , v = BatchNormalization <training_mode = 1> (h, scale, shift, mean, var)
        [last] y = Conv (n, w2)
        [sum] total = MatMul (v, w3)
        """,
        w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), w3=(4, 2),
        scale=(4,), shift=(4,), mean=(4,), var=VARIANCE,
    )  # fmt: skip
    # the runtime itself dies of such a model, so that no cut can be tried here
    assert case.pattern(("h", 1), ("mean", 0), ("v", 0), ("w3", 0)) == [[0, 1, 2, 3]] * 4
    assert case.groups["first"].width == 4


def test_statistics_that_are_graph_outputs_freeze_the_channels() -> None:
    case = normalised(
        outputs="n, running_mean, running_var",
        attributes="<training_mode = 1>",
        results="float[N,2,5,5] y, float[4] running_mean",
    )
    assert case.groups == {}
    assert str(case.reasons["first"]) == ("graph output: running_mean is an output of the graph")


def test_after_a_fully_connected_layer() -> None:
    case = analysed(
        "(float[3,5] x) => (float[3,2] y)",
        """
        [first] h = Gemm (x, w1)
        [norm] n = BatchNormalization (h, scale, shift, mean, var)
        [last] y = Gemm (n, w2)
        """,
        w1=(5, 4), w2=(4, 2), scale=(4,), shift=(4,), mean=(4,), var=VARIANCE,
    )  # fmt: skip
    assert case.sizes_after(case.units("h", 1, 2)) == {
        "w1": (5, 3), "w2": (3, 2), "scale": (3,), "shift": (3,), "mean": (3,), "var": (3,),
    }  # fmt: skip


def test_vectors_shared_by_two_normalisations_tie_their_channels() -> None:
    case = analysed(
        "(float[N,3,5,5] x) => (float[N,2,5,5] y)",
        """
        [first] h = Conv (x, w1)
        [norm] n = BatchNormalization (h, scale, shift, mean, var)
        [second] g = Conv (n, w2)
        [again] m = BatchNormalization (g, scale, shift, mean, var)
        [last] y = Conv (m, w3)
        """,
        w1=(4, 3, 1, 1), w2=(4, 4, 1, 1), w3=(2, 4, 1, 1),
        scale=(4,), shift=(4,), mean=(4,), var=VARIANCE,
    )  # fmt: skip
    assert case.pattern(("h", 1), ("w2", 1), ("w2", 0), ("m", 1)) == [[0, 1, 2, 3]] * 4
    assert case.sizes_after(case.units("h", 1, 0)) == {
        "w1": (3, 3, 1, 1), "w2": (3, 3, 1, 1), "w3": (2, 3, 1, 1),
        "scale": (3,), "shift": (3,), "mean": (3,), "var": (3,),
    }  # fmt: skip


def test_over_the_input_of_the_graph_it_is_frozen_with_it() -> None:
    case = analysed(
        "(float[N,4,5,5] x) => (float[N,2,5,5] y)",
        """
        [norm] n = BatchNormalization (x, scale, shift, mean, var)
        [deep] d = Conv <group = 4> (n, wd)
        [last] y = Conv (d, w2)
        """,
        wd=(4, 1, 1, 1), w2=(2, 4, 1, 1), scale=(4,), shift=(4,), mean=(4,), var=VARIANCE,
    )  # fmt: skip
    assert case.groups == {}
    assert case.reasons["deep"].code == Code.GRAPH_INPUT


def test_rows_that_statistics_are_taken_over_are_frozen() -> None:
    # g = h' w2 has the channels of `first` for rows: training statistics are means over them
    case = analysed(
        "(float[3,5] x) => (float[4,2] y)",
        """
        [first] h = Gemm (x, w1)
        [second] g = Gemm <transA = 1> (h, w2)
        [norm] n, m, v = BatchNormalization <training_mode = 1> (g, scale, shift, mean, var)
        [third] y = Gemm <transA = 1> (n, w3)
        """,
        w1=(5, 6),
        w2=(3, 4),
        w3=(6, 2),
        scale=(4,),
        shift=(4,),
        mean=(4,),
        var=VARIANCE,
    )
    assert "first" not in case.groups
    assert case.reasons["first"].node == "norm"
    assert case.reasons["first"].code == Code.MIXED
    assert case.reasons["first"].sentence == "statistics are taken over axis 0 of g"


def test_rows_pass_where_no_statistics_are_taken() -> None:
    case = analysed(
        "(float[3,5] x) => (float[4,2] y)",
        """
        [first] h = Gemm (x, w1)
        [second] g = Gemm <transA = 1> (h, w2)
        [norm] n = BatchNormalization (g, scale, shift, mean, var)
        [third] y = Gemm <transA = 1> (n, w3)
        """,
        w1=(5, 6), w2=(3, 4), w3=(6, 2),
        scale=(4,), shift=(4,), mean=(4,), var=VARIANCE,
    )  # fmt: skip
    assert case.pattern(("h", 1), ("g", 0), ("n", 0), ("w3", 0)) == [[0, 1, 2, 3, 4, 5]] * 4
    assert case.sizes_after(case.units("h", 1, 0, 5)) == {"w1": (5, 4), "w3": (4, 2)}


class TestStatisticsOfEveryPosition:
    """Up to opset 8, `spatial = 0` gives every position statistics of its own."""

    @pytest.mark.parametrize("opset", [7, 8])
    def test_the_channels_are_frozen(self, opset: int) -> None:
        wide = (4, 5, 5)
        case = normalised(
            opset, attributes="<spatial = 0>", scale=wide, shift=wide, mean=wide, var=wide
        )
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "norm")
        assert reason.sentence == "every position of h has its own statistics"

    @pytest.mark.parametrize("opset", [7, 8])
    def test_so_are_channels_on_a_spatial_axis(self, opset: int) -> None:
        wide = (1, 4, 5)
        case = analysed(
            "(float[N,3,1,5] x) => (float[N,2,1,5] y)",
            """
            [first] h = Conv (x, w1)
            t = Transpose <perm = [0, 2, 1, 3]> (h)
            [norm] n = BatchNormalization <spatial = 0> (t, scale, shift, mean, var)
            u = Transpose <perm = [0, 2, 1, 3]> (n)
            [last] y = Conv (u, w2)
            """,
            opset=opset,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), scale=wide, shift=wide, mean=wide, var=wide,
        )  # fmt: skip
        assert case.groups == {}
        reason = case.reasons["first"]
        assert (reason.code, reason.node) == (Code.MIXED, "norm")
        assert reason.sentence == "every position of t has its own statistics"

    @pytest.mark.parametrize("opset", [7, 8])
    def test_spatial_is_the_default(self, opset: int) -> None:
        case = normalised(opset, attributes="<spatial = 1>")
        assert case.sizes_after(case.units("h", 1, 0))["scale"] == (3,)

    def test_channels_on_a_spatial_axis_pass_otherwise(self) -> None:
        case = analysed(
            "(float[N,3,1,5] x) => (float[N,2,1,5] y)",
            """
            [first] h = Conv (x, w1)
            t = Transpose <perm = [0, 2, 1, 3]> (h)
            [norm] n = BatchNormalization (t, scale, shift, mean, var)
            u = Transpose <perm = [0, 2, 1, 3]> (n)
            [last] y = Conv (u, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), scale=(1,), shift=(1,), mean=(1,), var=VARIANCE[:1],
        )  # fmt: skip
        assert case.sizes_after(case.units("h", 1, 3)) == {
            "w1": (3, 3, 1, 1), "w2": (2, 3, 1, 1),
        }  # fmt: skip


def test_below_opset_7_no_rule_describes_it() -> None:
    case = normalised(6)
    reason = case.reasons["first"]
    assert (reason.code, reason.node) == (Code.UNKNOWN_OPERATOR, "norm")
    assert reason.sentence == "no rule describes ai.onnx.BatchNormalization (opset 6)"
