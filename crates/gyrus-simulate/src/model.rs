//! Neuron models, with NEST's names, meanings and defaults.

mod check;

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
    /// `IafCondExp` with a threshold that rises with each spike and falls back (Diehl & Cook 2015,
    /// doi:10.3389/fncom.2015.00099); no model of NEST.
    IafCondExpTheta(Conductance, MovingThreshold),
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

/// A threshold that moves: it lies θ above the model's, θ grows by `plus_mv` with each spike, and decays with `tau_ms`.
#[derive(Clone, Debug, PartialEq)]
pub struct MovingThreshold {
    /// θ before the first step in mV: one for all neurons, or one for each.
    pub start_mv: Vec<f64>,
    /// Growth by a spike in mV.
    pub plus_mv: f64,
    /// Time constant of the decay in ms; infinite for a threshold that never falls.
    pub tau_ms: f64,
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

impl Model {
    /// NEST's name of the model.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::IafPscDelta(_) => "iaf_psc_delta",
            Self::IafPscExp(_) => "iaf_psc_exp",
            Self::IafPscAlpha(_) => "iaf_psc_alpha",
            Self::IafCondExp(_) => "iaf_cond_exp",
            Self::IafCondExpTheta(..) => "iaf_cond_exp_theta",
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
                | Self::IafCondExpTheta(..)
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
}
