//! Asks a database a question, without a model, and shows that it cannot be written to.

use gyrus::Ask;

fn main() -> anyhow::Result<()> {
    let Some(file) = std::env::args().nth(1) else {
        println!("usage: ask FILE.sqlite \"how many ... per ...\"");
        return Ok(());
    };
    let question = std::env::args().nth(2).unwrap_or_else(|| "how many rows".to_owned());
    let report = Ask::new(file).run(&question)?;
    println!("{}\n{}", report.answer.sentence, report.answer.rows.sql);
    Ok(())
}
