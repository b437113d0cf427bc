//! TripoSR (Tochilkin et al. 2024, arXiv:2403.02151): a solid from one picture, without iterations.
//!
//! ```text
//! picture --vision transformer--> tokens
//! learned tokens of three planes --16 blocks that look at those tokens--> planes --doubled in size--> features
//! point --features of its three shadows--> small network --> density, color
//! ```
//!
//! Its surface is where the density is 25. The picture's transformer runs on the same blocks as the planes' does, with the
//! weights left in the mapped file, so opening costs nothing and memory holds one copy of them; `gyrus-vision` would
//! bring Burn and a second copy for a pass that nothing differentiates.
//! Cost of the published shape: 2.9 TFLOP for the planes, then about 81,000 operations for each point of the field.

mod config;
mod grid;
mod layers;
mod planes;
mod text;
mod vision;

use std::path::{Path, PathBuf};

pub use config::TripoSrConfig;
use gyrus_files::read_text;
use gyrus_formats::{Checkpoint, pytorch, safetensors};
use gyrus_kernels::dense::elementwise::Activation;
use layers::{Attention, Block, FeedForward, Linear, Norm};
use planes::{Decoder, Planes};
use text::Text;
use vision::Vision;

use crate::{Error, Field, Mesh, Result, captions, surface};

/// Groups of channels that are normalized together, and what is added to their variances.
const GROUPS: usize = 32;
const GROUP_EPSILON: f64 = 1e-6;
const EPSILON: f32 = 1e-5;
/// The density at the surface.
pub const LEVEL: f32 = 25.0;
/// Largest configuration file.
const MOST_BYTES: u64 = 1 << 20;
/// Finest grid.
const MOST_RESOLUTION: usize = 640;

/// A model with its weights.
pub struct TripoSr {
    config: TripoSrConfig,
    vision: Vision,
    text: Option<Text>,
    /// Learned tokens of the planes, `[3 * side * side, channels]`.
    tokens: Vec<f32>,
    group: (Vec<f32>, Vec<f32>),
    into: Linear,
    blocks: Vec<Block>,
    out: Linear,
    /// `[4 * plane_channels, channels]`, the four cells of a doubled one after the other.
    doubling: (Vec<f32>, Vec<f32>),
    decoder: Decoder,
}

/// What the model made of a picture.
pub struct Sculpture<'a> {
    model: &'a TripoSr,
    planes: Planes,
}

/// How far it is: what is done, how much of it, of how much.
pub type Progress<'a> = dyn FnMut(&str, u64, u64) + 'a;

impl TripoSr {
    /// Opens a folder with `config.yaml` and `model.ckpt` or `model.safetensors`, or one such file, which has the published
    /// shape if there is no `config.yaml` beside it.
    ///
    /// # Errors
    /// If a file is missing or damaged, or a tensor is missing or has another shape.
    pub fn open(path: &Path) -> Result<Self> {
        let (folder, weights) = if path.is_dir() {
            let names = ["model.safetensors", "model.ckpt"].map(|name| path.join(name));
            let Some(weights) = names.into_iter().find(|name| name.is_file()) else {
                return Err(Error::format(
                    path,
                    "no weights",
                    "model.safetensors or model.ckpt, and config.yaml",
                ));
            };
            (path.to_owned(), weights)
        } else {
            (path.parent().map(Path::to_owned).unwrap_or_default(), path.to_owned())
        };
        let file = folder.join("config.yaml");
        let config = if file.is_file() {
            TripoSrConfig::parse(&file, &read_text(&file, MOST_BYTES)?)?
        } else {
            TripoSrConfig::published()
        };
        Self::new(config, checkpoint(&weights)?)
    }

    /// A model of this shape from its tensors.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn new(config: TripoSrConfig, mut from: Checkpoint) -> Result<Self> {
        let from = &mut from;
        let TripoSrConfig { plane_side: side, channels, heads, head_width, .. } = config;
        let (width, image) = (heads * head_width, config.image_width);
        let vision = Vision::take(from, config.image_side, image)?;
        let text = Text::take(from, image)?;
        let embeddings = from.take("tokenizer.embeddings", &[3, channels, side, side])?.floats();
        let cells = side * side;
        let mut tokens = vec![0.0; embeddings.len()];
        for (at, value) in embeddings.iter().enumerate() {
            let (plane, channel, cell) = (at / cells / channels, at / cells % channels, at % cells);
            tokens[(plane * cells + cell) * channels + channel] = *value;
        }
        let mut part = |part: &str| from.take(&format!("backbone.norm.{part}"), &[channels]);
        let group = (part("weight")?.floats(), part("bias")?.floats());
        let into = Linear::take(from, "backbone.proj_in", (channels, width), true)?;
        let out = Linear::take(from, "backbone.proj_out", (width, channels), true)?;
        let mut blocks = Vec::new();
        for layer in 0..config.layers {
            let name = |part: &str| format!("backbone.transformer_blocks.{layer}.{part}");
            let attention = |from: &mut Checkpoint, part: &str, context: usize| -> Result<Attention> {
                let name = |own: &str| name(&format!("{part}.{own}"));
                Ok(Attention {
                    query: Linear::take(from, &name("to_q"), (width, width), false)?,
                    key: Linear::take(from, &name("to_k"), (context, width), false)?,
                    value: Linear::take(from, &name("to_v"), (context, width), false)?,
                    output: Linear::take(from, &name("to_out.0"), (width, width), true)?,
                    heads,
                })
            };
            let norm = |from: &mut Checkpoint, part: &str| Norm::take(from, &name(part), width, EPSILON);
            let both = Linear::take(from, &name("ff.net.0.proj"), (width, 8 * width), true)?;
            let down = Linear::take(from, &name("ff.net.2"), (4 * width, width), true)?;
            blocks.push(Block {
                attention: (norm(from, "norm1")?, attention(from, "attn1", width)?),
                cross: Some((norm(from, "norm2")?, attention(from, "attn2", image)?)),
                feed_forward: (norm(from, "norm3")?, FeedForward::gated(&both, down)),
            });
        }
        let planes = config.plane_channels;
        let kernel = from.take("post_processor.upsample.weight", &[channels, planes, 2, 2])?.floats();
        let mut doubling = vec![0.0; kernel.len()];
        for (at, value) in kernel.iter().enumerate() {
            let (input, plane, corner) = (at / 4 / planes, at / 4 % planes, at % 4);
            doubling[(corner * planes + plane) * channels + input] = *value;
        }
        let bias = from.take("post_processor.upsample.bias", &[planes])?.floats();
        let activation = if config.is_silu { Activation::Silu } else { Activation::Relu };
        let decoder = Decoder::take(from, (3 * planes, config.neurons, config.hidden_layers), activation)?;
        let doubling = (doubling, bias.repeat(4));
        Ok(Self { config, vision, text, tokens, group, into, blocks, out, doubling, decoder })
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &TripoSrConfig {
        &self.config
    }

    /// Tokens of a picture, `[tokens, image_width]`: `pixels` is `[side, side, 3]`, 0 to 1.
    ///
    /// # Panics
    /// If there are not as many pixels as the configuration says.
    #[must_use]
    pub fn image_tokens(&self, pixels: &[f32], progress: &mut Progress<'_>) -> Vec<f32> {
        let side = self.config.image_side;
        assert_eq!(pixels.len(), side * side * 3, "pixels are [side, side, 3]");
        let (mut done, all) = (0, self.vision.layers() as u64);
        self.vision.tokens(pixels, side, || {
            done += 1;
            progress("looking", done, all);
        })
    }

    /// Tokens of a caption, `[captions::LENGTH, image_width]`, to be used instead of those of a picture.
    ///
    /// # Errors
    /// If the model learned no captions, or does not know a word of this one.
    pub fn caption_tokens(&self, caption: &str) -> Result<Vec<f32>> {
        let Some(text) = &self.text else {
            return Err(Error::Request(
                "the model makes solids of pictures only, not of sentences".to_owned(),
            ));
        };
        let (tokens, unknown) = captions::tokens(caption);
        if let Some(word) = unknown.first() {
            let words = captions::words();
            return Err(Error::Request(format!(
                "the model does not know the word `{word}`; it knows {}",
                words[1..].join(", ")
            )));
        }
        let count = captions::split(caption).count();
        if !(1..=captions::LENGTH).contains(&count) {
            let most = captions::LENGTH;
            return Err(Error::Request(format!("a sentence of {count} words; expected 1 to {most}")));
        }
        Ok(text.tokens(&tokens))
    }

    /// Tokens of the planes, `[3 * plane_side * plane_side, channels]`, in the light of those of a picture.
    #[must_use]
    pub fn plane_tokens(&self, image: &[f32], progress: &mut Progress<'_>) -> Vec<f32> {
        let mut x =
            vec![0.0; self.tokens.len() / self.config.channels * self.config.heads * self.config.head_width];
        self.into.run(&self.normalized(), &mut x);
        for (layer, block) in self.blocks.iter().enumerate() {
            block.run(&mut x, image);
            progress("shaping", layer as u64 + 1, self.blocks.len() as u64);
        }
        let mut tokens = vec![0.0; self.tokens.len()];
        self.out.run(&x, &mut tokens);
        tokens.iter_mut().zip(&self.tokens).for_each(|(token, own)| *token += own);
        tokens
    }

    /// The learned tokens, with the channels of a group normalized together over all tokens (Wu and He 2018).
    fn normalized(&self) -> Vec<f32> {
        let channels = self.config.channels;
        let own = channels / GROUPS;
        let mut x = self.tokens.clone();
        for group in 0..GROUPS {
            let range = group * own..(group + 1) * own;
            let values = || self.tokens.chunks_exact(channels).flat_map(|row| &row[range.clone()]);
            let count = (self.tokens.len() / GROUPS) as f64;
            let mean = values().map(|value| f64::from(*value)).sum::<f64>() / count;
            let variance = values().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
            let scale = 1.0 / (variance + GROUP_EPSILON).sqrt();
            for row in x.chunks_exact_mut(channels) {
                for channel in range.clone() {
                    let value = (f64::from(row[channel]) - mean) * scale;
                    row[channel] = value as f32 * self.group.0[channel] + self.group.1[channel];
                }
            }
        }
        x
    }

    /// The field that tokens of the planes stand for.
    #[must_use]
    pub fn sculpture(&self, tokens: &[f32]) -> Sculpture<'_> {
        let TripoSrConfig { plane_side, channels, plane_channels, radius, .. } = self.config;
        let count = 3 * plane_side * plane_side;
        let mut corners = vec![0.0; count * 4 * plane_channels];
        let shape = (count, channels, 4 * plane_channels);
        let (weight, bias) = &self.doubling;
        gyrus_kernels::dense::linear::linear(tokens, weight, Some(bias), false, shape, &mut corners);
        let side = 2 * plane_side;
        let mut features = vec![0.0; 3 * side * side * plane_channels];
        for (token, own) in corners.chunks_exact(4 * plane_channels).enumerate() {
            let (plane, cell) = (token / plane_side / plane_side, token % (plane_side * plane_side));
            for (corner, own) in own.chunks_exact(plane_channels).enumerate() {
                let (x, y) = (2 * (cell % plane_side) + corner % 2, 2 * (cell / plane_side) + corner / 2);
                let to = ((plane * side + y) * side + x) * plane_channels;
                features[to..to + plane_channels].copy_from_slice(own);
            }
        }
        Sculpture { model: self, planes: Planes { features, side, channels: plane_channels, radius } }
    }

    /// From a picture, `[side, side, 3]`, 0 to 1, to the field.
    ///
    /// # Panics
    /// As [`Self::image_tokens`].
    #[must_use]
    pub fn look(&self, pixels: &[f32], progress: &mut Progress<'_>) -> Sculpture<'_> {
        let image = self.image_tokens(pixels, progress);
        let tokens = self.plane_tokens(&image, progress);
        self.sculpture(&tokens)
    }
}

impl Sculpture<'_> {
    /// Features of the planes xy, xz and yz, `[3, side, side, plane_channels]`.
    #[must_use]
    pub fn features(&self) -> &[f32] {
        &self.planes.features
    }

    /// Whether points in the model's own directions are inside: where the density is above [`LEVEL`].
    #[must_use]
    pub fn contains(&self, points: &[[f32; 3]]) -> Vec<bool> {
        let bias = self.model.config.density_bias;
        let answers = self.planes.query(&self.model.decoder, points);
        answers.iter().map(|answer| answer.density + bias > LEVEL.ln()).collect()
    }

    /// Density and color (0 to 1) at points in the model's own directions: x to the viewer, z up.
    #[must_use]
    pub fn field(&self, points: &[[f32; 3]]) -> Vec<(f32, [f32; 3])> {
        let bias = self.model.config.density_bias;
        let answers = self.planes.query(&self.model.decoder, points);
        let sigmoid = |value: f32| 1.0 / (1.0 + (-value).exp());
        answers.iter().map(|answer| ((answer.density + bias).exp(), answer.color.map(sigmoid))).collect()
    }

    /// The surface with the colors of its vertices, y up and facing +z, from a grid of `resolution` samples a side; and how many
    /// samples were computed.
    ///
    /// # Errors
    /// If there is no surface, or the grid is too fine.
    pub fn mesh(&self, resolution: usize, level: f32, progress: &mut Progress<'_>) -> Result<(Mesh, usize)> {
        if !(8..=MOST_RESOLUTION).contains(&resolution) {
            return Err(Error::Request(format!(
                "a resolution of {resolution}; expected 8 to {MOST_RESOLUTION}"
            )));
        }
        let radius = self.model.config.radius;
        let step = 2.0 * radius / (resolution - 1) as f32;
        let at = |index: usize| step * index as f32 - radius;
        let (mut rounds, bias) = (0, self.model.config.density_bias);
        // The logarithm is as good as the density for its sides, but only the density gives the published surface.
        let logarithmic = self.model.config.logarithmic;
        let lowest = if logarithmic { level.ln() } else { level };
        let (values, computed) = grid::computed(resolution, lowest, |samples| {
            rounds += 1;
            progress("measuring", rounds, rounds + 1);
            let mut values = Vec::with_capacity(samples.len());
            for samples in samples.chunks(1 << 18) {
                let points: Vec<[f32; 3]> = samples
                    .iter()
                    .map(|sample| {
                        let sample = *sample as usize;
                        [
                            at(sample % resolution),
                            at(sample / resolution % resolution),
                            at(sample / resolution / resolution),
                        ]
                    })
                    .collect();
                let answers = self.planes.query(&self.model.decoder, &points);
                values.extend(answers.iter().map(|answer| {
                    let own = answer.density + bias;
                    if logarithmic { own } else { own.exp() }
                }));
            }
            values
        });
        let field = Field { values: &values, size: [resolution; 3], origin: [-radius; 3], step: [step; 3] };
        let mut mesh = surface(&field, lowest);
        if mesh.faces.is_empty() {
            return Err(Error::Request(format!(
                "the model sees no object here: its density is nowhere above {level}"
            )));
        }
        progress("coloring", 0, 1);
        mesh.colors = self.field(&mesh.positions).into_iter().map(|(_, color)| color).collect();
        mesh.positions.iter_mut().for_each(|[x, y, z]| (*x, *y, *z) = (*y, *z, *x));
        progress("coloring", 1, 1);
        Ok((mesh, computed))
    }
}

/// The tensors of a file of either kind.
fn checkpoint(path: &Path) -> Result<Checkpoint> {
    let path: PathBuf = path.to_owned();
    let is_safe = path.extension().is_some_and(|end| end == "safetensors");
    Ok(if is_safe { safetensors::read(&path)? } else { pytorch::read(&path)? })
}
