//! `gyrus research`: a question answered from documents.

use std::path::PathBuf;

use clap::Args;
use gyrus::Research;
use gyrus::agents::research::Effort;
use gyrus::verbs::ResearchReport;

use super::help::{JSON, THREADS};
use super::index::pdf_program;
use super::values::{positive, threads};
use crate::exit::Failure;
use crate::output::{self, next, say, say_json};
use crate::progress::Watcher;

/// Answer a question from documents and databases, with each claim bound to its quote
///
/// Without --model the answer is quotes alone. With one, the model plans, reads and writes; it names evidence by ids, and what it claims
/// must stand in the quotes that it names: numbers, dates, names, negation. Databases are asked read-only, by the grammar of ask: a
/// question that it understands is answered by a query, else rows are found by words. The limits are hard. Every step is in the journal of
/// the run, from which it goes on after Ctrl-C or a crash, and runs again without model or network.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The question
    #[arg(required_unless_present_any = ["resume", "replay"])]
    question: Option<String>,
    /// Folder with documents and databases, folder of an index, or a database as for ask
    #[arg(long, value_name = "SOURCES", required_unless_present_any = ["resume", "replay"])]
    sources: Option<PathBuf>,
    /// Language model, or the name of the endpoint's model
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// OpenAI-compatible endpoint of the model, such as http://127.0.0.1:8080/v1; its key from GYRUS_API_KEY or OPENAI_API_KEY
    #[arg(long, value_name = "URL", requires = "model")]
    endpoint: Option<String>,
    /// Sentence encoder, to find passages by meaning as well
    #[arg(long, value_name = "MODEL")]
    encoder: Option<PathBuf>,
    /// Search the web as well, by a search engine with SearXNG's interface, such as http://127.0.0.1:8888
    #[arg(long, value_name = "URL")]
    web: Option<String>,
    /// A few sentences
    #[arg(long, conflicts_with = "report")]
    brief: bool,
    /// A report: more searches, more claims
    #[arg(long)]
    report: bool,
    /// Most tokens that the model reads and writes
    #[arg(long, value_name = "COUNT")]
    max_tokens: Option<u64>,
    /// Most minutes
    #[arg(long, value_name = "MINUTES", value_parser = positive)]
    max_minutes: Option<f64>,
    /// Most calls of the search and the model together
    #[arg(long, value_name = "COUNT")]
    max_calls: Option<u64>,
    /// Folder of the run, instead of one in runs/ named after the question
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Go on with a run that was stopped or killed
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// Run a journal again without model, sources or network
    #[arg(long, value_name = "RUN")]
    replay: Option<PathBuf>,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let report = match (&arguments.resume, &arguments.replay) {
        (Some(run), _) => {
            let given = arguments.sources.as_deref();
            Research::resume(run, key(), given, &pdf_program(), arguments.threads, &mut Watcher::new())?
        }
        (None, Some(run)) => Research::replay(run)?,
        (None, None) => asked(arguments)?,
    };
    if arguments.json {
        return say_json(&report);
    }
    show(&report)
}

fn key() -> Option<String> {
    ["GYRUS_API_KEY", "OPENAI_API_KEY"].iter().find_map(|name| std::env::var(name).ok())
}

fn asked(arguments: &Arguments) -> Result<ResearchReport, Failure> {
    let (Some(question), Some(sources)) = (&arguments.question, &arguments.sources) else {
        return Err(Failure::Input("expected a question and --sources".to_owned()));
    };
    let effort = match (arguments.brief, arguments.report) {
        (true, _) => Effort::Brief,
        (_, true) => Effort::Report,
        _ => Effort::Answer,
    };
    let verb = Research {
        model: arguments.model.clone(),
        endpoint: arguments.endpoint.clone(),
        key: key(),
        encoder: arguments.encoder.clone(),
        web: arguments.web.clone(),
        effort,
        max_tokens: arguments.max_tokens,
        max_minutes: arguments.max_minutes,
        max_calls: arguments.max_calls,
        out: arguments.out.clone(),
        pdf_program: pdf_program(),
        threads: arguments.threads,
        ..Research::new(question, sources)
    };
    Ok(verb.run(&mut Watcher::new())?)
}

fn show(report: &ResearchReport) -> Result<(), Failure> {
    let text: String =
        report.markdown.chars().filter(|letter| *letter == '\n' || !letter.is_control()).collect();
    say(text.trim_end())?;
    if let Some(page) = &report.page {
        next(format_args!("\nThe page with all passages: {}", output::page(page)))?;
    }
    Ok(())
}
