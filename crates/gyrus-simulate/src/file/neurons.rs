//! Neuron models by their names and parameters in NEST.

use super::fields::{Fields, at};
use crate::{Adaptive, Conductance, HodgkinHuxley, Izhikevich, Leaky, Model, MovingThreshold, Result};

/// The models, for messages.
pub(super) const NAMES: [&str; 13] = [
    "iaf_psc_delta",
    "iaf_psc_exp",
    "iaf_psc_alpha",
    "iaf_cond_exp",
    "iaf_cond_exp_theta",
    "iaf_cond_alpha",
    "aeif_cond_exp",
    "aeif_cond_alpha",
    "izhikevich",
    "hh_psc_alpha",
    "hh_cond_exp_traub",
    "spike_generator",
    "poisson_generator",
];

/// The model of a population with its parameters; those that are not given are NEST's defaults.
pub(super) fn model(name: &str, line: usize, fields: &mut Fields<'_>) -> Result<Model> {
    Ok(match name {
        "iaf_psc_delta" => Model::IafPscDelta(leaky(fields, false)?),
        "iaf_psc_exp" => Model::IafPscExp(leaky(fields, true)?),
        "iaf_psc_alpha" => Model::IafPscAlpha(leaky(fields, true)?),
        "iaf_cond_exp" => Model::IafCondExp(conductance(fields)?),
        "iaf_cond_exp_theta" => {
            let mut moving = MovingThreshold { start_mv: vec![0.0], plus_mv: 0.05, tau_ms: 1e7 };
            set(fields, "theta_start_mV", &mut moving.start_mv[0])?;
            set(fields, "theta_plus_mV", &mut moving.plus_mv)?;
            set(fields, "tau_theta_ms", &mut moving.tau_ms)?;
            Model::IafCondExpTheta(conductance(fields)?, moving)
        }
        "iaf_cond_alpha" => Model::IafCondAlpha(conductance(fields)?),
        "aeif_cond_exp" => Model::AeifCondExp(adaptive(fields)?),
        "aeif_cond_alpha" => Model::AeifCondAlpha(adaptive(fields)?),
        "izhikevich" => Model::Izhikevich(izhikevich(fields)?),
        "hh_psc_alpha" => Model::HhPscAlpha(hodgkin_huxley(fields, HodgkinHuxley::default(), false)?),
        "hh_cond_exp_traub" => Model::HhCondExpTraub(hodgkin_huxley(fields, HodgkinHuxley::traub(), true)?),
        "spike_generator" => {
            let times_ms = fields.rows("spike_times_ms")?.ok_or_else(|| fields.missing("spike_times_ms"))?;
            Model::SpikeSource { times_ms }
        }
        "poisson_generator" => {
            let rate = fields.number("rate_hz")?.ok_or_else(|| fields.missing("rate_hz"))?;
            Model::PoissonSource { rate_hz: vec![rate] }
        }
        _ => {
            let near = NAMES
                .iter()
                .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
            let hint = match near.filter(|near| strsim::jaro_winkler(near, name) > 0.85) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("expected one of {}", NAMES.join(", ")),
            };
            return Err(at(line, format!("{}: unknown model `{name}`; {hint}", fields.place)));
        }
    })
}

fn set(fields: &mut Fields<'_>, key: &str, value: &mut f64) -> Result<()> {
    if let Some(given) = fields.number(key)? {
        *value = given;
    }
    Ok(())
}

fn leaky(fields: &mut Fields<'_>, with_currents: bool) -> Result<Leaky> {
    let mut own = Leaky::default();
    set(fields, "C_m_pF", &mut own.c_m_pf)?;
    set(fields, "tau_m_ms", &mut own.tau_m_ms)?;
    set(fields, "t_ref_ms", &mut own.t_ref_ms)?;
    set(fields, "E_L_mV", &mut own.e_l_mv)?;
    set(fields, "V_th_mV", &mut own.v_th_mv)?;
    set(fields, "V_reset_mV", &mut own.v_reset_mv)?;
    set(fields, "I_e_pA", &mut own.i_e_pa)?;
    if with_currents {
        set(fields, "tau_syn_ex_ms", &mut own.tau_syn_ex_ms)?;
        set(fields, "tau_syn_in_ms", &mut own.tau_syn_in_ms)?;
    }
    Ok(own)
}

fn conductance(fields: &mut Fields<'_>) -> Result<Conductance> {
    let mut own = Conductance::default();
    set(fields, "C_m_pF", &mut own.c_m_pf)?;
    set(fields, "g_L_nS", &mut own.g_l_ns)?;
    set(fields, "E_L_mV", &mut own.e_l_mv)?;
    set(fields, "V_th_mV", &mut own.v_th_mv)?;
    set(fields, "V_reset_mV", &mut own.v_reset_mv)?;
    set(fields, "t_ref_ms", &mut own.t_ref_ms)?;
    set(fields, "E_ex_mV", &mut own.e_ex_mv)?;
    set(fields, "E_in_mV", &mut own.e_in_mv)?;
    set(fields, "tau_syn_ex_ms", &mut own.tau_syn_ex_ms)?;
    set(fields, "tau_syn_in_ms", &mut own.tau_syn_in_ms)?;
    set(fields, "I_e_pA", &mut own.i_e_pa)?;
    Ok(own)
}

fn adaptive(fields: &mut Fields<'_>) -> Result<Adaptive> {
    let mut own = Adaptive::default();
    set(fields, "C_m_pF", &mut own.c_m_pf)?;
    set(fields, "t_ref_ms", &mut own.t_ref_ms)?;
    set(fields, "V_reset_mV", &mut own.v_reset_mv)?;
    set(fields, "E_L_mV", &mut own.e_l_mv)?;
    set(fields, "g_L_nS", &mut own.g_l_ns)?;
    set(fields, "I_e_pA", &mut own.i_e_pa)?;
    set(fields, "a_nS", &mut own.a_ns)?;
    set(fields, "b_pA", &mut own.b_pa)?;
    set(fields, "Delta_T_mV", &mut own.delta_t_mv)?;
    set(fields, "tau_w_ms", &mut own.tau_w_ms)?;
    set(fields, "V_th_mV", &mut own.v_th_mv)?;
    set(fields, "V_peak_mV", &mut own.v_peak_mv)?;
    set(fields, "E_ex_mV", &mut own.e_ex_mv)?;
    set(fields, "tau_syn_ex_ms", &mut own.tau_syn_ex_ms)?;
    set(fields, "E_in_mV", &mut own.e_in_mv)?;
    set(fields, "tau_syn_in_ms", &mut own.tau_syn_in_ms)?;
    set(fields, "w_start_pA", &mut own.w_start_pa)?;
    Ok(own)
}

fn izhikevich(fields: &mut Fields<'_>) -> Result<Izhikevich> {
    let mut own = Izhikevich::default();
    set(fields, "a", &mut own.a)?;
    set(fields, "b", &mut own.b)?;
    set(fields, "c_mV", &mut own.c_mv)?;
    set(fields, "d", &mut own.d)?;
    set(fields, "I_e", &mut own.i_e)?;
    set(fields, "V_th_mV", &mut own.v_th_mv)?;
    set(fields, "u_start", &mut own.u_start)?;
    Ok(own)
}

fn hodgkin_huxley(
    fields: &mut Fields<'_>,
    mut own: HodgkinHuxley,
    with_conductances: bool,
) -> Result<HodgkinHuxley> {
    set(fields, "C_m_pF", &mut own.c_m_pf)?;
    set(fields, "t_ref_ms", &mut own.t_ref_ms)?;
    set(fields, "g_Na_nS", &mut own.g_na_ns)?;
    set(fields, "g_K_nS", &mut own.g_k_ns)?;
    set(fields, "g_L_nS", &mut own.g_l_ns)?;
    set(fields, "E_Na_mV", &mut own.e_na_mv)?;
    set(fields, "E_K_mV", &mut own.e_k_mv)?;
    set(fields, "E_L_mV", &mut own.e_l_mv)?;
    set(fields, "tau_syn_ex_ms", &mut own.tau_syn_ex_ms)?;
    set(fields, "tau_syn_in_ms", &mut own.tau_syn_in_ms)?;
    set(fields, "I_e_pA", &mut own.i_e_pa)?;
    if with_conductances {
        set(fields, "V_T_mV", &mut own.v_t_mv)?;
        set(fields, "E_ex_mV", &mut own.e_ex_mv)?;
        set(fields, "E_in_mV", &mut own.e_in_mv)?;
    }
    Ok(own)
}

/// The unit of weights onto a model, as in the names of keys; none where nothing can arrive.
pub(super) fn weight_unit(model: &Model) -> Option<&'static str> {
    match model {
        Model::IafPscDelta(_) | Model::Izhikevich(_) => Some("mV"),
        Model::IafPscExp(_) | Model::IafPscAlpha(_) | Model::HhPscAlpha(_) => Some("pA"),
        Model::SpikeSource { .. } | Model::PoissonSource { .. } => None,
        _ => Some("nS"),
    }
}
