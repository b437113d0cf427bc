"""Weights in ggml's formats: blocks that ggml itself makes of given values, and the floats that its Python package makes of them.

`gguf` writes Q8_0 and Q4_0 and reads all; Q4_K and Q6_K are made by the library of llama.cpp, as `llama-cpp-python`
carries it. One line each: name, and bytes in hexadecimal.
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
    blocks = np.zeros((ROWS, COLUMNS // weights * length), np.uint8)
    written = ggml.ggml_quantize_chunk(
        int(format), numbers.ctypes.data, blocks.ctypes.data, 0, ROWS, COLUMNS, None
    )
    assert written == blocks.nbytes
    return blocks


def main() -> None:
    numbers = values()
    lines = [f"values {numbers.tobytes().hex()}"]
    for format in (Format.F16, Format.BF16, Format.Q8_0, Format.Q4_0, Format.Q4_K, Format.Q6_K):
        by_ggml = format in (Format.Q4_K, Format.Q6_K)
        blocks = by_library(numbers, format) if by_ggml else gguf.quantize(numbers, format)
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
