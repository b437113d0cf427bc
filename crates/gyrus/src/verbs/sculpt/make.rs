//! A solid from a picture or a sentence, or from a mesh in another format or with fewer faces; with a page to look at it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_files::write_atomically;
use gyrus_sculpt::triposr::LEVEL;
use gyrus_sculpt::{Mesh, MeshFormat, Quality, largest_components, read_mesh, simplify, write_mesh};
use gyrus_tensor::with_threads;
use serde::Serialize;

use super::super::serialized;
use super::{page, picture};
use crate::{Error, Observer, Result, Stage};

/// Makes a solid from a picture or a mesh.
#[derive(Clone, Debug)]
pub struct Sculpt {
    /// A picture, a sentence, or an OBJ, PLY, STL or GLB file.
    pub input: PathBuf,
    /// For a picture or a sentence, the model: a folder with `config.yaml` and weights, a file of weights, or an id of the Hugging Face hub.
    pub model: Option<PathBuf>,
    /// For a picture, samples along a side of the field.
    pub resolution: usize,
    /// For a picture, the density at the surface.
    pub level: f32,
    /// Keep colors and texture.
    pub colors: bool,
    /// The file to write; without it, the input's name with the format's ending, in the current folder.
    pub out: Option<PathBuf>,
    /// The format; without it, that of `out`, or GLB.
    pub format: Option<MeshFormat>,
    /// Most faces; without it, all of them.
    pub faces: Option<usize>,
    /// Parts with fewer faces than this share of the largest part's are removed; 0 keeps all.
    pub smallest_part: f64,
    /// Refuse to write a mesh that is not closed.
    pub require_watertight: bool,
    /// Replace a file that is there.
    pub overwrite: bool,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct SculptReport {
    /// What it was made from.
    #[serde(serialize_with = "serialized::path")]
    pub input: PathBuf,
    /// The mesh.
    #[serde(serialize_with = "serialized::path")]
    pub out: PathBuf,
    /// Files beside it that belong to it: material and texture of an OBJ file.
    pub files: Vec<PathBuf>,
    /// The page.
    #[serde(serialize_with = "serialized::path")]
    pub page: PathBuf,
    /// Faces of the input, or of the surface before simplification.
    pub input_faces: usize,
    /// How the object was told from its background: `alpha` or `cut`; none for meshes.
    pub background: Option<&'static str>,
    /// Overlap of the silhouettes of picture and solid from the picture's view; none for meshes.
    pub silhouette_iou: Option<f64>,
    /// Samples of the field that were computed; none for meshes.
    pub computed_samples: Option<usize>,
    /// Parts that were removed.
    pub removed_parts: usize,
    /// Its quality sheet.
    pub quality: Quality,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Seconds that it took.
    pub seconds: f64,
}

impl Sculpt {
    /// All faces and parts of this file, as GLB, on all cores.
    pub fn new(input: impl Into<PathBuf>) -> Self {
        Self {
            input: input.into(),
            model: None,
            resolution: 256,
            level: LEVEL,
            colors: true,
            out: None,
            format: None,
            faces: None,
            smallest_part: 0.0,
            require_watertight: false,
            overwrite: false,
            threads: 0,
        }
    }

    /// Makes the solid and writes it with its page.
    ///
    /// # Errors
    /// If the input is neither, a picture comes without a model or shows nothing, the result is not closed where that is asked for, or a file cannot be written.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<SculptReport> {
        let start = Instant::now();
        let (out, format) = self.target()?;
        let page = out.with_extension("html");
        for file in [&out, &page] {
            if file.exists() && !self.overwrite {
                return Err(Error::request(format!(
                    "{} exists; choose another --out, or pass `--overwrite` to replace it",
                    file.display()
                )));
            }
        }
        let mut described = None;
        let made = match &self.model {
            Some(model) if picture::is_sentence(&self.input) => {
                described = Some(picture::described(self, model, observer)?);
                None
            }
            Some(model) => Some(picture::made(self, model, observer)?),
            None if picture::is_sentence(&self.input) => {
                return Err(Error::request(format!(
                    "{} is no file; for a solid of a sentence give a model that learned captions with --model",
                    self.input.display()
                )));
            }
            None if picture::is_picture(&self.input) => {
                return Err(Error::request(format!(
                    "{} is a picture; give the model that makes it a solid with --model, such as stabilityai/TripoSR",
                    self.input.display()
                )));
            }
            None => None,
        };
        let mut stage = |done: u64, name: &str| observer.stage(&Stage { name, done, total: 4 });
        stage(0, "reading");
        let computed = described.as_ref().map(|(_, computed)| *computed);
        let (read, seen) = match made {
            Some((mesh, seen)) => (mesh, Some(seen)),
            None if let Some((mesh, _)) = described => (mesh, None),
            None => (with_threads(self.threads, || read_mesh(&self.input))??, None),
        };
        let input_faces = read.faces.len();
        stage(1, "simplifying");
        let mut notes = Vec::new();
        let (mesh, removed_parts) = with_threads(self.threads, || self.changed(read, &mut notes))?;
        stage(2, "judging");
        let quality = with_threads(self.threads, || Quality::of(&mesh))?;
        if self.require_watertight && !quality.watertight {
            return Err(Error::request(format!(
                "the mesh is not watertight: {} boundary edges, {} edges of more than two faces; nothing was written",
                quality.boundary_edges, quality.non_manifold_edges
            )));
        }
        if let Some(faces) = self.faces.filter(|faces| mesh.faces.len() > *faces) {
            notes.push(format!(
                "{} faces instead of {faces}: fewer would change the surface's shape",
                mesh.faces.len()
            ));
        }
        stage(3, "writing");
        let files = write_mesh(&mesh, &out, format)?;
        let mut report = SculptReport {
            input: self.input.clone(),
            files: files[1..].to_vec(),
            out,
            page,
            input_faces,
            background: seen.as_ref().map(|seen| seen.background),
            silhouette_iou: seen.as_ref().map(|seen| seen.silhouette_iou),
            computed_samples: seen.as_ref().map(|seen| seen.computed).or(computed),
            removed_parts,
            quality,
            notes,
            seconds: start.elapsed().as_secs_f64(),
        };
        let text = with_threads(self.threads, || page::of(&report, &mesh, seen.as_ref()))??;
        write_atomically(&report.page, text.as_bytes()).map_err(Error::io("write", &report.page))?;
        report.seconds = start.elapsed().as_secs_f64();
        stage(4, "writing");
        Ok(report)
    }

    /// Where the result goes, and in which format.
    fn target(&self) -> Result<(PathBuf, MeshFormat)> {
        let named = self.out.as_deref().and_then(MeshFormat::of);
        let format = match (self.format, named, &self.out) {
            (Some(format), None, _) => format,
            (Some(format), Some(named), _) if format == named => format,
            (None, Some(named), _) => named,
            (None, None, None) => MeshFormat::Glb,
            (Some(format), Some(_), Some(out)) => {
                return Err(Error::request(format!("{} does not end in .{}", out.display(), format.name())));
            }
            (_, _, out) => {
                let out = out.as_deref().unwrap_or(Path::new(""));
                return Err(Error::request(format!(
                    "{}: expected a name that ends in .glb, .obj, .ply, .stl or .usdz",
                    out.display()
                )));
            }
        };
        let out = match &self.out {
            Some(out) => out.clone(),
            None => {
                let name = self.input.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let name = name.strip_suffix(".gz").unwrap_or(&name);
                PathBuf::from(name).with_extension(format.name())
            }
        };
        Ok((out, format))
    }

    fn changed(&self, mut mesh: Mesh, notes: &mut Vec<String>) -> (Mesh, usize) {
        let mut removed = 0;
        if !self.colors {
            mesh.colors.clear();
            mesh.uvs.clear();
            mesh.texture = None;
        }
        if self.smallest_part > 0.0 {
            let before = gyrus_sculpt::Topology::of(&mesh).components;
            mesh = largest_components(&mesh, self.smallest_part);
            removed = before.saturating_sub(gyrus_sculpt::Topology::of(&mesh).components);
        }
        if let Some(faces) = self.faces.filter(|faces| *faces < mesh.faces.len()) {
            if mesh.texture.is_some() {
                mesh.colors = mesh.vertex_colors();
                mesh.texture = None;
                notes.push("simplifying drops the texture; the vertices took its colors".to_owned());
            } else if !mesh.uvs.is_empty() {
                notes.push("simplifying drops the texture coordinates".to_owned());
            }
            mesh = simplify(&mesh, faces);
        }
        (mesh, removed)
    }
}
