//! Tests of causal attention and its gradient against the oracle.

use proptest::prelude::*;

use super::super::rotary::Rotation;
use super::*;
use crate::oracle::{self, assert_close, values};

struct Case {
    shape: CausalAttention,
    ends: Vec<usize>,
    x: Vec<f32>,
    dy: Vec<f32>,
    angles: Vec<f64>,
    pairs: usize,
    interleaved: bool,
}

impl Case {
    fn new(
        lengths: &[usize],
        (group, key_value_heads, head_width): (usize, usize, usize),
        pairs: usize,
    ) -> Self {
        let heads = group * key_value_heads;
        let shape =
            CausalAttention { heads, key_value_heads, head_width, scale: 0.6, softcap: None, window: None };
        let mut ends = Vec::new();
        let mut rows = 0;
        for length in lengths {
            rows += length;
            ends.push(rows);
        }
        let longest = lengths.iter().max().copied().unwrap_or(0);
        let angles = values(longest * pairs, 3).iter().map(|&a| 3.0 * f64::from(a)).collect();
        let (x, dy) = (values(rows * shape.columns(), 1), values(rows * shape.query_columns(), 2));
        Self { shape, ends, x, dy, angles, pairs, interleaved: false }
    }

    fn run(&self) -> (Vec<f32>, Vec<f32>) {
        let cosines: Vec<f32> = self.angles.iter().map(|a| a.cos() as f32).collect();
        let sines: Vec<f32> = self.angles.iter().map(|a| a.sin() as f32).collect();
        let rotation = (self.pairs > 0).then_some(Rotation {
            cosines: &cosines,
            sines: &sines,
            pairs: self.pairs,
            interleaved: self.interleaved,
        });
        let rows = self.ends.last().copied().unwrap_or(0);
        let (mut y, mut logarithms) =
            (vec![f32::NAN; self.dy.len()], vec![f32::NAN; rows * self.shape.heads]);
        causal_attention(&self.shape, &self.ends, rotation, &self.x, &mut y, &mut logarithms);
        let mut dx = vec![f32::NAN; self.x.len()];
        causal_attention_backward(
            &self.shape,
            &self.ends,
            rotation,
            &self.x,
            (&y, &logarithms),
            &self.dy,
            &mut dx,
        );
        (y, dx)
    }

    fn check(&self) {
        let (y, dx) = self.run();
        let angles = (self.pairs > 0).then_some((&self.angles[..], self.pairs, self.interleaved));
        let (exact_y, exact_dx) =
            oracle::attention::causal_attention(&self.shape, &self.ends, &self.x, angles, &self.dy);
        assert_close(&y, &exact_y, 1e-5);
        assert_close(&dx, &exact_dx, 3e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_and_its_gradient_match_the_oracle(
        group in 1usize..4, key_value_heads in 1usize..4, head_width in 1usize..40,
        lengths in prop::collection::vec(0usize..70, 1..4), share in 0usize..3,
    ) {
        Case::new(&lengths, (group, key_value_heads, head_width), head_width / 2 * share / 2).check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn windows_caps_and_interleaved_pairs_match_the_oracle(
        head_width in 1usize..20, window in 1usize..90, capped: bool, interleaved: bool,
        lengths in prop::collection::vec(0usize..110, 1..4),
    ) {
        let mut case = Case::new(&lengths, (2, 1, head_width), head_width / 2);
        case.shape.window = Some(window);
        case.shape.softcap = capped.then_some(0.7);
        case.interleaved = interleaved;
        case.check();
    }
}

#[test]
fn long_sequences_match_the_oracle() {
    Case::new(&[200, 131], (2, 1, 16), 8).check();
}

#[test]
fn sequences_do_not_see_each_other_and_threads_change_no_bit() {
    let both = Case::new(&[70, 50], (2, 2, 24), 12);
    let (y, dx) = both.run();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| both.run()), (y.clone(), dx.clone()));
    }
    let alone = |rows: core::ops::Range<usize>| {
        let mut case = Case::new(&[rows.len()], (2, 2, 24), 12);
        case.angles = both.angles[..rows.len() * 12].to_vec();
        case.x = both.x[rows.start * case.shape.columns()..rows.end * case.shape.columns()].to_vec();
        case.dy =
            both.dy[rows.start * case.shape.query_columns()..rows.end * case.shape.query_columns()].to_vec();
        case.run()
    };
    let (first, second) = (alone(0..70), alone(70..120));
    assert_eq!(y, [first.0, second.0].concat());
    assert_eq!(dx, [first.1, second.1].concat());
}
