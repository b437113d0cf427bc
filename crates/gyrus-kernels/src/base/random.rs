//! Random numbers as functions of a number, so that they do not depend on the order in which threads ask for them.

/// From one state of [`splitmix64`] to the next.
pub(crate) const INCREMENT: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64 (Steele et al. 2014): one output of the generator in state `x`. A bijection of 64-bit numbers that makes
/// even consecutive inputs look random.
#[must_use]
#[inline(always)]
pub fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(INCREMENT);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::{INCREMENT, splitmix64};

    #[test]
    fn it_is_the_reference_generator() {
        // The first outputs of Vigna's splitmix64.c seeded with 1234567.
        let states = (0..3u64).map(|n| 1_234_567u64.wrapping_add(n.wrapping_mul(INCREMENT)));
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert!(states.map(splitmix64).eq(expected));
    }
}
