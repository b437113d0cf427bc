//! Adds rows of a table to sums held in registers.

use pulp::Simd;

use crate::base::tile::{load, store};

/// Floats that rows are padded to a multiple of.
pub const LANE: usize = 16;
/// Registers that hold sums, at most.
const MOST_VECTORS: usize = 12;

/// The unit of rows.
pub(super) type Lane = [f32; LANE];

/// Where the rows of a table are: the row of event `first` at `from`, the others `width` floats apart.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) first: u32,
    pub(super) width: usize,
    pub(super) from: *const f32,
}

/// Adds the rows of events to sums `vectors` registers wide.
///
/// # Safety
/// Each row lies in the table, and the sums are as long.
#[inline(always)]
pub(super) unsafe fn add_rows<S: Simd>(
    simd: S,
    vectors: usize,
    sums: *mut f32,
    rows: Rows,
    list: &[u32],
    values: Option<&[f32]>,
) {
    /// [`add_rows`] with sums that stay in registers.
    #[inline(always)]
    unsafe fn run<S: Simd, const NV: usize>(
        simd: S,
        sums: *mut f32,
        rows: Rows,
        list: &[u32],
        values: Option<&[f32]>,
    ) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut registers: [S::f32s; NV] =
                core::array::from_fn(|v| load::<S>(sums.add(v * S::F32_LANES)));
            match values {
                None => {
                    for &event in list {
                        let row = rows.from.add((event - rows.first) as usize * rows.width);
                        for (v, register) in registers.iter_mut().enumerate() {
                            *register = simd.add_f32s(*register, load::<S>(row.add(v * S::F32_LANES)));
                        }
                    }
                }
                Some(values) => {
                    for (&event, &value) in list.iter().zip(values) {
                        let row = rows.from.add((event - rows.first) as usize * rows.width);
                        let value = simd.splat_f32s(value);
                        for (v, register) in registers.iter_mut().enumerate() {
                            *register =
                                simd.mul_add_f32s(value, load::<S>(row.add(v * S::F32_LANES)), *register);
                        }
                    }
                }
            }
            for (v, register) in registers.into_iter().enumerate() {
                store::<S>(sums.add(v * S::F32_LANES), register);
            }
        }
    }
    let mut done = 0;
    while done < vectors {
        let count = MOST_VECTORS.min(vectors - done);
        let at = done * S::F32_LANES;
        // SAFETY: guaranteed by the caller.
        unsafe {
            let (sums, rows) = (sums.add(at), Rows { from: rows.from.add(at), ..rows });
            match count {
                1 => run::<S, 1>(simd, sums, rows, list, values),
                2 => run::<S, 2>(simd, sums, rows, list, values),
                3 => run::<S, 3>(simd, sums, rows, list, values),
                4 => run::<S, 4>(simd, sums, rows, list, values),
                5 => run::<S, 5>(simd, sums, rows, list, values),
                6 => run::<S, 6>(simd, sums, rows, list, values),
                7 => run::<S, 7>(simd, sums, rows, list, values),
                8 => run::<S, 8>(simd, sums, rows, list, values),
                9 => run::<S, 9>(simd, sums, rows, list, values),
                10 => run::<S, 10>(simd, sums, rows, list, values),
                11 => run::<S, 11>(simd, sums, rows, list, values),
                _ => run::<S, MOST_VECTORS>(simd, sums, rows, list, values),
            }
        }
        done += count;
    }
}
