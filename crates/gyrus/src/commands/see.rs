//! `gyrus see`: what happens inside a language model while it reads a text.

use std::path::{Path, PathBuf};

use clap::Args;
use gyrus_language::see::{Candidate, Look, Predictions};
use gyrus_language::{Model, SentenceEncoder};
use gyrus_report::{HeadPattern, InspectedToken, InspectionReport, LensCell, grouped};
use gyrus_tensor::with_threads;
use gyrus_train::write_atomically;
use serde_json::{Value, json};

use super::learn::threads;
use super::write::{fetched, read_text};
use crate::failure::Failure;
use crate::say::{note, say};

/// Heads of a pattern that are named.
const HEADS: usize = 3;
/// Shares of attention below this are no habit.
const HABIT: f64 = 0.2;
/// Tokens that the terminal shows.
const SHOWN: usize = 64;

/// Look into a language model while it reads a text: surprise, expectations, attention maps, logit lens.
///
/// Writes a page to look at, and prints a summary. MODEL may also be a sentence encoder of the BERT family, of which the
/// attention maps are shown.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder or id of Hugging Face, a .gguf file, or a llama2.c file (.bin) with its tokenizer.bin beside it
    model: PathBuf,
    /// The text to read, at most 512 tokens, fewer for models of more than 128 heads; - reads it from standard input
    text: String,
    /// The page to write; a file of this name is replaced
    #[arg(long, value_name = "FILE.html", default_value = "see.html")]
    output: PathBuf,
    /// How many of the most probable next tokens to keep for each place
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    top: u16,
    /// Threads; 0 for one a core. The result does not depend on it
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    with_threads(arguments.threads, || run_in_pool(arguments))?
}

/// What is told of the model itself.
struct Kind {
    name: String,
    family: String,
    vocabulary: usize,
}

fn run_in_pool(arguments: &Arguments) -> Result<(), Failure> {
    let text = read_text(&arguments.text)?;
    let path = fetched(&arguments.model)?;
    if path.join("blueprint.toml").is_file() {
        return Err(Failure::Caller(format!(
            "{} is the run of a network without language: got a blueprint, expected a language model or a sentence encoder",
            path.display()
        )));
    }
    let name = name_of(&arguments.model);
    let (kind, look) = if SentenceEncoder::is_in(&path)? {
        let encoder = SentenceEncoder::open(&path)?;
        let kind = Kind { name, family: "sentence encoder".to_owned(), vocabulary: encoder.vocabulary() };
        (kind, encoder.look(&text)?)
    } else {
        let model = Model::open(&path)?;
        let config = model.decoder.config();
        let kind = Kind { name, family: config.family.name().to_owned(), vocabulary: config.vocabulary };
        (kind, model.look(&text, usize::from(arguments.top))?)
    };
    let page = page(arguments, &kind, &look);
    write_atomically(&arguments.output, page.as_bytes())
        .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", arguments.output.display())))?;
    if arguments.json {
        return say(as_json(arguments, &text, &look));
    }
    summary(&look)?;
    note(format_args!(
        "open {}      attention maps, expectations and the logit lens",
        arguments.output.display()
    ));
    Ok(())
}

fn name_of(path: &Path) -> String {
    let end =
        path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    end.unwrap_or_else(|| path.display().to_string())
}

/// A token in quotes, with its blanks and line ends visible.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    format!("{short:?}")
}

fn percent(probability: f64) -> String {
    match probability * 100.0 {
        value if value >= 9.95 => format!("{value:.0} %"),
        value if value >= 0.095 => format!("{value:.1} %"),
        value => format!("{value:.0e} %"),
    }
}

fn summary(look: &Look) -> Result<(), Failure> {
    let seen = &look.observation;
    if let Some(predictions) = &look.predictions {
        say("token                     surprise   expected")?;
        for (index, place) in predictions.places.iter().take(SHOWN).enumerate() {
            let bits = place.surprisal_bits.map_or(String::new(), |bits| format!("{bits:5.1} bits"));
            // What was the most probable, where it was another.
            let best = index.checked_sub(1).and_then(|before| predictions.places[before].next.first());
            let instead = match best {
                Some(best) if place.rank != Some(1) => {
                    format!("   {} {}", quoted(predictions.text(best.token)), percent(best.probability))
                }
                _ => String::new(),
            };
            let line = format!("{:<24}  {bits}{instead}", quoted(&look.texts[index]));
            say(line.trim_end())?;
        }
        if predictions.places.len() > SHOWN {
            say(format_args!("... and {} more, on the page", predictions.places.len() - SHOWN))?;
        }
        if let (Some(bits), Some(perplexity)) = (predictions.mean_surprisal_bits(), predictions.perplexity())
        {
            say(format_args!("\nperplexity {perplexity:.2}, {bits:.2} bits a token"))?;
        }
        after_the_text(predictions)?;
    } else {
        let texts: Vec<String> = look.texts.iter().map(|text| quoted(text)).collect();
        say(format_args!("{} tokens: {}", texts.len(), texts.join(" ")))?;
    }
    let habits: Vec<String> = habits(look)
        .into_iter()
        .map(|HeadPattern { description, heads }| {
            let heads: Vec<String> =
                heads.iter().map(|(layer, head, score)| format!("{layer}.{head} ({score:.2})")).collect();
            format!("  {description:<40} {}", heads.join(", "))
        })
        .collect();
    let (layers, heads) = (seen.layers(), seen.heads());
    if habits.is_empty() {
        return say(format_args!("\nnone of the {} heads follows a known pattern here", layers * heads));
    }
    say(format_args!(
        "\nheads, as layer.head from 0 ({layers} layers of {heads}), that (share of attention)\n{}",
        habits.join("\n")
    ))
}

/// What comes after the text, and from which layer on.
fn after_the_text(predictions: &Predictions) -> Result<(), Failure> {
    let Some(last) = predictions.places.last() else { return Ok(()) };
    let expected: Vec<String> = (last.next.iter().take(5))
        .map(|candidate| {
            format!("{} {}", quoted(predictions.text(candidate.token)), percent(candidate.probability))
        })
        .collect();
    say(format_args!("next: {}", expected.join(", ")))?;
    let settled = match predictions.settles(predictions.places.len() - 1) {
        0 => "from the embedding on".to_owned(),
        layers => format!("from layer {} of {} on", layers - 1, predictions.lens.len() - 2),
    };
    let answer = last.next.first().map_or("", |best| predictions.text(best.token));
    say(format_args!("logit lens: {} is the most probable {settled}", quoted(answer)))
}

/// The patterns that some heads follow, and those that do it best.
fn habits(look: &Look) -> Vec<HeadPattern<'static>> {
    let heads = look.observation.heads();
    let named = look.patterns.iter().map(|pattern| {
        let best = pattern.ranking().into_iter().take(HEADS);
        let best = best.map(|index| (index / heads, index % heads, pattern.scores[index]));
        let heads = best.filter(|(_, _, score)| *score >= HABIT).collect();
        HeadPattern { description: pattern.pattern.description(), heads }
    });
    named.filter(|pattern| !pattern.heads.is_empty()).collect()
}

fn page<'a>(arguments: &Arguments, kind: &Kind, look: &'a Look) -> String {
    let seen = &look.observation;
    let predictions = look.predictions.as_ref();
    let heads = format!("{} layers of {} heads", seen.layers(), seen.heads());
    let headline = match predictions.and_then(Predictions::perplexity) {
        Some(perplexity) => (format!("{perplexity:.1}"), "perplexity of the text"),
        None => (look.tokens.len().to_string(), "tokens"),
    };
    let mut facts = vec![("layers", seen.layers().to_string()), ("heads a layer", seen.heads().to_string())];
    if let Some(predictions) = predictions {
        facts.insert(0, ("tokens", look.tokens.len().to_string()));
        if let Some(bits) = predictions.mean_surprisal_bits() {
            facts.push(("bits a token", format!("{bits:.2}")));
        }
        let first = predictions.places.iter().filter(|place| place.rank == Some(1)).count();
        facts.push(("guessed right", format!("{first} of {}", predictions.places.len().saturating_sub(1))));
    }
    facts.push(("tokens in the vocabulary", grouped(kind.vocabulary as u128)));
    let pairs = |candidates: &[Candidate]| -> Vec<(&'a str, f64)> {
        let text = |token| predictions.map_or("", |predictions| predictions.text(token));
        candidates.iter().map(|best| (text(best.token), best.probability)).collect()
    };
    let lens = |predictions: &'a Predictions, place: usize| -> Vec<LensCell<'a>> {
        let cells = predictions.lens.iter().map(|layer| &layer[place]);
        cells
            .map(|cell| LensCell {
                top: pairs(&cell.top),
                answer_probability: cell.answer_probability,
                next_rank: cell.next_rank,
            })
            .collect()
    };
    let tokens = look.texts.iter().zip(&look.marks).enumerate().map(|(index, (text, is_mark))| {
        let place = predictions.map(|predictions| &predictions.places[index]);
        InspectedToken {
            text,
            is_mark: *is_mark,
            surprise: place.and_then(|place| Some((place.surprisal_bits?, place.probability?, place.rank?))),
            next: place.map_or_else(Vec::new, |place| pairs(&place.next)),
            lens: predictions.map_or_else(Vec::new, |predictions| lens(predictions, index)),
        }
    });
    InspectionReport {
        name: &kind.name,
        kind: &format!("{} · {heads}", kind.family),
        headline,
        facts,
        tokens: tokens.collect(),
        predicts: predictions.is_some(),
        layers_and_heads: (seen.layers(), seen.heads()),
        map: &|layer, head| seen.map(layer, head),
        patterns: habits(look),
        settings: vec![
            ("model", arguments.model.display().to_string()),
            ("Gyrus", env!("CARGO_PKG_VERSION").to_owned()),
        ],
    }
    .to_html()
}

fn as_json(arguments: &Arguments, text: &str, look: &Look) -> Value {
    let seen = &look.observation;
    let named = |candidates: &[Candidate], predictions: &Predictions| -> Value {
        let row = |best: &Candidate| json!({"token": best.token, "text": predictions.text(best.token), "probability": best.probability});
        candidates.iter().map(row).collect()
    };
    let token = |(index, (&token, text)): (usize, (&u32, &String))| {
        let mut row = json!({"token": token, "text": text});
        if let Some(predictions) = &look.predictions {
            let place = &predictions.places[index];
            row["surprisal_bits"] = json!(place.surprisal_bits);
            row["probability"] = json!(place.probability);
            row["rank"] = json!(place.rank);
            row["next"] = named(&place.next, predictions);
            row["lens_settles_after_layers"] = json!(predictions.settles(index));
            let cell = |layer: &Vec<gyrus_language::see::LensCell>| {
                let cell = &layer[index];
                json!({
                    "top": named(&cell.top, predictions),
                    "answer_probability": cell.answer_probability,
                    "next_rank": cell.next_rank,
                })
            };
            row["lens"] = predictions.lens.iter().map(cell).collect();
        }
        row
    };
    let scores =
        |scores: &[f64]| -> Value { scores.chunks(seen.heads()).map(|layer| json!(layer)).collect() };
    let patterns: serde_json::Map<String, Value> = (look.patterns.iter())
        .map(|pattern| (pattern.pattern.name().to_owned(), scores(&pattern.scores)))
        .collect();
    json!({
        "model": arguments.model,
        "text": text,
        "layers": seen.layers(),
        "heads": seen.heads(),
        "perplexity": look.predictions.as_ref().and_then(Predictions::perplexity),
        "mean_surprisal_bits": look.predictions.as_ref().and_then(Predictions::mean_surprisal_bits),
        "tokens": look.tokens.iter().zip(&look.texts).enumerate().map(token).collect::<Vec<Value>>(),
        "attention_to": patterns,
        "report": arguments.output,
    })
}
