"""Opens what `cargo test --test all -- peft::` has written with `GYRUS_LANGUAGE_OUT=FOLDER`: `check_adapters.py FOLDER`.

The adapter is applied by PEFT and the merged model opened by `transformers`; both must have the logits that Gyrus has. Or,
for any model and adapter: `check_adapters.py MODEL ADAPTER MERGED` compares PEFT's logits with those of the merged folder.
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


def opened(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logits(model, tokens):
    with torch.no_grad():
        return model(input_ids=torch.tensor([tokens])).logits[0]


def check(name, got, expected):
    difference = (got - expected).abs().max().item()
    print(f"{name}: largest difference of the logits {difference:.2e}")
    assert difference < 1e-4, name


def main(base, adapter, merged):
    model, expected = opened(base), adapter / "expected.json"
    tokens = list(range(5, 37))
    if expected.exists():
        told = json.loads(expected.read_text())
        tokens = told["tokens"]
    plain = logits(model, tokens)
    adapted = logits(PeftModel.from_pretrained(model, adapter).eval(), tokens)
    assert (adapted - plain).abs().max() > 1e-3, "an adapter that changes nothing"
    if expected.exists():
        check("PEFT with the adapter", adapted, torch.tensor(told["logits"]).reshape(adapted.shape))
    check("the merged model", logits(opened(merged), tokens), adapted)


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:]]
    main(*folders) if len(folders) == 3 else main(*(folders[0] / "tuned" / name for name in ("base", "adapter", "merged")))
