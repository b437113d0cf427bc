//! Neuron models, with NEST's names, meanings and defaults.

use crate::error::{Result, wrong};

/// The equations of a population's neurons.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// Leaky integrate-and-fire; a spike makes the potential jump. Exact integration.
    IafPscDelta(Leaky),
    /// Leaky integrate-and-fire with exponential currents. Exact integration.
    IafPscExp(Leaky),
    /// Leaky integrate-and-fire with alpha-shaped currents. Exact integration.
    IafPscAlpha(Leaky),
    /// Leaky integrate-and-fire with exponential conductances. Runge-Kutta of fourth order, conductances exact.
    IafCondExp(Conductance),
    /// Leaky integrate-and-fire with alpha-shaped conductances. Runge-Kutta of fourth order, conductances exact.
    IafCondAlpha(Conductance),
    /// Adaptive exponential integrate-and-fire (Brette & Gerstner 2005) with exponential conductances.
    /// Runge-Kutta-Fehlberg 4(5), tolerance 10⁻⁶.
    AeifCondExp(Adaptive),
    /// Adaptive exponential integrate-and-fire with alpha-shaped conductances. Runge-Kutta-Fehlberg 4(5), tolerance 10⁻⁶.
    AeifCondAlpha(Adaptive),
    /// Izhikevich (2003). Forward Euler, as NEST.
    Izhikevich(Izhikevich),
    /// Hodgkin-Huxley with alpha-shaped currents. Runge-Kutta-Fehlberg 4(5), tolerance 10⁻³ as NEST.
    HhPscAlpha(HodgkinHuxley),
    /// Hodgkin-Huxley after Traub & Miles (1991) with exponential conductances, as in COBAHH (Brette et al. 2007).
    /// Runge-Kutta-Fehlberg 4(5), tolerance 10⁻³ as NEST.
    HhCondExpTraub(HodgkinHuxley),
    /// Spikes at given times; no input.
    SpikeSource {
        /// Milliseconds above 0, rounded up to whole steps: one list a neuron, or one for all.
        times_ms: Vec<Vec<f64>>,
    },
    /// Independent Poisson trains; no input.
    PoissonSource {
        /// Spikes per second: one for all, or one a neuron.
        rate_hz: Vec<f64>,
    },
}

/// Leaky integrate-and-fire with currents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leaky {
    /// Capacitance in pF.
    pub c_m_pf: f64,
    /// Membrane time constant in ms; infinite for a neuron that does not leak.
    pub tau_m_ms: f64,
    /// Refractory period in ms.
    pub t_ref_ms: f64,
    /// Resting potential in mV.
    pub e_l_mv: f64,
    /// Threshold in mV.
    pub v_th_mv: f64,
    /// Potential after a spike in mV.
    pub v_reset_mv: f64,
    /// Constant current in pA.
    pub i_e_pa: f64,
    /// Time constant of excitatory currents in ms; unused by `IafPscDelta`.
    pub tau_syn_ex_ms: f64,
    /// Time constant of inhibitory currents in ms; unused by `IafPscDelta`.
    pub tau_syn_in_ms: f64,
}

impl Default for Leaky {
    fn default() -> Self {
        Self {
            c_m_pf: 250.0,
            tau_m_ms: 10.0,
            t_ref_ms: 2.0,
            e_l_mv: -70.0,
            v_th_mv: -55.0,
            v_reset_mv: -70.0,
            i_e_pa: 0.0,
            tau_syn_ex_ms: 2.0,
            tau_syn_in_ms: 2.0,
        }
    }
}

/// Leaky integrate-and-fire with conductances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conductance {
    /// Capacitance in pF.
    pub c_m_pf: f64,
    /// Leak conductance in nS.
    pub g_l_ns: f64,
    /// Resting potential in mV.
    pub e_l_mv: f64,
    /// Threshold in mV.
    pub v_th_mv: f64,
    /// Potential after a spike in mV.
    pub v_reset_mv: f64,
    /// Refractory period in ms.
    pub t_ref_ms: f64,
    /// Excitatory reversal potential in mV.
    pub e_ex_mv: f64,
    /// Inhibitory reversal potential in mV.
    pub e_in_mv: f64,
    /// Time constant of excitatory conductances in ms.
    pub tau_syn_ex_ms: f64,
    /// Time constant of inhibitory conductances in ms.
    pub tau_syn_in_ms: f64,
    /// Constant current in pA.
    pub i_e_pa: f64,
}

impl Default for Conductance {
    fn default() -> Self {
        Self {
            c_m_pf: 250.0,
            g_l_ns: 16.6667,
            e_l_mv: -70.0,
            v_th_mv: -55.0,
            v_reset_mv: -60.0,
            t_ref_ms: 2.0,
            e_ex_mv: 0.0,
            e_in_mv: -85.0,
            tau_syn_ex_ms: 0.2,
            tau_syn_in_ms: 2.0,
            i_e_pa: 0.0,
        }
    }
}

/// Adaptive exponential integrate-and-fire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    /// Capacitance in pF.
    pub c_m_pf: f64,
    /// Refractory period in ms.
    pub t_ref_ms: f64,
    /// Potential after a spike in mV.
    pub v_reset_mv: f64,
    /// Resting potential in mV.
    pub e_l_mv: f64,
    /// Leak conductance in nS.
    pub g_l_ns: f64,
    /// Constant current in pA.
    pub i_e_pa: f64,
    /// Adaptation below threshold in nS.
    pub a_ns: f64,
    /// Adaptation by a spike in pA.
    pub b_pa: f64,
    /// Slope of the exponential in mV; 0 makes the neuron leaky integrate-and-fire.
    pub delta_t_mv: f64,
    /// Time constant of the adaptation in ms.
    pub tau_w_ms: f64,
    /// Threshold at which a spike begins in mV.
    pub v_th_mv: f64,
    /// Potential at which a spike is noted in mV.
    pub v_peak_mv: f64,
    /// Excitatory reversal potential in mV.
    pub e_ex_mv: f64,
    /// Time constant of excitatory conductances in ms.
    pub tau_syn_ex_ms: f64,
    /// Inhibitory reversal potential in mV.
    pub e_in_mv: f64,
    /// Time constant of inhibitory conductances in ms.
    pub tau_syn_in_ms: f64,
    /// Adaptation current before the first step in pA.
    pub w_start_pa: f64,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            c_m_pf: 281.0,
            t_ref_ms: 0.0,
            v_reset_mv: -60.0,
            e_l_mv: -70.6,
            g_l_ns: 30.0,
            i_e_pa: 0.0,
            a_ns: 4.0,
            b_pa: 80.5,
            delta_t_mv: 2.0,
            tau_w_ms: 144.0,
            v_th_mv: -50.4,
            v_peak_mv: 0.0,
            e_ex_mv: 0.0,
            tau_syn_ex_ms: 0.2,
            e_in_mv: -85.0,
            tau_syn_in_ms: 2.0,
            w_start_pa: 0.0,
        }
    }
}

/// Izhikevich's neuron, in its own units (mV and ms).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Izhikevich {
    /// Rate of the recovery.
    pub a: f64,
    /// Sensitivity of the recovery to the potential.
    pub b: f64,
    /// Potential after a spike in mV.
    pub c_mv: f64,
    /// What a spike adds to the recovery.
    pub d: f64,
    /// Constant current.
    pub i_e: f64,
    /// Potential of a spike in mV.
    pub v_th_mv: f64,
    /// Recovery before the first step.
    pub u_start: f64,
}

impl Default for Izhikevich {
    fn default() -> Self {
        Self { a: 0.02, b: 0.2, c_mv: -65.0, d: 8.0, i_e: 0.0, v_th_mv: 30.0, u_start: -13.0 }
    }
}

/// Hodgkin-Huxley. The defaults are those of `HhPscAlpha`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HodgkinHuxley {
    /// Capacitance in pF.
    pub c_m_pf: f64,
    /// Time after a spike during which no other is noted, in ms.
    pub t_ref_ms: f64,
    /// Sodium conductance in nS.
    pub g_na_ns: f64,
    /// Potassium conductance in nS.
    pub g_k_ns: f64,
    /// Leak conductance in nS.
    pub g_l_ns: f64,
    /// Sodium reversal potential in mV.
    pub e_na_mv: f64,
    /// Potassium reversal potential in mV.
    pub e_k_mv: f64,
    /// Leak reversal potential in mV.
    pub e_l_mv: f64,
    /// What the gates' potentials are relative to in mV; unused by `HhPscAlpha`.
    pub v_t_mv: f64,
    /// Excitatory reversal potential in mV; unused by `HhPscAlpha`.
    pub e_ex_mv: f64,
    /// Inhibitory reversal potential in mV; unused by `HhPscAlpha`.
    pub e_in_mv: f64,
    /// Time constant of excitatory synapses in ms.
    pub tau_syn_ex_ms: f64,
    /// Time constant of inhibitory synapses in ms.
    pub tau_syn_in_ms: f64,
    /// Constant current in pA.
    pub i_e_pa: f64,
}

impl Default for HodgkinHuxley {
    fn default() -> Self {
        Self {
            c_m_pf: 100.0,
            t_ref_ms: 2.0,
            g_na_ns: 12_000.0,
            g_k_ns: 3600.0,
            g_l_ns: 30.0,
            e_na_mv: 50.0,
            e_k_mv: -77.0,
            e_l_mv: -54.402,
            v_t_mv: -63.0,
            e_ex_mv: 0.0,
            e_in_mv: -80.0,
            tau_syn_ex_ms: 0.2,
            tau_syn_in_ms: 2.0,
            i_e_pa: 0.0,
        }
    }
}

impl HodgkinHuxley {
    /// NEST's defaults of `HhCondExpTraub`.
    #[must_use]
    pub fn traub() -> Self {
        Self {
            c_m_pf: 200.0,
            t_ref_ms: 2.0,
            g_na_ns: 20_000.0,
            g_k_ns: 6000.0,
            g_l_ns: 10.0,
            e_na_mv: 50.0,
            e_k_mv: -90.0,
            e_l_mv: -60.0,
            v_t_mv: -63.0,
            e_ex_mv: 0.0,
            e_in_mv: -80.0,
            tau_syn_ex_ms: 5.0,
            tau_syn_in_ms: 10.0,
            i_e_pa: 0.0,
        }
    }
}

/// Numbers that must be above zero, and those that must be finite.
type Checks<'a> = (&'a [(&'static str, f64)], &'a [(&'static str, f64)]);

fn numbers(place: &str, (above, finite): Checks<'_>) -> Result<()> {
    for &(setting, value) in above {
        if !(value > 0.0 && value.is_finite()) {
            return Err(wrong(place, setting, value, "a finite number above 0"));
        }
    }
    for &(setting, value) in finite {
        if !value.is_finite() {
            return Err(wrong(place, setting, value, "a finite number"));
        }
    }
    Ok(())
}

fn refractory(place: &str, t_ref_ms: f64, dt_ms: f64) -> Result<()> {
    match t_ref_ms / dt_ms {
        steps if (0.0..1e6).contains(&steps) => Ok(()),
        _ => Err(wrong(place, "t_ref_ms", t_ref_ms, "0 to a million steps")),
    }
}

fn below(place: &str, reset: f64, (name, threshold): (&str, f64)) -> Result<()> {
    match reset < threshold {
        true => Ok(()),
        false => Err(wrong(place, "v_reset_mv", reset, format!("less than {name}, {threshold}"))),
    }
}

impl Model {
    /// NEST's name of the model.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::IafPscDelta(_) => "iaf_psc_delta",
            Self::IafPscExp(_) => "iaf_psc_exp",
            Self::IafPscAlpha(_) => "iaf_psc_alpha",
            Self::IafCondExp(_) => "iaf_cond_exp",
            Self::IafCondAlpha(_) => "iaf_cond_alpha",
            Self::AeifCondExp(_) => "aeif_cond_exp",
            Self::AeifCondAlpha(_) => "aeif_cond_alpha",
            Self::Izhikevich(_) => "izhikevich",
            Self::HhPscAlpha(_) => "hh_psc_alpha",
            Self::HhCondExpTraub(_) => "hh_cond_exp_traub",
            Self::SpikeSource { .. } => "spike_generator",
            Self::PoissonSource { .. } => "poisson_generator",
        }
    }

    /// Whether the neurons only send.
    #[must_use]
    pub fn is_source(&self) -> bool {
        matches!(self, Self::SpikeSource { .. } | Self::PoissonSource { .. })
    }

    /// Whether weights are conductances.
    pub(crate) fn has_conductances(&self) -> bool {
        matches!(
            self,
            Self::IafCondExp(_)
                | Self::IafCondAlpha(_)
                | Self::AeifCondExp(_)
                | Self::AeifCondAlpha(_)
                | Self::HhCondExpTraub(_)
        )
    }

    /// Sums of input that a neuron has: one, or one for each receptor.
    pub(crate) fn planes(&self) -> usize {
        match self {
            Self::IafPscExp(leaky) | Self::IafPscAlpha(leaky)
                if leaky.tau_syn_ex_ms != leaky.tau_syn_in_ms =>
            {
                2
            }
            Self::HhPscAlpha(_) => 2,
            model if model.has_conductances() => 2,
            _ => 1,
        }
    }

    pub(crate) fn check(&self, place: &str, neurons: usize, dt_ms: f64) -> Result<()> {
        match self {
            Self::IafPscDelta(m) | Self::IafPscExp(m) | Self::IafPscAlpha(m) => {
                if m.tau_m_ms.is_nan() || m.tau_m_ms <= 0.0 {
                    return Err(wrong(place, "tau_m_ms", m.tau_m_ms, "a number above 0, or infinity"));
                }
                let above = [
                    ("c_m_pf", m.c_m_pf),
                    ("tau_syn_ex_ms", m.tau_syn_ex_ms),
                    ("tau_syn_in_ms", m.tau_syn_in_ms),
                ];
                let finite = [("e_l_mv", m.e_l_mv), ("v_th_mv", m.v_th_mv), ("i_e_pa", m.i_e_pa)];
                numbers(place, (&above, &finite))?;
                numbers(place, (&[], &[("v_reset_mv", m.v_reset_mv)]))?;
                below(place, m.v_reset_mv, ("v_th_mv", m.v_th_mv))?;
                refractory(place, m.t_ref_ms, dt_ms)
            }
            Self::IafCondExp(m) | Self::IafCondAlpha(m) => {
                let above = [
                    ("c_m_pf", m.c_m_pf),
                    ("g_l_ns", m.g_l_ns),
                    ("tau_syn_ex_ms", m.tau_syn_ex_ms),
                    ("tau_syn_in_ms", m.tau_syn_in_ms),
                ];
                let finite = [
                    ("e_l_mv", m.e_l_mv),
                    ("v_th_mv", m.v_th_mv),
                    ("v_reset_mv", m.v_reset_mv),
                    ("e_ex_mv", m.e_ex_mv),
                    ("e_in_mv", m.e_in_mv),
                    ("i_e_pa", m.i_e_pa),
                ];
                numbers(place, (&above, &finite))?;
                below(place, m.v_reset_mv, ("v_th_mv", m.v_th_mv))?;
                refractory(place, m.t_ref_ms, dt_ms)
            }
            Self::AeifCondExp(m) | Self::AeifCondAlpha(m) => {
                let above = [
                    ("c_m_pf", m.c_m_pf),
                    ("g_l_ns", m.g_l_ns),
                    ("tau_w_ms", m.tau_w_ms),
                    ("tau_syn_ex_ms", m.tau_syn_ex_ms),
                    ("tau_syn_in_ms", m.tau_syn_in_ms),
                ];
                let finite = [
                    ("v_reset_mv", m.v_reset_mv),
                    ("e_l_mv", m.e_l_mv),
                    ("i_e_pa", m.i_e_pa),
                    ("a_ns", m.a_ns),
                    ("b_pa", m.b_pa),
                    ("v_th_mv", m.v_th_mv),
                    ("v_peak_mv", m.v_peak_mv),
                    ("e_ex_mv", m.e_ex_mv),
                    ("e_in_mv", m.e_in_mv),
                    ("w_start_pa", m.w_start_pa),
                ];
                numbers(place, (&above, &finite))?;
                below(place, m.v_reset_mv, ("v_peak_mv", m.v_peak_mv))?;
                if m.v_peak_mv < m.v_th_mv {
                    let expected = format!("at least v_th_mv, {}", m.v_th_mv);
                    return Err(wrong(place, "v_peak_mv", m.v_peak_mv, expected));
                }
                // The exponential at the peak must leave room for what follows.
                let steep = (m.v_peak_mv - m.v_th_mv) / m.delta_t_mv < 600.0;
                if !(m.delta_t_mv == 0.0 || m.delta_t_mv > 0.0 && steep) {
                    let expected = "0, or enough that exp((v_peak - v_th) / delta_t) is finite";
                    return Err(wrong(place, "delta_t_mv", m.delta_t_mv, expected));
                }
                refractory(place, m.t_ref_ms, dt_ms)
            }
            Self::Izhikevich(m) => {
                let finite = [
                    ("a", m.a),
                    ("b", m.b),
                    ("c_mv", m.c_mv),
                    ("d", m.d),
                    ("i_e", m.i_e),
                    ("v_th_mv", m.v_th_mv),
                    ("u_start", m.u_start),
                ];
                numbers(place, (&[], &finite))
            }
            Self::HhPscAlpha(m) | Self::HhCondExpTraub(m) => {
                let above = [
                    ("c_m_pf", m.c_m_pf),
                    ("tau_syn_ex_ms", m.tau_syn_ex_ms),
                    ("tau_syn_in_ms", m.tau_syn_in_ms),
                ];
                let finite = [
                    ("g_na_ns", m.g_na_ns),
                    ("g_k_ns", m.g_k_ns),
                    ("g_l_ns", m.g_l_ns),
                    ("e_na_mv", m.e_na_mv),
                    ("e_k_mv", m.e_k_mv),
                    ("e_l_mv", m.e_l_mv),
                    ("v_t_mv", m.v_t_mv),
                    ("e_ex_mv", m.e_ex_mv),
                    ("e_in_mv", m.e_in_mv),
                    ("i_e_pa", m.i_e_pa),
                ];
                numbers(place, (&above, &finite))?;
                refractory(place, m.t_ref_ms, dt_ms)
            }
            Self::SpikeSource { times_ms } => {
                if times_ms.len() != neurons && times_ms.len() != 1 {
                    let expected = format!("1, or {neurons}");
                    return Err(wrong(place, "the number of lists of times_ms", times_ms.len(), expected));
                }
                let sound = |time: &&f64| **time > 0.0 && **time / dt_ms < 1e15;
                match times_ms.iter().flatten().find(|time| !sound(time)) {
                    Some(time) => Err(wrong(place, "a time in times_ms", time, "a finite number above 0")),
                    None => Ok(()),
                }
            }
            Self::PoissonSource { rate_hz } => crate::inputs::check_rates(place, rate_hz, neurons, dt_ms),
        }
    }
}
