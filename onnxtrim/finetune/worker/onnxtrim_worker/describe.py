"""Says what the interpreter that runs this is, and what it lacks; any Python understands this."""

import json
import platform
import sys
import sysconfig

__all__ = []

missing = []
for name in ("numpy", "onnx"):
    try:
        __import__(name)
    except Exception:  # a broken module is as good as none
        missing.append(name)

answer = {
    "python": sys.executable,
    "implementation": platform.python_implementation(),
    "major": sys.version_info[0],
    "minor": sys.version_info[1],
    "platform": sysconfig.get_platform(),
    "missing": missing,
}
sys.stdout.write(json.dumps(answer) + "\n")
