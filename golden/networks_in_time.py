"""Writes crates/gyrus-nn/tests/golden/networks_in_time.json: gradients of whole spiking networks by PyTorch's autograd.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/networks_in_time.py`.

The neurons are those of SpikingJelly, snnTorch and Norse, with the arctangent surrogate. Each network has several variants: how
gradients flow (through resets or not, truncated or not) and what is read out. For each variant stand the loss and the
gradient of every parameter; the spikes of all variants of a network are the same. Truncation cuts the state before every
step that is a multiple of it.
"""

from typing import Callable

import snntorch as snn
import torch
from norse.torch.functional import leaky_integrator_box
from snntorch import surrogate as snn_surrogate
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import nn

from golden import made_by, tensor, tensors, write

STEPS, BATCH, CLASSES = 10, 4, 3
TARGETS = torch.tensor([2, 0, 1, 2])
MARGIN = 2e-5


def first_spike(z: torch.Tensor) -> torch.Tensor:
    """Minus the steps before the first spike: at each step, 1 as long as none came."""
    return -torch.cumprod(1 - z, 0).sum(0)


READOUTS = {"membrane": lambda z: z.mean(0), "counts": lambda z: z.sum(0), "first-spike": first_spike}


class Integrator(nn.Module):
    """Norse's leaky integrator; SpikingJelly's takes no single steps."""

    def __init__(self, tau: float):
        super().__init__()
        self.parameters_of_norse = leaky_integrator_box.LIBoxParameters(torch.tensor(1000 / tau))
        self.reset()

    def reset(self) -> None:
        self.state = leaky_integrator_box.LIBoxState(v=torch.tensor(0.0))

    def detach(self) -> None:
        self.state = leaky_integrator_box.LIBoxState(v=self.state.v.detach())

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        v, self.state = leaky_integrator_box.li_box_feed_forward_step(
            current, self.state, self.parameters_of_norse, 1e-3
        )
        return v


class Layers(nn.Module):
    """A chain of layers, run step by step; parameters by the names of the blueprint's nodes."""

    def __init__(self, layers: dict[str, nn.Module]):
        super().__init__()
        self.layers = nn.ModuleDict(layers)

    def outputs(self, x: torch.Tensor, truncate: int | None) -> tuple[torch.Tensor, float]:
        outputs, distance = [], float("inf")
        functional.reset_net(self)
        for step, now in enumerate(x):
            if truncate and step % truncate == 0:
                functional.detach_net(self)
                [layer.detach() for layer in self.layers.values() if isinstance(layer, Integrator)]
            for layer in self.layers.values():
                spikes_from = layer.v if isinstance(layer, neuron.LIFNode | neuron.IFNode) else None
                if spikes_from is not None:
                    u = charged(layer, now)
                    distance = min(distance, (u - layer.v_threshold).abs().min().item())
                now = layer(now)
            outputs.append(now)
        return torch.stack(outputs), distance


def charged(layer: nn.Module, current: torch.Tensor) -> torch.Tensor:
    """The potential before the threshold, to see how near to it it comes."""
    rest = 0.0 if layer.v_reset is None else layer.v_reset
    if isinstance(layer, neuron.LIFNode):
        return layer.v + (current - (layer.v - rest)) / layer.tau
    return layer.v + current


def lif(tau: float, v_reset: float | None, detach_reset: bool) -> nn.Module:
    return neuron.LIFNode(tau, True, 1.0, v_reset, surrogate.ATan(2.0), detach_reset)


def lively(module: nn.Module, scale: float) -> nn.Module:
    with torch.no_grad():
        module.weight.mul_(scale)
    return module


def classifier(detach_reset: bool) -> Layers:
    return Layers(
        dict(
            first=lively(nn.Linear(6, 8), 8.0),
            cells=lif(3.0, None, detach_reset),
            second=lively(nn.Linear(8, CLASSES), 3.0),
            answer=Integrator(5.0),
        )
    )


def counter(detach_reset: bool) -> Layers:
    return Layers(
        dict(
            first=lively(nn.Linear(6, 8), 8.0),
            cells=lif(3.0, 0.0, detach_reset),
            second=lively(nn.Linear(8, CLASSES), 6.0),
            answer=lif(2.0, None, detach_reset),
        )
    )


def pictures(detach_reset: bool) -> Layers:
    return Layers(
        dict(
            conv1=lively(nn.Conv2d(2, 4, 3, padding=1), 4.0),
            cells1=lif(2.0, 0.0, detach_reset),
            pool1=nn.MaxPool2d(2),
            conv2=lively(nn.Conv2d(4, 5, 3), 3.0),
            cells2=neuron.IFNode(1.0, None, surrogate.ATan(2.0), detach_reset),
            pool2=nn.AvgPool2d(2),
            flatten=nn.Flatten(),
            last=nn.Linear(20, CLASSES),
        )
    )


class Recurrent(nn.Module):
    """snnTorch's RLeaky resets within its step and lets gradients through, if asked so."""

    def __init__(self, _detach_reset: bool):
        super().__init__()
        self.first = lively(nn.Linear(6, 8), 4.0)
        self.cells = snn.RLeaky(
            torch.exp(torch.tensor(-1 / 4.0)),
            linear_features=8,
            spike_grad=snn_surrogate.atan(2.0),
            reset_mechanism="zero",
            reset_delay=False,
        )
        self.last = nn.Linear(8, CLASSES)

    def outputs(self, x: torch.Tensor, truncate: int | None) -> tuple[torch.Tensor, float]:
        spikes = membrane = torch.zeros(BATCH, 8)
        outputs, distance = [], float("inf")
        for step, now in enumerate(x):
            if truncate and step % truncate == 0:
                spikes, membrane = spikes.detach(), membrane.detach()
            current = self.first(now)
            u = self.cells.beta * membrane + current + self.cells.recurrent(spikes)
            distance = min(distance, (u - 1).abs().min().item())
            spikes, membrane = self.cells(current, spikes, membrane)
            outputs.append(self.last(spikes))
        return torch.stack(outputs), distance


def node_of(name: str) -> str:
    """`layers.first.weight` and `cells.recurrent.weight` as Gyrus names them."""
    return name.removeprefix("layers.").replace("cells.recurrent", "back")


def network(name: str, make: Callable[[bool], nn.Module], shape: list[int], constant: bool, variants: list[dict]) -> dict:
    for seed in range(200):
        torch.manual_seed(seed)
        x = torch.randn(BATCH, *shape) if constant else torch.randn(STEPS, BATCH, *shape)
        start = make(True).state_dict()
        over_time = x.expand(STEPS, *x.shape) if constant else x
        model = make(True)
        model.load_state_dict(start)
        outputs, distance = model.outputs(over_time, None)
        # All classes should differ, and gradients should have somewhere to go.
        if distance > MARGIN and outputs.detach().mean(0).std() > 0.05:
            break
    else:
        raise ValueError(f"{name}: every seed comes too near to a threshold")
    golden = dict(name=name, x=tensor(x if constant else x.transpose(0, 1)), variants=[])
    for variant in variants:
        model = make(variant["detach_reset"])
        model.load_state_dict(start)
        outputs, _ = model.outputs(over_time, variant["truncate"])
        loss = nn.functional.cross_entropy(READOUTS[variant["readout"]](outputs), TARGETS)
        loss.backward()
        gradients = {node_of(name): parameter.grad for name, parameter in model.named_parameters()}
        golden["parameters"] = tensors({node_of(name): p for name, p in model.named_parameters()})
        golden["variants"].append(dict(variant, loss=loss.item(), gradients=tensors(gradients)))
    return golden


def variants(resets: list[bool], truncations: list[int | None], readouts: list[str]) -> list[dict]:
    return [
        dict(detach_reset=detach_reset, truncate=truncate, readout=readout)
        for readout in readouts
        for detach_reset in resets
        for truncate in truncations
    ]


def main() -> None:
    both = [True, False]
    networks = [
        network("classifier", classifier, [6], False, variants(both, [None, 1, 4], ["membrane"])),
        network("counter", counter, [6], False, variants(both, [None, 4], ["counts", "first-spike"])),
        network("pictures", pictures, [2, 12, 12], True, variants(both, [None, 4], ["membrane"])),
        network("recurrent", Recurrent, [6], False, variants([False], [None, 4], ["membrane"])),
    ]
    golden = dict(
        made_by=made_by("networks_in_time.py", "torch", "snntorch", "norse", "spikingjelly"),
        steps=STEPS,
        targets=TARGETS.tolist(),
        networks=networks,
    )
    write("networks_in_time.json", golden)


if __name__ == "__main__":
    main()
