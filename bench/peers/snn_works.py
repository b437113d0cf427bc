"""The spiking works of the benchmark in snnTorch, SpikingJelly and Norse.

All three run the same network on the same data: leaky integrate-and-fire neurons whose membrane decays by 1/2 a step,
reset by subtraction, the fast sigmoid (SuperSpike) as surrogate, and a product applied to all steps at once, which is
each library's fastest way on a CPU. What differs is each library's own: snnTorch does not scale the input by 1 - decay,
so its thresholds are twice as high, and resets a step later; Norse lets gradients through the reset.
"""

import functools

import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F

SLOPE = 10.0

# Work -> (steps, batch, neurons of the layer or None, share of spikes in the input or None, threshold of the neurons).
# Thresholds are such that a few per cent of the neurons fire at a step. Both sides use exactly these.
WORKS = {
    "spiking-layer-dense": (100, 16, 512, None, 1.0),
    "spiking-layer-sparse": (100, 16, 512, 0.05, 0.2),
    "spiking-layer-wide": (25, 128, 1000, 0.05, 0.2),
    "spiking-mnist-train": (25, 128, None, None, 0.5),
    "spiking-cnn-train": (8, 64, None, None, 0.5),
}


def snntorch_neurons(threshold):
    import snntorch

    cell = snntorch.Leaky(
        beta=0.5,
        threshold=2 * threshold,
        spike_grad=snntorch.surrogate.fast_sigmoid(slope=SLOPE / 2),
        reset_mechanism="subtract",
    )

    def run(x):
        mem, spikes = torch.zeros_like(x[0]), []
        for current in x:
            spike, mem = cell(current, mem)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def spikingjelly_neurons(threshold):
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(
        tau=2.0,
        decay_input=True,
        v_threshold=threshold,
        v_reset=None,
        surrogate_function=surrogate.SoftSign(alpha=SLOPE),
        detach_reset=True,
        step_mode="m",
    )

    def run(x):
        functional.reset_net(node)
        return node(x)

    return run


def norse_neurons(threshold):
    from norse.torch.functional.lif_box import (
        LIFBoxFeedForwardState,
        LIFBoxParameters,
        lif_box_feed_forward_step,
    )
    from norse.torch.functional.reset import reset_subtract

    parameters = LIFBoxParameters(
        tau_mem_inv=torch.as_tensor(500.0),
        v_th=torch.as_tensor(threshold),
        method="super",
        alpha=torch.as_tensor(SLOPE),
        reset_method=reset_subtract,
    )

    def run(x):
        state, spikes = LIFBoxFeedForwardState(v=torch.zeros_like(x[0])), []
        for current in x:
            spike, state = lif_box_feed_forward_step(current, state, parameters, 0.001)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


NEURONS = {"snntorch": snntorch_neurons, "spikingjelly": spikingjelly_neurons, "norse": norse_neurons}


def all_steps(module):
    """A product or pooling over all steps and samples in one call."""
    return lambda x: module(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def network(work, peer, channels_last):
    """The trainable modules, and the function from `[steps, batch, ...]` to spikes at every step."""
    _, _, neurons, _, threshold = WORKS[work]
    fire = functools.partial(NEURONS[peer], threshold)
    if neurons:
        linear = nn.Linear(neurons, neurons)
        # The product takes `[steps, batch, inputs]` as it is.
        modules, layers = [linear], [linear, fire()]
    elif work == "spiking-mnist-train":
        modules = [nn.Linear(784, 1000), nn.Linear(1000, 10)]
        layers = [modules[0], fire(), modules[1], fire()]
    else:
        modules = [nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1), nn.Linear(32 * 7 * 7, 10)]
        pool = all_steps(nn.MaxPool2d(2))
        layers = [all_steps(modules[0]), fire(), pool, all_steps(modules[1]), fire(), pool]
        layers += [lambda x: modules[2](x.flatten(2)), fire()]
    for module in modules:
        nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        nn.init.zeros_(module.bias)
    modules = nn.ModuleList(modules)
    if channels_last:
        modules.to(memory_format=torch.channels_last)

    def run(x):
        for layer in layers:
            x = layer(x)
        return x

    return modules, run


def pictures(file, count):
    """The first `count` of the file's 128 pictures of 784 bytes as intensities, and their labels."""
    data = torch.from_numpy(numpy.fromfile(file, numpy.uint8))
    images, labels = data[: 784 * count], data[784 * 128 :][:count]
    return images.float().div(255).unflatten(0, (count, 784)), labels.long()


def variants(work):
    """The variants to choose from."""
    return ["contiguous", "channels_last"] if work == "spiking-cnn-train" else ["contiguous"]


class Work:
    """One work, set up for one peer; `step()` does it once."""

    def __init__(self, work, peer, variant, images):
        steps, batch, neurons, share, _ = WORKS[work]
        self.channels_last = variant == "channels_last"
        torch.manual_seed(0)
        self.modules, self.run = network(work, peer, self.channels_last)
        self.parameters = sum(p.numel() for p in self.modules.parameters())
        self.steps = steps
        if neurons:
            shape = (steps, batch, neurons)
            self.input = torch.randn(shape) if share is None else (torch.rand(shape) < share).float()
            self.target = torch.full((batch, neurons), steps / 10)
            self.step = self._layer
        else:
            self.input, self.target = pictures(images, batch)
            if work == "spiking-cnn-train":
                self.input = self.input.unflatten(1, (1, 28, 28))
            self.optimizer = torch.optim.AdamW(self.modules.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
            self.step = self._train

    def _layer(self):
        self.modules.zero_grad(set_to_none=True)
        counts = self.run(self.input).sum(0)
        F.mse_loss(counts, self.target).backward()

    def _train(self):
        self.optimizer.zero_grad(set_to_none=True)
        spikes = (torch.rand((self.steps, *self.input.shape)) < self.input).float()
        if self.channels_last:
            spikes = spikes.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            spikes = spikes.unflatten(0, (self.steps, -1))
        counts = self.run(spikes).sum(0)
        F.cross_entropy(counts, self.target).backward()
        self.optimizer.step()
