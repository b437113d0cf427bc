"""A tiny TripoSR with random weights through the MIT Python code, stage by stage; and the names and shapes of the published one.

    python golden/triposr.py TRIPOSR crates/gyrus-sculpt/tests/golden/triposr
    python golden/triposr.py TRIPOSR --full FOLDER PICTURE.png   # a random model of the published shape, and a density to cut it at
    python golden/triposr.py TRIPOSR --time FOLDER PICTURE.png LEVEL   # that model by the Python code, with scikit-image's surface

TRIPOSR is a checkout of github.com/VAST-AI-Research/TripoSR; needs torch, transformers==4.35.0, omegaconf, einops, trimesh,
safetensors, numpy, Pillow; --time needs scikit-image.
"""
import json
import resource
import sys
import time
import types
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

for name in ("torchmcubes", "rembg"):
    sys.modules[name] = types.ModuleType(name)


def scikit_surface(level, threshold):
    from skimage.measure import marching_cubes

    vertices, faces, _, _ = marching_cubes(level.numpy(), threshold)
    # torchmcubes gives the last axis first.
    return torch.from_numpy(vertices[:, [2, 1, 0]].copy()), torch.from_numpy(faces.astype(np.int64))


sys.modules["torchmcubes"].marching_cubes = scikit_surface
sys.path.insert(0, sys.argv[1])
import tsr.models.tokenizers.image as tokenizers  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from tsr.system import TSR  # noqa: E402
from tsr.utils import resize_foreground  # noqa: E402

TINY = dict(image=64, plane=4, channels=32, heads=2, head=16, layers=2, width=64, out=6, neurons=16, hidden=3)
FULL = dict(image=512, plane=32, channels=1024, heads=16, head=64, layers=16, width=768, out=40, neurons=64, hidden=9)
TEXT = """cond_image_size: {image}

image_tokenizer_cls: tsr.models.tokenizers.image.DINOSingleImageTokenizer
image_tokenizer:
  pretrained_model_name_or_path: "facebook/dino-vitb16"

tokenizer_cls: tsr.models.tokenizers.triplane.Triplane1DTokenizer
tokenizer:
  plane_size: {plane}
  num_channels: {channels}

backbone_cls: tsr.models.transformer.transformer_1d.Transformer1D
backbone:
  in_channels: ${{tokenizer.num_channels}}
  num_attention_heads: {heads}
  attention_head_dim: {head}
  num_layers: {layers}
  cross_attention_dim: {width}

post_processor_cls: tsr.models.network_utils.TriplaneUpsampleNetwork
post_processor:
  in_channels: {channels}
  out_channels: {out}

decoder_cls: tsr.models.network_utils.NeRFMLP
decoder:
  in_channels: {inputs} # 3 planes
  n_neurons: {neurons}
  n_hidden_layers: {hidden}
  activation: silu

renderer_cls: tsr.models.nerf_renderer.TriplaneNeRFRenderer
renderer:
  radius: 0.87
  feature_reduction: concat
  density_activation: exp
  density_bias: -1.0
  num_samples_per_ray: 128
"""


def model(shape, folder, scale):
    width = shape["width"]
    vit = dict(hidden_size=width, num_hidden_layers=2 if width == 64 else 12, num_attention_heads=width // 64,
               intermediate_size=2 * width if width == 64 else 4 * width, hidden_act="gelu", layer_norm_eps=1e-12,
               image_size=48 if width == 64 else 224, patch_size=16, num_channels=3, qkv_bias=True,
               hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, model_type="vit")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "vit.json"
    config.write_text(json.dumps(vit))
    tokenizers.hf_hub_download = lambda **_: str(config)
    text = TEXT.format(inputs=3 * shape["out"], **shape)
    (folder / "config.yaml").write_text(text)
    loaded = OmegaConf.load(folder / "config.yaml")
    OmegaConf.resolve(loaded)
    torch.manual_seed(7)
    built = TSR(loaded).eval()
    config.unlink()
    if scale:
        with torch.no_grad():
            for name, parameter in built.named_parameters():
                if "norm" in name and name.endswith("weight"):
                    parameter.copy_(1 + 0.1 * torch.randn_like(parameter))
                elif name.endswith("bias") or "cls_token" in name or "position" in name:
                    parameter.copy_(0.2 * torch.randn_like(parameter))
                elif "decoder" in name:
                    parameter.copy_(1.6 * parameter)
    return built


def prepared(path):
    image = np.array(resize_foreground(Image.open(path).convert("RGBA"), 0.85)).astype(np.float32) / 255.0
    image = image[:, :, :3] * image[:, :, 3:4] + (1 - image[:, :, 3:4]) * 0.5
    return Image.fromarray((image * 255.0).astype(np.uint8))


def stages(built, picture):
    with torch.no_grad():
        pixels = built.image_processor(picture, built.cfg.cond_image_size)
        image = built.image_tokenizer(pixels[:, None].permute(0, 1, 4, 2, 3))[:, 0].permute(0, 2, 1)
        tokens = built.backbone(built.tokenizer(1), encoder_hidden_states=image)
        planes = built.post_processor(built.tokenizer.detokenize(tokens))[0]
        points = (torch.rand(1000, 3) * 2 - 1) * 0.95
        found = built.renderer.query_triplane(built.decoder, points, planes)
    return dict(pixels=pixels[0], image_tokens=image[0], plane_tokens=tokens[0].T, planes=planes.permute(0, 2, 3, 1),
                points=points, density=found["density_act"][:, 0], color=found["color"])


def main():
    folder = Path(sys.argv[3] if sys.argv[2].startswith("--") else sys.argv[2])
    if sys.argv[2] == "--full":
        built = model(FULL, folder, False)
        save_file(dict(built.state_dict()), folder / "model.safetensors")
        print("level", float(stages(built, prepared(sys.argv[4]))["density"].quantile(0.8)))
        return
    if sys.argv[2] == "--time":
        torch.set_num_threads(2)
        start = time.time()
        built = model(FULL, Path("/tmp/triposr-shape"), False)
        built.load_state_dict(load_file(folder / "model.safetensors"))
        built.renderer.set_chunk_size(8192)
        loaded = time.time()
        with torch.no_grad():
            codes = built([prepared(sys.argv[4])], device="cpu")
            planes = time.time()
            mesh = built.extract_mesh(codes, True, resolution=256, threshold=float(sys.argv[5]))[0]
        end = time.time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"load {loaded - start:.1f} s, planes {planes - loaded:.1f} s, mesh {end - planes:.1f} s, "
              f"picture to mesh {end - loaded:.1f} s, peak {peak:.0f} MiB, {len(mesh.faces)} faces")
        return
    built = model(TINY, folder, True)
    save_file(dict(built.state_dict()), folder / "model.safetensors")
    generator = np.random.default_rng(3)
    rgba = generator.integers(0, 256, (70, 90, 4), dtype=np.uint8)
    rgba[..., 3] = np.where(generator.random((70, 90)) < 0.5, 255, rgba[..., 3])
    rgba[:, :20, 3] = 0
    rgba[:9, :, 3] = 0
    rgba[55:, :, 3] = 0
    Image.fromarray(rgba).save(folder / "picture.png")
    expected = stages(built, prepared(folder / "picture.png"))
    save_file({name: value.contiguous().float() for name, value in expected.items()}, folder / "expected.safetensors")
    shapes = {name: list(value.shape) for name, value in model(FULL, Path("/tmp/triposr-shape"), False).state_dict().items()}
    (folder / "shapes.json").write_text(json.dumps(shapes, separators=(",", ":")) + "\n")
    print(len(shapes), "tensors,", sum(int(np.prod(shape)) for shape in shapes.values()), "numbers")


main()
