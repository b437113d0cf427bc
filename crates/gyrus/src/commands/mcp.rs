//! `gyrus mcp`: tools for other assistants.

use std::io;
use std::path::PathBuf;

use clap::Args;
use gyrus::agents::Rules;
use gyrus::{Ask, Mcp};

use super::help::THREADS;
use super::values::{positive, threads};
use crate::exit::Failure;

/// Serve tools to other assistants (MCP over standard input and output)
///
/// For a database describe_database and query_database, for an indexed folder search and read, where this program has the feature
/// documents. Nothing can be written with them: a query passes the guard of `gyrus ask`, and sources are read from the index.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Database, as `gyrus ask` takes it
    #[arg(long, value_name = "DB")]
    #[cfg_attr(feature = "documents", arg(required_unless_present = "sources"))]
    #[cfg_attr(not(feature = "documents"), arg(required = true))]
    db: Option<PathBuf>,
    /// Indexed folder of documents
    #[cfg(feature = "documents")]
    #[arg(long, value_name = "FOLDER")]
    sources: Option<PathBuf>,
    /// Sentence encoder that the folder was indexed with
    #[cfg(feature = "documents")]
    #[arg(long, value_name = "MODEL", requires = "sources")]
    encoder: Option<PathBuf>,
    /// Column that must not be read; may be given several times
    #[arg(long, value_name = "TABLE.COLUMN", requires = "db")]
    private: Vec<String>,
    /// Most rows of an answer
    #[arg(long, default_value_t = 1000)]
    rows: usize,
    /// Seconds after which a query is stopped
    #[arg(long, default_value_t = 10.0, value_parser = positive)]
    seconds: f64,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { db, private, rows, seconds, threads, .. } = arguments;
    let mut columns = Vec::new();
    for named in private {
        let Some((table, column)) = named.split_once('.') else {
            return Err(Failure::Input(format!("--private {named}: expected TABLE.COLUMN")));
        };
        columns.push((table.to_owned(), column.to_owned()));
    }
    let rules = Rules { most_rows: *rows, seconds: *seconds, private: columns, ..Rules::default() };
    let database = db.as_ref().map(|path| Ask { rules, threads: *threads, ..Ask::new(path) });
    let verb = Mcp {
        database,
        #[cfg(feature = "documents")]
        sources: arguments.sources.clone(),
        #[cfg(feature = "documents")]
        encoder: arguments.encoder.clone(),
        threads: *threads,
    };
    Ok(verb.run(&mut io::stdin().lock(), &mut io::stdout().lock())?)
}
