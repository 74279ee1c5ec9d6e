"""VGG-16 at its published widths, cut to the widths that two papers kept of it; prints JSON.

    python tools/bench/reproduce_vgg16.py [--threads 1] [--json FILE] [--plot FILE]

The first table is that of gradually global pruning (Wang et al. 2017) on images of cats and dogs,
the second that of Network Trimming (Hu et al. 2016), which cuts the last convolution and the first
fully connected layer. The weights are random and the channels that go are drawn by lot: widths
decide about parameters, multiply-accumulates and time, and nothing else is looked at. Both counts
must be, to the unit, what follows from the widths.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from drawing import bars, canvas
from networks import VGG16, vgg16
from reproducing import conclude, cut_to, figures, options

from onnxtrim.report import environment

# fmt: off
CATS_AND_DOGS = {
    "conv1_1": 28, "conv1_2": 28,
    "conv2_1": 59, "conv2_2": 74,
    "conv3_1": 169, "conv3_2": 192, "conv3_3": 216,
    "conv4_1": 495, "conv4_2": 511, "conv4_3": 512,
    "conv5_1": 512, "conv5_2": 512, "conv5_3": 506,
    "fc1": 4096, "fc2": 392,
}
# fmt: on
TRIMMED = {
    (488, 3477): 1.19,
    (451, 2937): 1.45,
    (430, 2479): 1.71,
    (420, 2121): 1.96,
    (400, 1787): 2.28,
    (390, 1513): 2.59,
}
"""Widths of conv5_3 and fc1, and how many times fewer parameters the paper says there are."""


def counted(widths: Mapping[str, int]) -> tuple[int, int]:
    """Returns the parameters and the multiply-accumulates of VGG-16 at some widths.

    A 3 x 3 convolution from c to d channels on s x s positions has d (9 c + 1) parameters and
    takes 9 c d s^2; a fully connected layer from c to d has d (c + 1) and takes c d.
    """
    params, macs, channels, side = 0, 0, 3, 224
    for name, width in {**VGG16, **widths}.items():
        if name in ("conv2_1", "conv3_1", "conv4_1", "conv5_1", "fc1"):
            side //= 2
        if name == "fc1":
            channels, side = channels * side**2, 1
        inputs = 9 * channels if name.startswith("conv") else channels
        params += width * (inputs + 1)
        macs += inputs * width * side**2
        channels = width
    return params, macs


def row(path: Path, widths: Mapping[str, int], threads: int) -> dict[str, Any]:
    """Returns what the network costs at some widths, once it is what they say that it costs."""
    found = figures(cut_to(path, widths, threads=threads).report)
    expected = counted({}), counted(widths)
    for place, key in enumerate(("params", "macs")):
        said = [each[place] for each in expected]
        assert found[key] == said, f"{key} {found[key]}, but {said} by the widths"
    ratios = {f"times_fewer_{key}": found[key][0] / found[key][1] for key in ("params", "macs")}
    print(dict(widths), ratios, found["latency_ratio"], flush=True)
    return {"widths": dict(widths), **ratios, **found}


def draw(cats: Mapping[str, int], trimmed: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    """Returns the picture: what stays of every layer, and what that saves."""
    figure, ((left, right),) = canvas(1, 2, (11, 4.5))
    names = list(cats)
    kept = [cats[name] / VGG16[name] for name in names]
    bars(left, names, {"": kept})
    for place, name in enumerate(names):
        left.text(place, kept[place], cats[name], ha="center", va="bottom", fontsize="x-small")
    left.set(title="cats and dogs", ylabel="share of the channels that stay", ylim=(0, 1.1))
    labels = ["-".join(map(str, each["widths"].values())) for each in trimmed]
    kinds = {
        "published: parameters": [each["published"] for each in trimmed],
        "counted: parameters": [each["times_fewer_params"] for each in trimmed],
        "counted: MACs": [each["times_fewer_macs"] for each in trimmed],
        "measured: time": [1 / each["latency_ratio"]["median"] for each in trimmed],
    }
    bars(right, labels, kinds)
    right.set(title="Network Trimming", xlabel="channels of conv5_3 and fc1", ylabel="times less")
    return figure


def main() -> None:
    """Cuts the network to every row."""
    arguments: argparse.Namespace = options(__doc__, "vgg16").parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vgg16.onnx"
        onnx.save(vgg16(), path)
        cats = row(path, CATS_AND_DOGS, arguments.threads)
        cats["channels"] = [sum(VGG16[n] for n in CATS_AND_DOGS), sum(CATS_AND_DOGS.values())]
        trimmed = [
            row(path, {"conv5_3": conv, "fc1": dense}, arguments.threads) | {"published": published}
            for (conv, dense), published in TRIMMED.items()
        ]
    found = {
        "environment": environment() | {"threads": str(arguments.threads)},
        "original_widths": dict(VGG16),
        "cats_and_dogs": cats,
        "network_trimming": trimmed,
    }
    conclude(arguments, found, draw(CATS_AND_DOGS, trimmed))


if __name__ == "__main__":
    main()
