"""The proof: it holds for a right cut, and for no other."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from oracle import Arrays, assert_identical, masked_by_hand, proto_of, run

from onnxtrim.channels import ChannelMap, analyze
from onnxtrim.channels.relations import Ids
from onnxtrim.errors import OnnxtrimError, VerificationError
from onnxtrim.graph import load, normalize
from onnxtrim.selection import make_plan
from onnxtrim.surgery import Verification, cut, masked, verify

TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 2, 4, 4] x) => (float[N, 3] y) {
  [first] a = Conv(x, w1, b1)
  [relu] r = Relu(a)
  [second] c = Conv(r, w2)
  [act] s = Sigmoid(c)
  [flat] f = Flatten(s)
  [last] y = Gemm(f, w3, b3)
}"""
SHAPES = {"w1": (5, 2, 2, 2), "b1": (5,), "w2": (4, 5, 2, 2), "w3": (16, 3), "b3": (3,)}
FIRST_GONE, SECOND_GONE = [1, 3], [0]


def model_of(kind: str = "float") -> ir.Model:
    rng = np.random.default_rng(6)
    dtype = {"float": np.float32, "float16": np.float16}[kind]
    weights: Arrays = {n: rng.standard_normal(s).astype(dtype) for n, s in SHAPES.items()}
    return normalize(load(proto_of(TEXT.replace("float[", f"{kind}["), weights)))


def inputs(kind: type = np.float32) -> Arrays:
    return {"x": np.random.default_rng(7).standard_normal((6, 2, 4, 4)).astype(kind)}


def units(channel_map: ChannelMap) -> Ids:
    first, second = channel_map.groups
    return np.sort(np.concatenate([first.units[FIRST_GONE], second.units[SECOND_GONE]]))


def thinned(model: ir.Model, removed: Ids | None = None) -> ir.Model:
    channel_map = analyze(model)
    gone = units(channel_map) if removed is None else removed
    return cut(model, channel_map, make_plan(channel_map, model.graph.initializers, gone, ""))


def proof_of(thinner: ir.Model, samples: int = 6) -> Verification:
    model = model_of()
    channel_map = analyze(model)
    return verify(model, thinner, channel_map, units(channel_map), inputs(), samples)


def refused(thinner: ir.Model) -> str:
    with pytest.raises(VerificationError) as caught:
        proof_of(thinner)
    assert "\n" not in str(caught.value)
    assert caught.value.reproducer is None
    return str(caught.value)


def changed(name: str, change: Callable[[npt.NDArray[np.float32]], object]) -> ir.Model:
    """Returns the right cut with one weight changed in place."""
    thinner = thinned(model_of())
    tensor = thinner.graph.initializers[name].const_value
    assert tensor is not None
    array = np.array(tensor.numpy())
    change(array)
    thinner.graph.initializers[name].const_value = ir.Tensor(array, name=name)
    return thinner


class TestRight:
    """Cuts that hold."""

    def test_the_errors_are_those_of_the_outputs(self) -> None:
        model = model_of()
        channel_map = analyze(model)
        thinner = thinned(model)
        expected = run(masked_by_hand(model, channel_map, units(channel_map)), inputs())["y"]
        difference = np.abs(run(thinner, inputs())["y"].astype(np.float64) - expected).max()
        found = proof_of(thinner)
        assert found.max_abs_error == pytest.approx(difference, rel=1e-6, abs=1e-9)
        scale = np.abs(expected).max()
        assert found.max_rel_error == pytest.approx(difference / scale, rel=1e-6, abs=1e-9)
        assert found.max_rel_error < 1e-6
        assert found.samples == 6

    def test_no_cut_at_all_has_no_error(self) -> None:
        model = model_of()
        channel_map = analyze(model)
        nothing = channel_map.no_units
        found = verify(model, thinned(model, nothing), channel_map, nothing, inputs(), 0)
        assert found == Verification(0.0, 0.0, 0)

    def test_half_precision(self) -> None:
        model = model_of("float16")
        channel_map = analyze(model)
        found = verify(
            model, thinned(model), channel_map, units(channel_map), inputs(np.float16), 6
        )
        assert found.max_rel_error < 5e-3

    def test_neither_model_is_changed_and_nothing_is_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        model = model_of()
        channel_map, thinner, x = analyze(model), thinned(model), inputs()
        before = [ir.to_proto(m).SerializeToString(deterministic=True) for m in (model, thinner)]
        data = x["x"].copy()
        verify(model, thinner, channel_map, units(channel_map), x, 6)
        after = [ir.to_proto(m).SerializeToString(deterministic=True) for m in (model, thinner)]
        assert after == before
        assert x["x"].tobytes() == data.tobytes()
        with pytest.raises(VerificationError):
            proof_of(changed("b3", lambda a: a.fill(9)))
        assert list(tmp_path.iterdir()) == []


class TestWrong:
    """Cuts that do not."""

    @pytest.mark.parametrize("name", list(SHAPES))
    def test_a_weight_that_is_off(self, name: str) -> None:
        def shift(array: npt.NDArray[np.float32]) -> None:
            array.reshape(-1)[-1] += 0.5

        message = refused(changed(name, shift))
        assert message.startswith("output 'y' of the cut model differs from the masked original by")
        assert "at most 1e-04 is accepted" in message

    def test_the_tolerance_is_tight(self) -> None:
        scale = float(np.abs(run(thinned(model_of()), inputs())["y"]).max())

        def shift(array: npt.NDArray[np.float32]) -> None:
            array += 1.5e-4 * scale

        def nudge(array: npt.NDArray[np.float32]) -> None:
            array += 0.5e-4 * scale

        assert "1.5" in refused(changed("b3", shift)).partition("differs")[2]
        assert 4e-5 < proof_of(changed("b3", nudge)).max_rel_error < 6e-5

    def test_another_channel(self) -> None:
        model = model_of()
        first, second = analyze(model).groups
        other = np.sort(np.concatenate([first.units[[1, 2]], second.units[SECOND_GONE]]))
        assert "differs from the masked original" in refused(thinned(model, other))

    def test_one_channel_too_many(self) -> None:
        model = model_of()
        first, _ = analyze(model).groups
        more = np.union1d(units(analyze(model)), first.units[[0]])
        assert "differs from the masked original" in refused(thinned(model, more))

    def test_channels_in_another_order(self) -> None:
        assert "differs" in refused(changed("w1", lambda a: a[:].__setitem__(slice(None), a[::-1])))

    def test_a_renamed_output(self) -> None:
        thinner = thinned(model_of())
        thinner.graph.outputs[0].name = "z"
        message = refused(thinner)
        assert message.startswith("the outputs of the cut model changed from ")
        assert "'y'" in message
        assert "'z'" in message

    def test_a_renamed_input(self) -> None:
        thinner = thinned(model_of())
        thinner.graph.inputs[0].name = "image"
        assert refused(thinner).startswith("the inputs of the cut model changed from ")

    def test_an_output_of_another_size(self) -> None:
        thinner = thinned(model_of())
        thinner.graph.outputs[0].shape = ir.Shape(["N", 2])
        assert refused(thinner).startswith("the outputs of the cut model changed from ")

    def test_an_output_of_another_type(self) -> None:
        thinner = thinned(model_of())
        thinner.graph.outputs[0].type = ir.TensorType(ir.DataType.DOUBLE)
        assert refused(thinner).startswith("the outputs of the cut model changed from ")

    @pytest.mark.parametrize("figure", [np.nan, np.inf, -np.inf])
    def test_an_output_that_is_not_finite(self, figure: float) -> None:
        assert "differs from the masked original by inf" in refused(
            changed("b3", lambda a: a.fill(figure))
        )

    def test_a_model_that_the_checker_refuses(self) -> None:
        thinner = thinned(model_of())
        next(n for n in thinner.graph if n.op_type == "Sigmoid").op_type = "NoSuchOperator"
        message = refused(thinner)
        assert message.startswith("the cut model does not hold: the ONNX checker refuses the model")

    def test_a_model_that_the_runtime_cannot_run(self) -> None:
        message = refused(changed("w3", lambda a: a.resize((15, 3), refcheck=False)))
        assert message.startswith("the cut model does not hold: ")


class TestNothingToCompare:
    """Outputs without a finite figure look alike whatever was cut, so that they prove nothing."""

    def spoilt(self, model: ir.Model, figure: float) -> ir.Model:
        spoilt = model.clone()
        array = np.full(3, figure, np.float32)
        spoilt.graph.initializers["b3"].const_value = ir.Tensor(array, name="b3")
        return spoilt

    @pytest.mark.parametrize("figure", [np.nan, np.inf])
    def test_no_proof_from_outputs_that_are_not_finite(self, figure: float) -> None:
        model = self.spoilt(model_of(), figure)
        channel_map = analyze(model)
        first, second = channel_map.groups
        other = np.sort(np.concatenate([first.units[[1, 2]], second.units[SECOND_GONE]]))
        with pytest.raises(OnnxtrimError, match=r"finite|NaN|infinite|undefined"):
            verify(model, thinned(model, other), channel_map, units(channel_map), inputs(), 6)

    def test_one_infinity_is_not_the_other(self) -> None:
        model = self.spoilt(model_of(), np.inf)
        channel_map = analyze(model)
        thinner = self.spoilt(thinned(model), -np.inf)
        with pytest.raises(OnnxtrimError):
            verify(model, thinner, channel_map, units(channel_map), inputs(), 6)


class TestIntegers:
    """Outputs without rounding are compared without tolerance."""

    TEXT = """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (int64[N] top) {
      h = Gemm(x, w1)
      r = Relu(h)
      y = Gemm(r, w2)
      top = ArgMax <axis=1, keepdims=0> (y)
    }"""

    def model(self) -> ir.Model:
        weights = {"w1": np.eye(3, 4, dtype=np.float32), "w2": np.eye(4, 3, dtype=np.float32)}
        return normalize(load(proto_of(self.TEXT, weights)))

    def test_one_other_class_is_one_too_many(self) -> None:
        model = self.model()
        channel_map = analyze(model)
        x = {"x": np.eye(3, dtype=np.float32)[np.arange(60) % 3]}
        nothing = channel_map.no_units
        assert verify(model, model, channel_map, nothing, x, 60).max_abs_error == 0
        other = model.clone()
        array = np.eye(4, 3, dtype=np.float32)
        array[0] = 0, 0, 1
        other.graph.initializers["w2"].const_value = ir.Tensor(array, name="w2")
        with pytest.raises(VerificationError, match=r"output 'top' .* at most 0e\+00"):
            verify(model, other, channel_map, nothing, x, 60)


GRAPHS: dict[str, tuple[str, dict[str, tuple[int, ...]], tuple[int, ...]]] = {
    "convolutions": (TEXT, SHAPES, (2, 4, 4)),
    "transposed": (
        """<ir_version: 8, opset_import: ["": 17]> g (float[N, 3] x) => (float[N, 2] y) {
          h = Gemm <transB=1> (x, w1)
          t = Tanh(h)
          y = Gemm <transB=1> (t, w2)
        }""",
        {"w1": (6, 3), "w2": (2, 6)},
        (3,),
    ),
    "tokens": (
        """<ir_version: 8, opset_import: ["": 17]> g (float[N, 4, 3] x) => (float[N, 4, 2] y) {
          h = MatMul(x, w1)
          t = Sigmoid(h)
          y = MatMul(t, w2)
        }""",
        {"w1": (3, 6), "w2": (6, 2)},
        (4, 3),
    ),
    "shared": (
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 2, 4, 4] x) => (float[N, 3, 4, 4] y) {
          a = Conv(x, w1)
          s = Sigmoid(a)
          b = Conv(s, w2)
          c = Conv(s, w2)
          y = Add(b, c)
        }""",
        {"w1": (5, 2, 1, 1), "w2": (3, 5, 1, 1)},
        (2, 4, 4),
    ),
    "depthwise": (
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 2, 4, 4] x) => (float[N, 3, 2, 2] y) {
          a = Conv(x, w1)
          b = Conv <group=5> (a, wd)
          s = Sigmoid(b)
          y = Conv(s, w2)
        }""",
        {"w1": (5, 2, 1, 1), "wd": (10, 1, 3, 3), "w2": (3, 10, 1, 1)},
        (2, 4, 4),
    ),
}
"""Text, shapes of weights, sizes of a sample."""


class TestMasked:
    """`masked` is what the oracle makes by hand."""

    @pytest.mark.parametrize("name", list(GRAPHS))
    def test_against_the_oracle(self, name: str) -> None:
        text, shapes, sample = GRAPHS[name]
        rng = np.random.default_rng(1)
        weights: Arrays = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
        model = normalize(load(proto_of(text, weights)))
        before = ir.to_proto(model).SerializeToString(deterministic=True)
        channel_map = analyze(model)
        x = {"x": rng.standard_normal((2, *sample)).astype(np.float32)}
        removed = np.sort(np.concatenate([g.units[::2] for g in channel_map.groups]))
        by_hand = run(masked_by_hand(model, channel_map, removed), x)
        found = run(masked(model, channel_map, removed), x)
        assert_identical(found, by_hand)
        assert not np.array_equal(found["y"], run(model, x)["y"]), "the mask changes nothing"
        assert ir.to_proto(model).SerializeToString(deterministic=True) == before

    def test_a_node_of_unknown_rank_is_passed_over(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 17]> g
            (float[N, 4] x, float[N, M, 1] z) => (float[N, 3] y, float v) {
          a = MatMul(x, w1)
          y = MatMul(a, w2)
          s = Squeeze(z)
          [hidden] p = MatMul(s, w3)
          v = ReduceSum <keepdims = 0>(p)
        }"""
        shapes = {"w1": (4, 3), "w2": (3, 3), "w3": (3, 2)}
        rng = np.random.default_rng(1)
        weights: Arrays = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
        model = normalize(load(proto_of(text, weights)))
        channel_map = analyze(model)
        assert "hidden" in {reason.node for reason in channel_map.barriers}
        x = {"x": np.ones((2, 4), np.float32), "z": np.ones((2, 3, 1), np.float32)}
        removed = channel_map.axes["w1", 1][:1]
        assert_identical(
            run(masked(model, channel_map, removed), x),
            run(masked_by_hand(model, channel_map, removed), x),
        )

    def test_nothing_removed_is_nothing_masked(self) -> None:
        model = model_of()
        channel_map = analyze(model)
        same = masked(model, channel_map, channel_map.no_units)
        assert ir.to_proto(same) == ir.to_proto(model)


class TestOddOutputs:
    """Sizes that only a run tells, nothing at all, texts, and figures that are not finite."""

    @staticmethod
    def compared(before: str, after: str, x: npt.NDArray[np.float32]) -> Verification:
        """Returns the proof that the second body computes what the first does."""
        signature = "(float[N] x) => (float[M] y)"
        header = '<ir_version: 8, opset_import: ["": 17]>'
        texts = (f"{header} g {signature} {{ {body} }}" for body in (before, after))
        old, new = (normalize(load(proto_of(text))) for text in texts)
        channel_map = analyze(old)
        return verify(old, new, channel_map, channel_map.no_units, {"x": x}, 1)

    PICK = "k = NonZero (x) i = Squeeze (k) y = Gather (x, i)"

    def test_of_another_size(self) -> None:
        other = "n = Floor (x) k = NonZero (n) i = Squeeze (k) y = Gather (x, i)"
        with pytest.raises(VerificationError, match=r"'y' has sizes \(2,\), expected \(3,\)"):
            self.compared(self.PICK, other, np.array([0.5, 2, 3], dtype=np.float32))

    def test_empty(self) -> None:
        body = "e = Greater (x, x) y = Compress (x, e)"
        found = self.compared(body, body, np.ones(3, dtype=np.float32))
        assert (found.max_abs_error, found.max_rel_error) == (0.0, 0.0)

    def test_not_finite_at_other_places(self) -> None:
        with pytest.raises(VerificationError, match="by inf of its range"):
            self.compared(
                "y = Log (x)", "n = Neg (x) y = Log (n)", np.array([-1, 2], dtype=np.float32)
            )

    def test_not_finite_at_the_same_places(self) -> None:
        found = self.compared("y = Log (x)", "y = Log (x)", np.array([-1, 2], dtype=np.float32))
        assert found.max_abs_error == 0.0


def test_a_cast_to_double_does_not_make_figures_of_single_precision_better() -> None:
    text = TEXT.replace("(float[N, 3] y)", "(double[N, 3] z)").replace(
        "[last] y = Gemm(f, w3, b3)", "[last] y = Gemm(f, w3, b3) z = Cast <to = 11> (y)"
    )
    rng = np.random.default_rng(6)
    weights: Arrays = {n: rng.standard_normal(s).astype(np.float32) for n, s in SHAPES.items()}
    model = normalize(load(proto_of(text, weights)))
    channel_map = analyze(model)
    gone = units(channel_map)

    def moved(by: float) -> ir.Model:
        thinner = thinned(model)
        bias = weights["b3"] + np.float32(by)
        thinner.graph.initializers["b3"].const_value = ir.Tensor(bias, name="b3")
        return thinner

    proof = verify(model, moved(1e-5), channel_map, gone, inputs(), 6)
    assert 1e-9 < proof.max_rel_error < 1e-4
    with pytest.raises(VerificationError, match="at most 1e-04 is accepted"):
        verify(model, moved(0.01), channel_map, gone, inputs(), 6)
