"""Writes what a work on pictures needs: python vision_models.py FOLDER WORK

For a network: `NAME.safetensors` with random weights and the names of torchvision or timm, `NAME.onnx` of the same network,
and `NAME.parameters`, the number of its parameters. For `jpeg-folder`: `jpeg/`, 256 files of 500 by 375 pixels, cut from
photographs where the folder of them is known ($GYRUS_DATA), otherwise drawn. Nothing is written twice.
"""

import os
import sys
import warnings
from pathlib import Path

NETWORKS = ("resnet50", "resnet18", "mobilenetv2", "efficientnet-lite0", "vit-s16")
JPEGS = 256


def network(name):
    import timm
    import torch
    import torchvision.models as models

    torch.manual_seed(0)
    make = {
        "resnet50": models.resnet50,
        "resnet18": models.resnet18,
        "mobilenetv2": models.mobilenet_v2,
        # The form with padding on both sides, which costs PyTorch and the runtimes less than TensorFlow's.
        "efficientnet-lite0": lambda: timm.create_model("efficientnet_lite0"),
        "vit-s16": lambda: timm.create_model("vit_small_patch16_224"),
    }
    return make[name]()


def write_network(folder, name):
    import torch
    from safetensors.torch import save_file

    if (folder / f"{name}.parameters").exists():
        return
    model = network(name).eval()
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / f"{name}.safetensors")
    with warnings.catch_warnings():
        # The exporter announces its deprecation.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.randn(1, 3, 224, 224),), str(folder / f"{name}.onnx"), dynamo=False, opset_version=17,
            input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
        )  # fmt: skip
    parameters = sum(parameter.numel() for parameter in model.parameters())
    (folder / f"{name}.parameters").write_text(str(parameters))


def photographs():
    from PIL import Image

    data = Path(os.environ.get("GYRUS_DATA", "../shared/data"))
    found = sorted((data / "vision/pictures").glob("*.jpg")) + sorted((data / "photos_skimage").glob("*.png"))
    pictures = [Image.open(path).convert("RGB") for path in found]
    pictures = [picture for picture in pictures if min(picture.size) >= 300]
    if not pictures:
        import numpy

        random = numpy.random.default_rng(0)
        noise = random.integers(0, 256, (8, 40, 60, 3), dtype=numpy.uint8)
        pictures = [Image.fromarray(one).resize((900, 600), Image.BICUBIC) for one in noise]
    return pictures


def write_jpegs(folder):
    import random

    from PIL import Image

    if folder.exists():
        return
    pictures = photographs()
    unfinished = folder.with_suffix(".unfinished")
    unfinished.mkdir(exist_ok=True)
    draw = random.Random(0)
    for index in range(JPEGS):
        picture = pictures[index % len(pictures)]
        width, height = picture.size
        share = draw.uniform(0.6, 1.0)
        wide, high = int(width * share), int(height * share)
        left, top = draw.randrange(width - wide + 1), draw.randrange(height - high + 1)
        part = picture.resize((500, 375), Image.BICUBIC, (left, top, left + wide, top + high))
        part.save(unfinished / f"{index:03}.jpg", quality=90)
    unfinished.rename(folder)


if __name__ == "__main__":
    folder, work = Path(sys.argv[1]), sys.argv[2]
    if work == "jpeg-folder":
        write_jpegs(folder / "jpeg")
    for name in NETWORKS:
        if work.startswith(name + "-"):
            write_network(folder, name)
