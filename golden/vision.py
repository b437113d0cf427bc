"""Writes crates/gyrus-vision/tests/golden: small random networks of each family, as their programs save them, with the scores
that those programs compute; and crates/gyrus-data/tests/golden/pillow.json: pictures resized by Pillow.

Needs `timm`, `torchvision`, `transformers`, `safetensors`, `efficientnet-lite-pytorch` and Pillow beside
golden/requirements.txt; then `python golden/vision.py`.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from golden import made_by, write

FOLDER = Path(__file__).parents[1] / "crates/gyrus-vision/tests/golden"


def picture(channels: int, side: int, count: int = 2) -> torch.Tensor:
    """A picture that the test makes in the same way: `[count, channels, side, side]`, each number exact in 16 bits."""
    index = torch.arange(count * channels * side * side)
    return ((index * 37 % 101 - 50) / 32).float().reshape(count, channels, side, side)


def randomize(network: torch.nn.Module) -> None:
    """Random parameters and statistics, rounded to 16 bits, in which they are saved. Weights keep the size of the signal."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif tensor.ndim > 1:
                tensor.normal_().mul_((1.5 / tensor[0].numel()) ** 0.5)
            elif name.endswith("weight"):
                tensor.uniform_(0.7, 1.3)
            elif name.endswith(("gamma", "lambda1", "layer_scale", "layer_scale_parameter")):
                tensor.uniform_(0.2, 0.8)
            else:
                tensor.normal_().mul_(0.1)
            tensor.copy_(tensor.half().float())


def case(name: str, network: torch.nn.Module, side: int, config: dict | None = None, answer=lambda y: y) -> dict:
    randomize(network)
    network.eval()
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if hasattr(network, "save_pretrained"):
        # Under the names of published files, which differ from those in memory.
        network.half().save_pretrained(folder)
        network.float()
        (folder / "config.json").unlink()
    else:
        state = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
        save_file({key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config) + "\n")
    with torch.no_grad():
        scores = answer(network(picture(3, side)))
    print(name, sum(file.stat().st_size for file in folder.iterdir()), "bytes,", tuple(scores.shape), float(scores.abs().max()))
    return dict(name=name, side=side, scores=[float(f"{value:.9g}") for value in scores.flatten().tolist()])


def timm_size(side: int, **more) -> dict:
    return dict(pretrained_cfg=dict(input_size=[3, side, side]), **more)


def networks() -> list[dict]:
    import timm.models.convnext as convnext
    import timm.models.efficientnet as efficientnet
    import timm.models.resnet as resnet
    import timm.models.vision_transformer as vit
    import torchvision
    import transformers
    from efficientnet_lite_pytorch import EfficientNet
    from efficientnet_lite_pytorch.utils import BlockDecoder, get_model_params

    cases = []
    for name, block, layers in [("resnet_basic", resnet.BasicBlock, (2, 1, 1, 1)), ("resnet_bottleneck", resnet.Bottleneck, (2, 1, 1, 1))]:
        channels = (8, 16, 8, 8) if block is resnet.BasicBlock else (4, 4, 8, 8)
        cases.append(case(name, resnet.ResNet(block, layers, channels=channels, num_classes=5), 64, timm_size(64)))
    cases.append(case("mobilenet_torchvision", torchvision.models.MobileNetV2(num_classes=5, width_mult=0.06, round_nearest=2), 48, timm_size(48)))
    narrow = dict(channel_multiplier=0.06, num_classes=5, pretrained=False)
    make = efficientnet._gen_mobilenet_v2
    cases.append(case("mobilenet_timm", make("mobilenetv2_100", **narrow), 48, timm_size(48)))
    make = efficientnet._gen_efficientnet_lite
    lite = make("tf_efficientnet_lite0", bn_eps=1e-3, pad_type="same", **narrow)
    cases.append(case("lite_timm", lite, 48, timm_size(48, architecture="tf_efficientnet_lite0")))
    blocks, params = get_model_params("efficientnet-lite0", dict(num_classes=5, width_coefficient=0.06, depth_divisor=2, image_size=48))
    cases.append(case("lite_lukemelas", EfficientNet(blocks, params), 48, timm_size(48)))

    network = convnext.ConvNeXt(depths=(1, 2, 1, 1), dims=(4, 8, 8, 12), num_classes=5)
    cases.append(case("convnext_timm", network, 64, timm_size(64)))
    setting = torchvision.models.convnext.CNBlockConfig
    stages = [setting(4, 8, 1), setting(8, 8, 2), setting(8, None, 1)]
    network = torchvision.models.ConvNeXt(stages, num_classes=5)
    cases.append(case("convnext_torchvision", network, 64, timm_size(64)))
    config = transformers.ConvNextConfig(hidden_sizes=[4, 8, 8, 12], depths=[1, 1, 2, 1], num_labels=5, image_size=64)
    network = transformers.ConvNextForImageClassification(config)
    cases.append(case("convnext_transformers", network, 64, config.to_dict(), lambda y: y.logits))

    network = vit.VisionTransformer(img_size=24, patch_size=8, embed_dim=64, depth=2, num_heads=1, mlp_ratio=1.5, num_classes=5)
    cases.append(case("vit_timm", network, 24, timm_size(24)))
    network = vit.VisionTransformer(img_size=28, patch_size=14, embed_dim=32, depth=2, num_heads=4, mlp_ratio=2, num_classes=0, init_values=1.0)
    cases.append(case("dino_timm", network, 28, timm_size(28, num_attention_heads=4)))
    small = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, image_size=24, patch_size=8)
    config = transformers.ViTConfig(num_labels=5, **small)
    network = transformers.ViTForImageClassification(config)
    cases.append(case("vit_transformers", network, 24, config.to_dict(), lambda y: y.logits))
    config = transformers.Dinov2Config(mlp_ratio=2, **(small | dict(patch_size=6)))
    network = transformers.Dinov2Model(config)
    cases.append(case("dino_transformers", network, 24, config.to_dict(), lambda y: y.pooler_output))
    config = transformers.CLIPVisionConfig(projection_dim=7, **small)
    network = transformers.CLIPVisionModelWithProjection(config)
    cases.append(case("clip_transformers", network, 24, config.to_dict(), lambda y: y.image_embeds))
    return cases


def pillow() -> dict:
    from PIL import Image

    cases = []
    for width, height in [(23, 40), (57, 31), (9, 12)]:
        index = torch.arange(width * height * 3)
        pixels = ((index * 7919 + index // 11 * 131) % 256).to(torch.uint8).reshape(height, width, 3)
        image = Image.fromarray(pixels.numpy())
        for name in ["bilinear", "bicubic", "lanczos"]:
            for shorter, side in [(None, 16), (16, 16), (19, 16), (20, 15)]:
                size = (side, side)
                if shorter is not None:
                    # As torchvision's Resize of one number, and CenterCrop.
                    long = int(shorter * max(width, height) / min(width, height))
                    size = (shorter, long) if width <= height else (long, shorter)
                # One axis after the other: Pillow 13 begins with the rows where that is cheaper, which moves some bytes by 1.
                filter = getattr(Image.Resampling, name.upper())
                resized = image.resize((size[0], height), filter).resize(size, filter)
                left, top = (int(round((size[axis] - side) / 2.0)) for axis in (0, 1))
                cut = resized.crop((left, top, left + side, top + side))
                cases.append(dict(width=width, height=height, filter=name, shorter_side=shorter, side=side, pixels=cut.tobytes().hex()))
    return dict(made_by=made_by("vision.py", "pillow"), cases=cases)


if __name__ == "__main__":
    write("pillow.json", pillow(), crate="gyrus-data")
    packages = ["torch", "timm", "torchvision", "transformers", "efficientnet-lite-pytorch"]
    write("vision.json", dict(made_by=made_by("vision.py", *packages), cases=networks()), crate="gyrus-vision")
