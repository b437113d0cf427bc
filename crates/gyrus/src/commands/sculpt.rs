//! `gyrus sculpt`: solids.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gyrus::sculpt::MeshFormat;
use gyrus::verbs::quoted;
use gyrus::{CompareMeshes, InspectMesh, Sculpt};

use super::help::{JSON, SEED, THREADS};
use super::values::threads;
use crate::exit::Failure;
use crate::output::{next, note, page, say, say_json};
use crate::progress::Watcher;

/// Make, judge and compare solids
///
/// INPUT is a picture, of which --model makes a solid (TripoSR: the object from all sides, with colors, in one pass), a
/// sentence for a model of `gyrus learn shapes --procedural`, or a mesh (OBJ, PLY, STL or GLB, gzipped or not), which is written
/// in another format or with fewer faces. Beside the result lies a page on
/// which it turns under the pointer. --inspect prints the quality sheet of a mesh, --compare how near a mesh is to another.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Picture of one object, sentence in quotes, or mesh
    #[arg(required_unless_present_any = ["inspect", "compare"])]
    input: Option<PathBuf>,
    /// Model of the TripoSR family: run folder of `gyrus learn shapes`, folder with config.yaml and weights, .ckpt or .safetensors file, or OWNER/NAME of the hub
    #[arg(short = 'm', long = "model", id = "sculptor", value_name = "MODEL", requires = "input")]
    sculptor: Option<PathBuf>,
    /// Samples along a side of the field
    #[arg(long, value_name = "N", default_value_t = 256, requires = "sculptor", value_parser = clap::value_parser!(u64).range(8..=640))]
    resolution: u64,
    /// Density at the surface
    #[arg(long, value_name = "DENSITY", default_value_t = gyrus::sculpt::triposr::LEVEL.into(), requires = "sculptor", value_parser = super::values::positive)]
    level: f64,
    /// Colors: vertex | none; meshes keep their texture with vertex
    #[arg(long, value_name = "KIND", default_value = "vertex", value_parser = ["vertex", "none"], hide_possible_values = true)]
    texture: String,
    /// Print the quality sheet of a mesh: closed, manifold, parts, volume, texture
    #[arg(long, value_name = "MESH", conflicts_with_all = ["input", "compare", "out", "format", "faces", "texture", "smallest_part", "require_watertight", "overwrite", "open"])]
    inspect: Option<PathBuf>,
    /// Compare a mesh with the one it should be: Chamfer distance, F-score, normals, overlap of volumes
    #[arg(long, num_args = 2, value_names = ["MESH", "REFERENCE"], conflicts_with_all = ["input", "out", "format", "faces", "texture", "smallest_part", "require_watertight", "overwrite", "open"])]
    compare: Option<Vec<PathBuf>>,
    /// Points drawn from each surface
    #[arg(long, value_name = "N", default_value_t = CompareMeshes::POINTS as u64, requires = "compare", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    points: u64,
    #[arg(long, help = SEED, default_value_t = 0, requires = "compare")]
    seed: u64,
    /// File to write [default: NAME.glb]
    #[arg(short, long, alias = "output", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Format to write: glb | obj | ply | stl | usdz [default: what FILE ends in]
    #[arg(long, value_parser = formats(), hide_possible_values = true)]
    format: Option<MeshFormat>,
    /// Most faces; the surface stays closed and manifold where it is
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(4..))]
    faces: Option<u64>,
    /// Remove parts with fewer faces than this share of the largest part's
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = super::values::fraction)]
    smallest_part: f64,
    /// Write nothing unless the result is closed
    #[arg(long)]
    require_watertight: bool,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

fn formats() -> impl TypedValueParser<Value = MeshFormat> {
    PossibleValuesParser::new(MeshFormat::ALL.map(MeshFormat::name))
        .map(|name| name.parse().unwrap_or(MeshFormat::Glb))
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(mesh) = &arguments.inspect {
        return inspect(mesh, arguments);
    }
    if let Some([mesh, reference]) = arguments.compare.as_deref() {
        return compare(mesh, reference, arguments);
    }
    let Some(input) = &arguments.input else {
        return Err(Failure::Input("expected a mesh, --inspect or --compare".to_owned()));
    };
    let report = Sculpt {
        model: arguments.sculptor.clone(),
        resolution: arguments.resolution as usize,
        level: arguments.level as f32,
        colors: arguments.texture != "none",
        out: arguments.out.clone(),
        format: arguments.format,
        faces: arguments.faces.map(|faces| faces as usize),
        smallest_part: arguments.smallest_part,
        require_watertight: arguments.require_watertight,
        overwrite: arguments.overwrite,
        threads: arguments.threads,
        ..Sculpt::new(input)
    }
    .run(&mut Watcher::without_stop())?;
    if arguments.json {
        return say_json(&report);
    }
    rows(&report.sheet())?;
    if let Some(overlap) = report.silhouette_iou {
        say(format_args!("\nsilhouettes of picture and solid overlap by {:.1} %", 100.0 * overlap))?;
    }
    report.notes.iter().for_each(|text| note(format_args!("note: {text}")));
    say(format_args!("\nwrote {}", quoted(&report.out)))?;
    report.files.iter().try_for_each(|file| say(format_args!("wrote {}", quoted(file))))?;
    next(format_args!("open {}", page(&report.page)))
}

fn inspect(mesh: &PathBuf, arguments: &Arguments) -> Result<(), Failure> {
    let report = InspectMesh { threads: arguments.threads, ..InspectMesh::new(mesh) }.run()?;
    if arguments.json { say_json(&report) } else { rows(&report.sheet()) }
}

fn compare(mesh: &PathBuf, reference: &PathBuf, arguments: &Arguments) -> Result<(), Failure> {
    let report = CompareMeshes {
        points: arguments.points as usize,
        seed: arguments.seed,
        threads: arguments.threads,
        ..CompareMeshes::new(mesh, reference)
    }
    .run()?;
    if arguments.json {
        return say_json(&report);
    }
    let found = &report.comparison;
    rows(&[
        ("Chamfer-L1", format!("{:.6}", found.chamfer_l1)),
        ("accuracy", format!("{:.6}", found.accuracy)),
        ("completeness", format!("{:.6}", found.completeness)),
        ("F-score", format!("{:.4} (within {:.6}, 1 % of the reference)", found.f_score, found.threshold)),
        ("normal consistency", format!("{:.4}", found.normal_consistency)),
        (
            "volumetric IoU",
            found.iou.map_or("– (a mesh is not closed)".to_owned(), |iou| format!("{iou:.4}")),
        ),
    ])
}

fn rows(rows: &[(&str, String)]) -> Result<(), Failure> {
    let wide = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().try_for_each(|(name, value)| say(format_args!("{name:<wide$}  {value}")))
}
