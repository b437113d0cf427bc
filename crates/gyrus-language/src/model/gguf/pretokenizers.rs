//! How texts are split before byte pairs are merged (pre-tokenization), under the names that llama.cpp gives to the ways.
//!
//! A way is a chain of patterns: each splits what the ones before have left together, and what matches stands alone. Source:
//! the table of names and patterns in llama.cpp's `llama-vocab.cpp`.

use serde_json::{Value as Json, json};

/// The contractions of English, in any case.
macro_rules! contractions {
    () => {
        "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
    };
}

/// The words, spaces and signs of newer vocabularies, after contractions and with a pattern for digits.
macro_rules! newer {
    ($digits:literal) => {
        concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|",
            $digits,
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    };
}

/// Words of capitals followed by small letters, perhaps with a contraction.
macro_rules! cased {
    ($after:expr, $digits:literal) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+",
            $after,
            r"|[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))+((?=[\p{L}])([^A-Z]))*",
            $after,
            "|",
            $digits,
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    };
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const LLAMA3: &str = newer!(r"\p{N}{1,3}");
const QWEN2: &str = newer!(r"\p{N}");
const DIGIT: &str = r"\p{N}";
const UP_TO_THREE_DIGITS: &str = r"\p{N}{1,3}";
const CHINESE_JAPANESE: &str = "[一-龥\u{3040}-ゟ゠-ヿ]+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const PUNCTUATED: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";

/// A way to split texts.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    /// The patterns, one after the other.
    patterns: &'static [&'static str],
    /// Whether a word that is a token stays whole, whatever its merges.
    pub(super) whole_words: bool,
    /// Whether texts begin with a token unless the file denies it.
    pub(super) begins: bool,
    /// Whether characters are composed first (NFC), as these vocabularies' own tokenizers do.
    pub(super) composes: bool,
}

const fn cut(patterns: &'static [&'static str]) -> Cut {
    Cut { patterns, whole_words: false, begins: false, composes: false }
}

const fn whole(patterns: &'static [&'static str]) -> Cut {
    Cut { whole_words: true, ..cut(patterns) }
}

const fn beginning(patterns: &'static [&'static str]) -> Cut {
    Cut { begins: true, ..whole(patterns) }
}

/// The way of files that name none.
pub(super) const DEFAULT: Cut = cut(&[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]);

/// The ways by their names; of names for the same patterns, the first is written.
const NAMED: &[(&[&str], Cut)] = &[
    (
        &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "gigachat",
            "jina-v2-es",
            "jina-v2-de",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "exaone4",
        ],
        cut(&[GPT2]),
    ),
    (&["default"], DEFAULT),
    (
        &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        beginning(&[LLAMA3]),
    ),
    (&["dbrx", "smaug-bpe", "chatglm-bpe"], cut(&[LLAMA3])),
    (&["glm4", "glm5"], whole(&[LLAMA3])),
    (&["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"], Cut { composes: true, ..cut(&[QWEN2]) }),
    (&["stablelm2", "hunyuan", "solar-open", "grok-2"], cut(&[QWEN2])),
    (
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        cut(&[DIGIT, GPT2]),
    ),
    (&["falcon"], cut(&[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"])),
    (
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        cut(&[UP_TO_THREE_DIGITS, CHINESE_JAPANESE, DEEPSEEK3]),
    ),
    (&["deepseek-coder"], cut(&["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-\u{d7ff}]+", DIGIT])),
    (&["tekken"], beginning(&[cased!("", r"\p{N}")])),
    (
        &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        cut(&[cased!("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?", r"\p{N}{1,3}")]),
    ),
    (
        &["qwen35"],
        Cut {
            composes: true,
            ..cut(&[concat!(
                contractions!(),
                r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            )])
        },
    ),
    (&["poro-chat", "bloom", "gpt3-finnish"], cut(&[PUNCTUATED])),
    (&["viking"], cut(&[PUNCTUATED, DIGIT])),
    (
        &["bailingmoe", "bailingmoe2", "llada-moe"],
        cut(&[
            r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        ]),
    ),
    (
        &["seed-coder"],
        cut(&[concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
        )]),
    ),
    (
        &["exaone-moe"],
        cut(&[concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
        )]),
    ),
    (
        &["ufakzeka"],
        cut(&[r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]),
    ),
    (&["laguna"], cut(&[r"[^\n]+|[\n]+", QWEN2])),
    (&["minicpm5"], whole(&[UP_TO_THREE_DIGITS, newer!(r"\p{N}+")])),
    (
        &["jais-2"],
        cut(&[concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)",
            r"|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}"
        )]),
    ),
];

/// Patterns as `tokenizer.json` files have them, and the name of the same way.
const PUBLISHED: &[(&[&str], &str)] = &[
    (
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        "llama-bpe",
    ),
    (
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        "qwen2",
    ),
    (
        &[
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        "tekken",
    ),
    (
        &[
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        "gpt-4o",
    ),
];

/// The way of this name.
pub(super) fn named(name: &str) -> Option<Cut> {
    NAMED.iter().find(|(names, _)| names.contains(&name)).map(|(_, cut)| *cut)
}

/// All names.
pub(super) fn names() -> Vec<&'static str> {
    NAMED.iter().flat_map(|(names, _)| *names).copied().collect()
}

impl Cut {
    /// As the pre-tokenizer of a `tokenizer.json`.
    pub(super) fn json(self) -> Json {
        let splits = self.patterns.iter().map(|pattern| {
            json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
        });
        json!({"type": "Sequence", "pretokenizers": splits.chain([byte_level(false)]).collect::<Vec<_>>()})
    }
}

/// Bytes as letters, and GPT-2's pattern before, if `regex`.
pub(super) fn byte_level(regex: bool) -> Json {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex})
}

/// The name of a `tokenizer.json`'s pre-tokenizer, for a vocabulary whose words stay whole or not.
pub(super) fn name_of(before: &Json, whole_words: bool) -> Option<&'static str> {
    let parts = match before["pretokenizers"].as_array() {
        Some(parts) => parts.as_slice(),
        None => std::slice::from_ref(before),
    };
    let (last, splits) = parts.split_last()?;
    if last["type"] != "ByteLevel" || last["add_prefix_space"] == true {
        return None;
    }
    let mut patterns = Vec::new();
    for split in splits {
        match split["type"].as_str()? {
            "Digits" if split["individual_digits"] == true => patterns.push(DIGIT),
            "Split" if split["behavior"] == "Isolated" && split["invert"] != true => {
                patterns.push(split["pattern"]["Regex"].as_str()?);
            }
            _ => return None,
        }
    }
    if last["use_regex"] != false {
        patterns.push(GPT2);
    }
    let published = PUBLISHED.iter().find(|(known, _)| *known == patterns.as_slice());
    let patterns = published.and_then(|(_, name)| named(name)).map_or(patterns, |cut| cut.patterns.to_vec());
    let known = || NAMED.iter().filter(|(_, cut)| cut.patterns == patterns.as_slice());
    let exact = known().find(|(_, cut)| cut.whole_words == whole_words);
    exact.or_else(|| known().next()).and_then(|(names, _)| names.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_its_patterns_are_understood() {
        let mut all = names();
        assert!(all.len() > 60);
        all.sort_unstable();
        let before = all.len();
        all.dedup();
        assert_eq!(all.len(), before);
        for (names, cut) in NAMED {
            let json = cut.json();
            let pre: tokenizers::PreTokenizerWrapper = serde_json::from_value(json.clone()).unwrap();
            let mut text = tokenizers::PreTokenizedString::from("Hello  world's 12345 é漢字かな!\n\n x");
            tokenizers::PreTokenizer::pre_tokenize(&pre, &mut text).unwrap();
            let found = named(name_of(&json, cut.whole_words).unwrap()).unwrap();
            assert_eq!(found.patterns, cut.patterns, "{names:?}");
            assert_eq!(found.whole_words, cut.whole_words, "{names:?}");
        }
    }

    #[test]
    fn digits_and_words_are_cut_as_llama_cpp_cuts_them() {
        let pieces = |name: &str, text: &str| -> Vec<String> {
            let pre: tokenizers::PreTokenizerWrapper =
                serde_json::from_value(named(name).unwrap().json()).unwrap();
            let mut text = tokenizers::PreTokenizedString::from(text);
            tokenizers::PreTokenizer::pre_tokenize(&pre, &mut text).unwrap();
            let splits =
                text.get_splits(tokenizers::OffsetReferential::Original, tokenizers::OffsetType::Char);
            splits.into_iter().map(|(piece, ..)| piece.replace('\u{120}', " ")).collect()
        };
        assert_eq!(pieces("gpt-2", "it's 12345"), ["it", "'s", " 12345"]);
        assert_eq!(pieces("llama-bpe", "it'S 12345"), ["it", "'S", " ", "123", "45"]);
        assert_eq!(pieces("deepseek-r1-qwen", "a 123"), ["a", " ", "1", "2", "3"]);
        assert_eq!(pieces("smollm", "a 12"), ["a", " ", "1", "2"]);
        assert_eq!(pieces("default", "a+1234"), ["a", "+", "123", "4"]);
        assert_eq!(pieces("tekken", "camelCase"), ["camel", "Case"]);
        assert_eq!(pieces("hunyuan-dense", "a1234!b"), ["a", "123", "4", "!b"]);
    }
}
