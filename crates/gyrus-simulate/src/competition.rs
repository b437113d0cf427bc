//! Learning without labels: neurons compete for what they are shown, and those that win learn it by the times of spikes.
//!
//! After Diehl & Cook (2015), "Unsupervised learning of digit recognition using spike-timing-dependent plasticity", Front. Comput.
//! Neurosci. 9:99, doi:10.3389/fncom.2015.00099. Each input is a Poisson train onto every neuron. A neuron that fires inhibits all
//! others, strengthens the inputs that have just fired ([`TimingRule::Triplet`] of nearest spikes, as in the paper's program), and
//! raises its threshold a little, so that others win next time. The weights onto each neuron are scaled to the same sum before each
//! presentation; an input that makes too few spikes is shown again, brighter.
//!
//! Thresholds begin raised and fall slowly toward one that lies below the resting potential, as in the paper's program: what a neuron
//! gains by its spikes is a place among the others, not a height without end. (Where they fall no lower than the first threshold, all
//! climb toward the reversal potential of excitation, which no neuron can pass, and learning stops.)
//!
//! Simpler than the paper: neurons inhibit each other directly, with no second population in between; all inputs have one delay of a
//! step; and in place of a pause of 150 ms between two presentations the circuit is brought to rest after 20 ms, so that a presentation
//! depends on nothing but weights and thresholds.
//!
//! Cost: a step of the neurons, and for each spike of an input one row of weights plus the few neurons that have just fired.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{Read, Write};

use rayon::prelude::*;

use crate::error::wrong;
use crate::random::Stream;
use crate::{
    Circuit, Conductance, Distribution, Link, Model, MovingThreshold, Pairing, Plasticity, Population,
    Projection, Quantity, Result, Rule, RuleKind, Simulation, SpikeTiming, TimingRule, Variable,
};

/// Names of streams of random numbers.
const LEARNING: u64 = 7 << 32;
const RESPONDING: u64 = 8 << 32;
/// Examples that one thread answers in turn.
const CHUNK: usize = 128;
/// Most presentations of one input.
const MOST_ATTEMPTS: u32 = 8;
/// The threshold of a neuron that never fires, in the end.
const LOWEST_MV: f64 = -72.0;
/// Populations and projections.
const INPUT: usize = 0;
const NEURONS: usize = 1;

/// A circuit that learns.
#[derive(Clone, Debug, PartialEq)]
pub struct CompetitionSettings {
    /// Number of inputs.
    pub inputs: usize,
    /// Number of neurons.
    pub neurons: usize,
    /// Length of a step in ms.
    pub dt_ms: f64,
    /// Time for which an input is shown, in ms.
    pub present_ms: f64,
    /// Time without input after it, in ms.
    pub quiet_ms: f64,
    /// What the weights onto a neuron add up to, in nS (a neuron leaks 1 nS).
    pub total_weight: f64,
    /// The conductance in nS by which a spike inhibits all other neurons.
    pub inhibition: f64,
    /// How far thresholds begin above the lowest one, −72 mV, in mV.
    pub theta_start_mv: f64,
    /// Growth of the threshold with a spike, in mV.
    pub theta_plus_mv: f64,
    /// Time constant of their decay in ms.
    pub tau_theta_ms: f64,
    /// Largest weight, in nS.
    pub largest_weight: f64,
    /// Step of potentiation, over the largest weight.
    pub rate_up: f64,
    /// Step of depression, over the largest weight.
    pub rate_down: f64,
    /// Fewest spikes of all neurons; an input that makes fewer is shown again with rates half the first ones higher.
    pub least_spikes: u32,
    /// Decides all random numbers.
    pub seed: u64,
}

impl CompetitionSettings {
    /// The paper's settings for so many neurons. Its 784 inputs have weights up to 1 nS that add up to 78.4; other numbers of inputs
    /// the same sum, and weights up to ten times the mean.
    #[must_use]
    pub fn new(inputs: usize, neurons: usize) -> Self {
        Self {
            inputs,
            neurons,
            dt_ms: 0.5,
            present_ms: 350.0,
            quiet_ms: 20.0,
            total_weight: 78.4,
            largest_weight: 784.0 / inputs.max(1) as f64,
            inhibition: 17.0,
            theta_start_mv: 20.0,
            theta_plus_mv: 0.05,
            // The paper's 1e7 ms, for presentations of 370 ms in place of 500.
            tau_theta_ms: 7.4e6,
            rate_up: 0.01,
            rate_down: 1e-4,
            least_spikes: 5,
            seed: 0,
        }
    }

    /// The circuit: plastic with random weights, or with those that were learned.
    fn circuit(&self, learned: Option<&Learned>) -> Circuit {
        let cell = Conductance {
            c_m_pf: 100.0,
            g_l_ns: 1.0,
            e_l_mv: -65.0,
            v_th_mv: LOWEST_MV,
            v_reset_mv: -65.0,
            t_ref_ms: 5.0,
            e_ex_mv: 0.0,
            e_in_mv: -100.0,
            tau_syn_ex_ms: 1.0,
            tau_syn_in_ms: 2.0,
            i_e_pa: 0.0,
        };
        let threshold = match learned {
            None => MovingThreshold {
                start_mv: vec![self.theta_start_mv],
                plus_mv: self.theta_plus_mv,
                tau_ms: self.tau_theta_ms,
            },
            Some(learned) => {
                MovingThreshold { start_mv: learned.theta_mv.clone(), plus_mv: 0.0, tau_ms: f64::INFINITY }
            }
        };
        let start =
            Distribution::Uniform { low: 0.01 * self.largest_weight, high: 0.31 * self.largest_weight };
        let feed = match learned {
            None => Projection {
                plasticity: Some(Plasticity::SpikeTiming(SpikeTiming {
                    rule: TimingRule::Triplet {
                        a_plus: 0.0,
                        a_plus_triplet: self.rate_up * self.largest_weight,
                        a_minus: self.rate_down * self.largest_weight,
                        a_minus_triplet: 0.0,
                        tau_plus_triplet_ms: 40.0,
                        tau_minus_triplet_ms: 40.0,
                        w_max: self.largest_weight,
                    },
                    pairing: Pairing::Nearest,
                    tau_plus_ms: 20.0,
                    tau_minus_ms: 20.0,
                    tau_eligibility_ms: None,
                })),
                ..Projection::new(
                    INPUT,
                    NEURONS,
                    RuleKind::AllToAll,
                    Quantity { distribution: start, bounds: None },
                    self.dt_ms,
                )
            },
            Some(learned) => {
                let link = |(at, weight): (usize, &f32)| Link {
                    source: (at / self.neurons) as u32,
                    target: (at % self.neurons) as u32,
                    weight: f64::from(*weight),
                    delay_ms: self.dt_ms,
                };
                let links = learned.weights.iter().enumerate().map(link).collect();
                Projection::new(INPUT, NEURONS, RuleKind::Listed(links), 0.0, self.dt_ms)
            }
        };
        let others = Rule { kind: RuleKind::AllToAll, autapses: false, multapses: true };
        let source = Model::SpikeSource { times_ms: vec![Vec::new()] };
        Circuit {
            populations: vec![
                Population::new("input", self.inputs, source),
                Population::new("excitatory", self.neurons, Model::IafCondExpTheta(cell, threshold)),
            ],
            projections: vec![feed, Projection::new(NEURONS, NEURONS, others, -self.inhibition, self.dt_ms)],
            dt_ms: self.dt_ms,
            seed: self.seed,
            ..Circuit::default()
        }
    }

    /// Shows an input until there are enough spikes.
    fn show(&self, simulation: &mut Simulation, rates_hz: &[f32], stream: Stream) -> Result<Response> {
        if rates_hz.len() != self.inputs {
            return Err(wrong("an input", "the number of rates", rates_hz.len(), self.inputs.to_string()));
        }
        let steps = |ms: f64| (ms / self.dt_ms).round() as u64;
        let first = simulation.population(NEURONS).start;
        let mut spikes: Vec<(u64, u32)> = Vec::new();
        let mut response = Response { spikes: vec![0; self.neurons], attempts: 0, input_spikes: 0 };
        while response.attempts < MOST_ATTEMPTS {
            let factor = 1.0 + 0.5 * f64::from(response.attempts);
            let stream = stream.sub(u64::from(response.attempts));
            response.attempts += 1;
            spikes.clear();
            for (input, &rate) in rates_hz.iter().enumerate() {
                let p = f64::from(rate) * factor * self.dt_ms / 1e3;
                train(p, steps(self.present_ms), stream.sub(input as u64), |step| {
                    spikes.push((simulation.step() + step, input as u32));
                });
            }
            spikes.sort_unstable();
            simulation.set_spikes(INPUT, &spikes)?;
            response.spikes.fill(0);
            let mut count = 0;
            simulation.run(steps(self.present_ms) + steps(self.quiet_ms), |_, fired| {
                for neuron in &fired[fired.partition_point(|neuron| *neuron < first)..] {
                    let own = &mut response.spikes[(neuron - first) as usize];
                    *own = own.saturating_add(1);
                    count += 1;
                }
                ControlFlow::Continue(())
            })?;
            simulation.settle()?;
            response.input_spikes += spikes.len() as u64;
            if count >= self.least_spikes {
                break;
            }
        }
        Ok(response)
    }
}

/// Steps of a train that fires at each with probability `p`, by the geometric distribution of its gaps.
fn train(p: f64, steps: u64, stream: Stream, mut fire: impl FnMut(u64)) {
    if p <= 0.0 {
        return;
    }
    let rate = -(-p.min(0.999_999)).ln_1p();
    let mut step = 0.0;
    for draw in 0.. {
        step += (-(-stream.uniform(draw)).ln_1p() / rate).floor();
        if step >= steps as f64 {
            return;
        }
        fire(step as u64);
        step += 1.0;
    }
}

/// What the neurons did while an input was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Spikes of each neuron, in the last presentation.
    pub spikes: Vec<u16>,
    /// Number of presentations.
    pub attempts: u32,
    /// Spikes of the inputs, in all of them.
    pub input_spikes: u64,
}

/// Neurons that learn.
pub struct Competition {
    settings: CompetitionSettings,
    simulation: Simulation,
    presented: u64,
}

impl Competition {
    /// With random weights.
    ///
    /// # Errors
    /// If a setting is out of range.
    pub fn new(settings: CompetitionSettings) -> Result<Self> {
        let simulation = Simulation::new(&settings.circuit(None))?.alone();
        Ok(Self { settings, simulation, presented: 0 })
    }

    /// Shows an input, a rate for each in Hz, and learns from it.
    ///
    /// # Errors
    /// If there are not as many rates as inputs, or a state is not a finite number.
    pub fn present(&mut self, rates_hz: &[f32]) -> Result<Response> {
        self.simulation.scale_incoming(0, self.settings.total_weight)?;
        let stream = Stream::new(self.settings.seed, LEARNING).sub(self.presented);
        self.presented += 1;
        self.settings.show(&mut self.simulation, rates_hz, stream)
    }

    /// Number of inputs that were shown.
    #[must_use]
    pub fn presented(&self) -> u64 {
        self.presented
    }

    /// Simulated time, in ms.
    #[must_use]
    pub fn time_ms(&self) -> f64 {
        self.simulation.step() as f64 * self.settings.dt_ms
    }

    /// Spikes, synaptic events and updates of neurons so far.
    #[must_use]
    pub fn activity(&self) -> crate::Activity {
        self.simulation.activity()
    }

    /// What has been learned so far.
    ///
    /// # Errors
    /// If weights cannot be scaled.
    pub fn learned(&mut self) -> Result<Learned> {
        self.simulation.scale_incoming(0, self.settings.total_weight)?;
        let neurons = self.simulation.population(NEURONS);
        let mut weights = vec![0.0; self.settings.inputs * self.settings.neurons];
        for link in self.simulation.weights(0) {
            weights[link.source as usize * self.settings.neurons + link.target as usize] = link.weight as f32;
        }
        let theta_mv =
            neurons.map(|neuron| self.simulation.state(neuron, Variable::Threshold).unwrap_or(0.0));
        Ok(Learned { theta_mv: theta_mv.collect(), weights, settings: self.settings.clone() })
    }

    /// Writes the whole state.
    ///
    /// # Errors
    /// If writing fails.
    pub fn save(&mut self, mut to: impl Write) -> Result<()> {
        to.write_all(&self.presented.to_le_bytes())?;
        self.simulation.save(to)
    }

    /// Continues where [`Self::save`] left off, bit for bit.
    ///
    /// # Errors
    /// If reading fails, or the checkpoint is damaged or belongs to other settings.
    pub fn resume(settings: CompetitionSettings, mut from: impl Read) -> Result<Self> {
        let mut presented = [0; 8];
        from.read_exact(&mut presented)?;
        let simulation = Simulation::resume(&settings.circuit(None), from)?.alone();
        Ok(Self { settings, simulation, presented: u64::from_le_bytes(presented) })
    }
}

/// Weights and thresholds that have been learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// `[inputs, neurons]`.
    pub weights: Vec<f32>,
    /// How far each threshold lies above −72 mV.
    pub theta_mv: Vec<f64>,
    settings: CompetitionSettings,
}

impl Learned {
    /// The weights onto a neuron, one for each input.
    #[must_use]
    pub fn field(&self, neuron: usize) -> Vec<f32> {
        self.weights.iter().skip(neuron).step_by(self.settings.neurons).copied().collect()
    }

    /// What the neurons answer to each of some inputs, on all threads; nothing is learned, and no answer depends on another. `done` hears
    /// of each number of inputs that is finished, and may break: the answer is none then.
    ///
    /// # Errors
    /// As [`Competition::present`].
    pub fn responses(
        &self,
        inputs: usize,
        rates_hz: impl Fn(usize) -> Vec<f32> + Sync,
        done: impl Fn(usize) -> ControlFlow<()> + Sync,
    ) -> Result<Option<Vec<Response>>> {
        let circuit = self.settings.circuit(Some(self));
        let stream = Stream::new(self.settings.seed, RESPONDING);
        let starts: Vec<usize> = (0..inputs).step_by(CHUNK).collect();
        let is_stopped = AtomicBool::new(false);
        let chunks: Result<Vec<Option<Vec<Response>>>> = starts
            .into_par_iter()
            .with_max_len(1)
            .map(|start| {
                if is_stopped.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let mut simulation = Simulation::new(&circuit)?.alone();
                let mut responses = Vec::with_capacity(CHUNK);
                for input in start..(start + CHUNK).min(inputs) {
                    let own = stream.sub(input as u64);
                    responses.push(self.settings.show(&mut simulation, &rates_hz(input), own)?);
                }
                let goes_on = done(responses.len()).is_continue();
                is_stopped.fetch_or(!goes_on, Ordering::Relaxed);
                Ok(goes_on.then_some(responses))
            })
            .collect();
        Ok(chunks?
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .map(|chunks| chunks.into_iter().flatten().collect()))
    }
}

/// What the spikes of each neuron say about classes, from its answers to inputs of known ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The class to whose inputs each neuron answered most, on average; none if it never fired.
    pub classes: Vec<Option<u32>>,
    /// `[neurons, classes]`: mean answers to the inputs of each class, as shares of their sum over classes; zeros if it never fired.
    shares: Vec<f64>,
    count: usize,
}

impl Assignment {
    /// From answers to inputs of known classes below `count`.
    #[must_use]
    pub fn new(responses: &[Response], labels: &[u32], count: usize) -> Self {
        let neurons = responses.first().map_or(0, |first| first.spikes.len());
        let mut shares = vec![0.0; neurons * count];
        let mut shown = vec![0.0f64; count];
        for (response, &label) in responses.iter().zip(labels) {
            shown[label as usize] += 1.0;
            for (neuron, &spikes) in response.spikes.iter().enumerate() {
                shares[neuron * count + label as usize] += f64::from(spikes);
            }
        }
        for row in shares.chunks_mut(count.max(1)) {
            row.iter_mut().zip(&shown).for_each(|(sum, shown)| *sum /= shown.max(1.0));
            let all: f64 = row.iter().sum();
            row.iter_mut().for_each(|mean| *mean /= if all > 0.0 { all } else { 1.0 });
        }
        let classes = shares.chunks(count.max(1)).map(largest).collect();
        Self { classes, shares, count }
    }

    /// The class with the most votes; none if no neuron fired that ever fired before. Each spike votes for every class with the share
    /// that the class has in the answers of its neuron. (The paper takes the class whose neurons fired most on average; neurons that
    /// answer to two classes alike mislead that vote.)
    #[must_use]
    pub fn classify(&self, response: &Response) -> Option<u32> {
        let mut votes = vec![0.0; self.count];
        for (shares, &spikes) in self.shares.chunks(self.count.max(1)).zip(&response.spikes) {
            if spikes > 0 {
                votes.iter_mut().zip(shares).for_each(|(votes, share)| *votes += f64::from(spikes) * share);
            }
        }
        largest(&votes)
    }
}

/// The first place with the largest number; none if no number is above 0.
fn largest(numbers: &[f64]) -> Option<u32> {
    let pairs = numbers.iter().enumerate();
    let best = pairs.fold((0, 0.0), |best, (place, &own)| if own > best.1 { (place, own) } else { best });
    (best.1 > 0.0).then_some(best.0 as u32)
}
