"""Removing it: cut, then prove (-> a new `ir.Model`)."""

from onnxtrim.surgery.cut import changes, cut
from onnxtrim.surgery.reproducer import FailedCut
from onnxtrim.surgery.verify import Verification, compared, masked, verify

__all__ = ["FailedCut", "Verification", "changes", "compared", "cut", "masked", "verify"]
