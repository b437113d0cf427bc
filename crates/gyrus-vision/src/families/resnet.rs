//! The residual networks of He et al. 2015 (arXiv:1512.03385, table 1) for ImageNet: ResNet-18, -34 with basic blocks, -50,
//! -101, -152 with bottlenecks whose stride lies in the 3x3 convolution, as in torchvision and timm.

use gyrus_blueprint::{Blueprint, NodeKind, Pool2d};
use gyrus_files::State;
use serde_json::{Map, json};

use super::build::Builder;
use super::{Architecture, Usual, count, extent};
use crate::Result;
use crate::checkpoint::Tensors;
use crate::publish::{Foreign, Library};

pub(super) fn recognize(tensors: &Tensors, side: &dyn Fn(&Usual) -> usize) -> Result<Option<Architecture>> {
    let (Some(&[outputs, _]), Some(&[first, channels, 7, 7])) =
        (tensors.shape("fc.weight"), tensors.shape("conv1.weight"))
    else {
        return Ok(None);
    };
    if !tensors.has("layer4.0.conv1.weight") {
        return Ok(None);
    }
    let side = side(&Usual::IMAGENET);
    let depths: Vec<usize> =
        (1..=4).map(|stage| tensors.count(&format!("layer{stage}."), ".conv1.weight")).collect();
    let bottleneck = tensors.has("layer1.0.conv3.weight");
    let layers = if bottleneck { 3 } else { 2 } * depths.iter().sum::<usize>() + 2;
    let conv = |outputs, kernel, stride| NodeKind::conv2d(outputs, kernel).stride(stride).padding(kernel / 2);
    let pool = Pool2d { kernel: [3; 2], stride: [2; 2], padding: [1; 2] };
    let mut builder = Builder::new(&format!("resnet{layers}"), [channels, side, side])
        .conv_norm("conv1", conv(first, 7, 2), "bn1")
        .node("relu", NodeKind::ReLU)
        .node("maxpool", NodeKind::MaxPool2d(pool));
    for (stage, &blocks) in depths.iter().enumerate() {
        for block in 0..blocks {
            let name = |part: &str| format!("layer{}.{block}.{part}", stage + 1);
            let width = |part: &str| tensors.extent(&name(part), 0).unwrap_or(first);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let entry = builder.last();
            let last;
            if bottleneck {
                // Grouped 3x3 convolutions (ResNeXt) see fewer input channels than there are.
                let seen = tensors.extent(&name("conv2.weight"), 1).unwrap_or(1).max(1);
                let groups = (width("conv1.weight") / seen).max(1);
                last = name("bn3");
                builder = builder
                    .conv_norm(&name("conv1"), conv(width("conv1.weight"), 1, 1), &name("bn1"))
                    .node(name("relu1"), NodeKind::ReLU)
                    .conv_norm(
                        &name("conv2"),
                        conv(width("conv2.weight"), 3, stride).groups(groups),
                        &name("bn2"),
                    )
                    .node(name("relu2"), NodeKind::ReLU)
                    .conv_norm(&name("conv3"), conv(width("conv3.weight"), 1, 1), &last);
            } else {
                last = name("bn2");
                builder = builder
                    .conv_norm(&name("conv1"), conv(width("conv1.weight"), 3, stride), &name("bn1"))
                    .node(name("relu1"), NodeKind::ReLU)
                    .conv_norm(&name("conv2"), conv(width("conv2.weight"), 3, 1), &last);
            }
            if tensors.has(&name("downsample.0.weight")) {
                let skip = conv(width("downsample.0.weight"), 1, stride);
                builder = builder
                    .from(&entry)
                    .conv_norm(&name("downsample.0"), skip, &name("downsample.1"))
                    .node(name("relu"), NodeKind::ReLU)
                    .also(&last);
            } else {
                builder = builder.node(name("relu"), NodeKind::ReLU).also(&entry);
            }
        }
    }
    let (blueprint, origins) =
        builder.node("avgpool", NodeKind::GlobalAvgPool).node("fc", NodeKind::affine(outputs)).build()?;
    Ok(Some(Architecture {
        family: "ResNet",
        blueprint,
        origins,
        ignored: Vec::new(),
        usual: Usual::IMAGENET,
    }))
}

/// As timm's `resnet18` to `resnet152`; with other depths or widths as arguments of these.
pub(super) fn foreign(_: &Blueprint, parameters: &State) -> Option<Foreign> {
    if !parameters.contains_key("layer4.0.conv1.weight") || !parameters.contains_key("fc.weight") {
        return None;
    }
    let bottleneck = parameters.contains_key("layer1.0.conv3.weight");
    let stage = |stage: usize| format!("layer{stage}.");
    let depths = [1, 2, 3, 4].map(|number| count(parameters, &stage(number), ".conv1.weight"));
    let widths =
        [1, 2, 3, 4].map(|number| extent(parameters, &format!("{}0.conv1.weight", stage(number)), 0));
    let usual = match (bottleneck, depths) {
        (false, [2, 2, 2, 2]) => Some("resnet18"),
        (false, [3, 4, 6, 3]) => Some("resnet34"),
        (true, [3, 4, 6, 3]) => Some("resnet50"),
        (true, [3, 4, 23, 3]) => Some("resnet101"),
        (true, [3, 8, 36, 3]) => Some("resnet152"),
        _ => None,
    };
    let mut sizes = Map::new();
    if usual.is_none() {
        sizes.insert("layers".to_owned(), json!(depths));
    }
    if widths != [64, 128, 256, 512].map(Some) {
        sizes.insert("channels".to_owned(), json!(widths));
    }
    Some(Foreign {
        library: Library::Timm,
        architecture: usual.unwrap_or(if bottleneck { "resnet50" } else { "resnet18" }).to_owned(),
        tensors: parameters.clone(),
        sizes,
        renamed: |_| None,
    })
}
