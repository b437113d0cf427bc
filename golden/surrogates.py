"""Writes crates/gyrus-nn/tests/golden/surrogates.json: derivatives of surrogates in snnTorch, Norse and SpikingJelly.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/surrogates.py`.

Each curve has Gyrus' name for it. No peer has the multi-Gaussian: it comes from the densities of PyTorch.
"""

from typing import Callable

import torch
from norse.torch.functional import threshold
from snntorch import surrogate as snn_surrogate
from spikingjelly.activation_based import surrogate as jelly_surrogate

from golden import made_by, tensor, write

PACKAGES = ("torch", "snntorch", "norse", "spikingjelly")


def main() -> None:
    distance = torch.cat([torch.linspace(-2.05, 2.05, 42), torch.tensor([0.01, -0.3])])

    def derivative(function: Callable) -> dict:
        x = distance.clone().requires_grad_()
        function(x).sum().backward()
        return tensor(x.grad)

    normal = lambda mean, deviation: torch.distributions.Normal(mean, deviation).log_prob(distance.double()).exp()
    multi_gaussian = 1.15 * normal(0, 0.5) - 0.15 * normal(-0.5, 3) - 0.15 * normal(0.5, 3)
    curves = [
        ("atan:2", "snnTorch atan(2)", derivative(snn_surrogate.atan(2.0))),
        ("atan:3", "SpikingJelly ATan(3)", derivative(jelly_surrogate.ATan(3.0))),
        ("fast-sigmoid:25", "snnTorch fast_sigmoid(25)", derivative(snn_surrogate.fast_sigmoid(25))),
        ("fast-sigmoid:1", "SpikingJelly SuperSpike(1)", derivative(jelly_surrogate.SuperSpike(1.0))),
        ("fast-sigmoid:1", "Norse super", derivative(lambda x: threshold.threshold(x, "super", 100.0))),
        ("triangular:0.5", "SpikingJelly PiecewiseQuadratic(2)", derivative(jelly_surrogate.PiecewiseQuadratic(2.0))),
        ("triangular:1", "Norse triangle, alpha 1", derivative(lambda x: threshold.threshold(x, "triangle", 1.0))),
        ("gaussian:0.35355339059327373", "SpikingJelly Erf(2)", derivative(jelly_surrogate.Erf(2.0))),
        ("multi-gaussian:0.5", "its densities", tensor(multi_gaussian)),
        ("boxcar:0.5", "SpikingJelly Rect(2)", derivative(jelly_surrogate.Rect(2.0))),
    ]
    curves = [dict(surrogate=surrogate, peer=peer, derivative=values) for surrogate, peer, values in curves]
    golden = dict(made_by=made_by("surrogates.py", *PACKAGES), distance=tensor(distance), curves=curves)
    write("surrogates.json", golden)


if __name__ == "__main__":
    main()
