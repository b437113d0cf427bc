//! What can be simulated: built-in circuits, TOML files, SONATA networks.

use std::path::Path;

use gyrus_simulate::CircuitFile;
use gyrus_simulate::models::{BUILT_IN, BuiltIn};
use gyrus_simulate::sonata::{Origin, Sonata, is_config, is_intfire};

use crate::verbs::inspect::is_nir;
use crate::{Error, Result};

/// What runs.
pub(super) enum Source {
    /// A circuit for the engine, and where its neurons come from if that is a SONATA network.
    Circuit(Box<CircuitFile>, Option<Vec<Origin>>),
    /// A SONATA network of IntFire1, which runs event by event.
    IntFire(String, Box<Sonata>),
    /// A NIR network, which runs on the event-driven body.
    Nir(String),
}

impl Source {
    /// A built-in circuit by its name, or a file.
    pub(super) fn open(circuit: &Path) -> Result<Self> {
        if let Some(built_in) = circuit.to_str().and_then(BuiltIn::named) {
            return Ok(Self::Circuit(Box::new(built_in.file()?), None));
        }
        if circuit.is_file() && is_nir(circuit) {
            let name = circuit.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            return Ok(Self::Nir(name.unwrap_or_else(|| "network".to_owned())));
        }
        if is_config(circuit) {
            let sonata = Sonata::open(circuit)?;
            let name = name_of(circuit);
            if is_intfire(&sonata) {
                return Ok(Self::IntFire(name, Box::new(sonata)));
            }
            let (file, origins) = sonata.circuit(&name)?;
            return Ok(Self::Circuit(Box::new(file), Some(origins)));
        }
        if circuit.extension().is_some_and(|extension| extension == "toml") {
            return Ok(Self::Circuit(Box::new(CircuitFile::load(circuit)?), None));
        }
        let learning = super::LearningTask::ALL.map(super::LearningTask::name);
        let names: Vec<&str> = BUILT_IN.iter().map(|own| own.name).chain(learning).collect();
        let given = circuit.display().to_string();
        let near = names
            .iter()
            .copied()
            .max_by(|a, b| strsim::jaro_winkler(a, &given).total_cmp(&strsim::jaro_winkler(b, &given)));
        let near = near.filter(|near| strsim::jaro_winkler(near, &given) > 0.85);
        Err(Error::request(match near {
            Some(near) if !circuit.exists() => format!("no circuit `{given}`; did you mean `{near}`?"),
            _ => format!(
                "no circuit `{given}`; expected {}, a .toml file, a SONATA configuration (.json, or its folder), or a .nir file",
                names.join(", ")
            ),
        }))
    }
}

/// The folder of a configuration names it.
fn name_of(path: &Path) -> String {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let absolute = folder.and_then(|folder| std::path::absolute(folder).ok());
    let name = absolute.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "network".to_owned())
}
