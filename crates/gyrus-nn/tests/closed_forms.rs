//! Neurons under a constant current against the solutions of their equations.

use gyrus_blueprint::{Blueprint, Discretization, Integration};
use gyrus_nn::{Encoder, Network, Observed, SpikingSettings, floats};
use gyrus_tensor::{Tensor, TensorData, cpu};

const CURRENTS: [f32; 6] = [-0.7, 0.3, 0.95, 1.3, 2.0, 3.1];

/// Spikes (or potentials) and membranes of each of the [`CURRENTS`], step by step.
struct Traces {
    outputs: Vec<Vec<f32>>,
    membranes: Vec<Vec<f64>>,
}

/// A node of this kind and these fields, under each current for `steps` steps.
fn run(fields: &str, integration: Integration, dt_ms: f64, steps: usize) -> Traces {
    let text = format!(
        "name = 'one'\n[[node]]\nname = 'in'\nkind = 'Input'\nshape = [1]\n\
         [[node]]\nname = 'cell'\n{fields}\n[[node]]\nname = 'out'\nkind = 'Output'\n"
    );
    let settings = SpikingSettings {
        steps,
        time: Discretization { dt_ms, integration },
        encoder: Encoder::Direct,
        ..SpikingSettings::default()
    };
    let blueprint = Blueprint::from_toml(&text).unwrap();
    let network = Network::with(&blueprint, Some(&settings), 0, &cpu()).unwrap();
    let x = Tensor::from_data(TensorData::new(CURRENTS.to_vec(), [CURRENTS.len(), 1]), &cpu());
    let (answers, observations) = network.observe(x).unwrap();
    let current = observations.iter().find(|observation| observation.what == Observed::Current).unwrap();
    let of = |values: &[f32], sample: usize| -> Vec<f32> {
        values.iter().skip(sample).step_by(CURRENTS.len()).copied().collect()
    };
    let (answers, membranes) = (floats(answers), network.membranes(current));
    let samples = 0..CURRENTS.len();
    Traces {
        outputs: samples.clone().map(|sample| of(&answers, sample)).collect(),
        membranes: samples.map(|s| of(&membranes, s).into_iter().map(f64::from).collect()).collect(),
    }
}

/// Steps, counted from 1, with spikes.
fn spike_times(output: &[f32]) -> Vec<usize> {
    (1..).zip(output).filter(|(_, spike)| **spike == 1.0).map(|(step, _)| step).collect()
}

#[track_caller]
fn near(got: f64, expected: f64, most: f64) {
    assert!((got - expected).abs() <= most, "{got}, not {expected}");
}

const LI: &str = "kind = 'LI'\ntau_membrane_ms = 8.0\nresistance = 1.5\nv_leak = -0.2";

/// v(t) = v_∞ + (v_leak − v_∞) e^(−t/τ), v_∞ = v_leak + R I
#[test]
fn a_leaky_integrator_relaxes_exponentially() {
    for dt in [0.25, 1.0, 5.0] {
        let exact = run(LI, Integration::Exact, dt, 60);
        let euler = run(LI, Integration::Euler, dt, 60);
        for (index, current) in CURRENTS.iter().enumerate() {
            let end = -0.2 + 1.5 * f64::from(*current);
            for step in 0..60 {
                let decayed = |left: f64| end + (-0.2 - end) * left;
                let time = dt * (step + 1) as f64;
                near(exact.membranes[index][step], decayed((-time / 8.0).exp()), 3e-6);
                near(euler.membranes[index][step], decayed((1.0 - dt / 8.0f64).powi(step as i32 + 1)), 3e-6);
            }
        }
    }
}

/// The error of Euler's method at a fixed time halves with the step; exact integration has none.
#[test]
fn euler_converges_with_the_step() {
    let errors = |integration| {
        [1.0, 0.5, 0.25].map(|dt| {
            let traces = run(LI, integration, dt, (8.0 / dt) as usize);
            let end = -0.2 + 1.5 * f64::from(CURRENTS[4]);
            (traces.membranes[4].last().unwrap() - (end + (-0.2 - end) * (-1.0f64).exp())).abs()
        })
    };
    let euler = errors(Integration::Euler);
    for pair in euler.windows(2) {
        assert!((1.8..2.3).contains(&(pair[0] / pair[1])), "{euler:?}");
    }
    let exact = errors(Integration::Exact);
    assert!(exact.iter().all(|error| *error < 3e-6), "{exact:?}");
}

/// From the reset to the threshold: n = ⌈τ/dt ln((v_∞ − v_reset) / (v_∞ − θ))⌉ steps, where v_∞ > θ; none where not.
#[test]
fn a_leaky_neuron_fires_at_regular_intervals() {
    let fields = "kind = 'LIF'\ntau_membrane_ms = 8.0\nresistance = 1.5\nv_leak = 0.1\nv_threshold = 1.2\n\
                  v_reset = -0.3\nreset = 'hard'";
    for dt in [0.25, 1.0] {
        let traces = run(fields, Integration::Exact, dt, 400);
        for (index, current) in CURRENTS.iter().enumerate() {
            let times = spike_times(&traces.outputs[index]);
            let end = 0.1 + 1.5 * f64::from(*current);
            if end <= 1.2 {
                assert_eq!(times, [0; 0], "{current} lies below the rheobase");
                continue;
            }
            let interval = |from: f64| (8.0 / dt * ((end - from) / (end - 1.2)).ln()).ceil() as usize;
            // It starts at rest; after the first reset all intervals are equal.
            let (first, others) = (interval(0.1), interval(-0.3));
            let expected: Vec<usize> = (first..=400).step_by(others).collect();
            assert_eq!(times, expected, "{current} at steps of {dt} ms");
        }
    }
}

/// Without a leak, current adds up: the k-th spike comes when n dt R I first exceeds k θ, if the excess is kept.
#[test]
fn an_integrator_counts() {
    let fields = |reset| {
        format!(
            "kind = 'IF'\nresistance = 0.2\nv_threshold = 1.0\nv_reset = 0.0\nreset = '{reset}'\nv_start = 0.0"
        )
    };
    for integration in [Integration::Exact, Integration::Euler] {
        let soft = run(&fields("subtract"), integration, 1.0, 200);
        let hard = run(&fields("hard"), integration, 1.0, 200);
        for (index, current) in CURRENTS.iter().enumerate() {
            let charge = 0.2 * f64::from(*current);
            let (soft, hard) = (spike_times(&soft.outputs[index]), spike_times(&hard.outputs[index]));
            if charge <= 0.0 {
                assert!(soft.is_empty() && hard.is_empty());
                continue;
            }
            for (count, &time) in soft.iter().enumerate() {
                // Rounding moves a spike by one step if the sum equals the threshold exactly.
                let exceeded = (count + 1) as f64 / charge;
                assert!(
                    time as f64 >= exceeded - 1e-3 && time as f64 <= exceeded + 1.0 + 1e-3,
                    "{count}: {time}"
                );
            }
            near(soft.len() as f64, 200.0 * charge, 1.0 + 1e-3);
            let whole = 1.0 / charge;
            if (whole - whole.round()).abs() > 1e-3 {
                let interval = whole.ceil() as usize;
                assert_eq!(hard, (interval..=200).step_by(interval).collect::<Vec<_>>(), "{current}");
            }
        }
    }
}

const CUBA: &str = "tau_synapse_ms = 5.0\ntau_membrane_ms = 12.0\nresistance = 1.5\nv_leak = 0.0\nw_in = 0.8";

/// With held currents, v_n = R w I [(1 − dⁿ) − (1 − d) d_s (d_sⁿ − dⁿ) / (d_s − d)].
fn cuba(current: f64, dt: f64, step: i32) -> f64 {
    let (d, d_s) = ((-dt / 12.0).exp(), (-dt / 5.0).exp());
    let rest = (1.0 - d) * d_s * (d_s.powi(step) - d.powi(step)) / (d_s - d);
    1.5 * 0.8 * current * ((1.0 - d.powi(step)) - rest)
}

/// … which with small steps becomes v(t) = R w I [1 − (τ_m e^(−t/τ_m) − τ_s e^(−t/τ_s)) / (τ_m − τ_s)].
#[test]
fn a_synapse_before_the_membrane_gives_two_exponentials() {
    for dt in [0.5, 1.0] {
        let traces = run(&format!("kind = 'CubaLI'\n{CUBA}"), Integration::Exact, dt, 80);
        for (index, current) in CURRENTS.iter().enumerate() {
            for step in 0..80 {
                let expected = cuba(f64::from(*current), dt, step as i32 + 1);
                near(traces.membranes[index][step], expected, 5e-6);
            }
        }
    }
    let errors = [1.0, 0.5, 0.25].map(|dt| {
        let traces = run(&format!("kind = 'CubaLI'\n{CUBA}"), Integration::Exact, dt, (10.0 / dt) as usize);
        let continuous = 1.0 - (12.0 * (-10.0f64 / 12.0).exp() - 5.0 * (-2.0f64).exp()) / 7.0;
        (traces.membranes[4].last().unwrap() - 1.5 * 0.8 * 2.0 * continuous).abs()
    });
    for pair in errors.windows(2) {
        assert!((1.8..2.3).contains(&(pair[0] / pair[1])), "{errors:?}");
    }
}

/// The first spike comes at the first step at which that solution exceeds the threshold.
#[test]
fn a_neuron_with_a_synapse_fires_when_its_solution_predicts() {
    let traces = run(
        &format!("kind = 'CubaLIF'\n{CUBA}\nv_threshold = 1.0\nv_reset = 0.0\nreset = 'hard'"),
        Integration::Exact,
        1.0,
        300,
    );
    for (index, current) in CURRENTS.iter().enumerate() {
        let expected = (1..=300).find(|&step| cuba(f64::from(*current), 1.0, step) > 1.0);
        let times = spike_times(&traces.outputs[index]);
        assert_eq!(times.first().map(|&time| time as i32), expected, "{current}");
        // Once the synapse is at rest, the neuron is a leaky one with the current R w I.
        let end = 1.5 * 0.8 * f64::from(*current);
        if end > 1.0 {
            let interval = (12.0 * (end / (end - 1.0)).ln()).ceil() as usize;
            let last = times[times.len() - 2..].to_vec();
            assert_eq!(last[1] - last[0], interval, "{current}");
        }
    }
}

/// From spike to spike the membrane is known, and so is the threshold θ + β a ρⁿ⁻¹; the intervals grow until both agree.
#[test]
fn an_adaptive_neuron_slows_down_as_its_threshold_predicts() {
    let fields = "kind = 'AdaptiveLIF'\ntau_membrane_ms = 8.0\ntau_adaptation_ms = 60.0\nadaptation_strength = 0.3\n\
                  resistance = 1.5\nv_leak = 0.0\nv_threshold = 1.0\nv_reset = 0.0\nreset = 'hard'";
    let traces = run(fields, Integration::Exact, 1.0, 600);
    let (d, rho) = ((-1.0f64 / 8.0).exp(), (-1.0f64 / 60.0).exp());
    for (index, current) in CURRENTS.iter().enumerate() {
        let end = 1.5 * f64::from(*current);
        let times = spike_times(&traces.outputs[index]);
        if end <= 1.0 {
            assert_eq!(times, [0; 0]);
            continue;
        }
        let (mut last, mut trace) = (0usize, 0.0f64);
        for &time in &times {
            let above =
                |n: usize| end * (1.0 - d.powi(n as i32)) - (1.0 + 0.3 * trace * rho.powi(n as i32 - 1));
            let steps = time - last;
            // Above the threshold at that step and not before, up to rounding.
            assert!((1..steps).all(|n| above(n) < 1e-5) && above(steps) > -1e-5, "{current}: {time}");
            trace = trace * rho.powi(steps as i32) + 1.0;
            last = time;
        }
        let intervals: Vec<usize> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(intervals.last().unwrap() > &intervals[0], "{current}: {intervals:?}");
    }
}
