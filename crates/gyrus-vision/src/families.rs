//! The families of vision networks that are known, each told by the names of its tensors, and their depths and widths read
//! from the shapes of these.

mod build;
mod convnext;
mod mobilenet;
mod resnet;
mod resnet_cifar;
mod siglip;
mod vit;

use std::collections::BTreeMap;

use gyrus_blueprint::Blueprint;
use gyrus_files::State;

use crate::checkpoint::Tensors;
use crate::config::Config;
use crate::publish::Foreign;
use crate::{Error, Result};

/// The known families.
pub const FAMILIES: [&str; 9] = [
    "CIFAR ResNet",
    "ResNet",
    "MobileNetV2",
    "EfficientNet-Lite",
    "ConvNeXt",
    "Vision Transformer",
    "DINOv2",
    "CLIP image tower",
    "SigLIP image tower",
];

/// A network as a blueprint, and where its parameters come from.
#[derive(Clone, Debug)]
pub struct Architecture {
    /// The family's name.
    pub family: &'static str,
    /// The network, from picture to scores.
    pub blueprint: Blueprint,
    /// Where parameters come from that do not have the same name in the checkpoint.
    pub origins: BTreeMap<String, Origin>,
    /// How names of tensors begin that are not part of the network and may be there.
    pub ignored: Vec<String>,
    /// How it saw its training pictures, unless a configuration says.
    pub usual: Usual,
}

/// Where a parameter comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A tensor of this name.
    Named(String),
    /// Several tensors, one below the other.
    Joined(Vec<String>),
    /// No tensor: these values.
    Given(Vec<f32>),
}

/// How a family's published checkpoints saw their training pictures.
#[derive(Clone, Copy, Debug)]
pub struct Usual {
    /// Side of the square input in pixels.
    pub side: usize,
    /// Side over the shorter side of the resized picture, of which the center is cut out.
    pub crop_share: f64,
    /// Whether pictures are resized by cubic interpolation instead of linear.
    pub bicubic: bool,
    /// Mean per channel, on the scale 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation per channel, on the scale 0 to 1.
    pub deviation: [f32; 3],
}

/// Mean and deviation of ImageNet.
pub(crate) const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
pub(crate) const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

impl Default for Usual {
    fn default() -> Self {
        Self::PLAIN
    }
}

impl Usual {
    /// Brightness from 0 to 1 and nothing else, of the whole picture.
    pub(crate) const PLAIN: Self =
        Self { side: 224, crop_share: 1.0, bicubic: false, mean: [0.0; 3], deviation: [1.0; 3] };

    /// ImageNet at 224 pixels, as torchvision evaluates it.
    pub(crate) const IMAGENET: Self = Self {
        side: 224,
        crop_share: 0.875,
        bicubic: false,
        mean: IMAGENET_MEAN,
        deviation: IMAGENET_DEVIATION,
    };
}

/// The network that these tensors are the parameters of.
///
/// # Errors
/// [`Error::UnknownFamily`], and what a blueprint of such sizes is refused for.
pub(crate) fn recognize(tensors: &Tensors, config: &Config) -> Result<Architecture> {
    let side = |usual: &Usual| config.side.unwrap_or(usual.side);
    let convolutional =
        [resnet_cifar::recognize, resnet::recognize, mobilenet::recognize, convnext::recognize];
    // A network without a tensor on which its shape depends fits nowhere: better to name the tensor than the place.
    let named = |found: Result<Option<Architecture>>| match (found, tensors.take_missed()) {
        (Err(Error::Blueprint(_)), missing) if !missing.is_empty() => Err(Error::Tensors {
            path: tensors.path().to_owned(),
            family: "a known family",
            missing,
            extra: Vec::new(),
            misshapen: Vec::new(),
        }),
        (found, _) => found,
    };
    for family in convolutional {
        if let Some(architecture) = named(family(tensors, &side))? {
            return Ok(architecture);
        }
    }
    if let Some(architecture) = named(vit::recognize(tensors, config))? {
        return Ok(architecture);
    }
    let mut names = tensors.names();
    Err(Error::UnknownFamily {
        path: tensors.path().to_owned(),
        first: names.next().unwrap_or("none at all").to_owned(),
        count: 1 + names.count(),
        known: FAMILIES.join(", "),
    })
}

/// Whether the answers of a family's networks describe a picture, rather than being scores of classes.
pub(crate) fn describes(family: &str) -> bool {
    family.ends_with("image tower")
}

/// The names of the classes of a family's published checkpoints, where all of them have the same; empty otherwise.
pub(crate) fn usual_classes(family: &str, outputs: usize) -> Vec<String> {
    match (family, outputs) {
        ("CIFAR ResNet", 10) => gyrus_data::cifar::CLASSES.map(str::to_owned).to_vec(),
        _ => Vec::new(),
    }
}

/// The network's tensors under the names of other programs that may have its architecture.
pub(crate) fn foreign(blueprint: &Blueprint, parameters: &State) -> Vec<Foreign> {
    let found = [
        resnet::foreign(blueprint, parameters),
        mobilenet::foreign(blueprint, parameters),
        convnext::foreign(blueprint, parameters),
        vit::foreign(blueprint, parameters),
    ];
    found.into_iter().flatten().collect()
}

/// One extent of the shape of a parameter.
fn extent(parameters: &State, name: &str, axis: usize) -> Option<usize> {
    parameters.get(name)?.shape.get(axis).copied()
}

/// How many names there are of the form `prefix` number `suffix`, counted from 0 without a gap.
fn count(parameters: &State, prefix: &str, suffix: &str) -> usize {
    (0..).take_while(|number| parameters.contains_key(&format!("{prefix}{number}{suffix}"))).count()
}
