"""One layer of neurons behind a Linear layer, run by a peer, as a case of a golden file; for neurons.py."""

from typing import Callable

import torch
from torch import nn

from golden import bits, tensor, tensors

STEPS, BATCH, INPUTS, NEURONS = 20, 3, 4, 5
# No potential of any case is nearer to its threshold than this, so that rounding changes no spike.
MARGIN = 2e-5

# From the current of a step to the output and the membrane after it.
Step = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def blueprint(kind: str, constants: dict, feedback: str | None, delay: bool) -> str:
    def node(name: str, kind: str, **fields) -> str:
        lines = "".join(f"{key} = {value!r}\n" for key, value in fields.items())
        return f"\n[[node]]\nname = '{name}'\nkind = '{kind}'\n{lines}"

    chain = ["in", "weights", "late", "cell", "out"] if delay else ["in", "weights", "cell", "out"]
    edges = [list(pair) for pair in zip(chain, chain[1:])]
    if feedback:
        edges += [["cell", "back"], ["back", "cell"]]
    text = f"name = 'golden'\nedges = {edges}\n"
    text += node("in", "Input", shape=[INPUTS]) + node("weights", "Linear", out_features=NEURONS)
    text += node("late", "Delay", delay_ms=1.0) if delay else ""
    text += node("cell", kind, **constants)
    text += node("back", feedback, out_features=NEURONS) if feedback else ""
    return text + node("out", "Output")


def case(
    name: str,
    kind: str,
    constants: dict,
    make: Callable[[dict], Step],
    *,
    integration: str,
    learned: dict | None = None,
    feedback: str | None = None,
    detach_reset: bool = False,
    surrogate: str = "atan:2",
    gradients: bool = True,
    delay: bool = False,
    scale: float = 2.0,
) -> dict:
    """`make` takes the parameters by name, and gives a step function with a fresh state."""
    fires = kind not in ("LI", "CubaLI")
    for seed in range(200):
        torch.manual_seed(seed)
        x = 2.5 * torch.rand(STEPS, BATCH, INPUTS) - 1
        targets = torch.tensor([1, 4, 0])
        parameters = {"weights.weight": (scale * torch.randn(NEURONS, INPUTS) / INPUTS**0.5).requires_grad_()}
        if feedback:
            weight = 0.7 * torch.randn(NEURONS, NEURONS) / NEURONS**0.5
            parameters["back.weight"] = weight.requires_grad_()
        if feedback == "Affine":
            parameters["back.bias"] = (0.1 * torch.randn(NEURONS)).requires_grad_()
        for constant, values in (learned or {}).items():
            parameters[f"cell.{constant}"] = torch.tensor(values).requires_grad_()
        step = make(parameters)
        output, membrane = map(torch.stack, zip(*(step(x_t @ parameters["weights.weight"].T) for x_t in x)))
        # Neurons that never or always fire would say little.
        if not fires or (step.distance > MARGIN and 0.06 < output.mean() < 0.7):
            break
    else:
        raise ValueError(f"{name}: no seed gives spikes that are far enough from a threshold")
    golden = dict(
        name=name,
        blueprint=blueprint(kind, constants, feedback, delay),
        integration=integration,
        detach_reset=detach_reset,
        surrogate=surrogate,
        steps=STEPS,
        # A sample brings all its steps.
        x=tensor(x.transpose(0, 1)),
        targets=targets.tolist(),
        parameters=tensors(parameters),
        membrane=tensor(membrane),
    )
    if fires:
        golden["spikes"] = bits(output)
    if gradients:
        loss = nn.functional.cross_entropy(output.mean(0), targets)
        loss.backward()
        golden["loss"] = loss.item()
        golden["gradients"] = tensors({name: parameter.grad for name, parameter in parameters.items()})
    return golden


class Cell:
    """A step function, and how near its potentials came to the threshold."""

    def __init__(self, step: Callable, state=None):
        self.step, self.state, self.distance = step, state, float("inf")

    def near(self, distance: torch.Tensor) -> None:
        self.distance = min(self.distance, distance.detach().abs().min().item())

    def __call__(self, current: torch.Tensor):
        return self.step(self, current)


def exact(tau: torch.Tensor | float) -> torch.Tensor:
    return torch.exp(-1.0 / torch.as_tensor(tau))
