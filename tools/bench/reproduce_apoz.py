"""The share of zeros of every channel, layer by layer, as Network Trimming plots it; prints JSON.

    python tools/bench/reproduce_apoz.py ASSETS --lenet lenet-mnist.onnx --vgg vgg-cifar.onnx

APoZ of a channel is the share of zeros among its activations after the Relu, over the 10,000 test
images and all positions. The two models are those of `tools/train_models.py --mnist` and `--cifar`;
ASSETS holds `models/cifar10_resnet20.onnx` and the data.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cifar import cifar
from drawing import canvas
from reproducing import conclude, options
from tuning import mnist

from onnxtrim.calibration import measure
from onnxtrim.config import DataConfig
from onnxtrim.report import environment
from onnxtrim.subject import prepare

Shares = dict[str, npt.NDArray[np.float64]]

IMAGES = 10_000
HIGH = 0.9


def zeros(path: Path, data: Any, threads: int) -> Shares:  # noqa: ANN401
    """Returns the APoZ of every channel behind each Relu, (channels,), from input to output."""
    subject = prepare(path, data, DataConfig(threads=threads))
    assert subject.data is not None
    channels = subject.channel_map
    groups = (*channels.groups, *channels.frozen_groups)
    taps = {tap.tensor: tap for group in groups for tap in group.taps if tap.zeroes}
    found = measure(
        subject.model, list(taps.values()), ["zeros"], subject.data, threads=threads
    ).statistics
    makers = {value.name: node for node in subject.model.graph for value in node.outputs}
    return {
        label(makers[name].name or name): found[name, taps[name].axis]["zeros"]
        for name in makers
        if name in taps
    }


def label(name: str) -> str:
    """Returns the last two parts of the name of a node, which are enough to tell it."""
    return "/".join(name.split("/")[-2:]).strip("/")


def row(name: str, shares: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Returns what there is to say of the channels of a layer."""
    return {
        "layer": name,
        "channels": len(shares),
        "mean": round(float(shares.mean()), 4),
        "std": round(float(shares.std()), 4),
        "deciles": np.percentile(shares, range(0, 101, 10)).round(4).tolist(),
        "above_0.9": int((shares > HIGH).sum()),
        "never_fire": int((shares == 1).sum()),
        "beyond_one_std": int((shares > shares.mean() + shares.std()).sum()),
    }


def draw(models: dict[str, Shares]) -> Any:  # noqa: ANN401
    """Returns the picture: sorted APoZ of the channels of each layer, and the means below."""
    from matplotlib import colormaps

    figure, (above, below) = canvas(2, len(models), (12, 7))
    for (name, layers), upper, lower in zip(models.items(), above, below, strict=True):
        colors = colormaps["viridis"].resampled(len(layers))
        for index, shares in enumerate(layers.values()):
            places = np.linspace(0, 1, len(shares))
            upper.plot(places, np.sort(shares), color=colors(index))
        upper.set(title=name, xlabel="channels, sorted (share of the layer)", ylim=(0, 1))
        means = [shares.mean() for shares in layers.values()]
        spread = [shares.std() for shares in layers.values()]
        lower.bar(
            range(len(means)), means, yerr=spread, color=[colors(i) for i in range(len(means))]
        )
        lower.set_xticks(
            range(len(means)), list(layers), rotation=60, ha="right", fontsize="x-small"
        )
        lower.set(ylim=(0, 1))
        for axes in (upper, lower):
            axes.grid(alpha=0.3)
            axes.set_axisbelow(True)
    above[0].set(ylabel="APoZ")
    below[0].set(ylabel="mean APoZ, one deviation")
    return figure


def main() -> None:
    """Measures the three networks."""
    parser = options(__doc__, "apoz")
    parser.add_argument("assets", type=Path)
    parser.add_argument("--lenet", type=Path, default=Path("lenet-mnist.onnx"))
    parser.add_argument("--vgg", type=Path, default=Path("vgg-cifar.onnx"))
    arguments: argparse.Namespace = parser.parse_args()
    assets, threads = arguments.assets, arguments.threads
    digits, _ = mnist(assets, "test")
    photographs, _ = cifar(assets, "test", IMAGES)
    models = {
        "LeNet, MNIST": zeros(arguments.lenet, digits, threads),
        "VGG-like, CIFAR-10": zeros(arguments.vgg, photographs, threads),
        "ResNet-20, CIFAR-10": zeros(
            assets / "models" / "cifar10_resnet20.onnx", photographs, threads
        ),
    }
    found = {
        "environment": environment(),
        "images": IMAGES,
        "models": {
            name: [row(layer, shares) for layer, shares in layers.items()]
            for name, layers in models.items()
        },
    }
    conclude(arguments, found, draw(models))


if __name__ == "__main__":
    main()
