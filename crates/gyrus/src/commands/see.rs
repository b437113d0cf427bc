//! `gyrus see`: what happens inside a language model while it reads a text.

use std::path::PathBuf;

use clap::Args;
use gyrus::language::inspection::Predictions;
use gyrus::verbs::Habit;
use gyrus::{See, SeeReport};

use super::help::{JSON, MODEL, THREADS};
use super::values::{read_text, threads};
use crate::exit::Failure;
use crate::output::{note, page, say, say_json};

/// Tokens that the terminal shows.
const SHOWN: usize = 64;

/// Show what happens inside a language model while it reads a text
///
/// Writes a page with each token's surprisal, the model's predictions, attention maps and the logit lens, and prints a summary.
/// MODEL can also be a sentence encoder of the BERT family, which has attention maps only.
#[derive(Args)]
pub(crate) struct Arguments {
    #[arg(help = MODEL)]
    model: PathBuf,
    /// Text to read, at most 512 tokens, fewer for models of more than 128 heads; - reads it from standard input
    text: String,
    /// Page to write; an existing file is replaced
    #[arg(long, alias = "output", value_name = "FILE.html", default_value = See::OUT)]
    out: PathBuf,
    /// How many of the most likely next tokens to keep at each position
    #[arg(long, default_value_t = See::TOP, value_parser = clap::value_parser!(u16).range(1..=100))]
    top: u16,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let report = See {
        out: arguments.out.clone(),
        top: arguments.top.into(),
        threads: arguments.threads,
        ..See::new(&arguments.model, read_text(&arguments.text)?)
    }
    .run()?;
    if arguments.json {
        return say_json(&report);
    }
    summary(&report)?;
    note(format_args!("open {}      attention maps, expectations and the logit lens", page(&report.page)));
    Ok(())
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

fn summary(report: &SeeReport) -> Result<(), Failure> {
    let look = &report.look;
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
    let habits: Vec<String> = report
        .habits()
        .into_iter()
        .map(|Habit { description, heads }| {
            let heads: Vec<String> =
                heads.iter().map(|(layer, head, score)| format!("{layer}.{head} ({score:.2})")).collect();
            format!("  {description:<40} {}", heads.join(", "))
        })
        .collect();
    let (layers, heads) = (report.layers, report.heads);
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
