"""Upsample and Resize: an axis of scale 1 is handed on; a width among the sizes is mended."""

import numpy as np
import onnx_ir as ir
import pytest
from cutting import Analysed, Given, analysed, initializers, ints
from oracle import runtime_before

from onnxtrim.channels import Code

COUNTS_FROM_THE_END = pytest.mark.skipif(
    runtime_before(1, 27), reason="ONNX Runtime before 1.27 refuses negative axes of Resize"
)


def floats(*values: float) -> Given:
    return np.array(values, dtype=np.float32)


NONE = floats()


def resized(
    expression: str,
    given: dict[str, Given],
    opset: int,
    signature: str = "N,3,4,4",
    wide: int = 4,
) -> Analysed:
    """Returns conv (4 channels of 4 x 4) -> resize, perhaps to `wide` channels -> conv."""
    return analysed(
        f"(float[{signature}] x) => (float[{signature.split(',')[0]},2,a,b] y)",
        f"[first] h = Conv (x, w1) [up] t = {expression} [last] y = Conv (t, w2)",
        given, opset=opset, w1=(4, 3, 1, 1), w2=(2, wide, 1, 1),
    )  # fmt: skip


def assert_free(case: Analysed) -> None:
    """Fails unless all 4 channels are handed on, and two of them can go."""
    assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3]] * 2
    assert [case.carries("t", axis) for axis in (0, 2, 3)] == [False] * 3
    sizes = case.sizes_after(case.units("h", 1, 0, 2))
    assert sizes == {"w1": (2, 3, 1, 1), "w2": (2, 2, 1, 1)}


def assert_frozen(case: Analysed) -> None:
    """Fails unless the channels stay because `up` resizes them."""
    assert case.groups == {}
    reason = case.reasons["first"]
    assert (reason.code, reason.node) == (Code.MIXED, "up")
    assert reason.sentence == "axis 1 of h is resized"


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


class TestUpsample:
    """Scales are an attribute at first, then an operand."""

    @pytest.mark.parametrize("mode", ["nearest", "linear"])
    @pytest.mark.parametrize("opset", [7, 8])
    def test_scales_that_are_an_attribute(self, mode: str, opset: int) -> None:
        scales = "[1.0, 1.0, 2.0, 3.0]"
        assert_free(resized(f'Upsample <mode = "{mode}", scales = {scales}> (h)', {}, opset))

    @pytest.mark.parametrize("mode", ["nearest", "linear"])
    def test_scales_that_are_an_operand(self, mode: str) -> None:
        given = {"scales": floats(1, 1, 2, 2)}
        assert_free(resized(f'Upsample <mode = "{mode}"> (h, scales)', given, 9))

    def test_channels_that_are_resized(self) -> None:
        scales = "scales = [1.0, 2.0, 2.0, 2.0]"
        assert_frozen(resized(f"Upsample <{scales}> (h)", {}, 8, wide=8))
        given = {"scales": floats(1, 2, 2, 2)}
        assert_frozen(resized("Upsample (h, scales)", given, 9, wide=8))


class TestScales:
    """Scales of a Resize are operand 1, later operand 2 behind a region of interest."""

    @pytest.mark.parametrize("mode", ["nearest", "linear"])
    @pytest.mark.parametrize("height", [2.0, 0.5, 1.0])
    def test_in_opset_10(self, mode: str, height: float) -> None:
        given = {"scales": floats(1, 1, height, 1.5)}
        assert_free(resized(f'Resize <mode = "{mode}"> (h, scales)', given, 10))

    @pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
    @pytest.mark.parametrize("opset", [11, 13, 18, 19])
    def test_since_opset_11(self, mode: str, opset: int) -> None:
        given: dict[str, Given] = {"scales": floats(1, 1, 2, 0.5)}
        operands = "h, , scales"
        if opset == 11:
            given["roi"] = NONE
            operands = "h, roi, scales"
        assert_free(resized(f'Resize <mode = "{mode}"> ({operands})', given, opset))

    @pytest.mark.parametrize(
        "transformation", ["asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel"]
    )
    def test_in_any_way_of_counting_coordinates(self, transformation: str) -> None:
        attributes = f'mode = "linear", coordinate_transformation_mode = "{transformation}"'
        given = {"scales": floats(1, 1, 2, 3)}
        assert_free(resized(f"Resize <{attributes}> (h, , scales)", given, 13))

    @pytest.mark.parametrize("batch", ["2", "N"])
    def test_with_any_batch(self, batch: str) -> None:
        given = {"scales": floats(1, 1, 2, 3)}
        assert_free(resized("Resize (h, , scales)", given, 13, f"{batch},3,4,4"))

    @pytest.mark.parametrize("opset", [18, 19])
    @pytest.mark.parametrize(
        ("axes", "scales"),
        [
            ([2, 3], (2, 3)),
            pytest.param([-1, -2], (2, 3), marks=COUNTS_FROM_THE_END),
            ([3, 1], (2, 1)),
            ([2], (2,)),
        ],
    )
    def test_for_the_axes_that_are_named(
        self, axes: list[int], scales: tuple[float, ...], opset: int
    ) -> None:
        given = {"scales": floats(*scales)}
        attributes = f'axes = {axes}, mode = "nearest"'
        assert_free(resized(f"Resize <{attributes}> (h, , scales)", given, opset))

    @pytest.mark.parametrize("opset", [10, 11, 13, 18])
    def test_channels_that_are_resized(self, opset: int) -> None:
        given: dict[str, Given] = {"scales": floats(1, 2, 2, 2), "roi": NONE}
        operands = "h, scales" if opset == 10 else "h, roi, scales"
        assert_frozen(resized(f"Resize ({operands})", given, opset, wide=8))

    def test_channels_among_the_named_axes_that_are_resized(self) -> None:
        given = {"scales": floats(2, 2)}
        assert_frozen(resized("Resize <axes = [3, 1]> (h, , scales)", given, 18, wide=8))

    @pytest.mark.parametrize("opset", [9, 10, 13])
    def test_scales_that_are_fed(self, opset: int) -> None:
        name = "Upsample" if opset == 9 else "Resize"
        case = analysed(
            "(float[N,3,4,4] x, float[4] f) => (float[a,b,c,d] y)",
            f"""
            [first] h = Conv (x, w1)
            [up] t = {name} ({"h, f" if opset < 11 else "h, , f"})
            y = Neg (t)
            """,
            opset=opset, w1=(4, 3, 1, 1),
        )  # fmt: skip
        assert_frozen(case)

    def test_scales_that_are_fed_for_space_alone(self) -> None:
        # f is multiplied by 0: the scales are (2, 3), but only a run can tell
        case = analysed(
            "(float[N,3,4,4] x, float[2] f) => (float[N,2,a,b] y)",
            """
            [first] h = Conv (x, w1)
            nothing = Mul (f, zero)
            scales = Add (nothing, base)
            [up] t = Resize <axes = [2, 3]> (h, , scales)
            [last] y = Conv (t, w2)
            """,
            opset=18, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), zero=floats(0), base=floats(2, 3),
        )  # fmt: skip
        assert_free(case)


class TestSizes:
    """Sizes are operand 3; the width among them follows the cut."""

    @pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
    @pytest.mark.parametrize("opset", [11, 13, 18, 19])
    def test_the_width_is_written_anew(self, mode: str, opset: int) -> None:
        given: dict[str, Given] = {"sizes": ints(2, 4, 7, 5)}
        operands = "h, , , sizes"
        if opset == 11:
            given |= {"roi": NONE, "scales": NONE}
            operands = "h, roi, scales, sizes"
        case = resized(f'Resize <mode = "{mode}"> ({operands})', given, opset, "2,3,4,4")
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3]] * 2
        after = initializers(case.cut(case.units("h", 1, 3)))
        assert after["sizes"].tolist() == [2, 3, 7, 5]

    @pytest.mark.parametrize(
        ("axes", "sizes", "left"),
        [
            ([2, 3], [8, 6], [8, 6]),
            pytest.param([-1, -2], [8, 6], [8, 6], marks=COUNTS_FROM_THE_END),
            ([3, 1], [6, 4], [6, 2]),
            ([1, 2, 3], [4, 7, 7], [2, 7, 7]),
        ],
    )
    @pytest.mark.parametrize("batch", ["N", "2"])
    def test_for_the_axes_that_are_named(
        self, axes: list[int], sizes: list[int], left: list[int], batch: str
    ) -> None:
        expression = f'Resize <axes = {axes}, mode = "nearest"> (h, , , sizes)'
        case = resized(expression, {"sizes": ints(*sizes)}, 18, f"{batch},3,4,4")
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3]] * 2
        after = initializers(case.cut(case.units("h", 1, 0, 1)))
        assert after["sizes"].tolist() == left

    def test_who_shares_the_sizes_keeps_them(self) -> None:
        case = analysed(
            "(float[2,3,4,4] x, float[2,4,2,2] k) => (float[2,2,8,8] y, float[2,4,8,8] z)",
            """
            [first] h = Conv (x, w1)
            [up] t = Resize (h, , , sizes)
            [other] z = Resize (k, , , sizes)
            [last] y = Conv (t, w2)
            """,
            opset=13, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), sizes=ints(2, 4, 8, 8),
        )  # fmt: skip
        thinner = case.cut(case.units("h", 1, 0))
        arrays = initializers(thinner)
        names = [str(thinner.graph.node(n).inputs[3].name) for n in ("up", "other")]  # type: ignore[union-attr]
        assert [arrays[name].tolist() for name in names] == [[2, 3, 8, 8], [2, 4, 8, 8]]

    def test_sizes_of_another_tensor_behind_a_width_that_is_written_in(self) -> None:
        # F.interpolate(h, size=z.shape[2:]) of an exporter that knows the width, not the batch
        case = analysed(
            "(float[N,3,4,4] x, float[N,3,H,W] z) => (float[N,2,H,W] y)",
            """
            [first] h = Conv (x, w1)
            n = Shape <end = 1> (x)
            space = Shape <start = 2> (z)
            sizes = Concat <axis = 0> (n, four, space)
            [up] t = Resize (h, , , sizes)
            [last] y = Conv (t, w2)
            """,
            w1=(4, 3, 1, 1), w2=(2, 4, 1, 1), four=ints(4),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3]] * 2
        thinner = case.cut(case.units("h", 1, 0, 2))
        arrays = initializers(thinner)
        assert arrays["four"].tolist() == [4]
        assert arrays["sizes_known"].tolist() == [False, True, False, False]
        assert arrays["sizes_cut"].tolist() == [0, 2, 0, 0]
        assert operators(thinner).count("Where") == 1

    def test_sizes_of_another_tensor_for_space_alone(self) -> None:
        case = analysed(
            "(float[N,3,4,4] x, float[N,3,H,W] z) => (float[N,2,H,W] y)",
            """
            [first] h = Conv (x, w1)
            space = Shape <start = 2> (z)
            [up] t = Resize <axes = [2, 3]> (h, , , space)
            [last] y = Conv (t, w2)
            """,
            opset=18, w1=(4, 3, 1, 1), w2=(2, 4, 1, 1),
        )  # fmt: skip
        assert case.pattern(("h", 1), ("t", 1)) == [[0, 1, 2, 3]] * 2
        after = initializers(case.cut(case.units("h", 1, 0, 2)))
        assert (after["w1"].shape, after["w2"].shape) == ((2, 3, 1, 1), (2, 2, 1, 1))

    def test_channels_that_are_resized(self) -> None:
        given: dict[str, Given] = {"sizes": ints(2, 8, 8, 8)}
        assert_frozen(resized("Resize (h, , , sizes)", given, 13, "2,3,4,4", wide=8))

    def test_sizes_that_are_fed(self) -> None:
        case = analysed(
            "(float[N,3,4,4] x, int64[4] f) => (float[a,b,c,d] y)",
            "[first] h = Conv (x, w1) [up] t = Resize (h, , , f) y = Neg (t)",
            w1=(4, 3, 1, 1),
        )
        assert_frozen(case)


class TestBending:
    """Where sizes do not tell the scale of an axis alone, only axes that are not named are free."""

    CROP = 'coordinate_transformation_mode = "tf_crop_and_resize", mode = "linear"'

    @pytest.mark.parametrize("opset", [11, 13, 18])
    @pytest.mark.parametrize("by", ["scales", "sizes"])
    def test_a_crop_may_lie_on_channels(self, opset: int, by: str) -> None:
        given: dict[str, Given] = {"roi": floats(0, 0, 0.2, 0, 1, 1, 0.9, 1), "none": NONE}
        given[by] = floats(1, 1, 2, 2) if by == "scales" else ints(2, 4, 8, 8)
        operands = "h, roi, scales" if by == "scales" else "h, roi, none, sizes"
        assert_frozen(resized(f"Resize <{self.CROP}> ({operands})", given, opset, "2,3,4,4"))

    @pytest.mark.parametrize("by", ["scales", "sizes"])
    def test_a_crop_of_space_alone(self, by: str) -> None:
        given: dict[str, Given] = {"roi": floats(0.1, 0, 0.9, 0.8)}
        given[by] = floats(2, 2) if by == "scales" else ints(8, 8)
        operands = "h, roi, scales" if by == "scales" else "h, roi, , sizes"
        assert_free(resized(f"Resize <{self.CROP}, axes = [2, 3]> ({operands})", given, 18))

    @pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
    def test_an_aspect_ratio_that_channels_take_part_in(self, policy: str) -> None:
        expression = f'Resize <keep_aspect_ratio_policy = "{policy}"> (h, , , sizes)'
        assert_frozen(resized(expression, {"sizes": ints(2, 4, 4, 4)}, 18, "2,3,4,4"))

    @pytest.mark.parametrize("policy", ["not_larger", "not_smaller", "stretch"])
    def test_an_aspect_ratio_of_space_alone(self, policy: str) -> None:
        attributes = f'keep_aspect_ratio_policy = "{policy}", axes = [2, 3], mode = "linear"'
        case = resized(f"Resize <{attributes}> (h, , , sizes)", {"sizes": ints(7, 10)}, 18)
        assert_free(case)
        after = initializers(case.cut(case.units("h", 1, 0)))
        assert after["sizes"].tolist() == [7, 10]

    def test_sizes_may_still_hold_the_width_with_the_plain_policy(self) -> None:
        expression = 'Resize <keep_aspect_ratio_policy = "stretch"> (h, , , sizes)'
        case = resized(expression, {"sizes": ints(2, 4, 7, 9)}, 18, "2,3,4,4")
        after = initializers(case.cut(case.units("h", 1, 0)))
        assert after["sizes"].tolist() == [2, 3, 7, 9]


def test_what_meets_a_resized_input_stays_for_that_reason() -> None:
    case = analysed(
        "(float[N,3,4,4] x) => (float[N,2,8,8] y)",
        """
        [up] t = Resize (x, , scales)
        [first] h = Conv (t, w1)
        s = Add (h, t)
        [last] y = Conv (s, w2)
        """,
        w1=(3, 3, 1, 1), w2=(2, 3, 1, 1), scales=floats(1, 1, 2, 2),
    )  # fmt: skip
    assert case.groups == {}
    assert str(case.reasons["first"]) == "graph input: x is an input of the graph"


@pytest.mark.parametrize(
    ("expression", "opset"),
    [("Upsample <scales = [1.0, 1.0, 2.0, 2.0]> (h)", 8), ("Upsample (h, scales)", 9),
     ("Resize (h, scales)", 10), ("Resize (h, , scales)", 13)],
)  # fmt: skip
def test_no_macs_and_no_weight(expression: str, opset: int) -> None:
    case = resized(expression, {"scales": floats(1, 1, 2, 2)}, opset)
    assert case.macs("up", h=(1, 4, 4, 4), t=(1, 4, 8, 8)) == 0
    assert case.weights("up") == ()
