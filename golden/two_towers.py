"""Writes crates/gyrus-vision/tests/golden/two_towers: small random CLIP and SigLIP models, as transformers saves them, with the
vectors, scores and probabilities that it computes for two pictures and some texts, given as tokens.

Needs `transformers` and `safetensors` beside golden/requirements.txt; then `python golden/two_towers.py`.
"""

import json
import shutil
from pathlib import Path

import torch
import transformers

from golden import made_by
from vision import picture, randomize

FOLDER = Path(__file__).parents[1] / "crates/gyrus-vision/tests/golden/two_towers"
SMALL = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40)
VISION = SMALL | dict(image_size=24, patch_size=8)
# The last one is longer than SigLIP's context.
TEXTS = [[40, 3, 5, 49], [40, 8, 49], [40, 3, 3, 7, 11, 2, 49], [40, *range(3, 12), 49]]


def clip() -> tuple:
    text = SMALL | dict(vocab_size=50, max_position_embeddings=12, eos_token_id=49, bos_token_id=40, pad_token_id=49)
    config = transformers.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=7)
    network = transformers.CLIPModel(config)
    longest = max(map(len, TEXTS))
    return network, config, [text + [49] * (longest - len(text)) for text in TEXTS]


def siglip() -> tuple:
    text = SMALL | dict(vocab_size=50, max_position_embeddings=9, pad_token_id=1, projection_size=24)
    config = transformers.SiglipConfig(text_config=text, vision_config=VISION)
    network = transformers.SiglipModel(config)
    texts = [text if len(text) <= 9 else [*text[:8], text[-1]] for text in TEXTS]
    return network, config, [text + [1] * (9 - len(text)) for text in texts]


def case(name: str, network, config, texts: list) -> dict:
    randomize(network)
    with torch.no_grad():
        network.logit_scale.fill_(2.0)
        if hasattr(network, "logit_bias"):
            network.logit_bias.fill_(-1.5)
    network.eval()
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    network.half().save_pretrained(folder)
    network.float()
    keep = {part: {key: getattr(getattr(config, part), key) for key in keys} for part, keys in FIELDS.items()}
    for part in keep:
        keep[part] = {key: value for key, value in keep[part].items() if value is not None}
    (folder / "config.json").write_text(json.dumps(dict(model_type=config.model_type, **keep)) + "\n")
    with torch.no_grad():
        result = network(input_ids=torch.tensor(texts), pixel_values=picture(3, 24))
    scores = result.logits_per_image
    probabilities = scores.sigmoid() if "siglip" in name else scores.softmax(-1)
    floats = lambda tensor: [float(f"{value:.9g}") for value in tensor.flatten().tolist()]
    vectors = torch.nn.functional.normalize(result.text_embeds), torch.nn.functional.normalize(result.image_embeds)
    print(name, scores)
    return dict(name=name, texts=TEXTS, text_vectors=floats(vectors[0]), image_vectors=floats(vectors[1]), scores=floats(scores), probabilities=floats(probabilities))


FIELDS = {
    "text_config": ["num_attention_heads", "hidden_act", "layer_norm_eps", "eos_token_id"],
    "vision_config": ["num_attention_heads", "image_size"],
}

if __name__ == "__main__":
    cases = [case("clip", *clip()), case("siglip", *siglip())]
    golden = dict(made_by=made_by("two_towers.py", "torch", "transformers"), cases=cases)
    (FOLDER / "two_towers.json").write_text(json.dumps(golden) + "\n")
