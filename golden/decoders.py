"""Writes crates/gyrus-language/tests/golden/decoders.json: decoders of every family in transformers.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/decoders.py`.

Each case is a tiny configuration as `config.json` says it, and the logits that transformers computes from weights that
a formula gives, which the Rust test computes too: element i of a tensor is a hash of (i, the tensor's name), scaled.
Texts are longer than sliding windows and than the positions of a first training, where there are such. `prefill` is
the logits of a whole text, `steps` of the same text read in three parts with a cache; both only of some positions.
"""

import json
import zlib
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 61
LENGTH = 40
# The parts in which the text is read with a cache: the last ones token by token.
PARTS = [17, 6] + [1] * 17
SHOWN = [0, 7, 16, 22, 31, 39]
SMALL = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
LONGROPE = dict(rope_type="longrope", short_factor=[1.0, 1.1, 1.3], long_factor=[1.5, 3.0, 6.0])


def fill(name: str, count: int) -> torch.Tensor:
    """Values in -1 ... 1: splitmix64 of the index, with the name's checksum as the seed."""
    mask = (1 << 64) - 1
    seed, values = zlib.crc32(name.encode()), []
    for index in range(count):
        z = (seed * 0x9E3779B97F4A7C15 + (index + 1) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        values.append((z >> 40) / (1 << 23) - 1.0)
    return torch.tensor(values, dtype=torch.float32)


def cases() -> list[tuple[str, dict]]:
    old = dict(rope_theta=500.0, torch_dtype="float32")
    return [
        ("llama", dict(SMALL, model_type="llama", rope_parameters=dict(rope_type="default", rope_theta=1000.0))),
        ("llama, old dialect, biases, tied", dict(SMALL, model_type="llama", attention_bias=True, mlp_bias=True, tie_word_embeddings=True, head_dim=12, **old)),
        ("llama, linear", dict(SMALL, model_type="llama", rope_scaling=dict(type="linear", factor=3.0), **old)),
        ("llama, dynamic", dict(SMALL, model_type="llama", rope_scaling=dict(rope_type="dynamic", factor=2.0), **dict(old, max_position_embeddings=20))),
        ("llama, yarn", dict(SMALL, model_type="llama", rope_parameters=dict(rope_type="yarn", rope_theta=1000.0, factor=4.0, original_max_position_embeddings=16))),
        ("llama, llama3", dict(SMALL, model_type="llama", rope_parameters=dict(rope_type="llama3", rope_theta=1000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=24))),
        ("mistral", dict(SMALL, model_type="mistral", sliding_window=7, head_dim=12)),
        ("qwen2", dict(SMALL, model_type="qwen2", use_sliding_window=True, sliding_window=5, max_window_layers=1)),
        ("qwen2, yarn", dict(SMALL, model_type="qwen2", rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=16), **old)),
        ("qwen3", dict(SMALL, model_type="qwen3", head_dim=16, tie_word_embeddings=True)),
        ("hunyuan_v1_dense", dict(SMALL, model_type="hunyuan_v1_dense", head_dim=8, rope_scaling=dict(type="dynamic", alpha=50.0, factor=1.0, beta_fast=32, beta_slow=1, mscale=1.0, mscale_all_dim=1.0), **old)),
        ("smollm3", dict(SMALL, model_type="smollm3", no_rope_layers=[1, 0, 1], tie_word_embeddings=True)),
        ("olmo2", dict(SMALL, model_type="olmo2")),
        ("gemma", dict(SMALL, model_type="gemma", head_dim=12, hidden_act="gelu")),
        ("gemma2", dict(SMALL, model_type="gemma2", head_dim=8, sliding_window=6, query_pre_attn_scalar=16, attn_logit_softcapping=2.0, final_logit_softcapping=3.0)),
        ("gemma3_text", dict(SMALL, model_type="gemma3_text", head_dim=8, sliding_window=6, query_pre_attn_scalar=16, sliding_window_pattern=2, rope_local_base_freq=100.0, rope_theta=5000.0, rope_scaling=dict(rope_type="linear", factor=8.0))),
        ("phi3", dict(SMALL, model_type="phi3", sliding_window=9, rope_parameters=dict(rope_type="default", rope_theta=1000.0, partial_rotary_factor=0.75))),
        ("phi3, longrope", dict(SMALL, model_type="phi3", original_max_position_embeddings=24, partial_rotary_factor=0.75, rope_scaling=LONGROPE)),
        ("granite", dict(SMALL, model_type="granite", attention_multiplier=0.3, embedding_multiplier=3.0, residual_multiplier=0.7, logits_scaling=2.5, attention_bias=True)),
        ("glm4", dict(SMALL, model_type="glm4", head_dim=8, partial_rotary_factor=0.5, attention_bias=True)),
        ("gpt2", dict(model_type="gpt2", vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=3, n_head=4)),
    ]


def tokens() -> list[int]:
    return [(7 * i * i + 3 * i + 1) % VOCABULARY for i in range(LENGTH)]


@torch.no_grad()
def case(name: str, fields: dict) -> dict:
    fields = dict(fields)
    config = AutoConfig.for_model(fields.pop("model_type"), **json.loads(json.dumps(fields)))
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    names = dict(model.named_parameters())
    for key, parameter in names.items():
        scale = 0.2 if parameter.dim() == 1 else 1.5 / parameter.shape[-1] ** 0.5
        center = 1.0 if "norm" in key or ".ln_" in key and key.endswith("weight") else 0.0
        parameter.copy_(center + scale * fill(key, parameter.numel()).reshape(parameter.shape))
    ids = torch.tensor([tokens()])
    prefill = model(ids, use_cache=False).logits[0]
    cache, start, rows = None, 0, []
    for part in PARTS:
        output = model(ids[:, start : start + part], cache=cache, use_cache=True)
        cache, start = output.cache, start + part
        rows.append(output.logits[0])
    steps = torch.cat(rows)

    def numbers(logits):
        return [[round(value, 6) for value in logits[row].tolist()] for row in SHOWN]

    shapes = {key: list(parameter.shape) for key, parameter in names.items()}
    return dict(name=name, config=dict(fields, model_type=config.model_type), saved=json.loads(config.to_json_string(use_diff=True)), tensors=shapes, prefill=numbers(prefill), steps=numbers(steps))


def main() -> None:
    golden = dict(
        made_by="golden/decoders.py with " + ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers")),
        tokens=tokens(),
        parts=PARTS,
        shown=SHOWN,
        cases=[case(name, fields) for name, fields in cases()],
    )
    path = Path(__file__).parents[1] / "crates/gyrus-language/tests/golden/decoders.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(golden) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
