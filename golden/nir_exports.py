"""Writes crates/gyrus/tests/golden/nir_exports: a small network as snnTorch, Norse and sinabs export it, and what each answers.

    python golden/nir_exports.py snntorch|norse|sinabs

Beside `PROGRAM.nir` stands `PROGRAM.json` with the input, `[steps, 3]`, and the spikes that the program itself fires,
`[steps, 2]`. The programs do not live in one environment (see `nir_peers.py`). Weights are the pattern of `nir_files.py`.
"""

import json
import sys
from pathlib import Path

import nir
import torch

GOLDEN = Path(__file__).parents[1] / "crates/gyrus/tests/golden/nir_exports"
STEPS = 12


def linear(outputs: int, inputs: int, scale: float) -> torch.nn.Linear:
    layer = torch.nn.Linear(inputs, outputs)
    elements = torch.arange(outputs * inputs)
    layer.weight.data = ((((7 * elements) % 11 - 4) / 8) * scale).float().reshape(outputs, inputs)
    layer.bias.data = torch.full((outputs,), 0.125 * scale)
    return layer


def given() -> torch.Tensor:
    """Currents that differ from step to step."""
    steps = torch.arange(STEPS * 3)
    return (((5 * steps) % 7) / 4).float().reshape(STEPS, 3)


def snntorch():
    import snntorch as snn
    from snntorch.export_nir import export_to_nir

    def leaky(neurons: int):
        return snn.Leaky(beta=torch.full((neurons,), 0.75), threshold=torch.ones(neurons), init_hidden=True)

    net = torch.nn.Sequential(linear(4, 3, 1.0), leaky(4), linear(2, 4, 2.0), leaky(2))
    with torch.no_grad():
        spikes = torch.stack([net(x[None])[0] for x in given()])
    graph = export_to_nir(net, torch.zeros(1, 3), ignore_dims=[0])
    return graph, spikes


def norse():
    import norse.torch as norse
    from norse.torch.module.lif_box import LIFBoxParameters

    def lif(neurons: int):
        one = torch.ones(neurons)
        return norse.LIFBoxCell(
            LIFBoxParameters(
                tau_mem_inv=300 * one, v_leak=0 * one, v_th=0.5 * one, v_reset=0 * one
            )
        )

    net = norse.SequentialState(linear(4, 3, 2.0), lif(4), linear(2, 4, 3.0), lif(2))
    state, spikes = None, []
    with torch.no_grad():
        for x in given():
            z, state = net(x, state)
            spikes.append(z)
    return norse.to_nir(net, torch.zeros(3)), torch.stack(spikes)


def sinabs():
    import sinabs.layers as sl
    from sinabs import reset_states
    from sinabs.nir import to_nir

    net = torch.nn.Sequential(
        torch.nn.Flatten(),
        linear(4, 3, 1.0),
        sl.IAFSqueeze(batch_size=1),
        linear(2, 4, 1.0),
        sl.IAFSqueeze(batch_size=1),
    )
    with torch.no_grad():
        spikes = net(given()[:, :, None, None])
        reset_states(net)
        graph = to_nir(net, torch.zeros(1, 3, 1, 1))
    return graph, spikes


if __name__ == "__main__":
    program = sys.argv[1]
    graph, spikes = {"snntorch": snntorch, "norse": norse, "sinabs": sinabs}[program]()
    GOLDEN.mkdir(parents=True, exist_ok=True)
    graph.infer_types()
    nir.write(GOLDEN / f"{program}.nir", graph)
    answer = {"input": given().tolist(), "spikes": spikes.reshape(STEPS, 2).tolist()}
    (GOLDEN / f"{program}.json").write_text(json.dumps(answer) + "\n")
