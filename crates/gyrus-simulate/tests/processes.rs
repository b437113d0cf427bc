//! Several processes: the same spikes as one. Threads with channels stand for them here; `golden/mpi.py` runs real ones.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use gyrus_simulate::models::BuiltIn;
use gyrus_simulate::processes::Processes;
use gyrus_simulate::{
    Circuit, Input, Leaky, Model, Pairing, Plasticity, Population, Projection, Quantity, Result, RuleKind,
    Simulation, SpikeTiming, TimingRule,
};

/// One of several threads that send each other everything.
#[derive(Debug)]
struct Partner {
    rank: usize,
    to: Vec<Sender<Vec<u32>>>,
    from: Vec<Mutex<Receiver<Vec<u32>>>>,
}

impl Processes for Partner {
    fn count(&self) -> usize {
        self.to.len()
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn exchange(&self, own: &[u32], received: &mut Vec<Vec<u32>>) -> Result<()> {
        self.to.iter().for_each(|to| to.send(own.to_vec()).unwrap());
        received.clear();
        received.extend(self.from.iter().map(|from| from.lock().unwrap().recv().unwrap()));
        Ok(())
    }
}

fn partners(count: usize) -> Vec<Arc<dyn Processes>> {
    let mut to: Vec<Vec<Sender<Vec<u32>>>> = vec![Vec::new(); count];
    let mut from = Vec::new();
    for _ in 0..count {
        let mut own = Vec::new();
        for to in &mut to {
            let (sender, receiver) = channel();
            to.push(sender);
            own.push(Mutex::new(receiver));
        }
        from.push(own);
    }
    let all = to.into_iter().zip(from).enumerate();
    all.map(|(rank, (to, from))| Arc::new(Partner { rank, to, from }) as Arc<dyn Processes>).collect()
}

type Ran = (Vec<(u64, u32)>, u64, u64, u64);

/// Spikes, synaptic events, synapses and bytes.
fn run(circuit: &Circuit, processes: Option<Arc<dyn Processes>>, steps: u64) -> Ran {
    let mut simulation = match processes {
        None => Simulation::new(circuit).unwrap(),
        Some(processes) => Simulation::together(circuit, processes).unwrap(),
    };
    let mut spikes = Vec::new();
    let activity = simulation.run(steps, |step, neurons| {
        spikes.extend(neurons.iter().map(|neuron| (step, *neuron)));
        ControlFlow::Continue(())
    });
    (spikes, activity.unwrap().synaptic_events, simulation.synapses(), simulation.memory().total())
}

fn agrees(circuit: &Circuit, steps: u64) {
    let alone = run(circuit, None, steps);
    assert!(alone.0.len() > 200, "{} spikes", alone.0.len());
    for count in [2, 3] {
        let all: Vec<Ran> = std::thread::scope(|scope| {
            let started: Vec<_> = partners(count)
                .into_iter()
                .map(|partner| {
                    scope.spawn(|| {
                        gyrus_kernels::with_threads(1, || run(circuit, Some(partner), steps)).unwrap()
                    })
                })
                .collect();
            started.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for own in &all {
            assert_eq!((&own.0, own.1, own.2), (&alone.0, alone.1, alone.2), "{count} processes");
            assert!(own.3 < alone.3, "{} of {} bytes", own.3, alone.3);
        }
    }
}

#[test]
fn processes_together_give_the_spikes_of_one() {
    let file = BuiltIn::named("brunel").unwrap().file().unwrap().scaled(0.2).unwrap();
    agrees(&Circuit { seed: 4, ..file.circuit }, 1000);
    let file = BuiltIn::named("microcircuit").unwrap().file().unwrap().scaled(0.02).unwrap();
    agrees(&Circuit { seed: 4, ..file.circuit }, 2000);
}

#[test]
fn plastic_synapses_learn_the_same_in_several_processes() {
    let model = Model::IafPscDelta(Leaky::default());
    let drive = vec![Input::poisson(9000.0, 0.5)];
    let population = |name: &str, neurons| Population {
        inputs: drive.clone(),
        ..Population::new(name, neurons, model.clone())
    };
    let timing = SpikeTiming {
        rule: TimingRule::Bounded { lambda: 0.05, alpha: 1.05, mu_plus: 1.0, mu_minus: 1.0, w_max: 1.0 },
        pairing: Pairing::AllToAll,
        tau_plus_ms: 20.0,
        tau_minus_ms: 20.0,
        tau_eligibility_ms: None,
    };
    let weight = Quantity::normal(0.4, 0.1, 0.0, 1.0);
    let recurrent = Projection {
        plasticity: Some(Plasticity::SpikeTiming(timing)),
        ..Projection::new(0, 1, RuleKind::FixedInDegree(30), weight, 1.5)
    };
    let back = Projection::new(1, 0, RuleKind::FixedInDegree(30), -0.3, 1.0);
    let populations = vec![population("a", 2500), population("b", 2300)];
    agrees(&Circuit { populations, projections: vec![recurrent, back], seed: 2, ..Circuit::default() }, 1000);
}

#[test]
fn what_one_process_only_can_is_refused() {
    let file = BuiltIn::named("brunel").unwrap().file().unwrap().scaled(0.05).unwrap();
    let refused = std::thread::scope(|scope| {
        let build = |partner| {
            let mut simulation = Simulation::together(&file.circuit, partner).unwrap();
            simulation.save(Vec::new()).unwrap_err().to_string()
        };
        let started: Vec<_> =
            partners(2).into_iter().map(|partner| scope.spawn(move || build(partner))).collect();
        started.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(refused[0].contains("2 processes cannot save its state"), "{refused:?}");
}
