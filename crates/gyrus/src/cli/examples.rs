//! Examples below the help of each verb.

use clap::Command;

/// What an example does, and its command line.
type Example = (&'static str, &'static str);

const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "learn",
        &[
            ("1,797 handwritten digits, built in", "gyrus learn digits"),
            ("a table, predicting one of its columns", "gyrus learn houses.csv --target price"),
            ("the same, cross-validated first", "gyrus learn houses.csv --target price --folds 5"),
            ("a folder with one sub-folder of images for each class", "gyrus learn my-images --open"),
            ("a language model from scratch", "gyrus learn corpus.txt -o runs/mine"),
            ("a spiking network", "gyrus learn digits --spiking"),
            ("a network that makes solids of pictures", "gyrus learn shapes --procedural -o runs/shapes"),
            ("go on after Ctrl-C or a crash", "gyrus learn --resume runs/digits"),
        ],
    ),
    (
        "tune",
        &[
            ("an adapter of a small model", "gyrus tune org/model answers.jsonl -o mine"),
            ("use it", "gyrus write org/model --adapter mine \"A question\""),
            ("one model of both", "gyrus tune --merge mine -o merged"),
        ],
    ),
    (
        "predict",
        &[
            ("the classes of some images", "gyrus predict runs/digits a.png b.png"),
            ("rows of a table, answers as a table", "gyrus predict runs/houses new.csv -o answers.csv"),
            ("a whole folder", "gyrus predict runs/my-images new-images"),
            ("a network from another program", "gyrus predict net.nir image.png --dt 1"),
            ("for other programs, a line for each answer", "gyrus predict runs/digits *.png --jsonl"),
        ],
    ),
    (
        "label",
        &[
            ("cats and dogs", "gyrus label my-images --like \"a cat,a dog\" --model org/clip"),
            ("as a table", "gyrus label my-images --like \"a cat,a dog\" --model org/clip -o a.csv"),
        ],
    ),
    (
        "similar",
        &[
            ("duplicates and outliers of a folder", "gyrus similar my-images"),
            ("the nearest to an image", "gyrus similar my-images cat.png"),
            ("by what a network sees", "gyrus similar my-images cat.png --model runs/my-images"),
        ],
    ),
    (
        "convert",
        &[
            ("for onnxruntime and others", "gyrus convert runs/digits digits.onnx"),
            ("a network that others trained", "gyrus convert org/model model.onnx"),
        ],
    ),
    (
        "publish",
        &[
            ("card, configuration, weights", "gyrus publish runs/my-images my-model --license mit"),
            ("and to the hub", "HF_TOKEN=... gyrus publish runs/mine my-model --push me/my-model"),
        ],
    ),
    (
        "spike",
        &[
            ("convert, fine-tune, measure", "gyrus spike runs/digits"),
            (
                "the same answers as the quantized network, bit for bit",
                "gyrus spike runs/digits --exact -o exact",
            ),
            ("for other simulators and chips", "gyrus spike runs/digits --nir net.nir -o spiking"),
        ],
    ),
    (
        "simulate",
        &[
            ("a random balanced network of 12,500 neurons", "gyrus simulate brunel --open"),
            ("a tenth of the cortical microcircuit", "gyrus simulate microcircuit --scale 0.1 --watch"),
            ("a circuit of your own, beginning from a built-in one", "gyrus simulate cuba --show > my.toml"),
            (
                "run it for 5 seconds, spikes as Parquet",
                "gyrus simulate my.toml --seconds 5 --format parquet",
            ),
            ("go on after Ctrl-C", "gyrus simulate --resume runs/my"),
            ("a SONATA network", "gyrus simulate 300_pointneurons/config.json"),
            ("digits by the times of spikes, without labels", "gyrus simulate mnist --examples 20000"),
            ("what a human brain of such neurons would take", "gyrus simulate microcircuit --estimate"),
        ],
    ),
    (
        "sculpt",
        &[
            ("the object in a picture", "gyrus sculpt chair.png --model stabilityai/TripoSR"),
            (
                "one that learned here, from a sentence",
                "gyrus sculpt \"a red torus on a blue box\" --model runs/shapes",
            ),
            ("is it closed, manifold, in one part?", "gyrus sculpt --inspect bunny.obj"),
            ("for viewers, with at most 10,000 faces", "gyrus sculpt bunny.obj -o bunny.glb --faces 10000"),
            ("for a printer, or not at all", "gyrus sculpt cup.glb --format stl --require-watertight"),
            ("how near a mesh is to another", "gyrus sculpt --compare mine.glb reference.ply"),
        ],
    ),
    (
        "run",
        &[
            ("chat with a model from the hub", "gyrus run org/model:Q4_K_M"),
            ("continue a text", "gyrus run model.gguf \"Once upon a time\""),
        ],
    ),
    (
        "chat",
        &[
            ("a conversation", "gyrus chat org/model --system \"Be brief\""),
            ("one question from a script", "echo \"What is 2 + 2?\" | gyrus chat model.gguf"),
        ],
    ),
    (
        "write",
        &[
            ("continue a text with at most 50 tokens", "gyrus write model.gguf \"Once upon a time\" -n 50"),
            (
                "the same, as other programs write it",
                "gyrus write -m model.gguf -p \"Once upon a time\" -n 50",
            ),
            ("the most likely text", "gyrus write org/model --temperature 0 \"2 + 2 =\""),
            ("text that fits a JSON schema", "gyrus write org/model --json-schema cat.json \"A cat:\""),
            ("a long prompt", "gyrus write org/model - < prompt.txt"),
        ],
    ),
    (
        "embed",
        &[
            ("the lines closest in meaning", "gyrus embed org/encoder notes.txt --query \"when is it due?\""),
            ("all vectors in a file", "gyrus embed org/encoder notes.txt -o vectors.safetensors"),
        ],
    ),
    (
        "serve",
        &[
            ("at http://127.0.0.1:8080/v1", "gyrus serve org/model"),
            ("with sentence embeddings", "gyrus serve model.gguf --embeddings org/encoder"),
            ("for a web page of this machine", "gyrus serve org/model --cors http://localhost:3000"),
            ("for other machines", "GYRUS_API_KEY=secret gyrus serve model.gguf --host 0.0.0.0"),
        ],
    ),
    (
        "ask",
        &[
            (
                "a question in the words of the schema",
                "gyrus ask shop.sqlite \"how many customers per country\"",
            ),
            (
                "with a model that writes the query",
                "gyrus ask shop.sqlite \"Who bought most?\" --model org/model",
            ),
            ("a query of your own", "gyrus ask shop.sqlite --sql \"select count(*) from customer\""),
            (
                "a folder of tables, the answer as a page",
                "gyrus ask tables \"total amount per city\" --out answer.html",
            ),
            ("what words mean, and what is private", "gyrus ask shop.sqlite --describe --out semantic.toml"),
        ],
    ),
    (
        "index",
        &[
            ("or bring its index up to date", "gyrus index papers"),
            ("to be found by meaning as well", "gyrus index papers --model org/encoder"),
            ("with the index elsewhere", "gyrus index papers -o papers.index"),
        ],
    ),
    (
        "search",
        &[
            ("the passages that hold these words", "gyrus search papers \"spiking networks energy\""),
            ("by meaning as well", "gyrus search papers \"how do they learn?\" --model org/encoder"),
            ("a query a line, for other programs", "gyrus search papers --json < queries.txt"),
        ],
    ),
    (
        "research",
        &[
            ("quotes, without a model", "gyrus research \"Do owls migrate?\" --sources papers"),
            (
                "an answer, each claim checked against its quotes",
                "gyrus research \"Do owls migrate?\" --sources papers -m org/model",
            ),
            ("go on after Ctrl-C or a crash", "gyrus research --resume runs/do-owls-migrate"),
            ("again, without model or network", "gyrus research --replay runs/do-owls-migrate"),
        ],
    ),
    (
        "mcp",
        &[
            ("a database", "gyrus mcp --db shop.sqlite"),
            ("with a column that nobody may read", "gyrus mcp --db shop.sqlite --private person.phone"),
        ],
    ),
    (
        "inspect",
        &[
            ("a finished run", "gyrus inspect runs/digits"),
            ("a network from another program", "gyrus inspect net.nir"),
            ("a model: types, shape, tokenizer", "gyrus inspect model.gguf"),
            ("a recording of an event camera", "gyrus inspect saccade.aedat4"),
        ],
    ),
    (
        "tokenize",
        &[
            ("the tokens of a text", "gyrus tokenize model.gguf \"Hello, world\""),
            ("how many tokens a file has", "gyrus tokenize model.gguf --file notes.txt --ids | wc -w"),
        ],
    ),
    (
        "see",
        &[
            ("the layers of a trained network", "gyrus see runs/mnist"),
            ("why it answers as it does", "gyrus see runs/mnist --image three.png --open"),
            ("how alike two networks are", "gyrus see runs/mnist --beside runs/second"),
            ("a network that others trained", "gyrus see vit.safetensors --data my-images"),
            ("write see.html and open it", "gyrus see model.gguf \"The cat sat on the mat.\" --open"),
            ("a file", "gyrus see org/model - < text.txt"),
        ],
    ),
    (
        "pull",
        &[
            ("configuration, tokenizer and weights", "gyrus pull org/model"),
            ("one GGUF file of several", "gyrus pull org/model-GGUF:Q4_K_M"),
            ("an address from a browser", "gyrus pull https://huggingface.co/org/model"),
        ],
    ),
    (
        "devices",
        &[("what this machine has", "gyrus devices"), ("a software driver", "gyrus devices wgpu:software")],
    ),
    ("list", &[("models and runs", "gyrus list"), ("for other programs", "gyrus list --json")]),
    (
        "quantize",
        &[
            ("8 bits", "gyrus quantize runs/corpus model.gguf"),
            ("4 bits, for llama.cpp too", "gyrus quantize org/model -o model.gguf --to q4_0"),
        ],
    ),
    (
        "completions",
        &[
            ("bash", "gyrus completions bash > ~/.local/share/bash-completion/completions/gyrus"),
            ("zsh", "gyrus completions zsh > \"${fpath[1]}/_gyrus\""),
            ("fish", "gyrus completions fish > ~/.config/fish/completions/gyrus.fish"),
        ],
    ),
    ("man", &[("then: man gyrus-learn", "gyrus man -o ~/.local/share/man/man1")]),
];

/// The first example of a verb.
pub(super) fn first(verb: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|(name, _)| *name == verb)?.1.first().map(|example| example.1)
}

/// The verb with its examples below its help.
pub(super) fn shown(verb: Command) -> Command {
    let Some((_, examples)) = EXAMPLES.iter().find(|(name, _)| *name == verb.get_name()) else { return verb };
    let (header, comment) = (*verb.get_styles().get_header(), *verb.get_styles().get_placeholder());
    let literal = *verb.get_styles().get_literal();
    let mut text = format!("{header}Examples:{header:#}");
    for (does, line) in *examples {
        text += &format!("\n  {comment}# {does}{comment:#}\n  {literal}{line}{literal:#}");
    }
    verb.after_help(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_examples_that_it_understands() {
        let command = crate::command();
        for verb in command.get_subcommands() {
            let found = EXAMPLES.iter().find(|(name, _)| *name == verb.get_name());
            assert!(found.is_some(), "no examples of {} in cli/examples.rs", verb.get_name());
        }
        for (verb, examples) in EXAMPLES.iter().filter(|(verb, _)| command.find_subcommand(verb).is_some()) {
            for (does, line) in *examples {
                assert!(2 + line.len() <= 80 && 4 + does.len() <= 80, "{line}");
                let start = line.find("gyrus").unwrap();
                let words = line[start..].split(['<', '>', '|']).next().unwrap();
                // Quoted words may hold blanks; what they hold does not matter here.
                let quoted = words.split('"').enumerate();
                let words: String =
                    quoted.map(|(at, part)| if at % 2 == 1 { "quoted" } else { part }).collect();
                let given = crate::cli::read(&command, words.split_whitespace().map(Into::into));
                assert!(given.matches.is_ok(), "{verb}: {line}: {:?}", given.matches.err());
            }
        }
    }
}
