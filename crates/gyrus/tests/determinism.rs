//! The same seed gives the same bits, whatever the number of threads and however often the run was cut off.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::*;

#[test]
fn the_number_of_threads_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let runs: Vec<PathBuf> = (1..=3)
        .map(|threads| {
            let run_folder = folder.path().join(threads.to_string());
            let line = format!("learn digits --epochs 2 --seed 5 --threads {threads} --json --out");
            json(run(&line, &[&run_folder]));
            run_folder
        })
        .collect();
    for other in &runs[1..] {
        assert!(model(&runs[0]) == model(other), "{} differs from one thread", other.display());
        assert_eq!(metrics(&runs[0]), metrics(other));
        assert_eq!(record(&runs[0])["results"], record(other)["results"]);
    }
    let other = folder.path().join("other seed");
    json(run("learn digits --epochs 2 --seed 6 --json --out", &[&other]));
    assert!(model(&runs[0]) != model(&other), "another seed gives another model");
}

#[test]
fn tables_do_not_depend_on_threads_either() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("things.csv");
    write_table(&table, 300);
    for target in ["kind", "price"] {
        let models = [1, 2].map(|threads| {
            let run_folder = folder.path().join(format!("{target}-{threads}"));
            let line = format!("learn --target {target} --epochs 5 --threads {threads} --json --out");
            json(run(&line, &[&run_folder, &table]));
            model(&run_folder)
        });
        assert!(models[0] == models[1], "{target}");
    }
}

#[test]
fn spiking_runs_do_not_depend_on_threads_either() {
    let folder = tempfile::tempdir().unwrap();
    // Convolutions; random spikes; a population's, read out as counts.
    for (name, options) in [
        ("direct", "--epochs 1"),
        ("rate", "--epochs 2 --blueprint mlp --encoder rate"),
        ("counts", "--epochs 2 --blueprint mlp --encoder population --readout counts --truncate 2"),
    ] {
        let runs = [1, 2].map(|threads| {
            let run_folder = folder.path().join(format!("{name}-{threads}"));
            let line = format!("learn digits --spiking --seed 5 {options} --threads {threads} --json --out");
            json(run(&line, &[&run_folder]));
            run_folder
        });
        assert!(model(&runs[0]) == model(&runs[1]), "{name}: the weights differ");
        assert_eq!(metrics(&runs[0]), metrics(&runs[1]), "{name}");
        assert_eq!(record(&runs[0])["results"], record(&runs[1])["results"], "{name}");
    }
}

/// How a part of a run ended.
#[derive(Debug, PartialEq)]
enum Ending {
    Killed,
    Interrupted,
    Finished,
    /// Nothing was there to go on with: killed before the run was set up.
    Nothing,
}

fn start(arguments: &[String], run_folder: &Path, resume: bool) -> Child {
    let mut command = if resume {
        gyrus(["learn", "--json", "--resume"])
    } else {
        gyrus(arguments.iter().map(String::as_str).chain(["--json", "--out"]))
    };
    command.arg(run_folder).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Lets the program work for a while, then stops it by a signal.
fn part(mut child: Child, time: Duration, signal: &str) -> Ending {
    let start = Instant::now();
    let mut ended = false;
    while start.elapsed() < time && !ended {
        ended = child.try_wait().unwrap().is_some();
        sleep(Duration::from_millis(1).min(time.saturating_sub(start.elapsed())));
    }
    if !ended {
        send(&mut child, signal);
    }
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    assert!(!said.contains("panicked"), "{said}");
    let ending = |status: ExitStatus| match (status.code(), status.signal()) {
        (Some(0), _) => Ending::Finished,
        (Some(130), _) => Ending::Interrupted,
        // Killed between its last write and its last word.
        (Some(2), _) if said.contains("is finished already") => Ending::Finished,
        (Some(2), _) if said.contains("expected a run folder") || said.contains("is not a run folder") => {
            Ending::Nothing
        }
        (None, Some(_)) => Ending::Killed,
        other => panic!("ended with {other:?}: {said}"),
    };
    ending(output.status)
}

fn send(child: &mut Child, signal: &str) {
    // A child that has ended already is not there to be signaled, which is fine.
    let _ = Command::new("kill")
        .args([&format!("-{signal}"), &child.id().to_string()])
        .stderr(Stdio::null())
        .status()
        .expect("a `kill` program");
}

/// Starts a run and stops it at `kills` random moments, each after at most `longest`, then lets it finish.
fn learn_with_interruptions(
    line: &str,
    path: Option<&Path>,
    run_folder: &Path,
    kills: usize,
    longest: Duration,
    seed: u64,
) {
    let mut random = Random(seed);
    let mut arguments = words(line);
    arguments.extend(path.map(|path| path.to_str().unwrap().to_owned()));
    let mut endings = Vec::new();
    let mut resume = false;
    let mut signals = 0;
    while signals < kills {
        let time = Duration::from_micros(random.below(longest.as_micros() as u64));
        let signal = if random.below(4) == 0 { "INT" } else { "KILL" };
        let ending = part(start(&arguments, run_folder, resume), time, signal);
        // Nothing to go on with: a person would begin again with the same command.
        resume = ending != Ending::Nothing && run_folder.join("blueprint.toml").exists();
        signals += 1;
        let finished = ending == Ending::Finished;
        endings.push(ending);
        if finished {
            break;
        }
    }
    println!("{}: {endings:?}", run_folder.display());
    assert!(endings.contains(&Ending::Killed), "no part was killed: {endings:?}");
    if endings.last() != Some(&Ending::Finished) {
        let long = Duration::from_secs(600);
        assert_eq!(part(start(&arguments, run_folder, resume), long, "KILL"), Ending::Finished);
    }
}

/// The same work without and with interruptions leaves the same run.
/// Each part of the work lasts at most `share` of the whole.
fn assert_interruptions_change_nothing(
    line: &str,
    path: Option<&Path>,
    kills: usize,
    share: f64,
    seeds: &[u64],
) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let mut arguments = words(line);
    arguments.extend(path.map(|path| path.to_str().unwrap().to_owned()));
    let clock = Instant::now();
    let child = start(&arguments, &whole, false);
    assert!(child.wait_with_output().unwrap().status.success());
    let longest = clock.elapsed().mul_f64(share);
    for &seed in seeds {
        let cut = folder.path().join(format!("cut-{seed}"));
        learn_with_interruptions(line, path, &cut, kills, longest, seed);
        assert!(model(&whole) == model(&cut), "seed {seed}: the weights differ");
        assert_eq!(metrics(&whole), metrics(&cut), "seed {seed}");
        assert_eq!(record(&whole)["results"], record(&cut)["results"], "seed {seed}");
        assert_eq!(names(&whole), names(&cut), "seed {seed}");
    }
}

#[test]
fn digits_killed_at_any_moment_come_to_the_same_model() {
    // A few epochs of a large network and their writes: most kills fall into an epoch.
    let line = "learn digits --epochs 3 --seed 9 --threads 2";
    assert_interruptions_change_nothing(line, None, 6, 0.6, &[1, 2]);
}

#[test]
fn a_spiking_run_killed_at_any_moment_comes_to_the_same_model() {
    // Its random spikes must go on where they were.
    let line = "learn digits --spiking --blueprint mlp --encoder rate --epochs 6 --seed 9 --threads 2";
    assert_interruptions_change_nothing(line, None, 6, 0.6, &[1, 2]);
}

#[test]
fn a_table_killed_at_any_moment_comes_to_the_same_model() {
    // Many short epochs: most kills fall into or beside the writes.
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("things.csv");
    write_table(&table, 120);
    let line = "learn --target kind --epochs 40 --batch-size 16 --seed 3 --threads 1";
    assert_interruptions_change_nothing(line, Some(&table), 24, 0.2, &[1, 2]);
}

/// Starts learning and waits until it has said what it learns, which it does right before the first step.
fn start_and_listen(arguments: &[&str], run_folder: &Path) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child =
        gyrus(arguments).arg(run_folder).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("parameters"), "{line}");
    (child, out)
}

#[test]
fn ctrl_c_saves_within_the_first_epoch_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, cut] = ["whole", "a cut run"].map(|name| folder.path().join(name));
    let arguments = ["learn", "digits", "--epochs", "2", "--batch-size", "4", "--seed", "8", "--out"];
    let clock = Instant::now();
    succeeded(gyrus(arguments).arg(&whole).output().unwrap());
    let took = clock.elapsed();

    let (mut child, _out) = start_and_listen(&arguments, &cut);
    sleep(took / 10);
    send(&mut child, "INT");
    let output = child.wait_with_output().unwrap();
    let sentence = failed(&output, 130);
    assert!(
        sentence.contains("stopped after step ") && sentence.contains("everything is saved"),
        "{sentence}"
    );
    let command = format!("gyrus learn --resume '{}'", cut.display());
    assert!(sentence.ends_with(&command), "{sentence}");
    assert_eq!(record(&cut)["status"], "interrupted");
    assert!(cut.join("checkpoint.safetensors").is_file());
    assert!(!cut.join("metrics.jsonl").exists() || metrics(&cut).is_empty(), "not within the first epoch");

    // A second Ctrl-C, a kill, and then to the end: with the command that was printed.
    let ending = part(start(&[], &cut, true), took / 4, "INT");
    assert!(ending == Ending::Interrupted || ending == Ending::Killed, "{ending:?}");
    let ending = part(start(&[], &cut, true), took / 4, "KILL");
    assert_eq!(ending, Ending::Killed);
    let said = json(gyrus(["learn", "--json", "--resume"]).arg(&cut).output().unwrap());
    assert_eq!(said["run"], cut.to_str().unwrap());
    assert!(model(&whole) == model(&cut), "the weights differ");
    assert_eq!(metrics(&whole), metrics(&cut));
    let timings = &record(&cut)["timings"];
    let [total, train] = ["total_seconds", "train_seconds"].map(|name| timings[name].as_f64().unwrap());
    assert!(total >= train, "the time before the interruptions is lost: {timings}");

    let sentence = refused(&gyrus(["learn", "--resume"]).arg(&cut).output().unwrap());
    assert!(sentence.contains("is finished already"), "{sentence}");
}

#[test]
fn a_run_goes_on_from_another_folder_and_with_other_threads() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    write_table(&folder.path().join("things.csv"), 300);
    let arguments = words("learn things.csv --target kind --epochs 100 --threads 1 --out run");
    let mut child = gyrus(&arguments).current_dir(folder.path()).stdout(Stdio::null()).spawn().unwrap();
    let run_folder = folder.path().join("run");
    kill_after_checkpoint(&mut child, &run_folder);
    let before = metrics(&run_folder).len();
    assert!(before < 100);
    let output = gyrus(["learn", "--threads", "2", "--json", "--resume"])
        .arg(&run_folder)
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    json(output);
    assert_eq!(metrics(&run_folder).len(), 100);
    assert_eq!(names(elsewhere.path()), [""; 0], "nothing is written elsewhere");
}

#[test]
fn other_data_is_not_taken_for_the_data_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("things.csv");
    write_table(&table, 300);
    let run_folder = folder.path().join("run");
    let arguments: Vec<String> = words("learn --target kind --epochs 5000");
    let arguments: Vec<String> = arguments.into_iter().chain([table.to_str().unwrap().to_owned()]).collect();
    kill_after_checkpoint(&mut start(&arguments, &run_folder, false), &run_folder);
    write_table(&table, 310);
    let sentence = refused(&gyrus(["learn", "--resume"]).arg(&run_folder).output().unwrap());
    assert!(sentence.contains("the data has changed"), "{sentence}");
    // So it is before the first checkpoint, too.
    std::fs::remove_file(run_folder.join("checkpoint.safetensors")).unwrap();
    let sentence = refused(&gyrus(["learn", "--resume"]).arg(&run_folder).output().unwrap());
    assert!(sentence.contains("the data has changed"), "{sentence}");
}
