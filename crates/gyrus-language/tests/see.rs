//! Inspecting a model on a text.

use std::path::Path;

use crate::common::{Random, parts, real_data};
use gyrus_formats::{Checkpoint, Tensor};
use gyrus_language::inspection::{Inspection, Pattern};
use gyrus_language::{Cache, Model, Sequence};

/// All logits of a plain pass.
fn logits(model: &Model, tokens: &[u32]) -> Vec<f32> {
    let mut cache = Cache::new(model.decoder.config());
    model.decoder.forward(&mut [Sequence { tokens, cache: &mut cache, all_logits: true }]).unwrap()
}

/// Softmax in doubles.
fn probabilities(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

#[track_caller]
fn assert_close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6, "{a} is not {b}");
}

/// The predictions at each position follow from the logits of a plain pass.
fn check_predictions(model: &Model, look: &Inspection) {
    let vocabulary = model.decoder.config().vocabulary;
    let logits = logits(model, &look.tokens);
    let predictions = look.predictions.as_ref().unwrap();
    assert_eq!(predictions.places.len(), look.tokens.len());
    assert_eq!(predictions.places[0].surprisal_bits, None);
    let mut bits = 0.0;
    for (index, row) in logits.chunks_exact(vocabulary).enumerate() {
        let probabilities = probabilities(row);
        let best = &predictions.places[index].next;
        assert!(best.windows(2).all(|pair| pair[0].probability >= pair[1].probability));
        for candidate in best {
            assert_close(candidate.probability, probabilities[candidate.token as usize]);
        }
        let better = |than: f64| probabilities.iter().filter(|&&other| other > than).count();
        assert_eq!(better(best[0].probability + 1e-9), 0);
        let last = &predictions.lens.last().unwrap()[index];
        assert_eq!(last.top[..], best[..last.top.len()], "the last lens is the model's prediction");
        assert_eq!(last.answer_probability, best[0].probability);
        if let Some(&next) = look.tokens.get(index + 1) {
            let place = &predictions.places[index + 1];
            assert_close(place.probability.unwrap(), probabilities[next as usize]);
            assert_close(place.surprisal_bits.unwrap(), -probabilities[next as usize].log2());
            assert_eq!(place.rank, last.next_rank);
            assert!((place.rank.unwrap() - 1).abs_diff(better(probabilities[next as usize])) <= 1);
            bits += place.surprisal_bits.unwrap();
        }
    }
    let mean = bits / (look.tokens.len() - 1) as f64;
    assert_close(predictions.mean_surprisal_bits().unwrap(), mean);
    assert_close(predictions.perplexity().unwrap() / mean.exp2(), 1.0);
    for place in 0..look.tokens.len() {
        let settles = predictions.settles(place);
        let first = |layers: usize| predictions.lens[layers][place].top[0].token;
        assert!(
            (settles..=look.observation.layers())
                .all(|layers| first(layers) == predictions.places[place].next[0].token)
        );
        assert!(settles == 0 || first(settles - 1) != predictions.places[place].next[0].token);
    }
}

#[test]
fn predictions_are_those_of_a_plain_pass() {
    let model = parts().build().unwrap();
    let look = model.inspect("hello", 7).unwrap();
    // The beginning-of-text token, a space that this vocabulary lacks, and letters.
    assert_eq!(look.tokens[0], 1);
    assert_eq!((look.texts[0].as_str(), look.special[0]), ("<1>", true));
    assert_eq!((look.texts.last().unwrap().as_str(), *look.special.last().unwrap()), ("o", false));
    check_predictions(&model, &look);
    let predictions = look.predictions.as_ref().unwrap();
    assert!(predictions.places.iter().all(|place| place.next.len() == 7));
    assert_eq!(predictions.lens.len(), 3);
    // The rest of the vocabulary has no text but a name.
    assert!(
        predictions
            .lens
            .iter()
            .flatten()
            .flat_map(|cell| &cell.top)
            .all(|best| !predictions.text(best.token).is_empty())
    );
    let one = model.inspect("", 100).unwrap();
    let alone = one.predictions.unwrap();
    assert_eq!((one.tokens.len(), alone.perplexity(), alone.places[0].next.len()), (1, None, 40));
    assert!(model.inspect(&"h".repeat(600), 1).unwrap_err().to_string().contains("at most 512"));
}

#[test]
fn damaged_weights_are_an_error() {
    let mut parts = parts();
    let mut tensors = parts.checkpoint.tensors().clone();
    let count = tensors["model.norm.weight"].floats().len();
    tensors.insert("model.norm.weight".to_owned(), Tensor::of_floats(vec![count], vec![f32::NAN; count]));
    parts.checkpoint = Checkpoint::new(Path::new("memory"), tensors);
    let said = parts.build().unwrap().inspect("hello", 3).unwrap_err().to_string();
    assert!(said.contains("NaN") && said.contains("damage"), "{said}");
}

/// A one-layer model whose attention depends on positions alone and attends to the previous token.
#[test]
fn a_head_that_was_built_to_look_back_is_found() {
    let mut parts = parts();
    let (width, vocabulary) = (parts.config.width, parts.config.vocabulary);
    let head = parts.config.head_width;
    // One layer whose queries and keys are constants: the rotation then makes the score a function of the distance.
    parts.config.layers.truncate(1);
    let mut random = Random(5);
    let mut tensors = std::collections::BTreeMap::new();
    for parameter in parts.config.parameters() {
        let count: usize = parameter.shape.iter().product();
        let mut values: Vec<f32> = (0..count).map(|_| (random.next() % 1000) as f32 / 5000.0 - 0.1).collect();
        if parameter.name.ends_with("norm.weight") || parameter.name.ends_with("layernorm.weight") {
            values.fill(1.0);
        }
        if parameter.name.ends_with("embed_tokens.weight") {
            // The constant from which queries and keys are computed.
            values.chunks_exact_mut(width).for_each(|row| row[0] = 3.0);
        }
        if parameter.name.ends_with("q_proj.weight") || parameter.name.ends_with("k_proj.weight") {
            values.fill(0.0);
            // The first head alone, in the pair that rotates by one radian per token.
            let angle: f32 = if parameter.name.ends_with("q_proj.weight") { -1.0 } else { 0.0 };
            values[0] = 4.0 * angle.cos();
            values[head / 2 * width] = 4.0 * angle.sin();
        }
        tensors.insert(parameter.name, Tensor::of_floats(parameter.shape, values));
    }
    assert_eq!(vocabulary, 40);
    parts.checkpoint = Checkpoint::new(Path::new("memory"), tensors);
    let look = parts.build().unwrap().inspect("hgfed", 3).unwrap();
    let previous = look.patterns.iter().find(|found| found.pattern == Pattern::Previous).unwrap();
    assert_eq!(previous.ranking()[0], 0, "{previous:?}");
    assert!(previous.scores[0] > 0.9, "{previous:?}");
    assert!(previous.scores[2..].iter().all(|&score| score < 0.5), "{previous:?}");
}

#[test]
fn a_real_model_is_surprised_by_what_is_surprising() {
    let Some(data) = real_data("stories260K") else { return };
    let model = Model::open(&data.join("stories260K.bin")).unwrap();
    let look = model.inspect("Once upon a time, there was a little girl named Lily.", 10).unwrap();
    check_predictions(&model, &look);
    let predictions = look.predictions.as_ref().unwrap();
    assert_eq!(look.texts.concat(), "<s> Once upon a time, there was a little girl named Lily.");
    assert!(look.special[0] && !look.special[1]);
    let usual = predictions.perplexity().unwrap();
    let odd = model.inspect("Lily girl time, little a named Once was upon a.", 10).unwrap();
    let unusual = odd.predictions.as_ref().unwrap().perplexity().unwrap();
    assert!(usual < 4.0 && unusual > 5.0 * usual, "{usual} and {unusual}");
    // The lens becomes more certain from layer to layer.
    let sure = |layers: usize| -> f64 {
        let cells = &predictions.lens[layers];
        cells.iter().map(|cell| cell.answer_probability).sum::<f64>() / cells.len() as f64
    };
    assert!(sure(0) < 0.2 && sure(look.observation.layers()) > 0.4, "{} and {}", sure(0), sure(5));
    let patterns: Vec<Pattern> = look.patterns.iter().map(|found| found.pattern).collect();
    assert_eq!(patterns, [Pattern::Induction, Pattern::Previous, Pattern::First, Pattern::Own]);
    assert!(look.patterns.iter().all(|found| found.scores.len() == 40));
    for found in &look.patterns {
        println!("{}: {:.3?}", found.pattern.name(), found.scores);
        assert!(found.scores.iter().all(|score| (0.0..=1.0 + 1e-6).contains(score)));
    }
}
