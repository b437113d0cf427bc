//! A trainable decoder: parameters on a device, and the gradients of its loss.
//!
//! Either all weights are trained, or low-rank adapters of the linear layers (LoRA, Hu et al. 2021) while the model's own
//! weights stay as they are stored, in any format (QLoRA, Dettmers et al. 2023). Linear layers with the same input are one
//! parameter (`[queries; keys; values]`, `[gate; up]`), which costs one matmul forward and two backward;
//! [`TrainableDecoder::state`] splits them under Hugging Face's names, or PEFT's. A step over `t` tokens costs about `6 t`
//! operations per matrix element, `4 t` with adapters, and keeps about
//! `width * 5 + queries * 2 + keys * 2 + feed_forward * 3` floats per token and layer for the backward pass. With
//! [`TrainableDecoder::recompute_layers`] (activation checkpointing) it keeps `width` and computes each layer twice.

use gyrus_files::{State, StateTensor};
use gyrus_formats::Checkpoint;
use gyrus_language::{
    ADAPTER_PREFIX, Adapter, AdapterConfig, AdapterPart, DecoderConfig, Family, Parameter, Role,
};
use gyrus_tensor::{Device, Tensor, TensorData, floats, keep_awake};

use crate::build::{Source, build};
use crate::fused::{Fused, as_stored, as_used};
use crate::network::{Network, Pass};
use crate::random::{mixed, normal};
use crate::{Error, Lora, Result, TextBatch};

/// Standard deviation of fresh weights.
const STD: f32 = 0.02;

/// The most trained parameters: 32 GiB with gradients and moments.
const MAXIMUM_PARAMETERS: usize = 1 << 31;

/// A decoder with trainable parameters.
#[derive(Debug)]
pub struct TrainableDecoder {
    config: DecoderConfig,
    parameters: Vec<Fused>,
    network: Network,
    lora: Option<Lora>,
    recompute: bool,
    device: Device,
}

impl TrainableDecoder {
    /// A decoder with fresh weights: normal with std 0.02, divided by the square root of their number for those that write to
    /// the residual stream (Radford et al. 2019); normalizations are 1.
    ///
    /// # Errors
    /// [`gyrus_language::Error::Request`] for an unsupported shape.
    pub fn new(config: DecoderConfig, seed: u64, device: &Device) -> Result<Self> {
        let layers = config.layers.len().max(1);
        let residual = STD / (2.0 * layers as f32).sqrt();
        let positions = config.maximum_positions;
        Self::trained(config, positions, device, |index, parameter| {
            let count = parameter.shape.iter().product();
            if parameter.bias {
                return Ok(vec![0.0; count]);
            }
            if parameter.shape.len() == 1 {
                return Ok(vec![1.0; count]);
            }
            let std = match parameter.role {
                Role::AttentionOutput | Role::Down => residual,
                _ => STD,
            };
            Ok(normal(seed, index as u64, count).map(|value| value * std).collect())
        })
    }

    /// A decoder with these weights, under Hugging Face's names.
    ///
    /// # Errors
    /// [`gyrus_language::Error::Request`] for an unsupported shape, or a weight that is missing or has another shape.
    pub fn with_state(config: DecoderConfig, state: &State, device: &Device) -> Result<Self> {
        let positions = config.maximum_positions;
        Self::trained(config, positions, device, |_, parameter| Ok(found(state, parameter)?.to_vec()))
    }

    /// A decoder with the weights of a model, all of which are trained, for sequences of at most `positions` tokens.
    ///
    /// # Errors
    /// [`gyrus_language::Error::Request`] for an unsupported shape, [`gyrus_formats::Error::Tensor`] for a tensor that is missing
    /// or has another shape.
    pub fn with_checkpoint(
        config: DecoderConfig,
        mut checkpoint: Checkpoint,
        positions: usize,
        device: &Device,
    ) -> Result<Self> {
        Self::trained(config, positions, device, |_, parameter| {
            Ok(parameter.take_from(&mut checkpoint)?.floats())
        })
    }

    /// A frozen model with fresh adapters, which are trained, for sequences of at most `positions` tokens.
    ///
    /// # Errors
    /// As [`Self::with_checkpoint`], and [`gyrus_language::Error::Request`] for invalid adapters or none.
    pub fn with_adapters(
        config: DecoderConfig,
        checkpoint: Checkpoint,
        lora: Lora,
        seed: u64,
        positions: usize,
        device: &Device,
    ) -> Result<Self> {
        if lora.rank == 0 || !(0.0..1.0).contains(&lora.dropout) || !lora.alpha.is_finite() {
            let got = format!("rank {}, alpha {}, dropout {}", lora.rank, lora.alpha, lora.dropout);
            return Err(Error::request("the adapters", got, "a rank of at least 1, and a dropout below 1"));
        }
        let source = Source::Frozen { checkpoint, lora: &lora, seed };
        let (network, parameters) = build(&config, source, positions, device)?;
        let lora = Some(lora);
        Ok(Self { config, parameters, network, lora, recompute: false, device: device.clone() })
    }

    fn trained(
        config: DecoderConfig,
        positions: usize,
        device: &Device,
        mut values: impl FnMut(usize, &Parameter) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let counts = config.parameters().into_iter().map(|parameter| {
            parameter.shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent))
        });
        let count = counts.into_iter().try_fold(0usize, |sum, count| sum.checked_add(count?));
        if count.is_none_or(|count| count > MAXIMUM_PARAMETERS) {
            let got = count.map_or("too many to count".to_owned(), |count| count.to_string());
            return Err(Error::request(
                "the model's parameters",
                got,
                format!("at most {MAXIMUM_PARAMETERS}"),
            ));
        }
        let (network, parameters) = build(&config, Source::Trained(&mut values), positions, device)?;
        Ok(Self { config, parameters, network, lora: None, recompute: false, device: device.clone() })
    }

    /// Whether layers are recomputed in the backward pass (activation checkpointing): less memory, more time, equal bits.
    pub fn recompute_layers(&mut self, recompute: bool) {
        self.recompute = recompute;
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The number of trained parameters.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(Fused::elements).sum()
    }

    pub(crate) fn parameters(&self) -> &[Fused] {
        &self.parameters
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Replaces each parameter by the result of `change`.
    pub(crate) fn update(&mut self, mut change: impl FnMut(usize, bool, Tensor<1>) -> Tensor<1>) {
        for (index, parameter) in self.parameters.iter_mut().enumerate() {
            let empty = Tensor::zeros([1], &self.device);
            let value = std::mem::replace(&mut parameter.value, empty);
            parameter.value = change(index, parameter.decays(), value);
        }
    }

    /// All trained parameters under Hugging Face's names, or PEFT's for adapters.
    #[must_use]
    pub fn state(&self) -> State {
        self.by_name(self.parameters.iter().map(|parameter| parameter.value.clone()))
    }

    /// Restores parameters from [`Self::state`].
    ///
    /// # Errors
    /// [`gyrus_language::Error::Request`] for a tensor that is missing or has another shape; nothing has changed then.
    pub fn load_state(&mut self, state: &State) -> Result<()> {
        let mut values = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            let mut numbers = Vec::with_capacity(parameter.elements());
            for part in &parameter.parts {
                numbers.extend(as_used(part, found(state, part)?.to_vec()));
            }
            values.push(numbers);
        }
        for (parameter, numbers) in self.parameters.iter_mut().zip(values) {
            let count = numbers.len();
            parameter.value = Tensor::from_data(TensorData::new(numbers, [count]), &self.device);
        }
        Ok(())
    }

    /// Splits values with the layout of the parameters into named arrays.
    fn by_name(&self, values: impl IntoIterator<Item = Tensor<1>>) -> State {
        let mut state = State::new();
        for (parameter, value) in self.parameters.iter().zip(values) {
            let numbers = floats(value);
            let mut rest = &numbers[..];
            for part in &parameter.parts {
                let (values, others) = rest.split_at(part.shape.iter().product());
                let values = as_stored(part, values);
                state.insert(part.name.clone(), StateTensor { shape: part.shape.clone(), values });
                rest = others;
            }
        }
        state
    }

    /// The adapter in `state`, which comes from [`Self::state`], in PEFT's form for the model named `base`; `None` if all weights
    /// are trained.
    #[must_use]
    pub fn adapter(&self, state: &State, base: Option<String>) -> Option<Adapter> {
        let lora = self.lora.as_ref()?;
        let config = AdapterConfig {
            base,
            rank: lora.rank,
            alpha: lora.alpha,
            alpha_pattern: Default::default(),
            root_scaled: false,
            dropout: (f64::from(lora.dropout) * 1e6).round() / 1e6,
            targets: lora.targets.iter().filter(|target| self.adapts(target)).cloned().collect(),
            transposed: self.config.family == Family::Gpt2,
        };
        let mut parts = std::collections::BTreeMap::new();
        for part in self.parameters.iter().flat_map(|parameter| &parameter.parts) {
            let Some(module) =
                part.name.strip_prefix(ADAPTER_PREFIX).and_then(|name| name.strip_suffix(".lora_A.weight"))
            else {
                continue;
            };
            let down = state.get(&part.name)?;
            let up = state.get(&format!("{ADAPTER_PREFIX}{module}.lora_B.weight"))?;
            let up = Adapter::rows_for_hugging_face(&self.config, part, lora.rank, &up.values);
            let scale = config.scale(module, lora.rank);
            let part = AdapterPart { rank: lora.rank, scale, down: down.values.clone(), up };
            parts.insert(module.to_owned(), part);
        }
        Some(Adapter { config, parts })
    }

    /// Whether a linear layer with this end of its name is adapted.
    fn adapts(&self, target: &str) -> bool {
        let end = format!(".{target}.lora_A.weight");
        self.parameters.iter().flat_map(|parameter| &parameter.parts).any(|part| part.name.ends_with(&end))
    }

    /// The mean loss over a batch, in nats per counted token, and the gradient of each parameter. Dropout is a function of
    /// `stream`.
    ///
    /// # Panics
    /// If a token is outside the vocabulary or a sequence is longer than the positions.
    pub(crate) fn gradients(&self, batch: &TextBatch, stream: u64) -> (f32, Vec<Tensor<1>>) {
        let leaves: Vec<Tensor<1>> = self
            .parameters
            .iter()
            .map(|parameter| Tensor::from_inner(parameter.value.clone()).require_grad())
            .collect();
        let mut pass = Pass::new(&self.config, &self.network, &leaves, batch);
        pass.gradients = true;
        let dropout = self.lora.as_ref().map_or(0.0, |lora| lora.dropout);
        pass.dropout = (dropout > 0.0).then(|| (dropout, mixed(stream)));
        let (loss, gradients) = keep_awake(|| match self.recompute {
            false => self.kept(&pass),
            true => self.recomputed(&pass),
        });
        let missing = |leaf: &Tensor<1>| Tensor::zeros(leaf.dims(), &self.device);
        let gradients = gradients
            .into_iter()
            .zip(&leaves)
            .map(|(gradient, leaf)| gradient.unwrap_or_else(|| missing(leaf)));
        (loss, gradients.collect())
    }

    /// Loss and gradients, keeping everything for the backward pass.
    fn kept(&self, pass: &Pass<'_>) -> (f32, Vec<Option<Tensor<1>>>) {
        let loss = pass.loss();
        let mut gradients = loss.backward();
        let found = pass.parameters.iter().map(|leaf| leaf.grad_remove(&mut gradients)).collect();
        (loss.inner().into_scalar::<f32>(), found)
    }

    /// The same, keeping only the residual stream between layers: each layer runs again for its gradient (Chen et al. 2016).
    fn recomputed(&self, pass: &Pass<'_>) -> (f32, Vec<Option<Tensor<1>>>) {
        let values: Vec<Tensor<1>> =
            self.parameters.iter().map(|parameter| parameter.value.clone()).collect();
        let plain = Pass { parameters: &values, gradients: false, scaled: pass.scaled.clone(), ..*pass };
        let mut streams = vec![plain.begin()];
        for index in 0..self.network.layers.len() {
            let last = streams[index].clone();
            streams.push(plain.layer(index, last));
        }
        let mut found: Vec<Option<Tensor<1>>> = vec![None; values.len()];
        let mut collect = |gradients: &mut gyrus_tensor::Gradients| {
            for (found, leaf) in found.iter_mut().zip(pass.parameters) {
                if let Some(gradient) = leaf.grad_remove(gradients) {
                    *found = Some(match found.take() {
                        Some(sum) => sum + gradient,
                        None => gradient,
                    });
                }
            }
        };
        let leaf = |stream: Tensor<2>| Tensor::from_inner(stream).require_grad();
        let x = leaf(streams.pop().unwrap_or_else(|| plain.begin()));
        let loss = pass.end(x.clone());
        let mut gradients = loss.backward();
        let mut slope = x.grad_remove(&mut gradients);
        collect(&mut gradients);
        for index in (0..self.network.layers.len()).rev() {
            let (Some(dy), Some(stream)) = (slope.take(), streams.pop()) else { break };
            // With adapters, nothing is trained below the first layer.
            let x = if index > 0 || self.lora.is_none() { leaf(stream) } else { stream };
            // The gradient of this sum with respect to the layer's output is `dy` itself.
            let y = pass.layer(index, x.clone()) * Tensor::from_inner(dy);
            let mut gradients = y.sum().backward();
            slope = x.grad_remove(&mut gradients);
            collect(&mut gradients);
        }
        if self.lora.is_none()
            && let Some(dy) = slope
        {
            let mut gradients = (pass.begin() * Tensor::from_inner(dy)).sum().backward();
            collect(&mut gradients);
        }
        (loss.inner().into_scalar::<f32>(), found)
    }

    /// The gradients of a batch under the names of [`Self::state`], for tests and tools.
    ///
    /// # Panics
    /// If a token is outside the vocabulary or a sequence is longer than the positions.
    #[must_use]
    pub fn named_gradients(&self, batch: &TextBatch) -> (f32, State) {
        let (loss, gradients) = self.gradients(batch, 0);
        (loss, self.by_name(gradients))
    }

    /// The mean loss over a batch, in nats per counted token.
    ///
    /// # Panics
    /// If a token is outside the vocabulary or a sequence is longer than the positions.
    #[must_use]
    pub fn loss(&self, batch: &TextBatch) -> f32 {
        let values: Vec<Tensor<1>> =
            self.parameters.iter().map(|parameter| parameter.value.clone()).collect();
        let pass = Pass::new(&self.config, &self.network, &values, batch);
        keep_awake(|| pass.loss()).into_scalar::<f32>()
    }
}

/// The values of a tensor in a state.
fn found<'a>(state: &'a State, parameter: &Parameter) -> Result<&'a [f32]> {
    let found = state.get(&parameter.name).filter(|tensor| tensor.shape == parameter.shape);
    let found = found.ok_or_else(|| {
        let expected = format!("`{}` of {:?}", parameter.name, parameter.shape);
        Error::request("weights", "no such tensor", expected)
    })?;
    Ok(&found.values)
}
