//! The 1,797 handwritten digits of 8 by 8 pixels from the UCI repository, which the `smartcore` crate embeds:
//! real handwriting without any download.

use smartcore::dataset::digits;

use crate::{Dataset, Images};

/// The embedded digits: ten classes, a fixed stratified split of 80 to 20.
///
/// The original brightness 0 to 16 is stored as `round(value * 255 / 16)`.
#[must_use]
pub fn digits() -> Dataset {
    let raw = digits::load_dataset();
    let pixels = raw.data.iter().map(|value| (value * 255.0 / 16.0).round() as u8).collect();
    let images = Images { pixels, count: raw.num_samples, height: 8, width: 8, channels: 1 };
    let labels: Vec<u32> = raw.target.iter().map(|label| *label as u32).collect();
    let classes = (0..10).map(|digit| digit.to_string()).collect();
    Dataset::split_images("digits", classes, &images, &labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Targets;

    #[test]
    fn the_digits_are_whole_and_their_split_is_fixed() {
        let dataset = digits();
        assert_eq!(dataset.train.len() + dataset.test.len(), 1797);
        assert!((355..=365).contains(&dataset.test.len()), "{} test digits", dataset.test.len());
        let Targets::Classes(classes) = &dataset.test.targets else { panic!("digits are classes") };
        for class in 0..10 {
            let count = classes.iter().filter(|c| **c == class).count();
            assert!((34..=37).contains(&count), "class {class} has {count} test digits");
        }
        assert_eq!(dataset.fingerprint, digits().fingerprint);
        // A change of this value changes every number ever reported on the digits.
        assert_eq!(dataset.fingerprint, "451a9851ace93d20033eca28c090e814545a5f2f74e2dd99bcf1fdd1c04ee261");
    }
}
