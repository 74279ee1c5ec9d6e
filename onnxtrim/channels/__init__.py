"""What can go together: relations between channels, units, groups, and reasons to stay."""

from onnxtrim.channels.analyze import analyze
from onnxtrim.channels.channel_map import ChannelGroup, ChannelMap, Tap, WeightRead, WeightUse
from onnxtrim.channels.kept import Kept
from onnxtrim.channels.reasons import Code, Reason

__all__ = [
    "ChannelGroup",
    "ChannelMap",
    "Code",
    "Kept",
    "Reason",
    "Tap",
    "WeightRead",
    "WeightUse",
    "analyze",
]
