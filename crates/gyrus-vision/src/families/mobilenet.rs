//! Networks of inverted residual blocks: MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) with torchvision's names, and
//! EfficientNet-Lite (Tan and Le 2019, arXiv:1905.11946, without squeeze-and-excitation and with ReLU6) with the names of
//! `efficientnet-lite-pytorch`; both also with those of timm.
//!
//! A block widens by a 1x1 convolution, filters each channel by itself, and narrows by another 1x1 convolution without
//! activation; where stride and width allow, its input is added.

use gyrus_blueprint::{Blueprint, Conv2d, NodeKind, Padding};
use gyrus_files::State;
use serde_json::Map;

use super::build::Builder;
use super::{Architecture, Usual, count, extent};
use crate::Result;
use crate::checkpoint::Tensors;
use crate::publish::{Foreign, Library};

/// Where a block's tensors are.
struct Block {
    /// Convolution and normalization that widen; the first block has none.
    expand: Option<[String; 2]>,
    depthwise: [String; 2],
    project: [String; 2],
    /// How the names of the nodes without parameters begin.
    prefix: String,
    stride: usize,
}

/// What distinguishes the programs.
struct Form {
    family: &'static str,
    name: String,
    /// Convolution and normalization before and behind the blocks.
    stem: [String; 2],
    head: [String; 2],
    classifier: String,
    blocks: Vec<Block>,
    /// Zeros as TensorFlow pads, more behind than before.
    tensorflow: bool,
    epsilon: f64,
    usual: Usual,
}

/// Strides of MobileNetV2's stages (table 2 of the paper), by block.
const MOBILENET_STRIDES: [usize; 17] = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1];
/// Strides of the first block of each stage: MobileNetV2's, which EfficientNet shares.
const STAGE_STRIDES: [usize; 7] = [1, 2, 2, 2, 1, 2, 1];
/// Blocks of EfficientNet-Lite0's stages (B0's).
const LITE0_DEPTHS: [usize; 7] = [1, 2, 2, 3, 3, 4, 1];

/// Depth coefficients of Lite0 to Lite4.
const LITE_DEPTH_FACTORS: [f64; 5] = [1.0, 1.1, 1.2, 1.4, 1.8];

/// How TensorFlow's EfficientNet-Lite saw ImageNet: bytes minus 127, over 128.
const LITE: Usual = Usual {
    side: 224,
    crop_share: 0.875,
    bicubic: true,
    mean: [127.0 / 255.0; 3],
    deviation: [128.0 / 255.0; 3],
};

pub(super) fn recognize(tensors: &Tensors, side: &dyn Fn(&Usual) -> usize) -> Result<Option<Architecture>> {
    let form = torchvision(tensors).or_else(|| lukemelas(tensors)).or_else(|| timm(tensors));
    match form {
        Some(form) => build(tensors, form, side).map(Some),
        None => Ok(None),
    }
}

fn torchvision(tensors: &Tensors) -> Option<Form> {
    if !tensors.has("features.0.0.weight") || !tensors.has("features.1.conv.0.0.weight") {
        return None;
    }
    let count = (1..).take_while(|block| tensors.has(&format!("features.{block}.conv.0.0.weight"))).count();
    if count != MOBILENET_STRIDES.len() {
        return None;
    }
    let blocks = (1..=count).map(|block| {
        let name = |part: &str| format!("features.{block}.conv.{part}");
        let expands = tensors.has(&name("1.0.weight"));
        let at = usize::from(expands);
        Block {
            expand: expands.then(|| [name("0.0"), name("0.1")]),
            depthwise: [name(&format!("{at}.0")), name(&format!("{at}.1"))],
            project: [name(&(at + 1).to_string()), name(&(at + 2).to_string())],
            prefix: format!("features.{block}"),
            stride: MOBILENET_STRIDES[block - 1],
        }
    });
    let last = count + 1;
    Some(Form {
        family: "MobileNetV2",
        name: "mobilenetv2".to_owned(),
        stem: ["features.0.0".to_owned(), "features.0.1".to_owned()],
        head: [format!("features.{last}.0"), format!("features.{last}.1")],
        classifier: "classifier.1".to_owned(),
        blocks: blocks.collect(),
        tensorflow: false,
        epsilon: 1e-5,
        usual: Usual::IMAGENET,
    })
}

fn lukemelas(tensors: &Tensors) -> Option<Form> {
    // Squeeze-and-excitation is what Lite leaves out.
    if !tensors.has("_conv_stem.weight") || tensors.names().any(|name| name.contains("._se_")) {
        return None;
    }
    let count = tensors.count("_blocks.", "._depthwise_conv.weight");
    let strides = lite_strides(count)?;
    let blocks = strides.into_iter().enumerate().map(|(block, stride)| {
        let name = |part: &str| format!("_blocks.{block}.{part}");
        Block {
            expand: tensors.has(&name("_expand_conv.weight")).then(|| [name("_expand_conv"), name("_bn0")]),
            depthwise: [name("_depthwise_conv"), name("_bn1")],
            project: [name("_project_conv"), name("_bn2")],
            prefix: format!("_blocks.{block}"),
            stride,
        }
    });
    Some(Form {
        family: "EfficientNet-Lite",
        name: "efficientnet-lite".to_owned(),
        stem: ["_conv_stem".to_owned(), "_bn0".to_owned()],
        head: ["_conv_head".to_owned(), "_bn1".to_owned()],
        classifier: "_fc".to_owned(),
        blocks: blocks.collect(),
        tensorflow: true,
        epsilon: 1e-3,
        usual: LITE,
    })
}

/// Blocks of the stages of Lite0 to Lite4; the first and the last stage keep their one block.
fn lite_depths(which: usize) -> [usize; 7] {
    let factor = LITE_DEPTH_FACTORS[which];
    std::array::from_fn(|stage| match stage {
        0 | 6 => LITE0_DEPTHS[stage],
        _ => (LITE0_DEPTHS[stage] as f64 * factor).ceil() as usize,
    })
}

/// The strides of EfficientNet-Lite's blocks; `None` for a number of blocks that no published one has.
fn lite_strides(count: usize) -> Option<Vec<usize>> {
    (0..LITE_DEPTH_FACTORS.len()).find_map(|which| {
        let strides: Vec<usize> = lite_depths(which)
            .into_iter()
            .zip(STAGE_STRIDES)
            .flat_map(|(depth, stride)| (0..depth).map(move |block| if block == 0 { stride } else { 1 }))
            .collect();
        (strides.len() == count).then_some(strides)
    })
}

fn timm(tensors: &Tensors) -> Option<Form> {
    let plain = tensors.names().all(|name| !name.contains(".se."));
    if !tensors.has("conv_stem.weight") || !tensors.has("blocks.0.0.conv_dw.weight") || !plain {
        return None;
    }
    let mut blocks = Vec::new();
    for (stage, stride) in STAGE_STRIDES.into_iter().enumerate() {
        let prefix = format!("blocks.{stage}.");
        let depth = tensors.count(&prefix, ".conv_dw.weight");
        for block in 0..depth {
            let name = |part: &str| format!("{prefix}{block}.{part}");
            let expands = tensors.has(&name("conv_pwl.weight"));
            let (filter, project) =
                if expands { ("bn2", ["conv_pwl", "bn3"]) } else { ("bn1", ["conv_pw", "bn2"]) };
            blocks.push(Block {
                expand: expands.then(|| [name("conv_pw"), name("bn1")]),
                depthwise: [name("conv_dw"), name(filter)],
                project: project.map(name),
                prefix: format!("{prefix}{block}"),
                stride: if block == 0 { stride } else { 1 },
            });
        }
    }
    // MobileNetV2 has 3x3 filters only.
    let lite =
        blocks.iter().any(|block| tensors.extent(&format!("{}.weight", block.depthwise[0]), 2) == Some(5));
    Some(Form {
        family: if lite { "EfficientNet-Lite" } else { "MobileNetV2" },
        name: if lite { "efficientnet-lite" } else { "mobilenetv2" }.to_owned(),
        stem: ["conv_stem".to_owned(), "bn1".to_owned()],
        head: ["conv_head".to_owned(), "bn2".to_owned()],
        classifier: "classifier".to_owned(),
        blocks,
        tensorflow: lite,
        epsilon: if lite { 1e-3 } else { 1e-5 },
        usual: if lite { LITE } else { Usual { bicubic: true, ..Usual::IMAGENET } },
    })
}

/// A builder that knows the extents of the last image.
struct Network<'a> {
    builder: Builder,
    tensors: &'a Tensors,
    form: &'a Form,
    side: usize,
}

impl Network<'_> {
    fn extent(&self, conv: &str, axis: usize) -> usize {
        self.tensors.extent(&format!("{conv}.weight"), axis).unwrap_or(1)
    }

    /// A convolution with its normalization, and an activation of this name.
    fn conv(
        mut self,
        [conv, norm]: &[String; 2],
        stride: usize,
        groups: usize,
        activation: Option<&str>,
    ) -> Self {
        let kernel = self.extent(conv, 2);
        let padding = match self.form.tensorflow {
            true => Padding::same_upper([self.side; 2], [kernel; 2], [stride; 2], [1; 2]),
            false => Padding::Explicit([kernel / 2; 2]),
        };
        let kind = Conv2d { padding, ..NodeKind::conv2d(self.extent(conv, 0), kernel) };
        let kind = kind.stride(stride).groups(groups).bias(false);
        let normalized = NodeKind::BatchNorm { epsilon: self.form.epsilon, momentum: 0.1 };
        self.side = self.side.div_ceil(stride);
        self.builder = self.builder.node(conv, kind).node(norm, normalized);
        if let Some(name) = activation {
            self.builder = self.builder.node(name, NodeKind::ReLU6);
        }
        self
    }
}

fn build(tensors: &Tensors, form: Form, side: &dyn Fn(&Usual) -> usize) -> Result<Architecture> {
    let side = side(&form.usual);
    let channels = tensors.extent(&format!("{}.weight", form.stem[0]), 1).unwrap_or(3);
    let outputs = tensors.extent(&format!("{}.weight", form.classifier), 0).unwrap_or(1);
    let builder = Builder::new(&form.name, [channels, side, side]);
    let network = Network { builder, tensors, form: &form, side };
    let mut network = network.conv(&form.stem, 2, 1, Some("stem.act"));
    let mut width = network.extent(&form.stem[0], 0);
    for block in &form.blocks {
        let act = |which: &str| format!("{}.{which}", block.prefix);
        let entry = network.builder.last();
        if let Some(expand) = &block.expand {
            network = network.conv(expand, 1, 1, Some(&act("expand_act")));
        }
        let groups = network.extent(&block.depthwise[0], 0);
        network = network.conv(&block.depthwise, block.stride, groups, Some(&act("act")));
        network = network.conv(&block.project, 1, 1, None);
        let outputs = network.extent(&block.project[0], 0);
        if block.stride == 1 && outputs == width {
            network.builder = network.builder.node(act("add"), NodeKind::Add).also(&entry);
        }
        width = outputs;
    }
    let network = network.conv(&form.head, 1, 1, Some("head.act"));
    let (blueprint, origins) = network
        .builder
        .node("avgpool", NodeKind::GlobalAvgPool)
        .node("dropout", NodeKind::dropout(0.2))
        .node(form.classifier.clone(), NodeKind::affine(outputs))
        .build()?;
    let (family, usual) = (form.family, form.usual);
    Ok(Architecture { family, blueprint, origins, ignored: Vec::new(), usual })
}

/// As timm's `mobilenetv2_100`, or `tf_efficientnet_lite0` to `lite4`, also from the names of `efficientnet-lite-pytorch`.
pub(super) fn foreign(_: &Blueprint, parameters: &State) -> Option<Foreign> {
    let usual = |stem: &str| extent(parameters, &format!("{stem}.weight"), 0) == Some(32);
    // The head reads as many channels as the width coefficient says.
    let lite = |blocks: usize, head: &str| {
        let which =
            (0..LITE_DEPTH_FACTORS.len()).find(|&which| lite_depths(which).iter().sum::<usize>() == blocks)?;
        let read = extent(parameters, &format!("{head}.weight"), 1)?;
        (read == [320, 320, 352, 384, 448][which]).then_some(which)
    };
    let timm = |architecture: String, tensors, renamed| {
        Some(Foreign { library: Library::Timm, architecture, tensors, sizes: Map::new(), renamed })
    };
    if usual("_conv_stem") {
        let which = lite(count(parameters, "_blocks.", "._depthwise_conv.weight"), "_conv_head")?;
        let renamed = LUKEMELAS_TO_TIMM[which];
        let names = parameters.iter().map(|(name, tensor)| {
            let (node, parameter) = name.rsplit_once('.')?;
            Some((format!("{}.{parameter}", renamed(node)?), tensor.clone()))
        });
        return timm(format!("tf_efficientnet_lite{which}"), names.collect::<Option<_>>()?, renamed);
    }
    if usual("conv_stem") {
        let depths = (0..7).map(|stage| count(parameters, &format!("blocks.{stage}."), ".conv_dw.weight"));
        let depths: Vec<usize> = depths.collect();
        let wide = parameters
            .iter()
            .any(|(name, tensor)| name.ends_with("conv_dw.weight") && tensor.shape.get(2) == Some(&5));
        let architecture = match wide {
            true => format!("tf_efficientnet_lite{}", lite(depths.iter().sum(), "conv_head")?),
            false => "mobilenetv2_100".to_owned(),
        };
        return timm(architecture, parameters.clone(), |_| None);
    }
    None
}

/// What nodes of `efficientnet-lite-pytorch` are called in timm, for each of the depths.
const LUKEMELAS_TO_TIMM: [fn(&str) -> Option<String>; 5] = [
    |node| timm_name(node, 0),
    |node| timm_name(node, 1),
    |node| timm_name(node, 2),
    |node| timm_name(node, 3),
    |node| timm_name(node, 4),
];

fn timm_name(node: &str, which: usize) -> Option<String> {
    let whole = match node {
        "_conv_stem" => "conv_stem",
        "_bn0" => "bn1",
        "_conv_head" => "conv_head",
        "_bn1" => "bn2",
        "_fc" => "classifier",
        other => other,
    };
    let Some((block, part)) = node.strip_prefix("_blocks.").and_then(|rest| rest.split_once('.')) else {
        return Some(whole.to_owned());
    };
    let mut block: usize = block.parse().ok()?;
    let mut stage = 0;
    for depth in lite_depths(which) {
        if block < depth {
            break;
        }
        block -= depth;
        stage += 1;
    }
    // The first stage's block does not widen.
    let part = match (part, stage) {
        ("_depthwise_conv", _) => "conv_dw",
        ("_expand_conv", _) | ("_project_conv", 0) => "conv_pw",
        ("_project_conv", _) => "conv_pwl",
        ("_bn0", _) | ("_bn1", 0) => "bn1",
        ("_bn1", _) | ("_bn2", 0) => "bn2",
        ("_bn2", _) => "bn3",
        (other, _) => other,
    };
    Some(format!("blocks.{stage}.{block}.{part}"))
}
