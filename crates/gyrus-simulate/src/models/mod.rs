//! The circuits that are built in: TOML files as anyone could write them.

use std::path::Path;

use crate::{CircuitFile, Result};

/// A built-in circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// Its file.
    pub toml: &'static str,
}

/// All of them.
pub const BUILT_IN: [BuiltIn; 4] = [
    BuiltIn { name: "brunel", toml: include_str!("brunel.toml") },
    BuiltIn { name: "cuba", toml: include_str!("cuba.toml") },
    BuiltIn { name: "coba", toml: include_str!("coba.toml") },
    BuiltIn { name: "microcircuit", toml: include_str!("microcircuit.toml") },
];

impl BuiltIn {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        BUILT_IN.into_iter().find(|own| own.name == name)
    }

    /// The circuit.
    ///
    /// # Errors
    /// None, as the tests check.
    pub fn file(&self) -> Result<CircuitFile> {
        CircuitFile::parse(self.toml, Path::new(""))
    }
}
