"""Weights in ggml's formats: blocks that ggml itself makes of given values, and the floats that its Python package makes of them.

`gguf` writes some formats and reads all; Q4_K, Q5_K, Q6_K and IQ4 are made by the library of llama.cpp, as
`llama-cpp-python` carries it. The formats with codebooks, of which that library makes the smallest only with an
importance matrix, are random bytes with a sensible scale: any bytes are valid there. One line each: name, and bytes in
hexadecimal.
"""

import ctypes
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Format

ROWS, COLUMNS = 2, 512


def values() -> np.ndarray:
    """Normal numbers with outliers; spans of zeros, of one sign and of tiny numbers."""
    numbers = np.random.default_rng(7).standard_normal((ROWS, COLUMNS)).astype(np.float32)
    numbers[0, 5] = 9.0
    numbers[0, 32:64] = 0.0
    numbers[0, 64:96] = np.abs(numbers[0, 64:96])
    numbers[0, 96:128] *= 1e-4
    numbers[1, 100] = -20.0
    return numbers


def by_library(numbers: np.ndarray, format: Format) -> np.ndarray:
    import llama_cpp

    (library,) = (Path(llama_cpp.__file__).parent / "lib").glob("libggml-base.so")
    ggml = ctypes.CDLL(str(library))
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, size, size, size, pointer]
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    weights, length = gguf.GGML_QUANT_SIZES[format]
    rows, columns = numbers.shape
    blocks = np.zeros((rows, columns // weights * length), np.uint8)
    written = ggml.ggml_quantize_chunk(
        int(format), numbers.ctypes.data, blocks.ctypes.data, 0, rows, columns, None
    )
    assert written == blocks.nbytes
    return blocks


LIBRARY = (Format.Q4_K, Format.Q6_K)
BOTH_ROWS = (Format.F16, Format.BF16, Format.Q8_0, Format.Q4_0, *LIBRARY)
ONE_BLOCK = (Format.Q4_1, Format.Q5_0, Format.Q5_1, Format.TQ1_0, Format.TQ2_0, Format.MXFP4)
ONE_BLOCK_BY_LIBRARY = (Format.Q2_K, Format.Q3_K, Format.Q5_K, Format.IQ4_NL, Format.IQ4_XS)
# Where the scale, a 16-bit float, ends; IQ1_M spreads it.
RANDOM = {
    Format.IQ1_S: 1,
    Format.IQ1_M: 55,
    Format.IQ2_XXS: 1,
    Format.IQ2_XS: 1,
    Format.IQ2_S: 1,
    Format.IQ3_XXS: 1,
    Format.IQ3_S: 1,
}


def random_block(format: Format, end: int) -> np.ndarray:
    blocks = np.random.default_rng(int(format)).integers(0, 256, (1, gguf.GGML_QUANT_SIZES[format][1])).astype(np.uint8)
    blocks[:, end] = blocks[:, end] & 0x83 | 0x20
    return blocks


def main() -> None:
    numbers = values()
    lines = [f"values {numbers.tobytes().hex()}"]
    # Of the formats that came later, 256 weights are enough.
    few = np.ascontiguousarray(numbers.reshape(-1, 256)[:1])
    for format in (*BOTH_ROWS, *ONE_BLOCK, *ONE_BLOCK_BY_LIBRARY, *RANDOM):
        if format in RANDOM:
            blocks = random_block(format, RANDOM[format])
        elif format in LIBRARY + ONE_BLOCK_BY_LIBRARY:
            blocks = by_library(numbers if format in BOTH_ROWS else few, format)
        else:
            blocks = gguf.quantize(numbers if format in BOTH_ROWS else few, format)
        floats = gguf.dequantize(blocks, format).astype(np.float32)
        lines.append(f"{format.name} {blocks.tobytes().hex()}")
        lines.append(f"{format.name}_floats {floats.tobytes().hex()}")
    by = ", ".join(f"{name} {version(name)}" for name in ("gguf", "llama-cpp-python"))
    lines.insert(0, f"# golden/quantized_weights.py with {by}")
    path = Path(__file__).parents[1] / "crates/gyrus-kernels/tests/golden/weights.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


main()
