//! Times the index of a folder beside bare tantivy on the same files, and queries over it:
//! `cargo run --release -p gyrus-agents --features documents --example index_speed -- FOLDER`.

use std::path::Path;
use std::time::Instant;

use gyrus_agents::retrieval::sources::walk;
use gyrus_agents::retrieval::{Index, SearchOptions, Updater};
use tantivy::collector::TopDocs;
use tantivy::query::QueryParser;
use tantivy::schema::{STORED, Schema, TEXT};
use tantivy::{IndexWriter, doc};

type Failure = Box<dyn std::error::Error>;

/// One document a file, as tantivy's own example does it.
fn bare(folder: &Path, index: &Path) -> Result<f64, Failure> {
    let start = Instant::now();
    let mut schema = Schema::builder();
    let text = schema.add_text_field("text", TEXT | STORED);
    let index = tantivy::Index::create_in_dir(index, schema.build())?;
    let mut writer: IndexWriter = index.writer_with_num_threads(2, 200 << 20)?;
    for file in walk(folder)?.0 {
        writer.add_document(doc!(text => std::fs::read_to_string(&file.path)?))?;
    }
    writer.commit()?;
    writer.wait_merging_threads()?;
    let seconds = start.elapsed().as_secs_f64();
    let searcher = index.reader()?.searcher();
    let query = QueryParser::for_index(&index, vec![text]).parse_query("memory allocation of threads")?;
    searcher.search(&query, &TopDocs::with_limit(10).order_by_score())?;
    Ok(seconds)
}

fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("expected a folder of text files")?;
    let folder = Path::new(&folder);
    let work = std::env::temp_dir().join(format!("index-speed-{}", std::process::id()));
    for round in 0..3 {
        let theirs = work.join(format!("theirs-{round}"));
        std::fs::create_dir_all(&theirs)?;
        let bare = bare(folder, &theirs)?;
        let updater =
            Updater { index: work.join(format!("ours-{round}")), threads: 2, ..Updater::new(folder) };
        let report = updater.run(&mut |_, _| true)?;
        let index = Index::open(&updater.index)?;
        let queries = [
            "memory allocation of threads",
            "how does the parser recover",
            "license",
            "the error of a socket",
        ];
        let mut worst = 0.0f64;
        for query in queries.iter().cycle().take(40) {
            let start = Instant::now();
            index.search(query, &SearchOptions::default(), None)?;
            worst = worst.max(start.elapsed().as_secs_f64() * 1e3);
        }
        let again = updater.run(&mut |_, _| true)?.seconds;
        println!(
            "{:.1} MB in {} files: bare {bare:.2} s, ours {:.2} s ({:.2}), again {again:.2} s; {} passages, slowest of 40 queries {worst:.2} ms",
            report.text_bytes as f64 / 1e6,
            report.sources,
            report.seconds,
            report.seconds / bare,
            report.passages,
        );
    }
    std::fs::remove_dir_all(&work)?;
    Ok(())
}
