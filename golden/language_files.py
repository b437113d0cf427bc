"""Checks model files that Gyrus has written with the Python packages `transformers`, `gguf` and `llama-cpp-python`.

    GYRUS_LANGUAGE_OUT=/tmp/language cargo test --workspace --test all -- stories:: decoders::
    python golden/language_files.py /tmp/language path/to/stories260K/expected

The folder must continue the real model's story word for word. The GGUF files must open in llama.cpp; how far its logits
are from those of `transformers` is printed.
"""

import json
import sys
from pathlib import Path

import torch
from gguf import GGUFReader
from llama_cpp import Llama
from transformers import AutoModelForCausalLM, AutoTokenizer


@torch.no_grad()
def main() -> None:
    folder, expected = Path(sys.argv[1]), Path(sys.argv[2]).read_text().strip()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    begin = torch.tensor([tokenizer.encode("")])
    story = model.generate(begin, max_new_tokens=200, do_sample=False)
    text = tokenizer.decode(story[0], skip_special_tokens=True).strip()
    assert text == expected, text
    print("the story, by transformers: word for word")

    golden = json.loads((Path(__file__).parents[1] / "crates/gyrus-language/tests/golden/decoders.json").read_text())
    cases = {case["name"]: case for case in golden["cases"]}
    for path in sorted(folder.glob("*.gguf")):
        # Keys and values in 32 bits (ggml's type 0), as Gyrus keeps them.
        other = Llama(str(path), n_ctx=256, logits_all=True, type_k=0, type_v=0, flash_attn=False, verbose=False)
        case = cases.get(path.stem)
        ids = story[0].tolist() if case is None else golden["tokens"]
        other.eval(ids)
        logits = torch.tensor(other.scores[: len(ids)])
        if case is None:
            difference = logits - model(story).logits[0]
            same = (logits.argmax(-1) == model(story).logits[0].argmax(-1)).float().mean().item()
        else:
            expected = torch.tensor(case["prefill"])
            difference = logits[golden["shown"]] - expected
            same = (logits[golden["shown"]].argmax(-1) == expected.argmax(-1)).float().mean().item()
        tensors = len(GGUFReader(path).tensors)
        print(f"{path.name}: {tensors} tensors; in llama.cpp logits differ by at most {difference.abs().max():.1e}, {same:.1%} of the first choices are the same")


if __name__ == "__main__":
    main()
