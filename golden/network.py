"""Writes crates/gyrus-nn/tests/golden/network.json: a small network's training steps in PyTorch.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/network.py`.

Two steps of plain gradient descent on one batch: for each the loss, every parameter's gradient and the
running statistics; then the logits in inference. Pictures are [batch, channels, height, width]; tensors carry the names
and shapes of a Gyrus state.
"""

import torch
from torch import nn

from golden import tensor, write

LEARNING_RATE = 0.05
# Gyrus's node for each of PyTorch's modules.
NODES = {"0": "conv1", "1": "norm1", "4": "conv2", "7": "classifier"}


def name(path: str) -> str:
    module, parameter = path.split(".")
    return f"{NODES[module]}.{parameter}"


def state(network: nn.Module) -> dict:
    items = network.state_dict().items()
    return {name(path): tensor(values) for path, values in items if not path.endswith("num_batches_tracked")}


def main() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding="same"),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 2 * 3, 3),
    )
    with torch.no_grad():
        # Away from their usual start of 1 and 0.
        network[1].weight.uniform_(0.5, 1.5)
        network[1].bias.uniform_(-0.5, 0.5)
    pictures = torch.randn(4, 2, 10, 14)
    targets = torch.tensor([2, 0, 1, 2])
    golden = dict(
        made_by=f"golden/network.py, PyTorch {torch.__version__}",
        learning_rate=LEARNING_RATE,
        pictures=tensor(pictures),
        targets=targets.tolist(),
        start=state(network),
        steps=[],
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    for _ in range(2):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(pictures), targets, label_smoothing=0.1)
        loss.backward()
        gradients = {name(path): tensor(parameter.grad) for path, parameter in network.named_parameters()}
        optimizer.step()
        golden["steps"].append(dict(loss=loss.item(), gradients=gradients, state=state(network)))
    network.eval()
    golden["inference"] = tensor(network(pictures))
    write("network.json", golden)


if __name__ == "__main__":
    main()
