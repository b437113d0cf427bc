//! What is done to a finished tile on its way to memory: bias, residual, activation.

use pulp::Simd;

use super::parallel::vectorized;
use super::tile::{PANEL, load, store};
use crate::dense::elementwise::{Activation, with_function};

/// What is applied to a finished tile on its way to memory.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// Added to each column; as long as all columns.
    pub(crate) bias: Option<&'a [f32]>,
    /// Applied to each result, after bias and residual.
    pub(crate) activation: Option<Activation>,
    /// Added to each result.
    pub(crate) residual: Option<Residual>,
}

impl Epilogue<'_> {
    pub(crate) const NONE: Epilogue<'static> = Epilogue { bias: None, activation: None, residual: None };

    /// The activation, if it is one of those that [`finish_row`] leaves to [`smooth`].
    #[inline(always)]
    pub(crate) fn smooth(&self) -> Option<Activation> {
        self.activation.filter(|f| !matches!(f, Activation::Relu | Activation::Relu6 | Activation::Hardswish))
    }
}

/// An array laid out like the output, and where both begin.
#[derive(Clone, Copy)]
pub(crate) struct Residual {
    pub(crate) residual: *const f32,
    pub(crate) out: *const f32,
}

impl Residual {
    /// The element that corresponds to the output's at `out`.
    ///
    /// # Safety
    /// `out` points into the output.
    #[inline(always)]
    pub(crate) unsafe fn at(self, out: *const f32) -> *const f32 {
        // SAFETY: `out` and `self.out` are both in the output, and the residual is just as long.
        unsafe { self.residual.offset(out.offset_from(self.out)) }
    }
}

// SAFETY: the residual is only read, and the output's pointer is only used to measure distances.
unsafe impl Send for Residual {}
// SAFETY: as above.
unsafe impl Sync for Residual {}

/// Stores one row of a finished tile, whole or cut to `columns`, without a [smooth](Epilogue::smooth) activation.
///
/// # Safety
/// `out` is writable for these columns, and the bias covers them.
#[inline(always)]
pub(crate) unsafe fn finish_row<S: Simd>(
    simd: S,
    row: &[f32; PANEL],
    out: *mut f32,
    column: usize,
    columns: usize,
    epilogue: Epilogue<'_>,
) {
    if columns < PANEL {
        for (n, &value) in row[..columns].iter().enumerate() {
            let value = value + epilogue.bias.map_or(0.0, |bias| bias[column + n]);
            // SAFETY: `n < columns`, so this is in the output.
            let value = value + epilogue.residual.map_or(0.0, |r| unsafe { *r.at(out.add(n)) });
            let value = match epilogue.activation {
                Some(Activation::Relu) => Activation::Relu.of(value),
                Some(Activation::Relu6) => Activation::Relu6.of(value),
                Some(Activation::Hardswish) => Activation::Hardswish.of(value),
                _ => value,
            };
            // SAFETY: the caller guarantees room for `columns` floats at `out`.
            unsafe { *out.add(n) = value };
        }
        return;
    }
    for v in (0..PANEL).step_by(S::F32_LANES) {
        // SAFETY: `v + F32_LANES <= PANEL`, and the whole panel is valid in the bias and in `out`.
        unsafe { store_vector::<S>(simd, load::<S>(row.as_ptr().add(v)), out.add(v), column + v, epilogue) };
    }
}

/// Stores results `column ..` of an output pixel or row.
///
/// # Safety
/// `out` is writable, and the bias covers these columns.
#[inline(always)]
pub(crate) unsafe fn finish_vector<S: Simd>(
    simd: S,
    value: S::f32s,
    out: *mut f32,
    column: usize,
    epilogue: Epilogue<'_>,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        store_vector::<S>(simd, value, out, column, epilogue);
        if let Some(f) = epilogue.smooth() {
            smooth(f, &[out], S::F32_LANES);
        }
    }
}

/// [`finish_vector`] without a [smooth](Epilogue::smooth) activation.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn store_vector<S: Simd>(
    simd: S,
    mut value: S::f32s,
    out: *mut f32,
    column: usize,
    epilogue: Epilogue<'_>,
) {
    // SAFETY: guaranteed by the caller; the residual is laid out like the output.
    unsafe {
        if let Some(bias) = epilogue.bias {
            value = simd.add_f32s(value, load::<S>(bias.as_ptr().add(column)));
        }
        if let Some(residual) = epilogue.residual {
            value = simd.add_f32s(value, load::<S>(residual.at(out)));
        }
        match epilogue.activation {
            Some(Activation::Relu) => value = rectified(simd, value),
            Some(Activation::Relu6) => value = capped(simd, value),
            Some(Activation::Hardswish) => {
                let gate = capped(simd, simd.add_f32s(value, simd.splat_f32s(3.0)));
                value = simd.mul_f32s(simd.mul_f32s(value, gate), simd.splat_f32s(1.0 / 6.0));
            }
            _ => {}
        }
        store::<S>(out, value);
    }
}

/// `max(value, 0)`, written so that NaN stays NaN.
#[inline(always)]
fn rectified<S: Simd>(simd: S, value: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_f32s(value, zero), zero, value)
}

/// `min(max(value, 0), 6)`
#[inline(always)]
fn capped<S: Simd>(simd: S, value: S::f32s) -> S::f32s {
    let (value, six) = (rectified(simd, value), simd.splat_f32s(6.0));
    simd.select_f32s(simd.less_than_f32s(six, value), six, value)
}

/// Applies `f` to `columns` numbers from each of these places on.
///
/// # Safety
/// They are readable and writable, and nothing else uses them.
#[inline(never)]
pub(crate) unsafe fn smooth(f: Activation, rows: &[*mut f32], columns: usize) {
    /// Vectors of known length, so that no call ends in a scalar loop.
    #[inline(always)]
    unsafe fn run(rows: &[*mut f32], columns: usize, f: impl Fn(f32) -> f32) {
        vectorized(
            #[inline(always)]
            || {
                for &row in rows {
                    // SAFETY: guaranteed by the caller of `smooth`.
                    let row = unsafe { core::slice::from_raw_parts_mut(row, columns) };
                    let (whole, rest) = row.as_chunks_mut::<PANEL>();
                    for chunk in whole {
                        for value in chunk.iter_mut() {
                            *value = f(*value);
                        }
                    }
                    rest.iter_mut().for_each(|value| *value = f(*value));
                }
            },
        );
    }
    // SAFETY: passed on.
    with_function!(f, |f| unsafe { run(rows, columns, f) });
}
