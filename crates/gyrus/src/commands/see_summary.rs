//! What `gyrus see` says of a network's layers in the terminal.

use gyrus::SeeNetworkReport;

use crate::exit::Failure;
use crate::output::say;

/// Layers as a table, edge detectors, answers.
pub(super) fn network(report: &SeeNetworkReport) -> Result<(), Failure> {
    let width = report.layers.iter().map(|layer| layer.name.chars().count()).max().unwrap_or(0).max(5);
    let percent =
        |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1} %", 100.0 * value));
    let two = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    say(format_args!(
        "{:<width$}  {:>6}  {:>9}  {:>12}  {:>9}  {:>11}  {:>10}",
        "layer", "units", "sees", "linear probe", "dimension", "selectivity", "sparseness"
    ))?;
    let probe = report.input_probe.map(|probe| probe.accuracy);
    say(format_args!("{:<width$}  {:>6}  {:>9}  {:>12}", "input", "", "", percent(probe)))?;
    for layer in &report.layers {
        let sees =
            layer.receptive_field.map_or("all".to_owned(), |[rows, columns]| format!("{rows} x {columns}"));
        say(format_args!(
            "{:<width$}  {:>6}  {sees:>9}  {:>12}  {:>9.1}  {:>11}  {:>10}",
            layer.name,
            layer.units.len(),
            percent(layer.probe.map(|probe| probe.accuracy)),
            layer.effective_dimension,
            two(layer.selectivity),
            two(layer.sparseness),
        ))?;
    }
    if let Some(edges) = &report.edges {
        say(format_args!(
            "\n{} of {} filters of {} are edge detectors ({:.0} % of filters of noise would be)",
            edges.edge_detectors,
            edges.fits.len(),
            edges.layer,
            100.0 * edges.by_chance
        ))?;
    }
    if !report.decisions.is_empty() {
        say("")?;
    }
    for decision in &report.decisions {
        let truth = match &decision.truth {
            Some(truth) if *truth != decision.class => format!(", but is {truth}"),
            _ => String::new(),
        };
        say(format_args!(
            "{}: {} ({:.1} %){truth}",
            decision.name,
            decision.class,
            100.0 * decision.probability
        ))?;
    }
    Ok(())
}
