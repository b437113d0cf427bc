//! Writes that the operating system cuts short, as on a full disk: the shell limits the file size of a child process.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gyrus_files::write_atomically;

const TARGET: &str = "GYRUS_TEST_WRITE_TARGET";

/// Runs in the child; does nothing unless started by the tests below.
#[test]
fn write_a_megabyte() {
    let Some(target) = std::env::var_os(TARGET) else { return };
    if let Err(error) = write_atomically(PathBuf::from(target), &vec![1; 1 << 20]) {
        panic!("refused: {error}");
    }
}

/// Runs the child with files limited to a few kilobytes, or `None` if the shell cannot do that.
fn limited_child(target: &Path, before: &str) -> Option<Output> {
    let limit = "ulimit -f 8 || exit 99";
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("{limit}; {before} exec \"$0\" --exact write_a_megabyte --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .env(TARGET, target)
        .output();
    match output {
        Ok(output) if output.status.code() != Some(99) => Some(output),
        other => {
            println!("skipped: no shell that limits file sizes here ({other:?})");
            None
        }
    }
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[test]
fn a_full_disk_keeps_the_old_file_and_leaves_no_temporary_one() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("model.safetensors");
    fs::write(&target, b"old").unwrap();
    // With the signal ignored, the write itself fails, as on a full disk.
    let Some(output) = limited_child(&target, "trap '' XFSZ;") else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("refused: "), "{said}");
    assert_eq!(fs::read(&target).unwrap(), b"old");
    assert_eq!(entries(directory.path()), 1);
}

#[test]
fn a_writer_killed_half_way_keeps_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("model.safetensors");
    fs::write(&target, b"old").unwrap();
    let Some(output) = limited_child(&target, "") else { return };
    assert!(output.status.signal().is_some(), "{output:?}");
    assert_eq!(fs::read(&target).unwrap(), b"old");
    assert_eq!(entries(directory.path()), 2, "the killed writer's temporary file lies beside it");
}
