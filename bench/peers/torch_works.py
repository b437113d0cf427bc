"""The works of the benchmark in PyTorch: networks, fixed random data, and the variants worth trying.

A variant is "layout+optimizer" for training ("channels_last+fused") and "layout" for inference. All variants
of a work compute the same thing; the benchmark measures ours against the fastest of them on this machine.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

# Work -> (network, purpose, batch size). Both sides of the benchmark use exactly these.
WORKS = {
    "mlp-train": ("mlp", "train", 128),
    "cnn-train": ("cnn", "train", 64),
    "resnet20-train": ("resnet20", "train", 64),
    "mlp-infer-64": ("mlp", "infer", 64),
    "mlp-infer-1": ("mlp", "infer", 1),
    "cnn-infer-64": ("cnn", "infer", 64),
    "cnn-infer-1": ("cnn", "infer", 1),
    "resnet20-infer-64": ("resnet20", "infer", 64),
    "resnet20-infer-1": ("resnet20", "infer", 1),
    "decoder-256-train": ("decoder-256", "train", 8),
    "decoder-512-train": ("decoder-512", "train", 4),
    "lora-135m-train": ("lora-135m", "train", 4),
}

INPUT_SHAPES = {"mlp": (784,), "cnn": (1, 28, 28), "resnet20": (3, 32, 32)}

# Layers, width, heads, elements between the halves of the feed-forward part, tokens of a window.
DECODERS = {"decoder-256": (6, 256, 8, 688, 128), "decoder-512": (8, 512, 8, 1376, 512)}
VOCABULARY = 8192

# A model of SmolLM2-135M's shape, and the adapters of all its products.
LORA_SHAPE = dict(
    vocab_size=49152, hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
    intermediate_size=1536, max_position_embeddings=8192, tie_word_embeddings=True, rope_theta=100000.0,
)  # fmt: skip
LORA_RANK, LORA_TOKENS = 16, 256

# How PyTorch can carry out the optimizer's update; the arithmetic is the same.
UPDATES = {"fused": {"fused": True}, "foreach": {"foreach": True}, "loop": {"foreach": False}}


def mlp():
    return nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)
    )


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: the identity, or a 1x1 projection where the shape changes."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.convolution1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.convolution2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x):
        y = F.relu(self.norm1(self.convolution1(x)), inplace=True)
        y = self.norm2(self.convolution2(y))
        y += self.shortcut(x)
        return F.relu(y, inplace=True)


def resnet20():
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    channels = 16
    for channels_out in (16, 32, 64):
        for block in range(3):
            stride = 2 if block == 0 and channels_out != 16 else 1
            layers.append(ResidualBlock(channels, channels_out, stride))
            channels = channels_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class DecoderLayer(nn.Module):
    """Llama's: normalization by root mean square, rotated attention, a gated feed-forward part."""

    def __init__(self, width, heads, feed_forward):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.RMSNorm(width, eps=1e-5)
        self.queries = nn.Linear(width, width, bias=False)
        self.keys = nn.Linear(width, width, bias=False)
        self.values = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.norm2 = nn.RMSNorm(width, eps=1e-5)
        self.gate = nn.Linear(width, feed_forward, bias=False)
        self.up = nn.Linear(width, feed_forward, bias=False)
        self.down = nn.Linear(feed_forward, width, bias=False)

    def forward(self, x, cosines, sines):
        batch, tokens, width = x.shape
        y = self.norm1(x)
        q, k, v = (
            linear(y).view(batch, tokens, self.heads, -1).transpose(1, 2)
            for linear in (self.queries, self.keys, self.values)
        )

        def turned(z):
            low, high = z.chunk(2, dim=-1)
            return z * cosines + torch.cat((-high, low), dim=-1) * sines

        y = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
        x = x + self.output(y.transpose(1, 2).reshape(batch, tokens, width))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Decoder(nn.Module):
    def __init__(self, layers, width, heads, feed_forward, context):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads, feed_forward) for _ in range(layers))
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        frequencies = 10_000.0 ** (-torch.arange(0, width // heads, 2) / (width // heads))
        angles = torch.arange(context)[:, None] * frequencies.repeat(2)
        self.register_buffer("cosines", angles.cos())
        self.register_buffer("sines", angles.sin())
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, self.cosines, self.sines)
        return self.head(self.norm(x)).flatten(0, 1)


class Adapted(nn.Module):
    """PEFT's adapters over a Llama of transformers, both as they come."""

    def __init__(self):
        super().__init__()
        import peft
        import transformers

        config = transformers.LlamaConfig(**LORA_SHAPE, use_cache=False)
        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        lora = peft.LoraConfig(r=LORA_RANK, lora_alpha=2 * LORA_RANK, target_modules=targets)
        self.model = peft.get_peft_model(transformers.LlamaForCausalLM(config).float(), lora)

    def forward(self, tokens):
        return self.model(input_ids=tokens).logits.flatten(0, 1)


NETWORKS = {"mlp": mlp, "cnn": cnn, "resnet20": resnet20, "lora-135m": Adapted}
NETWORKS |= {name: (lambda shape=shape: Decoder(*shape)) for name, shape in DECODERS.items()}

# Networks without pictures, for which the order of channels means nothing.
PLAIN = {"mlp", "lora-135m", *DECODERS}

# Tokens of the vocabulary and of a window, where the input is text.
TEXTS = {name: (VOCABULARY, shape[-1]) for name, shape in DECODERS.items()}
TEXTS["lora-135m"] = (LORA_SHAPE["vocab_size"], LORA_TOKENS)


def variants(work):
    """The variants to choose from, all plain eager PyTorch."""
    network, purpose, _ = WORKS[work]
    layouts = ["contiguous"] if network in PLAIN else ["contiguous", "channels_last"]
    if purpose == "infer":
        return layouts
    return [f"{layout}+{update}" for layout in layouts for update in UPDATES]


def extra_variants(work):
    """Variants measured for information only: they are no longer eager PyTorch."""
    network, purpose, _ = WORKS[work]
    if network in DECODERS:
        return ["contiguous+compiled"]
    if purpose == "train":
        return []
    layouts = ["contiguous"] if network in PLAIN else ["contiguous", "channels_last"]
    return [f"{layout}+frozen" for layout in layouts]


class Work:
    """One work, set up in one variant; `step()` does it once."""

    def __init__(self, work, variant):
        network, purpose, batch = WORKS[work]
        layout, _, detail = variant.partition("+")
        memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        torch.manual_seed(0)
        self.model = NETWORKS[network]()
        if network in TEXTS:
            self.input = torch.randint(0, TEXTS[network][0], (batch, TEXTS[network][1]))
        else:
            self.input = torch.randn(batch, *INPUT_SHAPES[network])
        if network not in PLAIN:
            self.model = self.model.to(memory_format=memory_format)
            self.input = self.input.contiguous(memory_format=memory_format)
        self.parameters = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        if purpose == "train":
            if network in TEXTS:
                self.target = torch.randint(0, TEXTS[network][0], (self.input.numel(),))
            else:
                self.target = torch.randint(0, 10, (batch,))
            self.optimizer = self._optimizer(network, UPDATES.get(detail, UPDATES["fused"]))
            if detail == "compiled":
                self.model = torch.compile(self.model)
            self.step = self._train
        else:
            self.model.eval()
            if detail == "frozen":
                with torch.no_grad():
                    self.model = torch.jit.freeze(torch.jit.trace(self.model, self.input))
            self.step = self._infer

    def _optimizer(self, network, update):
        if network == "resnet20":
            return torch.optim.SGD(
                self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, **update
            )
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.01, **update)

    def _train(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.model(self.input), self.target)
        loss.backward()
        self.optimizer.step()

    def _infer(self):
        with torch.inference_mode():
            self.model(self.input)
