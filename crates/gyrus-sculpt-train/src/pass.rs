//! One step of learning: from pictures or captions to logits of occupancy and to colors at points, and the gradients back.
//!
//! The first attention of the planes sees no picture, so it is computed once for all samples.

use gyrus_kernels::token::activation::{FeedForwardActivation, activated, activated_backward};
use gyrus_sculpt::captions;
use rayon::prelude::*;

use crate::examples::Example;
use crate::layers::{CrossKept, FeedKept, OwnKept, Slopes, Values, add};
use crate::network::{Layout, PATCH, Reader, Shape};

/// Groups of channels that are normalized together, and what is added to their variances.
const GROUPS: usize = 32;
const GROUP_EPSILON: f64 = 1e-6;
/// Weight of the colors beside occupancy.
const COLOR_WEIGHT: f32 = 0.5;
/// Of ImageNet, by which pictures are normalized.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// Losses of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    /// Binary cross-entropy of occupancy, in nats per point.
    pub(crate) occupancy: f64,
    /// Mean difference of colors.
    pub(crate) color: f64,
}

impl Losses {
    pub(crate) fn total(&self) -> f64 {
        self.occupancy + f64::from(COLOR_WEIGHT) * self.color
    }
}

/// What the network saw of a picture or a caption.
struct Seen {
    /// Rows before the first layer, for captions: the word of each; for pictures: the patches.
    words: Vec<u32>,
    patches: Vec<f32>,
    layers: Vec<(OwnKept, FeedKept)>,
    last: Vec<f32>,
    tokens: Vec<f32>,
}

/// A batch on its way through the network.
pub(crate) struct Pass<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) layout: &'a Layout,
    pub(crate) values: &'a Values,
    /// Whether captions are read instead of pictures.
    pub(crate) reads: bool,
}

impl Pass<'_> {
    fn value(&self, place: usize) -> &[f32] {
        &self.values[place]
    }

    /// The loss of a batch, and with `slopes` the gradients.
    pub(crate) fn run(&self, batch: &[Example], slopes: Option<&mut Slopes>) -> Losses {
        let (values, layout, samples) = (self.values, self.layout, batch.len());
        let seen = if self.reads { self.read(batch) } else { self.look(batch) };
        // The planes.
        let config = &self.shape.config;
        let (channels, side) = (config.channels, config.plane_side);
        let learned = self.value(layout.tokens);
        let (normalized, grouped) = self.normalized();
        let first = layout.into.forward(values, &grouped);
        let mut x = first;
        let mut kept: Vec<(OwnKept, CrossKept, FeedKept)> = Vec::new();
        for (layer, shaper) in layout.shapers.iter().enumerate() {
            let (mut y, own) = shaper.own.forward(values, if layer == 0 { 1 } else { samples }, x);
            if layer == 0 {
                y = y.repeat(samples);
            }
            let (y, cross) = shaper.cross.forward(values, samples, y, &seen.tokens);
            let (y, feed) = shaper.feed_forward.forward(values, y);
            kept.push((own, cross, feed));
            x = y;
        }
        let shaped = x;
        let mut tokens = layout.out.forward(values, &shaped);
        tokens.par_chunks_mut(learned.len()).for_each(|own| {
            own.iter_mut().zip(learned).for_each(|(token, learned)| *token += learned);
        });
        let doubling = crate::layers::Linear {
            weight: layout.doubling.0,
            bias: None,
            inputs: channels,
            outputs: 4 * config.plane_channels,
        };
        let corners = doubling.forward(values, &tokens);
        let planes = Planes { side: 2 * side, channels: config.plane_channels, radius: config.radius };
        let features = planes.arranged(&corners, self.value(layout.doubling.1), samples);
        // The points.
        let inputs = planes.sampled(&features, batch);
        let mut layers: Vec<(Vec<f32>, Vec<f32>)> = Vec::new();
        let mut x = inputs;
        for layer in &layout.decoder {
            let y = layer.forward(values, &x);
            let mut z = y.clone();
            if layer.outputs > 4 {
                activated(FeedForwardActivation::Silu, &y, &mut z);
            }
            layers.push((x, y));
            x = z;
        }
        let (losses, mut dy) = judged(&x, batch);
        let Some(slopes) = slopes else { return losses };

        for (index, (layer, (x, y))) in layout.decoder.iter().zip(&layers).enumerate().rev() {
            if index + 1 < layers.len() {
                let mut before = vec![0.0; dy.len()];
                activated_backward(FeedForwardActivation::Silu, y, &dy, &mut before);
                dy = before;
            }
            dy = layer.backward(values, slopes, x, &dy);
        }
        let dfeatures = planes.spread(&dy, batch, features.len());
        let (dcorners, dbias) = planes.gathered(&dfeatures, samples);
        slopes.add(layout.doubling.1, dbias);
        let dtokens = doubling.backward(values, slopes, &tokens, &dcorners);
        slopes.add(layout.tokens, summed(&dtokens, samples));
        let mut dx = layout.out.backward(values, slopes, &shaped, &dtokens);
        let mut dseen = vec![0.0; seen.tokens.len()];
        for (layer, (shaper, (own, cross, feed))) in layout.shapers.iter().zip(&kept).enumerate().rev() {
            dx = shaper.feed_forward.backward(values, slopes, feed, dx);
            let (before, context) =
                shaper.cross.backward(values, slopes, samples, (cross, seen.tokens.as_slice()), dx);
            add(&mut dseen, &context);
            dx = match layer {
                0 => shaper.own.backward(values, slopes, 1, own, summed(&before, samples)),
                _ => shaper.own.backward(values, slopes, samples, own, before),
            };
        }
        let dgrouped = layout.into.backward(values, slopes, &grouped, &dx);
        self.normalized_backward(slopes, &normalized, &dgrouped);
        self.seen_backward(slopes, &seen, dseen, samples);
        losses
    }

    /// Tokens of pictures.
    fn look(&self, batch: &[Example]) -> Seen {
        let (layout, side) = (self.layout, self.shape.config.image_side);
        let (grid, width) = (side / PATCH, self.shape.config.image_width);
        let own = 3 * PATCH * PATCH;
        let mut patches = vec![0.0; batch.len() * grid * grid * own];
        patches.par_chunks_mut(grid * grid * own).zip(batch).for_each(|(to, example)| {
            for (at, to) in to.iter_mut().enumerate() {
                let (patch, channel, inner) = (at / own, at % own / (PATCH * PATCH), at % (PATCH * PATCH));
                let x = patch % grid * PATCH + inner % PATCH;
                let y = patch / grid * PATCH + inner / PATCH;
                *to = (example.pixels[(y * side + x) * 3 + channel] - MEAN[channel]) / DEVIATION[channel];
            }
        });
        let seen = layout.patch.forward(self.values, &patches);
        let (class, positions) = (self.value(layout.class), self.value(layout.positions));
        let mut x = Vec::with_capacity((1 + grid * grid) * width * batch.len());
        for seen in seen.chunks_exact(grid * grid * width) {
            x.extend_from_slice(class);
            x.extend_from_slice(seen);
        }
        x.par_chunks_mut(positions.len()).for_each(|own| {
            own.iter_mut().zip(positions).for_each(|(x, position)| *x += position);
        });
        self.through(batch.len(), x, &layout.vision, &layout.vision_norm, Vec::new(), patches)
    }

    /// Tokens of captions.
    fn read(&self, batch: &[Example]) -> Seen {
        let (layout, width) = (self.layout, self.shape.config.image_width);
        let words: Vec<u32> = batch.iter().flat_map(|example| captions::tokens(&example.caption).0).collect();
        let (table, places) = (self.value(layout.words), self.value(layout.places));
        let mut x = vec![0.0; words.len() * width];
        for (row, (x, word)) in x.chunks_exact_mut(width).zip(&words).enumerate() {
            let place = &places[row % captions::LENGTH * width..][..width];
            let word = &table[*word as usize * width..][..width];
            x.iter_mut().zip(word.iter().zip(place)).for_each(|(x, (word, place))| *x = word + place);
        }
        self.through(batch.len(), x, &layout.text, &layout.text_norm, words, Vec::new())
    }

    fn through(
        &self,
        samples: usize,
        mut x: Vec<f32>,
        readers: &[Reader],
        norm: &crate::layers::Norm,
        words: Vec<u32>,
        patches: Vec<f32>,
    ) -> Seen {
        let mut layers = Vec::new();
        for reader in readers {
            let (y, own) = reader.attention.forward(self.values, samples, x);
            let (y, feed) = reader.feed_forward.forward(self.values, y);
            layers.push((own, feed));
            x = y;
        }
        let tokens = norm.forward(self.values, &x);
        Seen { words, patches, layers, last: x, tokens }
    }

    fn seen_backward(&self, slopes: &mut Slopes, seen: &Seen, dtokens: Vec<f32>, samples: usize) {
        let (layout, values, width) = (self.layout, self.values, self.shape.config.image_width);
        let (readers, norm) = match self.reads {
            true => (&layout.text, &layout.text_norm),
            false => (&layout.vision, &layout.vision_norm),
        };
        let mut dx = norm.backward(values, slopes, &seen.last, &dtokens);
        for (reader, (own, feed)) in readers.iter().zip(&seen.layers).rev() {
            dx = reader.feed_forward.backward(values, slopes, feed, dx);
            dx = reader.attention.backward(values, slopes, samples, own, dx);
        }
        let places = summed(&dx, samples);
        if self.reads {
            let mut table = vec![0.0; self.value(layout.words).len()];
            for (word, dx) in seen.words.iter().zip(dx.chunks_exact(width)) {
                let row = &mut table[*word as usize * width..][..width];
                row.iter_mut().zip(dx).for_each(|(row, dx)| *row += dx);
            }
            slopes.add(layout.words, table);
            slopes.add(layout.places, places);
        } else {
            slopes.add(layout.class, places[..width].to_vec());
            let rows = dx.len() / samples;
            let dpatches: Vec<f32> =
                dx.chunks_exact(rows).flat_map(|sample| &sample[width..]).copied().collect();
            layout.patch.learn(slopes, &seen.patches, &dpatches);
            slopes.add(layout.positions, places);
        }
    }

    /// The learned tokens with the channels of a group normalized together over all tokens (Wu and He 2018): before and
    /// after scale and shift.
    fn normalized(&self) -> (Vec<f32>, Vec<f32>) {
        let (layout, channels) = (self.layout, self.shape.config.channels);
        let (tokens, own) = (self.value(layout.tokens), channels / GROUPS);
        let (gamma, beta) = (self.value(layout.group.0), self.value(layout.group.1));
        let (mut plain, mut x) = (tokens.to_vec(), tokens.to_vec());
        for group in 0..GROUPS {
            let range = group * own..(group + 1) * own;
            let (mean, scale) = statistics(tokens, channels, range.clone());
            for (plain, x) in plain.chunks_exact_mut(channels).zip(x.chunks_exact_mut(channels)) {
                for channel in range.clone() {
                    plain[channel] = ((f64::from(plain[channel]) - mean) * scale) as f32;
                    x[channel] = plain[channel] * gamma[channel] + beta[channel];
                }
            }
        }
        (plain, x)
    }

    fn normalized_backward(&self, slopes: &mut Slopes, plain: &[f32], dy: &[f32]) {
        let (layout, channels) = (self.layout, self.shape.config.channels);
        let (tokens, own) = (self.value(layout.tokens), channels / GROUPS);
        let gamma = self.value(layout.group.0);
        let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
        for (dy, plain) in dy.chunks_exact(channels).zip(plain.chunks_exact(channels)) {
            for channel in 0..channels {
                dgamma[channel] += dy[channel] * plain[channel];
                dbeta[channel] += dy[channel];
            }
        }
        let mut dx = vec![0.0; tokens.len()];
        for group in 0..GROUPS {
            let range = group * own..(group + 1) * own;
            let (_, scale) = statistics(tokens, channels, range.clone());
            let count = (tokens.len() / GROUPS) as f64;
            let (mut mean, mut along) = (0.0, 0.0);
            for (dy, plain) in dy.chunks_exact(channels).zip(plain.chunks_exact(channels)) {
                for channel in range.clone() {
                    let slope = f64::from(dy[channel] * gamma[channel]);
                    mean += slope / count;
                    along += slope * f64::from(plain[channel]) / count;
                }
            }
            let rows = dx.chunks_exact_mut(channels).zip(dy.chunks_exact(channels));
            for ((dx, dy), plain) in rows.zip(plain.chunks_exact(channels)) {
                for channel in range.clone() {
                    let slope = f64::from(dy[channel] * gamma[channel]);
                    dx[channel] = (scale * (slope - mean - f64::from(plain[channel]) * along)) as f32;
                }
            }
        }
        slopes.add(layout.group.0, dgamma);
        slopes.add(layout.group.1, dbeta);
        slopes.add(layout.tokens, dx);
    }
}

fn statistics(tokens: &[f32], channels: usize, range: std::ops::Range<usize>) -> (f64, f64) {
    let values = || tokens.chunks_exact(channels).flat_map(|row| &row[range.clone()]);
    let count = (tokens.len() / GROUPS) as f64;
    let mean = values().map(|value| f64::from(*value)).sum::<f64>() / count;
    let variance = values().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
    (mean, 1.0 / (variance + GROUP_EPSILON).sqrt())
}

/// The sum over samples.
fn summed(x: &[f32], samples: usize) -> Vec<f32> {
    let own = x.len() / samples;
    let mut sum = x[..own].to_vec();
    for x in x[own..].chunks_exact(own) {
        add(&mut sum, x);
    }
    sum
}

/// Losses and the gradient of the network's answers, `[points, 4]`.
fn judged(answers: &[f32], batch: &[Example]) -> (Losses, Vec<f32>) {
    let (count, painted): (usize, usize) =
        batch.iter().fold((0, 0), |sum, own| (sum.0 + own.inside.len(), sum.1 + own.colors.len()));
    let (weight, color_weight) = (1.0 / count as f32, COLOR_WEIGHT / (3 * painted.max(1)) as f32);
    let mut losses = Losses::default();
    let mut slopes = vec![0.0; answers.len()];
    let mut rows = answers.as_chunks::<4>().0.iter().zip(slopes.as_chunks_mut::<4>().0);
    for example in batch {
        for (inside, (answer, slope)) in example.inside.iter().zip(&mut rows) {
            let (logit, target) = (answer[0], f32::from(u8::from(*inside)));
            losses.occupancy += f64::from(logit.max(0.0) - logit * target + (-logit.abs()).exp().ln_1p());
            slope[0] = weight * (1.0 / (1.0 + (-logit).exp()) - target);
        }
        for (color, (answer, slope)) in example.colors.iter().zip(&mut rows) {
            for part in 0..3 {
                let value = 1.0 / (1.0 + (-answer[1 + part]).exp());
                let over = value - color[part];
                losses.color += f64::from(over.abs());
                slope[1 + part] = color_weight * over.signum() * value * (1.0 - value);
            }
        }
    }
    losses.occupancy /= count.max(1) as f64;
    losses.color /= (3 * painted).max(1) as f64;
    (losses, slopes)
}

/// Three planes of features, `[samples, 3, side, side, channels]`.
struct Planes {
    side: usize,
    channels: usize,
    radius: f32,
}

impl Planes {
    /// Where the corner of a token's output lies.
    fn place(&self, token: usize, corner: usize) -> usize {
        let half = self.side / 2;
        let (plane, cell) = (token / half / half, token % (half * half));
        let (x, y) = (2 * (cell % half) + corner % 2, 2 * (cell / half) + corner / 2);
        ((plane * self.side + y) * self.side + x) * self.channels
    }

    fn sample_len(&self) -> usize {
        3 * self.side * self.side * self.channels
    }

    /// Outputs of tokens, four corners each, as planes.
    fn arranged(&self, corners: &[f32], bias: &[f32], samples: usize) -> Vec<f32> {
        let own = self.sample_len();
        let mut features = vec![0.0; samples * own];
        features.par_chunks_mut(own).zip(corners.par_chunks(own)).for_each(|(to, from)| {
            for (index, from) in from.chunks_exact(self.channels).enumerate() {
                let to = &mut to[self.place(index / 4, index % 4)..][..self.channels];
                to.iter_mut().zip(from.iter().zip(bias)).for_each(|(to, (from, bias))| *to = from + bias);
            }
        });
        features
    }

    /// The gradient of [`Self::arranged`]: of the tokens' outputs, and of the bias.
    fn gathered(&self, slopes: &[f32], samples: usize) -> (Vec<f32>, Vec<f32>) {
        let own = self.sample_len();
        let mut corners = vec![0.0; samples * own];
        corners.par_chunks_mut(own).zip(slopes.par_chunks(own)).for_each(|(to, from)| {
            for (index, to) in to.chunks_exact_mut(self.channels).enumerate() {
                to.copy_from_slice(&from[self.place(index / 4, index % 4)..][..self.channels]);
            }
        });
        let mut bias = vec![0.0; self.channels];
        gyrus_kernels::dense::linear::sum_rows(slopes, self.channels, &mut bias);
        (corners, bias)
    }

    /// The four cells around each shadow of a point, and their weights.
    fn around(&self, point: [f32; 3], mut visit: impl FnMut(usize, usize, f32)) {
        let [a, b, c] = point.map(|value| value / self.radius);
        let side = self.side as f32;
        for (plane, (along, across)) in [(a, b), (a, c), (b, c)].into_iter().enumerate() {
            let at = [along, across].map(|value| ((value + 1.0) * side - 1.0) * 0.5);
            let first = at.map(f32::floor);
            for corner in 0..4usize {
                let steps = [(corner & 1) as f32, (corner >> 1) as f32];
                let place = [first[0] + steps[0], first[1] + steps[1]];
                if place.iter().any(|place| !(0.0..side).contains(place)) {
                    continue;
                }
                let share = |axis: usize| {
                    let share = at[axis] - first[axis];
                    if steps[axis] > 0.0 { share } else { 1.0 - share }
                };
                let cell = (plane * self.side + place[1] as usize) * self.side + place[0] as usize;
                visit(plane, cell * self.channels, share(0) * share(1));
            }
        }
    }

    /// Features of all points of a batch, `[points, 3, channels]`.
    fn sampled(&self, features: &[f32], batch: &[Example]) -> Vec<f32> {
        let (own, width) = (self.sample_len(), 3 * self.channels);
        let rows: Vec<Vec<f32>> = (features.par_chunks(own).zip(batch))
            .map(|(features, example)| {
                let mut rows = vec![0.0; example.points.len() * width];
                for (row, point) in rows.chunks_exact_mut(width).zip(&example.points) {
                    self.around(*point, |plane, cell, weight| {
                        let to = &mut row[plane * self.channels..][..self.channels];
                        let from = &features[cell..][..self.channels];
                        to.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
                    });
                }
                rows
            })
            .collect();
        rows.concat()
    }

    /// The gradient of [`Self::sampled`].
    fn spread(&self, slopes: &[f32], batch: &[Example], length: usize) -> Vec<f32> {
        let (own, width) = (self.sample_len(), 3 * self.channels);
        let points = batch.first().map_or(0, |example| example.points.len());
        let mut to = vec![0.0; length];
        to.par_chunks_mut(own).zip(slopes.par_chunks(points * width).zip(batch)).for_each(
            |(to, (rows, example))| {
                for (row, point) in rows.chunks_exact(width).zip(&example.points) {
                    self.around(*point, |plane, cell, weight| {
                        let from = &row[plane * self.channels..][..self.channels];
                        let to = &mut to[cell..][..self.channels];
                        to.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
                    });
                }
            },
        );
        to
    }
}
