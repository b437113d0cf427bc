"""Tiny models of every family as Hugging Face folders, and as the GGUF files that llama.cpp's own converter makes of them.

    python golden/gguf_architectures.py LLAMA_CPP OUT TOKENIZER.model [NAME ...]
    GYRUS_ARCHITECTURES=OUT cargo test --workspace --test all -- decoders::folders_and_their_conversions

`LLAMA_CPP` is a checkout of llama.cpp (its source package `llama_cpp_python` carries one in `vendor/llama.cpp`). The
weights are random, but normalizations and biases are not their initial ones and zeros. The vocabulary is byte-level, whose
pre-tokenizer the converter is told, because it knows published vocabularies only; of Gemma 1 and 2 it takes SentencePiece's
alone, for which any `tokenizer.model` serves, such as that of `tokenizer_llama32k` in the folder of real data.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM

LLAMA_CPP, OUT, SENTENCEPIECE = map(Path, sys.argv[1:4])
ONLY = sys.argv[4:]
sys.path[:0] = [str(LLAMA_CPP / "gguf-py"), str(LLAMA_CPP)]

import conversion  # noqa: E402
import gguf  # noqa: E402

ENDS = ["<|endoftext|>", "<|user|>"]
SMALL = dict(
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=256,
    eos_token_id=256,
    pad_token_id=256,
)
LONGROPE = dict(rope_type="longrope", short_factor=[1.0, 1.1, 1.3, 1.6, 1.9, 2.0], long_factor=[1.5, 3.0, 6.0, 7.0, 8.0, 9.0])


def cases() -> dict[str, dict]:
    rope = dict(rope_type="default", rope_theta=1000.0)
    return {
        "llama": dict(SMALL, model_type="llama", rope_parameters=rope),
        "llama-biases": dict(SMALL, model_type="llama", attention_bias=True, tie_word_embeddings=True, rope_parameters=rope),
        "llama-llama3": dict(SMALL, model_type="llama", rope_parameters=dict(rope_type="llama3", rope_theta=1000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=24)),
        "llama-linear": dict(SMALL, model_type="llama", rope_parameters=dict(rope, rope_type="linear", factor=3.0)),
        "mistral": dict(SMALL, model_type="mistral", sliding_window=None, head_dim=16, rope_parameters=rope),
        "qwen2": dict(SMALL, model_type="qwen2", rope_parameters=rope),
        "qwen2-yarn": dict(SMALL, model_type="qwen2", rope_parameters=dict(rope, rope_type="yarn", factor=4.0, original_max_position_embeddings=16)),
        "qwen3": dict(SMALL, model_type="qwen3", head_dim=32, tie_word_embeddings=True, rope_parameters=rope),
        "hunyuan-dense": dict(SMALL, model_type="hunyuan_v1_dense", head_dim=16, tie_word_embeddings=True, max_position_embeddings=32768, rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, alpha=50.0, factor=1.0)),
        "smollm3": dict(SMALL, model_type="smollm3", num_hidden_layers=5, tie_word_embeddings=True, rope_parameters=rope),
        "olmo2": dict(SMALL, model_type="olmo2", rope_parameters=rope),
        "gemma": dict(SMALL, model_type="gemma", head_dim=32, vocab_size=32000),
        "gemma2": dict(SMALL, model_type="gemma2", num_hidden_layers=4, head_dim=32, sliding_window=8, query_pre_attn_scalar=32, attn_logit_softcapping=2.0, final_logit_softcapping=3.0, vocab_size=32000),
        "gemma3": dict(SMALL, model_type="gemma3_text", num_hidden_layers=7, head_dim=32, sliding_window=8, query_pre_attn_scalar=32),
        "phi3": dict(SMALL, model_type="phi3", sliding_window=None, original_max_position_embeddings=128, rope_parameters=dict(rope, partial_rotary_factor=0.75)),
        "phi3-longrope": dict(SMALL, model_type="phi3", sliding_window=None, original_max_position_embeddings=24, rope_parameters=dict(LONGROPE, rope_theta=1000.0, partial_rotary_factor=0.75)),
        "granite": dict(SMALL, model_type="granite", attention_multiplier=0.3, embedding_multiplier=3.0, residual_multiplier=0.7, logits_scaling=2.5, rope_parameters=rope),
        "glm4": dict(SMALL, model_type="glm4", head_dim=16, attention_bias=True, rope_parameters=dict(rope, partial_rotary_factor=0.5)),
        "gpt2": dict(model_type="gpt2", n_positions=128, n_ctx=128, n_embd=64, n_layer=3, n_head=4, bos_token_id=256, eos_token_id=256),
    }


def tokenizer() -> Tokenizer:
    """Bytes, a few pairs, and two special tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [("Ġ", "t"), ("h", "e"), ("Ġt", "he")]
    names = [*letters, *ENDS, *("".join(pair) for pair in pairs)]
    made = Tokenizer(models.BPE(vocab={name: index for index, name in enumerate(names)}, merges=pairs))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(ENDS)
    return made


def make(name: str, fields: dict) -> Path:
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = tokenizer()
    if "vocab_size" in fields:
        shutil.copy(SENTENCEPIECE, folder / "tokenizer.model")
    fields = dict(dict(vocab_size=vocabulary.get_vocab_size()), **fields)
    config = AutoConfig.for_model(fields.pop("model_type"), **json.loads(json.dumps(fields)))
    torch.manual_seed(len(name))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for key, parameter in model.named_parameters():
        center = 1.0 if parameter.dim() == 1 and key.endswith("weight") and "gemma" not in config.model_type else 0.0
        scale = 0.2 if parameter.dim() == 1 else 1.5 / parameter.shape[-1] ** 0.5
        with torch.no_grad():
            parameter.copy_(center + scale * (2 * torch.rand(parameter.shape) - 1))
    model.save_pretrained(folder)
    vocabulary.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="GPT2Tokenizer" if name.startswith("phi3") else "PreTrainedTokenizerFast", bos_token=ENDS[0], eos_token=ENDS[0])))
    tokens = [(7 * i * i + 3 * i + 1) % 256 for i in range(40)]
    with torch.no_grad():
        logits = model(torch.tensor([tokens]), use_cache=False).logits[0]
    (folder / "expected.json").write_text(json.dumps(dict(tokens=tokens, last=logits[-1].tolist())))
    return folder


def convert(folder: Path) -> None:
    hparams = conversion.ModelBase.load_hparams(folder, False)
    architecture = conversion.get_model_architecture(hparams, conversion.ModelType.TEXT)
    kind = conversion.get_model_class(architecture)
    kind.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
    out = folder.with_suffix(".gguf")
    kind(folder, gguf.LlamaFileType.ALL_F32, out, hparams=hparams).write()


def main() -> None:
    for name, fields in cases().items():
        if ONLY and name not in ONLY:
            continue
        try:
            convert(make(name, fields))
            print(f"{name}: made and converted")
        except Exception as error:  # noqa: BLE001
            print(f"{name}: {type(error).__name__}: {error}")


main()
