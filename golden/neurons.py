"""Writes crates/gyrus-nn/tests/golden/neurons.json: layers of neurons in snnTorch, Norse and SpikingJelly.

Run anywhere with `pip install -r golden/requirements.txt`, then `python golden/neurons.py`.

Each case is a Linear layer and the neurons behind it, run by a peer for STEPS steps: the blueprint of the same network,
its numbers, the peer's spikes (or potentials, of neurons that do not fire), its membranes after the reset, the cross
entropy of the mean output over time, and the gradient of every parameter. Where the peer writes an equation in other
numbers than Gyrus, the peer's are computed from Gyrus' here, so that autograd gives the gradient of Gyrus' numbers.
Everything in time is [step, sample, element].
"""

from typing import Callable

import snntorch as snn
import torch
from norse.torch.functional import (
    leaky_integrator,
    leaky_integrator_box,
    lif,
    lif_box,
    lsnn,
    reset,
)
from snntorch import surrogate as snn_surrogate
from spikingjelly.activation_based import neuron as jelly
from spikingjelly.activation_based import surrogate as jelly_surrogate
from torch import nn

from golden import made_by, write
from layers import BATCH, NEURONS, Cell, Step, case, exact

# --- SpikingJelly: u = v + (x - (v - v_reset)) / tau, spike at u >= theta, reset.


def spikingjelly(make_node: Callable[[dict], nn.Module], soft_threshold: float | None = None):
    def make(parameters: dict) -> Step:
        node = make_node(parameters)

        def step(cell: Cell, current: torch.Tensor):
            spikes = node(current)
            membrane = node.v
            if soft_threshold is not None:
                cell.near(membrane + soft_threshold * spikes - soft_threshold)
            else:
                cell.near(torch.where(spikes == 1, node.v_threshold + 1, membrane) - node.v_threshold)
            return spikes, membrane

        return Cell(step)

    return make


def parametric(parameters: dict) -> nn.Module:
    node = jelly.ParametricLIFNode(
        init_tau=2.0, decay_input=True, v_reset=None, surrogate_function=jelly_surrogate.ATan(2.0), detach_reset=True
    )
    # 1 / tau = sigmoid(w)
    tau = parameters["cell.tau_membrane_ms"]
    del node.w
    node.w = -torch.log(tau - 1)
    return node


def spikingjelly_cases() -> list[dict]:
    atan = jelly_surrogate.ATan(2.0)
    fields = dict(resistance=1.0, v_threshold=1.0)
    return [
        case(
            "SpikingJelly IFNode, hard reset",
            "IF",
            dict(fields, v_reset=-0.1, reset="hard", v_start=-0.1),
            spikingjelly(lambda _: jelly.IFNode(1.0, -0.1, atan, detach_reset=True)),
            integration="euler",
            detach_reset=True,
            scale=1.0,
        ),
        case(
            "SpikingJelly IFNode, soft reset",
            "IF",
            dict(fields, v_reset=0.0, reset="subtract", v_start=0.0),
            spikingjelly(lambda _: jelly.IFNode(1.0, None, atan), 1.0),
            integration="euler",
            scale=1.0,
        ),
        case(
            "SpikingJelly LIFNode, decay_input, hard reset",
            "LIF",
            dict(fields, tau_membrane_ms=2.5, v_leak=-0.2, v_reset=-0.2, reset="hard"),
            spikingjelly(lambda _: jelly.LIFNode(2.5, True, 1.0, -0.2, atan)),
            integration="euler",
            scale=3.0,
        ),
        case(
            "SpikingJelly LIFNode, not decay_input, soft reset",
            "LIF",
            # resistance = tau undoes the 1 / tau before the input.
            dict(fields, resistance=2.5, tau_membrane_ms=2.5, v_leak=0.0, v_reset=0.0, reset="subtract"),
            spikingjelly(lambda _: jelly.LIFNode(2.5, False, 1.0, None, atan, detach_reset=True), 1.0),
            integration="euler",
            detach_reset=True,
        ),
        case(
            "SpikingJelly ParametricLIFNode",
            "LIF",
            dict(
                fields,
                tau_membrane_ms=2.5,
                v_leak=0.0,
                v_reset=0.0,
                reset="subtract",
                learned=["tau_membrane_ms"],
            ),
            spikingjelly(parametric, 1.0),
            learned={"tau_membrane_ms": [2.5]},
            integration="euler",
            detach_reset=True,
            scale=3.0,
        ),
    ]


# --- snnTorch: mem = beta mem + x, spike at mem > theta. Its input is not scaled: resistance = 1 / (1 - beta).


def snntorch(make_neuron: Callable[[dict], nn.Module], gain=lambda parameters: 1.0, reset="after", fires=True):
    """`reset`: when the neuron resets: in the same step ("after"), or at the start of the next to zero ("before")."""

    def make(parameters: dict) -> Step:
        neuron, factor = make_neuron(parameters), gain(parameters)

        def step(cell: Cell, current: torch.Tensor):
            result = neuron(current * factor)
            spikes, membrane = result[0], result[-1]
            if not fires:
                return membrane, membrane
            if reset == "before":
                cell.near(membrane - 1.0)
                return spikes, (1 - spikes) * membrane
            if reset == "subtract":
                cell.near(membrane + spikes - 1.0)
                # snnTorch subtracts once more at the next step from what is still above the threshold: another seed.
                cell.distance = 0.0 if (membrane > 1).any() else cell.distance
                return spikes, membrane
            cell.near(torch.where(spikes == 1, 2.0, membrane) - 1.0)
            return spikes, membrane

        return Cell(step)

    return make


def recurrent(parameters: dict) -> nn.Module:
    neuron = snn.RLeaky(
        beta=exact(4.0), linear_features=NEURONS, reset_mechanism="zero", reset_delay=False, spike_grad=snn_surrogate.atan(2.0)
    )
    del neuron.recurrent.weight, neuron.recurrent.bias
    neuron.recurrent.weight = parameters["back.weight"]
    neuron.recurrent.bias = parameters["back.bias"]
    return neuron


def delayed_subtraction(parameters: dict) -> Step:
    """snnTorch's default. Gyrus: no reset, and feedback of minus the threshold."""
    with torch.no_grad():
        parameters["back.weight"].copy_(-torch.eye(NEURONS))
    neuron = snn.Leaky(exact(4.0), spike_grad=snn_surrogate.atan(2.0))

    def step(cell: Cell, current: torch.Tensor):
        spikes, membrane = neuron(current)
        cell.near(membrane - 1.0)
        return spikes, membrane

    return Cell(step)


def snntorch_cases() -> list[dict]:
    atan, fast_sigmoid = snn_surrogate.atan(2.0), snn_surrogate.fast_sigmoid(25)
    beta, alpha = exact(4.0).item(), exact(2.0).item()
    resistance, w_in = 1 / (1 - beta), 1 / (1 - alpha)
    leaky = dict(tau_membrane_ms=4.0, resistance=resistance, v_leak=0.0, v_threshold=1.0, v_reset=0.0)
    membrane = lambda parameters: exact(parameters["cell.tau_membrane_ms"])
    synapse = lambda parameters: exact(parameters["cell.tau_synapse_ms"])
    both = lambda parameters: (1 - membrane(parameters)) * (1 - synapse(parameters)) * resistance * w_in
    learned = {"tau_synapse_ms": [2.0], "tau_membrane_ms": [4.0]}
    synaptic = dict(tau_synapse_ms=2.0, tau_membrane_ms=4.0, resistance=resistance, v_leak=0.0, w_in=w_in)
    return [
        case(
            "snnTorch Leaky, zero, delayed",
            "LIF",
            dict(leaky, reset="hard", learned=["tau_membrane_ms"]),
            snntorch(
                lambda p: snn.Leaky(membrane(p), spike_grad=fast_sigmoid, reset_mechanism="zero"),
                lambda p: (1 - membrane(p)) * resistance,
                "before",
            ),
            learned={"tau_membrane_ms": [4.0]},
            integration="exact",
            detach_reset=True,
            surrogate="fast-sigmoid:25",
        ),
        case(
            "snnTorch Leaky, zero",
            "LIF",
            dict(leaky, reset="hard"),
            snntorch(lambda p: snn.Leaky(exact(4.0), spike_grad=atan, reset_mechanism="zero", reset_delay=False)),
            integration="exact",
        ),
        case(
            "snnTorch Leaky, subtract",
            "LIF",
            dict(leaky, reset="subtract"),
            snntorch(lambda p: snn.Leaky(exact(4.0), spike_grad=atan, reset_delay=False), reset="subtract"),
            integration="exact",
            scale=0.7,
        ),
        case(
            "snnTorch Leaky, subtract, delayed",
            "LIF",
            dict(leaky, reset="none"),
            delayed_subtraction,
            feedback="Linear",
            integration="exact",
            gradients=False,
        ),
        case(
            "snnTorch Leaky, no reset",
            "LI",
            {key: leaky[key] for key in ("tau_membrane_ms", "resistance", "v_leak")},
            snntorch(lambda p: snn.Leaky(exact(4.0), reset_mechanism="none"), fires=False),
            integration="exact",
        ),
        case(
            "snnTorch Synaptic, zero",
            "CubaLIF",
            dict(synaptic, v_threshold=1.0, v_reset=0.0, reset="hard", learned=list(learned)),
            snntorch(
                lambda p: snn.Synaptic(
                    synapse(p), membrane(p), spike_grad=atan, reset_mechanism="zero", reset_delay=False
                ),
                both,
            ),
            learned=learned,
            integration="exact",
            scale=1.0,
        ),
        case(
            "snnTorch Synaptic, no reset",
            "CubaLI",
            dict(synaptic, learned=list(learned)),
            snntorch(lambda p: snn.Synaptic(synapse(p), membrane(p), reset_mechanism="none"), both, fires=False),
            learned=learned,
            integration="exact",
        ),
        case(
            "snnTorch RLeaky, zero",
            "LIF",
            dict(leaky, reset="hard"),
            snntorch(recurrent),
            feedback="Affine",
            integration="exact",
        ),
    ]


# --- Norse: forward Euler; its synapse jumps by the input before the membrane sees it.

DT = 1e-3


def inverse(tau_ms) -> torch.Tensor:
    return 1000.0 / torch.as_tensor(tau_ms)


def norse_box(method, v_reset: float):
    def make(parameters: dict) -> Step:
        tau = parameters["cell.tau_membrane_ms"]
        p = lif_box.LIFBoxParameters(inverse(tau), torch.tensor(0.1), torch.tensor(1.0), torch.tensor(v_reset))
        p = p._replace(reset_method=method)
        state = lif_box.LIFBoxFeedForwardState(v=torch.full((BATCH, NEURONS), 0.1))

        def step(cell: Cell, current: torch.Tensor):
            before = cell.state.v
            spikes, cell.state = lif_box.lif_box_feed_forward_step(current, cell.state, p, DT)
            cell.near(before + DT * p.tau_mem_inv * (current + 0.1 - before) - 1.0)
            return spikes, cell.state.v

        return Cell(step, state)

    return make


def synaptic_distance(state, current: torch.Tensor, p) -> torch.Tensor:
    jump = state.i + current
    return state.v + DT * p.tau_mem_inv * (p.v_leak - state.v + jump) - p.v_th


def norse_cuba(parameters: dict) -> Step:
    tau_synapse, tau = parameters["cell.tau_synapse_ms"], parameters["cell.tau_membrane_ms"]
    p = lif.LIFParameters(inverse(tau_synapse), inverse(tau))
    zeros = torch.zeros(BATCH, NEURONS)

    def step(cell: Cell, current: torch.Tensor):
        # g_s = w_in / tau_synapse
        current = current * W_IN / tau_synapse
        cell.near(synaptic_distance(cell.state, current, p))
        spikes, cell.state = lif.lif_feed_forward_step(current, cell.state, p, DT)
        return spikes, cell.state.v

    return Cell(step, lif.LIFFeedForwardState(v=zeros, i=zeros))


W_IN = 5.0


def norse_recurrent(parameters: dict) -> Step:
    p = lif.LIFParameters(inverse(5.0), inverse(10.0))
    zeros, identity = torch.zeros(BATCH, NEURONS), torch.eye(NEURONS)

    def step(cell: Cell, current: torch.Tensor):
        cell.near(synaptic_distance(cell.state, current + cell.state.z @ parameters["back.weight"].T, p))
        spikes, cell.state = lif.lif_step(current, cell.state, identity, parameters["back.weight"], p, DT)
        return spikes, cell.state.v

    return Cell(step, lif.LIFState(z=zeros, v=zeros, i=zeros))


def norse_integrator(parameters: dict) -> Step:
    p = leaky_integrator.LIParameters(inverse(5.0), inverse(10.0), torch.tensor(0.3))

    def step(cell: Cell, current: torch.Tensor):
        v, cell.state = leaky_integrator.li_feed_forward_step(current, cell.state, p, DT)
        return v, v

    start = leaky_integrator.LIState(v=torch.full((BATCH, NEURONS), 0.3), i=torch.zeros(BATCH, NEURONS))
    return Cell(step, start)


def norse_box_integrator(parameters: dict) -> Step:
    p = leaky_integrator_box.LIBoxParameters(inverse(parameters["cell.tau_membrane_ms"]), torch.tensor(0.3))

    def step(cell: Cell, current: torch.Tensor):
        v, cell.state = leaky_integrator_box.li_box_feed_forward_step(current, cell.state, p, DT)
        return v, v

    return Cell(step, leaky_integrator_box.LIBoxState(v=torch.full((BATCH, NEURONS), 0.3)))


STRENGTH = 0.5


def norse_adaptive(parameters: dict) -> Step:
    """Its threshold decays before it is compared, and its current arrives a step later: that is a Delay."""
    tau = parameters["cell.tau_adaptation_ms"]
    p = lsnn.LSNNParameters(
        # A synapse that forgets within a step.
        tau_syn_inv=torch.tensor(1 / DT),
        tau_mem_inv=inverse(5.0),
        tau_adapt_inv=inverse(tau),
        beta=STRENGTH / (1 - 1 / tau),
    )
    zeros = torch.zeros(BATCH, NEURONS)

    def step(cell: Cell, current: torch.Tensor):
        state = cell.state
        u = state.v + DT * p.tau_mem_inv * (state.i - state.v)
        cell.near(u - state.b - DT * p.tau_adapt_inv * (p.v_th - state.b))
        spikes, cell.state = lsnn.lsnn_feed_forward_step(current, state, p, DT)
        return spikes, cell.state.v

    return Cell(step, lsnn.LSNNFeedForwardState(v=zeros, i=zeros, b=torch.ones(BATCH, NEURONS)))


def norse_cases() -> list[dict]:
    per_neuron = [4.0, 5.0, 6.5, 8.0, 10.0]
    box = dict(
        tau_membrane_ms=5.0,
        resistance=1.0,
        v_leak=0.1,
        v_threshold=1.0,
        per_neuron=["tau_membrane_ms"],
        learned=["tau_membrane_ms"],
    )
    cuba = dict(tau_synapse_ms=5.0, tau_membrane_ms=10.0, resistance=1.0, v_leak=0.0, w_in=W_IN)
    # Norse's SuperSpike does not use its alpha.
    common = dict(integration="euler", surrogate="fast-sigmoid:1")
    return [
        case(
            "Norse LIFBox, reset to a value",
            "LIF",
            dict(box, v_reset=-0.1, reset="hard"),
            norse_box(reset.reset_value, -0.1),
            learned={"tau_membrane_ms": per_neuron},
            scale=5.0,
            **common,
        ),
        case(
            "Norse LIFBox, reset by subtraction",
            "LIF",
            dict(box, v_reset=0.0, reset="subtract"),
            norse_box(reset.reset_subtract, 0.0),
            learned={"tau_membrane_ms": per_neuron},
            scale=5.0,
            **common,
        ),
        case(
            "Norse LIF",
            "CubaLIF",
            dict(cuba, v_threshold=1.0, v_reset=0.0, reset="hard", learned=["tau_synapse_ms", "tau_membrane_ms"]),
            norse_cuba,
            learned={"tau_synapse_ms": [5.0], "tau_membrane_ms": [10.0]},
            scale=3.0,
            **common,
        ),
        case(
            "Norse LIF, recurrent",
            "CubaLIF",
            dict(cuba, v_threshold=1.0, v_reset=0.0, reset="hard"),
            norse_recurrent,
            feedback="Linear",
            detach_reset=True,
            scale=3.0,
            **common,
        ),
        case("Norse LI", "CubaLI", dict(cuba, v_leak=0.3), norse_integrator, **common),
        case(
            "Norse LIBox",
            "LI",
            dict(tau_membrane_ms=5.0, resistance=1.0, v_leak=0.3, learned=["tau_membrane_ms"]),
            norse_box_integrator,
            learned={"tau_membrane_ms": [5.0]},
            **common,
        ),
        case(
            "Norse LSNN",
            "AdaptiveLIF",
            dict(
                tau_membrane_ms=5.0,
                tau_adaptation_ms=20.0,
                adaptation_strength=STRENGTH,
                resistance=1.0,
                v_leak=0.0,
                v_threshold=1.0,
                v_reset=0.0,
                reset="hard",
                learned=["tau_adaptation_ms"],
            ),
            norse_adaptive,
            learned={"tau_adaptation_ms": [20.0]},
            delay=True,
            scale=7.0,
            **common,
        ),
    ]


def main() -> None:
    cases = spikingjelly_cases() + snntorch_cases() + norse_cases()
    packages = ("torch", "snntorch", "norse", "spikingjelly")
    write("neurons.json", dict(made_by=made_by("neurons.py", *packages), cases=cases))


if __name__ == "__main__":
    main()
