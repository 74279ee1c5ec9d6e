"""Compares what can be removed from published blocks with onnxsim's structured pruning.

    pip install onnxsim==0.8.1 && python tools/bench/coverage.py [--json FILE]

Both tools take half: onnxtrim of every group (`--ratio 0.5 --align none --scope layer`), onnxsim by
`apply_structured_pruning(sparsity=0.5)`. Printed are the shares of parameters removed, and the
largest error of onnxtrim's result against the masked original, relative to the output's range.
Without onnxsim its column stays empty.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx

import onnxtrim

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from topologies import TOPOLOGIES

try:
    from onnxsim import apply_structured_pruning
except ImportError:
    apply_structured_pruning = None


def parameters(model: onnx.ModelProto) -> int:
    """Returns the elements of all floating-point initializers and constants."""
    tensors = list(model.graph.initializer)
    tensors += [a.t for n in model.graph.node if n.op_type == "Constant" for a in n.attribute]
    return sum(int(np.prod(t.dims)) for t in tensors if t.data_type == onnx.TensorProto.FLOAT)


def removed_by_onnxsim(model: onnx.ModelProto) -> float | None:
    """Returns the share of parameters that onnxsim removes; None where it is not installed."""
    if apply_structured_pruning is None:
        return None
    return 1 - parameters(apply_structured_pruning(model, sparsity=0.5)) / parameters(model)


def main() -> None:
    """Prints the table, and writes it as JSON where a file is named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(f"{'graph':32} {'onnxtrim':>9} {'onnxsim':>9}   error")
    for name, topology in TOPOLOGIES.items():
        model = topology.model()
        theirs = removed_by_onnxsim(model)
        report = onnxtrim.prune(
            model, ratio=0.5, align="none", scope="layer", criterion="l1"
        ).report
        ours = 1 - report.after.params / report.before.params
        error = report.verification.max_rel_error
        rows.append({"graph": name, "onnxtrim": ours, "onnxsim": theirs, "max_rel_error": error})
        other = "" if theirs is None else f"{theirs:9.1%}"
        behind = "  behind" if theirs is not None and ours < theirs - 1e-9 else ""
        print(f"{name:32} {ours:9.1%} {other:>9}   {error:.1e}{behind}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
