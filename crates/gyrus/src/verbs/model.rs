//! Where language models are found: in folders and files, in the hub's cache, with adapters.

use std::path::{Path, PathBuf};

use gyrus_language::{Adapter, Model, Parts};

use crate::{Error, Result};

/// Opens a language model from a folder or file, or by its Hugging Face id, with an adapter where there is one. A folder that
/// holds an adapter alone stands for the model that it names, adapted.
///
/// # Errors
/// If there is no such model, or the adapter does not fit it.
pub fn open_model(path: &Path, adapter: Option<&Path>) -> Result<Model> {
    let place = resolve_model(path)?;
    let Some(folder) = adapter.or(Adapter::is_at(&place).then_some(&*place)) else {
        return Ok(Model::open(&place)?);
    };
    let low_rank = Adapter::open(folder)?;
    let place = match (adapter, &low_rank.config.base) {
        (Some(_), _) => place,
        (None, Some(base)) => resolve_model(Path::new(base))?,
        (None, None) => {
            return Err(Error::Request(format!(
                "{} does not name its base model: give MODEL and --adapter",
                path.display()
            )));
        }
    };
    Ok(Parts::open(&place)?.build_with(&low_rank)?)
}

/// The largest chat template that is read.
const LARGEST_TEMPLATE: u64 = 1 << 24;

/// Gives a model the chat template in a file.
///
/// # Errors
/// If the file cannot be read, or is not a template.
pub(super) fn use_chat_template(model: &mut Model, file: &Path) -> Result<()> {
    let wrong = |error: &dyn std::fmt::Display| {
        Error::Request(format!("cannot use the chat template in {}: {error}", file.display()))
    };
    let bytes = gyrus_files::read_bounded(file, LARGEST_TEMPLATE).map_err(|error| wrong(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| wrong(&error))?;
    model.set_chat_template(&text).map_err(|error| wrong(&error))
}

/// Where a model lies: the path itself or, for a name of the Hugging Face hub as [`HubName`](super::HubName) reads it, its folder
/// or GGUF file in the hub's cache, downloaded where it is not there yet.
///
/// # Errors
/// If a download fails, or the name is an address of another site.
pub fn resolve_model(path: &Path) -> Result<PathBuf> {
    #[cfg(feature = "hub")]
    if !path.exists()
        && let Some(name) = super::HubName::read(path)?
    {
        return super::pull::fetched(&gyrus_formats::hub::Hub::from_environment()?, &name);
    }
    if !path.exists() {
        return Err(Error::Request(format!(
            "{} does not exist; expected a file, a folder, or the name of a model on the Hugging Face hub, as OWNER/NAME",
            path.display()
        )));
    }
    Ok(path.to_path_buf())
}
