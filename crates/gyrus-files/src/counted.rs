//! Numbers with their nouns.

/// `1 image`, `1,797 images`: a number in groups of three digits, with its noun in the right form.
///
/// ```
/// use gyrus_files::counted;
///
/// assert_eq!([counted(1, "image"), counted(0, "image")], ["1 image", "0 images"]);
/// assert_eq!([counted(1797, "entry"), counted(2, "class")], ["1,797 entries", "2 classes"]);
/// assert_eq!([counted(1, "matrix"), counted(3, "weight matrix")], ["1 matrix", "3 weight matrices"]);
/// ```
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text.push(' ');
    if number == 1 {
        return text + noun;
    }
    let vowel = |letter: char| "aeiou".contains(letter);
    match (noun.strip_suffix('y'), noun.strip_suffix("rix")) {
        (Some(stem), _) if !stem.ends_with(vowel) => text + stem + "ies",
        (_, Some(stem)) => text + stem + "rices",
        _ if ["s", "x", "ch", "sh"].iter().any(|end| noun.ends_with(end)) => text + noun + "es",
        _ => text + noun + "s",
    }
}
