//! The words of captions of procedural objects, as numbers for the model that learns from them.

use crate::shapes::COLORS;

/// Most words of a caption; shorter ones are filled with [`FILLER`].
pub const LENGTH: usize = 8;
/// The word that stands where there is none.
pub const FILLER: u32 = 0;
/// All words but the colors.
const NAMES: [&str; 23] = [
    "", "a", "an", "on", "with", "inside", "table", "chair", "mug", "dumbbell", "snowman", "lamp", "arch",
    "legs", "handle", "bar", "head", "shade", "ball", "box", "cylinder", "torus", "cone",
];

/// All words; the first is [`FILLER`].
#[must_use]
pub fn words() -> Vec<&'static str> {
    NAMES.into_iter().chain(COLORS.map(|(name, _)| name)).collect()
}

/// The words of a caption, in lower case.
pub fn split(caption: &str) -> impl Iterator<Item = String> {
    let words = caption.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// The numbers of the first [`LENGTH`] words of a caption, and the words that are not known.
#[must_use]
pub fn tokens(caption: &str) -> ([u32; LENGTH], Vec<String>) {
    let words = words();
    let (mut tokens, mut unknown) = ([FILLER; LENGTH], Vec::new());
    for (place, word) in split(caption).enumerate() {
        match words.iter().position(|known| *known == word) {
            Some(number) if place < LENGTH => tokens[place] = number as u32,
            Some(_) => (),
            None => unknown.push(word),
        }
    }
    (tokens, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{Family, Stack};

    #[test]
    fn every_caption_has_known_words_and_fits() {
        let families = Family::TRAINING.into_iter().chain([Family::HELD_OUT]);
        let objects = families.flat_map(|family| (0..20).map(move |seed| family.object(seed)));
        let stacks = Stack::SEEN.into_iter().chain(Stack::UNSEEN).map(|stack| stack.object(3));
        for object in objects.chain(stacks) {
            let (tokens, unknown) = tokens(&object.caption);
            assert!(unknown.is_empty() && split(&object.caption).count() <= LENGTH, "{}", object.caption);
            assert!(tokens[2] != FILLER);
        }
        assert_eq!(tokens("A red Spaceship").1, ["spaceship"]);
    }
}
