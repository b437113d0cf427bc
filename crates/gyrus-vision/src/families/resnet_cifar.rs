//! The residual networks of He et al. 2015 (arXiv:1512.03385, section 4.2) for CIFAR-10: 6n + 2 layers, with identities as
//! shortcuts that leave out every second pixel and append channels of zeros (their option A), as in Y. Idelbayev's PyTorch
//! program, whose weights are the best known.
//!
//! Such a shortcut is a 1x1 convolution with stride 2 whose filters pass one channel on or nothing. As that it stands in the
//! blueprint; its weights are given and not stored in a checkpoint.

use gyrus_blueprint::NodeKind;

use super::build::Builder;
use super::{Architecture, IMAGENET_DEVIATION, IMAGENET_MEAN, Origin, Usual};
use crate::Result;
use crate::checkpoint::Tensors;

const USUAL: Usual =
    Usual { side: 32, crop_share: 1.0, bicubic: false, mean: IMAGENET_MEAN, deviation: IMAGENET_DEVIATION };

pub(super) fn recognize(tensors: &Tensors, side: &dyn Fn(&Usual) -> usize) -> Result<Option<Architecture>> {
    let (Some(&[outputs, _]), Some(&[first, channels, 3, 3])) =
        (tensors.shape("linear.weight"), tensors.shape("conv1.weight"))
    else {
        return Ok(None);
    };
    let projected = tensors.names().any(|name| name.contains(".shortcut.") || name.contains(".conv3."));
    if projected || tensors.has("layer4.0.conv1.weight") || !tensors.has("layer3.0.conv1.weight") {
        return Ok(None);
    }
    let depths: Vec<usize> =
        (1..=3).map(|stage| tensors.count(&format!("layer{stage}."), ".conv1.weight")).collect();
    let layers = 2 * depths.iter().sum::<usize>() + 2;
    let side = side(&USUAL);
    let conv = |outputs, stride| NodeKind::conv2d(outputs, 3).stride(stride).padding(1);
    let mut builder = Builder::new(&format!("resnet{layers}"), [channels, side, side])
        .conv_norm("conv1", conv(first, 1), "bn1")
        .node("relu", NodeKind::ReLU);
    let mut width = first;
    for (stage, &blocks) in depths.iter().enumerate() {
        for block in 0..blocks {
            let name = |part: &str| format!("layer{}.{block}.{part}", stage + 1);
            let outputs = tensors.extent(&name("conv1.weight"), 0).unwrap_or(width);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let entry = builder.last();
            builder = builder
                .conv_norm(&name("conv1"), conv(outputs, stride), &name("bn1"))
                .node(name("relu1"), NodeKind::ReLU)
                .conv_norm(&name("conv2"), conv(outputs, 1), &name("bn2"));
            if stride == 1 && outputs == width {
                builder = builder.node(name("relu2"), NodeKind::ReLU).also(&entry);
            } else {
                let skip = NodeKind::conv2d(outputs, 1).stride(stride).bias(false);
                builder = builder
                    .from(&entry)
                    .node(name("shortcut"), skip)
                    .origin("weight", Origin::Given(padded_identity(width, outputs)))
                    .node(name("relu2"), NodeKind::ReLU)
                    .also(&name("bn2"));
            }
            width = outputs;
        }
    }
    let (blueprint, origins) =
        builder.node("avgpool", NodeKind::GlobalAvgPool).node("linear", NodeKind::affine(outputs)).build()?;
    Ok(Some(Architecture { family: "CIFAR ResNet", blueprint, origins, ignored: Vec::new(), usual: USUAL }))
}

/// Filters `[outputs, inputs]` that pass input channel `c` on to output channel `c + padding`, with as many zero channels
/// before as behind.
fn padded_identity(inputs: usize, outputs: usize) -> Vec<f32> {
    let before = outputs.saturating_sub(inputs) / 2;
    let mut weight = vec![0.0; outputs * inputs];
    for channel in 0..inputs.min(outputs) {
        weight[(channel + before) * inputs + channel] = 1.0;
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::padded_identity;

    #[test]
    fn channels_of_zeros_lie_on_both_sides() {
        assert_eq!(padded_identity(1, 4), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(padded_identity(2, 4), [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }
}
