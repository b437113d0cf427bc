"""Compares ONNX files that `gyrus convert` writes with onnxruntime: every small network of crates/gyrus-vision/tests/golden, whose
scores timm, torchvision and transformers computed.

    python golden/check_onnx.py GYRUS

GYRUS is the program. Needs `onnx` and `onnxruntime` beside golden/requirements.txt.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import onnx
import onnxruntime

from vision import FOLDER, picture


def main() -> None:
    cases = json.loads((FOLDER / "vision.json").read_text())["cases"]
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            out = Path(folder) / f"{case['name']}.onnx"
            subprocess.run([sys.argv[1], "convert", FOLDER / case["name"], out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
            onnx.checker.check_model(onnx.load(out), full_check=True)
            session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
            pictures = picture(3, case["side"]).numpy()
            (scores,) = session.run(None, {"input": pictures})
            expected = numpy.array(case["scores"], numpy.float32).reshape(scores.shape)
            scale = max(1.0, float(numpy.abs(expected).max()))
            off = float(numpy.abs(scores - expected).max()) / scale
            worst = max(worst, off)
            print(f"{case['name']}: off by {off:.1e}, {len(onnx.load(out).graph.node)} operators")
    assert worst < 1e-4, worst


if __name__ == "__main__":
    main()
