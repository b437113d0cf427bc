//! The shape of a model, as its `config.yaml` says it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Error, Result};

/// The shape of a TripoSR model.
#[derive(Clone, Debug, PartialEq)]
pub struct TripoSrConfig {
    /// Side of the picture that the model sees, in pixels.
    pub image_side: usize,
    /// Side of a plane, in tokens.
    pub plane_side: usize,
    /// Elements of a plane's token.
    pub channels: usize,
    /// Layers of the transformer between picture and planes.
    pub layers: usize,
    /// Its heads.
    pub heads: usize,
    /// Elements of a head.
    pub head_width: usize,
    /// Elements of a token of the picture.
    pub image_width: usize,
    /// Channels of a plane after enlarging.
    pub plane_channels: usize,
    /// Elements of the decoder's hidden layers.
    pub neurons: usize,
    /// Its hidden layers.
    pub hidden_layers: usize,
    /// Whether its activation is SiLU; else ReLU.
    pub is_silu: bool,
    /// The object lies within this distance of the origin along each axis.
    pub radius: f32,
    /// Added to the density before the exponential.
    pub density_bias: f32,
    /// Whether the surface is found in the density's logarithm, which is what networks that learned occupancy are smooth in;
    /// the published model's is found in the density itself.
    pub logarithmic: bool,
}

/// Largest number that a field may have.
const MOST: usize = 1 << 14;

impl TripoSrConfig {
    /// The published model (Tochilkin et al. 2024, arXiv:2403.02151).
    #[must_use]
    pub fn published() -> Self {
        Self {
            image_side: 512,
            plane_side: 32,
            channels: 1024,
            layers: 16,
            heads: 16,
            head_width: 64,
            image_width: 768,
            plane_channels: 40,
            neurons: 64,
            hidden_layers: 9,
            is_silu: true,
            radius: 0.87,
            density_bias: -1.0,
            logarithmic: false,
        }
    }

    /// Reads `config.yaml`: plain keys and values, in sections.
    ///
    /// # Errors
    /// If a field is missing, or the model is of another kind.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let fields = Fields { path, values: flat(path, text)? };
        for (field, expected) in [
            ("image_tokenizer_cls", "DINOSingleImageTokenizer"),
            ("tokenizer_cls", "Triplane1DTokenizer"),
            ("backbone_cls", "Transformer1D"),
            ("post_processor_cls", "TriplaneUpsampleNetwork"),
            ("decoder_cls", "NeRFMLP"),
            ("renderer_cls", "TriplaneNeRFRenderer"),
        ] {
            let found = fields.text(field)?;
            if found.rsplit('.').next() != Some(expected) {
                return Err(fields.wrong(field, found, expected));
            }
        }
        for (field, usual) in [
            ("renderer.feature_reduction", "concat"),
            ("renderer.density_activation", "exp"),
            ("renderer.color_activation", "sigmoid"),
            ("backbone.activation_fn", "geglu"),
            ("backbone.attention_bias", "false"),
            ("backbone.norm_num_groups", "32"),
        ] {
            let found = fields.values.get(field).map_or(usual, String::as_str);
            if !found.eq_ignore_ascii_case(usual) {
                return Err(fields.wrong(field, found, usual));
            }
        }
        let activation = fields.text("decoder.activation")?;
        let config = Self {
            image_side: fields.number("cond_image_size")?,
            plane_side: fields.number("tokenizer.plane_size")?,
            channels: fields.number("tokenizer.num_channels")?,
            layers: fields.number("backbone.num_layers")?,
            heads: fields.number("backbone.num_attention_heads")?,
            head_width: fields.number("backbone.attention_head_dim")?,
            image_width: fields.number("backbone.cross_attention_dim")?,
            plane_channels: fields.number("post_processor.out_channels")?,
            neurons: fields.number("decoder.n_neurons")?,
            hidden_layers: fields.number("decoder.n_hidden_layers")?,
            is_silu: activation == "silu",
            radius: fields.float("renderer.radius", None)?,
            density_bias: fields.float("renderer.density_bias", Some(-1.0))?,
            logarithmic: fields
                .values
                .get("renderer.surface")
                .is_some_and(|surface| surface == "logarithmic"),
        };
        if !matches!(activation, "silu" | "relu") {
            return Err(fields.wrong("decoder.activation", activation, "silu or relu"));
        }
        if !config.channels.is_multiple_of(32) {
            return Err(fields.wrong(
                "tokenizer.num_channels",
                &config.channels.to_string(),
                "a multiple of 32",
            ));
        }
        let inputs = fields.number("decoder.in_channels")?;
        if inputs != 3 * config.plane_channels {
            let expected = format!("3 times post_processor.out_channels, {}", 3 * config.plane_channels);
            return Err(fields.wrong("decoder.in_channels", &inputs.to_string(), &expected));
        }
        if config.radius <= 0.0 {
            return Err(fields.wrong("renderer.radius", &config.radius.to_string(), "a number above 0"));
        }
        Ok(config)
    }
}

impl TripoSrConfig {
    /// The text of a `config.yaml` that [`Self::parse`] reads as this.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let Self { channels, plane_channels, .. } = *self;
        let activation = if self.is_silu { "silu" } else { "relu" };
        let surface = if self.logarithmic { "  surface: logarithmic\n" } else { "" };
        format!(
            "cond_image_size: {}\nimage_tokenizer_cls: tsr.models.tokenizers.image.DINOSingleImageTokenizer\n\
             tokenizer_cls: tsr.models.tokenizers.triplane.Triplane1DTokenizer\ntokenizer:\n  plane_size: {}\n  \
             num_channels: {channels}\nbackbone_cls: tsr.models.transformer.transformer_1d.Transformer1D\nbackbone:\n  \
             in_channels: {channels}\n  num_attention_heads: {}\n  attention_head_dim: {}\n  num_layers: {}\n  \
             cross_attention_dim: {}\npost_processor_cls: tsr.models.network_utils.TriplaneUpsampleNetwork\n\
             post_processor:\n  in_channels: {channels}\n  out_channels: {plane_channels}\n\
             decoder_cls: tsr.models.network_utils.NeRFMLP\ndecoder:\n  in_channels: {}\n  n_neurons: {}\n  \
             n_hidden_layers: {}\n  activation: {activation}\n\
             renderer_cls: tsr.models.nerf_renderer.TriplaneNeRFRenderer\nrenderer:\n  radius: {}\n  \
             feature_reduction: concat\n  density_activation: exp\n  density_bias: {}\n{surface}",
            self.image_side,
            self.plane_side,
            self.heads,
            self.head_width,
            self.layers,
            self.image_width,
            3 * plane_channels,
            self.neurons,
            self.hidden_layers,
            self.radius,
            self.density_bias,
        )
    }
}

struct Fields<'a> {
    path: &'a Path,
    values: BTreeMap<String, String>,
}

impl Fields<'_> {
    fn wrong(&self, field: &str, found: &str, expected: &str) -> Error {
        Error::mesh(self.path, format_args!("`{field}`"), found, expected)
    }

    /// A value; `${section.key}` stands for another one.
    fn text(&self, field: &str) -> Result<&str> {
        let mut name = field;
        for _ in 0..8 {
            let Some(value) = self.values.get(name) else { break };
            match value.strip_prefix("${").and_then(|value| value.strip_suffix('}')) {
                Some(other) => name = other,
                None => return Ok(value),
            }
        }
        Err(self.wrong(field, "nothing", "a value, as in the config.yaml of TripoSR"))
    }

    fn number(&self, field: &str) -> Result<usize> {
        let text = self.text(field)?;
        match text.parse() {
            Ok(number) if (1..=MOST).contains(&number) => Ok(number),
            _ => Err(self.wrong(field, text, "a whole number from 1 to 16384")),
        }
    }

    fn float(&self, field: &str, usual: Option<f32>) -> Result<f32> {
        if let (Some(usual), false) = (usual, self.values.contains_key(field)) {
            return Ok(usual);
        }
        let text = self.text(field)?;
        let number: Option<f32> = text.parse().ok().filter(|number: &f32| number.is_finite());
        number.ok_or_else(|| self.wrong(field, text, "a number"))
    }
}

/// `section.key` and value of each line: the part of YAML in which such files are written.
fn flat(path: &Path, text: &str) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let mut section = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or_default().trim_end();
        let key = line.trim_start();
        if key.is_empty() || key.starts_with('#') || key == "---" {
            continue;
        }
        let Some((name, value)) = key.split_once(':') else {
            return Err(Error::mesh(
                path,
                format_args!("line {}", number + 1),
                format!("`{key}`"),
                "a key, a colon and a value",
            ));
        };
        let is_inner = key.len() < line.len();
        let value = value.trim().trim_matches(['"', '\'']);
        if !is_inner {
            name.clone_into(&mut section);
        }
        if !value.is_empty() {
            let full = if is_inner { format!("{section}.{name}") } else { name.to_owned() };
            values.insert(full, value.to_owned());
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "cond_image_size: 512\nimage_tokenizer_cls: tsr.models.tokenizers.image.DINOSingleImageTokenizer\n\
        image_tokenizer:\n  pretrained_model_name_or_path: \"facebook/dino-vitb16\"\n\
        tokenizer_cls: tsr.models.tokenizers.triplane.Triplane1DTokenizer\ntokenizer:\n  plane_size: 32\n  num_channels: 1024\n\
        backbone_cls: tsr.models.transformer.transformer_1d.Transformer1D\nbackbone:\n  in_channels: ${tokenizer.num_channels}\n  \
        num_attention_heads: 16\n  attention_head_dim: 64\n  num_layers: 16\n  cross_attention_dim: 768\n\
        post_processor_cls: tsr.models.network_utils.TriplaneUpsampleNetwork\npost_processor:\n  in_channels: 1024\n  out_channels: 40\n\
        decoder_cls: tsr.models.network_utils.NeRFMLP\ndecoder:\n  in_channels: 120 # 3 * 40\n  n_neurons: 64\n  n_hidden_layers: 9\n  \
        activation: silu\nrenderer_cls: tsr.models.nerf_renderer.TriplaneNeRFRenderer\nrenderer:\n  radius: 0.87 # a comment\n  \
        feature_reduction: concat\n  density_activation: exp\n  density_bias: -1.0\n  num_samples_per_ray: 128\n";

    #[test]
    fn the_published_file_is_read_and_others_are_refused_by_field() {
        let parse = |text: &str| TripoSrConfig::parse(Path::new("config.yaml"), text);
        assert_eq!(parse(TEXT).unwrap(), TripoSrConfig::published());
        let own = TripoSrConfig {
            density_bias: 25f32.ln(),
            logarithmic: true,
            plane_side: 8,
            ..TripoSrConfig::published()
        };
        assert_eq!(parse(&own.to_yaml()).unwrap(), own);
        for (from, to, part) in [
            ("plane_size: 32", "plane_size: many", "`tokenizer.plane_size`: many; expected a whole number"),
            ("NeRFMLP", "SDFMLP", "`decoder_cls`"),
            (
                "density_activation: exp",
                "density_activation: softplus",
                "`renderer.density_activation`: softplus; expected exp",
            ),
            ("in_channels: 120", "in_channels: 100", "expected 3 times"),
            ("  radius: 0.87 # a comment\n", "", "`renderer.radius`: nothing"),
            ("renderer:\n", "renderer\n", "a key, a colon and a value"),
        ] {
            let error = parse(&TEXT.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
