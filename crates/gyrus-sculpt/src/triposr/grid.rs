//! A field on a fine grid, computed only where it matters.
//!
//! The field is computed on every fourth sample first. A coarse cell whose corners lie on both sides of the level, or that
//! touches one, is computed on all its samples. Wherever such a sample lies on the other side than a neighboring cell that was
//! left out, that cell is computed too, until nothing changes. What remains is on one side as far as its corners and borders
//! say, and takes the value of a corner: only parts thinner than four samples that touch no other part can be missed.

/// Samples from one coarse sample to the next.
const STRIDE: usize = 4;

/// The field on a cube of `side` samples a side, `[z, y, x]`; `compute` gives the values at samples by their index.
pub(super) fn computed(
    side: usize,
    level: f32,
    mut compute: impl FnMut(&[u32]) -> Vec<f32>,
) -> (Vec<f32>, usize) {
    let index = |[x, y, z]: [usize; 3]| (z * side + y) * side + x;
    // The last coarse cell may be shorter.
    let mut marks: Vec<usize> = (0..side).step_by(STRIDE).collect();
    if marks.last().is_some_and(|last| last + 1 < side) {
        marks.push(side - 1);
    }
    let cells = marks.len().saturating_sub(1);
    let mut values = vec![f32::NAN; side * side * side];
    let mut is_known = vec![false; values.len()];
    let mut count = 0;
    let mut learn = |wanted: &mut Vec<u32>, values: &mut [f32], is_known: &mut [bool]| {
        wanted.retain(|sample| !std::mem::replace(&mut is_known[*sample as usize], true));
        let found = compute(wanted);
        count += wanted.len();
        wanted.iter().zip(found).for_each(|(sample, value)| values[*sample as usize] = value);
    };
    let mut coarse = Vec::with_capacity(marks.len().pow(3));
    for z in &marks {
        for y in &marks {
            coarse.extend(marks.iter().map(|x| index([*x, *y, *z]) as u32));
        }
    }
    learn(&mut coarse, &mut values, &mut is_known);
    let cell = |[x, y, z]: [usize; 3]| (z * cells + y) * cells + x;
    let place = |cell: usize| [cell % cells, cell / cells % cells, cell / cells / cells];
    let first = |cell: usize| index(place(cell).map(|at| marks[at]));
    let mut is_open = vec![false; cells.pow(3)];
    let mut open = Vec::new();
    for own in 0..is_open.len() {
        let at = place(own);
        let is_inside = |corner: usize| {
            values[index([0, 1, 2].map(|axis| marks[at[axis] + (corner >> axis & 1)]))] > level
        };
        if (1..8).any(|corner| is_inside(corner) != is_inside(0)) {
            for step in 0..27usize {
                let step = [step % 3, step / 3 % 3, step / 9];
                let near = [0, 1, 2].map(|axis| (at[axis] + step[axis]).wrapping_sub(1));
                if near.iter().all(|at| *at < cells) && !std::mem::replace(&mut is_open[cell(near)], true) {
                    open.push(cell(near));
                }
            }
        }
    }
    while !open.is_empty() {
        open.sort_unstable();
        let mut wanted = Vec::new();
        for own in &open {
            let at = place(*own);
            let range = |axis: usize| marks[at[axis]]..=marks[at[axis] + 1];
            for z in range(2) {
                for y in range(1) {
                    wanted.extend(range(0).map(|x| index([x, y, z]) as u32));
                }
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        learn(&mut wanted, &mut values, &mut is_known);
        open.clear();
        for sample in wanted {
            let sample = sample as usize;
            let at = [sample % side, sample / side % side, sample / side / side];
            // The cells around it: one, or two along an axis where it is a mark.
            let around = at.map(|at| {
                let here = (at / STRIDE).min(cells - 1);
                let before = if at.is_multiple_of(STRIDE) && here > 0 { here - 1 } else { here };
                [before, here]
            });
            for corner in 0..8usize {
                let near = cell([0, 1, 2].map(|axis| around[axis][corner >> axis & 1]));
                if !is_open[near] && (values[first(near)] > level) != (values[sample] > level) {
                    is_open[near] = true;
                    open.push(near);
                }
            }
        }
    }
    for own in (0..is_open.len()).filter(|own| !is_open[*own]) {
        let (at, value) = (place(own), values[first(own)]);
        for z in marks[at[2]]..=marks[at[2] + 1] {
            for y in marks[at[1]]..=marks[at[1] + 1] {
                for x in marks[at[0]]..=marks[at[0] + 1] {
                    let sample = index([x, y, z]);
                    if !is_known[sample] {
                        values[sample] = value;
                    }
                }
            }
        }
    }
    (values, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_same_sides_as_the_whole_field_for_less_work() {
        for side in [33usize, 64, 50] {
            let at = |index: usize| 2.0 * index as f32 / (side - 1) as f32 - 1.0;
            let value = |i: usize| {
                let [x, y, z] = [at(i % side), at(i / side % side), at(i / side / side)];
                // A ball with an arm that is thinner than a coarse cell, and reaches far.
                let ball = 0.5 - (x * x + y * y + z * z).sqrt();
                let arm = if (0.0..0.9).contains(&x) { 0.03 - y.hypot(z - 0.1) } else { -1.0 };
                ball.max(arm)
            };
            let (values, count) =
                computed(side, 0.0, |samples| samples.iter().map(|sample| value(*sample as usize)).collect());
            assert!(
                values.iter().enumerate().all(|(i, own)| (*own > 0.0) == (value(i) > 0.0)),
                "side {side}"
            );
            assert!(count < side.pow(3) * 3 / 4, "{count} of {}", side.pow(3));
        }
        assert_eq!(computed(2, 0.0, |samples| vec![1.0; samples.len()]).0, [1.0; 8]);
    }
}
