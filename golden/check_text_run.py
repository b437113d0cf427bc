"""Opens a run folder of a language model in `transformers` and judges it as `gyrus learn` does.

    python golden/check_text_run.py RUN CORPUS.txt

The mean loss over the last tenth of the tokens, in windows as the run had them, must be the one in `run.json`, and
texts must come back from the tokenizer. Only for a corpus of one text.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(run: Path, corpus: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(run)
    model = AutoModelForCausalLM.from_pretrained(run)
    text = corpus.read_text(encoding="utf-8")
    tokens = tokenizer(text)["input_ids"]
    data = record["data"]
    assert len(tokens) == data["train_tokens"] + data["validation_tokens"], "the same tokens"
    assert tokenizer.decode(tokens[:5000]) == text[: len(tokenizer.decode(tokens[:5000]))], "the same text"
    held_back = torch.tensor(tokens[data["train_tokens"] :])
    context, total = record["settings"]["context"], 0.0
    with torch.inference_mode():
        for start in range(0, len(held_back) - 1, context):
            window = held_back[start : start + context + 1][None]
            logits = model(input_ids=window[:, :-1]).logits
            total += torch.nn.functional.cross_entropy(logits[0], window[0, 1:], reduction="sum").item()
    loss = total / (len(held_back) - 1)
    ours = record["results"]["validation_loss"]
    print(f"transformers {loss:.6f}, Gyrus {ours:.6f}")
    assert abs(loss - ours) < 1e-4, "the same loss"
    prompt = tokenizer("\n", return_tensors="pt")
    written = model.generate(**prompt, max_new_tokens=100, do_sample=False, pad_token_id=0)
    print(tokenizer.decode(written[0]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
