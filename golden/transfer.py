"""Measures transfer: `gyrus learn FOLDER --from MODEL` with few pictures a class against the same network from random weights and
against the nearest neighbors of raw pixels, three seeds each.

    python golden/transfer.py GYRUS DATA WORK [--lite0 WEIGHTS.pth] [--five] [--pictures 10 50 250]

GYRUS is the program, DATA the folder with `mnist`, `cifar10` and `weights`, WORK a folder for pictures and runs. Of CIFAR-10, the
first training batch and the first thousand test images are used; of MNIST, the first thousand test images.
"""

import argparse
import gzip
import json
import subprocess
from pathlib import Path

import numpy
from PIL import Image

SEEDS = (0, 1, 2)
CIFAR = "airplane automobile bird cat deer dog frog horse ship truck".split()


def cifar(data: Path) -> dict:
    def read(name: str) -> tuple:
        records = numpy.frombuffer(gzip.open(data / f"cifar10/{name}.bin.gz").read(), numpy.uint8).reshape(-1, 3073)
        return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]

    return dict(names=CIFAR, train=read("data_batch_1"), test=read("test_batch_first1000"))


def mnist(data: Path) -> dict:
    def read(name: str, count: int) -> tuple:
        images = gzip.open(data / f"mnist/{name}-images-idx3-ubyte.gz").read()[16:]
        labels = gzip.open(data / f"mnist/{name}-labels-idx1-ubyte.gz").read()[8:]
        return numpy.frombuffer(images, numpy.uint8).reshape(-1, 28, 28)[:count], numpy.frombuffer(labels, numpy.uint8)[:count]

    return dict(names=[f"number {digit}" for digit in range(10)], train=read("train", 20000), test=read("t10k", 1000))


def write(folder: Path, source: dict, classes: list[int], pictures: int | None, seed: int) -> None:
    """`train/CLASS/N.png` and `test/CLASS/N.png`; the same seed takes the same pictures."""
    order = numpy.random.default_rng(seed).permutation(len(source["train"][1]))
    for part, (images, labels) in [("train", source["train"]), ("test", source["test"])]:
        for number in classes:
            to = folder / part / source["names"][number]
            to.mkdir(parents=True, exist_ok=True)
            indices = order if part == "train" else numpy.arange(len(labels))
            indices = [index for index in indices if labels[index] == number]
            for index in indices[: pictures if part == "train" else None]:
                Image.fromarray(images[index]).save(to / f"{index}.png")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("gyrus")
    arguments.add_argument("data", type=Path)
    arguments.add_argument("work", type=Path)
    arguments.add_argument("--lite0")
    arguments.add_argument("--five", action="store_true", help="also train a network on half of CIFAR-10's classes first")
    arguments.add_argument("--pictures", type=int, nargs="+", default=[10, 50, 250])
    given = arguments.parse_args()

    def learn(folder: Path, seed: int, *more: str) -> dict:
        out = given.work / "run"
        command = [given.gyrus, "learn", str(folder), "--seed", str(seed), "--out", str(out), "--overwrite", "--json", *more]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode != 0:
            raise SystemExit(run.stderr)
        return json.loads(run.stdout)

    residual = str(given.data / "weights/resnet_cifar/resnet20-12fca82f.safetensors")
    cases = [("MNIST", mnist, list(range(10)), "ResNet-20 of CIFAR-10", residual, "mnist-cnn")]
    if given.five:
        # A ResNet-20 that has seen five of CIFAR's classes goes on to the other five.
        five = given.work / "five"
        write(given.work / "first-five", cifar(given.data), [0, 1, 2, 3, 4], None, 0)
        command = [given.gyrus, "learn", str(given.work / "first-five"), "--image-size", "32", "--blueprint", "resnet20"]
        more = ["--optimizer", "sgd", "--learning-rate", "0.05", "--epochs", "20", "--batch-size", "64", "--weight-decay", "5e-4"]
        run = subprocess.run([*command, *more, "--out", str(five), "--overwrite", "--json"], capture_output=True, text=True)
        print("ResNet-20 on five classes:", json.loads(run.stdout)["test_accuracy"], flush=True)
        case = ("CIFAR-10's other five classes", cifar, [5, 6, 7, 8, 9], "ResNet-20 of the first five", str(five), "resnet20")
        cases.append(case)
    if given.lite0:
        cases.insert(0, ("CIFAR-10", cifar, list(range(10)), "EfficientNet-Lite0 of ImageNet", given.lite0, "cnn"))
    for title, load, classes, name, model, scratch in cases:
        source = load(given.data)
        for pictures in given.pictures:
            found: dict[str, list[float]] = {}
            for seed in SEEDS:
                folder = given.work / f"{title.replace(chr(39), '').replace(' ', '-')}-{pictures}-{seed}"
                write(folder, source, classes, pictures, seed)
                probe = learn(folder, seed, "--from", model, "--freeze")
                found.setdefault("last layer", []).append(probe["test_accuracy"])
                neighbors = [rule["accuracy"] for rule in probe["baselines"] if "nearest" in rule["name"]]
                found.setdefault("nearest pictures", []).extend(neighbors)
                if "Lite0" not in name:
                    found.setdefault("all layers", []).append(learn(folder, seed, "--from", model)["test_accuracy"])
                side = "28" if load is mnist else "32"
                alone = learn(folder, seed, "--image-size", side, "--blueprint", scratch)
                found.setdefault("from scratch", []).append(alone["test_accuracy"])
            shown = {rule: f"{100 * numpy.mean(all):.1f} ± {100 * numpy.std(all, ddof=1):.1f}" for rule, all in found.items()}
            print(f"{title}, {pictures} a class, from {name}: {json.dumps(shown, ensure_ascii=False)}", flush=True)


if __name__ == "__main__":
    main()
