"""Writes a GGUF file of a Llama with random weights: `random_llama.py q4_0 FILE`, or `q8_0`.

The shape is that of Llama-3.2-1B: width 2048, 16 layers, 32 heads over 8, feed-forward 8192, vocabulary 128256, which is
also the last layer. Blocks are random bytes under one scale, so that activations keep their size.
"""

import sys

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, KEY_HEADS, FEED_FORWARD, VOCABULARY = 2048, 16, 32, 8, 8192, 128256
KINDS = {
    # Format, its number as a file type, root mean square of a code.
    "q4_0": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0, 4.6),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0, 74.0),
}


def main(kind, path):
    random = np.random.default_rng(0)
    format, file_type, code = KINDS[kind]
    weights, length = gguf.GGML_QUANT_SIZES[format]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(500000.0)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(file_type)
    # Special tokens, all bytes, and invented words.
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += [f"w{number}" for number in range(VOCABULARY - len(tokens))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (VOCABULARY - 259))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    def matrix(name, rows, columns):
        blocks = random.integers(0, 256, (rows * columns // weights, length), dtype=np.uint8)
        scale = np.float16(1 / (code * np.sqrt(columns)))
        blocks[:, :2] = np.frombuffer(scale.tobytes(), np.uint8)
        writer.add_tensor(f"{name}.weight", blocks.reshape(rows, -1), raw_dtype=format)

    def ones(name):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    matrix("token_embd", VOCABULARY, WIDTH)
    ones("output_norm")
    keys = WIDTH // HEADS * KEY_HEADS
    for layer in range(LAYERS):
        ones(f"blk.{layer}.attn_norm")
        ones(f"blk.{layer}.ffn_norm")
        for name, rows in (("attn_q", WIDTH), ("attn_k", keys), ("attn_v", keys), ("attn_output", WIDTH)):
            matrix(f"blk.{layer}.{name}", rows, WIDTH)
        matrix(f"blk.{layer}.ffn_gate", FEED_FORWARD, WIDTH)
        matrix(f"blk.{layer}.ffn_up", FEED_FORWARD, WIDTH)
        matrix(f"blk.{layer}.ffn_down", WIDTH, FEED_FORWARD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main(*sys.argv[1:])
