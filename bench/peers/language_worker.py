"""The worker of one peer that runs language models: `language_worker.py llama.cpp` or `pytorch`.

See worker.py for requests and replies; "choose" and "setup" name the GGUF file as "file". llama.cpp reads that
file; PyTorch runs a Llama of the same shape from Hugging Face's transformers with random weights, in 32-bit floats or
bfloat16, whichever is faster here. A step is, by the name of the work: `prefill-...` reads 512 tokens, `decode-...` reads one
more token of a text of up to 128, `start-...` opens the file and reads 8 tokens
(`-cold`: from the disk instead of the page cache).
"""

import importlib.metadata
import os
import sys

from worker import Worker, timed_steps

PEER = sys.argv[1]
PREFILL, TEXT, PROMPT = 512, 128, 8
SHAPE = dict(
    hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
    intermediate_size=8192, vocab_size=128256, tie_word_embeddings=True, rope_theta=500000.0,
)  # fmt: skip


def tokens(count):
    return [300 + i for i in range(count)]


class LlamaCpp:
    def __init__(self, request):
        self.kind = request["work"].split("-")[0]
        self.cold = request["work"].endswith("-cold")
        self.file, self.threads = request["file"], request["threads"]
        self.position = 0
        self.model = None if self.kind == "start" else self.open()
        self.parameters = SIZE

    def open(self):
        return llama_cpp.Llama(
            self.file, n_ctx=1024, n_batch=PREFILL, n_ubatch=PREFILL, n_threads=self.threads,
            n_threads_batch=self.threads, verbose=False,
        )  # fmt: skip

    def prepare(self):
        """Takes the file out of the page cache, if a step is to wait for the disk."""
        if self.cold:
            with open(self.file, "rb+") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def step(self):
        if self.kind == "start":
            model = self.open()
            model.eval(tokens(PROMPT))
            model.close()
        elif self.kind == "prefill":
            self.model.reset()
            self.model.eval(tokens(PREFILL))
        else:
            if self.position % TEXT == 0:
                self.model.reset()
            self.model.eval(tokens(TEXT)[self.position % TEXT :][:1])
            self.position += 1


class PyTorch:
    def __init__(self, request, variant):
        torch.set_num_threads(request["threads"])
        config = transformers.LlamaConfig(**SHAPE, max_position_embeddings=2048)
        # Weights that are not read are not worth drawing.
        with torch.device("meta"):
            model = transformers.LlamaForCausalLM(config)
        self.model = model.to_empty(device="cpu").to(getattr(torch, variant)).eval()
        with torch.no_grad():
            for name, values in self.model.named_parameters():
                values.fill_(1.0) if "norm" in name else values.normal_(std=values.shape[-1] ** -0.5)
        for name, buffer in self.model.named_buffers():
            assert "inv_freq" in name, name
            buffer.copy_(500000.0 ** (-torch.arange(0, 64, 2) / 64))
        # Emptied, the two ends no longer share their weights.
        self.model.tie_weights()
        self.input = torch.tensor([tokens(PREFILL)])
        self.parameters = sum(values.numel() for values in self.model.parameters())

    def step(self):
        with torch.inference_mode():
            self.model(self.input, logits_to_keep=1, use_cache=False)


if PEER == "pytorch":
    import torch
    import transformers

    create = lambda request: PyTorch(request, request["variant"])
    VARIANTS = ["float32", "bfloat16"]
    PACKAGE = "torch"
else:
    import llama_cpp

    create = LlamaCpp
    VARIANTS = ["mapped file"]
    PACKAGE = "llama-cpp-python"

# Numbers in the network, which all sides must agree on.
SIZE = 128256 * 2048 + 2048 + 16 * (2 * 2048 + 2048 * (2048 + 512) * 2 + 3 * 2048 * 8192)


class Language(Worker):
    works = ["decode-q8_0", "decode-q4_0", "prefill-q8_0", "prefill-q4_0", "start-q4_0", "start-q4_0-cold"]
    version = importlib.metadata.version(PACKAGE)

    def choose(self, request):
        quiet = {}
        for variant in VARIANTS if len(VARIANTS) > 1 else []:
            quiet[variant] = round(min(timed_steps(self.create({**request, "variant": variant}), 2)), 1)
        return {"variant": min(quiet, key=quiet.get, default=VARIANTS[0]), "variants_us": quiet}

    def create(self, request):
        return create(request)


if __name__ == "__main__":
    Language().serve()
