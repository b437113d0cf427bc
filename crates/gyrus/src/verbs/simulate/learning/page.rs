//! The page of what was learned.

use gyrus_report::{
    Confusion, Edges, LearnedField, LearnedFieldsReport, Picture, compact, duration, grouped, number,
};
use gyrus_simulate::competition::Learned;

use super::edges::signed;
use super::{Judged, LearningReport};

pub(super) fn page(report: &LearningReport, learned: &Learned, judged: &Judged) -> String {
    let is_edges = report.edge_detectors.is_some();
    let headline = match (report.accuracy, report.edge_detectors) {
        (Some(accuracy), _) => (format!("{:.1} %", 100.0 * accuracy), "of the test images are recognized"),
        (None, Some(count)) => (format!("{count} of {}", report.neurons), "neurons became edge detectors"),
        (None, None) => (grouped(report.neurons as u128), "neurons"),
    };
    let facts = vec![
        ("neurons", grouped(report.neurons as u128)),
        ("inputs onto each", grouped(report.inputs as u128)),
        ("presentations", grouped(report.examples as u128)),
        ("spikes while learning", compact(report.spikes.into())),
        ("synaptic events", compact(report.synaptic_events.into())),
        ("simulated time", duration(report.simulated_seconds)),
        ("learning took", duration(report.learn_seconds)),
        ("answering took", duration(report.answer_seconds)),
    ];
    let [height, width] = judged.extents;
    let mut order: Vec<usize> = (0..report.neurons).collect();
    // By class, those without one last.
    let class = |neuron: usize| judged.classes.get(neuron).copied().flatten();
    order.sort_by_key(|&neuron| (class(neuron).unwrap_or(u32::MAX), neuron));
    let fields = order.into_iter().map(|neuron| {
        let weights = learned.field(neuron);
        let (values, signs) = if is_edges { (signed(&weights), true) } else { (weights, false) };
        let largest = values.iter().fold(1e-30f32, |largest, value| largest.max(value.abs()));
        let shade = |value: &f32| match signs {
            true => (127.5 + 127.5 * value / largest).round() as u8,
            false => (255.0 * value.max(0.0) / largest).round() as u8,
        };
        let fit = judged.fits.get(neuron).copied().flatten();
        let more = match (class(neuron), fit) {
            (Some(class), _) => format!(", stands for {}", judged.names[class as usize]),
            (None, Some(fit)) => format!(
                ", {:.0}°, {:.2} cycles per pixel, Gabor fit {:.2}",
                fit.orientation_degrees, fit.frequency, fit.quality
            ),
            (None, None) => String::new(),
        };
        let title = format!("neuron {neuron}{more}; threshold +{:.1} mV", learned.theta_mv[neuron]);
        let pixels = values.iter().map(shade).collect();
        let group = match (is_edges, class(neuron)) {
            (true, _) => String::new(),
            (false, Some(class)) => judged.names[class as usize].clone(),
            (false, None) => "never fired".to_owned(),
        };
        LearnedField { group, picture: Picture { pixels, height, width, channels: 1 }, title }
    });
    let edges = is_edges.then(|| Edges {
        layer: "the circuit".to_owned(),
        extents: judged.extents,
        units: (judged.fits.iter().enumerate())
            .filter_map(|(neuron, fit)| {
                let fit = fit.as_ref()?;
                Some((neuron, fit.orientation_degrees, fit.frequency, fit.quality, fit.is_edge_detector()))
            })
            .collect(),
        filters: judged.fits.len(),
        by_chance: report.by_chance.unwrap_or_default(),
    });
    let settings = vec![
        ("seed", report.request.seed.to_string()),
        ("scale", number(report.request.scale)),
        ("time step", "0.5 ms".to_owned()),
        ("data", report.request.data.clone().unwrap_or_else(|| report.task.to_owned())),
        ("Gyrus", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    LearnedFieldsReport {
        name: report.task,
        description: "Learned without labels: neurons compete, and the winner's synapses change with the times of spikes \
                      (after Diehl & Cook 2015)",
        status: report.status,
        headline,
        facts,
        curve: report.curve.clone(),
        fields: fields.collect(),
        fields_note: match is_edges {
            true => {
                "The weights onto each neuron: from inputs that fire where a patch is brighter than its surround (white) and darker \
                 (black)."
            }
            false => {
                "The weights onto each neuron, as an image; each scaled by its largest. Neurons got their classes after learning, by the \
                 images that they answered most."
            }
        },
        confusion: (!judged.confusion.is_empty())
            .then(|| Confusion { classes: &judged.names, counts: judged.confusion.clone() }),
        edges,
        notes: &report.notes,
        provenance: vec![("", settings)],
    }
    .to_html()
}
