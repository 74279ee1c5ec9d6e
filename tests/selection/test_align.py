"""Widths that fill the blocks of the runtime."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Arrays, proto_of

from onnxtrim.channels import ChannelGroup, analyze
from onnxtrim.errors import UsageError
from onnxtrim.graph import load, normalize
from onnxtrim.selection import Alignment, alignments_of
from onnxtrim.selection.align import (
    PRESETS,
    aligned_width,
    group_alignment,
    group_step,
    step_taken,
)
from onnxtrim.selection.staircase import cached_step

# kept -> width by step 1, 4, 8, 16, in a group of 22.
TABLE = [
    (0, 0, 0, 0, 0),
    (1, 1, 4, 8, 16),
    (3, 3, 4, 8, 16),
    (4, 4, 4, 8, 16),
    (5, 5, 8, 8, 16),
    (7, 7, 8, 8, 16),
    (8, 8, 8, 8, 16),
    (9, 9, 12, 16, 16),
    (12, 12, 12, 16, 16),
    (13, 13, 16, 16, 16),
    (16, 16, 16, 16, 16),
    (17, 17, 20, 22, 22),
    (20, 20, 20, 22, 22),
    (21, 21, 22, 22, 22),
    (22, 22, 22, 22, 22),
]


@pytest.mark.parametrize(("kept", "one", "four", "eight", "sixteen"), TABLE)
def test_a_width_is_raised_to_what_costs_no_more(
    kept: int, one: int, four: int, eight: int, sixteen: int
) -> None:
    found = [aligned_width(kept, 22, Alignment(step, step)) for step in (1, 4, 8, 16)]
    assert found == [one, four, eight, sixteen]


@pytest.mark.parametrize(
    ("kept", "width", "step", "expected"),
    [
        (1, 16, 16, 16),  # one block: all of it or nothing
        (1, 15, 16, 4),  # narrower than a block: multiples of 4
        (5, 15, 16, 8),
        (13, 15, 16, 15),
        (1, 3, 16, 3),  # narrower than the smallest vector: all of it
        (1, 3, 4, 3),
        (1, 20, 6, 6),
        (7, 20, 6, 12),
        (19, 20, 6, 20),
        (1, 5, 6, 2),  # of a step of 6 in a group of 5, only 2 goes into 4
        (1, 2, 3, 1),
        (1, 20, 2, 2),
        (3, 20, 3, 3),
        (33, 100, 32, 64),
        (25, 100, 32, 32),
        (1, 31, 32, 4),
        (0, 31, 32, 0),  # nothing at all wastes nothing
    ],
)
def test_other_steps(kept: int, width: int, step: int, expected: int) -> None:
    assert aligned_width(kept, width, Alignment(step, step)) == expected


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 64))
def test_aligning_keeps_at_least_what_is_asked_and_settles(kept: int, more: int, step: int) -> None:
    width = max(kept + more, 1)
    found = aligned_width(kept, width, Alignment(step, step))
    assert kept <= found <= width
    assert aligned_width(found, width, Alignment(step, step)) == found
    assert found - kept < max(step, 1)
    assert aligned_width(max(kept - 1, 0), width, Alignment(step, step)) <= found


@pytest.mark.parametrize(
    ("kept", "width", "expected"),
    [
        (0, 40, 0),
        (1, 40, 4),
        (4, 40, 4),
        (9, 40, 12),
        (12, 40, 12),
        (13, 40, 16),  # from here on the next width is a whole block
        (17, 40, 32),
        (33, 40, 40),
        (1, 10, 4),
        (9, 10, 10),
    ],
)
def test_below_one_block(kept: int, width: int, expected: int) -> None:
    assert aligned_width(kept, width, Alignment(16, 4)) == expected


def group_of(width: int, positions: tuple[int, ...]) -> ChannelGroup:
    """Returns a group of so many units, each with `positions` on axes computed in blocks."""
    return ChannelGroup(
        name="g",
        units=np.arange(width),
        axes={},
        writers=(),
        readers=(),
        taps=(),
        block_positions=positions,
    )


class TestGroupStep:
    """`group_step`: whole steps on every axis that runtimes compute in blocks."""

    @pytest.mark.parametrize(
        ("positions", "step", "expected"),
        [
            ((), 16, 1),  # nothing computes it in blocks
            ((1,), 16, 16),
            ((1,), 1, 1),
            ((2,), 16, 8),  # 8 units x 2 positions
            ((3,), 16, 16),  # 16 units x 3 positions
            ((4,), 16, 4),
            ((6,), 16, 8),  # 8 x 6 = 48 = 3 x 16
            ((16,), 16, 1),
            ((32,), 16, 1),
            ((1, 2), 16, 16),  # the axis with one position decides
            ((2, 4), 16, 8),
            ((2, 3), 8, 8),
            ((2, 3), 6, 6),  # lcm of 3 and 2
        ],
    )
    def test_by_hand(self, positions: tuple[int, ...], step: int, expected: int) -> None:
        assert group_step(group_of(4, positions), step) == expected

    def test_a_depthwise_multiplier_of_two(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3, 4, 4] x) => (float[N, 2] y) {
          [make] a = Conv(x, w)
          [deep] b = Conv <group=8> (a, d)
          [pool] p = GlobalAveragePool(b)
          [flat] f = Flatten(p)
          [dense] h = Gemm(f, u)
          [relu] r = Relu(h)
          [last] y = Gemm(r, v)
        }"""  # noqa: E501
        weights: Arrays = {
            "w": np.ones((8, 3, 1, 1), np.float32),
            "d": np.ones((16, 1, 3, 3), np.float32),
            "u": np.ones((16, 6), np.float32),
            "v": np.ones((6, 2), np.float32),
        }
        make, dense = analyze(normalize(load(proto_of(text, weights)))).groups
        assert (make.width, make.block_positions) == (8, (1, 2))
        assert group_step(make, 16) == 16
        assert (dense.block_positions, group_step(dense, 16)) == ((), 1)


class TestStepTaken:
    """`step_taken`: the step in units that a width was really cut in."""

    @pytest.mark.parametrize(
        ("before", "after", "step", "below", "expected"),
        [
            # narrower than a step: never a whole one, multiples of 4 at most
            (10, 4, 16, 16, 4),
            (10, 8, 16, 4, 4),
            (10, 10, 16, 16, 4),
            (15, 15, 16, 4, 4),
            (3, 3, 16, 16, 4),
            (5, 4, 6, 6, 2),  # of 6, only 2 goes into 4
            (2, 1, 3, 3, 1),
            # below one block
            (40, 4, 16, 4, 4),
            (40, 12, 16, 4, 4),
            (20, 6, 8, 2, 2),
            # whole blocks
            (40, 16, 16, 4, 16),
            (40, 32, 16, 4, 16),
            (40, 40, 16, 4, 16),
            (16, 16, 16, 16, 16),
            (40, 16, 16, 16, 16),
            (20, 12, 6, 6, 6),
            (20, 7, 1, 1, 1),
        ],
    )
    def test_with_one_position_a_unit(
        self, before: int, after: int, step: int, below: int, expected: int
    ) -> None:
        assert step_taken(group_of(before, (1,)), after, Alignment(step, below)) == expected

    @pytest.mark.parametrize(
        ("positions", "before", "after", "expected"),
        [
            # 16 channels are 8 units of two, 4 channels are 2
            ((2,), 20, 16, 8),
            ((2,), 20, 8, 8),
            ((2,), 20, 6, 2),
            ((2,), 7, 4, 4),  # 14 channels: no block; of a step of 8 units, 4 goes into 4
            # 16 channels are 4 units of four, 4 channels are 1
            ((4,), 20, 8, 4),
            ((4,), 20, 4, 4),
            ((4,), 20, 3, 1),
            ((4,), 3, 3, 4),
            # 16 units of three are 48 channels, 4 are 12
            ((3,), 40, 32, 16),
            ((3,), 40, 8, 4),
            # a whole block each, and more
            ((16,), 20, 7, 1),
            ((32,), 20, 1, 1),
            # the axis with one position decides
            ((1, 2), 40, 16, 16),
            ((1, 2), 40, 8, 4),
            # nothing computes it in blocks
            ((), 500, 123, 1),
            ((), 5, 2, 1),
        ],
    )
    def test_with_several_positions_a_unit(
        self, positions: tuple[int, ...], before: int, after: int, expected: int
    ) -> None:
        assert step_taken(group_of(before, positions), after, Alignment(16, 4)) == expected

    @given(
        st.integers(1, 60),
        st.integers(0, 60),
        st.sampled_from([(), (1,), (2,), (3,), (4,), (1, 2), (2, 3), (16,)]),
        st.sampled_from([(1, 1), (4, 4), (6, 6), (8, 4), (8, 8), (16, 4), (16, 16), (32, 4)]),
    )
    def test_it_is_the_one_that_aligning_used(
        self, kept: int, more: int, positions: tuple[int, ...], steps: tuple[int, int]
    ) -> None:
        group, alignment = group_of(kept + more, positions), Alignment(*steps)
        found = aligned_width(kept, group.width, group_alignment(group, alignment))
        step = step_taken(group, found, alignment)
        assert found == min(-(-kept // step) * step, group.width)


class TestAlignmentsOf:
    """`alignments_of`: what `--align` says, the preferred one first."""

    @pytest.mark.parametrize(
        ("align", "step"),
        [("none", 1), (8, 8), ("8", 8), (1, 1), ("1", 1), (48, 48)],
    )
    def test_figures(self, align: str | int, step: int) -> None:
        assert alignments_of(align) == (Alignment(step, step),)

    def test_auto_is_the_step_measured_here_and_then_the_smallest_vector(self) -> None:
        step = cached_step()
        whole, below = Alignment(step, step), Alignment(step, 4)
        assert alignments_of("auto") == ((whole, below) if step > 4 else (whole,))

    def test_auto_believes_what_was_measured_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("onnxtrim.selection.staircase.user_cache_path", lambda _: tmp_path)
        cached_step()
        (file,) = tmp_path.iterdir()
        (machine,) = json.loads(file.read_text())
        for step in (4, 8, 16):
            file.write_text(json.dumps({machine: step}))
            assert alignments_of("auto")[0] == Alignment(step, step)
            assert alignments_of("auto")[-1] == Alignment(step, 4)

    @pytest.mark.parametrize(("runtime", "step"), [("ncnn", 8), ("openvino", 16), ("tflite", 8)])
    def test_presets_fall_below_a_step_too(self, runtime: str, step: int) -> None:
        assert alignments_of(runtime) == (Alignment(step, step), Alignment(step, 4))

    def test_every_preset_is_a_power_of_two_that_whole_vectors_fill(self) -> None:
        assert sorted(PRESETS) == ["ncnn", "openvino", "tflite"]
        assert all(step % 4 == 0 and math.log2(step).is_integer() for step in PRESETS.values())

    @pytest.mark.parametrize(
        "align",
        [0, "0", -8, "-8", "7.5", "", "Auto", "eight", "8x", "1e1", "NCNN", "tensorrt", "None"],
    )
    def test_anything_else_is_refused(self, align: str | int) -> None:
        with pytest.raises(UsageError) as caught:
            alignments_of(align)
        assert str(caught.value) == (
            f"--align {align}: give auto, none, ncnn, openvino, tflite, or a step in channels "
            "such as 8"
        )
