//! The page of a solid.

use std::io::Cursor;

use gyrus_report::{Solid, grouped};
use gyrus_sculpt::{Mesh, Quality, simplify, turntable};

use super::SculptReport;
use super::picture::Seen;
use crate::{Error, Result};

/// Faces on the page, at most: it should open on a phone.
const MOST_FACES: usize = 150_000;
/// Pixels of a view of the turntable.
const VIEW: u32 = 256;
/// What is behind the turntable.
const GROUND: image::Rgb<u8> = image::Rgb([0x26, 0x28, 0x2e]);

/// The whole page.
pub(super) fn of(report: &SculptReport, mesh: &Mesh, seen: Option<&Seen>) -> Result<String> {
    let mut shown = mesh.clone();
    shown.colors = mesh.vertex_colors();
    let picture = turntable(mesh, VIEW, GROUND);
    let mut notes = report.notes.clone();
    if shown.faces.len() > MOST_FACES {
        shown = simplify(&shown, MOST_FACES);
        notes.push(format!("the page shows {} of the faces", grouped(shown.faces.len() as u128)));
    }
    let mut pictures = Vec::new();
    for (name, picture) in seen.into_iter().flat_map(|seen| &seen.pictures) {
        pictures.push((*name, png(picture)?));
    }
    let name = report.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let input = report.input.display().to_string();
    let count = |number: usize| grouped(number as u128);
    let quality = &report.quality;
    let page = gyrus_report::SculptReport {
        name: &name,
        kind: &format!("made from {input}"),
        headline: (count(quality.faces), "faces"),
        facts: vec![
            ("closed", yes(quality.watertight)),
            ("manifold", yes(quality.manifold)),
            ("parts", count(quality.components)),
            match report.silhouette_iou {
                Some(overlap) => ("overlap of silhouettes", gyrus_report::number(overlap)),
                None => ("volume", quality.volume.map_or("–".to_owned(), gyrus_report::number)),
            },
        ],
        solid: Solid { positions: &shown.positions, faces: &shown.faces, colors: &shown.colors },
        turntable: &png(&picture)?,
        pictures,
        quality: sheet(quality),
        notes: &notes,
        provenance: vec![(
            "",
            vec![
                ("input", input.clone()),
                ("faces of the input", count(report.input_faces)),
                ("removed parts", count(report.removed_parts)),
                ("samples of the field", report.computed_samples.map_or("–".to_owned(), count)),
                ("background", report.background.unwrap_or("–").to_owned()),
                ("gyrus", env!("CARGO_PKG_VERSION").to_owned()),
            ],
        )],
    };
    Ok(page.to_html())
}

fn png(picture: &image::RgbImage) -> Result<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).map_err(Error::failed)?;
    Ok(png.into_inner())
}

fn yes(holds: bool) -> String {
    if holds { "yes" } else { "no" }.to_owned()
}

/// The rows of a quality sheet.
pub(super) fn sheet(quality: &Quality) -> Vec<(&'static str, String)> {
    let count = |number: usize| grouped(number as u128);
    let number = gyrus_report::number;
    let place = |values: [f32; 3]| values.map(|value| number(value.into())).join(" ");
    let mut rows = vec![
        ("vertices", count(quality.vertices)),
        ("unused vertices", count(quality.unused_vertices)),
        ("faces", count(quality.faces)),
        ("watertight", yes(quality.watertight)),
        ("manifold", yes(quality.manifold)),
        ("consistently oriented", yes(quality.oriented)),
        ("parts", count(quality.components)),
        ("Euler characteristic", quality.euler_characteristic.to_string()),
        ("boundary edges", count(quality.boundary_edges)),
        ("edges of more than two faces", count(quality.non_manifold_edges)),
        ("pinched vertices", count(quality.non_manifold_vertices)),
        ("misoriented edges", count(quality.misoriented_edges)),
        ("degenerate faces", count(quality.degenerate_faces)),
        ("duplicate faces", count(quality.duplicate_faces)),
        ("area", number(quality.area)),
        ("volume", quality.volume.map_or("–".to_owned(), number)),
        ("from", place(quality.minimum)),
        ("to", place(quality.maximum)),
        ("vertex colors", yes(quality.vertex_colors)),
    ];
    if let Some(coverage) = quality.uv_coverage {
        rows.push(("texture covered", format!("{:.1} %", 100.0 * coverage)));
    }
    if let Some([width, height]) = quality.texture {
        rows.push(("texture", format!("{width} x {height}")));
    }
    if let Some(density) = quality.texel_density {
        rows.push(("texels along a unit", number(density)));
    }
    rows
}

impl SculptReport {
    /// The rows of the quality sheet, with their names first.
    #[must_use]
    pub fn sheet(&self) -> Vec<(&'static str, String)> {
        sheet(&self.quality)
    }
}

impl super::InspectMeshReport {
    /// The rows of the quality sheet, with their names first.
    #[must_use]
    pub fn sheet(&self) -> Vec<(&'static str, String)> {
        sheet(&self.quality)
    }
}
