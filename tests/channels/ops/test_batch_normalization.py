"""BatchNormalization: four vectors that go with the channels."""

import numpy as np
import pytest
from cutting import Analysed, Given, analysed, initializers

from onnxtrim.channels import Code

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
