//! `gyrus-bench`: times Gyrus and its peers on the same work and prints the ratios.
//!
//! For each work worker processes are started, ours (this program's `worker` command) and `bench/peers/torch_worker.py`, or
//! `bench/peers/snn_worker.py` for each library of spiking networks, `bench/peers/language_worker.py` and `bench/peers/embed_worker.py` for
//! those that run language models; all speak one JSON object per line on stdin and stdout. They take turns, so that
//! whatever else the machine does falls on both. What is compared is the median time of a step and the largest
//! resident size of the process; whole programs are compared by their wall time from start to finish.

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
mod whole;
mod worker;
mod works;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use crate::report::{Report, Row};
use crate::works::{Kind, WORKS};

/// As the program `gyrus` has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Times Gyrus and its peers on the same work, in turn, and prints the ratios ours / the best peer's.
#[derive(Parser)]
#[command(name = "gyrus-bench", version)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Measure only this work (may be repeated); without it, all of them
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Turns that each side takes (whole programs: at most 3)
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Threads for each side
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Measure the peers alone
    #[arg(long)]
    torch_only: bool,
    /// A Python with the packages of bench/peers/requirements.txt, instead of one made in bench/.venv
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// The program `gyrus` for whole-program works, instead of the one beside this program
    #[arg(long, value_name = "PATH")]
    gyrus: Option<PathBuf>,
    /// Directory of the MNIST files, instead of `mnist` in $GYRUS_DATA or in ../shared/data
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve our side of the works on stdin and stdout (the runner starts this itself)
    #[command(hide = true)]
    Worker {
        /// Read the weights of a language model and nothing else
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
        if !WORKS.iter().any(|work| work.name == name) {
            let known: Vec<_> = WORKS.iter().map(|work| work.name).collect();
            bail!("no work is named '{name}'; there are {}", known.join(", "));
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
    for work in WORKS {
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
            Kind::Whole => {
                whole::learn_mnist(work, &setting, options.gyrus.as_deref(), options.data.as_deref())
            }
        };
        match row.with_context(|| format!("measuring {}", work.name)) {
            Ok(row) => rows.push(row),
            // What was measured before is still worth printing.
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
