//! What `gyrus inspect` prints of language models and adapters.

use gyrus::verbs::{InspectedAdapter, InspectedModel, InspectedTraining};

use super::printable;

/// Width of the column of names.
const NAMES: usize = 16;

/// Lines of a name and what is there.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0 += &format!("{name:<NAMES$}{}\n", printable(&value.to_string()));
    }

    fn training(&mut self, run: Option<&InspectedTraining>) {
        let Some(InspectedTraining { task, data, status, steps, validation_loss, base }) = run else {
            return;
        };
        let loss = validation_loss
            .map_or(String::new(), |loss| format!(", validation loss {loss:.4} nats per token"));
        let what = if *task == "tuning" { "tuned on" } else { "learned from" };
        let steps = if *steps == 1 { "1 step".to_owned() } else { format!("{} steps", grouped(*steps)) };
        self.add("run", format_args!("{status}: {what} {data}, {steps}{loss}"));
        if let Some(base) = base {
            self.add("tuned from", base);
        }
    }
}

pub(super) fn of_model(model: &InspectedModel, everything: bool) -> String {
    let kind = match model.format {
        "gguf" => "GGUF file",
        "llama2c" => "llama2.c file",
        _ => "model",
    };
    let mut lines = Lines(format!("{kind} {}\n\n", model.path.display()));
    lines.add("architecture", &model.architecture);
    if let Some(name) = &model.name {
        lines.add("name", name);
    }
    lines.add("parameters", format_args!("{} ({})", grouped(model.parameters), short(model.parameters)));
    let bits = 8.0 * model.bytes as f64 / model.parameters.max(1) as f64;
    lines.add("size", format_args!("{}, {bits:.2} bits per parameter", size(model.bytes)));
    let mut types: Vec<_> = model.types.iter().collect();
    types.sort_by_key(|(_, own)| std::cmp::Reverse(own.parameters));
    for (index, (name, own)) in types.iter().enumerate() {
        let share = 100.0 * own.parameters as f64 / model.parameters.max(1) as f64;
        let name = format!("{name:<8}{:>5} tensors {:>10} {share:>6.2} %", own.tensors, size(own.bytes));
        lines.add(if index == 0 { "types" } else { "" }, name);
    }
    let shape = &model.shape;
    let numbers = [
        ("context", shape.context),
        ("layers", shape.layers),
        ("width", shape.width),
        ("feed-forward", shape.feed_forward),
        ("heads", shape.heads),
        ("key-value heads", shape.key_value_heads),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            lines.add(name, grouped(number));
        }
    }
    match &model.tokenizer {
        None => lines.add("tokenizer", "none"),
        Some(tokenizer) => {
            let begin =
                tokenizer.begin.as_ref().map_or(String::new(), |begin| format!(", begins with {begin}"));
            let ends = match tokenizer.ends.is_empty() {
                true => String::new(),
                false => format!(", ends with {}", tokenizer.ends.join(" or ")),
            };
            let tokens = grouped(tokenizer.tokens as u64);
            lines.add("tokenizer", format_args!("{}, {tokens} tokens{begin}{ends}", tokenizer.model));
        }
    }
    lines.add("chat template", if model.chat_template { "yes" } else { "no" });
    lines.training(model.run.as_ref());
    match &model.problem {
        None => lines.add("runs here", "yes"),
        Some(problem) => lines.add("runs here", format_args!("no: {problem}")),
    }
    for note in &model.notes {
        lines.add("note", note);
    }
    if everything {
        lines.0 += "\n";
        let longest =
            model.metadata.keys().chain(model.tensors.keys()).map(|name| name.chars().count()).max();
        let longest = longest.unwrap_or_default();
        for (name, value) in &model.metadata {
            lines.0 += &format!("{:<longest$}  {}\n", printable(name), printable(value));
        }
        for (name, tensor) in &model.tensors {
            lines.0 += &format!("{:<longest$}  {:<6}{:?}\n", printable(name), tensor.dtype, tensor.shape);
        }
    }
    lines.0
}

pub(super) fn of_adapter(adapter: &InspectedAdapter) -> String {
    let mut lines = Lines(format!("adapter {}\n\n", adapter.path.display()));
    lines.add("base model", adapter.base.as_deref().unwrap_or("not named"));
    lines.add("rank", adapter.rank);
    lines.add("alpha", adapter.alpha);
    lines.add("targets", adapter.targets.join(", "));
    lines.add("matrices", adapter.matrices);
    lines.add("parameters", grouped(adapter.parameters));
    lines.training(adapter.run.as_ref());
    lines.0
}

fn grouped(number: u64) -> String {
    gyrus::report::grouped(number.into())
}

/// A number of parameters as people say it.
fn short(number: u64) -> String {
    match number as f64 {
        number if number >= 1e9 => format!("{:.2} billion", number / 1e9),
        number if number >= 1e6 => format!("{:.1} million", number / 1e6),
        number => format!("{:.1} thousand", number / 1e3),
    }
}

/// A number of bytes as people say it.
fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        _ if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        _ if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} kB", bytes / 1e3),
    }
}
