//! The quality sheet of a mesh, and how near it is to another.

use std::path::PathBuf;

use gyrus_sculpt::{Comparison, Quality, compare, read_mesh};
use gyrus_tensor::with_threads;
use serde::Serialize;

use super::super::serialized;
use crate::Result;

/// Looks at a mesh.
#[derive(Clone, Debug)]
pub struct InspectMesh {
    /// An OBJ, PLY, STL or GLB file.
    pub mesh: PathBuf,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// The quality sheet of a mesh.
#[derive(Clone, Debug, Serialize)]
pub struct InspectMeshReport {
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub mesh: PathBuf,
    /// What was found.
    #[serde(flatten)]
    pub quality: Quality,
}

impl InspectMesh {
    /// This file, on all cores.
    pub fn new(mesh: impl Into<PathBuf>) -> Self {
        Self { mesh: mesh.into(), threads: 0 }
    }

    /// Reads the file and looks.
    ///
    /// # Errors
    /// If the file is not a mesh.
    pub fn run(&self) -> Result<InspectMeshReport> {
        let quality = with_threads(self.threads, || read_mesh(&self.mesh).map(|mesh| Quality::of(&mesh)))??;
        Ok(InspectMeshReport { mesh: self.mesh.clone(), quality })
    }
}

/// Compares a mesh with the one it should be.
#[derive(Clone, Debug)]
pub struct CompareMeshes {
    /// The mesh.
    pub mesh: PathBuf,
    /// What it should be.
    pub reference: PathBuf,
    /// Points drawn from each surface, and from the space around both.
    pub points: usize,
    /// Seed of the points.
    pub seed: u64,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// How near two meshes are.
#[derive(Clone, Debug, Serialize)]
pub struct CompareMeshesReport {
    /// The mesh.
    #[serde(serialize_with = "serialized::path")]
    pub mesh: PathBuf,
    /// What it should be.
    #[serde(serialize_with = "serialized::path")]
    pub reference: PathBuf,
    /// What was found.
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl CompareMeshes {
    /// Points that are drawn by default, as the protocol of occupancy networks has it.
    pub const POINTS: usize = 100_000;

    /// With 100,000 points, on all cores.
    pub fn new(mesh: impl Into<PathBuf>, reference: impl Into<PathBuf>) -> Self {
        Self { mesh: mesh.into(), reference: reference.into(), points: Self::POINTS, seed: 0, threads: 0 }
    }

    /// Reads both files and compares.
    ///
    /// # Errors
    /// If a file is not a mesh, or has no area.
    pub fn run(&self) -> Result<CompareMeshesReport> {
        let comparison = with_threads(self.threads, || {
            compare(&read_mesh(&self.mesh)?, &read_mesh(&self.reference)?, self.points, self.seed)
        })??;
        let (mesh, reference) = (self.mesh.clone(), self.reference.clone());
        Ok(CompareMeshesReport { mesh, reference, comparison })
    }
}
