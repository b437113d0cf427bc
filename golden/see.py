"""Writes crates/gyrus-vision/tests/golden/see.json: attributions of a small residual network by Captum.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/see.py`.

The network is in inference, with running statistics that are not 0 and 1. Pictures and maps are [batch, channels, height,
width]; tensors carry the names and shapes of a Gyrus state.
"""

import torch
from captum.attr import InputXGradient, IntegratedGradients, LayerGradCam, Occlusion, Saliency
from torch import nn

from golden import made_by, tensor, write


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(4)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4)
        self.relu2 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.conv3 = nn.Conv2d(4, 5, 3, stride=2)
        self.relu3 = nn.ReLU()
        self.classifier = nn.Linear(5 * 2 * 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu1(self.norm1(self.conv1(x)))
        x = self.relu2(self.norm2(self.conv2(x)) + x)
        x = self.relu3(self.conv3(self.pool(x)))
        return self.classifier(x.flatten(1))


def main() -> None:
    torch.manual_seed(0)
    network = Residual().eval()
    with torch.no_grad():
        for norm in (network.norm1, network.norm2):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.3, 0.3)
            norm.running_mean.uniform_(-0.3, 0.3)
            norm.running_var.uniform_(0.5, 1.5)
    pictures = torch.randn(3, 2, 10, 14)
    targets = [2, 0, 1]
    baseline = torch.randn(1, 2, 10, 14) * 0.3
    golden = dict(
        made_by=made_by("see.py", "torch", "captum"),
        state={
            name: tensor(values)
            for name, values in network.state_dict().items()
            if not name.endswith("num_batches_tracked")
        },
        pictures=tensor(pictures),
        targets=targets,
        baseline=tensor(baseline),
        outputs=tensor(network(pictures)),
        gradient=tensor(Saliency(network).attribute(pictures.clone(), target=targets, abs=False)),
        input_times_gradient=tensor(InputXGradient(network).attribute(pictures.clone(), target=targets)),
        integrated_gradients=tensor(IntegratedGradients(network).attribute(pictures, target=targets, n_steps=50)),
        integrated_from_baseline=tensor(
            IntegratedGradients(network).attribute(pictures, baselines=baseline, target=targets, n_steps=20)
        ),
        occlusion=tensor(
            Occlusion(network).attribute(
                pictures, target=targets, sliding_window_shapes=(2, 4, 4), strides=(2, 3, 3), baselines=0
            )[:, :1]
        ),
    )
    for name in ("relu1", "relu2", "relu3"):
        cam = LayerGradCam(network, getattr(network, name))
        golden[f"grad_cam_{name}"] = tensor(cam.attribute(pictures, target=targets, relu_attributions=True))
    write("see.json", golden, "gyrus-vision")


if __name__ == "__main__":
    main()
