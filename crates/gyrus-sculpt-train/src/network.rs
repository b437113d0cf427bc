//! The trainable network: the structure of TripoSR (see [`gyrus_sculpt::triposr`]) in a small shape, its parameters, and the
//! checkpoint that inference opens.
//!
//! Captions enter where pictures do: their words become tokens that the planes look at.

use gyrus_files::{State, StateTensor};
use gyrus_sculpt::captions;
use gyrus_sculpt::triposr::{LEVEL, TripoSrConfig};
use gyrus_tensor::{Device, Tensor, floats, splitmix64, vector};
use gyrus_train::{ParameterInfo, Trainable};

use crate::layers::{CrossAttention, FeedForward, Linear, Norm, OwnAttention};
use crate::{Error, Result};

/// Side of a patch of the picture, in pixels.
pub(crate) const PATCH: usize = 8;
/// Added to variances: by the picture's transformer, and by that of the planes.
const VISION_EPSILON: f32 = 1e-12;
const EPSILON: f32 = 1e-5;
/// Elements of a head of the transformer that reads pictures or captions; inference expects this.
const HEAD_WIDTH: usize = 64;

/// The shape of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// What inference knows of it.
    pub config: TripoSrConfig,
    /// Layers of the picture's transformer.
    pub vision_layers: usize,
    /// Layers of the caption's transformer.
    pub text_layers: usize,
}

impl Shape {
    /// The usual shape: about 2 million parameters.
    #[must_use]
    pub fn small() -> Self {
        let config = TripoSrConfig {
            image_side: 64,
            plane_side: 8,
            channels: 128,
            layers: 3,
            heads: 4,
            head_width: 32,
            image_width: 128,
            plane_channels: 32,
            neurons: 64,
            hidden_layers: 3,
            is_silu: true,
            radius: 1.0,
            // Occupied is what has a logit above 0, and a density above the level.
            density_bias: LEVEL.ln(),
            logarithmic: true,
        };
        Self { config, vision_layers: 3, text_layers: 1 }
    }
}

/// A layer that reads a picture or a caption.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) attention: OwnAttention,
    pub(crate) feed_forward: FeedForward,
}

/// A layer that shapes the planes.
#[derive(Clone, Debug)]
pub(crate) struct Shaper {
    pub(crate) own: OwnAttention,
    pub(crate) cross: CrossAttention,
    pub(crate) feed_forward: FeedForward,
}

/// Places of all parameters.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) patch: Linear,
    pub(crate) class: usize,
    pub(crate) positions: usize,
    pub(crate) vision: Vec<Reader>,
    pub(crate) vision_norm: Norm,
    pub(crate) words: usize,
    pub(crate) places: usize,
    pub(crate) text: Vec<Reader>,
    pub(crate) text_norm: Norm,
    /// Learned tokens of the planes, `[3 * cells, channels]`.
    pub(crate) tokens: usize,
    pub(crate) group: (usize, usize),
    pub(crate) into: Linear,
    pub(crate) shapers: Vec<Shaper>,
    pub(crate) out: Linear,
    /// `[4 * plane_channels, channels]` and its bias for one corner.
    pub(crate) doubling: (usize, usize),
    pub(crate) decoder: Vec<Linear>,
}

/// Parameters by name, with the spread of their first values (none for ones).
#[derive(Default)]
struct Builder(Vec<(ParameterInfo, Option<f32>)>);

impl Builder {
    fn add(&mut self, name: String, shape: Vec<usize>, spread: Option<f32>) -> usize {
        let decays = shape.len() > 1 && spread.is_some();
        self.0.push((ParameterInfo { name, shape, decays }, spread));
        self.0.len() - 1
    }

    fn linear(&mut self, name: &str, (inputs, outputs): (usize, usize), bias: bool, gain: f32) -> Linear {
        let spread = gain / (inputs as f32).sqrt();
        let weight = self.add(format!("{name}.weight"), vec![outputs, inputs], Some(spread));
        let bias = bias.then(|| self.add(format!("{name}.bias"), vec![outputs], Some(0.0)));
        Linear { weight, bias, inputs, outputs }
    }

    fn norm(&mut self, name: &str, width: usize, epsilon: f32) -> Norm {
        let gamma = self.add(format!("{name}.weight"), vec![width], None);
        let beta = self.add(format!("{name}.bias"), vec![width], Some(0.0));
        Norm { gamma, beta, epsilon }
    }

    fn readers(&mut self, name: &str, layers: usize, width: usize) -> Vec<Reader> {
        let gain = 1.0 / (2.0 * layers as f32).sqrt();
        let reader = |layer: usize| {
            let name = |part: &str| format!("{name}.{layer}.{part}");
            Reader {
                attention: OwnAttention {
                    norm: self.norm(&name("layernorm_before"), width, VISION_EPSILON),
                    query_key_value: self.linear(&name("attention"), (width, 3 * width), true, 1.0),
                    output: self.linear(&name("attention.output"), (width, width), true, gain),
                    heads: (width / HEAD_WIDTH).max(1),
                },
                feed_forward: FeedForward {
                    norm: self.norm(&name("layernorm_after"), width, VISION_EPSILON),
                    up: self.linear(&name("intermediate"), (width, 4 * width), true, 1.0),
                    down: self.linear(&name("output"), (4 * width, width), true, gain),
                    is_gated: false,
                },
            }
        };
        (0..layers).map(reader).collect()
    }
}

fn built(shape: &Shape) -> (Builder, Layout) {
    let mut b = Builder::default();
    let TripoSrConfig { channels, heads, head_width, image_width: seen, plane_channels, neurons, .. } =
        shape.config;
    let (width, grid) = (heads * head_width, shape.config.image_side / PATCH);
    let cells = shape.config.plane_side * shape.config.plane_side;
    let gain = 1.0 / (3.0 * shape.config.layers as f32).sqrt();
    let layout = Layout {
        patch: b.linear("vision.patch", (3 * PATCH * PATCH, seen), true, 1.0),
        class: b.add("vision.class".to_owned(), vec![seen], Some(0.02)),
        positions: b.add("vision.positions".to_owned(), vec![1 + grid * grid, seen], Some(0.1)),
        vision: b.readers("vision", shape.vision_layers, seen),
        vision_norm: b.norm("vision.norm", seen, VISION_EPSILON),
        words: b.add("text.words".to_owned(), vec![captions::words().len(), seen], Some(0.5)),
        places: b.add("text.places".to_owned(), vec![captions::LENGTH, seen], Some(0.1)),
        text: b.readers("text", shape.text_layers, seen),
        text_norm: b.norm("text.norm", seen, VISION_EPSILON),
        tokens: b.add(
            "planes.tokens".to_owned(),
            vec![3 * cells, channels],
            Some(1.0 / (channels as f32).sqrt()),
        ),
        group: (
            b.add("planes.group.weight".to_owned(), vec![channels], None),
            b.add("planes.group.bias".to_owned(), vec![channels], Some(0.0)),
        ),
        into: b.linear("planes.into", (channels, width), true, 1.0),
        shapers: (0..shape.config.layers)
            .map(|layer| {
                let name = |part: &str| format!("planes.{layer}.{part}");
                Shaper {
                    own: OwnAttention {
                        norm: b.norm(&name("norm1"), width, EPSILON),
                        query_key_value: b.linear(&name("own"), (width, 3 * width), false, 1.0),
                        output: b.linear(&name("own.output"), (width, width), true, gain),
                        heads,
                    },
                    cross: CrossAttention {
                        norm: b.norm(&name("norm2"), width, EPSILON),
                        query: b.linear(&name("cross.query"), (width, width), false, 1.0),
                        key_value: b.linear(&name("cross"), (seen, 2 * width), false, 1.0),
                        output: b.linear(&name("cross.output"), (width, width), true, gain),
                        heads,
                    },
                    feed_forward: FeedForward {
                        norm: b.norm(&name("norm3"), width, EPSILON),
                        up: b.linear(&name("up"), (width, 8 * width), true, 1.0),
                        down: b.linear(&name("down"), (4 * width, width), true, gain),
                        is_gated: true,
                    },
                }
            })
            .collect(),
        out: b.linear("planes.out", (width, channels), true, 1.0),
        doubling: {
            let spread = 1.0 / (channels as f32).sqrt();
            let weight = vec![4 * plane_channels, channels];
            (
                b.add("planes.doubling.weight".to_owned(), weight, Some(spread)),
                b.add("planes.doubling.bias".to_owned(), vec![plane_channels], Some(0.0)),
            )
        },
        decoder: (0..=shape.config.hidden_layers)
            .map(|index| {
                let inputs = if index == 0 { 3 * plane_channels } else { neurons };
                let outputs = if index == shape.config.hidden_layers { 4 } else { neurons };
                b.linear(&format!("decoder.{index}"), (inputs, outputs), true, 1.4)
            })
            .collect(),
    };
    (b, layout)
}

/// The network with its parameters.
#[derive(Debug)]
pub struct ShapesModel {
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
    infos: Vec<ParameterInfo>,
    parameters: Vec<Tensor<1>>,
    device: Device,
}

impl ShapesModel {
    /// A network with fresh weights.
    #[must_use]
    pub fn new(shape: Shape, seed: u64, device: &Device) -> Self {
        let (builder, layout) = built(&shape);
        let (mut infos, mut parameters) = (Vec::new(), Vec::new());
        for (index, (info, spread)) in builder.0.into_iter().enumerate() {
            let count = info.elements();
            let values = match spread {
                None => vec![1.0; count],
                Some(0.0) => vec![0.0; count],
                Some(spread) => {
                    let stream = splitmix64(splitmix64(seed) ^ index as u64);
                    (0..count as u64).map(|at| spread * crate::random::normal(stream, at) as f32).collect()
                }
            };
            parameters.push(vector(values, device));
            infos.push(info);
        }
        Self { shape, layout, infos, parameters, device: device.clone() }
    }

    /// All values, in the order of [`Trainable::parameters`].
    pub(crate) fn values(&self) -> Vec<Vec<f32>> {
        self.parameters.iter().map(|parameter| floats(parameter.clone())).collect()
    }

    /// How many numbers are learned.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.infos.iter().map(ParameterInfo::elements).sum()
    }

    /// These weights, as [`Trainable::state`] names them, under the names and in the shapes in which inference reads them.
    #[must_use]
    pub fn exported(&self, state: &State) -> State {
        let mut to = State::new();
        let mut put = |name: String, shape: Vec<usize>, values: Vec<f32>| {
            to.insert(name, StateTensor { shape, values });
        };
        let layout = &self.layout;
        let values = |place: usize| state[&self.infos[place].name].values.as_slice();
        let whole = |put: &mut dyn FnMut(String, Vec<usize>, Vec<f32>), name: &str, layer: &Linear| {
            let shape = vec![layer.outputs, layer.inputs];
            put(format!("{name}.weight"), shape, values(layer.weight).to_vec());
            if let Some(bias) = layer.bias {
                put(format!("{name}.bias"), vec![layer.outputs], values(bias).to_vec());
            }
        };
        let norm = |put: &mut dyn FnMut(String, Vec<usize>, Vec<f32>), name: &str, layer: &Norm| {
            for (part, place) in [("weight", layer.gamma), ("bias", layer.beta)] {
                put(format!("{name}.{part}"), vec![values(place).len()], values(place).to_vec());
            }
        };
        // Equal parts of a layer's outputs, under names of their own.
        let parts = |put: &mut dyn FnMut(String, Vec<usize>, Vec<f32>), names: &[String], layer: &Linear| {
            let own = layer.outputs / names.len();
            for (index, name) in names.iter().enumerate() {
                let rows = &values(layer.weight)[index * own * layer.inputs..][..own * layer.inputs];
                put(format!("{name}.weight"), vec![own, layer.inputs], rows.to_vec());
                if let Some(bias) = layer.bias {
                    put(format!("{name}.bias"), vec![own], values(bias)[index * own..][..own].to_vec());
                }
            }
        };
        let seen = self.shape.config.image_width;
        let readers =
            |put: &mut dyn FnMut(String, Vec<usize>, Vec<f32>), prefix: &str, readers: &[Reader]| {
                for (layer, own) in readers.iter().enumerate() {
                    let name = |part: &str| format!("{prefix}.encoder.layer.{layer}.{part}");
                    norm(put, &name("layernorm_before"), &own.attention.norm);
                    let names =
                        ["query", "key", "value"].map(|part| name(&format!("attention.attention.{part}")));
                    parts(put, &names, &own.attention.query_key_value);
                    whole(put, &name("attention.output.dense"), &own.attention.output);
                    norm(put, &name("layernorm_after"), &own.feed_forward.norm);
                    whole(put, &name("intermediate.dense"), &own.feed_forward.up);
                    whole(put, &name("output.dense"), &own.feed_forward.down);
                }
            };
        let prefix = "image_tokenizer.model";
        let projection = format!("{prefix}.embeddings.patch_embeddings.projection");
        put(
            format!("{projection}.weight"),
            vec![seen, 3, PATCH, PATCH],
            values(layout.patch.weight).to_vec(),
        );
        if let Some(bias) = layout.patch.bias {
            put(format!("{projection}.bias"), vec![seen], values(bias).to_vec());
        }
        put(format!("{prefix}.embeddings.cls_token"), vec![1, 1, seen], values(layout.class).to_vec());
        let positions = values(layout.positions);
        let name = format!("{prefix}.embeddings.position_embeddings");
        put(name, vec![1, positions.len() / seen, seen], positions.to_vec());
        readers(&mut put, prefix, &layout.vision);
        norm(&mut put, &format!("{prefix}.layernorm"), &layout.vision_norm);
        let prefix = "text_tokenizer.model";
        let words = values(layout.words);
        put(format!("{prefix}.embeddings.word_embeddings"), vec![words.len() / seen, seen], words.to_vec());
        let places = values(layout.places);
        put(
            format!("{prefix}.embeddings.position_embeddings"),
            vec![captions::LENGTH, seen],
            places.to_vec(),
        );
        readers(&mut put, prefix, &layout.text);
        norm(&mut put, &format!("{prefix}.layernorm"), &layout.text_norm);

        let TripoSrConfig { channels, plane_side: side, plane_channels, .. } = self.shape.config;
        let (tokens, cells) = (values(layout.tokens), side * side);
        let mut turned = vec![0.0; tokens.len()];
        for (at, value) in turned.iter_mut().enumerate() {
            let (plane, channel, cell) = (at / cells / channels, at / cells % channels, at % cells);
            *value = tokens[(plane * cells + cell) * channels + channel];
        }
        put("tokenizer.embeddings".to_owned(), vec![3, channels, side, side], turned);
        for (part, place) in [("weight", layout.group.0), ("bias", layout.group.1)] {
            put(format!("backbone.norm.{part}"), vec![channels], values(place).to_vec());
        }
        whole(&mut put, "backbone.proj_in", &layout.into);
        whole(&mut put, "backbone.proj_out", &layout.out);
        for (layer, own) in layout.shapers.iter().enumerate() {
            let name = |part: &str| format!("backbone.transformer_blocks.{layer}.{part}");
            norm(&mut put, &name("norm1"), &own.own.norm);
            norm(&mut put, &name("norm2"), &own.cross.norm);
            norm(&mut put, &name("norm3"), &own.feed_forward.norm);
            let names = ["to_q", "to_k", "to_v"].map(|part| name(&format!("attn1.{part}")));
            parts(&mut put, &names, &own.own.query_key_value);
            whole(&mut put, &name("attn1.to_out.0"), &own.own.output);
            whole(&mut put, &name("attn2.to_q"), &own.cross.query);
            let names = ["to_k", "to_v"].map(|part| name(&format!("attn2.{part}")));
            parts(&mut put, &names, &own.cross.key_value);
            whole(&mut put, &name("attn2.to_out.0"), &own.cross.output);
            // There the gate comes last.
            let up = &own.feed_forward.up;
            let swapped = |place: usize| {
                let (gate, let_through) = values(place).split_at(values(place).len() / 2);
                [let_through, gate].concat()
            };
            put(name("ff.net.0.proj.weight"), vec![up.outputs, up.inputs], swapped(up.weight));
            if let Some(bias) = up.bias {
                put(name("ff.net.0.proj.bias"), vec![up.outputs], swapped(bias));
            }
            whole(&mut put, &name("ff.net.2"), &own.feed_forward.down);
        }
        let doubling = values(layout.doubling.0);
        let mut kernel = vec![0.0; doubling.len()];
        for (at, value) in kernel.iter_mut().enumerate() {
            let (input, plane, corner) = (at / 4 / plane_channels, at / 4 % plane_channels, at % 4);
            *value = doubling[(corner * plane_channels + plane) * channels + input];
        }
        put("post_processor.upsample.weight".to_owned(), vec![channels, plane_channels, 2, 2], kernel);
        let bias = values(layout.doubling.1).to_vec();
        put("post_processor.upsample.bias".to_owned(), vec![plane_channels], bias);
        for (index, layer) in layout.decoder.iter().enumerate() {
            whole(&mut put, &format!("decoder.layers.{}", 2 * index), layer);
        }
        to
    }
}

impl Trainable for ShapesModel {
    type Error = Error;

    fn parameters(&self) -> Vec<ParameterInfo> {
        self.infos.clone()
    }

    fn update(&mut self, mut change: impl FnMut(usize, Tensor<1>) -> Tensor<1>) {
        let old = std::mem::take(&mut self.parameters);
        self.parameters = old.into_iter().enumerate().map(|(index, value)| change(index, value)).collect();
    }

    fn state(&self) -> State {
        let tensors = self.infos.iter().zip(self.values());
        tensors
            .map(|(info, values)| (info.name.clone(), StateTensor { shape: info.shape.clone(), values }))
            .collect()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        let mut parameters = Vec::new();
        for info in &self.infos {
            let tensor = state.get(&info.name).filter(|tensor| tensor.shape == info.shape);
            let tensor = tensor.ok_or_else(|| {
                Error::Request(format!(
                    "the checkpoint has no `{}` of shape {:?}; expected one that this run has written",
                    info.name, info.shape
                ))
            })?;
            parameters.push(vector(tensor.values.clone(), &self.device));
        }
        self.parameters = parameters;
        Ok(())
    }

    fn device(&self) -> &Device {
        &self.device
    }
}
