//! A network that others trained, ready to answer: blueprint, parameters, preprocessing, names of its classes.

use std::path::Path;

use gyrus_blueprint::{Blueprint, NodeKind};
use gyrus_data::Preprocessing;
use gyrus_files::State;
use gyrus_nn::Network;
use gyrus_tensor::Device;

use crate::checkpoint::Tensors;
use crate::config::{self, Config};
use crate::families::{Architecture, Usual, recognize};
use crate::{Error, Result, onnx};

/// A network with everything that is needed to use it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The family, such as `ResNet`.
    pub family: &'static str,
    /// The network, from picture to scores.
    pub blueprint: Blueprint,
    /// Its parameters, `<node>.<parameter>`.
    pub parameters: State,
    /// How a picture becomes its input.
    pub preprocessing: Preprocessing,
    /// What its outputs are called, one name each.
    pub classes: Vec<String>,
    /// Whether the names come from the model, or are numbers from 0 on.
    pub named: bool,
}

/// A network whose pictures are of this side cannot be meant.
const MOST_CHANNELS: usize = 3;
/// In a folder that Gyrus wrote, the network.
const BLUEPRINT: &str = "blueprint.toml";

impl Model {
    /// Opens a model file (safetensors, PyTorch's own, ONNX), or a folder with one and its configuration, as [`crate::publish`]
    /// writes it too. `classes` is a file with the names of the outputs, for models that do not know them.
    ///
    /// # Errors
    /// [`Error::NoModel`], [`Error::UnknownFamily`], [`Error::Tensors`] with the list of names that do not fit, and
    /// [`Error::Field`] for a configuration or a list of names that is wrong, [`Error::Onnx`].
    pub fn open(path: &Path, classes: Option<&Path>) -> Result<Self> {
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx")) {
            let mut config = path.parent().map(Config::of_folder).transpose()?.unwrap_or_default();
            if let Some(file) = classes {
                config.classes = config::class_names(file)?;
            }
            let onnx::File { blueprint, parameters, facts } = onnx::read(path)?;
            config.take_facts(&facts);
            return Self::with(path, ("ONNX", blueprint, parameters), &config, (&Usual::PLAIN, classes));
        }
        let tensors = Tensors::read(path)?;
        let folder = if path.is_dir() {
            Some(path)
        } else {
            // The file of a downloaded folder, named instead of the folder.
            let known = ["model.safetensors", "pytorch_model.bin"];
            path.parent()
                .filter(|_| path.file_name().is_some_and(|name| known.iter().any(|known| name == *known)))
        };
        let mut config = folder.map(Config::of_folder).transpose()?.unwrap_or_default();
        if let Some(file) = classes {
            config.classes = config::class_names(file)?;
        }
        // A run folder says more than its weights and its blueprint.
        let own = folder.filter(|folder| !folder.join("run.json").exists());
        if let Some(blueprint) = own.map(|folder| folder.join(BLUEPRINT)).filter(|path| path.is_file()) {
            let blueprint = Blueprint::load(blueprint)?;
            let family = "network of Gyrus";
            let (origins, ignored, usual) = Default::default();
            let architecture = Architecture { family, blueprint, origins, ignored, usual };
            return Self::of(&tensors, architecture, &config, classes);
        }
        Self::of(&tensors, recognize(&tensors, &config)?, &config, classes)
    }

    fn of(
        tensors: &Tensors,
        architecture: Architecture,
        config: &Config,
        classes: Option<&Path>,
    ) -> Result<Self> {
        let parameters = tensors.parameters(&architecture)?;
        let network = (architecture.family, architecture.blueprint, parameters);
        Self::with(tensors.path(), network, config, (&architecture.usual, classes))
    }

    /// A network of a family, which lies at `path`, with its parameters.
    fn with(
        path: &Path,
        (family, blueprint, parameters): (&'static str, Blueprint, State),
        config: &Config,
        (usual, classes): (&Usual, Option<&Path>),
    ) -> Result<Self> {
        let shapes = blueprint.shapes()?;
        let place =
            |wanted: fn(&NodeKind) -> bool| blueprint.nodes().iter().position(|node| wanted(&node.kind));
        let input =
            place(|kind| matches!(kind, NodeKind::Input { .. })).map(|node| shapes.output(node).to_vec());
        let outputs =
            place(|kind| *kind == NodeKind::Output).map_or(0, |node| shapes.output(node).iter().product());
        let Some([channels @ 1..=MOST_CHANNELS, height, width]) = input.as_deref() else {
            return Err(Error::Field {
                path: path.to_owned(),
                field: "input".to_owned(),
                got: format!("{:?}", input.unwrap_or_default()),
                expected: "pictures of 1 or 3 channels".to_owned(),
            });
        };
        let preprocessing = config.preprocessing(*channels, *height, *width, usual);
        // transformers writes two names that mean nothing into every configuration.
        let known = match config.classes.len() {
            count if count == outputs || classes.is_some() => config.classes.clone(),
            _ => crate::families::usual_classes(family, outputs),
        };
        if !known.is_empty() && known.len() != outputs {
            return Err(Error::Field {
                path: classes.unwrap_or(path).to_owned(),
                field: "classes".to_owned(),
                got: format!("{} names", known.len()),
                expected: format!("{outputs}, one for each output of the network"),
            });
        }
        let named = !known.is_empty();
        let classes = if named { known } else { (0..outputs).map(|number| number.to_string()).collect() };
        Ok(Self { family, blueprint, parameters, preprocessing, classes, named })
    }

    /// The network with its parameters on a device.
    ///
    /// # Errors
    /// If the blueprint has a node without a dense body.
    pub fn network(&self, device: &Device) -> Result<Network> {
        Ok(Network::from_state(&self.blueprint, &self.parameters, device)?)
    }

    /// The network as an ONNX file that is to lie at `path`, with its preprocessing and the names of its classes beside it.
    ///
    /// # Errors
    /// [`Error::Onnx`] with the node that ONNX has no operators for.
    pub fn to_onnx(&self, path: &Path) -> Result<Vec<u8>> {
        let json = |value: serde_json::Result<String>| value.unwrap_or_default();
        let mut facts = vec![(config::PREPROCESSING, json(serde_json::to_string(&self.preprocessing)))];
        if self.named {
            facts.push((config::CLASSES, json(serde_json::to_string(&self.classes))));
        }
        onnx::to_bytes(path, &self.blueprint, &self.parameters, &facts)
    }
}
