"""Large spiking circuits: Gyrus beside NEST, and Brian2 where it is installed, in turn on the same cores.

    cargo build --release -p gyrus-simulate --example networks
    python bench/peers/circuits.py [--rounds 3] [--only cuba] [--threads 2]
    python bench/peers/circuits.py --growth        # Gyrus alone: time and memory against neurons, synapses, rate and threads

Needs nest-simulator; Brian2 is timed if it is there (2.9 imports with NumPy below 2 only). Each run is a process of its own. The table shows the fastest run of each side: wall time to
build and to simulate, and, because other load on a machine makes threads wait for each other, the time of all cores.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OURS = TARGET / "release" / "examples" / "networks"
# Name, network, scale, simulated milliseconds.
WORKS = [
    ("brunel", "brunel", 1.0, 1000),
    ("cuba", "cuba", 1.0, 1000),
    ("microcircuit-0.1", "microcircuit", 0.1, 1000),
    ("microcircuit-0.2", "microcircuit", 0.2, 1000),
    ("stdp-0.2", "stdp", 0.2, 200),
]


def measured(command):
    """Runs a command; its output, and the seconds of all cores that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr[-2000:]}")
    return done.stdout, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def ours(network, scale, milliseconds, threads):
    text, cpu = measured([str(OURS), network, str(scale), str(milliseconds), str(threads)])
    return {
        "build": float(re.search(r"built in ([\d.]+) s", text)[1]),
        "run": float(re.search(r"simulated in ([\d.]+) s", text)[1]),
        "cpu": cpu,
        "mib": int(re.search(r"process (\d+) kB", text)[1]) / 1024,
        "synapses": int(re.search(r"(\d+) synapses", text)[1]),
    }


# What grows, network, scales, simulated milliseconds, threads. Brunel's in-degree is a tenth of its neurons: synapses grow with their square.
# CUBA's in-degree is fixed, so synapses grow as neurons do.
GROWTH = [
    ("synapses", "brunel", (0.2, 0.4, 0.8, 1.6), 500, (2,)),
    ("neurons", "cuba", (1.0, 4.0, 16.0, 64.0), 500, (2,)),
    ("threads", "brunel", (1.0,), 500, (1, 2)),
    ("threads", "microcircuit", (0.2,), 500, (1, 2)),
]


def growth(rounds):
    """How time and memory of Gyrus grow; a synaptic event's time says what the rate does."""
    print("| grows | network | threads | neurons | synapses | build s | s per simulated s | ns per event | MiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for what, network, scales, milliseconds, threads in GROWTH:
        for scale in scales:
            for count in threads:
                best = None
                for _ in range(rounds):
                    text, _ = measured([str(OURS), network, str(scale), str(milliseconds), str(count)])
                    value = lambda pattern: float(re.search(pattern, text)[1])
                    row = [value(r"simulated in ([\d.]+) s"), value(r"built in ([\d.]+) s")]
                    row += [value(r"(\d+) neurons"), value(r"(\d+) synapses"), value(r"([\d.e+-]+) synaptic events/s")]
                    row += [value(r"process (\d+) kB") / 1024]
                    best = min(best or row, row)
                run, build, neurons, synapses, events, mib = best
                print(
                    f"| {what} | `{network}` {scale} | {count} | {neurons:,.0f} | {synapses:,.0f} | {build:.2f} | "
                    f"{run / milliseconds * 1e3:.2f} | {1e9 / events:.1f} | {mib:.0f} |",
                    flush=True,
                )


def peer(which, network, scale, milliseconds, threads):
    command = [sys.executable, __file__, "--worker", which, network, str(scale), str(milliseconds), str(threads)]
    text, cpu = measured(command)
    return {**json.loads(text.strip().splitlines()[-1]), "cpu": cpu}


def nest_worker(network, scale, milliseconds, threads):
    import nest
    import numpy

    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.ResetKernel()
    nest.resolution = 0.1
    nest.local_num_threads = threads
    start = time.perf_counter()

    def two(model, parameters, sizes, degrees, weights, delay, rate=None, own=None, synapse=None):
        pair = [nest.Create(model, size, params=parameters) for size in sizes]
        if rate:
            noise = nest.Create("poisson_generator", params={"rate": rate})
            nest.Connect(noise, pair[0] + pair[1], syn_spec={"weight": weights[0], "delay": delay})
        for target in range(2):
            for source in range(2):
                spec = {"weight": weights[source], "delay": delay}
                if synapse and (source, target) == (0, 0):
                    spec["synapse_model"] = synapse
                rule = {"rule": "fixed_indegree", "indegree": degrees[source], "allow_autapses": own is None}
                nest.Connect(pair[source], pair[target], rule, spec)
        return pair

    if network == "brunel":
        parameters = dict(C_m=1.0, tau_m=20.0, t_ref=2.0, E_L=0.0, V_reset=0.0, V_m=0.0, V_th=20.0)
        sizes = [int(10000 * scale), int(2500 * scale)]
        two("iaf_psc_delta", parameters, sizes, [size // 10 for size in sizes], [0.1, -0.5], 1.5, 20000.0)
    elif network == "cuba":
        parameters = dict(C_m=200.0, tau_m=20.0, t_ref=5.0, E_L=-49.0, V_reset=-60.0, V_m=-49.0, V_th=-50.0)
        parameters |= dict(tau_syn_ex=5.0, tau_syn_in=10.0)
        sizes = [int(3200 * scale), int(800 * scale)]
        pair = two("iaf_psc_exp", parameters, sizes, [64, 16], [16.2, -139.5], 0.1)
        noise = nest.Create("poisson_generator", params={"rate": 300.0, "start": 1.0, "stop": 51.0})
        nest.Connect(noise, pair[0][:50], syn_spec={"weight": 16.2, "delay": 0.1})
    elif network == "stdp":
        tau = 0.32582722403722841
        parameters = dict(E_L=0.0, C_m=250.0, tau_m=10.0, t_ref=0.5, V_th=20.0, V_reset=0.0, tau_minus=30.0)
        parameters |= dict(tau_syn_ex=tau, tau_syn_in=tau, V_m=nest.random.normal(5.7, 7.2))
        values = {"alpha": 0.0513, "lambda": 0.1, "mu": 0.4, "tau_plus": 15.0}
        nest.CopyModel("stdp_pl_synapse_hom_hpc", "plastic", values)
        sizes = [int(9000 * scale), int(2250 * scale)]
        rate = 1.685 * 1000.0 * 20.0 * 250.0 / (10.0 * 45.6 * numpy.e * tau)
        two("iaf_psc_alpha", parameters, sizes, sizes, [45.6, -228.0], 1.5, rate, False, "plastic")
    else:
        microcircuit(nest, numpy, scale)
    built = time.perf_counter() - start
    nest.Prepare()
    start = time.perf_counter()
    nest.Run(float(milliseconds))
    ran = time.perf_counter() - start
    synapses = nest.num_connections
    return {"build": built, "run": ran, "synapses": synapses}


def microcircuit(nest, numpy, scale):
    """Potjans & Diesmann (2014) with Poisson input, as NEST's example scales it."""
    folder = Path(os.environ.get("GYRUS_DATA", ROOT.parent / "shared" / "data")) / "simulate" / "pd14"
    rows = [line.split(",") for line in (folder / "populations.csv").read_text().splitlines()[1:]]
    numbers = numpy.array([[float(cell) for cell in row[1:]] for row in rows])
    neurons, external, _, mean, std, rates = numbers.T
    table = (folder / "connection_probabilities.csv").read_text().splitlines()[1:]
    probabilities = numpy.array([[float(cell) for cell in line.split(",")[1:]] for line in table])
    weight = 87.8085
    weights = numpy.where(numpy.arange(8) % 2 == 0, weight, -4 * weight)[None, :].repeat(8, 0)
    weights[0, 2] *= 2
    synapses = numpy.round(numpy.log(1 - probabilities) / numpy.log(1 - 1 / numpy.outer(neurons, neurons)))
    recurrent = (weights * synapses / neurons[:, None] * rates[None, :]).sum(1)
    populations = []
    for index in range(8):
        drive = 0.0005 * (1 - numpy.sqrt(scale)) * (recurrent[index] + weight * external[index] * 8.0)
        parameters = dict(C_m=250.0, tau_m=10.0, t_ref=2.0, E_L=-65.0, V_reset=-65.0, V_th=-50.0, I_e=drive)
        parameters |= dict(tau_syn_ex=0.5, tau_syn_in=0.5, V_m=nest.random.normal(mean[index], std[index]))
        population = nest.Create("iaf_psc_exp", round(neurons[index] * scale), params=parameters)
        noise = nest.Create("poisson_generator", params={"rate": 8.0 * external[index] * scale})
        nest.Connect(noise, population, syn_spec={"weight": weight / numpy.sqrt(scale), "delay": 1.5})
        populations.append(population)
    for target in range(8):
        for source in range(8):
            total = round(synapses[target, source] * scale**2)
            if total == 0:
                continue
            mean = weights[target, source] / numpy.sqrt(scale)
            delay = 1.5 if source % 2 == 0 else 0.75
            low, high = (0.0, float("inf")) if mean > 0 else (float("-inf"), 0.0)
            drawn = nest.math.redraw(nest.random.normal(mean, 0.1 * abs(mean)), low, high)
            delays = nest.math.redraw(nest.random.normal(delay, 0.5 * delay), 0.05, float("inf"))
            rule = {"rule": "fixed_total_number", "N": total}
            nest.Connect(populations[source], populations[target], rule, {"weight": drawn, "delay": delays})


def brian2_worker(network, scale, milliseconds, threads):
    """CUBA in C++ standalone mode; building includes the compiler's time."""
    import tempfile

    import brian2
    from brian2 import ms, mV

    start = time.perf_counter()
    folder = tempfile.mkdtemp()
    brian2.set_device("cpp_standalone", directory=folder, build_on_run=False)
    brian2.prefs.devices.cpp_standalone.openmp_threads = threads
    equations = """
    dv/dt = (ge + gi - (v - -49*mV)) / (20*ms) : volt (unless refractory)
    dge/dt = -ge / (5*ms) : volt
    dgi/dt = -gi / (10*ms) : volt
    """
    options = dict(threshold="v > -50*mV", reset="v = -60*mV", refractory=5 * ms, method="exact")
    group = brian2.NeuronGroup(int(4000 * scale), equations, **options)
    group.v = "-60*mV + rand() * 10*mV"
    excitatory = brian2.Synapses(group[: int(3200 * scale)], group, on_pre="ge += 1.62*mV")
    inhibitory = brian2.Synapses(group[int(3200 * scale) :], group, on_pre="gi -= 9*mV")
    excitatory.connect(p=0.02)
    inhibitory.connect(p=0.02)
    brian2.run(milliseconds * ms)
    brian2.device.build(directory=folder, run=False)
    built = time.perf_counter() - start
    start = time.perf_counter()
    brian2.device.run(brian2.device.project_dir, with_output=False, run_args=[])
    return {"build": built, "run": time.perf_counter() - start, "synapses": 0}


def worker(which, network, scale, milliseconds, threads):
    run = {"nest": nest_worker, "brian2": brian2_worker}[which]
    result = run(network, float(scale), int(milliseconds), int(threads))
    result["mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))


def has_brian2():
    return subprocess.run([sys.executable, "-c", "import brian2"], capture_output=True).returncode == 0


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--growth", action="store_true")
    arguments = parser.parse_args()
    if arguments.growth:
        return growth(arguments.rounds)
    print("| work | side | build s | run s | all cores s | MiB | bytes a synapse |\n|---|---|---|---|---|---|---|")
    for name, network, scale, milliseconds in WORKS:
        if arguments.only and name not in arguments.only:
            continue
        sides = {"Gyrus": ours, "NEST": lambda *work: peer("nest", *work)}
        if network == "cuba" and has_brian2():
            sides["Brian2"] = lambda *work: peer("brian2", *work)
        runs = {side: [] for side in sides}
        for _ in range(arguments.rounds):
            for side, run in sides.items():
                runs[side].append(run(network, scale, milliseconds, arguments.threads))
        best = {side: {key: min(run[key] for run in all_runs) for key in all_runs[0]} for side, all_runs in runs.items()}
        for side, row in best.items():
            each = row["mib"] * 2**20 / best["Gyrus"]["synapses"]
            numbers = f"{row['build']:.2f} | {row['run']:.2f} | {row['cpu']:.2f} | {row['mib']:.0f} | {each:.1f}"
            print(f"| `{name}` | {side} | {numbers} |", flush=True)
        for side in list(best)[1:]:
            ratio = {key: best["Gyrus"][key] / best[side][key] for key in ("build", "run", "cpu", "mib")}
            text = " | ".join(f"{ratio[key]:.3f}" for key in ("build", "run", "cpu", "mib"))
            print(f"| `{name}` | Gyrus / {side} | {text} | |", flush=True)


if __name__ == "__main__":
    main()
