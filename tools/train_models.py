"""Train the example models and write them, with their held-out images, to ``models/``.

With ``--mnist FILE --out FOLDER`` it trains the same LeNet on MNIST instead, and writes nothing but
``lenet-mnist.onnx``; with ``--cifar FILE --out FOLDER`` a VGG-like network on CIFAR-10, and nothing
but ``vgg-cifar.onnx``. It needs torch, scikit-learn, Pillow, onnx-graphsurgeon and onnxruntime.
"""

from __future__ import annotations

import argparse
import io
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from authoring import checked_logits, to_onnx, write_atomically
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from train_vgg import train_vgg

SIDE = 28
HELD_OUT_PER_DIGIT = 30
SPLIT_SEED = 0  # Not --seed: the held-out images are the same whatever the training does.
THREADS = 2  # Fixed, since the order of float additions depends on it.
EPOCHS = 40
MNIST_EPOCHS = 4
MNIST_ACCURACY = 0.99  # On the test images; what MNIST is trained for starts from that.
BATCH = 32
LEARNING_RATE = 0.03
WEIGHT_DECAY = 2e-3
MAX_SHIFT = 2  # Pixels.
MAX_ROTATION = 8  # Degrees.

README = """\
# Example models

`python tools/train_models.py --seed {seed}` writes everything here, this file too. The same seed on
the same machine, with the same versions of the libraries, gives the same bytes.
{sections}
## `digits/`

`digits/<digit>/<digit>_<nnn>.png`: {each} held-out images of each handwritten digit, as 28x28 8-bit
grey PNGs. No model here was trained on them. A model's input is the grey values divided by 255
(float32, 0 to 1), and nothing else.

They are from the 1797 scanned digits that scikit-learn ships (`sklearn.datasets.load_digits`), a
copy of the test part of this UCI dataset:

> E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits [Dataset].
> UCI Machine Learning Repository. <https://doi.org/10.24432/C50P49>

It is licensed under [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/) (Creative Commons
Attribution 4.0 International), and so are the PNGs. Changes made: the 8x8 images of values 0 to 16
were scaled to grey values 0 to 255 and enlarged to 28x28 (bicubic). The held-out images were picked
at random, the same ones whatever the seed; the others are the training images. The data does not
say who wrote which digit, so one writer may be in both parts.
"""

LENET_README = """
## `lenet-digits.onnx`

A LeNet that reads one handwritten digit: two 5x5 convolutions (20 and 50 channels), each followed
by Relu and 2x2 max pooling, then fully connected layers of 500 and 10 units. Input `image`, float32
`[N, 1, 28, 28]`; output `logits`, float32 `[N, 10]`; opset 17.

Accuracy in ONNX Runtime: {held_out} on the held-out images,
{train} on the training images.
"""

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Digits:
    """The digit images, as grey values ``[n, 28, 28]``, with their labels ``[n]``."""

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels


def load_data() -> Digits:
    """Enlarge scikit-learn's digits and hold the same number of each digit out."""
    source = load_digits()
    small = np.rint(source.images * (255 / 16)).astype(np.uint8)
    large = [Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for one in small]
    images = np.stack([np.asarray(one) for one in large])
    labels = source.target.astype(np.int64)
    rng = np.random.default_rng(SPLIT_SEED)
    chosen = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    held_out = np.concatenate([np.sort(one[:HELD_OUT_PER_DIGIT]) for one in chosen])
    train = np.setdiff1d(np.arange(len(labels)), held_out)
    return Digits(images[train], labels[train], images[held_out], labels[held_out])


def load_mnist(path: Path) -> Digits:
    """Read MNIST from an ``.npz`` of x_train, y_train, x_test and y_test."""
    with np.load(path) as stored:
        labels = {part: stored[f"y_{part}"].astype(np.int64) for part in ("train", "test")}
        return Digits(stored["x_train"], labels["train"], stored["x_test"], labels["test"])


def write_images(digits: Digits, out: Path) -> None:
    """Write the held-out images as ``digits/<digit>/<digit>_<nnn>.png``."""
    for digit in range(10):
        for number, pixels in enumerate(digits.test_images[digits.test_labels == digit]):
            png = io.BytesIO()
            Image.fromarray(pixels).save(png, format="PNG", optimize=True)
            write_atomically(out / f"digits/{digit}/{digit}_{number:03d}.png", png.getvalue())


def model_input(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Turn grey values ``[n, 28, 28]`` into the models' input ``[n, 1, 28, 28]``."""
    return pixels[:, np.newaxis].astype(np.float32) / np.float32(255)


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift and rotate each image at random, keeping to the 256 grey values of a PNG."""
    uniform = torch.rand(3, len(images), generator=generator) * 2 - 1
    angle = uniform[0] * np.deg2rad(MAX_ROTATION)
    shift = uniform[1:] * (MAX_SHIFT * 2 / SIDE)
    cos, sin = torch.cos(angle), torch.sin(angle)
    theta = torch.stack([cos, -sin, shift[0], sin, cos, shift[1]], dim=1).view(-1, 2, 3)
    grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return torch.round(nn.functional.grid_sample(images, grid, align_corners=False) * 255) / 255


def fit(network: nn.Module, digits: Digits, seed: int, epochs: int) -> None:
    """Train a network on the training images."""
    images = torch.from_numpy(model_input(digits.train_images))
    labels = torch.from_numpy(digits.train_labels)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(images), generator=generator), BATCH):
            optimizer.zero_grad()
            logits = network(augment(images[batch], generator))
            torch.autograd.backward(nn.functional.cross_entropy(logits, labels[batch]))
            optimizer.step()
        schedule.step()


def build_lenet() -> nn.Sequential:
    """Make the untrained LeNet; its layers' names are those of the ONNX nodes."""
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(1, 20, 5),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(20, 50, 5),
        "relu2": nn.ReLU(),
        "pool2": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(800, 500),
        "relu3": nn.ReLU(),
        "fc2": nn.Linear(500, 10),
    }
    return nn.Sequential(OrderedDict(layers))


def train_lenet(
    name: str, digits: Digits, seed: int, epochs: int, least: float, out: Path
) -> tuple[str, str]:
    """Train and write a LeNet; say its accuracy on the training and on the held-out images.

    One that gets less than the share ``least`` of the held-out images right is not written.
    """
    torch.manual_seed(seed)
    network = build_lenet()
    fit(network, digits, seed, epochs)
    model = to_onnx(network, name, "image", (1, SIDE, SIDE))
    said = []
    parts = [(digits.train_images, digits.train_labels), (digits.test_images, digits.test_labels)]
    for images, labels in parts:
        logits = checked_logits(model, network, model_input(images), batch=len(images))
        correct = int((logits.argmax(axis=1) == labels).sum())
        said.append(f"{correct / len(labels):.2%} ({correct} of {len(labels)})")
    if correct < least * len(labels):
        raise ValueError(f"{name}: {said[1]} on the held-out images, less than {least:.1%}")
    write_atomically(out / f"{name}.onnx", model.SerializeToString(deterministic=True))
    print(f"{name}.onnx: accuracy {said[0]} training, {said[1]} held-out")
    return said[0], said[1]


def make_lenet(digits: Digits, seed: int, out: Path) -> str:
    """Train and write ``lenet-digits.onnx``; give its section of the README back."""
    train, held_out = train_lenet("lenet-digits", digits, seed, EPOCHS, 0.0, out)
    return LENET_README.format(train=train, held_out=held_out)


# Each entry makes one model and returns its section of the README.
MODELS: list[Callable[[Digits, int, Path], str]] = [make_lenet]


def main() -> None:
    """Make the held-out images, every model and the README."""
    parser = argparse.ArgumentParser(description="Train the example models and write them.")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training (default: 0)")
    parser.add_argument("--out", type=Path, help="where it all goes (default: models)")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--mnist", type=Path, help="train on this mnist.npz; needs --out")
    other.add_argument("--cifar", type=Path, help="train on this cifar10_jpeg.npz; needs --out")
    args = parser.parse_args()
    if (args.mnist or args.cifar) and args.out is None:
        parser.error("--mnist and --cifar need --out; their models are none of the examples")
    args.out = args.out or Path("models")
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    if args.mnist:
        mnist = load_mnist(args.mnist)
        train_lenet("lenet-mnist", mnist, args.seed, MNIST_EPOCHS, MNIST_ACCURACY, args.out)
        return
    if args.cifar:
        train_vgg(args.cifar, args.seed, args.out)
        return
    digits = load_data()
    sections = "".join(make(digits, args.seed, args.out) for make in MODELS)
    write_images(digits, args.out)
    readme = README.format(seed=args.seed, sections=sections, each=HELD_OUT_PER_DIGIT)
    write_atomically(args.out / "README.md", readme.encode())


if __name__ == "__main__":
    main()
