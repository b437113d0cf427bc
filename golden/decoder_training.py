"""Writes crates/gyrus-language-train/tests/golden/decoder_training.json and the folder peft beside it: gradients of decoders of
every family, whole and through PEFT's adapters, and an adapter as PEFT saves it.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/decoder_training.py`.

The cases and the formula that gives their weights are those of `decoders.py`. The batch is one text, of which the first
tokens are not learned. A gradient is told by its norm and its product with a vector that the formula gives, under the
tensor's name with `gradient/` before it. Adapters are of rank 3 and alpha 5, on all products within the layers, their
numbers by the formula too.
"""

import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from decoders import cases, fill, tokens
from golden import made_by, write

READ_ONLY = 12
RANK, ALPHA = 3, 5
TARGETS = [
    "q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "gate_up_proj", "down_proj",
    "c_attn", "c_proj", "c_fc",
]  # fmt: skip
FOLDER = Path(__file__).parents[1] / "crates/gyrus-language-train/tests/golden/peft"


def model(fields: dict):
    fields = dict(fields)
    config = AutoConfig.for_model(fields.pop("model_type"), **json.loads(json.dumps(fields)))
    config._attn_implementation = "eager"
    # The row of a padding token would have no gradient.
    config.pad_token_id = None
    made = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for key, parameter in made.named_parameters():
            scale = 0.2 if parameter.dim() == 1 else 1.5 / parameter.shape[-1] ** 0.5
            center = 1.0 if "norm" in key or ".ln_" in key and key.endswith("weight") else 0.0
            parameter.copy_(center + scale * fill(key, parameter.numel()).reshape(parameter.shape))
    return made


def adapted(made, **options):
    settings = LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, task_type="CAUSAL_LM", **options
    )
    settings.fan_in_fan_out = made.config.model_type == "gpt2"
    made = get_peft_model(made, settings).eval()
    with torch.no_grad():
        for key, parameter in made.named_parameters():
            if "lora_" in key:
                name = key.replace(".default", "")
                parameter.copy_(0.5 * fill(name, parameter.numel()).reshape(parameter.shape))
    return made


def loss(made) -> torch.Tensor:
    text = torch.tensor([tokens()])
    logits = made(input_ids=text[:, :-1], use_cache=False).logits[0]
    targets = text[0, 1:].clone()
    targets[:READ_ONLY] = -100
    return torch.nn.functional.cross_entropy(logits.float(), targets)


def gradients(made) -> dict:
    value = loss(made)
    value.backward()
    told = {}
    for key, parameter in made.named_parameters():
        if parameter.grad is not None:
            name = key.replace(".default", "")
            gradient = parameter.grad.flatten().double()
            product = gradient @ fill(f"gradient/{name}", gradient.numel()).double()
            told[name] = [float(f"{gradient.norm():.9g}"), float(f"{product:.9g}")]
    return dict(loss=float(f"{value.item():.9g}"), gradients=told)


def saved_adapter(fields: dict) -> list:
    """An adapter in PEFT's own files, with all that changes its scale; returns logits."""
    made = adapted(
        model(fields),
        use_rslora=True,
        rank_pattern={"q_proj": 2},
        alpha_pattern={"layers.1.mlp.down_proj": 9},
    )
    made.save_pretrained(FOLDER)
    (FOLDER / "README.md").unlink(missing_ok=True)
    with torch.no_grad():
        logits = made(input_ids=torch.tensor([tokens()]), use_cache=False).logits[0]
    return [[round(value, 6) for value in row] for row in logits[[0, 16, 39]].tolist()]


def main() -> None:
    golden = dict(
        made_by=made_by("decoder_training.py", "torch", "transformers", "peft"),
        read_only=READ_ONLY,
        rank=RANK,
        alpha=ALPHA,
        cases=[
            dict(name=name, whole=gradients(model(fields)), adapted=gradients(adapted(model(fields))))
            for name, fields in cases()
        ],
        saved=saved_adapter(dict(cases())["llama"]),
    )
    write("decoder_training.json", golden, crate="gyrus-language-train")


if __name__ == "__main__":
    main()
