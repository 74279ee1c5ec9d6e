"""What peers reach on ResNet-20 without recovery: accuracy against MACs left, for benchmarks.

There is nothing to run here: `compensation.py curves` goes through `PEERS`, where only those peers
are that are installed. Both choose by the magnitude of weights and take the same share of every
layer, as they do by default, and both remove inner channels of residual blocks only:

- onnxsim removes nothing where BatchNormalization is on its own, so it prunes the export of the
  same network that has it folded. It leaves what residual streams carry as it is by itself.
- Torch-Pruning prunes the network rebuilt in PyTorch from the weights in the file. It takes the
  zero-padded shortcuts for element-wise, which ties channel i of a narrow stream to channel i of a
  wide one rather than to where padding moves it, so the streams are kept from it.

MACs are counted by onnxtrim for all.
"""

import importlib
import io
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from onnxtrim.calibration import Judge, input_specs
from onnxtrim.graph import load, normalize
from onnxtrim.graph.runtime import Runner
from onnxtrim.graph.shapes import concrete_shapes
from onnxtrim.selection import CostModel

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

__all__ = ["PEERS", "onnxsim_points", "onnxsim_resnet", "resnet20", "torch_pruning_points"]

Points = list[tuple[float, float]]

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Of the inner channels; about as much of the MACs goes, as nearly all are in front or behind."""
FOLDED, UNFOLDED = "cifar10_resnet20.onnx", "cifar10_resnet20_bn_kept.onnx"
SAMPLE = (3, 32, 32)


def _macs(model: ir.Model) -> int:
    """Returns the MACs for one sample."""
    sample = {
        spec.name: np.zeros((1, *(size or 1 for size in spec.shape[1:])), spec.dtype)
        for spec in input_specs(model)
    }
    return CostModel(model, concrete_shapes(model, sample)).now().macs


def _point(model: ir.Model, macs: int, judge: Judge) -> tuple[float, float]:
    """Returns the MACs left of `macs`, and the accuracy."""
    return _macs(model) / macs, judge(model).metric.after


def onnxsim_points(path: Path, judge: Judge, sparsities: Sequence[float] = SHARES) -> Points:
    """Returns what is left of any model after onnxsim's structured pruning, and its accuracy."""
    import onnxsim

    macs = _macs(normalize(load(path)))
    return [
        _point(normalize(load(onnxsim.apply_structured_pruning(str(path), share))), macs, judge)
        for share in sparsities
    ]


def onnxsim_resnet(path: Path, judge: Judge) -> Points:
    """Returns what onnxsim makes of the folded export that is beside `path`."""
    return onnxsim_points(path.with_name(FOLDED), judge)


def shortcut(x: "torch.Tensor", margin: int) -> "torch.Tensor":
    """Returns every other row and column, between channels of zeros."""
    from torch.nn import functional

    return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, margin, margin))


def resnet20(path: Path) -> "nn.Module":
    """Returns the network in PyTorch; in and out come from the weights in the file.

    It is a traced graph, not a class: where torch is missing, a type checker refuses to derive.
    """
    import torch
    from torch import fx, nn

    weights = {
        tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load(path).graph.initializer
    }
    graph, modules = fx.Graph(), dict[str, Any]()

    def convolved(x: "fx.Node", prefix: str, number: int) -> "fx.Node":
        conv, norm = f"{prefix}conv{number}", f"{prefix}bn{number}"
        made, width = weights[f"{conv}.weight"].shape[:2]
        stride = 2 if made == 2 * width else 1
        modules[conv] = nn.Conv2d(width, made, 3, stride, padding=1, bias=False)
        modules[norm] = nn.BatchNorm2d(made)
        return graph.call_module(norm, (graph.call_module(conv, (x,)),))

    def relu(x: "fx.Node") -> "fx.Node":
        return graph.call_function(torch.relu, (x,))

    x = relu(convolved(graph.placeholder("input"), "", 1))
    for prefix in (f"layer{stage}.{block}." for stage in (1, 2, 3) for block in (0, 1, 2)):
        y = convolved(relu(convolved(x, prefix, 1)), prefix, 2)
        made, width = weights[f"{prefix}conv1.weight"].shape[:2]
        if made != width:
            x = graph.call_function(shortcut, (x, (made - width) // 2))
        x = relu(graph.call_function(torch.add, (y, x)))
    made, width = weights["linear.weight"].shape
    modules["linear"] = nn.Linear(width, made)
    graph.output(graph.call_module("linear", (graph.call_method("mean", (x, (2, 3))),)))
    network = fx.GraphModule(modules, graph)
    network.load_state_dict(weights)
    return network.eval()


def _exported(network: "nn.Module") -> ir.Model:
    """Returns the network as a model of the same inputs and outputs as the file."""
    import torch

    export: Any = torch.onnx.export  # takes files as well, which its annotations leave out
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that needs no more packages is deprecated, and says what it does not fold.
        warnings.simplefilter("ignore")
        export(
            network,
            (torch.zeros(1, *SAMPLE),),
            file,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "N"}, "output": {0: "N"}},
            dynamo=False,
        )
    return normalize(load(file.getvalue()))


def _thinner(path: Path, share: float) -> ir.Model:
    """Returns the network after Torch-Pruning took a share of its inner channels."""
    import torch
    from torch import nn

    pruning = importlib.import_module("torch_pruning")
    network = resnet20(path)
    kept = [
        module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
        and not (name.startswith("layer") and name.endswith("conv1"))
    ]
    pruner = pruning.pruner.BasePruner(
        network,
        torch.zeros(1, *SAMPLE),
        importance=pruning.importance.GroupMagnitudeImportance(),
        pruning_ratio=share,
        ignored_layers=kept,
    )
    pruner.step()
    return _exported(network)


def torch_pruning_points(path: Path, judge: Judge, shares: Sequence[float] = SHARES) -> Points:
    """Returns what is left of ResNet-20 after Torch-Pruning, and its accuracy.

    Its weights come from the export that is beside `path` and has BatchNormalization on its own.

    Raises:
        ValueError: the network in PyTorch answers otherwise than that in `path` does.
    """
    weights = path.with_name(UNFOLDED)
    model, rebuilt = normalize(load(path)), _exported(resnet20(weights))
    noise = {"input": np.random.default_rng(0).normal(size=(8, *SAMPLE)).astype(np.float32)}
    answer, other = (Runner(one)(noise)["output"] for one in (model, rebuilt))
    if not np.allclose(answer, other, rtol=1e-4, atol=1e-4):
        raise ValueError(f"{path.name} is another network than the one rebuilt from {weights.name}")
    macs = _macs(model)
    return [_point(_thinner(weights, share), macs, judge) for share in shares]


PEERS: dict[str, Callable[[Path, Judge], Points]] = {}
"""Those that are installed."""
if find_spec("onnxsim"):
    PEERS["onnxsim"] = onnxsim_resnet
if find_spec("torch") and find_spec("torch_pruning"):
    PEERS["Torch-Pruning"] = torch_pruning_points
