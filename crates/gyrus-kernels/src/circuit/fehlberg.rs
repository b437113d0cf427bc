//! The Runge-Kutta-Fehlberg method of order 4(5) with an adaptive step (Fehlberg 1969; coefficients and step control as in the GNU
//! Scientific Library, which NEST uses): steep equations, one neuron at a time, in double precision.

/// Equations y' = f(y).
pub trait Equations<const N: usize> {
    /// The slope at `y`.
    fn slope(&self, y: &[f64; N]) -> [f64; N];
}

/// Tolerated error of a step: `absolute` + `relative` · |h y'|.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    /// Absolute part.
    pub absolute: f64,
    /// Part in proportion to the change of the step.
    pub relative: f64,
}

/// One accepted step from `t` towards `end`, at most `h` long; moves `t`, `y` and the proposal `h` for the next step.
pub fn advance<const N: usize>(
    equations: &impl Equations<N>,
    control: Control,
    (t, end): (&mut f64, f64),
    h: &mut f64,
    y: &mut [f64; N],
) {
    let k1 = equations.slope(y);
    loop {
        let left = end - *t;
        let last = *h >= left;
        let step = if last { left } else { *h };
        let (next, error) = attempt(equations, step, y, k1);
        let after = if control.relative > 0.0 { equations.slope(&next) } else { [0.0; N] };
        let ratio = (0..N).fold(f64::MIN_POSITIVE, |worst, n| {
            let tolerated = control.relative * (step * after[n]).abs() + control.absolute;
            worst.max(error[n].abs() / tolerated.abs())
        });
        let mut proposal = step;
        if ratio > 1.1 {
            let factor = (0.9 / ratio.powf(1.0 / 5.0)).max(0.2);
            let shorter = factor * step;
            if shorter < step && *t + shorter > *t {
                *h = shorter;
                continue;
            }
        } else if ratio < 0.5 {
            proposal = (0.9 / ratio.powf(1.0 / 6.0)).clamp(1.0, 5.0) * step;
        }
        *t = if last { end } else { *t + step };
        *y = next;
        *h = proposal;
        return;
    }
}

/// The state after a step, and its error.
#[inline]
fn attempt<const N: usize>(
    equations: &impl Equations<N>,
    h: f64,
    y: &[f64; N],
    k1: [f64; N],
) -> ([f64; N], [f64; N]) {
    let at = |terms: &[(f64, &[f64; N])]| -> [f64; N] {
        core::array::from_fn(|n| y[n] + h * terms.iter().map(|(factor, k)| factor * k[n]).sum::<f64>())
    };
    let k2 = equations.slope(&at(&[(1.0 / 4.0, &k1)]));
    let k3 = equations.slope(&at(&[(3.0 / 32.0, &k1), (9.0 / 32.0, &k2)]));
    let k4 = equations.slope(&at(&[(1932.0 / 2197.0, &k1), (-7200.0 / 2197.0, &k2), (7296.0 / 2197.0, &k3)]));
    let k5 = equations.slope(&at(&[
        (8341.0 / 4104.0, &k1),
        (-32832.0 / 4104.0, &k2),
        (29440.0 / 4104.0, &k3),
        (-845.0 / 4104.0, &k4),
    ]));
    let k6 = equations.slope(&at(&[
        (-6080.0 / 20520.0, &k1),
        (41040.0 / 20520.0, &k2),
        (-28352.0 / 20520.0, &k3),
        (9295.0 / 20520.0, &k4),
        (-5643.0 / 20520.0, &k5),
    ]));
    let next = at(&[
        (902_880.0 / 7_618_050.0, &k1),
        (3_953_664.0 / 7_618_050.0, &k3),
        (3_855_735.0 / 7_618_050.0, &k4),
        (-1_371_249.0 / 7_618_050.0, &k5),
        (277_020.0 / 7_618_050.0, &k6),
    ]);
    let error = core::array::from_fn(|n| {
        h * (k1[n] / 360.0 - 128.0 / 4275.0 * k3[n] - 2197.0 / 75240.0 * k4[n]
            + k5[n] / 50.0
            + 2.0 / 55.0 * k6[n])
    });
    (next, error)
}
