//! Neurons with steep equations, one after another with steps of their own (Runge-Kutta-Fehlberg 4(5), in double precision): adaptive
//! exponential integrate-and-fire, and Hodgkin-Huxley.

use core::f64::consts::E;

use gyrus_kernels::circuit::{Control, Equations, Real, advance};

use super::Variable;
use super::build::whole_steps;
use crate::model::{Adaptive, HodgkinHuxley, Model};

/// Numbers of a neuron's state: potential, two slopes, two conductances or currents, and what the model adds.
const STATES: usize = 8;
const V: usize = 0;
/// Slopes of alpha-shaped synapses.
const SLOPE: [usize; 2] = [1, 2];
/// Conductances or currents.
const SYNAPSE: [usize; 2] = [3, 4];
/// Adaptation, or the gate m; then h and n.
const W: usize = 5;

/// Neurons of a model that is integrated with an adaptive step.
pub(crate) struct Steep {
    cell: Cell,
    alpha: bool,
    dt_ms: f64,
    refractory: u32,
    pub(crate) y: Vec<[f64; STATES]>,
    /// Proposed step of each neuron, in ms.
    pub(crate) h: Vec<f64>,
    pub(crate) left: Vec<u32>,
}

#[derive(Clone, Copy)]
enum Cell {
    Adaptive(Adaptive),
    /// With currents, or (Traub) with conductances.
    Gated(HodgkinHuxley, bool),
}

impl Steep {
    pub(crate) fn new(model: &Model, dt_ms: f64, start: impl Fn(f64) -> Vec<f64>) -> Self {
        let (cell, alpha, rest, t_ref_ms) = match model {
            Model::AeifCondExp(m) => (Cell::Adaptive(*m), false, m.e_l_mv, m.t_ref_ms),
            Model::AeifCondAlpha(m) => (Cell::Adaptive(*m), true, m.e_l_mv, m.t_ref_ms),
            Model::HhCondExpTraub(m) => (Cell::Gated(*m, true), false, m.e_l_mv, m.t_ref_ms),
            Model::HhPscAlpha(m) => (Cell::Gated(*m, false), true, -65.0, m.t_ref_ms),
            _ => unreachable!("`{}` has a step of its own", model.name()),
        };
        let mut gates = [0.0; 3];
        match cell {
            Cell::Adaptive(m) => gates[0] = m.w_start_pa,
            Cell::Gated(_, traub) => {
                // As NEST, which starts Traub's gates at the rates of the potential itself, not of that relative to V_T.
                let rates = if traub { traub_rates(rest) } else { squid_rates(rest) };
                gates = rates.map(|[opens, closes]| opens / (opens + closes));
            }
        }
        let state = |v: f64| [v, 0.0, 0.0, 0.0, 0.0, gates[0], gates[1], gates[2]];
        let y: Vec<_> = start(rest).into_iter().map(state).collect();
        let first = if matches!(cell, Cell::Adaptive(_)) { dt_ms.min(0.01) } else { dt_ms };
        Self {
            cell,
            alpha,
            dt_ms,
            refractory: whole_steps(t_ref_ms, dt_ms) as u32,
            h: vec![first; y.len()],
            left: vec![0; y.len()],

            y,
        }
    }

    pub(crate) fn step<T: Real>(&mut self, x: [&[T]; 2], current: &[T], spikes: &mut Vec<u32>) {
        let taus = self.taus();
        for (n, arriving) in x[0]
            .iter()
            .zip(x[1])
            .map(|(excitatory, inhibitory)| [excitatory.wide(), inhibitory.wide()])
            .enumerate()
        {
            let i = current.get(n).map_or(0.0, |i| i.wide());
            let fires = match self.cell {
                Cell::Adaptive(cell) => self.adaptive(cell, n, i),
                Cell::Gated(cell, traub) => self.gated(cell, traub, n, i),
            };
            if fires {
                spikes.push(n as u32);
            }
            for plane in 0..2 {
                if self.alpha {
                    self.y[n][SLOPE[plane]] += arriving[plane] * E / taus[plane];
                } else {
                    self.y[n][SYNAPSE[plane]] += arriving[plane];
                }
            }
        }
    }

    fn taus(&self) -> [f64; 2] {
        match self.cell {
            Cell::Adaptive(m) => [m.tau_syn_ex_ms, m.tau_syn_in_ms],
            Cell::Gated(m, _) => [m.tau_syn_ex_ms, m.tau_syn_in_ms],
        }
    }

    /// As NEST: spikes are noted after each of the solver's steps.
    fn adaptive(&mut self, cell: Adaptive, n: usize, i: f64) -> bool {
        let control = Control { absolute: 1e-6, relative: 1e-6 };
        let peak = if cell.delta_t_mv > 0.0 { cell.v_peak_mv } else { cell.v_th_mv };
        let (mut t, mut fires) = (0.0, false);
        while t < self.dt_ms {
            let equations = AdaptiveEquations { cell, alpha: self.alpha, held: self.left[n] > 0, i };
            advance(&equations, control, (&mut t, self.dt_ms), &mut self.h[n], &mut self.y[n]);
            let y = &mut self.y[n];
            if !y[V].is_finite() {
                break;
            }
            if self.left[n] > 0 {
                y[V] = cell.v_reset_mv;
            } else if y[V] >= peak {
                y[V] = cell.v_reset_mv;
                y[W] += cell.b_pa;
                // One more, for the count at the end of this step.
                self.left[n] = if self.refractory > 0 { self.refractory + 1 } else { 0 };
                fires = true;
            }
        }
        self.left[n] = self.left[n].saturating_sub(1);
        fires
    }

    /// As NEST: a spike is a maximum of the potential above a threshold.
    fn gated(&mut self, cell: HodgkinHuxley, traub: bool, n: usize, i: f64) -> bool {
        let control = Control { absolute: 1e-3, relative: 0.0 };
        let before = self.y[n][V];
        let mut t = 0.0;
        while t < self.dt_ms && self.y[n][V].is_finite() {
            let equations = GatedEquations { cell, traub, i };
            advance(&equations, control, (&mut t, self.dt_ms), &mut self.h[n], &mut self.y[n]);
        }
        let threshold = if traub { cell.v_t_mv + 30.0 } else { 0.0 };
        if self.left[n] > 0 {
            self.left[n] -= 1;
            return false;
        }
        let fires = self.y[n][V] >= threshold && before > self.y[n][V];
        if fires {
            self.left[n] = self.refractory;
        }
        fires
    }

    pub(crate) fn read(&self, neuron: usize, variable: Variable) -> Option<f64> {
        let y = self.y.get(neuron)?;
        match (variable, self.cell) {
            (Variable::Potential, _) => Some(y[V]),
            (Variable::Adaptation, Cell::Adaptive(_)) => Some(y[W]),
            (Variable::Adaptation, Cell::Gated(..)) => None,
            (Variable::Excitatory, _) => Some(y[SYNAPSE[0]]),
            (Variable::Inhibitory, _) => Some(y[SYNAPSE[1]]),
            (Variable::Threshold, _) => None,
        }
    }

    pub(crate) fn broken(&self) -> Option<usize> {
        self.y.iter().position(|y| y.iter().any(|value| !value.is_finite()))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.y.capacity() * size_of::<[f64; STATES]>() + self.h.capacity() * 8 + self.left.capacity() * 4
    }
}

/// Slopes of the synapses' states.
fn synapses(y: &[f64; STATES], taus: [f64; 2], f: &mut [f64; STATES]) {
    for (plane, tau) in taus.into_iter().enumerate() {
        f[SLOPE[plane]] = -y[SLOPE[plane]] / tau;
        f[SYNAPSE[plane]] = y[SLOPE[plane]] - y[SYNAPSE[plane]] / tau;
    }
}

struct AdaptiveEquations {
    cell: Adaptive,
    alpha: bool,
    held: bool,
    i: f64,
}

impl Equations<STATES> for AdaptiveEquations {
    fn slope(&self, y: &[f64; STATES]) -> [f64; STATES] {
        let m = &self.cell;
        let v = if self.held { m.v_reset_mv } else { y[V].min(m.v_peak_mv) };
        let mut f = [0.0; STATES];
        debug_assert!(self.alpha || y[SLOPE[0]] == 0.0);
        synapses(y, [m.tau_syn_ex_ms, m.tau_syn_in_ms], &mut f);
        if !self.held {
            let spike = match m.delta_t_mv {
                0.0 => 0.0,
                delta => m.g_l_ns * delta * ((v - m.v_th_mv) / delta).exp(),
            };
            let synaptic = y[SYNAPSE[0]] * (v - m.e_ex_mv) + y[SYNAPSE[1]] * (v - m.e_in_mv);
            let total = -m.g_l_ns * (v - m.e_l_mv) + spike - synaptic - y[W] + m.i_e_pa + self.i;
            f[V] = total / m.c_m_pf;
        }
        f[W] = (m.a_ns * (v - m.e_l_mv) - y[W]) / m.tau_w_ms;
        f
    }
}

struct GatedEquations {
    cell: HodgkinHuxley,
    traub: bool,
    i: f64,
}

impl Equations<STATES> for GatedEquations {
    fn slope(&self, y: &[f64; STATES]) -> [f64; STATES] {
        let cell = &self.cell;
        let (v, m, h, n) = (y[V], y[W], y[W + 1], y[W + 2]);
        let mut f = [0.0; STATES];
        synapses(y, [cell.tau_syn_ex_ms, cell.tau_syn_in_ms], &mut f);
        let synaptic = match self.traub {
            true => -y[SYNAPSE[0]] * (v - cell.e_ex_mv) - y[SYNAPSE[1]] * (v - cell.e_in_mv),
            false => y[SYNAPSE[0]] + y[SYNAPSE[1]],
        };
        let sodium = cell.g_na_ns * m * m * m * h * (v - cell.e_na_mv);
        let potassium = cell.g_k_ns * n * n * n * n * (v - cell.e_k_mv);
        let leak = cell.g_l_ns * (v - cell.e_l_mv);
        f[V] = (synaptic + self.i + cell.i_e_pa - sodium - potassium - leak) / cell.c_m_pf;
        let rates = if self.traub { traub_rates(v - cell.v_t_mv) } else { squid_rates(v) };
        for (gate, [opens, closes]) in rates.into_iter().enumerate() {
            f[W + gate] = opens * (1.0 - y[W + gate]) - closes * y[W + gate];
        }
        f
    }
}

/// x / (1 − e⁻ˣ), 1 at 0.
fn ratio(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 + 0.5 * x } else { -x / (-x).exp_m1() }
}

/// Rates at which the gates m, h and n open and close, per ms (Hodgkin & Huxley 1952, at a rest of −65 mV).
fn squid_rates(v: f64) -> [[f64; 2]; 3] {
    [
        [ratio((v + 40.0) / 10.0), 4.0 * (-(v + 65.0) / 18.0).exp()],
        [0.07 * (-(v + 65.0) / 20.0).exp(), 1.0 / (1.0 + (-(v + 35.0) / 10.0).exp())],
        [0.1 * ratio((v + 55.0) / 10.0), 0.125 * (-(v + 65.0) / 80.0).exp()],
    ]
}

/// The same after Traub & Miles (1991), `v` relative to V_T.
fn traub_rates(v: f64) -> [[f64; 2]; 3] {
    [
        [0.32 * 4.0 * ratio((v - 13.0) / 4.0), 0.28 * 5.0 * ratio((40.0 - v) / 5.0)],
        [0.128 * ((17.0 - v) / 18.0).exp(), 4.0 / (1.0 + ((40.0 - v) / 5.0).exp())],
        [0.032 * 5.0 * ratio((v - 15.0) / 5.0), 0.5 * ((10.0 - v) / 40.0).exp()],
    ]
}
