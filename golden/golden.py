"""What the scripts of golden files share: how tensors are written, and where the files lie."""

import json
from importlib.metadata import version
from pathlib import Path

import torch


def tensor(values: torch.Tensor) -> dict:
    """Nine digits tell any two 32-bit floats apart."""
    numbers = [float(f"{value:.9g}") for value in values.detach().flatten().tolist()]
    return dict(shape=list(values.shape), values=numbers)


def tensors(named: dict[str, torch.Tensor]) -> dict:
    return {name: tensor(values) for name, values in named.items()}


def bits(spikes: torch.Tensor) -> str:
    """Spikes in row-major order, one digit each."""
    assert ((spikes == 0) | (spikes == 1)).all()
    return "".join(str(int(spike)) for spike in spikes.flatten().tolist())


def made_by(script: str, *packages: str) -> str:
    return f"golden/{script} with " + ", ".join(f"{name} {version(name)}" for name in packages)


def write(file: str, golden: dict, crate: str = "gyrus-nn") -> None:
    path = Path(__file__).parents[1] / "crates" / crate / "tests/golden" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(golden) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")
