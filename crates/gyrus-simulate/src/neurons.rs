//! The neurons of a part: their equations and state.

mod build;
mod steep;

use gyrus_kernels::circuit::{AlphaStep, ConductanceStep, DeltaStep, ExponentialStep, IzhikevichStep, Real};

pub(crate) use steep::Steep;

/// A state variable that can be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variable {
    /// Membrane potential in mV.
    Potential,
    /// Adaptation current in pA (`Aeif...`), or the recovery of `Izhikevich`.
    Adaptation,
    /// Excitatory synaptic current in pA or conductance in nS. Where both receptors of a model with currents have the same
    /// time constant, the sum of both.
    Excitatory,
    /// How far a moving threshold lies above the model's in mV.
    Threshold,
    /// Inhibitory synaptic current or conductance, where it is not part of [`Variable::Excitatory`].
    Inhibitory,
}

/// Neurons of one part. Potentials of leaky neurons are relative to `rest_mv`.
pub(crate) struct Cells<T> {
    pub(crate) kind: Kind<T>,
    pub(crate) count: usize,
    pub(crate) rest_mv: f64,
}

pub(crate) enum Kind<T> {
    Delta {
        step: DeltaStep<T>,
        v: Vec<T>,
        left: Vec<T>,
    },
    Exponential {
        step: ExponentialStep<T>,
        v: Vec<T>,
        left: Vec<T>,
        i: [Vec<T>; 2],
    },
    Alpha {
        step: AlphaStep<T>,
        v: Vec<T>,
        left: Vec<T>,
        slope: [Vec<T>; 2],
        i: [Vec<T>; 2],
    },
    Conductance {
        step: ConductanceStep<T>,
        v: Vec<T>,
        left: Vec<T>,
        slope: [Vec<T>; 2],
        g: [Vec<T>; 2],
        moving: Option<Moving<T>>,
    },
    Izhikevich {
        step: IzhikevichStep<T>,
        v: Vec<T>,
        u: Vec<T>,
    },
    Steep(Steep),
    Spikes {
        events: Vec<(u64, u32)>,
        next: usize,
    },
    Poisson(crate::inputs::Trains),
}

/// Thresholds that move.
pub(crate) struct Moving<T> {
    /// Of each neuron, above `base`; in double precision, as a slow decay is lost in single.
    pub(crate) theta: Vec<f64>,
    pub(crate) fade: f64,
    pub(crate) plus: f64,
    pub(crate) base: f64,
    /// As of this step.
    pub(crate) thresholds: Vec<T>,
}

impl<T: Real> Moving<T> {
    fn fall(&mut self) {
        for (theta, threshold) in self.theta.iter_mut().zip(&mut self.thresholds) {
            *theta *= self.fade;
            *threshold = T::of(self.base + *theta);
        }
    }

    fn rise(&mut self, fired: &[u32]) {
        fired.iter().for_each(|&neuron| self.theta[neuron as usize] += self.plus);
    }
}

impl<T: Real> Cells<T> {
    /// One step. `x`: sums of spikes in planes `width` apart; `current`: one a neuron in pA, or empty. Appends the
    /// neurons that fire to `spikes`.
    pub(crate) fn step(&mut self, now: u64, x: &[T], width: usize, current: &[T], spikes: &mut Vec<u32>) {
        let count = self.count;
        let plane = |n: usize| &x[n * width..][..count];
        match &mut self.kind {
            Kind::Delta { step, v, left } => step.run(plane(0), current, v, left, spikes),
            Kind::Exponential { step, v, left, i: [first, second] } if second.is_empty() => {
                step.run([plane(0)], current, v, [first], left, spikes);
            }
            Kind::Exponential { step, v, left, i: [first, second] } => {
                step.run([plane(0), plane(1)], current, v, [first, second], left, spikes);
            }
            Kind::Alpha { step, v, left, slope: [slope, other], i: [first, second] } if second.is_empty() => {
                debug_assert!(other.is_empty());
                step.run([plane(0)], current, v, [slope], [first], left, spikes);
            }
            Kind::Alpha { step, v, left, slope: [slope, other], i: [first, second] } => {
                step.run([plane(0), plane(1)], current, v, [slope, other], [first, second], left, spikes);
            }
            Kind::Conductance {
                step,
                v,
                left,
                slope: [slope, other],
                g: [excitatory, inhibitory],
                moving,
            } => {
                let first = spikes.len();
                let thresholds = moving.as_mut().map_or(&[][..], |moving| {
                    moving.fall();
                    &moving.thresholds
                });
                let (x, slope, g) =
                    ([plane(0), plane(1)], [&mut slope[..], other], [&mut excitatory[..], inhibitory]);
                step.run(x, current, thresholds, v, slope, g, left, spikes);
                if let Some(moving) = moving {
                    moving.rise(&spikes[first..]);
                }
            }
            Kind::Izhikevich { step, v, u } => step.run(plane(0), current, v, u, spikes),
            Kind::Steep(steep) => steep.step([plane(0), plane(1)], current, spikes),
            Kind::Spikes { events, next } => {
                while let Some(&(_, neuron)) = events.get(*next).filter(|(step, _)| *step == now) {
                    spikes.push(neuron);
                    *next += 1;
                }
            }
            Kind::Poisson(trains) => trains.step(now, spikes),
        }
    }

    /// Potentials at rest, no currents, no refractoriness; moving thresholds stay. Tells whether the model can.
    pub(crate) fn settle(&mut self) -> bool {
        let clear = |rows: &mut [&mut Vec<T>]| rows.iter_mut().for_each(|row| row.fill(T::ZERO));
        match &mut self.kind {
            Kind::Delta { v, left, .. } => clear(&mut [v, left]),
            Kind::Exponential { v, left, i: [a, b], .. } => clear(&mut [v, left, a, b]),
            Kind::Alpha { v, left, slope: [a, b], i: [c, d], .. } => clear(&mut [v, left, a, b, c, d]),
            Kind::Conductance { step, v, left, slope: [a, b], g: [c, d], .. } => {
                clear(&mut [left, a, b, c, d]);
                v.fill(step.drive / step.leak);
            }
            Kind::Izhikevich { .. } | Kind::Steep(_) => return false,
            Kind::Spikes { .. } | Kind::Poisson(_) => {}
        }
        true
    }

    /// A state variable of a neuron, if the model has it.
    pub(crate) fn read(&self, neuron: usize, variable: Variable) -> Option<f64> {
        let of = |row: &Vec<T>| row.get(neuron).map(|value| value.wide());
        match (&self.kind, variable) {
            (Kind::Steep(steep), variable) => steep.read(neuron, variable),
            (
                Kind::Delta { v, .. }
                | Kind::Exponential { v, .. }
                | Kind::Alpha { v, .. }
                | Kind::Conductance { v, .. }
                | Kind::Izhikevich { v, .. },
                Variable::Potential,
            ) => of(v).map(|v| v + self.rest_mv),
            (Kind::Exponential { i, .. } | Kind::Alpha { i, .. }, Variable::Excitatory) => of(&i[0]),
            (Kind::Exponential { i, .. } | Kind::Alpha { i, .. }, Variable::Inhibitory) => of(&i[1]),
            (Kind::Conductance { moving: Some(moving), .. }, Variable::Threshold) => {
                moving.theta.get(neuron).copied()
            }
            (Kind::Conductance { g, .. }, Variable::Excitatory) => of(&g[0]),
            (Kind::Conductance { g, .. }, Variable::Inhibitory) => of(&g[1]),
            (Kind::Izhikevich { u, .. }, Variable::Adaptation) => of(u),
            _ => None,
        }
    }

    /// The first neuron whose state is not a finite number.
    pub(crate) fn broken(&self) -> Option<usize> {
        let first = |row: &Vec<T>| row.iter().position(|value| !value.wide().is_finite());
        match &self.kind {
            Kind::Steep(steep) => steep.broken(),
            Kind::Delta { v, .. }
            | Kind::Exponential { v, .. }
            | Kind::Alpha { v, .. }
            | Kind::Conductance { v, .. }
            | Kind::Izhikevich { v, .. } => first(v),
            Kind::Spikes { .. } | Kind::Poisson(_) => None,
        }
    }

    /// Bytes of the state.
    pub(crate) fn bytes(&self) -> usize {
        let rows = |rows: &[&Vec<T>]| -> usize { rows.iter().map(|row| row.capacity() * T::BYTES).sum() };
        match &self.kind {
            Kind::Delta { v, left, .. } => rows(&[v, left]),
            Kind::Exponential { v, left, i: [a, b], .. } => rows(&[v, left, a, b]),
            Kind::Alpha { v, left, slope: [a, b], i: [c, d], .. } => rows(&[v, left, a, b, c, d]),
            Kind::Conductance { v, left, slope: [a, b], g: [c, d], moving, .. } => {
                let moving = moving.as_ref().map_or(0, |moving| moving.theta.capacity() * (8 + T::BYTES));
                rows(&[v, left, a, b, c, d]) + moving
            }
            Kind::Izhikevich { v, u, .. } => rows(&[v, u]),
            Kind::Steep(steep) => steep.bytes(),
            Kind::Spikes { events, .. } => events.capacity() * size_of::<(u64, u32)>(),
            Kind::Poisson(trains) => trains.bytes(),
        }
    }
}
