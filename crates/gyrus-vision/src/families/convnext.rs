//! ConvNeXt (Liu et al. 2022, arXiv:2201.03545) with the names of torchvision, timm and transformers.
//!
//! A block filters each channel by itself (7x7), normalizes the channels of each pixel, and passes them through a hidden layer
//! with GELU; the result is scaled by channel and added to the input.

use gyrus_blueprint::{Blueprint, NodeKind};
use gyrus_files::State;
use serde_json::{Map, json};

use super::build::Builder;
use super::{Architecture, Origin, Usual, extent};
use crate::Result;
use crate::checkpoint::Tensors;
use crate::publish::{Foreign, Library};

/// The names of a program's tensors: a function of stage and block.
struct Names {
    stem: [&'static str; 2],
    /// Normalization and convolution before a stage, from the second on.
    downsample: fn(usize) -> [String; 2],
    /// How a block's names begin.
    block: fn(usize, usize) -> String,
    /// Filter, normalization, and the two layers behind it.
    parts: [&'static str; 4],
    /// The factor by channel, behind the block's prefix.
    scale: &'static str,
    head: [&'static str; 2],
}

const TORCHVISION: Names = Names {
    stem: ["features.0.0", "features.0.1"],
    downsample: |stage| [0, 1].map(|part| format!("features.{}.{part}", 2 * stage)),
    block: |stage, block| format!("features.{}.{block}.", 2 * stage + 1),
    parts: ["block.0", "block.2", "block.3", "block.5"],
    scale: "layer_scale",
    head: ["classifier.0", "classifier.2"],
};

const TIMM: Names = Names {
    stem: ["stem.0", "stem.1"],
    downsample: |stage| [0, 1].map(|part| format!("stages.{stage}.downsample.{part}")),
    block: |stage, block| format!("stages.{stage}.blocks.{block}."),
    parts: ["conv_dw", "norm", "mlp.fc1", "mlp.fc2"],
    scale: "gamma",
    head: ["head.norm", "head.fc"],
};

const TRANSFORMERS: Names = Names {
    stem: ["convnext.embeddings.patch_embeddings", "convnext.embeddings.layernorm"],
    downsample: |stage| {
        [0, 1].map(|part| format!("convnext.encoder.stages.{stage}.downsampling_layer.{part}"))
    },
    block: |stage, block| format!("convnext.encoder.stages.{stage}.layers.{block}."),
    parts: ["dwconv", "layernorm", "pwconv1", "pwconv2"],
    scale: "layer_scale_parameter",
    head: ["convnext.layernorm", "classifier"],
};

pub(super) fn recognize(tensors: &Tensors, side: &dyn Fn(&Usual) -> usize) -> Result<Option<Architecture>> {
    let programs = [TORCHVISION, TIMM, TRANSFORMERS];
    let weight = |name: &str| format!("{name}.weight");
    let found = programs.into_iter().find(|names| {
        let block = (names.block)(0, 0);
        tensors.has(&weight(names.stem[0])) && tensors.has(&format!("{block}{}", names.scale))
    });
    let Some(names) = found else { return Ok(None) };
    let extent = |name: &str, axis: usize| tensors.extent(&weight(name), axis).unwrap_or(1);
    let norm = || NodeKind::ChannelLayerNorm { epsilon: 1e-6 };
    let side = side(&Usual::IMAGENET);
    let [stem, stem_norm] = names.stem;
    let patch = extent(stem, 2);
    let mut builder = Builder::new("convnext", [extent(stem, 1), side, side])
        .node(stem, NodeKind::conv2d(extent(stem, 0), patch).stride(patch))
        .node(stem_norm, norm());
    let mut width = extent(stem, 0);
    for stage in 0.. {
        let parts = |block: usize| names.parts.map(|part| format!("{}{part}", (names.block)(stage, block)));
        if !tensors.has(&weight(&parts(0)[0])) {
            break;
        }
        if stage > 0 {
            let [normalize, conv] = (names.downsample)(stage);
            width = extent(&conv, 0);
            let kernel = extent(&conv, 2);
            builder =
                builder.node(normalize, norm()).node(&conv, NodeKind::conv2d(width, kernel).stride(kernel));
        }
        for block in 0.. {
            let [filter, normalize, widen, narrow] = parts(block);
            if !tensors.has(&weight(&filter)) {
                break;
            }
            let prefix = (names.block)(stage, block);
            let entry = builder.last();
            let kernel = extent(&filter, 2);
            builder = builder
                .node(&filter, NodeKind::conv2d(width, kernel).padding(kernel / 2).groups(width))
                .node(normalize, norm())
                .node(&widen, NodeKind::conv2d(extent(&widen, 0), 1))
                .node(format!("{prefix}act"), NodeKind::GELU)
                .node(&narrow, NodeKind::conv2d(extent(&narrow, 0), 1))
                .node(format!("{prefix}scale"), NodeKind::LayerScale)
                .origin("scale", Origin::Named(format!("{prefix}{}", names.scale)))
                .node(format!("{prefix}add"), NodeKind::Add)
                .also(&entry);
        }
    }
    let [head_norm, head] = names.head;
    let (blueprint, origins) = builder
        .node("avgpool", NodeKind::GlobalAvgPool)
        .node(head_norm, NodeKind::LayerNorm { epsilon: 1e-6 })
        .node(head, NodeKind::affine(extent(head, 0)))
        .build()?;
    let usual = Usual { bicubic: !tensors.has(&weight(TORCHVISION.stem[0])), ..Usual::IMAGENET };
    Ok(Some(Architecture { family: "ConvNeXt", blueprint, origins, ignored: Vec::new(), usual }))
}

/// As timm's `convnext_tiny` or transformers' `ConvNextForImageClassification`, with depths and widths.
pub(super) fn foreign(_: &Blueprint, parameters: &State) -> Option<Foreign> {
    let stem = |names: &Names| format!("{}.weight", names.stem[0]);
    let names = [TIMM, TRANSFORMERS].into_iter().find(|names| parameters.contains_key(&stem(names)))?;
    let filter = |stage, block| format!("{}{}.weight", (names.block)(stage, block), names.parts[0]);
    let depth = |stage| (0..).take_while(|&block| parameters.contains_key(&filter(stage, block))).count();
    let depths: Vec<usize> = (0..).map(depth).take_while(|depth| *depth > 0).collect();
    let widths: Vec<usize> =
        (0..depths.len()).filter_map(|stage| extent(parameters, &filter(stage, 0), 0)).collect();
    let is_timm = names.stem[0] == TIMM.stem[0];
    let patch = extent(parameters, &stem(&names), 2)?;
    let mut sizes = Map::new();
    let mut tensors = State::new();
    for (name, tensor) in parameters {
        let mut tensor = tensor.clone();
        let name = match name.strip_suffix("scale.scale") {
            Some(block) => format!("{block}{}", names.scale),
            None => name.clone(),
        };
        // The 1x1 convolutions are linear layers there.
        if names.parts[2..].iter().any(|part| name.ends_with(&format!("{part}.weight"))) {
            tensor.shape.truncate(2);
        }
        tensors.insert(name, tensor);
    }
    let (library, architecture) = if is_timm {
        sizes.insert("depths".to_owned(), json!(depths));
        sizes.insert("dims".to_owned(), json!(widths));
        sizes.insert("patch_size".to_owned(), json!(patch));
        (Library::Timm, "convnext_tiny")
    } else {
        sizes.insert("model_type".to_owned(), json!("convnext"));
        sizes.insert("depths".to_owned(), json!(depths));
        sizes.insert("hidden_sizes".to_owned(), json!(widths));
        sizes.insert("num_stages".to_owned(), json!(depths.len()));
        sizes.insert("patch_size".to_owned(), json!(patch));
        (Library::Transformers, "ConvNextForImageClassification")
    };
    Some(Foreign { library, architecture: architecture.to_owned(), tensors, sizes, renamed: |_| None })
}
