"""What the next step removes, on a chain whose costs are counted by hand.

x (4) -> conv a (8) -> conv b (8) -> gemm head (2), 1 x 1 kernels on one position: with kept widths
p and q it has 4p + pq + 2q products, 112 in all.
"""

import numpy as np
import onnx
from oracle import proto_of

from onnxtrim.channels import ChannelMap
from onnxtrim.config import DataConfig, PruneConfig
from onnxtrim.schedule.budget import Goal, goal_of
from onnxtrim.schedule.config import LoopConfig
from onnxtrim.schedule.stride import ending, lowest, next_stride, spread, units_of
from onnxtrim.subject import Subject, prepare

RNG = np.random.default_rng(3)


def chain(p: int = 8, q: int = 8) -> onnx.ModelProto:
    """Returns the chain at kept widths."""
    text = """<ir_version: 8, opset_import: ["": 13]>
    net (float[1, 4, 1, 1] x) => (float[1, 2] y) {
      [a] c = Conv (x, k)
      r = Relu (c)
      [b] d = Conv (r, l)
      s = Relu (d)
      f = Flatten (s)
      [head] y = Gemm (f, w)
    }"""
    shapes = {"k": (p, 4, 1, 1), "l": (q, p, 1, 1), "w": (q, 2)}
    return proto_of(text, {n: RNG.normal(size=shape).astype("f4") for n, shape in shapes.items()})


def subject(p: int = 8, q: int = 8) -> Subject:
    return prepare(chain(p, q), None, DataConfig())


def goal(**budgets: float | str | None) -> Goal:
    return goal_of(subject(), 16, PruneConfig(**budgets), 1)  # type: ignore[arg-type]


def stride(
    config: PruneConfig, loop: LoopConfig, p: int = 8, q: int = 8, done: int = 0
) -> tuple[PruneConfig, tuple[str, ...] | None] | None:
    """Returns the options and groups of the next step, on the chain at kept widths."""
    now = subject(p, q)
    aim = goal_of(subject(), 16, config, 1)
    widths = {"a": 8, "b": 8}
    found = next_stride(aim, widths, now, now.channel_map, config, loop, done)
    return None if found is None else (found.config, found.groups)


def test_the_map_has_the_groups_that_are_meant() -> None:
    found: ChannelMap = subject().channel_map
    assert {group.name: group.width for group in found.groups} == {"a": 8, "b": 8}
    assert units_of(found) == 16
    assert subject().costs.now().macs == 112


class TestTogether:
    def test_even_steps_divide_the_way(self) -> None:
        loop = LoopConfig(steps=4)
        config = PruneConfig(macs=0.5, params=0.5, ratio=0.5)
        first = stride(config, loop)
        assert first is not None
        # a quarter of the way from 112 to 56, and 2 of the 8 units that go in the end
        assert (first[0].macs, first[0].params, first[0].ratio) == (98, 98, 2 / 16)
        last = stride(config, loop, p=6, q=6, done=3)
        assert last is not None
        assert (last[0].macs, last[0].params, last[0].ratio) == (56, 56, 4 / 12)

    def test_a_share_is_one_of_what_is_left(self) -> None:
        found = stride(PruneConfig(macs=0.5), LoopConfig(steps=9, per_step=0.25), p=6, q=6, done=2)
        assert found is not None
        assert (found[0].ratio, found[0].macs, found[1]) == (0.25, None, None)

    def test_it_ends_where_the_budget_is_met(self) -> None:
        loop = LoopConfig(steps=9, per_step=0.25)
        # 4p + pq + 2q is 55 where both are 5 wide
        assert stride(PruneConfig(macs=55), loop, p=5, q=5) is None
        assert stride(PruneConfig(macs=54), loop, p=5, q=5) is not None
        assert stride(PruneConfig(ratio=0.375), loop, p=5, q=5) is None
        assert stride(PruneConfig(ratio=0.5), loop, p=5, q=5) is not None

    def test_steps_that_were_overshot_are_left_out(self) -> None:
        found = stride(PruneConfig(ratio=0.5), LoopConfig(steps=4), p=5, q=5, done=1)
        assert found is not None
        # 4 of 16 after the second step, and 6 are gone: the third has none to take, the last has 2
        assert found[0].ratio == 2 / 10

    def test_a_rule_needs_no_share(self) -> None:
        found = stride(PruneConfig(below_std=1.0, params=0.5, max_drop=0.1), LoopConfig(steps=3))
        assert found is not None
        assert (found[0].below_std, found[0].budgets) == (1.0, {})

    def test_the_last_step_ends_at_the_budget(self) -> None:
        now = subject(6, 6)
        config = PruneConfig(macs=0.5, max_drop=0.1)
        found = ending(goal(macs=0.5), now.channel_map, config)
        assert found.config.budgets == {"--macs": 56}


class TestInTurn:
    LOOP = LoopConfig(steps=99, order="in-turn", per_step=0.25)

    def test_group_after_group_until_its_ratio(self) -> None:
        config = PruneConfig(ratio=0.5)
        walk = [((8, 8), "a"), ((6, 8), "a"), ((4, 8), "b"), ((4, 6), "b")]
        for (p, q), name in walk:
            found = stride(config, self.LOOP, p, q)
            assert found is not None
            assert found[1] == (name,)
            width = p if name == "a" else q
            assert found[0].ratio == 2 / width
        assert stride(config, self.LOOP, 4, 4) is None

    def test_no_more_than_is_lacking_and_one_at_least(self) -> None:
        found = stride(PruneConfig(ratio=0.375), self.LOOP, 6, 8)  # 3 of 8 in the end
        assert found is not None
        assert found[0].ratio == 1 / 6
        slow = LoopConfig(steps=99, order="in-turn", per_step=0.01)
        found = stride(PruneConfig(ratio=0.5), slow)
        assert found is not None
        assert found[0].ratio == 1 / 8


class TestSpreading:
    def test_the_lowest_means_come_first(self) -> None:
        scores = {"a": np.array([1.0, 3.0]), "b": np.array([1.0, 1.5]), "c": np.array([9.0, 0.0])}
        assert lowest(scores, 2) == ("b", "a")

    def test_it_takes_in_the_next_layers(self) -> None:
        text = """<ir_version: 8, opset_import: ["": 13]>
        net (float[1, 4, 1, 1] x) => (float[1, 4, 1, 1] y) {
          [a] t = Conv (x, k0)
          [b] u = Conv (t, k1)
          [c] v = Conv (u, k2)
          [d] w = Conv (v, k3)
          [e] y = Conv (w, k4)
        }"""
        weights = {f"k{i}": RNG.normal(size=(4, 4, 1, 1)).astype("f4") for i in range(5)}
        found = prepare(proto_of(text, weights), None, DataConfig()).channel_map
        assert spread(found, ("b",)) == ("a", "b", "c")
        assert spread(found, ("a", "b", "c")) == ("a", "b", "c", "d")
        assert spread(found, ("d",)) == ("c", "d")
