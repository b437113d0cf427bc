"""Writes crates/gyrus-language/tests/golden/attention.json: what transformers sees inside of the models of decoders.json
and encoders.json while they read a text.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/attention.py`.

For some tokens of the text: what each head looks at (`attention`, layers by heads by the tokens up to this one; for an encoder
by all tokens), the stream before the first and after each layer (`stream`), and the logits that the stream after the middle
layer would become (`lens`). transformers returns the last stream normalized, so all are taken from the layers themselves.
"""

from importlib.metadata import version
from pathlib import Path
import json

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

import decoders
import encoders

SHOWN = [7, 39]
LENS_AFTER = 2


def filled(model: torch.nn.Module, is_norm) -> torch.nn.Module:
    for key, parameter in dict(model.named_parameters()).items():
        scale = 0.2 if parameter.dim() == 1 else 1.5 / parameter.shape[-1] ** 0.5
        center = 1.0 if is_norm(key) else 0.0
        parameter.copy_(center + scale * decoders.fill(key, parameter.numel()).reshape(parameter.shape))
    return model.eval()


def numbers(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.7g}") for value in values.tolist()]


def streams(layers, run) -> tuple[list[torch.Tensor], object]:
    """What goes into the first layer and comes out of each."""
    seen = [None] * (len(layers) + 1)

    def keep(index):
        def hook(_, inputs, output):
            if index == 0:
                seen[0] = inputs[0][0].clone()
            seen[index + 1] = (output[0] if isinstance(output, tuple) else output).reshape(seen[0].shape).clone()

        return hook

    handles = [layer.register_forward_hook(keep(index)) for index, layer in enumerate(layers)]
    output = run()
    for handle in handles:
        handle.remove()
    # All but the last, which transformers normalizes, are also what it returns.
    for ours, theirs in zip(seen[:-1], output.hidden_states):
        assert torch.equal(ours, theirs[0])
    return seen, output


@torch.no_grad()
def decoder_case(name: str, fields: dict) -> dict:
    fields = dict(fields)
    config = AutoConfig.for_model(fields.pop("model_type"), **json.loads(json.dumps(fields)))
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model = filled(model, lambda key: "norm" in key or ".ln_" in key and key.endswith("weight"))
    inner = model.transformer if config.model_type == "gpt2" else model.model
    layers, norm = (inner.h, inner.ln_f) if config.model_type == "gpt2" else (inner.layers, inner.norm)
    ids = torch.tensor([decoders.tokens()])
    seen, output = streams(layers, lambda: model(ids, use_cache=False, output_attentions=True, output_hidden_states=True))

    def head(stream):
        logits = model.lm_head(norm(stream)) / getattr(config, "logits_scaling", 1.0)
        cap = getattr(config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    # The lens on the last stream is what the model says.
    assert torch.allclose(head(seen[-1]), output.logits[0], atol=1e-6)
    attention = [[[numbers(probabilities[head, token, : token + 1]) for token in SHOWN] for head in range(probabilities.shape[0])] for probabilities in (layer[0] for layer in output.attentions)]
    stream = [[numbers(x[token]) for token in SHOWN] for x in seen]
    lens = [numbers(head(seen[LENS_AFTER])[token]) for token in SHOWN]
    return dict(name=name, attention=attention, stream=stream, lens=lens)


@torch.no_grad()
def encoder_case(name: str, fields: dict) -> dict:
    config = AutoConfig.for_model(**json.loads(json.dumps(fields)))
    config._attn_implementation = "eager"
    model = filled(AutoModel.from_config(config, dtype=torch.float32, add_pooling_layer=False), lambda key: key.endswith("LayerNorm.weight"))
    ids = torch.tensor([encoders.texts()[-1]])
    seen, output = streams(model.encoder.layer, lambda: model(ids, output_attentions=True, output_hidden_states=True))
    attention = [[[numbers(probabilities[head, token]) for token in SHOWN] for head in range(probabilities.shape[0])] for probabilities in (layer[0] for layer in output.attentions)]
    stream = [[numbers(x[token]) for token in SHOWN] for x in seen]
    return dict(name=name, attention=attention, stream=stream)


def main() -> None:
    golden = dict(
        made_by="golden/attention.py with " + ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers")),
        shown=SHOWN,
        lens_after=LENS_AFTER,
        decoders=[decoder_case(name, fields) for name, fields in decoders.cases()],
        encoders=[encoder_case(name, fields) for name, fields in encoders.CASES],
    )
    path = Path(__file__).parents[1] / "crates/gyrus-language/tests/golden/attention.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
