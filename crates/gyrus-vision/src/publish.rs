//! A network as a folder for the Hugging Face hub: `config.json`, `preprocessor_config.json` and tensors with the names of
//! another program, where that program has the architecture, so that it opens there; otherwise in a layout of our own, which
//! [`Model::open`](crate::Model::open) reads.
//!
//! A layout counts as that of another program only if reading it back gives the same network and the same numbers.

use std::path::Path;

use gyrus_blueprint::{Blueprint, NodeKind};
use gyrus_data::{Filter, Preprocessing};
use gyrus_files::State;
use gyrus_formats::{Checkpoint, Tensor};
use serde_json::{Map, Value, json};

use crate::checkpoint::Tensors;
use crate::config::Config;
use crate::families::{self, recognize};
use crate::{Model, Result};

/// Who can open a published folder besides Gyrus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// `timm.create_model("local-dir:FOLDER")`
    Timm,
    /// `transformers.AutoModelForImageClassification.from_pretrained("FOLDER")`
    Transformers,
    /// Gyrus alone.
    Gyrus,
}

impl Library {
    /// Its name on the hub.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Timm => "timm",
            Self::Transformers => "transformers",
            Self::Gyrus => "gyrus",
        }
    }
}

/// The files of a published network, but for its card.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Who can open it.
    pub library: Library,
    /// What the network is called there.
    pub architecture: String,
    /// `config.json`
    pub config: Value,
    /// `preprocessor_config.json`
    pub processor: Value,
    /// The tensors.
    pub tensors: State,
    /// `blueprint.toml`, in our own layout.
    pub blueprint: Option<String>,
}

/// Tensors under the names of another program, and what its configuration says.
pub(crate) struct Foreign {
    pub(crate) library: Library,
    pub(crate) architecture: String,
    pub(crate) tensors: State,
    /// What makes the architecture this network: `model_args` in timm, fields of the configuration in transformers.
    pub(crate) sizes: Map<String, Value>,
    /// What each node is called there, where that differs.
    pub(crate) renamed: fn(&str) -> Option<String>,
}

/// The files of a network.
///
/// # Errors
/// What the blueprint's shapes say.
pub fn layout(model: &Model) -> Result<Layout> {
    let processor = processor(&model.preprocessing);
    for foreign in families::foreign(&model.blueprint, &model.parameters) {
        let config = config(model, &foreign);
        if reads_back(model, &foreign, &config) {
            let Foreign { library, architecture, tensors, .. } = foreign;
            return Ok(Layout { library, architecture, config, processor, tensors, blueprint: None });
        }
    }
    let architecture = model.blueprint.name.clone();
    let config = json!({
        "architecture": architecture,
        "library_name": "gyrus",
        "num_classes": model.classes.len(),
        "label_names": model.classes,
        "gyrus": {"preprocessing": model.preprocessing},
    });
    let (library, tensors) = (Library::Gyrus, model.parameters.clone());
    let blueprint = Some(model.blueprint.to_toml()?);
    Ok(Layout { library, architecture, config, processor, tensors, blueprint })
}

/// Whether the tensors are read as the same network with the same numbers.
fn reads_back(model: &Model, foreign: &Foreign, config: &Value) -> bool {
    let tensors = foreign
        .tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), Tensor::of_floats(tensor.shape.clone(), tensor.values.clone())));
    let tensors = Tensors::of(&Checkpoint::new(Path::new("published"), tensors.collect()));
    let Ok(config) = Config::of_values(Path::new("published"), config) else { return false };
    let Ok(architecture) = recognize(&tensors, &config) else { return false };
    let Ok(parameters) = tensors.parameters(&architecture) else { return false };
    let named = |name: &str| (foreign.renamed)(name).unwrap_or_else(|| name.to_owned());
    let (own, read) = (&model.blueprint, &architecture.blueprint);
    let rename = |name: &str| match name.rsplit_once('.') {
        Some((node, parameter)) if own.index_of(node).is_some() => format!("{}.{parameter}", named(node)),
        _ => name.to_owned(),
    };
    let same_numbers = model.parameters.len() == parameters.len()
        && model.parameters.iter().all(|(name, tensor)| {
            parameters.get(&rename(name)).is_some_and(|other| other.values == tensor.values)
        });
    same_numbers && same_nodes(own, read, &named)
}

/// Whether two blueprints compute the same, node by node; dropouts do nothing in inference.
fn same_nodes(own: &Blueprint, read: &Blueprint, named: &dyn Fn(&str) -> String) -> bool {
    let edges = |of: &Blueprint, named: &dyn Fn(&str) -> String| {
        let name = |node: usize| named(&of.nodes()[node].name);
        let mut edges: Vec<(String, String)> =
            of.edges().iter().map(|&(from, to)| (name(from), name(to))).collect();
        edges.sort();
        edges
    };
    let same = |name: &str, kind: &NodeKind| {
        let other = read.index_of(&named(name)).map(|node| &read.nodes()[node].kind);
        match (kind, other) {
            (NodeKind::Dropout { .. }, Some(NodeKind::Dropout { .. })) => true,
            // The weight of a new batch says nothing about inference.
            (NodeKind::BatchNorm { epsilon: a, .. }, Some(NodeKind::BatchNorm { epsilon: b, .. })) => a == b,
            (kind, other) => other == Some(kind),
        }
    };
    own.nodes().iter().all(|node| same(&node.name, &node.kind))
        && edges(own, named) == edges(read, &|name| name.to_owned())
}

/// The configuration in another program's form.
fn config(model: &Model, foreign: &Foreign) -> Value {
    let Preprocessing::Image { height, channels, mean, deviation, resize, .. } = &model.preprocessing else {
        return Value::Null;
    };
    let shorter = resize.and_then(|resize| resize.shorter_side);
    let count = model.classes.len();
    match foreign.library {
        Library::Transformers => {
            let mut config = foreign.sizes.clone();
            let numbered = || model.classes.iter().enumerate();
            let names: Map<String, Value> =
                numbered().map(|(id, name)| (id.to_string(), name.as_str().into())).collect();
            let ids: Map<String, Value> = numbered().map(|(id, name)| (name.clone(), id.into())).collect();
            config.insert("architectures".to_owned(), json!([foreign.architecture]));
            config.insert("id2label".to_owned(), names.into());
            config.insert("label2id".to_owned(), ids.into());
            config.insert("num_channels".to_owned(), (*channels).into());
            config.insert("image_size".to_owned(), (*height).into());
            config.insert("gyrus".to_owned(), json!({"preprocessing": model.preprocessing}));
            config.into()
        }
        _ => {
            let mut config = json!({
                "architecture": foreign.architecture,
                "num_classes": count,
                "label_names": model.classes,
                "pretrained_cfg": {
                    "input_size": [channels, height, height],
                    "num_classes": count,
                    "mean": mean,
                    "std": deviation,
                    "interpolation": filter(resize.map(|resize| resize.filter)).0,
                    "crop_pct": shorter.map_or(1.0, |shorter| share(*height, shorter)),
                    "crop_mode": if shorter.is_some() { "center" } else { "squash" },
                },
                "gyrus": {"preprocessing": model.preprocessing},
            });
            let mut sizes = foreign.sizes.clone();
            if *channels != 3 {
                sizes.insert("in_chans".to_owned(), (*channels).into());
            }
            if !sizes.is_empty() {
                config["model_args"] = sizes.into();
            }
            config
        }
    }
}

/// The share of the resized picture that is kept, so that the side over it, rounded down, is the shorter side.
fn share(side: usize, shorter: usize) -> f64 {
    let round = (1000.0 * side as f64 / shorter as f64).round() / 1000.0;
    if (side as f64 / round).floor() as usize == shorter {
        round
    } else {
        side as f64 / (shorter as f64 + 0.5)
    }
}

/// The name of a filter in timm, and its number in Pillow. Without one, pictures are resized with the cubic kernel.
fn filter(filter: Option<Filter>) -> (&'static str, u8) {
    match filter {
        Some(Filter::Bilinear) => ("bilinear", 2),
        Some(Filter::Lanczos) => ("lanczos", 1),
        Some(Filter::Bicubic) | None => ("bicubic", 3),
    }
}

/// The configuration of transformers' image processors.
fn processor(preprocessing: &Preprocessing) -> Value {
    let Preprocessing::Image { height, width, mean, deviation, resize, .. } = preprocessing else {
        return Value::Null;
    };
    let mut processor = json!({
        "do_resize": true,
        "resample": filter(resize.map(|resize| resize.filter)).1,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": mean,
        "image_std": deviation,
    });
    match resize.and_then(|resize| resize.shorter_side) {
        Some(shorter) => {
            processor["image_processor_type"] = "BitImageProcessor".into();
            processor["size"] = json!({"shortest_edge": shorter});
            processor["do_center_crop"] = true.into();
            processor["crop_size"] = json!({"height": height, "width": width});
        }
        None => {
            processor["image_processor_type"] = "ViTImageProcessor".into();
            processor["size"] = json!({"height": height, "width": width});
        }
    }
    processor
}
