//! A language model learns from a few sentences and writes more: `cargo run --release --example write`.

use gyrus::{LearnLanguage, Quiet, Write};

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let corpus = folder.path().join("corpus.txt");
    std::fs::write(&corpus, "the cat sat on the mat. the dog sat on the log. ".repeat(200))?;

    let small =
        LearnLanguage { layers: Some(1), width: Some(32), context: 32, ..LearnLanguage::new(&corpus) };
    let model = small.steps(100).out(folder.path().join("model")).run(&mut Quiet)?;
    println!("validation loss: {:.3} nats per token", model.validation_loss);

    let written = Write::new(&model.run).prompt("the cat").max_tokens(60).run()?;
    println!("{}{}", written.prompt, written.text);
    Ok(())
}
