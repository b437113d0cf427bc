//! Low-rank adapters in PEFT's format: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! An adapter changes linear layers of a model: `W x` becomes `W x + scale * B (A x)`, with `A` `[rank, inputs]` and `B`
//! `[outputs, rank]` (LoRA, Hu et al. 2021), and `scale = alpha / rank` or `alpha / sqrt(rank)` (rsLoRA, Kalajdzievski 2023).
//! Tensors are named `base_model.model.<module>.lora_A.weight`, with the module names of Hugging Face's `transformers`. Rows
//! of `B` are ordered as in `transformers`, so an adapter fits a model read from any format. Other PEFT features that would
//! change the result are refused by name.

mod config;

use std::collections::BTreeMap;
use std::path::Path;

use gyrus_files::{State, StateTensor, write_atomically};
use gyrus_formats::{Bytes, Checkpoint, Tensor, safetensors};

pub use config::{AdapterConfig, DEFAULT_TARGETS};

use crate::config::Parameter;
use crate::config::rope::{halved_rows, interleaved_rows};
use crate::small::read_small;
use crate::{DecoderConfig, Error, Family, Result, Role};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// The prefix that PEFT adds to the names of a model's modules.
pub const ADAPTER_PREFIX: &str = "base_model.model.";
/// The highest rank that is accepted.
const MAXIMUM_RANK: usize = 1 << 14;

/// The adapter of one linear layer.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterPart {
    /// Rows of `A` and columns of `B`.
    pub rank: usize,
    /// Factor of `B A`.
    pub scale: f32,
    /// `A`, `[rank, inputs]`.
    pub down: Vec<f32>,
    /// `B`, `[outputs, rank]`.
    pub up: Vec<f32>,
}

/// A low-rank adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// How it was made.
    pub config: AdapterConfig,
    /// The adapted linear layers by module name, such as `model.layers.0.self_attn.q_proj`.
    pub parts: BTreeMap<String, AdapterPart>,
}

impl Adapter {
    /// Whether a folder contains an adapter.
    #[must_use]
    pub fn is_at(folder: &Path) -> bool {
        folder.join(CONFIG).is_file()
    }

    /// Reads an adapter from its folder.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Field`] for PEFT features that Gyrus does not support, [`gyrus_formats::Error::Tensor`] for
    /// tensors that are not a pair of `A` and `B`, [`gyrus_formats::Error::Mismatch`] and [`gyrus_formats::Error::Format`]
    /// for damaged files.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let config = AdapterConfig::parse(&path, &read_small(&path)?)?;
        let path = folder.join(WEIGHTS);
        Self::parse(config, &path, &Bytes::map(&path)?)
    }

    /// Reads an adapter's tensors; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn parse(config: AdapterConfig, path: &Path, bytes: &Bytes) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        safetensors::parse(path, bytes, &mut tensors)?;
        let mut parts = BTreeMap::new();
        for (name, down) in &tensors {
            let Some(module) =
                name.strip_prefix(ADAPTER_PREFIX).and_then(|rest| rest.strip_suffix(".lora_A.weight"))
            else {
                let other = name.strip_suffix(".lora_B.weight").map(|stem| format!("{stem}.lora_A.weight"));
                if other.is_some_and(|other| tensors.contains_key(&other)) {
                    continue;
                }
                let expected = "base_model.model.<module>.lora_A.weight and .lora_B.weight in pairs";
                return Err(Error::tensor(path, name, "a tensor that would go unused", expected));
            };
            let other = format!("{ADAPTER_PREFIX}{module}.lora_B.weight");
            let up = tensors
                .get(&other)
                .ok_or_else(|| Error::tensor(path, other, "no such tensor", "one for each lora_A"))?;
            let (&[rank, inputs], &[outputs, columns]) = (down.shape(), up.shape()) else {
                let got = format!("the shape {:?}", down.shape());
                return Err(Error::tensor(path, name, got, "[rank, inputs], and [outputs, rank] for lora_B"));
            };
            if rank != columns || rank == 0 || rank > MAXIMUM_RANK || inputs == 0 || outputs == 0 {
                let got = format!("[{rank}, {inputs}] and [{outputs}, {columns}]");
                return Err(Error::tensor(
                    path,
                    name,
                    got,
                    format!("one rank up to {MAXIMUM_RANK}, and no dimension of 0"),
                ));
            }
            let scale = config.scale(module, rank);
            parts
                .insert(module.to_owned(), AdapterPart { rank, scale, down: down.floats(), up: up.floats() });
        }
        if parts.is_empty() {
            return Err(Error::mismatch(
                path,
                "no tensors",
                "a pair of tensors for each adapted linear layer",
            ));
        }
        Ok(Self { config, parts })
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` into `folder`, which must exist.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Write`] if a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(WEIGHTS);
        safetensors::write_floats(&path, &self.arrays())?;
        let path = folder.join(CONFIG);
        let text = format!("{:#}\n", self.config.to_json());
        write_atomically(&path, text.as_bytes()).map_err(Error::write(&path))
    }

    /// `A` and `B` of all linear layers, under PEFT's names.
    fn arrays(&self) -> State {
        let mut arrays = State::new();
        for (module, part) in &self.parts {
            let columns = part.down.len() / part.rank.max(1);
            let rows = part.up.len() / part.rank.max(1);
            let mut put = |name: &str, shape: [usize; 2], values: &[f32]| {
                let tensor = StateTensor { shape: shape.to_vec(), values: values.to_vec() };
                arrays.insert(format!("{ADAPTER_PREFIX}{module}.{name}.weight"), tensor);
            };
            put("lora_A", [part.rank, columns], &part.down);
            put("lora_B", [rows, part.rank], &part.up);
        }
        arrays
    }

    /// The adapter of one linear layer, with rows in the model's order; `None` if it has none.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Tensor`] if it does not fit the linear layer.
    pub(crate) fn part(&self, config: &DecoderConfig, parameter: &Parameter) -> Result<Option<AdapterPart>> {
        let Some(part) = self.parts.get(parameter.module()) else { return Ok(None) };
        let (outputs, inputs) = parameter.outputs_and_inputs();
        if part.down.len() != part.rank * inputs || part.up.len() != outputs * part.rank {
            let columns = part.down.len() / part.rank;
            let got = format!("an adapter of {} outputs and {columns} inputs", part.up.len() / part.rank);
            let expected = format!("{outputs} outputs and {inputs} inputs, as the model has");
            return Err(Error::tensor(Path::new(WEIGHTS), parameter.module(), got, expected));
        }
        let mut part = part.clone();
        if is_reordered(config, parameter) {
            part.up = interleaved_rows(&part.up, config.head_width, part.rank);
        }
        Ok(Some(part))
    }

    /// Rows of `B` of one linear layer, reordered from the model's order to that of `transformers`.
    #[must_use]
    pub fn rows_for_hugging_face(
        config: &DecoderConfig,
        parameter: &Parameter,
        rank: usize,
        up: &[f32],
    ) -> Vec<f32> {
        if is_reordered(config, parameter) { halved_rows(up, config.head_width, rank) } else { up.to_vec() }
    }

    /// Fails if the model lacks a linear layer that is adapted.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Tensor`] that names it.
    pub(crate) fn check_all_fit(&self, config: &DecoderConfig) -> Result<()> {
        let parameters = config.parameters();
        let known: Vec<&str> =
            parameters.iter().filter(|p| p.can_be_adapted()).map(Parameter::module).collect();
        match self.parts.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                let expected = "an adapter for linear layers of this model";
                Err(Error::tensor(Path::new(WEIGHTS), name, "no such linear layer in the model", expected))
            }
            None => Ok(()),
        }
    }

    /// Adds the adapter to the weights of a model; the changed weights become 32-bit floats.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Tensor`] if it does not fit the model.
    pub fn merge(&self, config: &DecoderConfig, checkpoint: &mut Checkpoint) -> Result<()> {
        self.check_all_fit(config)?;
        for parameter in config.parameters().into_iter().filter(Parameter::can_be_adapted) {
            let Some(part) = self.part(config, &parameter)? else { continue };
            let tensor = parameter.take_from(&mut checkpoint.clone())?;
            let mut weight = tensor.floats();
            let (outputs, inputs) = parameter.outputs_and_inputs();
            for output in 0..outputs {
                let mut delta = vec![0.0f64; inputs];
                for (rank, up) in part.up[output * part.rank..][..part.rank].iter().enumerate() {
                    let down = &part.down[rank * inputs..][..inputs];
                    delta.iter_mut().zip(down).for_each(|(sum, a)| *sum += f64::from(*up) * f64::from(*a));
                }
                for (input, delta) in delta.iter().enumerate() {
                    let place =
                        if parameter.transposed { input * outputs + output } else { output * inputs + input };
                    weight[place] = (f64::from(weight[place]) + f64::from(part.scale) * delta) as f32;
                }
            }
            parameter.replace_in(checkpoint, Tensor::of_floats(parameter.shape.clone(), weight));
        }
        Ok(())
    }
}

/// Whether the model's rows are interleaved where `transformers` has halves, because of the format it was read from.
fn is_reordered(config: &DecoderConfig, parameter: &Parameter) -> bool {
    let interleaved = config.ropes.first().is_some_and(|rope| rope.interleaved);
    config.family != Family::Glm4 && interleaved && matches!(parameter.role, Role::Query | Role::Key)
}
