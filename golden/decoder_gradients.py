"""Writes crates/gyrus-language-train/tests/golden/decoder_gradients.json: one training step of two small Llamas in
`transformers`, with all gradients.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/decoder_gradients.py`.

The batch is two windows of nine tokens; the loss is that of `LlamaForCausalLM`, the mean over all tokens that follow.
Tensors carry Hugging Face's names.
"""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from golden import made_by, tensor, tensors, write

SHAPES = {
    "untied, grouped heads": dict(
        vocab_size=13,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    ),
    "tied": dict(
        vocab_size=17,
        hidden_size=12,
        intermediate_size=20,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
}


def case(name: str, shape: dict) -> dict:
    config = LlamaConfig(
        **shape, max_position_embeddings=16, rms_norm_eps=1e-5, attn_implementation="eager", pad_token_id=None
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # Away from their usual start.
            if parameter.dim() == 1:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0.0, 0.2)
    windows = torch.randint(0, config.vocab_size, (2, 10))
    logits = model(input_ids=windows[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    loss.backward()
    named = dict(model.named_parameters())
    return dict(
        name=name,
        shape=shape,
        windows=windows.tolist(),
        weights=tensors(named),
        loss=tensor(loss.reshape(1)),
        gradients=tensors({name: parameter.grad for name, parameter in named.items()}),
    )


def main() -> None:
    torch.manual_seed(0)
    golden = dict(
        made_by=made_by("decoder_gradients.py", "torch", "transformers"),
        cases=[case(name, shape) for name, shape in SHAPES.items()],
    )
    write("decoder_gradients.json", golden, crate="gyrus-language-train")


if __name__ == "__main__":
    main()
