"""Writes crates/gyrus-tensor/tests/golden/optimizer.json: what PyTorch's optimizers do to one parameter.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/optimizer.py`.
"""

import json
from pathlib import Path

import torch

ADAMW = dict(optimizer="AdamW", lr=1e-2, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0)
SGD = dict(optimizer="SGD", lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)
CASES = [
    ADAMW,
    ADAMW | dict(lr=1e-3, weight_decay=0.1),
    ADAMW | dict(lr=0.05, beta1=0.8, beta2=0.95, eps=1e-4, weight_decay=0.01),
    SGD,
    SGD | dict(momentum=0.9, weight_decay=0.01),
    SGD | dict(momentum=0.9, nesterov=True, weight_decay=0.01),
]
STEPS = 6


def optimizer(case: dict, parameter: torch.Tensor) -> torch.optim.Optimizer:
    settings = {key: case[key] for key in case if key not in ("optimizer", "beta1", "beta2")}
    if case["optimizer"] == "AdamW":
        return torch.optim.AdamW([parameter], betas=(case["beta1"], case["beta2"]), **settings)
    return torch.optim.SGD([parameter], **settings)


def numbers(tensor: torch.Tensor) -> list[float]:
    """Nine digits tell any two 32-bit floats apart."""
    return [float(f"{value:.9g}") for value in tensor.detach().flatten().tolist()]


def main() -> None:
    torch.manual_seed(0)
    start = torch.randn(9)
    # From tiny to large, and one that is never touched.
    scale = torch.tensor([1e-6, 1e-3, 0.1, 1.0, 1.0, 1.0, 10.0, 100.0, 0.0])
    gradients = [torch.randn(9) * scale for _ in range(STEPS)]
    cases = []
    for case in CASES:
        parameter = torch.nn.Parameter(start.clone())
        stepper = optimizer(case, parameter)
        parameters = []
        for gradient in gradients:
            parameter.grad = gradient.clone()
            stepper.step()
            parameters.append(numbers(parameter))
        cases.append(case | dict(parameters=parameters))
    golden = dict(
        made_by=f"golden/optimizer.py, PyTorch {torch.__version__}",
        start=numbers(start),
        gradients=[numbers(gradient) for gradient in gradients],
        cases=cases,
    )
    path = Path(__file__).parents[1] / "crates/gyrus-tensor/tests/golden/optimizer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
