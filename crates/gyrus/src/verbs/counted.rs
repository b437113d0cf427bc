//! Numbers with their nouns.

/// `1 image`, `1,797 images`: a number in groups of three digits, with its noun in the right form.
///
/// ```
/// use gyrus::verbs::counted;
///
/// assert_eq!([counted(1, "image"), counted(0, "image")], ["1 image", "0 images"]);
/// assert_eq!([counted(1797, "entry"), counted(2, "class")], ["1,797 entries", "2 classes"]);
/// ```
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    let number_text = gyrus_report::grouped(number.into());
    if number == 1 {
        return format!("{number_text} {noun}");
    }
    let vowel = |letter: char| "aeiou".contains(letter);
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(vowel) => format!("{number_text} {stem}ies"),
        _ if ["s", "x", "ch", "sh"].iter().any(|end| noun.ends_with(end)) => {
            format!("{number_text} {noun}es")
        }
        _ => format!("{number_text} {noun}s"),
    }
}
