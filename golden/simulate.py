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


# Rules of plasticity: NEST's synapse, its parameters, parameters of the target, the weight at the start.
RULES = [
    ("stdp_additive", "stdp_synapse", {"lambda": 0.02, "alpha": 1.1, "mu_plus": 0.0, "mu_minus": 0.0, "Wmax": 2.0}, {"tau_minus": 30.0}),
    ("stdp_gutig", "stdp_synapse", {"lambda": 0.05, "alpha": 0.9, "mu_plus": 0.4, "mu_minus": 0.4, "Wmax": 2.0, "tau_plus": 15.0}, {"tau_minus": 20.0}),
    ("stdp_nearest", "stdp_nn_symm_synapse", {"lambda": 0.05, "alpha": 1.0, "mu_plus": 1.0, "mu_minus": 1.0, "Wmax": 2.0}, {"tau_minus": 20.0}),
    ("stdp_power_law", "stdp_pl_synapse_hom", {"lambda": 0.03, "alpha": 0.0513, "mu": 0.4, "tau_plus": 15.0}, {"tau_minus": 30.0}),
    ("stdp_triplet", "stdp_triplet_synapse", {"Aplus": 0.01, "Aplus_triplet": 0.02, "Aminus": 0.012, "Aminus_triplet": 0.001, "Wmax": 2.0}, {"tau_minus": 33.7, "tau_minus_triplet": 125.0}),
]
DELAY = 1.5


def trains():
    """Four trains of a source on the grid, and that of the target; the last spikes of the sources come last."""
    # NEST's nearest-neighbor synapse counts spikes of the target before the first one of the source: each source begins before the target.
    sources = [[2.0] + [round(0.1 * step, 1) for step in range(first, 9000, gap)] + [950.0] for first, gap in [(30, 173), (77, 311), (151, 97), (500, 1203)]]
    target = [round(0.1 * step, 1) for step in range(60, 9000, 211)]
    return sources, target


def learned(synapse, parameters, target_parameters):
    """The weights of four synapses after their last spike."""
    nest.ResetKernel()
    nest.resolution = 0.1
    if synapse == "stdp_pl_synapse_hom":
        nest.SetDefaults(synapse, {key: parameters[key] for key in parameters})
        parameters = {}
    sources, times = trains()
    neuron = nest.Create("iaf_psc_delta", params={"tau_m": 1.0, "t_ref": 0.2, **target_parameters})
    teacher = nest.Create("spike_generator", params={"spike_times": times})
    nest.Connect(teacher, neuron, syn_spec={"weight": 100.0, "delay": 1.0})
    parrots = nest.Create("parrot_neuron", len(sources))
    for train, parrot in zip(sources, parrots):
        generator = nest.Create("spike_generator", params={"spike_times": train})
        nest.Connect(generator, parrot, syn_spec={"delay": 1.0})
        nest.Connect(parrot, neuron, syn_spec={"synapse_model": synapse, "weight": 1.0, "delay": DELAY, **parameters})
    nest.Simulate(1000.0)
    return [nest.GetConnections(parrot, neuron).weight for parrot in parrots]


def responses():
    """What a synapse with short-term plasticity adds to a neuron's potential at each spike."""
    nest.ResetKernel()
    nest.resolution = 0.1
    times = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 200.0, 210.0, 500.0]
    neuron = nest.Create("iaf_psc_delta", params={"tau_m": 1.0, "V_th": 1000.0})
    parrot = nest.Create("parrot_neuron")
    nest.Connect(nest.Create("spike_generator", params={"spike_times": times}), parrot, syn_spec={"delay": 1.0})
    nest.Connect(parrot, neuron, syn_spec={"synapse_model": "tsodyks2_synapse", "weight": 10.0, "delay": 1.5, "U": 0.3, "u": 0.3, "tau_rec": 120.0, "tau_fac": 50.0})
    meter = nest.Create("multimeter", params={"interval": 0.1, "record_from": ["V_m"]})
    nest.Connect(meter, neuron)
    nest.Simulate(520.0)
    return [float(meter.events["V_m"][round((time + 2.5) * 10) - 1]) + 70.0 for time in times]


def main():
    nest.verbosity = nest.VerbosityLevel.ERROR
    OUT.mkdir(parents=True, exist_ok=True)
    for model, parameters, weights, amplitude in MODELS:
        values = trace(model, parameters, weights, amplitude)
        text = "".join(f"{value!r}\n" for value in map(float, values))
        (OUT / f"{model}.txt").write_text(text)
    for name, synapse, parameters, target in RULES:
        weights = learned(synapse, parameters, target)
        print(name, weights)
        (OUT / f"{name}.txt").write_text("".join(f"{weight!r}\n" for weight in map(float, weights)))
    values = responses()
    print("tsodyks2", values)
    (OUT / "tsodyks2_synapse.txt").write_text("".join(f"{value!r}\n" for value in values))


if __name__ == "__main__":
    main()
