//! `gyrus see`: what happens inside a language model while it reads a text, and what the layers of a network have learned.

use std::path::PathBuf;

use clap::Args;
use gyrus::language::inspection::Predictions;
use gyrus::verbs::{Habit, counted};
use gyrus::verbs::quoted as quoted_path;
use gyrus::{Error, See, SeeNetwork, SeeReport};

use super::help::{JSON, SEED, THREADS};
use super::see_summary;
use super::values::{read_text, threads};
use crate::exit::Failure;
use crate::output::{note, page, say, say_json};
use crate::progress::Watcher;

/// Tokens that the terminal shows.
const SHOWN: usize = 64;

/// Show what the layers of a network have learned, or what happens inside a language model while it reads a text
///
/// For the run of a network that reads images, the page shows each layer's units: filters, the examples that excite them most, a
/// synthesized picture, selectivity, what they listen to and whom they reach; over depth: linear probes, effective dimension,
/// similarity of layers; and where answers came from. For a language model it shows each token's surprisal, the model's
/// predictions, attention maps and the logit lens; a sentence encoder of the BERT family has attention maps only.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Run folder of a network; model file or folder of another program, with --data; or a language model: Hugging Face folder or model id, .gguf file, or llama2.c file (.bin) with
    /// tokenizer.bin beside it
    model: PathBuf,
    /// Language model: text to read, at most 512 tokens, fewer for models of more than 128 heads; - reads it from standard input
    #[arg(conflicts_with_all = ["image", "beside"])]
    text: Option<String>,
    /// Page to write; an existing file is replaced
    #[arg(long, alias = "output", value_name = "FILE.html", default_value = See::OUT)]
    out: PathBuf,
    /// Language model: how many of the most likely next tokens to keep at each position
    #[arg(long, default_value_t = See::TOP, value_parser = clap::value_parser!(u16).range(1..=100))]
    top: u16,
    /// Network: image whose answer to explain; may be repeated [default: a test example of each class]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    image: Vec<PathBuf>,
    /// Network: another run, to compare representations with
    #[arg(long, value_name = "RUN")]
    beside: Option<PathBuf>,
    /// Network: training examples that units are shown; half as many test examples measure the probes
    #[arg(long, default_value_t = SeeNetwork::EXAMPLES, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    examples: u32,
    /// Network: the most units of a layer that the page shows
    #[arg(long, default_value_t = SeeNetwork::UNITS, value_parser = clap::value_parser!(u32).range(1..=4096))]
    units: u32,
    /// Network: steps in which a unit's picture is synthesized; 0 leaves that out [default: 64, fewer for large networks]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=4096))]
    synthesis_steps: Option<u32>,
    /// Network: folder with the data, if it is no longer where the run read it; for a network of another program, a folder with one
    /// sub-folder of images for each class
    #[arg(long = "data", value_name = "DIR", id = "data_directory")]
    directory: Option<PathBuf>,
    #[arg(long, help = SEED, default_value_t = 0)]
    seed: u64,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.text.is_none() && (SeeNetwork::is_network(&arguments.model) || arguments.directory.is_some())
    {
        return network(arguments);
    }
    let Some(text) = &arguments.text else {
        let model = quoted_path(&arguments.model);
        return Err(Error::Request(format!(
            "{model} is not the run of a network; for a network of another program give images by --data DIR, for a language model a \
             text: gyrus see {model} \"Some text\""
        ))
        .into());
    };
    let report = See {
        out: arguments.out.clone(),
        top: arguments.top.into(),
        threads: arguments.threads,
        ..See::new(&arguments.model, read_text(text)?)
    }
    .run()?;
    if arguments.json {
        return say_json(&report);
    }
    summary(&report)?;
    note(format_args!("open {}      attention maps, expectations and the logit lens", page(&report.page)));
    Ok(())
}

/// What the layers of a network have learned.
fn network(arguments: &Arguments) -> Result<(), Failure> {
    let report = SeeNetwork {
        beside: arguments.beside.clone(),
        images: arguments.image.clone(),
        out: arguments.out.clone(),
        data: arguments.directory.clone(),
        examples: arguments.examples as usize,
        units: arguments.units as usize,
        synthesis_steps: arguments.synthesis_steps.map(|steps| steps as usize),
        seed: arguments.seed,
        threads: arguments.threads,
        ..SeeNetwork::new(&arguments.model)
    }
    .run(&mut Watcher::without_stop())?;
    if arguments.json {
        return say_json(&report);
    }
    see_summary::network(&report)?;
    note(format_args!("open {}      units, examples, circuits and decisions", page(&report.page)));
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
        say(format_args!("{}: {}", counted(texts.len() as u64, "token"), texts.join(" ")))?;
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
        return say(format_args!("\nnone of the {} follows a known pattern here", counted((layers * heads) as u64, "head")));
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
