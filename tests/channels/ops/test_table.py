"""The table of rules: ranges of versions, no name twice, every name an operator of ONNX."""

from collections import defaultdict
from typing import Any

import onnx
import onnx_ir as ir
import pytest

from onnxtrim.channels.kept import Kept
from onnxtrim.channels.ops import RULES, OpId, OpRule, rule_for
from onnxtrim.channels.ops.along_axis import AlongAxis, SoftmaxBefore13
from onnxtrim.channels.ops.conv import Conv
from onnxtrim.channels.ops.pad import Pad, PadBefore11
from onnxtrim.channels.ops.resize import Resize, ResizeBefore11, Upsample
from onnxtrim.channels.ops.slice import Slice, SliceBefore10
from onnxtrim.channels.ops.split import Split, SplitBefore13
from onnxtrim.channels.relations import Relations

REVIEWED = 28
"""The operator set up to which every version of every operator listed was read, by hand.

From 7 on each was compared with the one before: operands, attributes, defaults, what is computed.
"""

FLOOR = 7
"""The oldest operator set that rules are for: operands broadcast from the right since."""

NEWEST = onnx.defs.onnx_opset_version()

Schema = Any  # onnx.defs.OpSchema, which has no type outside of its compiled module


def history() -> dict[str, list[Schema]]:
    """Returns every version of every standard operator, oldest first, by name."""
    found: dict[str, list[Schema]] = defaultdict(list)
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            found[schema.name].append(schema)
    return {name: sorted(s, key=lambda schema: schema.since_version) for name, s in found.items()}


HISTORY = history()
LISTED = [op for rule in RULES for op in rule.ops if op.domain == ""]


def versions(name: str) -> list[int]:
    """Returns the operator sets that issued an operator."""
    return [schema.since_version for schema in HISTORY[name]]


def issued_after(version: int) -> list[str]:
    """Returns the listed operators that later operator sets issued, each with the set."""
    names = sorted({op.name for op in LISTED})
    return [f"{name} ({since})" for name in names for since in versions(name) if since > version]


def signature(schema: Schema) -> tuple[list[str], set[str]]:
    """Returns the names of the operands and attributes of one version."""
    return [operand.name for operand in schema.inputs], set(schema.attributes)


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
        assert rule_for("", "NonMaxSuppression", 17) is None
        assert rule_for("", "conv", 17) is None


class TestContents:
    """What the table lists."""

    def test_no_operator_is_listed_twice(self) -> None:
        listed = [op for rule in RULES for op in rule.ops]
        assert len(listed) == len(set(listed))

    @pytest.mark.parametrize("op", LISTED, ids=str)
    def test_every_entry_holds_for_an_operator_of_onnx(self, op: OpId) -> None:
        # some version that the entry is for exists, and is not withdrawn
        later = [
            other.since for other in LISTED if other.name == op.name and other.since > op.since
        ]
        held = range(max(op.since, FLOOR, versions(op.name)[0]), min([*later, NEWEST + 1]))
        schemas = [onnx.defs.get_schema(op.name, version, "") for version in held]
        assert any(not schema.deprecated for schema in schemas)

    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
    def test_rules_have_no_state_and_say_what_they_describe(self, rule: OpRule) -> None:
        assert vars(rule) == {}
        assert rule.ops
        assert type(rule).relate is not OpRule.relate
        assert type(rule).__doc__

    def test_rules_are_in_the_order_of_their_names(self) -> None:
        names = [type(rule).__name__ for rule in RULES]
        assert names == sorted(names)


class TestVersions:
    """Operator sets re-issue operators; a rule must know what that changed."""

    def test_none_was_issued_since_the_review(self) -> None:
        unread = issued_after(REVIEWED)
        assert unread == [], (
            f"operator sets after {REVIEWED} issued {', '.join(unread)}: compare each with the "
            "version before, mend its rule where need be, and raise REVIEWED"
        )

    def test_what_was_issued_is_found(self) -> None:
        assert {"Conv (22)", "Pad (23)", "Gelu (20)"} - set(issued_after(21)) == {"Gelu (20)"}
        assert not any(entry.startswith("Conv ") for entry in issued_after(22))
        assert set(issued_after(12)) >= {"Softmax (13)", "Split (13)", "Split (18)"}
        assert issued_after(NEWEST) == []

    @pytest.mark.parametrize("op", LISTED, ids=str)
    def test_an_entry_begins_where_the_operator_was_issued_or_before_all_rules(
        self, op: OpId
    ) -> None:
        assert op.since in {1, FLOOR, *versions(op.name)}
        assert op.since <= max(FLOOR, versions(op.name)[-1])

    @pytest.mark.parametrize("name", sorted({op.name for op in LISTED}))
    def test_every_version_has_a_rule(self, name: str) -> None:
        first = max(FLOOR, versions(name)[0])
        assert [v for v in range(first, NEWEST + 1) if rule_for("", name, v) is None] == []

    @pytest.mark.parametrize("name", sorted({op.name for op in LISTED}))
    def test_a_new_form_begins_where_operands_or_attributes_changed(self, name: str) -> None:
        # Softmax changed a default and what it computes, but no name
        begins = sorted(op.since for op in LISTED if op.name == name)[1:]
        issued = versions(name)
        for since in begins:
            at = issued.index(since)
            old, new = HISTORY[name][at - 1], HISTORY[name][at]
            axes = [schema.attributes["axis"].default_value.i for schema in (old, new)
                    if "axis" in schema.attributes]  # fmt: skip
            assert signature(old) != signature(new) or axes == [1, -1]

    @pytest.mark.parametrize(
        ("name", "kinds"),
        [
            ("Hardmax", {7: SoftmaxBefore13, 12: SoftmaxBefore13, 13: AlongAxis, 22: AlongAxis}),
            ("LogSoftmax", {7: SoftmaxBefore13, 12: SoftmaxBefore13, 13: AlongAxis}),
            ("Softmax", {7: SoftmaxBefore13, 12: SoftmaxBefore13, 13: AlongAxis}),
            ("Pad", {7: PadBefore11, 10: PadBefore11, 11: Pad, 18: Pad, 25: Pad}),
            ("Resize", {10: ResizeBefore11, 11: Resize, 19: Resize}),
            ("Slice", {7: SliceBefore10, 9: SliceBefore10, 10: Slice, 13: Slice}),
            ("Split", {7: SplitBefore13, 12: SplitBefore13, 13: Split, 18: Split}),
            ("Upsample", {7: Upsample, 8: Upsample, 9: ResizeBefore11}),
        ],
    )
    def test_which_form_holds_when(self, name: str, kinds: dict[int, type[OpRule]]) -> None:
        assert {version: type(rule_for("", name, version)) for version in kinds} == kinds

    def test_no_other_operator_has_two_forms(self) -> None:
        names = [op.name for op in LISTED]
        assert {name for name in names if names.count(name) > 1} == {
            "Hardmax", "LogSoftmax", "Pad", "Resize", "Slice", "Softmax", "Split", "Upsample",
        }  # fmt: skip


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
