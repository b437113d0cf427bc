//! Neurons step by step, carrying the derivative for one parameter along (forward-mode differentiation): values are
//! `f32` and exactly those of the kernels, derivatives are `f64` and computed without going back through time.

use crate::neuron::{NeuronKind, NeuronShape, NeuronState, Reset, Surrogate};

/// A number and its derivative for the parameter in question.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dual {
    /// The value.
    pub value: f32,
    /// Its derivative.
    pub slope: f64,
}

impl Dual {
    fn times(self, other: Dual) -> Dual {
        let slope = self.slope * f64::from(other.value) + f64::from(self.value) * other.slope;
        Dual { value: self.value * other.value, slope }
    }

    fn plus(self, other: Dual) -> Dual {
        Dual { value: self.value + other.value, slope: self.slope + other.slope }
    }

    /// `self * factor + term`, rounded once.
    fn times_plus(self, factor: Dual, term: Dual) -> Dual {
        let slope = self.times(factor).slope + term.slope;
        Dual { value: self.value.mul_add(factor.value, term.value), slope }
    }
}

/// Numbers that do not depend on anything.
pub fn constant(values: &[f32]) -> Vec<Dual> {
    values.iter().map(|&value| Dual { value, slope: 0.0 }).collect()
}

/// Everything that the output may depend on.
#[derive(Clone)]
pub struct Layer {
    /// The equations.
    pub kind: NeuronKind,
    /// The size.
    pub shape: NeuronShape,
    /// For `dz/du`.
    pub surrogate: Surrogate,
    /// No derivative through the reset.
    pub detach_reset: bool,
    /// Derivatives of the state end at multiples of this.
    pub truncate: Option<usize>,
    /// Nine rows.
    pub constants: Vec<Dual>,
    /// As the kernels' `x`.
    pub x: Vec<Dual>,
    /// `[neurons, neurons]` and `[neurons]`, of recurrent layers.
    pub recurrent: Option<(Vec<Dual>, Vec<Dual>)>,
    /// Before the first step.
    pub state: Option<NeuronState>,
}

/// The output, `[steps * batch, neurons]`: spikes or potentials.
pub fn run(layer: &Layer) -> Vec<Dual> {
    let NeuronShape { steps, batch, neurons, constant_input } = layer.shape;
    let kind = layer.kind;
    let initial = layer.state.clone().unwrap_or_else(|| NeuronState::new(kind, layer.shape));
    let (mut v, mut i, mut a) = (constant(&initial.v), constant(&initial.i), constant(&initial.a));
    let width = neurons.div_ceil(32);
    let mut last: Vec<Dual> = (0..batch * neurons)
        .map(|at| {
            let (b, n) = (at / neurons, at % neurons);
            Dual { value: (initial.z[b * width + n / 32] >> (n % 32) & 1) as f32, slope: 0.0 }
        })
        .collect();
    let mut output = Vec::new();
    for step in 0..steps {
        if layer.truncate.is_some_and(|length| step % length == 0) {
            for state in [&mut v, &mut i, &mut a, &mut last] {
                state.iter_mut().for_each(|dual| dual.slope = 0.0);
            }
        }
        let mut spikes = Vec::new();
        for b in 0..batch {
            for n in 0..neurons {
                let at = b * neurons + n;
                let c = |row: usize| {
                    let single = layer.constants.len() == 9;
                    layer.constants[if single { row } else { row * neurons + n }]
                };
                let mut current = layer.x[if constant_input { at } else { step * batch * neurons + at }];
                if let Some((weight, bias)) = &layer.recurrent {
                    let mut sum = Dual::default();
                    for from in 0..neurons {
                        sum = weight[n * neurons + from].times_plus(last[b * neurons + from], sum);
                    }
                    current = current.plus(sum.plus(bias[n]));
                }
                if kind.synapse {
                    i[at] = c(4).times_plus(i[at], c(5).times(current));
                    current = i[at];
                }
                let u = c(0).times_plus(v[at], c(1).times_plus(current, c(2)));
                if !kind.fires {
                    v[at] = u;
                    spikes.push(u);
                    continue;
                }
                let threshold = if kind.adaptive { c(7).times_plus(a[at], c(3)) } else { c(3) };
                let derivative = f64::from(layer.surrogate.derivative(u.value - threshold.value));
                let fired = u.value > threshold.value;
                let z = Dual {
                    value: if fired { 1.0 } else { 0.0 },
                    slope: derivative * (u.slope - threshold.slope),
                };
                spikes.push(z);
                let through = if layer.detach_reset { 0.0 } else { z.slope };
                let (theta, to) = (c(3), c(6));
                v[at] = match kind.reset {
                    Reset::None => u,
                    Reset::Subtract => Dual {
                        value: if fired { u.value - theta.value } else { u.value },
                        slope: u.slope - f64::from(z.value) * theta.slope - through * f64::from(theta.value),
                    },
                    Reset::Hard => Dual {
                        value: if fired { to.value } else { u.value },
                        slope: (if fired { to.slope } else { u.slope })
                            + through * (f64::from(to.value) - f64::from(u.value)),
                    },
                };
                if kind.adaptive {
                    a[at] = c(8).times_plus(a[at], z);
                }
            }
        }
        output.extend_from_slice(&spikes);
        last = spikes;
    }
    output
}

/// The derivative of `sum dz * output` for each element of the part of the layer that `part` selects.
pub fn gradient(layer: &Layer, dz: &[f32], part: impl Fn(&mut Layer) -> &mut Vec<Dual>) -> Vec<f32> {
    let mut layer = layer.clone();
    (0..part(&mut layer).len())
        .map(|at| {
            part(&mut layer)[at].slope = 1.0;
            let sum: f64 = run(&layer).iter().zip(dz).map(|(z, dz)| z.slope * f64::from(*dz)).sum();
            part(&mut layer)[at].slope = 0.0;
            sum as f32
        })
        .collect()
}

/// Constants with which neurons fire now and then: nine rows of `columns`.
pub fn constants(columns: usize, seed: u64) -> Vec<f32> {
    let middles = [0.8, 0.7, 0.05, 0.4, 0.6, 0.8, -0.1, 0.3, 0.7];
    let noise = super::values(9 * columns, seed);
    noise.iter().enumerate().map(|(at, noise)| middles[at / columns] + 0.1 * noise).collect()
}

/// Every kind of neuron.
pub fn every_kind() -> Vec<NeuronKind> {
    let mut kinds = Vec::new();
    for synapse in [false, true] {
        kinds.push(NeuronKind { synapse, fires: false, adaptive: false, reset: Reset::None, v_start: 0.2 });
        for adaptive in [false, true] {
            for reset in [Reset::Hard, Reset::Subtract, Reset::None] {
                kinds.push(NeuronKind { synapse, fires: true, adaptive, reset, v_start: 0.0 });
            }
        }
    }
    kinds
}
