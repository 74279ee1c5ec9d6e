"""The wheels of the last training build, and which of them an interpreter takes."""

import platform
import sys
import sysconfig
from collections.abc import Mapping

__all__ = ["DISTRIBUTION", "VERSION", "WHEELS", "running_tag", "tag_of"]

DISTRIBUTION = "onnxruntime-training-cpu"
VERSION = "1.19.2"

WHEELS: Mapping[str, str] = {
    "cp311-linux-x86_64": "9b3cde497eb76af75ecae2eb2a4e3a8b2477da0b833315a3d5e2c63f0dc8d5d6",
    "cp311-macosx": "ca021bfb7d087ec2f9b689825d4c24cd75082c0c8eb61c7fb5b178ed1977cbdc",
    "cp311-win-amd64": "e84887e098f4dff9a39926f8fe9d44bd59d0804c77b08a072d686264fea10889",
    "cp312-linux-x86_64": "4c8d4806c5070dc6c175e1a968e45d948588edbfe590b5ef9d42d3511d80e220",
    "cp312-macosx": "29ce7b60bd9d20efc054cf6cf02608360e074ad437945985050d667874903840",
    "cp312-win-amd64": "b13775b3e4820f47ef24ee36b5b820cb04890a59c07d884eed0f3e4008d5c66f",
}
"""SHA-256 of the wheels on PyPI, by tag. No release will follow, so none is ever added."""


def tag_of(implementation: str, major: int, minor: int, system: str) -> str:
    """Returns the key that an interpreter has in `WHEELS`, whether it is there or not.

    Args:
        implementation: what `platform.python_implementation()` says.
        major: the first figure of its version.
        minor: the second.
        system: what `sysconfig.get_platform()` says; for macOS one wheel serves all machines.
    """
    name = "cp" if implementation == "CPython" else implementation.lower()
    return f"{name}{major}{minor}-{'macosx' if system.startswith('macosx-') else system}"


def running_tag() -> str:
    """Returns the tag of the interpreter that runs this."""
    name, version = platform.python_implementation(), sys.version_info
    return tag_of(name, version.major, version.minor, sysconfig.get_platform())
