"""Every deliberately broken rule must be caught, by the tests' oracle and by the built-in proof.

Each case (in `teeth`, by theme) is a small network, the units to remove, and a rule with one fault.
The same network and units pass with the rules as they are, so that what is caught is the fault and
nothing else. Where the fault is to forget that channels cannot go, the rules as they are refuse
those, and others of the same network pass.
"""

import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException
from teeth import CASES, THEMES
from teeth.bite import attempt, family, refuses, with_fault

from onnxtrim.channels.ops import RULES
from onnxtrim.errors import OnnxtrimError, ShapeError, VerificationError


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("prove", [False, True], ids=["oracle", "proof"])
def test_the_network_passes_with_the_rules_as_they_are(name: str, prove: bool) -> None:
    case = CASES[name]
    assert refuses(case) is bool(case.free)
    attempt(case, RULES, case.free or case.removed, prove=prove)


@pytest.mark.parametrize("name", CASES)
def test_the_oracle_catches_the_broken_rule(name: str) -> None:
    case = CASES[name]
    with pytest.raises((AssertionError, OnnxtrimError, InvalidArgument, Fail, RuntimeException)):
        attempt(case, with_fault(case.broken), case.removed, prove=False)


@pytest.mark.parametrize("name", CASES)
def test_the_proof_catches_the_broken_rule(name: str) -> None:
    case = CASES[name]
    with pytest.raises((VerificationError, ShapeError)):
        attempt(case, with_fault(case.broken), case.removed, prove=True)


def test_every_rule_has_a_broken_variant() -> None:
    broken = {family(case.broken) for case in CASES.values()}
    assert sorted(type(rule).__name__ for rule in RULES if type(rule) not in broken) == []


def test_no_name_hides_another() -> None:
    assert sum(len(theme.CASES) for theme in THEMES) == len(CASES)
