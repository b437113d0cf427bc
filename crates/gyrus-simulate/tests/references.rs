//! Reference traces that others published, from `$GYRUS_DATA/simulate/nest`.

use std::io::Read;
use std::ops::ControlFlow;

use gyrus_simulate::{
    Adaptive, Circuit, Input, InputKind, Leaky, Model, Population, Precision, Simulation, Variable,
};

/// A variable of a single neuron at the end of each step.
fn traces(population: Population, dt_ms: f64, steps: u64, variables: &[Variable]) -> Vec<Vec<f64>> {
    let circuit =
        Circuit { populations: vec![population], dt_ms, precision: Precision::Double, ..Circuit::default() };
    let mut simulation = Simulation::new(&circuit).unwrap();
    variables.iter().for_each(|variable| simulation.record(0, *variable).unwrap());
    simulation.run(steps, |_, _| ControlFlow::Continue(())).unwrap();
    simulation.take_traces().into_iter().map(|trace| trace.values).collect()
}

/// NEST's own test of `iaf_psc_alpha` holds these numbers, to six digits.
#[test]
fn iaf_psc_alpha_goes_through_the_published_potentials() {
    let Some(path) = crate::common::data("nest/iaf_psc_alpha_reference.csv") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let neuron = |i_e_pa| Population::new("n", 1, Model::IafPscAlpha(Leaky { i_e_pa, ..Leaky::default() }));
    let generator = Input::always(InputKind::Current { amplitude_pa: 1000.0, delay_ms: 0.1 });
    let with_generator = Population { inputs: vec![generator], ..neuron(0.0) };
    let mut compared = 0;
    for (run, population) in [("dc_generator", with_generator), ("I_e", neuron(1000.0))] {
        let got = traces(population, 0.1, 100, &[Variable::Potential]).remove(0);
        for row in text.lines().filter(|line| line.starts_with(run)) {
            let numbers: Vec<f64> = row.split(',').skip(1).map(|cell| cell.parse().unwrap()).collect();
            let step = (numbers[0] / 0.1).round() as usize;
            let own = got[step - 1];
            assert!(
                (own - numbers[1]).abs() <= 5.1e-5,
                "{run} at {} ms: {own} for {}",
                numbers[0],
                numbers[1]
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 40);
}

/// The adaptive exponential neuron beside LSODAR's solution, within the tolerances of NEST's test.
#[test]
fn the_adaptive_neuron_follows_lsodar() {
    let Some(path) = crate::common::data("nest/aeif_lsodar.csv.gz") else { return };
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let rows: Vec<Vec<f64>> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|cell| cell.trim().parse().unwrap()).collect())
        .collect();
    let model = Adaptive {
        c_m_pf: 200.0,
        g_l_ns: 11.0,
        e_l_mv: -70.0,
        v_th_mv: -50.0,
        v_reset_mv: -58.0,
        v_peak_mv: 0.0,
        delta_t_mv: 2.0,
        tau_w_ms: 300.0,
        a_ns: 3.0,
        b_pa: 0.0,
        i_e_pa: 420.0,
        w_start_pa: 5.0,
        ..Adaptive::default()
    };
    let (dt_ms, steps) = (0.01, 9900u64);
    let got = traces(
        Population::new("n", 1, Model::AeifCondAlpha(model)),
        dt_ms,
        steps,
        &[Variable::Potential, Variable::Adaptation],
    );
    for (column, tolerance) in [(1, 5e-4), (2, 1e-4)] {
        let (mut sum, mut count) = (0.0, 0.0f64);
        for (step, own) in got[column - 1].iter().enumerate() {
            let time = (step + 1) as f64 * dt_ms;
            let after = rows.partition_point(|row| row[0] < time).clamp(1, rows.len() - 1);
            let (low, high) = (&rows[after - 1], &rows[after]);
            let share = (time - low[0]) / (high[0] - low[0]);
            let expected = low[column] + share * (high[column] - low[column]);
            sum += ((own - expected) / expected).abs();
            count += 1.0;
        }
        let apart = sum / count;
        println!("column {column}: mean relative difference {apart:.2e}");
        assert!(apart < tolerance, "column {column}: {apart}");
    }
}
