//! Which settings of a model are possible.

use super::{Conductance, Model, MovingThreshold};
use crate::error::{Result, wrong};

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

impl MovingThreshold {
    fn check(&self, place: &str, neurons: usize) -> Result<()> {
        let count = self.start_mv.len();
        if count != 1 && count != neurons {
            return Err(wrong(place, "the number of start_mv", count, format!("1, or {neurons}")));
        }
        let sound = |value: &&f64| value.is_finite() && **value >= 0.0;
        if let Some(value) = self.start_mv.iter().chain([&self.plus_mv]).find(|value| !sound(value)) {
            return Err(wrong(place, "a moving threshold", value, "finite numbers of at least 0 mV"));
        }
        match self.tau_ms > 0.0 {
            true => Ok(()),
            false => Err(wrong(place, "tau_theta_ms", self.tau_ms, "a number above 0, or infinity")),
        }
    }
}

impl Model {
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
            Self::IafCondExpTheta(cell, moving) => {
                moving.check(place, neurons)?;
                // The reset lies below the threshold as it is at first.
                let theta = moving.start_mv.iter().copied().fold(0.0, f64::max);
                let raised = Conductance { v_th_mv: cell.v_th_mv + theta, ..*cell };
                Self::IafCondExp(raised).check(place, neurons, dt_ms)
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
