//! Vision transformers (Dosovitskiy et al. 2020, arXiv:2010.11929), and what is one: DINOv2 (Oquab et al. 2023,
//! arXiv:2304.07193) and the image tower of CLIP (Radford et al. 2021, arXiv:2103.00020), with the names of timm and
//! transformers.
//!
//! A picture is cut into patches, each becomes a token by one convolution; a class token and positions are added; each block
//! lets tokens attend to each other and passes each through a hidden layer. Linear layers over tokens are 1-wide
//! convolutions.

use gyrus_blueprint::{Blueprint, NodeKind, Shape};
use gyrus_files::{State, StateTensor};
use serde_json::{Map, Value, json};

use super::build::Builder;
use super::{Architecture, IMAGENET_DEVIATION, IMAGENET_MEAN, Origin, Usual, count, extent, siglip};
use crate::Result;
use crate::checkpoint::Tensors;
use crate::config::Config;
use crate::publish::{Foreign, Library};

/// The names of a program's tensors.
struct Names {
    family: &'static str,
    patch: &'static str,
    class_token: &'static str,
    positions: &'static str,
    /// Normalization before the first block.
    before: Option<&'static str>,
    /// How the names of block N begin: this, the number, a dot.
    blocks: &'static str,
    norms: [&'static str; 2],
    /// One layer for queries, keys and values, or three.
    query_key_value: &'static [&'static str],
    projection: &'static str,
    hidden: [&'static str; 2],
    /// Factors by channel behind attention and hidden layer, if there are any.
    scales: [&'static str; 2],
    after: &'static str,
    /// What turns the class token into the answer, if anything does.
    head: &'static str,
    /// Names that are not part of the image's network.
    ignored: &'static [&'static str],
    activation: NodeKind,
    epsilon: f64,
    usual: Usual,
}

/// What timm evaluates vision transformers of its own with.
const HALF: Usual = Usual { side: 224, crop_share: 0.9, bicubic: true, mean: [0.5; 3], deviation: [0.5; 3] };
const DINO: Usual =
    Usual { side: 518, crop_share: 1.0, bicubic: true, mean: IMAGENET_MEAN, deviation: IMAGENET_DEVIATION };
const CLIP: Usual = Usual {
    side: 224,
    crop_share: 1.0,
    bicubic: true,
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    deviation: [0.268_629_54, 0.261_302_6, 0.275_777_1],
};

const SIGLIP: Usual =
    Usual { side: 224, crop_share: 1.0, bicubic: true, mean: [0.5; 3], deviation: [0.5; 3] };

const SEPARATE: [&str; 3] =
    ["attention.attention.query", "attention.attention.key", "attention.attention.value"];

fn programs() -> [Names; 5] {
    let timm = Names {
        family: "Vision Transformer",
        patch: "patch_embed.proj",
        class_token: "cls_token",
        positions: "pos_embed",
        before: None,
        blocks: "blocks.",
        norms: ["norm1", "norm2"],
        query_key_value: &["attn.qkv"],
        projection: "attn.proj",
        hidden: ["mlp.fc1", "mlp.fc2"],
        scales: ["ls1.gamma", "ls2.gamma"],
        after: "norm",
        head: "head",
        ignored: &["mask_token"],
        activation: NodeKind::GELU,
        epsilon: 1e-6,
        usual: HALF,
    };
    let vit = Names {
        family: "Vision Transformer",
        patch: "vit.embeddings.patch_embeddings.projection",
        class_token: "vit.embeddings.cls_token",
        positions: "vit.embeddings.position_embeddings",
        before: None,
        blocks: "vit.encoder.layer.",
        norms: ["layernorm_before", "layernorm_after"],
        query_key_value: &SEPARATE,
        projection: "attention.output.dense",
        hidden: ["intermediate.dense", "output.dense"],
        scales: ["", ""],
        after: "vit.layernorm",
        head: "classifier",
        ignored: &["vit.pooler."],
        activation: NodeKind::GELU,
        epsilon: 1e-12,
        usual: Usual { crop_share: 1.0, bicubic: false, ..HALF },
    };
    let dino = Names {
        family: "DINOv2",
        patch: "embeddings.patch_embeddings.projection",
        class_token: "embeddings.cls_token",
        positions: "embeddings.position_embeddings",
        before: None,
        blocks: "encoder.layer.",
        norms: ["norm1", "norm2"],
        query_key_value: &SEPARATE,
        projection: "attention.output.dense",
        hidden: ["mlp.fc1", "mlp.fc2"],
        scales: ["layer_scale1.lambda1", "layer_scale2.lambda1"],
        after: "layernorm",
        head: "classifier",
        ignored: &["embeddings.mask_token"],
        activation: NodeKind::GELU,
        epsilon: 1e-6,
        usual: DINO,
    };
    let clip = Names {
        family: "CLIP image tower",
        patch: "vision_model.embeddings.patch_embedding",
        class_token: "vision_model.embeddings.class_embedding",
        positions: "vision_model.embeddings.position_embedding.weight",
        before: Some("vision_model.pre_layrnorm"),
        blocks: "vision_model.encoder.layers.",
        norms: ["layer_norm1", "layer_norm2"],
        query_key_value: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        projection: "self_attn.out_proj",
        hidden: ["mlp.fc1", "mlp.fc2"],
        scales: ["", ""],
        after: "vision_model.post_layernorm",
        head: "visual_projection",
        ignored: &["text_model.", "text_projection.", "logit_scale", "vision_model.embeddings.position_ids"],
        activation: NodeKind::QuickGELU,
        epsilon: 1e-5,
        usual: CLIP,
    };
    let siglip = Names {
        family: "SigLIP image tower",
        class_token: "",
        before: None,
        head: "",
        ignored: &[
            "text_model.",
            "logit_scale",
            "logit_bias",
            "vision_model.embeddings.position_ids",
            PROBE,
            "vision_model.head.attention.in_proj_",
        ],
        activation: NodeKind::TanhGELU,
        epsilon: 1e-6,
        usual: SIGLIP,
        ..clip
    };
    [timm, vit, dino, clip, siglip]
}

/// The query of SigLIP's pooling.
pub(super) const PROBE: &str = "vision_model.head.probe";

/// Heads of published networks are this wide.
const HEAD_WIDTH: usize = 64;

pub(super) fn recognize(tensors: &Tensors, config: &Config) -> Result<Option<Architecture>> {
    let found = programs().into_iter().find(|names| {
        tensors.has(&format!("{}.weight", names.patch))
            && (tensors.has(names.class_token) || names.class_token.is_empty() && tensors.has(PROBE))
            && tensors.has(names.positions)
    });
    let Some(names) = found else { return Ok(None) };
    let extent = |name: &str, axis: usize| tensors.extent(&format!("{name}.weight"), axis).unwrap_or(1);
    let (width, patch) = (extent(names.patch, 0), extent(names.patch, 2).max(1));
    // [1, tokens, width] or [tokens, width]
    let positions = tensors.shape(names.positions).and_then(|shape| shape.iter().rev().nth(1)).copied();
    let more = usize::from(!names.class_token.is_empty());
    let grid = positions.unwrap_or(2).saturating_sub(more).isqrt();
    let side = grid.max(1) * patch;
    let heads = config.heads.unwrap_or((width / HEAD_WIDTH).max(1));
    let norm = || NodeKind::ChannelLayerNorm { epsilon: names.epsilon };
    let biased = |name: &str| tensors.has(&format!("{name}.bias"));
    let patches = NodeKind::conv2d(width, patch).stride(patch).bias(biased(names.patch));
    let mut builder = Builder::new("vit", [extent(names.patch, 1), side, side])
        .node(names.patch, patches)
        .node("tokens", NodeKind::Flatten { start_axis: 1, end_axis: None });
    if !names.class_token.is_empty() {
        builder = builder
            .node("class_token", NodeKind::ClassToken)
            .origin("token", Origin::Named(names.class_token.to_owned()));
    }
    builder = builder
        .node("positions", NodeKind::PositionEmbedding)
        .origin("positions", Origin::Named(names.positions.to_owned()));
    if let Some(before) = names.before {
        builder = builder.node(before, norm());
    }
    for block in 0.. {
        let name = |part: &str| format!("{}{block}.{part}", names.blocks);
        if !tensors.has(&name(&format!("{}.weight", names.norms[0]))) {
            break;
        }
        let scaled = |builder: Builder, which: usize| {
            let stored = name(names.scales[which]);
            if names.scales[which].is_empty() || !tensors.has(&stored) {
                return builder;
            }
            builder
                .node(name(&format!("scale{which}")), NodeKind::LayerScale)
                .origin("scale", Origin::Named(stored))
        };
        let entry = builder.last();
        let parts: Vec<String> = names.query_key_value.iter().map(|part| name(part)).collect();
        let joined = |parameter: &str| {
            Origin::Joined(parts.iter().map(|part| format!("{part}.{parameter}")).collect())
        };
        let has_bias = biased(&parts[0]);
        builder = builder
            .node(name(names.norms[0]), norm())
            .node(name("qkv"), NodeKind::conv1d(3 * width, 1).bias(has_bias))
            .origin("weight", joined("weight"));
        if has_bias {
            builder = builder.origin("bias", joined("bias"));
        }
        builder = builder
            .node(name("attention"), NodeKind::SelfAttention { heads })
            .node(name(names.projection), NodeKind::conv1d(width, 1));
        builder = scaled(builder, 0).node(name("add1"), NodeKind::Add).also(&entry);
        let entry = builder.last();
        let [widen, narrow] = names.hidden.map(name);
        builder = builder
            .node(name(names.norms[1]), norm())
            .node(&widen, NodeKind::conv1d(extent(&widen, 0), 1))
            .node(name("activation"), names.activation.clone())
            .node(&narrow, NodeKind::conv1d(extent(&narrow, 0), 1));
        builder = scaled(builder, 1).node(name("add2"), NodeKind::Add).also(&entry);
    }
    if names.class_token.is_empty() {
        builder = siglip::pooled(builder, tensors, (width, heads), (names.after, names.epsilon))?;
    } else {
        builder = builder
            .node("select", NodeKind::SelectToken { index: 0 })
            .node(names.after, NodeKind::LayerNorm { epsilon: names.epsilon });
    }
    if !names.head.is_empty() && tensors.has(&format!("{}.weight", names.head)) {
        let outputs = extent(names.head, 0);
        let kind = if biased(names.head) { NodeKind::affine(outputs) } else { NodeKind::linear(outputs) };
        builder = builder.node(names.head, kind);
    }
    let (blueprint, origins) = builder.build()?;
    let is_dino = patch == 14 && tensors.has("blocks.0.ls1.gamma");
    let family = if is_dino { "DINOv2" } else { names.family };
    let usual = if is_dino { DINO } else { names.usual };
    let ignored = names.ignored.iter().map(|prefix| (*prefix).to_owned()).collect();
    Ok(Some(Architecture { family, blueprint, origins, ignored, usual }))
}

/// As timm's vision transformers or transformers' `ViTForImageClassification`, with their sizes.
pub(super) fn foreign(blueprint: &Blueprint, parameters: &State) -> Option<Foreign> {
    let [timm, vit, ..] = programs();
    let weight = |name: &str| format!("{name}.weight");
    let names = [timm, vit].into_iter().find(|names| {
        parameters.contains_key(&weight(names.patch)) && parameters.contains_key(&weight(names.head))
    })?;
    let heads = blueprint.nodes().iter().find_map(|node| match node.kind {
        NodeKind::SelfAttention { heads } => Some(heads),
        _ => None,
    })?;
    let (width, patch) =
        (extent(parameters, &weight(names.patch), 0)?, extent(parameters, &weight(names.patch), 2)?);
    let depth = count(parameters, names.blocks, ".qkv.weight");
    let hidden = extent(parameters, &format!("{}0.{}.weight", names.blocks, names.hidden[0]), 0)?;
    let is_timm = names.query_key_value.len() == 1;
    let scaled = parameters.contains_key(&format!("{}0.scale0.scale", names.blocks));
    let mut tensors = State::new();
    for (name, tensor) in parameters {
        let mut tensor = tensor.clone();
        let block = name.strip_prefix(names.blocks).and_then(|rest| rest.split_once('.'));
        let prefix = block.map_or_else(String::new, |(number, _)| format!("{}{number}.", names.blocks));
        match (name.as_str(), block.map(|(_, part)| part)) {
            ("class_token.token", _) => {
                tensor.shape = vec![1, 1, width];
                tensors.insert(names.class_token.to_owned(), tensor);
            }
            ("positions.positions", _) => {
                tensor.shape.insert(0, 1);
                tensors.insert(names.positions.to_owned(), tensor);
            }
            (_, Some("scale0.scale")) => drop(tensors.insert(format!("{prefix}{}", names.scales[0]), tensor)),
            (_, Some("scale1.scale")) => drop(tensors.insert(format!("{prefix}{}", names.scales[1]), tensor)),
            (_, Some(part @ ("qkv.weight" | "qkv.bias"))) => {
                let parameter = part.trim_start_matches("qkv.");
                if part == "qkv.weight" {
                    tensor.shape.truncate(2);
                }
                tensor.shape[0] /= names.query_key_value.len();
                let parts = names.query_key_value.len();
                for (own, values) in
                    names.query_key_value.iter().zip(tensor.values.chunks(tensor.values.len() / parts))
                {
                    let part = StateTensor { shape: tensor.shape.clone(), values: values.to_vec() };
                    tensors.insert(format!("{prefix}{own}.{parameter}"), part);
                }
            }
            (_, Some(_)) => {
                // Linear layers over tokens are 1-wide convolutions here.
                tensor.shape.truncate(2);
                tensors.insert(name.clone(), tensor);
            }
            _ => drop(tensors.insert(name.clone(), tensor)),
        }
    }
    let Shape(input) = blueprint.nodes().iter().find_map(|node| match &node.kind {
        NodeKind::Input { shape } => Some(shape.clone()),
        _ => None,
    })?;
    let mut sizes = Map::new();
    let mut say = |name: &str, value: Value| sizes.insert(name.to_owned(), value);
    let architecture = if is_timm {
        say("img_size", json!(input.get(1)));
        say("patch_size", json!(patch));
        say("embed_dim", json!(width));
        say("depth", json!(depth));
        say("num_heads", json!(heads));
        say("mlp_ratio", json!(hidden as f64 / width as f64));
        if scaled {
            say("init_values", json!(1.0));
        }
        "vit_small_patch16_224"
    } else {
        say("model_type", json!("vit"));
        say("patch_size", json!(patch));
        say("hidden_size", json!(width));
        say("num_hidden_layers", json!(depth));
        say("num_attention_heads", json!(heads));
        say("intermediate_size", json!(hidden));
        say("layer_norm_eps", json!(names.epsilon));
        "ViTForImageClassification"
    };
    let library = if is_timm { Library::Timm } else { Library::Transformers };
    Some(Foreign { library, architecture: architecture.to_owned(), tensors, sizes, renamed: |_| None })
}
