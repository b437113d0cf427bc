//! The 1,797 handwritten digits of 8 by 8 pixels from the UCI repository, embedded: real handwriting without any
//! download. Source and license: `data/README.md`.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::{Dataset, Images};

/// One digit per line: 64 brightness values from 0 to 16, row by row, and the class.
const ROWS: &[u8] = include_bytes!("../data/optdigits.csv.gz");

/// Side of an image in pixels.
const SIDE: usize = 8;

/// The embedded digits: ten classes, a fixed stratified split of 80 to 20.
///
/// The original brightness 0 to 16 is stored as `round(value * 255 / 16)`.
#[must_use]
pub fn digits() -> Dataset {
    let mut rows = String::new();
    GzDecoder::new(ROWS).read_to_string(&mut rows).expect("the embedded file is intact");
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for row in rows.lines() {
        let mut values =
            row.split(',').map(|value| value.parse::<u8>().expect("the embedded file holds numbers"));
        let brightness = values.by_ref().take(SIDE * SIDE);
        pixels.extend(brightness.map(|value| (f32::from(value) * 255.0 / 16.0).round() as u8));
        labels.extend(values.map(u32::from));
    }
    let images = Images { pixels, count: labels.len(), height: SIDE, width: SIDE, channels: 1 };
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
