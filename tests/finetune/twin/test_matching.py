"""Which channels of a teacher a student has left."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from oracle import proto_of, run

from onnxtrim.finetune.twin.matching import matched, narrowed
from onnxtrim.graph import load, normalize
from onnxtrim.graph.edit import with_outputs

TEXT = """
<ir_version: 8, opset_import: ["": 17]>
net (float[N, 3, 6] x) => (float[N, 2, 6] y) { t = Conv (x, w)  u = Relu (t)  y = Conv (u, k) }
"""


@given(st.integers(0, 2**32), st.integers(1, 6), st.sets(st.integers(0, 5), min_size=1))
def test_rows_that_were_taken_out_are_found_again(seed: int, noise: int, kept: set[int]) -> None:
    rng, places = np.random.default_rng(seed), sorted(kept)
    rows = rng.normal(size=(6, 200))
    mine = rows[places] * rng.uniform(0.5, 2, (len(places), 1)) + rng.normal(size=(len(places), 1))
    found = matched(mine + rng.normal(size=mine.shape) * 0.05 * noise, rows)
    assert found is not None
    assert found.tolist() == places


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_they_are_the_best_of_all_in_order(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    mine, rows = rng.normal(size=(count, 3)), rng.normal(size=(5, 3))
    table = np.corrcoef(mine, rows)[:count, count:]
    sums = {
        places: sum(table[i, j] for i, j in enumerate(places))
        for places in itertools.combinations(range(5), count)
    }
    best = max(sums, key=lambda places: sums[places])
    found = matched(mine, rows)
    if sums[best] > 0.5 * count + 1e-9:
        assert found is not None
        assert tuple(found) == best
    elif sums[best] < 0.5 * count - 1e-9:
        assert found is None


def test_a_channel_that_never_changes_is_like_no_other() -> None:
    rows = np.random.default_rng(0).normal(size=(4, 50))
    rows[1] = 3.0
    found = matched(rows[[0, 1, 3]], rows)
    assert found is not None
    assert (found[0], found[2]) == (0, 3)
    assert matched(np.ones((1, 50)), rows) is None


def test_a_teacher_gets_narrow_in_the_tensor_alone() -> None:
    rng = np.random.default_rng(3)
    w, k = rng.normal(size=(5, 3, 1)).astype("f4"), rng.normal(size=(2, 5, 1)).astype("f4")
    teacher = normalize(load(proto_of(TEXT, {"w": w, "k": k})))
    left = [0, 3, 4]
    student = normalize(load(proto_of(TEXT, {"w": 1.5 * w[left], "k": k[:, left]})))
    inputs = {"x": rng.normal(size=(4, 3, 6)).astype("f4")}
    found = narrowed(teacher, student, ["t"], inputs)
    whole = run(with_outputs(teacher, ["t", "u"]), inputs)
    narrow = run(with_outputs(found, ["t", "u"]), inputs)
    np.testing.assert_array_equal(narrow["t"], whole["t"][:, left])
    for name in ("u", "y"):
        np.testing.assert_array_equal(narrow[name], whole[name])


def test_what_is_not_thinner_in_one_axis_stays() -> None:
    rng = np.random.default_rng(3)
    weights = {"w": rng.normal(size=(5, 3, 1)).astype("f4"), "k": np.ones((2, 5, 1), np.float32)}
    wide = {"w": rng.normal(size=(7, 3, 1)).astype("f4"), "k": np.ones((2, 7, 1), np.float32)}
    teacher, student = (normalize(load(proto_of(TEXT, each))) for each in (weights, wide))
    inputs = {"x": rng.normal(size=(4, 3, 6)).astype("f4")}
    for names in (["t"], ["y"], ["no such tensor"]):
        found = narrowed(teacher, student, names, inputs)
        assert [node.op_type for node in found.graph] == ["Conv", "Relu", "Conv"]
