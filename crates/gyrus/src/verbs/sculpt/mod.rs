//! Solids: made from a picture or a mesh, judged, compared.

mod judge;
mod make;
mod page;
mod picture;

pub use judge::{CompareMeshes, CompareMeshesReport, InspectMesh, InspectMeshReport};
pub use make::{Sculpt, SculptReport};
