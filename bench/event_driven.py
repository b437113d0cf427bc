"""SpikingJelly on the network and pictures that the example `batch_one` exported: one picture at a time, in milliseconds.

    python bench/event_driven.py EXPORT [STEPS]

Multi-step mode, torch backend, two threads, inference mode. The first convolution, whose input is the same at every step, is
computed once. The spiking maximum of counts has no counterpart there: it is a maximum at each step, which costs less.
"""

import json
import re
import struct
import sys
import time
from pathlib import Path

import numpy
import torch
from spikingjelly.activation_based import functional, layer, neuron

PICTURES = 1000


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
    def __init__(self, numbers, thresholds, steps):
        super().__init__()
        self.steps = steps
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
            neuron.IFNode(v_threshold=threshold, v_reset=None, step_mode="m")
            for threshold in thresholds
        )
        self.pool = layer.MaxPool2d(2, step_mode="m")
        self.flatten = layer.Flatten(step_mode="m")

    def forward(self, x):
        functional.reset_net(self)
        for node, threshold in zip(self.neurons, self.thresholds):
            node.v = threshold / 2
        n = self.neurons
        x = n[0](self.first(x).unsqueeze(0).expand(self.steps, -1, -1, -1, -1))
        x = self.pool(n[1](self.conv2(x)))
        x = n[2](self.conv3(x))
        x = self.flatten(self.pool(n[3](self.conv4(x))))
        return self.classifier(n[4](self.hidden(x))).mean(0)


def main():
    export = Path(sys.argv[1])
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    torch.set_num_threads(2)
    text = (export / "blueprint.toml").read_text()
    thresholds = [float(found) for found in re.findall(r"v_threshold = ([0-9.e-]+)", text)]
    if len(thresholds) != 5:
        sys.exit(f"{export}/blueprint.toml has {len(thresholds)} thresholds; expected the 5 of a converted mnist-cnn")
    pictures = torch.from_numpy(numpy.fromfile(export / "pictures.f32", numpy.float32)).reshape(-1, 1, 28, 28)
    network = Network(tensors(export / "model.safetensors"), thresholds, steps).eval()
    times = []
    with torch.inference_mode():
        for picture in pictures[:PICTURES]:
            start = time.perf_counter()
            network(picture[None])
            times.append(time.perf_counter() - start)
    times.sort()
    median, early = times[len(times) // 2] * 1e3, times[len(times) // 20] * 1e3
    print(f"SpikingJelly, {steps} steps, {len(times)} pictures: median {median:.3f} ms, 5th percentile {early:.3f} ms")


if __name__ == "__main__":
    main()
