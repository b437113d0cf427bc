//! One step of max pooling over spike counts, for packed spikes.
//!
//! Each input counts its spikes, and a window spikes when its largest count grows ([`count_max_pool`]). For 2 x 2
//! windows that tile an image, [`LANE`] channels of a window are processed together, and groups without spikes are
//! skipped. Cost: the groups of channels with spikes, and one pass over the words.
//!
//! [`count_max_pool`]: crate::spikes::count_pooling::count_max_pool

use pulp::{Arch, Simd, WithSimd};

use super::rows::LANE;
use crate::base::bits::{BITS, bits_of, mask_of};
use crate::base::tile::{load, store};
use crate::convolution::pooling::Pooling;
use crate::spikes::packed::words;

/// Whether [`count_max_packed`] supports these windows.
#[must_use]
pub fn counts_packed(images: &Pooling) -> bool {
    images.is_plain() && images.channels.is_multiple_of(LANE)
}

/// One step of max pooling over the counts of one image: adds its packed `spikes` to the `counts` of the inputs,
/// updates the `largest` count of each window, and sets the bits of `grown` for the windows whose count grew.
///
/// # Panics
/// If [`counts_packed`] is false for these windows, or a slice does not have the length of the image or its windows.
pub fn count_max_packed(
    image: &Pooling,
    spikes: &[u32],
    [counts, largest]: [&mut [f32]; 2],
    grown: &mut [u32],
) {
    assert!(counts_packed(image), "windows of 2 x 2 that tile an image of whole lines of channels");
    let len = image.height * image.width * image.channels;
    assert!(counts.len() == len && spikes.len() == words(len), "a count and a bit for each input");
    assert!(
        4 * largest.len() == len && grown.len() == words(len / 4),
        "a largest count and a bit for each window"
    );
    grown.fill(0);
    Arch::new().dispatch(Step { image, spikes, counts, largest, grown });
}

struct Step<'a> {
    image: &'a Pooling,
    spikes: &'a [u32],
    counts: &'a mut [f32],
    largest: &'a mut [f32],
    grown: &'a mut [u32],
}

impl WithSimd for Step<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Step { image, spikes, counts, largest, grown } = self;
        let (channels, row) = (image.channels, image.width * image.channels);
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let counts = counts.as_mut_ptr();
        let mut window = 0;
        for i in 0..image.height / 2 {
            for j in 0..image.width / 2 {
                let corner = 2 * (i * row + j * channels);
                let places = [corner, corner + channels, corner + row, corner + row + channels];
                for first in (0..channels).step_by(LANE) {
                    // A line's channels lie in one word, since both are powers of two and begin at multiples.
                    let found =
                        places.map(|place| spikes[(place + first) / BITS] >> ((place + first) % BITS));
                    let any = (found[0] | found[1] | found[2] | found[3]) & ((1 << LANE) - 1);
                    if any == 0 {
                        continue;
                    }
                    let at = window + first;
                    let mut more = 0;
                    for lane in (0..LANE).step_by(S::F32_LANES) {
                        let largest = largest[at + lane..][..S::F32_LANES].as_mut_ptr();
                        // SAFETY: the caller has checked the lengths; a register is a part of a line.
                        unsafe {
                            let before = load::<S>(largest);
                            let mut now = before;
                            for (place, found) in places.into_iter().zip(found) {
                                let count = counts.add(place + first + lane);
                                let spike = simd.select_f32s(mask_of(simd, found >> lane), one, zero);
                                let sum = simd.add_f32s(load::<S>(count), spike);
                                store::<S>(count, sum);
                                now = simd.max_f32s(now, sum);
                            }
                            store::<S>(largest, now);
                            more |= bits_of(simd, simd.greater_than_f32s(now, before)) << lane;
                        }
                    }
                    grown[at / BITS] |= more << (at % BITS);
                }
                window += channels;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::spike_values;
    use crate::oracle::spikes::pack;
    use crate::spikes::count_pooling::count_max_pool;

    proptest! {
        #[test]
        fn steps_are_those_of_the_whole_time_axis(
            steps in 1usize..6, height in 1usize..4, width in 1usize..4, lines in 1usize..5, share in 0.0f64..1.0,
        ) {
            let image = Pooling {
                batch: 1,
                height: 2 * height,
                width: 2 * width,
                channels: lines * LANE,
                kernel: [2; 2],
                stride: [2; 2],
                padding: [0; 4],
            };
            let (len, windows) = (image.input_len(), image.output_len());
            let x = spike_values(steps * len, share * share * share, 1);
            let mut expected = vec![f32::NAN; steps * windows];
            count_max_pool(&image, steps, &x, &mut expected);
            let (mut counts, mut largest) = (vec![0.0; len], vec![0.0; windows]);
            let mut grown = vec![u32::MAX; words(windows)];
            for (x, expected) in x.chunks(len).zip(expected.chunks(windows)) {
                count_max_packed(&image, &pack(x, len), [&mut counts, &mut largest], &mut grown);
                prop_assert_eq!(&grown, &pack(expected, windows));
            }
        }
    }
}
