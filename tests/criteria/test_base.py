"""A group as aligned arrays: what makes it, what scales it, what reads it and is fed by it."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from oracle import Arrays
from strategies import Example, networks
from views import STREAM, STREAM_WEIGHTS, analysed, floats, measured, observed, view_of

from onnxtrim.calibration import Measurements, Statistic
from onnxtrim.channels import ChannelGroup, analyze
from onnxtrim.criteria.base import Criterion, GroupView, Needs, Rows
from onnxtrim.graph import load, normalize
from onnxtrim.graph.fold import constant_array

FLAT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 1, 2] x) => (float[N, 3] y) {
  [make] a = Conv(x, w)
  [flat] f = Flatten(a)
  [read] y = Gemm(f, v)
}"""
FLAT_WEIGHTS: Arrays = {
    "w": np.array([[1, 2], [3, 4]], np.float32).reshape(2, 2, 1, 1),
    "v": np.arange(12, dtype=np.float32).reshape(4, 3),
}
GROUPED = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 1, 3] x) => (float[N, 4, 1, 2] y) {
  [make] a = Conv(x, w)
  [read] y = Conv <group=2> (a, v)
}"""  # noqa: E501


def asking(looks_at: Needs) -> Criterion:
    """Returns a criterion with these needs."""

    class Asking(Criterion):
        name = "asking"
        needs = looks_at

    return Asking()


class TestWriters:
    """What makes the units: a row a unit, writer by writer."""

    def test_rows_are_the_weights_of_a_unit_in_the_order_of_the_units(self) -> None:
        rows = view_of(STREAM, STREAM_WEIGHTS, "stem").writers()
        assert [row.tolist() for row in rows] == [
            [[1, 2], [-3, 4], [0, 0]],
            [[1] * 5, [0] * 5, [2] * 5],
            [[1] * 5, [1] * 5, [-1] * 5],
        ]
        assert {row.dtype for row in rows} == {np.dtype(np.float64)}

    def test_a_unit_of_several_channels_has_the_weights_of_all(self) -> None:
        w = np.arange(8, dtype=np.float32).reshape(4, 2, 1, 1)
        view = view_of(GROUPED, {"w": w, "v": floats(4, 2, 1, 2)}, "make")
        # channels 0 and 2 are the same position of both blocks
        assert [row.tolist() for row in view.writers()] == [[[0, 1, 4, 5], [2, 3, 6, 7]]]

    def test_a_depthwise_convolution_writes_and_does_not_read(self) -> None:
        view = view_of(
            """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 1, 4] x) => (float[N, 1, 1, 3] y) {
              [make] a = Conv(x, w)
              [deep] d = Conv <group=3> (a, k)
              [read] y = Conv(d, v)
            }""",  # noqa: E501
            {
                "w": np.arange(6, dtype=np.float32).reshape(3, 2, 1, 1),
                "k": np.arange(6, dtype=np.float32).reshape(3, 1, 1, 2) * 10,
                "v": np.array([7, 8, 9], np.float32).reshape(1, 3, 1, 1),
            },
            "make",
            measured({"d": {"mean": [1, 2, 3]}}),
        )
        assert [row.tolist() for row in view.writers()] == [
            [[0, 1], [2, 3], [4, 5]],
            [[0, 10], [20, 30], [40, 50]],
        ]
        (reading,) = view.readings("mean")
        assert reading.weight.reshape(-1).tolist() == [7, 8, 9]
        assert reading.statistics["mean"].reshape(-1).tolist() == [1, 2, 3]


class TestScales:
    """What normalisations multiply the units by."""

    TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 1, 2] x) => (float[N, 3] y) {
      [make] a = Conv(x, w)
      [norm] n = BatchNormalization(a, gamma, beta, mean, var)
      [flat] f = Flatten(n)
      [again] m = BatchNormalization(f, gamma4, beta4, mean4, var4)
      [read] y = Gemm(m, v)
    }"""

    def test_each_normalisation_gives_every_place_of_a_unit(self) -> None:
        vectors = {
            name + suffix: np.ones(2 if suffix == "" else 4, np.float32)
            for name in ("gamma", "beta", "mean", "var")
            for suffix in ("", "4")
        }
        vectors["gamma"] = np.array([-1, 2], np.float32)
        vectors["gamma4"] = np.array([1, 2, 3, 4], np.float32)
        rows = view_of(self.TEXT, FLAT_WEIGHTS | vectors, "make").scales()
        assert [row.tolist() for row in rows] == [[[-1], [2]], [[1, 2], [3, 4]]]

    def test_there_may_be_none(self) -> None:
        assert view_of(STREAM, STREAM_WEIGHTS, "stem").scales() == []


class TestStats:
    """A statistic of each unit, pooled over taps and over positions."""

    def test_the_taps_of_a_residual_stream_count_alike(self) -> None:
        found = measured(
            {
                "r0": {"mean": [1, 2, 3]},
                "r1": {"mean": [10, -2, 0]},
                "r2": {"mean": [1, 6, 3]},
            }
        )
        scores = view_of(STREAM, STREAM_WEIGHTS, "stem", found).stats("mean")
        assert scores.tolist() == [4.0, 2.0, 2.0]
        assert scores.dtype == np.float64

    def test_the_places_behind_a_flatten_are_averaged(self) -> None:
        view = view_of(FLAT, FLAT_WEIGHTS, "make", measured({"f": {"zeros": [0.0, 0.5, 1.0, 0.5]}}))
        assert [tap.tensor for tap in view.group.taps] == ["f"]
        assert view.stats("zeros").tolist() == [0.25, 0.75]

    def test_another_groups_share_of_an_axis_is_left_out(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2] x) => (float[N, 1] y) {
          [left] p = Gemm(x, w)
          [right] q = Gemm(x, u)
          j = Concat <axis=1> (p, q)
          [act] r = Relu(j)
          [read] y = Gemm(r, v)
        }"""
        weights = {"w": floats(2, 2), "u": floats(2, 3), "v": floats(5, 1)}
        found = measured({"r": {"mean": [1, 2, 3, 4, 5]}})
        assert view_of(text, weights, "left", found).stats("mean").tolist() == [1, 2]
        assert view_of(text, weights, "right", found).stats("mean").tolist() == [3, 4, 5]

    @pytest.mark.parametrize(
        ("found", "first"),
        [
            (None, "r0"),
            (measured({"r0": {"mean": [0, 0, 0]}}), "r1"),
            (measured({"r0": {"zeros": [0, 0, 0]}}), "r0"),
        ],
    )
    def test_what_was_not_measured_cannot_be_read(
        self, found: Measurements | None, first: str
    ) -> None:
        view = view_of(STREAM, STREAM_WEIGHTS, "stem", found)
        with pytest.raises(ValueError, match=f"mean of {first} was not measured"):
            view.stats("mean")
        with pytest.raises(ValueError, match=f"mean of {first} was not measured"):
            view.readings("mean")


class TestReadings:
    """What reads the units: (units, places, blocks, outputs, kernel)."""

    def test_a_unit_has_several_places_behind_a_flatten(self) -> None:
        found = measured({"f": {"mean": [1, 2, 3, 4], "square": [5, 6, 7, 8]}})
        (reading,) = view_of(FLAT, FLAT_WEIGHTS, "make", found).readings("mean", "square")
        assert reading.weight.shape == (2, 2, 1, 3, 1)
        assert reading.weight[:, :, 0, :, 0].tolist() == [
            [[0, 1, 2], [3, 4, 5]],
            [[6, 7, 8], [9, 10, 11]],
        ]
        assert reading.statistics["mean"].shape == (2, 2, 1, 1, 1)
        assert reading.statistics["mean"][:, :, 0, 0, 0].tolist() == [[1, 2], [3, 4]]
        assert reading.statistics["square"][:, :, 0, 0, 0].tolist() == [[5, 6], [7, 8]]

    def test_a_grouped_convolution_reads_a_channel_of_a_unit_in_every_block(self) -> None:
        v = np.arange(16, dtype=np.float32).reshape(4, 2, 1, 2)  # outputs 0, 1 | 2, 3
        found = measured({"a": {"mean": [10, 20, 30, 40]}})  # channels 0, 1 | 2, 3
        view = view_of(GROUPED, {"w": floats(4, 2, 1, 1), "v": v}, "make", found)
        (reading,) = view.readings("mean")
        assert reading.weight.shape == (2, 1, 2, 2, 2)
        assert reading.weight[0, 0].tolist() == [[[0, 1], [4, 5]], [[8, 9], [12, 13]]]
        assert reading.weight[1, 0].tolist() == [[[2, 3], [6, 7]], [[10, 11], [14, 15]]]
        assert reading.statistics["mean"][:, 0, :, 0, 0].tolist() == [[10, 30], [20, 40]]

    def test_there_may_be_several_places_in_every_block(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 1, 1] x) => (float y) {
          [make] a = Conv(x, w)
          j = Concat <axis=1> (a, a, a, a)
          [read] b = Conv <group=2> (j, v)
          y = ReduceSum <keepdims=0> (b)
        }"""
        weights = {"w": floats(2, 2, 1, 1), "v": np.arange(8, dtype=np.float32).reshape(2, 4, 1, 1)}
        found = measured({"j": {"mean": [0, 1, 2, 3, 4, 5, 6, 7]}})
        (reading,) = view_of(text, weights, "make", found).readings("mean")
        # unit 0 lies at 0 and 2 of the first block, at 4 and 6 of the second
        assert reading.weight[0, :, :, 0, 0].tolist() == [[0, 4], [2, 6]]
        assert reading.weight[1, :, :, 0, 0].tolist() == [[1, 5], [3, 7]]
        assert reading.statistics["mean"].tolist() == reading.weight.tolist()

    def test_the_axes_of_a_kernel_come_last(self) -> None:
        v = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 1, 3, 3] x) => (float y) {
          [make] a = Conv(x, w)
          [read] b = READ(a, v)
          y = ReduceSum <keepdims=0> (b)
        }"""
        weights = {"w": floats(3, 1, 1, 1), "v": v}
        (dense,) = view_of(
            text.replace("READ", "Conv"), weights, "make", floats(4, 1, 3, 3)
        ).readings()
        assert dense.weight[:, 0, 0].tolist() == v.swapaxes(0, 1).reshape(3, 2, 4).tolist()
        weights["v"] = v.swapaxes(0, 1).copy()
        turned = text.replace("READ", "ConvTranspose")
        (other,) = view_of(turned, weights, "make", floats(4, 1, 3, 3)).readings()
        assert other.weight.tolist() == dense.weight.tolist()

    def test_a_weight_on_the_left_reads_by_its_columns(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[3, 5] x) => (float[2, 5] y) {
          [make] h = MatMul(w, x)
          [act] r = Relu(h)
          [read] y = MatMul(v, r)
        }"""
        v = np.arange(8, dtype=np.float32).reshape(2, 4)
        view = view_of(text, {"w": floats(4, 3), "v": v}, "make", floats(3, 5))
        (reading,) = view.readings()
        assert reading.weight[:, 0, 0, :, 0].tolist() == v.T.tolist()
        assert view.measured_readers()[0][1].axis == 0

    def test_stacked_matrices_make_outputs_of_their_own(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float y) {
          [make] h = MatMul(x, w)
          [read] s = MatMul(h, v)
          y = ReduceSum <keepdims=0> (s)
        }"""
        v = np.arange(24, dtype=np.float32).reshape(3, 4, 2)  # 3 matrices
        view = view_of(text, {"w": floats(3, 4), "v": v}, "make", floats(6, 3))
        (reading,) = view.readings()
        assert reading.weight.shape == (4, 1, 1, 6, 1)
        assert reading.weight[:, 0, 0, :, 0].tolist() == v.swapaxes(0, 1).reshape(4, 6).tolist()

    def test_where_no_axis_makes_the_outputs_all_others_do(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float y) {
          [make] h = MatMul(x, w)
          [read] s = Einsum <equation="nc,hck->nhk"> (h, v)
          y = ReduceSum <keepdims=0> (s)
        }"""
        v = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
        view = view_of(text, {"w": floats(3, 4), "v": v}, "make", floats(6, 3))
        (reading,) = view.readings()
        assert reading.weight[:, 0, 0, :, 0].tolist() == v.swapaxes(0, 1).reshape(4, 6).tolist()

    def test_a_recurrent_layer_reads_its_input_and_not_what_cannot_be_measured(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[5, N, 3] x) => (float[5, N, 2] y) {
          [make] h = MatMul(x, w0)
          [cell] s = RNN <hidden_size=4> (h, w, r)
          one = Constant <value_ints=[1]> ()
          q = Squeeze(s, one)
          [last] y = MatMul(q, v)
        }"""  # noqa: E501
        weights = {
            "w0": floats(3, 2),
            "w": floats(1, 4, 2),
            "r": floats(1, 4, 4),
            "v": floats(4, 2),
        }
        outer = view_of(text, weights, "make", floats(5, 2, 3))
        (reading,) = outer.readings()
        assert reading.weight[:, 0, 0, :, 0].tolist() == weights["w"][0].T.tolist()
        inner = view_of(text, weights, "cell", floats(5, 2, 3))
        assert [read.tensor for read in inner.group.readers] == ["r", "v"]
        assert [(read.tensor, tap.tensor) for read, tap in inner.measured_readers()] == [("v", "q")]
        assert [use.tensor for use in inner.group.writers] == ["r", "w"]
        (reading,) = inner.readings()
        assert reading.weight[:, 0, 0, :, 0].tolist() == weights["v"].tolist()

    def test_several_readers_come_one_by_one(self) -> None:
        found = measured(
            {"r0": {"mean": [1, 2, 3]}, "r1": {"mean": [4, 5, 6]}, "f": {"mean": [7, 8, 9]}}
        )
        view = view_of(STREAM, STREAM_WEIGHTS, "stem", found)
        readings = view.readings("mean")
        assert [r.weight.shape for r in readings] == [(3, 1, 1, n, 1) for n in (5, 5, 2)]
        means = [r.statistics["mean"].reshape(-1).tolist() for r in readings]
        assert means == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]

    @given(networks())
    def test_in_any_network_a_unit_has_its_own_weights_and_its_own_statistics(
        self, example: Example
    ) -> None:
        """For a mean, every position has the number of its unit."""
        model = normalize(load(example.model))
        channel_map = analyze(model)
        numbers: dict[tuple[str, int], dict[Statistic, Rows]] = {
            key: {"mean": ids.astype(np.float64)} for key, ids in channel_map.axes.items()
        }
        found = Measurements(numbers, 1, "")
        for group in channel_map.groups:
            view = GroupView(group, channel_map, model, found, 0)
            reads = [read for read, _ in view.measured_readers()]
            for read, reading in zip(reads, view.readings("mean"), strict=True):
                array = constant_array(model, read.tensor)
                for row, fed, unit in zip(
                    reading.weight, reading.statistics["mean"], group.units, strict=True
                ):
                    mine = channel_map.axes[read.tensor, read.axis] == unit
                    own = np.compress(mine, array, read.axis)
                    assert np.sort(row, axis=None).tolist() == np.sort(own, axis=None).tolist()
                    assert fed.shape == (*row.shape[:2], 1, 1)
                    assert (fed == unit).all()


class TestIndependence:
    """Nothing in a view is shared with the model or with what was measured."""

    def test_arrays_may_be_written_to(self) -> None:
        view = view_of(FLAT, FLAT_WEIGHTS, "make", measured({"f": {"mean": [1, 2, 3, 4]}}))

        def arrays() -> Iterator[Rows]:
            yield from view.writers()
            yield view.stats("mean")
            for reading in view.readings("mean"):
                yield reading.weight
                yield reading.statistics["mean"]

        before = [array.copy() for array in arrays()]
        for array in arrays():
            array[:] = -1
        for array, kept in zip(arrays(), before, strict=True):
            assert array.tolist() == kept.tolist()


class TestRng:
    """A generator that depends on the seed and on the name of the group alone."""

    def test_it_starts_anew_each_time(self) -> None:
        view = view_of(STREAM, STREAM_WEIGHTS, "stem", seed=5)
        assert view.rng().random(4).tolist() == view.rng().random(4).tolist()

    def test_seeds_and_names_tell_generators_apart(self) -> None:
        names, seeds = ("stem", "out1", "out2"), range(3)
        first = {
            view_of(STREAM, STREAM_WEIGHTS, name, seed=seed).rng().random()
            for name in names
            for seed in seeds
        }
        assert len(first) == 9


class TestNeeds:
    """What a criterion asks for, and where it means nothing."""

    @pytest.mark.parametrize(
        ("needs", "data"),
        [
            (Needs.NOTHING, False),
            (Needs.WEIGHTS, False),
            (Needs.ACTIVATIONS, True),
            (Needs.WEIGHTS | Needs.INPUTS, True),
            (Needs.WEIGHTS | Needs.GRADIENTS, True),
        ],
    )
    def test_all_but_weights_takes_data(self, needs: Needs, data: bool) -> None:
        assert needs.data is data

    @pytest.mark.parametrize(
        ("needs", "tensors"),
        [
            (Needs.NOTHING, []),
            (Needs.WEIGHTS, []),
            (Needs.ACTIVATIONS, ["r0", "r1", "r2"]),
            (Needs.WEIGHTS | Needs.INPUTS, ["r0", "r1", "f"]),
            (Needs.ACTIVATIONS | Needs.INPUTS, ["r0", "r1", "r2", "r0", "r1", "f"]),
        ],
    )
    def test_it_is_measured_where_they_say(self, needs: Needs, tensors: list[str]) -> None:
        group = view_of(STREAM, STREAM_WEIGHTS, "stem").group
        assert [tap.tensor for tap in asking(needs).taps(group)] == tensors

    def test_what_no_weight_reads_has_no_inputs_to_look_at(self) -> None:
        dead = self.behind_a_slice()["a#2"]
        assert asking(Needs.INPUTS).unfit(dead) == "no weight reads it"
        assert list(asking(Needs.INPUTS).taps(dead.group)) == []
        assert asking(Needs.ACTIVATIONS).unfit(dead) is None
        assert asking(Needs.WEIGHTS).unfit(dead) is None

    def test_hidden_units_that_read_but_themselves_have_none_either(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g (float[5, N, 3] x) => (float y) {
          [cell] s = RNN <hidden_size=4> (x, w, r)
          zero = Constant <value_ints=[0]> ()
          two = Constant <value_ints=[2]> ()
          three = Constant <value_ints=[3]> ()
          some = Slice(s, zero, two, three)
          [last] b = MatMul(some, v)
          y = ReduceSum <keepdims=0> (b)
        }"""
        weights = {"w": floats(1, 4, 3), "r": floats(1, 4, 4), "v": floats(2, 2)}
        hidden = view_of(text, weights, "cell#2")
        assert [read.tensor for read in hidden.group.readers] == ["r"]
        assert asking(Needs.INPUTS).unfit(hidden) == "no weight reads it"

    def test_what_is_read_has(self) -> None:
        assert asking(Needs.INPUTS).unfit(self.behind_a_slice()["a"]) is None

    @staticmethod
    def behind_a_slice() -> dict[str, GroupView]:
        """Returns the views of two channels that are read, and of two that are sliced away."""
        model, channel_map = analysed(
            """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 2] y) {
              [a] h = MatMul(x, w)
              zero = Constant <value_ints=[0]> ()
              one = Constant <value_ints=[1]> ()
              two = Constant <value_ints=[2]> ()
              s = Slice(h, zero, two, one)
              [b] y = MatMul(s, v)
            }""",
            {"w": floats(3, 4), "v": floats(2, 2)},
        )
        found = observed(model, channel_map, floats(5, 3))

        def view(group: ChannelGroup) -> GroupView:
            return GroupView(group, channel_map, model, found, 0)

        return {group.name: view(group) for group in channel_map.groups}
