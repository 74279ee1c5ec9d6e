"""The table of rules: ranges of versions, no name twice, every name an operator of ONNX."""

import onnx
import onnx_ir as ir
import pytest

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops import RULES, OpId, OpRule, rule_for
from onnxtrim.channels.ops.conv import Conv
from onnxtrim.channels.relations import Relations


class Old(OpRule):
    """An operator as it was."""

    ops = (OpId("Thing", since=2, domain="my"),)


class New(OpRule):
    """The same operator, changed in version 5."""

    ops = (OpId("Thing", since=5, domain="my"),)


OLD, NEW = Old(), New()


class TestLookup:
    """A rule holds from `since` on, until a later entry takes over."""

    @pytest.mark.parametrize("rules", [(OLD, NEW), (NEW, OLD)])
    @pytest.mark.parametrize(
        ("version", "expected"), [(1, None), (2, OLD), (4, OLD), (5, NEW), (9, NEW)]
    )
    def test_by_version(
        self, rules: tuple[OpRule, ...], version: int, expected: OpRule | None
    ) -> None:
        assert rule_for("my", "Thing", version, rules) is expected

    def test_a_domain_is_part_of_the_name(self) -> None:
        assert rule_for("", "Thing", 9, (OLD,)) is None
        assert rule_for("other", "Thing", 9, (OLD,)) is None
        assert rule_for("my", "Other", 9, (OLD,)) is None
        assert rule_for("my", "Conv", 17) is None

    def test_the_standard_domain_has_two_names(self) -> None:
        assert isinstance(rule_for("", "Conv", 17), Conv)
        assert isinstance(rule_for("ai.onnx", "Conv", 17), Conv)

    def test_operator_sets_that_re_issue_an_operator_lose_no_rule(self) -> None:
        newest = onnx.defs.onnx_opset_version()
        assert all(isinstance(rule_for("", "Conv", v), Conv) for v in range(7, newest + 1))

    def test_an_operator_that_nobody_described_has_none(self) -> None:
        assert rule_for("", "LSTM", 17) is None
        assert rule_for("", "conv", 17) is None


class TestContents:
    """What the table lists."""

    def test_no_operator_is_listed_twice(self) -> None:
        listed = [op for rule in RULES for op in rule.ops]
        assert len(listed) == len(set(listed))

    @pytest.mark.parametrize("op", [op for rule in RULES for op in rule.ops], ids=str)
    def test_every_name_is_an_operator_of_onnx(self, op: OpId) -> None:
        schema = onnx.defs.get_schema(op.name, onnx.defs.onnx_opset_version(), op.domain)
        assert not schema.deprecated

    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
    def test_rules_have_no_state_and_say_what_they_describe(self, rule: OpRule) -> None:
        assert vars(rule) == {}
        assert rule.ops
        assert type(rule).relate is not OpRule.relate
        assert type(rule).__doc__

    def test_rules_are_in_the_order_of_their_names(self) -> None:
        names = [type(rule).__name__ for rule in RULES]
        assert names == sorted(names)


class TestDefaults:
    """A rule that only relates is complete."""

    def test_nothing_is_rewritten_counted_or_measured(self) -> None:
        node = ir.Node("my", "Thing", [], attributes=[ir.AttrInt64("group", 4)], num_outputs=1)
        OLD.rewrite(node, Kept({}, Relations().edges()[0].astype(bool)))
        assert node.attributes["group"].as_int() == 4
        assert OLD.macs(node, {}) == 0
        assert OLD.weights(node) == ()
        assert OLD.blocked_axes(node) == ()
        assert OLD.zeroes(node) is False
        assert OLD.activation is False

    def test_relating_is_not_optional(self) -> None:
        with pytest.raises(NotImplementedError):
            OLD.relate(ir.Node("my", "Thing", [], num_outputs=1), Relations())
