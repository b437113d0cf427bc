//! From a model to the constants of its step: exact propagators in double precision, then rounded.

use core::f64::consts::E;

use gyrus_kernels::circuit::{AlphaStep, ConductanceStep, DeltaStep, ExponentialStep, IzhikevichStep, Real};

use super::{Cells, Kind, Moving, Steep};
use crate::circuit::Population;
use crate::inputs::Trains;
use crate::model::{Conductance, Izhikevich, Leaky, Model, MovingThreshold};
use crate::random::Stream;

/// Whole steps of a time, rounded down; a time meant to be on the grid is.
pub(crate) fn whole_steps(time_ms: f64, dt_ms: f64) -> u64 {
    (time_ms / dt_ms + 1e-6).floor() as u64
}

/// (1 − e⁻ˣ) / x.
fn phi(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { -(-x).exp_m1() / x }
}

/// (1 − (1 + x) e⁻ˣ) / x².
fn psi(x: f64) -> f64 {
    if x.abs() < 0.02 {
        let terms = [-1.0 / 840.0, 1.0 / 144.0, -1.0 / 30.0, 1.0 / 8.0, -1.0 / 3.0, 1.0 / 2.0];
        return terms.into_iter().fold(0.0, |sum, term| sum * x + term);
    }
    (-(-x).exp_m1() - x * (-x).exp()) / (x * x)
}

/// Factors of a leaky membrane over a step h, for a rate of its decay 1/τ and a synapse's.
struct Propagators {
    h: f64,
    membrane: f64,
    c_m_pf: f64,
}

impl Propagators {
    fn decay(&self) -> f64 {
        (-self.h * self.membrane).exp()
    }

    fn gain(&self) -> f64 {
        self.h / self.c_m_pf * phi(self.h * self.membrane)
    }

    /// From an exponential current to the potential.
    fn exponential(&self, tau_ms: f64) -> f64 {
        self.h / self.c_m_pf * self.decay() * phi((1.0 / tau_ms - self.membrane) * self.h)
    }

    /// From the slope of an alpha-shaped current to the potential.
    fn alpha(&self, tau_ms: f64) -> f64 {
        self.h * self.h / self.c_m_pf * self.decay() * psi((1.0 / tau_ms - self.membrane) * self.h)
    }
}

impl<T: Real> Cells<T> {
    /// `count` neurons of a population from neuron `within` on.
    pub(crate) fn new(
        population: &Population,
        (within, count): (usize, usize),
        dt_ms: f64,
        stream: Stream,
    ) -> Self {
        let starts = stream.sub(u64::from(u32::from_be_bytes(*b"star")));
        let start = |rest: f64| -> Vec<f64> {
            let quantity = population.v_start_mv;
            let one = |n: usize| quantity.map_or(rest, |quantity| quantity.draw(starts, n as u64));
            (within..within + count).map(one).collect()
        };
        let relative = |rest: f64| -> Vec<T> { start(rest).into_iter().map(|v| T::of(v - rest)).collect() };
        let absolute = |rest: f64| -> Vec<T> { start(rest).into_iter().map(T::of).collect() };
        let zeros = || vec![T::ZERO; count];
        let pair = |second: bool| [zeros(), if second { zeros() } else { Vec::new() }];
        let two = population.model.planes() == 2;
        let (kind, rest_mv) = match &population.model {
            Model::IafPscDelta(leaky) => {
                let kind =
                    Kind::Delta { step: delta(leaky, dt_ms), v: relative(leaky.e_l_mv), left: zeros() };
                (kind, leaky.e_l_mv)
            }
            Model::IafPscExp(leaky) => {
                let (step, v) = (exponential(leaky, dt_ms), relative(leaky.e_l_mv));
                (Kind::Exponential { step, v, left: zeros(), i: pair(two) }, leaky.e_l_mv)
            }
            Model::IafPscAlpha(leaky) => {
                let (step, v) = (alpha(leaky, dt_ms), relative(leaky.e_l_mv));
                (Kind::Alpha { step, v, left: zeros(), slope: pair(two), i: pair(two) }, leaky.e_l_mv)
            }
            Model::IafCondExpTheta(cell, threshold) => {
                let (step, v) = (conductance(cell, dt_ms, false), absolute(cell.e_l_mv));
                let moving = Some(moving(threshold, cell.v_th_mv, (within, count), dt_ms));
                let slope = [Vec::new(), Vec::new()];
                (Kind::Conductance { step, v, left: zeros(), slope, g: pair(true), moving }, 0.0)
            }
            Model::IafCondExp(cell) | Model::IafCondAlpha(cell) => {
                let is_alpha = matches!(population.model, Model::IafCondAlpha(_));
                let slope = if is_alpha { pair(true) } else { [Vec::new(), Vec::new()] };
                let (step, v) = (conductance(cell, dt_ms, is_alpha), absolute(cell.e_l_mv));
                (Kind::Conductance { step, v, left: zeros(), slope, g: pair(true), moving: None }, 0.0)
            }
            Model::Izhikevich(cell) => {
                let (v, u) = (absolute(-65.0), vec![T::of(cell.u_start); count]);
                (Kind::Izhikevich { step: izhikevich(cell, dt_ms), v, u }, 0.0)
            }
            Model::AeifCondExp(_)
            | Model::AeifCondAlpha(_)
            | Model::HhPscAlpha(_)
            | Model::HhCondExpTraub(_) => (Kind::Steep(Steep::new(&population.model, dt_ms, start)), 0.0),
            Model::SpikeSource { times_ms } => {
                (Kind::Spikes { events: events(times_ms, (within, count), dt_ms), next: 0 }, 0.0)
            }
            Model::PoissonSource { rate_hz } => {
                (Kind::Poisson(Trains::new(rate_hz, (within, count), dt_ms, stream)), 0.0)
            }
        };
        Self { kind, count, rest_mv }
    }
}

/// Spikes in the order of their steps, then of their neurons.
fn events(times_ms: &[Vec<f64>], (within, count): (usize, usize), dt_ms: f64) -> Vec<(u64, u32)> {
    let mut events = Vec::new();
    for n in 0..count {
        let times = if times_ms.len() == 1 { &times_ms[0] } else { &times_ms[within + n] };
        // A spike within a step belongs to its end, which is the time of the step.
        let step = |time: &f64| ((time / dt_ms - 1e-6).ceil() as u64).max(1) - 1;
        events.extend(times.iter().map(|time| (step(time), n as u32)));
    }
    events.sort_unstable();
    events
}

fn propagators(leaky: &Leaky, h: f64) -> Propagators {
    Propagators { h, membrane: 1.0 / leaky.tau_m_ms, c_m_pf: leaky.c_m_pf }
}

fn refractory<T: Real>(t_ref_ms: f64, dt_ms: f64) -> T {
    T::of(whole_steps(t_ref_ms, dt_ms) as f64)
}

fn delta<T: Real>(leaky: &Leaky, dt_ms: f64) -> DeltaStep<T> {
    let p = propagators(leaky, dt_ms);
    DeltaStep {
        decay: T::of(p.decay()),
        gain: T::of(p.gain()),
        drive: T::of(p.gain() * leaky.i_e_pa),
        threshold: T::of(leaky.v_th_mv - leaky.e_l_mv),
        reset: T::of(leaky.v_reset_mv - leaky.e_l_mv),
        refractory: refractory(leaky.t_ref_ms, dt_ms),
    }
}

fn exponential<T: Real>(leaky: &Leaky, dt_ms: f64) -> ExponentialStep<T> {
    let p = propagators(leaky, dt_ms);
    let taus = [leaky.tau_syn_ex_ms, leaky.tau_syn_in_ms];
    ExponentialStep {
        decay: T::of(p.decay()),
        gain: T::of(p.gain()),
        drive: T::of(p.gain() * leaky.i_e_pa),
        reach: taus.map(|tau| T::of(p.exponential(tau))),
        fade: taus.map(|tau| T::of((-dt_ms / tau).exp())),
        threshold: T::of(leaky.v_th_mv - leaky.e_l_mv),
        reset: T::of(leaky.v_reset_mv - leaky.e_l_mv),
        refractory: refractory(leaky.t_ref_ms, dt_ms),
    }
}

fn alpha<T: Real>(leaky: &Leaky, dt_ms: f64) -> AlphaStep<T> {
    let p = propagators(leaky, dt_ms);
    let taus = [leaky.tau_syn_ex_ms, leaky.tau_syn_in_ms];
    AlphaStep {
        leak: T::of((-dt_ms / leaky.tau_m_ms).exp_m1()),
        gain: T::of(p.gain()),
        drive: T::of(p.gain() * leaky.i_e_pa),
        reach: taus.map(|tau| [T::of(p.alpha(tau)), T::of(p.exponential(tau))]),
        fade: taus.map(|tau| T::of((-dt_ms / tau).exp())),
        rise: taus.map(|tau| T::of(dt_ms * (-dt_ms / tau).exp())),
        start: taus.map(|tau| T::of(E / tau)),
        threshold: T::of(leaky.v_th_mv - leaky.e_l_mv),
        reset: T::of(leaky.v_reset_mv - leaky.e_l_mv),
        refractory: refractory(leaky.t_ref_ms, dt_ms),
    }
}

fn conductance<T: Real>(cell: &Conductance, dt_ms: f64, alpha: bool) -> ConductanceStep<T> {
    let taus = [cell.tau_syn_ex_ms, cell.tau_syn_in_ms];
    ConductanceStep {
        pace: T::of(dt_ms / cell.c_m_pf),
        leak: T::of(cell.g_l_ns),
        drive: T::of(cell.g_l_ns * cell.e_l_mv + cell.i_e_pa),
        reversal: [T::of(cell.e_ex_mv), T::of(cell.e_in_mv)],
        half: taus.map(|tau| T::of((-0.5 * dt_ms / tau).exp())),
        full: taus.map(|tau| T::of((-dt_ms / tau).exp())),
        rise: if alpha { [T::of(0.5 * dt_ms), T::of(dt_ms)] } else { [T::ZERO; 2] },
        start: taus.map(|tau| if alpha { T::of(E / tau) } else { T::ONE }),
        threshold: T::of(cell.v_th_mv),
        reset: T::of(cell.v_reset_mv),
        refractory: refractory(cell.t_ref_ms, dt_ms),
    }
}

fn moving<T: Real>(
    threshold: &MovingThreshold,
    base: f64,
    (within, count): (usize, usize),
    dt_ms: f64,
) -> Moving<T> {
    let theta = match &threshold.start_mv[..] {
        [one] => vec![*one; count],
        all => all[within..within + count].to_vec(),
    };
    let fade = (-dt_ms / threshold.tau_ms).exp();
    Moving { theta, fade, plus: threshold.plus_mv, base, thresholds: vec![T::ZERO; count] }
}

fn izhikevich<T: Real>(cell: &Izhikevich, dt_ms: f64) -> IzhikevichStep<T> {
    IzhikevichStep {
        dt: T::of(dt_ms),
        a: T::of(cell.a),
        b: T::of(cell.b),
        c: T::of(cell.c_mv),
        d: T::of(cell.d),
        drive: T::of(cell.i_e),
        threshold: T::of(cell.v_th_mv),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_and_closed_forms_meet() {
        for x in [0.019_999_9f64, 0.020_000_1, -0.019_999_9, -0.020_000_1] {
            let direct = (1.0 - (1.0 + x) * (-x).exp()) / (x * x);
            assert!((psi(x) - direct).abs() < 1e-12, "{x}: {} and {direct}", psi(x));
        }
        assert_eq!(psi(0.0), 0.5);
        assert_eq!(phi(0.0), 1.0);
    }

    #[test]
    fn spikes_of_a_source_belong_to_the_end_of_their_step() {
        let times = vec![vec![0.1, 0.3, 0.35], vec![0.1]];
        assert_eq!(events(&times, (0, 2), 0.1), [(0, 0), (0, 1), (2, 0), (3, 0)]);
    }
}
