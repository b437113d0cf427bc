"""Measures transfer: `gyrus learn FOLDER --from MODEL` with few pictures a class against a network from random weights and against
the nearest neighbors of raw pixels, three seeds each.

    python golden/transfer.py GYRUS DATA WORK [--lite0 WEIGHTS.pth] [--pictures 10 50 250] [--only NAME...] [--threads 1]

GYRUS is the program, DATA the folder with `mnist`, `cifar10` and `weights`, WORK a folder for pictures and runs. Of CIFAR-10, the
first training batch and the first thousand test images are used; of MNIST, the first 20,000 training and the first thousand test
images; of the digits, four fifths for training. The seed chooses the pictures, their validation part and the random weights.
Each result is a line of `WORK/transfer.jsonl`; results that stand there are not measured again.
"""

import argparse
import gzip
import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy
from PIL import Image

SEEDS = (0, 1, 2)
CIFAR = "airplane automobile bird cat deer dog frog horse ship truck".split()
DIGITS = [str(digit) for digit in range(10)]


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

    return dict(names=DIGITS, train=read("train", 20000), test=read("t10k", 1000))


def digits(_: Path) -> dict:
    rows = gzip.open(Path(__file__).parent.parent / "crates/gyrus-data/data/optdigits.csv.gz", "rt")
    table = numpy.loadtxt(rows, delimiter=",", dtype=numpy.int64)
    images = numpy.rint(table[:, :64].reshape(-1, 8, 8) * 255 / 16).astype(numpy.uint8)
    first = len(table) * 4 // 5
    return dict(names=DIGITS, train=(images[:first], table[:first, 64]), test=(images[first:], table[first:, 64]))


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
    arguments.add_argument("--pictures", type=int, nargs="+", default=[10, 50, 250])
    arguments.add_argument("--only", nargs="+", help="lite0, resnet20, five or scratch")
    arguments.add_argument("--threads", default="0")
    given = arguments.parse_args()
    record = given.work / "transfer.jsonl"
    given.work.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []

    def run(folder: Path, *more: str) -> dict:
        command = [given.gyrus, "learn", str(folder), "--overwrite", "--json", "--threads", given.threads, *more]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode != 0:
            raise SystemExit(found.stderr)
        return json.loads(found.stdout)

    def five() -> str:
        """A ResNet-20 that has seen five of CIFAR's classes."""
        out = given.work / "five"
        if not (out / "model.safetensors").exists():
            write(given.work / "first-five", cifar(given.data), [0, 1, 2, 3, 4], None, 0)
            more = "--image-size 32 --blueprint resnet20 --optimizer sgd --learning-rate 0.05 --epochs 20 --batch-size 64"
            report = run(given.work / "first-five", *more.split(), "--weight-decay", "5e-4", "--out", str(out))
            print("ResNet-20 on five classes:", report["test_accuracy"], flush=True)
        return str(out)

    residual = str(given.data / "weights/resnet_cifar/resnet20-12fca82f.safetensors")
    whole = list(range(10))
    # Data, its classes, where the network comes from, what of it learns, the side of a picture, the last a network from random weights.
    data = {"CIFAR-10": (cifar, whole, 32), "MNIST": (mnist, whole, 28), "digits": (digits, whole, 8)}
    data["CIFAR-10's other five"] = (cifar, [5, 6, 7, 8, 9], 32)
    cases = [("scratch", name, "all") for name in data]
    if given.lite0:
        cases += [("lite0", name, "last") for name in ("CIFAR-10", "MNIST", "digits")]
    cases += [("resnet20", name, learned) for learned in ("last", "all") for name in ("MNIST", "digits")]
    cases += [("five", "CIFAR-10's other five", learned) for learned in ("last", "all")]
    for pictures in given.pictures:
        for source, name, learned in cases:
            if given.only and source not in given.only:
                continue
            load, classes, side = data[name]
            if name == "digits" and pictures > 130:
                continue
            for seed in SEEDS:
                key = dict(data=name, pictures=pictures, source=source, learned=learned, seed=seed)
                if any(all(row[part] == value for part, value in key.items()) for row in rows):
                    continue
                begin = time.time()
                folder = given.work / "pictures"
                shutil.rmtree(folder, ignore_errors=True)
                write(folder, load(given.data), classes, pictures, seed)
                options = ["--out", str(given.work / "run"), "--seed", str(seed)]
                if source == "scratch":
                    options += ["--image-size", str(side)]
                else:
                    model = {"lite0": given.lite0, "resnet20": residual}.get(source) or five()
                    options += ["--from", model] + (["--freeze"] if learned == "last" else [])
                report = run(folder, *options)
                near = [rule["accuracy"] for rule in report["baselines"] if "nearest" in rule["name"]]
                row = dict(**key, accuracy=report["test_accuracy"], nearest=near, seconds=round(time.time() - begin, 1))
                rows.append(row)
                with record.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            found = [row for row in rows if (row["data"], row["pictures"], row["source"], row["learned"]) == (name, pictures, source, learned)]
            accuracies = [100 * row["accuracy"] for row in found]
            near = [100 * value for row in found for value in row["nearest"]]
            spread = f"{numpy.mean(accuracies):.1f} ± {numpy.std(accuracies, ddof=1):.1f} %"
            beside = f", nearest {numpy.mean(near):.1f} ± {numpy.std(near, ddof=1):.1f} %" if near else ""
            print(f"{name}, {pictures} a class, {source}, {learned} layers: {spread}{beside}", flush=True)


if __name__ == "__main__":
    main()
