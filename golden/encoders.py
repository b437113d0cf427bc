"""Writes crates/gyrus-language/tests/golden/encoders.json: encoders of the BERT family in transformers.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/encoders.py`.

Each case is a tiny configuration as `config.json` says it, and the last layer's vectors that transformers computes for
each text alone, from the weights of `fill` in decoders.py, which the Rust test computes too.

    python golden/encoders.py --embed FOLDER TEXTS OUT.safetensors

embeds each line of TEXTS by sentence-transformers, to compare with `gyrus embed FOLDER TEXTS --out FILE`.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

from decoders import fill

VOCABULARY = 61
SMALL = dict(
    vocab_size=VOCABULARY,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=3,
    max_position_embeddings=48,
)
CASES = [
    ("bert", dict(SMALL, model_type="bert", type_vocab_size=2)),
    ("bert, relu, another epsilon", dict(SMALL, model_type="bert", type_vocab_size=2, hidden_act="relu", layer_norm_eps=0.01)),
    ("roberta", dict(SMALL, model_type="roberta", type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5)),
    ("xlm-roberta", dict(SMALL, model_type="xlm-roberta", type_vocab_size=1, pad_token_id=1)),
]
LENGTHS = [1, 17, 5, 40]


def texts() -> list[list[int]]:
    return [[2 + (5 * i * i + 3 * i + length) % (VOCABULARY - 2) for i in range(length)] for length in LENGTHS]


@torch.no_grad()
def case(name: str, fields: dict) -> dict:
    fields = dict(fields)
    kind = fields["model_type"]
    config = AutoConfig.for_model(**json.loads(json.dumps(fields)))
    config._attn_implementation = "eager"
    model = AutoModel.from_config(config, dtype=torch.float32, add_pooling_layer=False).eval()
    names = dict(model.named_parameters())
    for key, parameter in names.items():
        scale = 0.2 if parameter.dim() == 1 else 1.5 / parameter.shape[-1] ** 0.5
        center = 1.0 if key.endswith("LayerNorm.weight") else 0.0
        parameter.copy_(center + scale * fill(key, parameter.numel()).reshape(parameter.shape))
    vectors = []
    for text in texts():
        last = model(torch.tensor([text])).last_hidden_state[0]
        vectors.append([[round(value, 6) for value in row] for row in last[[0, len(text) // 2, -1]].tolist()])
    shapes = {key: list(parameter.shape) for key, parameter in names.items()}
    return dict(name=name, config=dict(fields, model_type=kind), tensors=shapes, vectors=vectors)


def embed(folder: str, source: str, out: str) -> None:
    from safetensors.numpy import save_file
    from sentence_transformers import SentenceTransformer

    lines = [line for line in Path(source).read_text().split("\n") if line.strip()]
    save_file({"embeddings": SentenceTransformer(folder, device="cpu").encode(lines)}, out)


def main() -> None:
    if sys.argv[1:2] == ["--embed"]:
        return embed(*sys.argv[2:])
    golden = dict(
        made_by="golden/encoders.py with " + ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers")),
        texts=texts(),
        cases=[case(name, fields) for name, fields in CASES],
    )
    path = Path(__file__).parents[1] / "crates/gyrus-language/tests/golden/encoders.json"
    path.write_text(json.dumps(golden) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
