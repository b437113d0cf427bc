//! Examples and images whose answers are explained, and pictures for the page.

use std::path::PathBuf;

use gyrus_blueprint::Image;
use gyrus_data::{Dataset, Features, Preprocessing, Targets};
use gyrus_nn::Network;
use gyrus_report::Picture;
use gyrus_train::RunRecord;
use gyrus_vision::see::{Attribution, Layer, Method, Patch};

use super::{Explained, SeenDecision, attention, look};
use crate::observer::{Note, Observer};
use crate::verbs::ranking;
use crate::{Error, Result};

/// Places on the way of integrated gradients.
const STEPS: usize = 50;
/// The most examples that are explained without being asked for.
const EXPLAINED: usize = 10;
/// Up to this side a picture is shown whole, beyond it the part around a patch.
const WHOLE: usize = 64;

/// An input whose answer is to be explained.
pub(super) struct Example {
    name: String,
    truth: Option<String>,
    pixels: Vec<u8>,
}

/// The first test example of each class.
pub(super) fn one_of_each_class(dataset: &Dataset, test: &[u32], classes: &[String]) -> Vec<Example> {
    let (Features::Images(images), Targets::Classes(labels)) =
        (&dataset.test.features, &dataset.test.targets)
    else {
        return Vec::new();
    };
    let one = |class: usize| {
        let index = test.iter().copied().find(|index| labels[*index as usize] as usize == class)?;
        let pixels = images.get(index as usize)?.to_vec();
        Some(Example {
            name: format!("test example {}", index + 1),
            truth: classes.get(class).cloned(),
            pixels,
        })
    };
    (0..classes.len()).filter_map(one).take(EXPLAINED).collect()
}

/// Images from files, as the network sees them.
pub(super) fn of_files(
    files: &[PathBuf],
    preprocessing: &Preprocessing,
    observer: &mut dyn Observer,
) -> Result<Vec<Example>> {
    let mut all = Vec::with_capacity(files.len());
    for file in files {
        let seen = preprocessing.see_file(file)?;
        for note in &seen.notes {
            observer.note(&Note::Text(&format!("{}: {note}", file.display())));
        }
        all.push(Example { name: file.display().to_string(), truth: None, pixels: seen.pixels });
    }
    if all.is_empty() {
        return Err(Error::request("no image to explain"));
    }
    Ok(all)
}

/// The answer to an example and where it came from.
pub(super) fn explain(
    network: &Network,
    layers: &[Layer],
    last_map: Option<&Layer>,
    example: Example,
    (record, classes): (&RunRecord, &[String]),
) -> Result<Explained> {
    let input = record.preprocessing.normalize(&example.pixels);
    let mut responses = look::respond(network, layers, &input, 1)?;
    let logits = responses.pop().unwrap_or_default();
    let probabilities = softmax(&logits);
    let best = ranking(&probabilities).first().copied().unwrap_or(0);
    let responses =
        responses.iter().zip(layers).map(|(values, layer)| largest(values, layer.units())).collect();
    let mut maps = Vec::new();
    let mut completeness_error = None;
    let of = [best];
    if network.spiking().is_none() {
        let integrated =
            Attribution::new(network, &input, &of, Method::IntegratedGradients { steps: STEPS })?;
        completeness_error = integrated.completeness_error(0);
        maps.push(("integrated gradients", integrated));
        if let Some(layer) = last_map {
            let method = Method::GradCam { node: layer.output };
            maps.push(("Grad-CAM", Attribution::new(network, &input, &of, method)?));
        }
        maps.push(("gradient", Attribution::new(network, &input, &of, Method::Gradient)?));
    }
    if let Preprocessing::Image { height, width, .. } = record.preprocessing {
        let window = (height.min(width) / 7).max(2);
        let method = Method::Occlusion { window, stride: (window / 2).max(1) };
        if window <= height.min(width) {
            maps.push(("occlusion", Attribution::new(network, &input, &of, method)?));
        }
    }
    let decision = SeenDecision {
        name: example.name,
        truth: example.truth,
        class: classes.get(best).cloned().unwrap_or_default(),
        probability: probabilities.get(best).copied().unwrap_or_default(),
        completeness_error,
    };
    let rollout = attention::of_answer(network, &input)?;
    Ok(Explained { decision, pixels: example.pixels, input, probabilities, maps, responses, rollout })
}

/// Of each unit, its largest activation over all places.
fn largest(values: &[f32], units: usize) -> Vec<f32> {
    let mut largest = vec![f32::NEG_INFINITY; units];
    for pixel in values.chunks_exact(units.max(1)) {
        largest.iter_mut().zip(pixel).for_each(|(largest, value)| *largest = largest.max(*value));
    }
    largest
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// Normalized numbers as brightness.
pub(super) fn picture_of_input(input: &[f32], preprocessing: &Preprocessing) -> Option<Picture> {
    let Preprocessing::Image { height, width, channels, mean, deviation, .. } = preprocessing else {
        return None;
    };
    let pixel = |(index, value): (usize, &f32)| {
        let channel = index % channels;
        (255.0 * (value * deviation[channel] + mean[channel])).round().clamp(0.0, 255.0) as u8
    };
    let pixels = input.iter().enumerate().map(pixel).collect();
    Some(Picture { pixels, height: *height, width: *width, channels: *channels })
}

/// The part of a picture, which may be padded by its middle gray.
pub(super) fn cut(picture: &Picture, patch: Patch) -> Picture {
    let channels = picture.channels;
    let rows = (patch.top..patch.top + patch.height).flat_map(|row| {
        let from = (row * picture.width + patch.left) * channels;
        &picture.pixels[from..from + patch.width * channels]
    });
    Picture { pixels: rows.copied().collect(), height: patch.height, width: patch.width, channels }
}

/// A training example with the patch that a unit sees: the whole picture if it is small, otherwise the patch with some of
/// what is around it. The patch is returned as shares of the picture: top, left, height, width.
pub(super) fn with_patch(picture: Picture, patch: Option<Patch>) -> (Picture, Option<[f64; 4]>) {
    let Some(patch) = patch else { return (picture, None) };
    let extents = [picture.height, picture.width];
    let (shown, around) = if extents[0].max(extents[1]) <= WHOLE {
        (None, Patch { top: 0, left: 0, height: extents[0], width: extents[1] })
    } else {
        let side = (2 * patch.height.max(patch.width)).max(32).min(extents[0]).min(extents[1]);
        let begin = |from: usize, length: usize, extent: usize| {
            (from + length / 2).saturating_sub(side / 2).min(extent - side)
        };
        let (top, left) =
            (begin(patch.top, patch.height, extents[0]), begin(patch.left, patch.width, extents[1]));
        let around = Patch { top, left, height: side, width: side };
        (Some(cut(&picture, around)), around)
    };
    let share = |from: usize, of: usize| from as f64 / of.max(1) as f64;
    let patch = [
        share(patch.top.saturating_sub(around.top), around.height),
        share(patch.left.saturating_sub(around.left), around.width),
        share(patch.height.min(around.height), around.height),
        share(patch.width.min(around.width), around.width),
    ];
    (shown.unwrap_or(picture), Some(patch))
}

/// The rows and columns of an input that a unit sees at the middle of its map.
pub(super) fn middle_patch(layer: &Layer, image: Image) -> Option<Patch> {
    let place = [layer.image.height / 2, layer.image.width / 2];
    let patch = layer.field?.patch(place, [image.height, image.width]);
    (patch.height < image.height || patch.width < image.width).then_some(patch)
}
