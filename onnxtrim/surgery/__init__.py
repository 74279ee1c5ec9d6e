"""Removing it: cut, then prove (-> a new `ir.Model`)."""

from onnxtrim.surgery.cut import changes, cut
from onnxtrim.surgery.reproducer import FailedCut
from onnxtrim.surgery.verify import Verification, masked, verify

__all__ = ["FailedCut", "Verification", "changes", "cut", "masked", "verify"]
