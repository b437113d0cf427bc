//! Units of the layers as the page shows them.

use gyrus_blueprint::{Image, Weights};
use gyrus_data::Features;
use gyrus_nn::{Network, floats};
use gyrus_report::{FeatureLayer, FeatureUnit, Link, Picture, SignedMap, TopExample, number};
use gyrus_vision::see::circuits::{Connection, Connections};
use gyrus_vision::see::gabor;
use gyrus_vision::see::{Layer, UnitStatistics};

use super::look::Part;
use super::pictures::{cut, middle_patch, picture_of_input, with_patch};
use super::{SeeNetwork, Seen, SeenEdges};
use crate::Result;

/// Connections of a unit that are shown, in each direction.
const LINKS: usize = 6;

/// The filters of the first layer, over the channels of the image.
pub(super) struct Filters {
    pub(super) layer: usize,
    pub(super) extents: [usize; 2],
    pub(super) channels: usize,
    /// `[units, channels, height, width]`
    pub(super) weights: Vec<f32>,
}

/// The filters of the first layer, where it is a convolution over the image, or reads every pixel.
pub(super) fn first_filters(network: &Network, layers: &[Layer], image: Image) -> Option<Filters> {
    let layer = layers.first()?;
    let blueprint = network.blueprint();
    let shapes = blueprint.shapes().ok()?;
    let node = &blueprint.nodes()[layer.weights];
    let name = format!("{}.weight", node.name);
    let parameter = network.parameters().iter().find(|parameter| parameter.name == name)?;
    let weights = floats(parameter.value.clone());
    match node.kind.weights(shapes.input(layer.weights))? {
        Weights::Convolution(geometry)
            if geometry.groups == 1 && geometry.input.channels == image.channels =>
        {
            Some(Filters { layer: 0, extents: geometry.kernel, channels: image.channels, weights })
        }
        // A flattened image is channels-first, as filters are.
        Weights::Linear { inputs, .. } if inputs == image.pixels() * image.channels && image.pixels() > 1 => {
            Some(Filters {
                layer: 0,
                extents: [image.height, image.width],
                channels: image.channels,
                weights,
            })
        }
        _ => None,
    }
}

/// All layers with the units that are shown.
pub(super) fn feature_layers(verb: &SeeNetwork, seen: &Seen<'_>, part: &Part) -> Vec<FeatureLayer> {
    let filters = first_filters(seen.network, &seen.layers, seen.image);
    let layers = seen.layers.iter().enumerate().map(|(index, layer)| {
        let own = filters.as_ref().filter(|filters| filters.layer == index);
        let shown = layer.units().min(verb.units);
        let units = (0..shown).map(|number| unit(seen, part, index, number, own)).collect();
        let shape = match layer.is_map() {
            true => format!(
                "{} units, each at {} × {} places",
                layer.units(),
                layer.image.height,
                layer.image.width
            ),
            false => format!("{} units", layer.units()),
        };
        let sees = match layer.field {
            Some(field) => format!("sees {} × {} pixels", field.size[0], field.size[1]),
            None => "sees the whole picture".to_owned(),
        };
        FeatureLayer {
            name: layer.name.clone(),
            detail: format!("{shape}, {sees}"),
            units,
            unit_count: layer.units(),
        }
    });
    layers.collect()
}

fn unit(seen: &Seen<'_>, part: &Part, index: usize, number: usize, filters: Option<&Filters>) -> FeatureUnit {
    let layer = &seen.layers[index];
    let statistics = &seen.looked.statistics[index].units[number];
    let is_answer = index + 1 == seen.layers.len() && layer.units() == seen.answers.len();
    let best = seen.best[index].as_ref().and_then(|best| {
        let elements = seen.image.pixels() * seen.image.channels;
        let picture = picture_of_input(
            best.images.get(number * elements..)?.get(..elements)?,
            &seen.record.preprocessing,
        )?;
        Some(match middle_patch(layer, seen.image) {
            Some(patch) => cut(&picture, patch),
            None => picture,
        })
    });
    let links =
        |connections: Vec<&Connection>, of: &Connections, other: usize, is_below: bool| -> Vec<Link> {
            let link = |connection: &&Connection| Link {
                layer: other,
                unit: if is_below { connection.from } else { connection.to },
                sum: connection.sum,
                norm: connection.norm,
                weights: SignedMap {
                    height: of.extents[0],
                    width: of.extents[1],
                    channels: 1,
                    values: connection.weights.clone(),
                },
            };
            connections.iter().map(link).collect()
        };
    let (mut below, mut above) = (Vec::new(), Vec::new());
    for of in &seen.connections {
        if of.above == index {
            below.extend(links(of.into_unit(number, LINKS), of, of.below, true));
        }
        if of.below == index {
            above.extend(links(of.out_of_unit(number, LINKS), of, of.above, false));
        }
    }
    for links in [&mut below, &mut above] {
        links.sort_by(|a, b| b.norm.total_cmp(&a.norm));
        links.truncate(LINKS);
    }
    FeatureUnit {
        number,
        name: is_answer.then(|| seen.answers[number].clone()),
        filter: filters.map(|filters| filter(filters, number)),
        best,
        triggered: triggered(seen, index, number),
        top: top(seen, part, layer, statistics),
        facts: facts(seen, index, number, statistics),
        below,
        above,
    }
}

/// What excites a unit on average, less what there is on average.
fn triggered(seen: &Seen<'_>, index: usize, number: usize) -> Option<SignedMap> {
    let of = seen.looked.triggered[index].as_ref()?;
    let Image { height, width, channels } = of.image;
    let elements = height * width * channels;
    let values = of.averages.get(number * elements..)?.get(..elements)?;
    Some(reduced(SignedMap { height, width, channels, values: values.to_vec() }))
}

/// A map of at most [`LARGEST_MAP`] rows and columns: each of its values is the mean of a square of the map's.
fn reduced(map: SignedMap) -> SignedMap {
    /// More than the page shows of it.
    const LARGEST_MAP: usize = 96;
    let side = map.height.max(map.width).div_ceil(LARGEST_MAP);
    if side <= 1 {
        return map;
    }
    let (height, width, channels) = (map.height.div_ceil(side), map.width.div_ceil(side), map.channels);
    let mut values = Vec::with_capacity(height * width * channels);
    for row in 0..height {
        for column in 0..width {
            let rows = row * side..(row * side + side).min(map.height);
            let columns = column * side..(column * side + side).min(map.width);
            let count = (rows.len() * columns.len()) as f32;
            for channel in 0..channels {
                let of_row = |y: usize| {
                    let at = move |x: usize| (y * map.width + x) * channels + channel;
                    columns.clone().map(|x| map.values[at(x)]).sum::<f32>()
                };
                values.push(rows.clone().map(of_row).sum::<f32>() / count);
            }
        }
    }
    SignedMap { height, width, channels, values }
}

/// A filter with its channels last.
fn filter(filters: &Filters, number: usize) -> SignedMap {
    let [height, width] = filters.extents;
    let elements = filters.channels * height * width;
    let own = &filters.weights[number * elements..][..elements];
    let image = Image { height, width, channels: filters.channels };
    SignedMap { height, width, channels: filters.channels, values: image.channels_last(own) }
}

/// The training examples that excite a unit most.
fn top(seen: &Seen<'_>, part: &Part, layer: &Layer, statistics: &UnitStatistics) -> Vec<TopExample> {
    let Features::Images(images) = &seen.dataset.train.features else { return Vec::new() };
    let extents = [seen.image.height, seen.image.width];
    let of = statistics.top.iter().filter(|excitation| excitation.value > 0.0 || !seen.layers[0].is_map());
    let examples = of.filter_map(|excitation| {
        let index = *part.train.get(excitation.example)? as usize;
        let picture = Picture {
            pixels: images.get(index)?.to_vec(),
            height: images.height,
            width: images.width,
            channels: images.channels,
        };
        let patch = layer.field.map(|field| field.patch([excitation.row, excitation.column], extents));
        let is_part =
            |patch: &gyrus_vision::see::Patch| patch.height < extents[0] || patch.width < extents[1];
        let (picture, patch) = with_patch(picture, patch.filter(is_part));
        let label = match &seen.dataset.train.targets {
            gyrus_data::Targets::Classes(classes) => {
                seen.classes.get(classes[index] as usize).cloned().unwrap_or_default()
            }
            gyrus_data::Targets::Values(values) => number(f64::from(values[index])),
        };
        Some(TopExample { picture, patch, value: excitation.value.into(), label })
    });
    let mut examples: Vec<TopExample> = examples.collect();
    // Patches at an edge may be smaller; one strip holds pictures of one size.
    if let Some((height, width)) = examples.first().map(|first| (first.picture.height, first.picture.width)) {
        examples.retain(|example| (example.picture.height, example.picture.width) == (height, width));
    }
    examples
}

fn facts(
    seen: &Seen<'_>,
    index: usize,
    unit: usize,
    statistics: &UnitStatistics,
) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let (Some(selectivity), Some(class)) = (statistics.selectivity, statistics.preferred_class) {
        facts.push(("prefers", seen.classes.get(class).cloned().unwrap_or_default()));
        facts.push(("class selectivity", format!("{selectivity:.2}")));
    }
    if let Some(sparseness) = statistics.sparseness {
        facts.push(("sparseness", format!("{sparseness:.2}")));
    }
    facts.push(("active in examples", format!("{:.0} %", 100.0 * statistics.active)));
    facts.push(("mean activation", number(statistics.mean)));
    let edges = seen.edges.as_ref().filter(|_| index == 0);
    if let Some(fit) = edges.and_then(|edges| edges.fits.get(unit)?.as_ref()) {
        facts.push(("Gabor fit", format!("{:.2}", fit.quality)));
        facts.push(("orientation", format!("{:.0}°", fit.orientation_degrees)));
        facts.push(("cycles per pixel", format!("{:.2}", fit.frequency)));
    }
    facts
}

/// Gabor functions fitted to the first layer, where its weights are filters over the image.
pub(super) fn edges(network: &Network, layers: &[Layer], image: Image) -> Result<Option<SeenEdges>> {
    /// Filters of noise.
    const BY_CHANCE: usize = 200;
    let Some(filters) = first_filters(network, layers, image) else { return Ok(None) };
    let [height, width] = filters.extents;
    if height < 3 || width < 3 {
        return Ok(None);
    }
    let profiles: Vec<f32> = (filters.weights.chunks_exact(filters.channels * height * width))
        .flat_map(|filter| gabor::spatial_profile(filter, filters.channels).0)
        .collect();
    let fits = gabor::fit_all(&profiles, filters.extents);
    let edge_detectors = fits.iter().flatten().filter(|fit| fit.is_edge_detector()).count();
    Ok(Some(SeenEdges {
        layer: layers[filters.layer].name.clone(),
        extents: filters.extents,
        fits,
        edge_detectors,
        by_chance: gabor::random_quality(filters.extents, BY_CHANCE, 0),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_map_is_reduced_to_the_means_of_its_squares() {
        let map = |height: usize, width: usize| {
            let values = (0..height * width * 3).map(|i| (i % 3) as f32 + (i / 3 / width) as f32).collect();
            SignedMap { height, width, channels: 3, values }
        };
        assert_eq!(reduced(map(96, 5)), map(96, 5));
        let small = reduced(map(193, 5));
        assert_eq!((small.height, small.width, small.values.len()), (65, 2, 65 * 2 * 3));
        // The mean of rows 0 to 2 and channel 0, and the last row alone.
        assert_eq!(small.values[0], 1.0);
        assert_eq!(small.values[small.values.len() - 3], 192.0);
    }
}
