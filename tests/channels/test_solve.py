"""Equations and refusals -> units, each free or frozen for one reason."""

import numpy as np
import onnx_ir as ir
import pytest

from onnxtrim.channels.reasons import Code, Reason
from onnxtrim.channels.relations import Fixed, Relations
from onnxtrim.channels.solve import solve

WEAK = Reason(Code.POSITIONS, "somewhere", "weak")
STRONG = Reason(Code.GRAPH_OUTPUT, "", "strong")


def array(*ids: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(ids, dtype=np.int64)


def tensor(name: str, size: int) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape([size]), type=ir.TensorType(ir.DataType.FLOAT))


class TestUnits:
    """What is tied, directly or not, is one unit."""

    def test_without_equations_every_id_is_one(self) -> None:
        rel = Relations()
        rel.fresh(3)
        found = solve(rel)
        assert found.unit_of.tolist() == [0, 1, 2]
        assert found.reasons == [None, None, None]

    def test_no_ids_are_no_units(self) -> None:
        found = solve(Relations())
        assert (found.unit_of.tolist(), found.reasons) == ([], [])
        assert found.free(array()).tolist() == []

    def test_chains_are_one_unit(self) -> None:
        rel = Relations()
        rel.fresh(6)
        rel.same(array(5, 1), array(3, 2))
        rel.same(array(3), array(0))
        # 0, 3 and 5; 1 and 2; 4
        unit_of = solve(rel).unit_of
        assert unit_of[0] == unit_of[3] == unit_of[5]
        assert unit_of[1] == unit_of[2]
        assert len(set(unit_of[[0, 1, 4]].tolist())) == 3

    def test_units_are_numbered_without_gaps(self) -> None:
        rel = Relations()
        rel.fresh(6)
        rel.same(array(0, 2), array(5, 3))
        assert sorted(set(solve(rel).unit_of.tolist())) == [0, 1, 2, 3]


class TestReasons:
    """A unit is frozen where any id of it is."""

    def test_all_of_a_unit_is_frozen(self) -> None:
        rel = Relations()
        rel.fresh(4)
        rel.same(array(0), array(2))
        rel.same(array(2, 3), Fixed(WEAK))
        found = solve(rel)
        assert [found.reasons[unit] for unit in found.unit_of] == [WEAK, None, WEAK, WEAK]

    @pytest.mark.parametrize("reasons", [(WEAK, STRONG), (STRONG, WEAK), (WEAK, STRONG, WEAK)])
    def test_the_first_in_the_order_of_codes_holds(self, reasons: tuple[Reason, ...]) -> None:
        rel = Relations()
        for reason in reasons:
            rel.same(rel.fresh(1), Fixed(reason))
        ids = array(*range(rel.count))
        rel.same(ids[:-1], ids[1:])
        assert solve(rel).reasons == [STRONG]

    def test_of_one_code_the_first_node_by_name_holds(self) -> None:
        rel = Relations()
        ids = rel.fresh(1)
        for node in ("b", "a", "c"):
            rel.same(ids, Fixed(Reason(Code.MIXED, node, "because")))
        assert solve(rel).reasons == [Reason(Code.MIXED, "a", "because")]

    def test_a_sealed_tensor_freezes_what_it_carries(self) -> None:
        rel, h = Relations(), tensor("h", 2)
        rel.bind(h, 0, rel.fresh(2))
        rel.fresh(1)
        rel.seal(h, STRONG)
        assert solve(rel).reasons == [STRONG, STRONG, None]


class TestFree:
    """The units among some ids that can go."""

    def test_each_once_sorted_and_without_the_frozen_ones(self) -> None:
        rel = Relations()
        rel.fresh(6)
        rel.same(array(0, 1), array(5, 4))  # units {0, 5}, {1, 4}, {2}, {3}
        rel.same(array(2), Fixed(WEAK))
        found = solve(rel)
        units = found.unit_of
        assert found.free(array(5, 3, 0, 2)).tolist() == sorted([units[0], units[3]])
        assert found.free(array(2)).tolist() == []
        assert found.free(array(2)).dtype == np.int64
        assert found.free(array(*range(6))).tolist() == sorted({units[0], units[1], units[3]})
