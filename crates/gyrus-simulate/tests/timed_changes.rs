//! Reward and homeostatic scaling from TOML.

use std::ops::ControlFlow;
use std::path::Path;

use gyrus_simulate::{CircuitFile, Link, Recording, Simulation, record};

fn text(synapse: &str, more: &str) -> String {
    format!(
        "resolution_ms = 0.1\n\n[[population]]\nname = \"in\"\nneurons = 30\nmodel = \"poisson_generator\"\nrate_hz = 30.0\n\n\
         [[population]]\nname = \"E\"\nneurons = 10\nmodel = \"iaf_psc_exp\"\n\n[[input]]\ndevice = \"poisson_generator\"\n\
         target = \"E\"\nrate_hz = 9000.0\nweight_pA = 60.0\n\n[[projection]]\nsource = \"in\"\ntarget = \"E\"\nrule = \"all_to_all\"\n\
         weight_pA = 20.0\ndelay_ms = 1.5\nsynapse = \"stdp_synapse\"\nWmax_pA = 60.0\nlambda = 0.05\n{synapse}\n{more}"
    )
}

fn weights(text: &str, steps: u64) -> (Vec<Link>, Recording) {
    let file = CircuitFile::parse(text, Path::new("")).unwrap();
    let mut simulation = Simulation::new(&file.circuit).unwrap();
    let watch = &mut |_: &gyrus_simulate::Progress<'_>| ControlFlow::Continue(());
    let recording =
        record(&mut simulation, &file, Recording::default(), steps, f64::INFINITY, watch).unwrap();
    assert!(recording.spikes.len() > 100);
    (simulation.weights(0), recording)
}

fn sums(links: &[Link]) -> Vec<f64> {
    let mut sums = vec![0.0; 10];
    links.iter().for_each(|link| sums[link.target as usize] += link.weight);
    sums
}

#[test]
fn without_reward_nothing_is_learned_and_with_it_weights_move() {
    let eligible = "tau_eligibility_ms = 200.0";
    let reward = |times: &str, amount: f64| {
        format!("[[reward]]\nsource = \"in\"\ntarget = \"E\"\ntimes_ms = {times}\namount = {amount}\n")
    };
    let (untouched, _) = weights(&text(eligible, ""), 3000);
    assert!(untouched.iter().all(|link| link.weight == 20.0));
    // The reward comes at its step, and not later than the end.
    let (late, _) = weights(&text(eligible, &reward("[300.1]", 1.0)), 3000);
    assert_eq!(late, untouched);
    let (praised, _) = weights(&text(eligible, &reward("[123.4, 300.0]", 1.0)), 3000);
    let (blamed, _) = weights(&text(eligible, &reward("[123.4, 300.0]", -1.0)), 3000);
    let moved = |links: &[Link]| links.iter().map(|link| link.weight - 20.0).collect::<Vec<_>>();
    let (praise, blame) = (moved(&praised), moved(&blamed));
    assert!(praise.iter().any(|by| by.abs() > 0.5), "{praise:?}");
    let opposite = praise.iter().zip(&blame).filter(|(a, b)| *a * *b < 0.0).count();
    assert!(opposite > praise.len() / 2, "{opposite} of {}", praise.len());
}

#[test]
fn homeostasis_keeps_the_sum_onto_each_target() {
    let more =
        "[[homeostasis]]\nsource = \"in\"\ntarget = \"E\"\ntotal_weight_pA = 900.0\ninterval_ms = 50.0\n";
    let (links, recording) = weights(&text("", more), 2000);
    assert!(sums(&links).iter().all(|sum| (sum - 900.0).abs() < 0.01), "{:?}", sums(&links));
    assert_eq!(recording.steps, 2000);
    // Between two scalings they drift.
    let (links, _) = weights(&text("", more), 2300);
    assert!(sums(&links).iter().any(|sum| (sum - 900.0).abs() > 0.05), "{:?}", sums(&links));
}

#[test]
fn what_cannot_change_is_refused_with_its_line() {
    let refused = |text: &str| CircuitFile::parse(text, Path::new("")).unwrap_err().to_string();
    let reward = "[[reward]]\nsource = \"in\"\ntarget = \"E\"\ntimes_ms = [10.0]\namount = 1.0\n";
    let error = refused(&text("", reward));
    assert!(error.contains("line ") && error.contains("tau_eligibility_ms"), "{error}");
    let eligible = "tau_eligibility_ms = 200.0";
    let error = refused(&text(eligible, &reward.replace("10.0", "-1.0")));
    assert!(error.contains("times_ms"), "{error}");
    let error = refused(&text(eligible, &reward.replace("target = \"E\"", "target = \"in\"")));
    assert!(error.contains("no projection between these populations"), "{error}");
    let scaling =
        "[[homeostasis]]\nsource = \"in\"\ntarget = \"E\"\ntotal_weight = 9.0\ninterval_ms = 50.0\n";
    let error = refused(&text("", scaling));
    assert!(error.contains("total_weight_pA"), "{error}");
    let static_text = text("", &scaling.replace("total_weight", "total_weight_pA"))
        .replace("synapse = \"stdp_synapse\"\nWmax_pA = 60.0\nlambda = 0.05\n", "");
    assert!(refused(&static_text).contains("share one weight"));
}
