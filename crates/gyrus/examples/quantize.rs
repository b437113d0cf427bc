//! A language model's weights in 8 bits: `cargo run --release --example quantize`.

use gyrus::language_train::TokenizerKind;
use gyrus::{LearnLanguage, Quantize, Quiet, Write};

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let corpus = folder.path().join("corpus.txt");
    std::fs::write(&corpus, "the cat sat on the mat. the dog sat on the log. ".repeat(200))?;
    // GGUF files hold vocabularies of byte pairs, not of characters.
    let small = LearnLanguage {
        tokenizer: Some(TokenizerKind::BytePairs),
        vocabulary: 280,
        layers: Some(1),
        width: Some(32),
        context: 32,
        ..LearnLanguage::new(&corpus)
    };
    let model = small.steps(100).out(folder.path().join("model")).run(&mut Quiet)?;

    let file = folder.path().join("model.gguf");
    let report = Quantize::new(&model.run, &file).run(&mut Quiet)?;
    println!("{} weights, {:.1} bits each", report.weights, report.bits_per_weight);
    println!("the cat{}", Write::new(&file).prompt("the cat").max_tokens(30).run()?.text);
    Ok(())
}
