"""SpikingJelly on the converted network and the pictures that the runner prepared: one picture at a time.

Multi-step mode, torch backend, inference mode. The first convolution, whose input is the same at every step, is computed
once. The spiking maximum of counts has no counterpart there: it is a maximum at each step, which costs less.
"""

import itertools
import json
import re
import struct
from pathlib import Path

import numpy
import torch
from spikingjelly.activation_based import functional, layer, neuron

WORKS = ["events-mnist-infer-1"]
STEPS = 8


def tensors(path):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            values = numpy.frombuffer(raw[8 + length + start : 8 + length + end], numpy.float32)
            found[name] = torch.from_numpy(values.copy()).reshape(entry["shape"])
    return found


class Network(torch.nn.Module):
    def __init__(self, numbers, thresholds):
        super().__init__()
        self.thresholds = thresholds
        self.first = torch.nn.Conv2d(1, 16, 3, padding=1)
        convolutions = [layer.Conv2d(i, o, 3, padding=1, step_mode="m") for i, o in [(16, 16), (16, 32), (32, 32)]]
        self.conv2, self.conv3, self.conv4 = convolutions
        self.hidden = layer.Linear(32 * 49, 128, step_mode="m")
        self.classifier = layer.Linear(128, 10, step_mode="m")
        nodes = {"conv1": self.first, "conv2": self.conv2, "conv3": self.conv3, "conv4": self.conv4}
        for name, node in {**nodes, "hidden": self.hidden, "classifier": self.classifier}.items():
            node.weight.data = numbers[f"{name}.weight"]
            node.bias.data = numbers[f"{name}.bias"]
        self.neurons = torch.nn.ModuleList(
            neuron.IFNode(v_threshold=threshold, v_reset=None, step_mode="m") for threshold in thresholds
        )
        self.pool = layer.MaxPool2d(2, step_mode="m")
        self.flatten = layer.Flatten(step_mode="m")

    def forward(self, x):
        functional.reset_net(self)
        for node, threshold in zip(self.neurons, self.thresholds):
            node.v = threshold / 2
        n = self.neurons
        x = n[0](self.first(x).unsqueeze(0).expand(STEPS, -1, -1, -1, -1))
        x = self.pool(n[1](self.conv2(x)))
        x = n[2](self.conv3(x))
        x = self.flatten(self.pool(n[3](self.conv4(x))))
        return self.classifier(n[4](self.hidden(x))).mean(0)


class Work:
    """The network of the run folder `spiking` in `folder`; `step()` looks at the next picture."""

    def __init__(self, folder):
        folder = Path(folder)
        text = (folder / "spiking" / "blueprint.toml").read_text()
        thresholds = [float(found) for found in re.findall(r"v_threshold = ([0-9.e-]+)", text)]
        if len(thresholds) != 5:
            raise ValueError(f"{folder}: {len(thresholds)} thresholds; expected the 5 of a converted mnist-cnn")
        pictures = numpy.fromfile(folder / "pictures.f32", numpy.float32)
        self.pictures = itertools.cycle(torch.from_numpy(pictures).reshape(-1, 1, 1, 28, 28))
        self.network = Network(tensors(folder / "spiking" / "model.safetensors"), thresholds).eval()
        self.parameters = sum(p.numel() for p in self.network.parameters())

    @torch.inference_mode()
    def step(self):
        self.network(next(self.pictures))
