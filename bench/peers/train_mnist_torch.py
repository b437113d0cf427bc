"""One epoch of MNIST in PyTorch: the peer of `gyrus learn mnist --epochs 1`.

The network of the built-in blueprint `mnist-cnn`, AdamW under a one-cycle schedule, light affine augmentation,
5 % of the training pictures held out for validation. Tuned for a CPU: pictures sit in memory as tensors,
augmentation is one call per batch, the optimizer is fused, and no loader processes stand in between. The last
line of stdout is one JSON object.

    python train_mnist_torch.py DIRECTORY [--threads N] [--seed N] [--layout contiguous|channels_last]
"""

import time

START = time.perf_counter()

import argparse
import gzip
import json
import math
from pathlib import Path

import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F

IMPORTED = time.perf_counter()

BATCH = 64
EVALUATION_BATCH = 500
VALIDATION_SHARE = 0.05
PEAK_LEARNING_RATE = 3e-3


def read_idx(path):
    """An IDX file of unsigned bytes as an array of the shape that its header names."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if raw[:3] != b"\x00\x00\x08":
        raise SystemExit(f"{path}: not an IDX file of unsigned bytes")
    shape = numpy.frombuffer(raw, ">u4", raw[3], 4)
    return torch.from_numpy(numpy.frombuffer(raw, numpy.uint8, -1, 4 + 4 * raw[3]).reshape(shape).copy())


def read_split(directory, stem):
    arrays = []
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        candidates = [directory / f"{stem}-{kind}{suffix}" for suffix in (".gz", "")]
        path = next((path for path in candidates if path.exists()), None)
        if path is None:
            raise SystemExit(f"neither {candidates[0]} nor {candidates[1]} exists")
        arrays.append(read_idx(path))
    images, labels = arrays
    return images.unsqueeze(1).float().div_(255).sub_(0.1307).div_(0.3081), labels.long()


def network():
    def convolution(channels_in, channels_out):
        return [
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        ]

    return nn.Sequential(
        *convolution(1, 16),
        *convolution(16, 16),
        nn.MaxPool2d(2),
        *convolution(16, 32),
        *convolution(32, 32),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 128, bias=False),
        nn.BatchNorm1d(128),
        nn.ReLU(inplace=True),
        nn.Dropout(0.3),
        nn.Linear(128, 10),
    )


def augment(images):
    """Each picture turned by up to 10 degrees, scaled by up to 10 % and moved by up to 2 of 28 pixels."""
    count = images.shape[0]
    angle, scale, x, y = torch.rand(4, count).mul_(2).sub_(1)
    angle = angle * math.radians(10)
    scale = 1 + 0.1 * scale
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    # affine_grid measures the picture from -1 to 1, so 2 of 28 pixels are 2 / 14.
    rows = (cosine, -sine, x * (2 / 14), sine, cosine, y * (2 / 14))
    grid = F.affine_grid(torch.stack(rows, 1).view(count, 2, 3), images.shape, align_corners=False)
    # "border" repeats the background, which after normalization is not 0.
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def accuracy(model, images, labels, memory_format):
    model.eval()
    correct = 0
    with torch.inference_mode():
        for batch, expected in zip(images.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH)):
            predicted = model(batch.contiguous(memory_format=memory_format)).argmax(1)
            correct += (predicted == expected).sum().item()
    return correct / len(labels)


def main():
    parser = argparse.ArgumentParser(description="One epoch of MNIST in PyTorch.")
    parser.add_argument("directory", type=Path, help="holds the four IDX files, gzipped or not")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layout", choices=("contiguous", "channels_last"), default="channels_last")
    options = parser.parse_args()

    torch.set_flush_denormal(True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    memory_format = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format

    images, labels = read_split(options.directory, "train")
    test_images, test_labels = read_split(options.directory, "t10k")
    order = torch.randperm(len(images))
    validation, training = order.split(
        [round(VALIDATION_SHARE * len(images)), len(images) - round(VALIDATION_SHARE * len(images))]
    )
    loaded = time.perf_counter()

    model = network().to(memory_format=memory_format)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=0.01, fused=True)
    batches = training.split(BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=PEAK_LEARNING_RATE, total_steps=len(batches)
    )
    model.train()
    for batch in batches:
        inputs = augment(images[batch]).contiguous(memory_format=memory_format)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(inputs), labels[batch]).backward()
        optimizer.step()
        schedule.step()
    trained = time.perf_counter()

    report = {
        "validation_accuracy": accuracy(model, images[validation], labels[validation], memory_format),
        "test_accuracy": accuracy(model, test_images, test_labels, memory_format),
        "import_seconds": round(IMPORTED - START, 3),
        "load_seconds": round(loaded - IMPORTED, 3),
        "training_seconds": round(trained - loaded, 3),
        "evaluation_seconds": round(time.perf_counter() - trained, 3),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
