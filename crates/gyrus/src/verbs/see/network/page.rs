//! The page of a network: what was seen, as plain data for its rendering.

use gyrus_report::{
    Decision, DepthPoint, Edges, FeaturesReport, LayerSpikes, Picture, SignedMap, Similarity, SpikesOverTime,
    grouped,
};

use super::look::Part;
use super::units::feature_layers;
use super::{Explained, SeeNetwork, SeeNetworkReport, Seen, name_of};
use crate::verbs::page_data;
use crate::verbs::ranking;

/// Answers of a decision that are shown, and units of a layer that it excites.
const ANSWERS: usize = 3;
const EXCITED: usize = 5;

pub(super) fn page(verb: &SeeNetwork, seen: &Seen<'_>, part: &Part, report: &SeeNetworkReport) -> String {
    let blueprint = seen.network.blueprint();
    let units: usize = seen.layers.iter().map(gyrus_vision::see::Layer::units).sum();
    let last = report.layers.last().and_then(|layer| layer.probe);
    let headline = match (report.accuracy, last) {
        (Some(accuracy), _) => {
            (format!("{:.1} %", 100.0 * accuracy), "of the test examples looked at are classified correctly")
        }
        (None, _) => (report.layers.len().to_string(), "layers"),
    };
    let mut facts = vec![
        ("layers", report.layers.len().to_string()),
        ("units", grouped(units as u128)),
        ("training examples shown", grouped(report.examples as u128)),
    ];
    if let Some(edges) = &report.edges {
        facts.push(("edge detectors", format!("{} of {}", edges.edge_detectors, edges.fits.len())));
    }
    let names: Vec<String> = ["input".to_owned()]
        .into_iter()
        .chain(report.layers.iter().map(|layer| layer.name.clone()))
        .collect();
    let input = DepthPoint {
        name: "input".to_owned(),
        probe_accuracy: report.input_probe.map(|probe| probe.accuracy),
        effective_dimension: seen.looked.grams.first().map(|gram| gram.participation_ratio()),
        field: Some([1, 1]),
        ..DepthPoint::default()
    };
    let layers = report.layers.iter().map(|layer| DepthPoint {
        name: layer.name.clone(),
        probe_accuracy: layer.probe.map(|probe| probe.accuracy),
        effective_dimension: Some(layer.effective_dimension),
        selectivity: layer.selectivity,
        sparseness: layer.sparseness,
        active: Some(layer.active),
        field: layer.receptive_field,
    });
    let beside = report.beside.as_ref().map(|beside| {
        let columns = ["input".to_owned()].into_iter().chain(beside.layers.iter().cloned()).collect();
        (name_of(&beside.run), Similarity { rows: names.clone(), columns, values: beside.similarity.clone() })
    });
    let mut provenance = match seen.family {
        None => page_data::provenance(seen.record),
        Some(family) => {
            vec![("Network", vec![("family", family.to_owned()), ("blueprint", blueprint.name.clone())])]
        }
    };
    provenance.insert(
        0,
        (
            "Looking",
            vec![
                ("run", verb.run.display().to_string()),
                ("training examples", grouped(report.examples as u128)),
                ("test examples of the probes", grouped(report.test_examples as u128)),
                ("seed", verb.seed.to_string()),
                ("time", gyrus_report::duration(report.seconds)),
            ],
        ),
    );
    FeaturesReport {
        name: &name_of(&verb.run),
        kind: &format!("{} · {} layers with weights", blueprint.name, report.layers.len()),
        headline,
        facts,
        depth: [input].into_iter().chain(layers).collect(),
        chance: seen.probed.chance,
        similarity: Some(Similarity {
            rows: names.clone(),
            columns: names,
            values: report.similarity.clone(),
        }),
        beside,
        edges: report.edges.as_ref().map(|edges| Edges {
            layer: edges.layer.clone(),
            extents: edges.extents,
            units: (edges.fits.iter().enumerate())
                .filter_map(|(unit, fit)| {
                    let fit = fit.as_ref()?;
                    let is_edge = fit.is_edge_detector();
                    Some((unit, fit.orientation_degrees, fit.frequency, fit.quality, is_edge))
                })
                .collect(),
            filters: edges.fits.len(),
            by_chance: edges.by_chance,
        }),
        layers: feature_layers(verb, seen, part),
        is_spiking: seen.network.spiking().is_some(),
        spikes: spikes(seen),
        attention: seen.attention.as_ref().and_then(|attended| attended.page(seen)),
        decisions: seen.explained.iter().map(|explained| decision(explained, seen)).collect(),
        provenance,
        notes: Vec::new(),
    }
    .to_html()
}

/// How many units fire at each place and step, layer by layer, for the first explained answer.
fn spikes(seen: &Seen<'_>) -> Option<SpikesOverTime> {
    let first = seen.explained.first().filter(|_| !seen.trains.is_empty())?;
    let layers = seen.trains.iter().map(|trains| {
        let layer = &seen.layers[trains.layer];
        // Features in rows of sixteen.
        let (height, width, channels) = match layer.is_map() {
            true => (layer.image.height, layer.image.width, layer.units()),
            false => (layer.units().div_ceil(16), layer.units().min(16), 1),
        };
        let neurons = layer.image.pixels() * layer.units();
        let counts = trains.spikes.chunks_exact(neurons.max(1)).flat_map(|step| {
            let mut counts: Vec<u32> = step
                .chunks(channels)
                .map(|place| place.iter().filter(|spike| **spike != 0).count() as u32)
                .collect();
            counts.resize(height * width, 0);
            counts
        });
        let fired =
            |neuron: usize| trains.spikes.iter().skip(neuron).step_by(neurons).any(|spike| *spike != 0);
        LayerSpikes {
            name: layer.name.clone(),
            height,
            width,
            steps: trains.steps,
            counts: counts.collect(),
            most: channels as u32,
            active: (0..neurons).filter(|neuron| fired(*neuron)).count(),
            neurons,
        }
    });
    Some(SpikesOverTime { title: first.decision.name.clone(), layers: layers.collect() })
}

fn decision(explained: &Explained, seen: &Seen<'_>) -> Decision {
    let order = ranking(&explained.probabilities);
    let answers = order.into_iter().take(ANSWERS);
    let answers = answers
        .map(|class| (seen.answers[class].clone(), f64::from(explained.probabilities[class])))
        .collect();
    let maps = explained.maps.iter().map(|(name, map)| {
        let image = map.image;
        let values = map.pixels(0);
        (*name, SignedMap { height: image.height, width: image.width, channels: 1, values })
    });
    // Units differ in scale: a response counts as a share of the unit's largest one.
    let excited = explained.responses.iter().enumerate().map(|(layer, responses)| {
        let statistics = &seen.looked.statistics[layer].units;
        let score = |unit: usize| {
            let most = statistics[unit].top.first().map_or(0.0, |top| f64::from(top.value));
            if most > 0.0 { f64::from(responses[unit]) / most } else { 0.0 }
        };
        let mut units: Vec<usize> = (0..responses.len()).filter(|unit| responses[*unit] > 0.0).collect();
        units.sort_by(|a, b| score(*b).total_cmp(&score(*a)).then(a.cmp(b)));
        (layer, units.into_iter().take(EXCITED).map(|unit| (unit, f64::from(responses[unit]))).collect())
    });
    let mut maps: Vec<_> = maps.collect();
    if let Some((grid, shares)) = &explained.rollout {
        let (height, width) = (grid.height, grid.width);
        maps.push(("attention rollout", SignedMap { height, width, channels: 1, values: shares.clone() }));
    }
    Decision {
        title: explained.decision.name.clone(),
        truth: explained.decision.truth.clone(),
        answers,
        picture: Picture {
            pixels: explained.pixels.clone(),
            height: seen.image.height,
            width: seen.image.width,
            channels: seen.image.channels,
        },
        maps,
        completeness_error: explained.decision.completeness_error,
        excited: excited.collect(),
    }
}
