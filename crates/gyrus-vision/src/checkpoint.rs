//! A checkpoint's tensors by name, whatever file they lie in, with the names that wrappers add taken off.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gyrus_files::{State, StateTensor};
use gyrus_formats::{Checkpoint, Format, Tensor, pytorch, safetensors};

use crate::families::{Architecture, Origin};
use crate::{Error, Result};

/// Endings of PyTorch's own files.
const PYTORCH: [&str; 5] = ["pth", "pt", "th", "bin", "ckpt"];
/// PyTorch's files in a folder of the hub, in place of model.safetensors.
const IN_FOLDER: [&str; 2] = ["pytorch_model.bin", "open_clip_pytorch_model.bin"];
/// What wrappers of a network put before every name.
const WRAPPERS: [&str; 3] = ["module.", "model.", "_orig_mod."];

/// Whether a path looks like a model of another program: a file with such an ending, or a folder with such a file that is no
/// run folder.
#[must_use]
pub fn is_checkpoint(path: &Path) -> bool {
    if path.is_dir() {
        return !path.join("run.json").exists() && in_folder(path).is_some();
    }
    let ending = ending(path);
    path.is_file() && (ending == "safetensors" || ending == "onnx" || PYTORCH.contains(&ending.as_str()))
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// The weights in a folder.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let names = ["model.safetensors", "model.safetensors.index.json"].into_iter().chain(IN_FOLDER);
    names.map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Tensors by name, with what reading them needs.
#[derive(Clone, Debug)]
pub struct Tensors {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
    /// Tensors whose extents were asked for and that are not there.
    missed: RefCell<BTreeSet<String>>,
}

impl Tensors {
    /// Reads a file or a folder.
    ///
    /// # Errors
    /// [`Error::NoModel`], and what the file's format says.
    pub fn read(path: &Path) -> Result<Self> {
        let none = || Error::NoModel { path: path.to_owned() };
        let file = if path.is_dir() { in_folder(path).ok_or_else(none)? } else { path.to_owned() };
        let checkpoint = match ending(&file).as_str() {
            "safetensors" => safetensors::read(&file)?,
            "json" if path.is_dir() => safetensors::read_folder(path)?,
            ending if PYTORCH.contains(&ending) => pytorch::read(&file)?,
            _ => return Err(none()),
        };
        Ok(Self::of(&checkpoint))
    }

    /// The tensors of a checkpoint.
    #[must_use]
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let mut tensors = checkpoint.tensors().clone();
        while let Some(wrapper) = WRAPPERS.into_iter().find(|wrapper| {
            !tensors.is_empty()
                && tensors.keys().all(|name| name.len() > wrapper.len() && name.starts_with(wrapper))
        }) {
            tensors = tensors
                .into_iter()
                .map(|(name, tensor)| (name[wrapper.len()..].to_owned(), tensor))
                .collect();
        }
        Self { path: checkpoint.path().to_owned(), tensors, missed: RefCell::default() }
    }

    /// The file or folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a tensor of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The shape of a tensor.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(Tensor::shape)
    }

    /// One extent of a tensor's shape, on which the shape of a network depends. A tensor that is not there is remembered.
    #[must_use]
    pub fn extent(&self, name: &str, axis: usize) -> Option<usize> {
        let extent = self.shape(name).and_then(|shape| shape.get(axis)).copied();
        if extent.is_none() {
            self.missed.borrow_mut().insert(name.to_owned());
        }
        extent
    }

    /// The tensors that were asked for in vain since the last call.
    pub(crate) fn take_missed(&self) -> Vec<String> {
        self.missed.take().into_iter().collect()
    }

    /// How many names there are of the form `prefix` number `suffix`, counted from 0 without a gap.
    #[must_use]
    pub fn count(&self, prefix: &str, suffix: &str) -> usize {
        (0..).take_while(|number| self.has(&format!("{prefix}{number}{suffix}"))).count()
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Keeps the tensors whose names begin with `prefix`, without it.
    #[must_use]
    pub fn within(&self, prefix: &str) -> Self {
        let inner = self.tensors.iter().filter_map(|(name, tensor)| {
            name.strip_prefix(prefix).map(|name| (name.to_owned(), tensor.clone()))
        });
        Self { path: self.path.clone(), tensors: inner.collect(), missed: RefCell::default() }
    }

    /// The parameters of a network, which must be exactly these tensors: all that it needs, in shapes that differ by axes of
    /// length 1 at most, and no others.
    ///
    /// # Errors
    /// [`Error::Tensors`] with the list of names, and what the blueprint's shapes say.
    pub fn parameters(&self, architecture: &Architecture) -> Result<State> {
        let shapes = architecture.blueprint.shapes()?;
        let mut left: BTreeMap<&str, &Tensor> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let (mut missing, mut misshapen) = (Vec::new(), Vec::new());
        let mut state = State::new();
        for (index, node) in architecture.blueprint.nodes().iter().enumerate() {
            for parameter in shapes.parameters(index) {
                let own = format!("{}.{}", node.name, parameter.name);
                let needed = parameter.shape.to_vec();
                let origin =
                    architecture.origins.get(&own).cloned().unwrap_or_else(|| Origin::Named(own.clone()));
                let names = match origin {
                    Origin::Given(values) => {
                        state.insert(own, StateTensor { shape: needed, values });
                        continue;
                    }
                    Origin::Named(name) => vec![name],
                    Origin::Joined(names) => names,
                };
                let mut values = Vec::new();
                let mut found = 0;
                for name in &names {
                    let Some(tensor) = left.remove(name.as_str()) else {
                        missing.push(name.clone());
                        continue;
                    };
                    let mut part = needed.clone();
                    part[0] /= names.len();
                    if squeezed(tensor.shape()) != squeezed(&part) || !is_float(tensor) {
                        misshapen.push((name.clone(), tensor.shape().to_vec(), part));
                        continue;
                    }
                    found += 1;
                    values.extend(tensor.floats());
                }
                if found == names.len() {
                    state.insert(own, StateTensor { shape: needed, values });
                }
            }
        }
        let ignored =
            |name: &str| architecture.ignored.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let extra: Vec<String> = left.into_keys().filter(|name| !ignored(name)).map(str::to_owned).collect();
        if missing.is_empty() && misshapen.is_empty() && extra.is_empty() {
            return Ok(state);
        }
        Err(Error::Tensors {
            path: self.path.clone(),
            family: architecture.family,
            missing,
            extra,
            misshapen,
        })
    }
}

fn is_float(tensor: &Tensor) -> bool {
    matches!(tensor.format(), Format::F32 | Format::F16 | Format::BF16)
}

/// A shape without its axes of length 1.
fn squeezed(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|&extent| extent != 1).collect()
}
