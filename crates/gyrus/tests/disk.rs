//! When the disk is full, may not be written, or the reader of the output has gone.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::common::*;

/// A small disk of its own, unmounted at the end.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0777");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            other => {
                println!("skipped: this user may not mount a small disk ({other:?})");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn make_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()).status().unwrap();
        assert!(status.success());
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&ballast).unwrap();
        for size in [64 << 10, 4096] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        ballast
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_disk_that_fills_up_leaves_the_last_good_state() {
    let Some(disk) = Disk::new("64m") else { return };
    let whole = tempfile::tempdir().unwrap();
    let line = "learn digits --epochs 4 --seed 2 --json --out";
    json(run(line, &[whole.path()]));

    let run_folder = disk.path().join("run");
    let mut child =
        gyrus(words(line)).arg(&run_folder).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_checkpoint(&run_folder);
    // What the program replaces makes room again: the disk is kept full.
    while child.try_wait().unwrap().is_none() {
        disk.fill();
        sleep(Duration::from_millis(2));
    }
    let ballast = disk.fill();
    let output = child.wait_with_output().unwrap();
    let sentence = failed(&output, 1);
    assert!(sentence.contains(run_folder.to_str().unwrap()), "{sentence}");
    assert!(sentence.to_lowercase().contains("no space left"), "{sentence}");
    says_error(&output);
    let epochs = metrics(&run_folder).len();
    assert!((1..4).contains(&epochs), "{epochs} epochs before the disk was full");
    assert!(run_folder.join("checkpoint.safetensors").is_file());
    assert!(!names(&run_folder).iter().any(|name| name.starts_with('.')), "{:?}", names(&run_folder));
    // What is there can be used, even now.
    let picture = whole.path().join("picture.png");
    image::GrayImage::new(8, 8).save(&picture).unwrap();
    json(gyrus(["predict", "--json"]).args([&run_folder, &picture]).output().unwrap());
    // Still full: the same sentence, and still nothing lost.
    failed(&gyrus(["learn", "--resume"]).arg(&run_folder).output().unwrap(), 1);

    fs::remove_file(ballast).unwrap();
    json(gyrus(["learn", "--json", "--resume"]).arg(&run_folder).output().unwrap());
    assert!(model(whole.path()) == model(&run_folder), "the weights differ");
    assert_eq!(metrics(whole.path()), metrics(&run_folder));
}

#[test]
fn a_disk_that_is_full_from_the_start() {
    let Some(disk) = Disk::new("1m") else { return };
    let ballast = disk.fill();
    let run_folder = disk.path().join("run");
    let sentence = failed(&run("learn digits --epochs 1 --out", &[&run_folder]), 1);
    assert!(sentence.to_lowercase().contains("no space left"), "{sentence}");
    fs::remove_file(ballast).unwrap();
    json(run("learn digits --epochs 1 --blueprint perceptron --json --out", &[&run_folder]));
}

/// Runs with files limited to a size, which any user may do.
fn limited(kilobytes: u32, arguments: &[&Path]) -> Option<Output> {
    let script = format!("ulimit -f {} || exit 99; trap '' XFSZ; exec \"$0\" \"$@\"", kilobytes * 2);
    let output =
        Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_gyrus")]).args(arguments).output();
    match output {
        Ok(output) if output.status.code() != Some(99) => Some(output),
        other => {
            println!("skipped: no shell that limits file sizes here ({other:?})");
            None
        }
    }
}

#[test]
fn a_model_that_cannot_be_written_is_an_error_and_the_run_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
    json(run("learn digits --epochs 2 --blueprint mlp --json --out", &[&whole]));
    let arguments = ["learn", "digits", "--epochs", "2", "--blueprint", "mlp", "--out"].map(Path::new);
    // Enough for the record, too little for the model of 660 kB.
    let Some(output) = limited(64, &[&arguments[..], &[&cut]].concat()) else { return };
    let sentence = failed(&output, 1);
    assert!(sentence.contains("cannot write") && sentence.contains("model.safetensors"), "{sentence}");
    assert_eq!(record(&cut)["status"], "running");
    assert!(!cut.join("model.safetensors").exists());
    let sentence = refused(&gyrus([Path::new("predict"), &cut, &cut]).output().unwrap());
    assert!(sentence.contains("gyrus learn --resume"), "{sentence}");
    json(gyrus(["learn", "--json", "--resume"]).arg(&cut).output().unwrap());
    assert!(model(&whole) == model(&cut), "the weights differ");
    assert_eq!(names(&whole), names(&cut));
}

#[test]
fn places_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let output = run("learn digits --epochs 1 --out", &[&file.join("run")]);
    assert!(failed(&output, 1).contains("cannot make the folder"));
    let sentence = refused(&run("learn digits --epochs 1 --out", &[&file]));
    assert!(sentence.contains("is not a folder"), "{sentence}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let output = run("learn digits --epochs 1 --out", &[Path::new("/proc/run")]);
    failed(&output, 1);
}

#[test]
fn a_disk_that_is_read_only() {
    let Some(disk) = Disk::new("16m") else { return };
    let finished = disk.path().join("finished");
    json(run("learn digits --epochs 1 --blueprint perceptron --json --out", &[&finished]));
    let table = disk.path().join("things.csv");
    write_table(&table, 60);
    let picture = disk.path().join("picture.png");
    image::GrayImage::new(8, 8).save(&picture).unwrap();
    disk.make_read_only();
    let sentence = failed(&run("learn digits --epochs 1 --out", &[&disk.path().join("run")]), 1);
    assert!(sentence.to_lowercase().contains("read-only"), "{sentence}");
    let sentence = failed(&run("learn digits --epochs 1 --overwrite --out", &[&finished]), 1);
    assert!(sentence.to_lowercase().contains("read-only"), "{sentence}");
    // Reading from it is another matter.
    json(gyrus(["predict", "--json"]).args([&finished, &picture]).output().unwrap());
    let out = tempfile::tempdir().unwrap();
    json(run("learn --target kind --epochs 1 --json --out", &[&out.path().join("run"), &table]));
}

#[test]
fn a_reader_that_goes_away_or_a_full_output_is_no_crash() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    let arguments = ["learn", "digits", "--epochs", "1", "--blueprint", "perceptron", "--overwrite", "--out"];
    for redirection in ["| true", "2>&1 | true", "> /dev/full", ">&- 2>&-", "2> /dev/full"] {
        let script = format!("exec 3>&2; {{ \"$0\" \"$@\"; echo \"code $?\" >&3; }} {redirection}");
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_gyrus")])
            .args(arguments)
            .arg(&run_folder)
            .output()
            .unwrap();
        let said = stderr(&output);
        assert!(!said.contains("panicked"), "{redirection}: {said}");
        assert!(said.contains("code 0") || said.contains("code 1\n"), "{redirection}: {said}");
        assert!(run_folder.join("report.html").is_file(), "{redirection}: the work is done all the same");
        fs::remove_dir_all(&run_folder).unwrap();
    }
    // An answer that could not be given is a failure.
    json(run("learn digits --epochs 1 --blueprint perceptron --json --out", &[&run_folder]));
    let picture = folder.path().join("picture.png");
    image::GrayImage::new(8, 8).save(&picture).unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = gyrus(["predict", "--json"]).args([&run_folder, &picture]).stdout(full).output().unwrap();
    assert!(failed(&output, 1).contains("standard output"));
}
