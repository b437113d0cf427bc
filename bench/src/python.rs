//! The Python environment of the peers: created in `bench/.venv` on first use, with pinned packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The Python of `bench/.venv`; creates the environment if it is missing, incomplete or outdated.
///
/// # Errors
/// If there is no `python3`, or the packages cannot be installed.
pub(crate) fn environment(bench: &Path) -> Result<PathBuf> {
    let requirements = bench.join("peers/requirements.txt");
    let wanted = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let directory = bench.join(".venv");
    let python = directory.join("bin/python");
    // Written last: if it holds the current requirements, everything is installed.
    let installed = directory.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    eprintln!("Creating the Python environment {} (about 6 GB on disk) ...", directory.display());
    run(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--requirement"]).arg(&requirements))?;
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    // pip's output goes to stderr: stdout belongs to the report.
    let status = command
        .stdout(Stdio::from(std::io::stderr()))
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}
