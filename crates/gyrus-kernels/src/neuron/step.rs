//! One step of a row of neurons, forward and backward: shared by plain and [`recurrent`](super::recurrent) layers and
//! by the event-driven body.
//!
//! A row is a chunk of neurons padded to whole words of spikes; constants are nine such rows. Padding neurons have zero
//! constants, so they stay at zero and do not fire (a spike needs `u > theta`, strictly).

use pulp::{Arch, Simd, WithSimd};

use super::kind::{CONSTANTS, NeuronKind, Reset};
use crate::base::bits::{BITS, bit_of_lane, bits_of, gather, is_bits};
use crate::base::parallel::{prefetch, vectorized};
use crate::base::tile::{load, store};

const DECAY: usize = 0;
const GAIN: usize = 1;
const DRIVE: usize = 2;
pub(crate) const THETA: usize = 3;
const SYNAPSE_DECAY: usize = 4;
const SYNAPSE_GAIN: usize = 5;
const V_RESET: usize = 6;
pub(crate) const STRENGTH: usize = 7;
const TRACE_DECAY: usize = 8;

/// Values of [`Reset`] as the const parameter for which loops are compiled.
const HARD: u8 = 0;
const SUBTRACT: u8 = 1;
const NONE: u8 = 2;

/// Calls `$function::<S, SYNAPSE, FIRES, ADAPTIVE, RESET>` for a kind of neuron.
macro_rules! with_kind {
    ($kind:expr, $function:ident ( $($argument:expr),* $(,)? )) => {{
        let kind = $kind;
        match (kind.synapse, kind.fires, kind.adaptive, kind.reset) {
            (false, false, _, _) => $function::<S, false, false, false, NONE>($($argument),*),
            (true, false, _, _) => $function::<S, true, false, false, NONE>($($argument),*),
            (false, true, false, Reset::Hard) => $function::<S, false, true, false, HARD>($($argument),*),
            (false, true, false, Reset::Subtract) => $function::<S, false, true, false, SUBTRACT>($($argument),*),
            (false, true, false, Reset::None) => $function::<S, false, true, false, NONE>($($argument),*),
            (false, true, true, Reset::Hard) => $function::<S, false, true, true, HARD>($($argument),*),
            (false, true, true, Reset::Subtract) => $function::<S, false, true, true, SUBTRACT>($($argument),*),
            (false, true, true, Reset::None) => $function::<S, false, true, true, NONE>($($argument),*),
            (true, true, false, Reset::Hard) => $function::<S, true, true, false, HARD>($($argument),*),
            (true, true, false, Reset::Subtract) => $function::<S, true, true, false, SUBTRACT>($($argument),*),
            (true, true, false, Reset::None) => $function::<S, true, true, false, NONE>($($argument),*),
            (true, true, true, Reset::Hard) => $function::<S, true, true, true, HARD>($($argument),*),
            (true, true, true, Reset::Subtract) => $function::<S, true, true, true, SUBTRACT>($($argument),*),
            (true, true, true, Reset::None) => $function::<S, true, true, true, NONE>($($argument),*),
        }
    }};
}

/// A step forward of a padded row. Pointers are to rows, except `z`, to its words; `v`, `i` and `a` are the state
/// before and after the step, which may be the same memory. Kinds without `i` or `a` do not touch them.
pub(crate) struct Forward<'a> {
    pub(crate) kind: NeuronKind,
    /// `[9, width]`.
    pub(crate) constants: &'a [f32],
    pub(crate) x: &'a [f32],
    pub(crate) v: (*const f32, *mut f32),
    pub(crate) i: (*const f32, *mut f32),
    pub(crate) a: (*const f32, *mut f32),
    pub(crate) u: &'a mut [f32],
    pub(crate) z: &'a mut [u32],
    /// The row that will be `x` next, for prefetching; or `x` itself.
    pub(crate) next_x: *const f32,
}

impl Forward<'_> {
    /// Runs the step; returns whether every potential is finite.
    ///
    /// # Safety
    /// The state's pointers are valid for the width of the row, as far as the kind uses them.
    pub(crate) unsafe fn run(self) -> bool {
        let width = self.u.len();
        assert!(self.constants.len() == CONSTANTS * width && self.x.len() == width, "rows are equally wide");
        assert!(self.z.len() * BITS == width, "a word for every 32 neurons");
        Arch::new().dispatch(self)
    }
}

impl WithSimd for Forward<'_> {
    type Output = bool;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        #[inline(always)]
        fn run<S: Simd, const SYNAPSE: bool, const FIRES: bool, const ADAPTIVE: bool, const RESET: u8>(
            simd: S,
            row: Forward<'_>,
        ) -> bool {
            let width = row.u.len();
            let zero = simd.splat_f32s(0.0);
            let one = simd.splat_f32s(1.0);
            let mut broken = zero;
            for (word, z) in row.z.iter_mut().enumerate() {
                // Bits collected directly from masks, or those of all lanes where masks are not bits.
                let (mut bits, mut fired) = (0, simd.splat_u32s(0));
                for v in (0..BITS).step_by(S::F32_LANES) {
                    let at = word * BITS + v;
                    // SAFETY: `at` lies in the row, and `run` of `Forward` has checked all widths.
                    unsafe {
                        let constant =
                            |index: usize| load::<S>(row.constants.as_ptr().add(index * width + at));
                        prefetch(row.next_x.wrapping_add(at));
                        let mut current = load::<S>(row.x.as_ptr().add(at));
                        if SYNAPSE {
                            let driven = simd.mul_f32s(constant(SYNAPSE_GAIN), current);
                            current = simd.mul_add_f32s(
                                constant(SYNAPSE_DECAY),
                                load::<S>(row.i.0.add(at)),
                                driven,
                            );
                            store::<S>(row.i.1.add(at), current);
                        }
                        let input = simd.mul_add_f32s(constant(GAIN), current, constant(DRIVE));
                        let u = simd.mul_add_f32s(constant(DECAY), load::<S>(row.v.0.add(at)), input);
                        store::<S>(row.u.as_mut_ptr().add(at), u);
                        broken = simd.mul_add_f32s(u, zero, broken);
                        let mut after = u;
                        if FIRES {
                            let theta = constant(THETA);
                            let mut threshold = theta;
                            let trace = if ADAPTIVE { load::<S>(row.a.0.add(at)) } else { zero };
                            if ADAPTIVE {
                                threshold = simd.mul_add_f32s(constant(STRENGTH), trace, theta);
                            }
                            let spike = simd.greater_than_f32s(u, threshold);
                            if const { is_bits::<S>() } {
                                bits |= bits_of(simd, spike) << v;
                            } else {
                                let own = simd.select_u32s(spike, bit_of_lane::<S>(v), simd.splat_u32s(0));
                                fired = simd.or_u32s(fired, own);
                            }
                            after = match RESET {
                                HARD => simd.select_f32s(spike, constant(V_RESET), u),
                                SUBTRACT => simd.select_f32s(spike, simd.sub_f32s(u, theta), u),
                                _ => u,
                            };
                            if ADAPTIVE {
                                let spike = simd.select_f32s(spike, one, zero);
                                let trace = simd.mul_add_f32s(constant(TRACE_DECAY), trace, spike);
                                store::<S>(row.a.1.add(at), trace);
                            }
                        }
                        store::<S>(row.v.1.add(at), after);
                    }
                }
                if FIRES {
                    *z = if const { is_bits::<S>() } { bits } else { gather(fired) };
                }
            }
            // Zero times a number that is not finite is NaN.
            simd.reduce_sum_f32s(broken) == 0.0
        }
        with_kind!(self.kind, run(simd, self))
    }
}

/// [`Forward`] that updates the state `v`, `i`, `a` in place.
pub(crate) fn forward_in_place(
    kind: NeuronKind,
    constants: &[f32],
    (x, next_x): (&[f32], *const f32),
    state: [&mut [f32]; 3],
    u: &mut [f32],
    z: &mut [u32],
) -> bool {
    let [v, i, a] = state.map(|row| {
        assert_eq!(row.len(), u.len(), "rows are equally wide");
        let row = row.as_mut_ptr();
        (row.cast_const(), row)
    });
    // SAFETY: all rows of state are as wide as `u`.
    unsafe { Forward { kind, constants, x, v, i, a, u, z, next_x }.run() }
}

/// A step backward of a padded row; rows of state are as [`Forward`] found or left them.
pub(crate) struct Backward<'a> {
    pub(crate) kind: NeuronKind,
    pub(crate) detach_reset: bool,
    /// `[9, width]`.
    pub(crate) constants: &'a [f32],
    pub(crate) x: &'a [f32],
    /// Gradient of the output.
    pub(crate) dz: &'a [f32],
    /// `dz/du` of every neuron; not read by kinds that do not fire.
    pub(crate) surrogate: &'a [f32],
    pub(crate) u: &'a [f32],
    /// Before the step; read only for the gradients of constants.
    pub(crate) v_before: *const f32,
    /// Before and after the step.
    pub(crate) i: (*const f32, *const f32),
    /// Before the step.
    pub(crate) a_before: *const f32,
    /// Gradients of `v`, `i` and `a` after the step, replaced by those before it: `[3, width]`.
    pub(crate) state_gradient: &'a mut [f32],
    pub(crate) dx: &'a mut [f32],
    /// The rows that will be `dz` and `dx` next, for prefetching; or these rows themselves.
    pub(crate) next: [*const f32; 2],
    /// Added to: `[9, width]`.
    pub(crate) dconstants: Option<&'a mut [f32]>,
}

impl Backward<'_> {
    /// Runs the step.
    ///
    /// # Safety
    /// The state's pointers are valid for the width of the row, as far as the kind and `dconstants` use them.
    pub(crate) unsafe fn run(self) {
        let width = self.u.len();
        assert!(
            width.is_multiple_of(BITS) && self.constants.len() == CONSTANTS * width,
            "constants are nine rows"
        );
        assert!(
            [self.x.len(), self.dz.len(), self.surrogate.len(), self.dx.len()] == [width; 4],
            "rows are equally wide"
        );
        assert!(self.state_gradient.len() == 3 * width, "the state's gradient is three rows");
        assert!(self.dconstants.as_ref().is_none_or(|d| d.len() == CONSTANTS * width), "nine rows");
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const SYNAPSE: bool, const FIRES: bool, const ADAPTIVE: bool, const RESET: u8>(
            simd: S,
            row: Backward<'_>,
        ) {
            let width = row.u.len();
            let zero = simd.splat_f32s(0.0);
            let (through_reset, wants_constants) = (!row.detach_reset, row.dconstants.is_some());
            let dconstants = row.dconstants.map_or(core::ptr::null_mut(), |d| d.as_mut_ptr());
            let gradient = row.state_gradient.as_mut_ptr();
            for at in (0..width).step_by(S::F32_LANES) {
                // SAFETY: `at` lies in the row, and `run` of `Backward` has checked all widths.
                unsafe {
                    let constant = |index: usize| load::<S>(row.constants.as_ptr().add(index * width + at));
                    let add = |index: usize, value: S::f32s| {
                        let to = dconstants.add(index * width + at);
                        store::<S>(to, simd.add_f32s(load::<S>(to), value));
                    };
                    let (of_v, of_i, of_a) =
                        (gradient.add(at), gradient.add(width + at), gradient.add(2 * width + at));
                    row.next.iter().for_each(|next| prefetch(next.wrapping_add(at)));
                    let dv = load::<S>(of_v);
                    let u = load::<S>(row.u.as_ptr().add(at));
                    let mut dz = load::<S>(row.dz.as_ptr().add(at));
                    let du = if FIRES {
                        let theta = constant(THETA);
                        let da = if ADAPTIVE { load::<S>(of_a) } else { zero };
                        let trace = if ADAPTIVE { load::<S>(row.a_before.add(at)) } else { zero };
                        let threshold = if ADAPTIVE {
                            simd.mul_add_f32s(constant(STRENGTH), trace, theta)
                        } else {
                            theta
                        };
                        let spike = simd.greater_than_f32s(u, threshold);
                        if ADAPTIVE {
                            dz = simd.add_f32s(dz, da);
                        }
                        if through_reset {
                            dz = match RESET {
                                HARD => simd.mul_add_f32s(dv, simd.sub_f32s(constant(V_RESET), u), dz),
                                SUBTRACT => simd.negate_mul_add_f32s(dv, theta, dz),
                                _ => dz,
                            };
                        }
                        // The gradient through the threshold.
                        let ds = simd.mul_f32s(dz, load::<S>(row.surrogate.as_ptr().add(at)));
                        let kept = if RESET == HARD { simd.select_f32s(spike, zero, dv) } else { dv };
                        if wants_constants {
                            let reset = simd.select_f32s(spike, dv, zero);
                            let lowered = if RESET == SUBTRACT { simd.add_f32s(ds, reset) } else { ds };
                            add(THETA, simd.sub_f32s(zero, lowered));
                            if RESET == HARD {
                                add(V_RESET, reset);
                            }
                            if ADAPTIVE {
                                add(STRENGTH, simd.sub_f32s(zero, simd.mul_f32s(ds, trace)));
                                add(TRACE_DECAY, simd.mul_f32s(da, trace));
                            }
                        }
                        if ADAPTIVE {
                            let kept = simd.mul_f32s(da, constant(TRACE_DECAY));
                            store::<S>(of_a, simd.negate_mul_add_f32s(ds, constant(STRENGTH), kept));
                        }
                        simd.add_f32s(ds, kept)
                    } else {
                        simd.add_f32s(dz, dv)
                    };
                    store::<S>(of_v, simd.mul_f32s(du, constant(DECAY)));
                    let mut dx = simd.mul_f32s(du, constant(GAIN));
                    let x = load::<S>(row.x.as_ptr().add(at));
                    if wants_constants {
                        let current = if SYNAPSE { load::<S>(row.i.1.add(at)) } else { x };
                        add(DECAY, simd.mul_f32s(du, load::<S>(row.v_before.add(at))));
                        add(GAIN, simd.mul_f32s(du, current));
                        add(DRIVE, du);
                    }
                    if SYNAPSE {
                        let di = simd.add_f32s(load::<S>(of_i), dx);
                        if wants_constants {
                            add(SYNAPSE_DECAY, simd.mul_f32s(di, load::<S>(row.i.0.add(at))));
                            add(SYNAPSE_GAIN, simd.mul_f32s(di, x));
                        }
                        store::<S>(of_i, simd.mul_f32s(di, constant(SYNAPSE_DECAY)));
                        dx = simd.mul_f32s(di, constant(SYNAPSE_GAIN));
                    }
                    store::<S>(row.dx.as_mut_ptr().add(at), dx);
                }
            }
        }
        with_kind!(self.kind, run(simd, self));
    }
}

/// Writes the distance of each potential from its threshold; `a_before` is `None` unless the kind is adaptive.
pub(crate) fn distances(constants: &[f32], u: &[f32], a_before: Option<&[f32]>, to: &mut [f32]) {
    let width = u.len();
    let theta = &constants[THETA * width..][..width];
    let strength = &constants[STRENGTH * width..][..width];
    vectorized(
        #[inline(always)]
        || match a_before {
            None => to.iter_mut().zip(u).zip(theta).for_each(|((to, u), theta)| *to = u - theta),
            Some(a) => {
                for ((((to, u), theta), strength), a) in to.iter_mut().zip(u).zip(theta).zip(strength).zip(a)
                {
                    *to = u - strength.mul_add(*a, *theta);
                }
            }
        },
    );
}
