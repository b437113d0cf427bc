//! Which lines of a file are closest to a question: `cargo run --release --example embed -- ENCODER FILE.txt QUESTION`.
//!
//! ENCODER is a folder with a sentence encoder of the BERT family, such as a download of `all-MiniLM-L6-v2`.

use gyrus::Embed;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [encoder, file, question] = &arguments[..] else {
        anyhow::bail!("got {} arguments, expected ENCODER FILE.txt QUESTION", arguments.len());
    };
    let report = Embed { top: 3, ..Embed::new(encoder).file(file).query(question) }.run(&mut gyrus::Quiet)?;
    for found in report.closest.iter().flatten() {
        println!("{:.3}  line {}: {}", found.similarity, found.line.line, found.line.text);
    }
    Ok(())
}
