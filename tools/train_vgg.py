"""The VGG-like network of 14 layers, at a quarter of its published widths, trained on CIFAR-10."""

from __future__ import annotations

import io
import time
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from authoring import checked_logits, to_onnx, write_atomically
from PIL import Image
from torch import nn

__all__ = ["train_vgg"]

# Published: 64 64 / 128 128 / 256 x3 / 512 x3 / 512 x3, then 512 and the ten classes.
STAGES = ((16, 16), (32, 32), (64, 64, 64), (128, 128, 128), (128, 128, 128))
HIDDEN = 128
EPOCHS = 14
BATCH = 128
LEARNING_RATE = 0.1
WARMUP = 0.2  # Share of the steps in which the rate rises; then it falls to 0 as a line.
WEIGHT_DECAY = 5e-4
MARGIN = 4  # Pixels by which a crop may be off.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def load_cifar(path: Path, part: str) -> tuple[Images, Labels]:
    """Read a part of CIFAR-10 from an ``.npz`` of JPEG bytes, normalised, ``[n, 3, 32, 32]``."""
    with np.load(path) as stored:
        blob, offsets = stored[f"{part}_blob"], stored[f"{part}_offsets"]
        labels = stored[f"{part}_labels"].astype(np.int64)
    files = (io.BytesIO(blob[start:end].tobytes()) for start, end in pairwise(offsets))
    pixels = np.stack([np.asarray(Image.open(one).convert("RGB")) for one in files])
    images = (pixels.astype(np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels


def build_vgg() -> nn.Sequential:
    """Make the untrained network; its layers' names are those of the ONNX nodes."""
    layers: dict[str, nn.Module] = {}
    last = 3
    for stage, widths in enumerate(STAGES, 1):
        for number, width in enumerate(widths, 1):
            key = f"{stage}_{number}"
            layers[f"conv{key}"] = nn.Conv2d(last, width, 3, padding=1, bias=False)
            layers[f"bn{key}"] = nn.BatchNorm2d(width)
            layers[f"relu{key}"] = nn.ReLU()
            last = width
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    layers |= {"flatten": nn.Flatten(), "fc1": nn.Linear(last, HIDDEN), "relu": nn.ReLU()}
    layers["fc2"] = nn.Linear(HIDDEN, 10)
    return nn.Sequential(OrderedDict(layers))


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift each image by up to ``MARGIN`` pixels, its border repeated, and mirror half of them."""
    count, _, side, _ = images.shape
    offsets = torch.randint(0, 2 * MARGIN + 1, (2, count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    rows = (torch.arange(side) + offsets[0] - MARGIN).clamp(0, side - 1)
    columns = (torch.arange(side) + offsets[1] - MARGIN).clamp(0, side - 1)
    columns = torch.where(mirrored, columns.flip(1), columns)
    which = torch.arange(count)[:, None, None]
    return images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def channels_last(values: torch.Tensor) -> torch.Tensor:
    """Lay an array of four axes out as convolutions are fastest at."""
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values


def fit(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> None:
    """Train a network on the training images."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(), LEARNING_RATE, 0.9, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    total = EPOCHS * -(-len(images) // BATCH)
    shares = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / (WARMUP * total), (total - step) / ((1 - WARMUP) * total)),
    )
    start = time.perf_counter()
    for epoch in range(1, EPOCHS + 1):
        loss_sum = 0.0
        for batch in torch.split(torch.randperm(len(images), generator=generator), BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(
                network(augment(images[batch], generator)), labels[batch]
            )
            torch.autograd.backward(loss)
            optimizer.step()
            shares.step()
            loss_sum += loss.item() * len(batch)
        seconds = time.perf_counter() - start
        print(f"epoch {epoch}: loss {loss_sum / len(images):.4f}, {seconds:.0f} s", flush=True)


def train_vgg(path: Path, seed: int, out: Path) -> None:
    """Train and write ``vgg-cifar.onnx``; say its accuracy on the 10,000 test images."""
    torch.manual_seed(seed)
    images, labels = load_cifar(path, "train")
    network = build_vgg()
    for weight in network.parameters():
        weight.data = channels_last(weight.data)
    fit(network, channels_last(torch.from_numpy(images)), torch.from_numpy(labels), seed)
    network.eval()
    model = to_onnx(network, "vgg-cifar", "input", (3, 32, 32))
    images, labels = load_cifar(path, "test")
    correct = int((checked_logits(model, network, images).argmax(axis=1) == labels).sum())
    write_atomically(out / "vgg-cifar.onnx", model.SerializeToString(deterministic=True))
    widths = " ".join(str(width) for stage in STAGES for width in stage)
    share = f"{correct / len(labels):.2%} ({correct} of {len(labels)})"
    print(f"vgg-cifar.onnx: {widths} + {HIDDEN}, accuracy {share} on the test images")
