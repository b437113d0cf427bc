//! A running circuit with all its state.

mod network;

use core::ops::{ControlFlow, Range};
use std::io::{Read, Write};
use std::sync::Arc;

use crate::checkpoint::{Pass, Stream, fingerprint};
use crate::circuit::{Circuit, Precision};
use crate::connect::Plan;
use crate::error::{Error, Result, wrong};
use crate::neurons::Variable;
use crate::part::Change;
use crate::processes::{Processes, agree};
use crate::projection::Link;
use network::Network;

/// Activity during some steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Number of steps.
    pub steps: u64,
    /// Spikes of all neurons.
    pub spikes: u64,
    /// Synaptic events: weights added to a neuron's input.
    pub synaptic_events: u64,
    /// Updates of single neurons by one step.
    pub neuron_updates: u64,
    /// Draws of Poisson input: one a neuron, input and step.
    pub poisson_draws: u64,
}

/// Memory use in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Places and weights of synapses.
    pub synapses: u64,
    /// Begins of each source's synapses.
    pub rows: u64,
    /// Input to come.
    pub rings: u64,
    /// State of neurons.
    pub neurons: u64,
}

impl Memory {
    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.synapses.saturating_add(self.rows).saturating_add(self.rings).saturating_add(self.neurons)
    }
}

/// A synapse as it was built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Synapse {
    /// Index of its projection.
    pub projection: usize,
    /// Source, counted over all populations.
    pub source: u32,
    /// Target, counted over all populations.
    pub target: u32,
    /// Weight as in [`Projection::weight`](crate::Projection::weight).
    pub weight: f64,
    /// Steps from a spike to its arrival.
    pub delay_steps: u32,
}

/// A recorded state variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The neuron, counted over all populations.
    pub neuron: u32,
    /// What was recorded.
    pub variable: Variable,
    /// The first value is the state at the end of this step, at time (`first_step` + 1) · `dt_ms`; one more a step.
    pub first_step: u64,
    /// Values.
    pub values: Vec<f64>,
}

/// A running circuit.
pub struct Simulation {
    network: Width,
    starts: Vec<usize>,
    dt_ms: f64,
    fingerprint: u64,
}

enum Width {
    Single(Network<f32>),
    Double(Network<f64>),
}

/// Does the same with the network, whatever its precision.
macro_rules! with {
    ($self:expr, $network:ident => $work:expr) => {
        match $self {
            Width::Single($network) => $work,
            Width::Double($network) => $work,
        }
    };
}

impl Simulation {
    /// Builds a circuit, on all threads of the current rayon pool. The same circuit gives the same bits for any number of threads.
    ///
    /// # Errors
    /// If a setting is out of range or impossible (nothing has been allocated then), or the circuit does not fit into memory.
    pub fn new(circuit: &Circuit) -> Result<Self> {
        Self::build(circuit, None)
    }

    /// Builds the share of this process; the others build the rest. What is said of all neurons is true of those of all processes, except
    /// [`Self::memory`], [`Self::outgoing`] and [`Self::weights`], which are of this one. States cannot be recorded, saved or resumed.
    ///
    /// # Errors
    /// As [`Self::new`], in all processes.
    pub fn together(circuit: &Circuit, processes: Arc<dyn Processes>) -> Result<Self> {
        Self::build(circuit, Some(processes).filter(|processes| processes.count() > 1))
    }

    fn build(circuit: &Circuit, processes: Option<Arc<dyn Processes>>) -> Result<Self> {
        let plan = Plan::new(circuit)?;
        plan.fits(processes.as_ref().map_or(1, |processes| processes.count()))?;
        let network = match circuit.precision {
            Precision::Single => Width::Single(Network::new(&plan, processes)?),
            Precision::Double => Width::Double(Network::new(&plan, processes)?),
        };
        Ok(Self { network, starts: plan.starts, dt_ms: circuit.dt_ms, fingerprint: fingerprint(circuit) })
    }

    /// Writes the whole state, without what is recorded.
    ///
    /// # Errors
    /// If writing fails.
    pub fn save(&mut self, mut to: impl Write) -> Result<()> {
        self.one_process("save its state")?;
        let mut pass = Pass::new(Stream::Save(&mut to));
        self.pass(&mut pass)?;
        Ok(to.flush()?)
    }

    /// Builds a circuit and continues where [`Self::save`] left off: the spikes are the same, bit for bit, as if the run had not been
    /// interrupted.
    ///
    /// # Errors
    /// As [`Self::new`]; if reading fails, or the checkpoint is damaged or belongs to another circuit.
    pub fn resume(circuit: &Circuit, mut from: impl Read) -> Result<Self> {
        let mut simulation = Self::new(circuit)?;
        simulation.pass(&mut Pass::new(Stream::Load(&mut from)))?;
        Ok(simulation)
    }

    fn pass(&mut self, pass: &mut Pass<'_>) -> Result<()> {
        pass.head(self.fingerprint)?;
        with!(&mut self.network, network => network.pass(pass))?;
        pass.end()
    }

    /// Runs `steps` steps on all threads of the current rayon pool. At each step `observe(step, neurons)` receives the neurons that
    /// fired, counted over all populations, ascending. A spike of step n has NEST's time (n + 1) · `dt_ms`.
    ///
    /// `observe` ends the run with [`ControlFlow::Break`]: passes that are under way are finished and observed, and
    /// [`Activity::steps`] says how many steps ran.
    ///
    /// # Errors
    /// If a state variable is not a finite number: the error names population and neuron. The simulation cannot continue then.
    pub fn run(
        &mut self,
        steps: u64,
        observe: impl FnMut(u64, &[u32]) -> ControlFlow<()> + Send,
    ) -> Result<Activity> {
        with!(&mut self.network, network => network.run(steps, observe))
    }

    /// Activity since the first step.
    #[must_use]
    pub fn activity(&self) -> Activity {
        with!(&self.network, network => network.activity)
    }

    /// The next step.
    #[must_use]
    pub fn step(&self) -> u64 {
        with!(&self.network, network => network.now)
    }

    /// Length of a step in ms.
    #[must_use]
    pub fn dt_ms(&self) -> f64 {
        self.dt_ms
    }

    /// Number of neurons.
    #[must_use]
    pub fn neurons(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// The neurons of a population, counted over all populations; empty if there is no such population.
    #[must_use]
    pub fn population(&self, index: usize) -> Range<u32> {
        match (self.starts.get(index), self.starts.get(index + 1)) {
            (Some(&first), Some(&end)) => first as u32..end as u32,
            _ => 0..0,
        }
    }

    /// Number of synapses.
    #[must_use]
    pub fn synapses(&self) -> u64 {
        with!(&self.network, network => network.synapses)
    }

    /// Memory use.
    #[must_use]
    pub fn memory(&self) -> Memory {
        with!(&self.network, network => network.memory())
    }

    /// Records a state variable of a neuron (counted over all populations) at the end of each step from now on.
    ///
    /// # Errors
    /// If there is no such neuron, or its model has no such variable.
    pub fn record(&mut self, neuron: u32, variable: Variable) -> Result<()> {
        self.one_process("record states")?;
        let recorded = with!(&mut self.network, network => network.record(neuron as usize, variable));
        match recorded {
            true => Ok(()),
            false => Err(wrong(
                &format!("neuron {neuron}"),
                "the recorded variable",
                format!("{variable:?}"),
                "a neuron of the circuit, and a variable of its model",
            )),
        }
    }

    /// The values recorded since the last call, in the order of the parts; recording goes on.
    pub fn take_traces(&mut self) -> Vec<Trace> {
        with!(&mut self.network, network => network.take_traces())
    }

    /// A state variable of a neuron now, if there is such a neuron and its model has it.
    #[must_use]
    pub fn state(&self, neuron: u32, variable: Variable) -> Option<f64> {
        with!(&self.network, network => network.state(neuron as usize, variable))
    }

    /// Sets the rates of a population of Poisson sources: one for all, or one a neuron.
    ///
    /// # Errors
    /// If the population does not consist of Poisson sources, or a rate is out of range.
    pub fn set_rates(&mut self, population: usize, rate_hz: &[f64]) -> Result<()> {
        let place = format!("population {population}");
        let neurons = self.population(population).len();
        crate::inputs::check_rates(&place, rate_hz, neurons, self.dt_ms)?;
        match with!(&mut self.network, network => network.set_rates(population, rate_hz))
            || self.processes().is_some()
        {
            true => Ok(()),
            false => Err(wrong(&place, "the model", "another one", "`PoissonSource`, to set its rates")),
        }
    }

    /// Sets the spikes of a population of spike sources from now on: steps, at least [`Self::step`], and neurons of the population, ascending.
    ///
    /// # Errors
    /// If the population does not consist of spike sources, or a spike is out of order, in the past, or of no neuron.
    pub fn set_spikes(&mut self, population: usize, spikes: &[(u64, u32)]) -> Result<()> {
        let place = format!("population {population}");
        let neurons = self.population(population).len() as u32;
        let sound = spikes.first().is_none_or(|first| first.0 >= self.step())
            && spikes.is_sorted()
            && spikes.iter().all(|spike| spike.1 < neurons);
        if !sound {
            let expected = format!("ascending, from step {} on, of neurons below {neurons}", self.step());
            return Err(wrong(&place, "the spikes", format!("{} of them", spikes.len()), expected));
        }
        match with!(&mut self.network, network => network.set_spikes(population, spikes))
            || self.processes().is_some()
        {
            true => Ok(()),
            false => Err(wrong(&place, "the model", "another one", "`SpikeSource`, to set its spikes")),
        }
    }

    /// Brings everything to rest, as a long silence does: potentials, currents, refractoriness, input to come, what spikes have left behind.
    /// Plastic weights have seen all spikes that have arrived, and stay, as do moving thresholds.
    ///
    /// # Errors
    /// If a model has no state of rest: `Izhikevich`, `Aeif...`, `Hh...`.
    pub fn settle(&mut self) -> Result<()> {
        match with!(&mut self.network, network => network.settle().map(str::to_owned)) {
            None => Ok(()),
            Some(name) => {
                let place = format!("population `{name}`");
                Err(wrong(&place, "the model", "one without a state of rest", "leaky neurons, to settle"))
            }
        }
    }

    fn processes(&self) -> Option<&dyn Processes> {
        with!(&self.network, network => network.processes.as_deref())
    }

    fn one_process(&self, what: &str) -> Result<()> {
        match self.processes() {
            None => Ok(()),
            Some(processes) => Err(Error::Processes(format!(
                "a circuit that runs in {} processes cannot {what}",
                processes.count()
            ))),
        }
    }

    /// Whether any of the processes says yes; with one process, what it says.
    ///
    /// # Errors
    /// If a process cannot be reached.
    pub fn any_process(&self, says: bool) -> Result<bool> {
        match self.processes() {
            None => Ok(says),
            Some(processes) => Ok(agree(processes, [], says)?.1),
        }
    }

    /// The same, always run on the calling thread.
    #[must_use]
    pub fn alone(mut self) -> Self {
        with!(&mut self.network, network => network.alone = true);
        self
    }

    /// Turns the eligibility of a projection's synapses into weights: each weight changes by `amount` times it, within its bounds.
    ///
    /// # Errors
    /// If the projection has no eligibility traces.
    pub fn reward(&mut self, projection: usize, amount: f64) -> Result<()> {
        let mut rewarded = false;
        with!(&mut self.network, network => network.change(projection, |block, _| {
            if let Change::Timed(timed) = &mut block.change {
                rewarded |= timed.has_eligibility();
                timed.reward(amount, &mut block.weights);
            }
        }));
        match rewarded || self.processes().is_some() {
            true => Ok(()),
            false => {
                let place = format!("projection {projection}");
                Err(wrong(&place, "tau_eligibility_ms", "absent", "a time constant, to be rewarded"))
            }
        }
    }

    /// Homeostatic scaling: multiplies the weights of a projection so that those onto each target add up to `total`. Targets whose
    /// weights add up to 0 keep them.
    ///
    /// # Errors
    /// If all synapses of the projection share one weight.
    pub fn scale_incoming(&mut self, projection: usize, total: f64) -> Result<()> {
        let mut shared = None;
        with!(&mut self.network, network => network.change(projection, |block, stride| {
            shared = Some(block.weights.is_empty());
            block.scale_incoming(total, stride);
        }));
        match shared {
            Some(false) => Ok(()),
            None if self.processes().is_some() => Ok(()),
            _ => {
                let place = format!("projection {projection}");
                Err(wrong(&place, "weight", "one for all synapses", "weights of their own, to be scaled"))
            }
        }
    }

    /// The outgoing synapses of a neuron, counted over all populations.
    #[must_use]
    pub fn outgoing(&self, source: u32) -> Vec<Synapse> {
        with!(&self.network, network => network.outgoing(source as usize))
    }

    /// All synapses of a projection, neurons counted within their populations, always in the same order. Plastic weights have seen the spikes
    /// of their sources, and those of their targets that have traveled back through the delay.
    #[must_use]
    pub fn weights(&mut self, projection: usize) -> Vec<Link> {
        with!(&mut self.network, network => {
            network.change(projection, |_, _| ());
            network.links(projection, self.dt_ms)
        })
    }
}
