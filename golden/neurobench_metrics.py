"""Writes crates/gyrus-nn/tests/golden/neurobench.json: what the neurobench package says of small snnTorch networks.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/neurobench_metrics.py`.

Each network comes with its numbers, its samples ([sample, step, ...]), the size of a batch, the spikes of its last layer,
and the package's numbers as they are.
"""

import snntorch as snn
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity, Footprint, ParameterCount
from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations
from neurobench.models import SNNTorchModel
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from golden import bits, made_by, tensor, tensors, write

STEPS, SAMPLES, BATCH = 6, 8, 3
BETA, ALPHA = torch.exp(torch.tensor(-1 / 4.0)).item(), torch.exp(torch.tensor(-1 / 2.0)).item()
# Membranes are reset within the step, to zero, as Gyrus does.
COMMON = dict(init_hidden=True, reset_mechanism="zero", reset_delay=False)
MARGIN = 2e-5


class Chain(nn.Module):
    """Layers by the names of the blueprint's nodes; gives spikes and the last membrane, as the package expects."""

    def __init__(self, layers: dict[str, nn.Module]):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: torch.Tensor):
        for layer in self.children():
            x = layer(x)
        return x, layer.mem


def sparse(layer: nn.Module, scale: float) -> nn.Module:
    """Larger weights, four of ten of them zero."""
    with torch.no_grad():
        layer.weight.mul_(scale)
        layer.weight[torch.rand_like(layer.weight) < 0.4] = 0
    return layer


def convolutional() -> tuple[Chain, torch.Tensor]:
    chain = Chain(
        dict(
            conv1=sparse(nn.Conv2d(2, 4, 3, padding=1), 3.0),
            cells1=snn.Leaky(BETA, **COMMON),
            conv2=sparse(nn.Conv2d(4, 6, 3, stride=2, bias=False), 4.0),
            cells2=snn.Leaky(BETA, **COMMON),
            # What follows it is no longer binary.
            pool=nn.AvgPool2d(2),
            flatten=nn.Flatten(),
            linear=sparse(nn.Linear(6, 5), 3.0),
            cells3=snn.Leaky(BETA, **COMMON),
            last=sparse(nn.Linear(5, 3), 4.0),
            answer=snn.Leaky(BETA, **COMMON),
        )
    )
    x = torch.rand(SAMPLES, STEPS, 2, 6, 6)
    x[x < 0.5] = 0
    # Binary at some steps and not at others.
    x[:, 1::2] = (x[:, 1::2] > 0).float()
    return chain, x


def recurrent() -> tuple[Chain, torch.Tensor]:
    chain = Chain(
        dict(
            first=sparse(nn.Linear(9, 12), 2.0),
            # With a reset to zero it would run its recurrent layer twice a step, and the package would count both.
            cells=snn.RLeaky(BETA, linear_features=12, **dict(COMMON, reset_mechanism="subtract")),
            second=sparse(nn.Linear(12, 8, bias=False), 3.0),
            synaptic=snn.Synaptic(ALPHA, BETA, **COMMON),
            last=sparse(nn.Linear(8, 3), 4.0),
            answer=snn.Leaky(BETA, **COMMON),
        )
    )
    sparse(chain.cells.recurrent, 1.0)
    x = torch.rand(SAMPLES, STEPS, 9)
    return chain, (x > 0.6).float()


def normalized() -> tuple[Chain, None]:
    """Only for its footprint."""
    layers = dict(conv=nn.Conv2d(2, 4, 3), norm=nn.BatchNorm2d(4), cells=snn.Leaky(BETA, **COMMON))
    return Chain(layers), None


class Watch:
    """How near the potentials of all neurons come to their threshold: a neuron that did not fire shows its own."""

    def __init__(self, chain: Chain):
        self.distance, self.spikes = float("inf"), 0.0
        for layer in chain.children():
            if isinstance(layer, snn.SpikingNeuron):
                fire = layer.fire
                layer.fire = lambda membrane, fire=fire, layer=layer: self.see(membrane, layer) or fire(membrane)

    def see(self, membrane: torch.Tensor, layer: nn.Module) -> None:
        self.distance = min(self.distance, (membrane - layer.threshold).abs().min().item())
        if layer.reset_mechanism == "subtract" and (membrane > 2 * layer.threshold).any():
            # What is above the threshold after its reset is reset once more at snnTorch's next step.
            self.distance = 0.0


def run(name: str, make) -> dict:
    static = [Footprint, ConnectionSparsity, ParameterCount]
    workload = [ActivationSparsity, SynapticOperations, MembraneUpdates]
    for seed in range(300):
        torch.manual_seed(seed)
        chain, x = make()
        golden = dict(
            name=name,
            parameters=tensors({name.replace("cells.recurrent", "back"): p for name, p in chain.named_parameters()}),
        )
        if x is None:
            return golden | dict(metrics={metric.__name__: metric()(SNNTorchModel(chain)) for metric in static})
        watch = Watch(chain)
        loader = DataLoader(TensorDataset(x, torch.zeros(SAMPLES)), batch_size=BATCH)
        spikes = []
        keep = lambda predictions: spikes.append(predictions.detach()) or predictions
        with torch.no_grad():
            metrics = Benchmark(SNNTorchModel(chain), loader, [], [keep], [static, workload]).run(quiet=True)
        spikes = torch.cat(spikes)
        if watch.distance > MARGIN and 0.1 < spikes.mean() < 0.8:
            break
    else:
        raise ValueError(f"{name}: no seed gives spikes that are far enough from a threshold")
    return golden | dict(x=tensor(x), batch=BATCH, steps=STEPS, spikes=bits(spikes), metrics=dict(metrics))


def main() -> None:
    networks = [run("convolutional", convolutional), run("recurrent", recurrent), run("normalized", normalized)]
    for network in networks:
        print(network["name"], network["metrics"])
    write("neurobench.json", dict(made_by=made_by("neurobench_metrics.py", "torch", "snntorch", "neurobench"), networks=networks))


if __name__ == "__main__":
    main()
