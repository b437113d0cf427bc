"""Traces of single neurons by NEST 3.10, for gyrus-simulate (crates/gyrus-simulate/tests/golden).

    python golden/simulate.py

Needs nest-simulator. Each model receives the same trains of spikes, one excitatory and one inhibitory, a constant current, and a
direct current from 10 to 30 ms. A file has a line for each step of 0.1 ms: the membrane potential in mV with all its digits.
"""

from pathlib import Path

import nest

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "crates" / "gyrus-simulate" / "tests" / "golden"
STEPS = 500

# Model, parameters other than NEST's defaults, weights of the two trains, amplitude of the direct current.
MODELS = [
    ("iaf_psc_delta", {"I_e": 350.0}, (1.2, -0.8), 100.0),
    ("iaf_psc_exp", {"I_e": 300.0, "tau_syn_ex": 2.0, "tau_syn_in": 5.0}, (120.0, -60.0), 100.0),
    ("iaf_psc_alpha", {"I_e": 300.0, "tau_syn_ex": 0.5, "tau_syn_in": 3.0, "t_ref": 1.0}, (150.0, -60.0), 100.0),
    ("iaf_cond_exp", {"I_e": 200.0, "tau_syn_ex": 5.0, "tau_syn_in": 10.0}, (2.0, -3.0), 100.0),
    ("iaf_cond_alpha", {"I_e": 200.0, "tau_syn_ex": 2.0, "tau_syn_in": 4.0}, (2.0, -3.0), 100.0),
    ("aeif_cond_exp", {"I_e": 600.0, "t_ref": 1.0}, (10.0, -5.0), 200.0),
    ("aeif_cond_alpha", {"I_e": 600.0, "tau_syn_ex": 2.0}, (2.0, -2.0), 200.0),
    ("izhikevich", {"I_e": 8.0}, (1.0, -0.5), 4.0),
    ("hh_psc_alpha", {"I_e": 600.0}, (100.0, -50.0), 100.0),
    ("hh_cond_exp_traub", {"I_e": 300.0}, (3.0, -2.0), 100.0),
]


def times(first, gap):
    """Times on the grid from `first` on, `gap` apart, both in steps."""
    return [round(step * 0.1, 1) for step in range(first, STEPS, gap)]


def trace(model, parameters, weights, amplitude):
    nest.ResetKernel()
    nest.resolution = 0.1
    neuron = nest.Create(model, params=parameters)
    for weight, (first, gap) in zip(weights, [(10, 13), (20, 41)]):
        source = nest.Create("spike_generator", params={"spike_times": times(first, gap)})
        nest.Connect(source, neuron, syn_spec={"weight": weight, "delay": 0.7})
    current = nest.Create("dc_generator", params={"amplitude": amplitude, "start": 10.0, "stop": 30.0})
    nest.Connect(current, neuron, syn_spec={"weight": 1.0, "delay": 0.3})
    meter = nest.Create("multimeter", params={"interval": 0.1, "record_from": ["V_m"]})
    nest.Connect(meter, neuron)
    spikes = nest.Create("spike_recorder")
    nest.Connect(neuron, spikes)
    # The meter hands over what it has seen one pass late.
    nest.Simulate((STEPS + 20) * 0.1)
    assert meter.events["times"][0] == 0.1
    values = meter.events["V_m"][:STEPS]
    assert len(values) == STEPS, len(values)
    print(f"{model}: {spikes.n_events} spikes, last potential {values[-1]}")
    return values


def main():
    nest.verbosity = nest.VerbosityLevel.ERROR
    OUT.mkdir(parents=True, exist_ok=True)
    for model, parameters, weights, amplitude in MODELS:
        values = trace(model, parameters, weights, amplitude)
        text = "".join(f"{value!r}\n" for value in map(float, values))
        (OUT / f"{model}.txt").write_text(text)


if __name__ == "__main__":
    main()
