//! `gyrus-bench`: times Gyrus and its peers on the same workloads and prints the ratios.
//!
//! Each workload runs in several worker processes: ours (the `worker` command of this program) and one per peer
//! (`torch_worker.py`, `snn_worker.py`, `language_worker.py`, `embed_worker.py`, `vision_worker.py`, `rust` in `bench/peers/`). All speak one JSON object
//! per line on stdin and stdout. They alternate, so that other load on the machine affects all of them. The report compares
//! median step times and peak resident sizes; whole programs are compared by their wall time from start to exit.

mod decoder;
mod events;
mod images;
mod language;
mod measure;
mod memory;
mod network;
mod peer;
mod python;
mod report;
mod sentences;
mod spiking;
mod statistics;
mod timing;
mod vision;
mod whole;
mod worker;
mod workloads;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use crate::report::{Report, Row};
use crate::workloads::{Kind, WORKLOADS};

/// The same allocator as in the program `gyrus`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time Gyrus and its peers on the same workloads, alternating, and print the ratios ours / best peer
#[derive(Parser)]
#[command(name = "gyrus-bench", version)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Measure only this workload (may be repeated) [default: all]
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Rounds per side (at most 3 for whole programs)
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Threads per side
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Measure the peers only
    #[arg(long)]
    torch_only: bool,
    /// Python with the packages of bench/peers/requirements.txt [default: created in bench/.venv]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Program `gyrus` for whole-program workloads [default: beside this program]
    #[arg(long, value_name = "PATH")]
    gyrus: Option<PathBuf>,
    /// Folder of the MNIST files [default: `mnist` in $GYRUS_DATA or ../shared/data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve our side of the workloads on stdin and stdout (started by the runner)
    #[command(hide = true)]
    Worker {
        /// Serve the comparison that Gyrus itself provides: the clocked body or the memory reader
        #[arg(long)]
        peer: bool,
    },
}

fn main() -> Result<()> {
    let options = Options::parse();
    match options.command {
        Some(Command::Worker { peer }) => {
            worker::serve(std::io::stdin().lock(), std::io::stdout().lock(), peer)
        }
        None => run(&options),
    }
}

fn run(options: &Options) -> Result<()> {
    for name in &options.only {
        if !WORKLOADS.iter().any(|work| work.name == name) {
            let known: Vec<_> = WORKLOADS.iter().map(|work| work.name).collect();
            bail!("unknown workload '{name}'; expected {}", known.join(", "));
        }
    }
    let bench = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let peers = bench.join("peers");
    let python = match &options.python {
        Some(python) => python.clone(),
        None => python::environment(&bench)?,
    };
    let setting = measure::Setting {
        peers: &peers,
        python: &python,
        rounds: options.rounds,
        threads: options.threads,
        torch_only: options.torch_only,
    };
    let folder = whole::RunFolder::new()?;
    let mut rows: Vec<Row> = Vec::new();
    let mut failure = None;
    for work in WORKLOADS {
        if !options.only.is_empty() && !options.only.iter().any(|name| name == work.name) {
            continue;
        }
        eprintln!("{} ...", work.name);
        let row = match work.kind {
            Kind::Steps => measure::steps(work, &setting, None),
            Kind::Spiking if spiking::wants_images(work.name) => {
                images::write(options.data.as_deref(), &folder.0.join("images"))
                    .and_then(|file| measure::steps(work, &setting, Some(&file)))
            }
            Kind::Spiking => measure::steps(work, &setting, None),
            Kind::Events => {
                let place = folder.0.join("events");
                let prepared = match place.is_dir() {
                    true => Ok(()),
                    false => std::fs::create_dir(&place).map_err(anyhow::Error::from).and_then(|()| {
                        let (gyrus, data) = (options.gyrus.as_deref(), options.data.as_deref());
                        events::prepare(&place, gyrus, data, options.threads)
                    }),
                };
                prepared.and_then(|()| measure::steps(work, &setting, Some(&place)))
            }
            Kind::Embed => {
                let place = folder.0.join("sentences");
                let made = std::fs::create_dir(&place).map_err(anyhow::Error::from);
                made.and_then(|()| sentences::prepare(&place, &python, &peers))
                    .and_then(|()| measure::steps(work, &setting, Some(&place)))
            }
            Kind::Language | Kind::Memory => language::model(work.name, &peers, &python, &folder.0)
                .and_then(|file| measure::steps(work, &setting, Some(&file))),
            Kind::Vision => {
                let place = folder.0.join("vision");
                let made = std::fs::create_dir_all(&place).map_err(anyhow::Error::from);
                made.and_then(|()| vision::prepare(work.name, &place, &python, &peers))
                    .and_then(|()| measure::steps(work, &setting, Some(&place)))
            }
            Kind::Whole => {
                whole::learn_mnist(work, &setting, options.gyrus.as_deref(), options.data.as_deref())
            }
        };
        match row.with_context(|| format!("measuring {}", work.name)) {
            Ok(row) => rows.push(row),
            // Earlier measurements are still worth printing.
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let report = Report::new(options.threads, options.rounds, rows);
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    failure.map_or(Ok(()), Err)
}
