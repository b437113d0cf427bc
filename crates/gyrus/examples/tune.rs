//! A language model is tuned on examples, through low-rank adapters: `cargo run --release --example tune`.

use gyrus::{LearnLanguage, Quiet, Tune, Write};

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let corpus = folder.path().join("corpus.txt");
    std::fs::write(&corpus, "the cat sleeps. the dog barks. the bird sings. ".repeat(200))?;
    let small =
        LearnLanguage { layers: Some(1), width: Some(32), context: 32, ..LearnLanguage::new(&corpus) };
    let base = small.steps(100).out(folder.path().join("model")).run(&mut Quiet)?;

    let examples = folder.path().join("examples.jsonl");
    std::fs::write(&examples, "{\"prompt\": \"the cat\", \"completion\": \" barks.\"}\n".repeat(20))?;
    let tune = Tune::new(&base.run, &examples, folder.path().join("adapter")).steps(60);
    let adapter = Tune { learning_rate: Some(1e-2), ..tune }.run(&mut Quiet)?;
    println!("{} parameters learned, of {}", adapter.parameters, base.parameters);

    let tuned = Write { adapter: Some(adapter.run), ..Write::new(&base.run).prompt("the cat") };
    for (name, model) in [("before", Write::new(&base.run).prompt("the cat")), ("after", tuned)] {
        println!("{name}: the cat{}", model.max_tokens(8).run()?.text);
    }
    Ok(())
}
