//! `gyrus convert`: a network of images as an ONNX file.

use std::path::PathBuf;

use clap::Args;
use gyrus::Convert;
use gyrus::verbs::{counted, quoted};

use super::help::JSON;
use crate::exit::Failure;
use crate::output::{next, say, say_json};

/// Write a network of images as an ONNX file, which other programs run
///
/// The file holds operators of opset 20, the names of the classes and how pictures become inputs. Its outputs are scores; a
/// softmax makes probabilities of them. A spiking network is refused: `gyrus spike --nir` writes those.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Run folder of `gyrus learn`, model file or folder of another program, or a model's name on the hub
    model: PathBuf,
    /// File to write; the same as --out
    #[arg(value_name = "OUT.onnx", required_unless_present = "out")]
    file: Option<PathBuf>,
    /// File to write
    #[arg(long, alias = "output", value_name = "FILE.onnx", conflicts_with = "file")]
    out: Option<PathBuf>,
    /// Names of the classes of another program's network, one a line or a JSON array, where it does not know them
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    overwrite: bool,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let out = arguments.out.as_ref().or(arguments.file.as_ref()).cloned().unwrap_or_default();
    let (classes, overwrite) = (arguments.classes.clone(), arguments.overwrite);
    let report = Convert { classes, overwrite, ..Convert::new(&arguments.model, out) }.run()?;
    if arguments.json {
        return say_json(&report);
    }
    let out = quoted(&report.out);
    say(format_args!(
        "{out}: {}, {}, input {:?}, {:.1} MiB",
        counted(report.parameters as u64, "parameter"),
        counted(report.classes.len() as u64, "class"),
        report.input,
        report.bytes as f64 / f64::from(1 << 20)
    ))?;
    next(format_args!("next: gyrus predict {out} image.png"))
}
