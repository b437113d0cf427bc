//! A look into a language model while it reads a text: `cargo run --release --example see`.

use gyrus::{LearnLanguage, Quiet, See};

pub(crate) fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let corpus = folder.path().join("corpus.txt");
    std::fs::write(&corpus, "the cat sat on the mat. the dog sat on the log. ".repeat(200))?;
    let small =
        LearnLanguage { layers: Some(1), width: Some(32), context: 32, ..LearnLanguage::new(&corpus) };
    let model = small.steps(100).out(folder.path().join("model")).run(&mut Quiet)?;

    let seen = See::new(&model.run, "the cat sat").out(folder.path().join("see.html")).run()?;
    for token in &seen.tokens {
        let bits = token.expectation.as_ref().and_then(|expectation| expectation.surprisal_bits);
        println!("{:?}: {:.2} bits of surprise", token.text, bits.unwrap_or_default());
    }
    println!("the page {} shows attention maps and the logit lens", seen.page.display());
    Ok(())
}
