//! Optimizers as one fused pass over each parameter: every array is read and written once.

use crate::base::parallel::{CHUNK, SharedMut, for_each_task, vectorized};

/// One step of AdamW (Loshchilov and Hutter 2019), with PyTorch's conventions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the square root of the second moment.
    pub epsilon: f32,
    /// Decoupled: the parameter shrinks by `learning_rate * weight_decay`.
    pub weight_decay: f32,
    /// Number of this step, counted from 1: corrects the moments' bias.
    pub step: u64,
    /// Factor of the gradient; below 1 where gradients are clipped.
    pub gradient_scale: f32,
}

/// Runs `work` on chunks of all four arrays; `b` and `c` may be empty.
fn for_each_part(
    a: &mut [f32],
    gradient: &[f32],
    b: &mut [f32],
    c: &mut [f32],
    work: impl Fn(&mut [f32], &[f32], &mut [f32], &mut [f32]) + Sync + Send,
) {
    assert_eq!(a.len(), gradient.len(), "a gradient is as long as its parameter");
    let (length, b_len, c_len) = (a.len(), b.len(), c.len());
    assert!(
        (b_len == length || b_len == 0) && (c_len == length || c_len == 0),
        "moments are as long as the parameter"
    );
    let (a, b, c) = (SharedMut(a.as_mut_ptr()), SharedMut(b.as_mut_ptr()), SharedMut(c.as_mut_ptr()));
    for_each_task(length.div_ceil(CHUNK), length <= 2 * CHUNK, |task| {
        let start = task * CHUNK;
        let count = CHUNK.min(length - start);
        // SAFETY: chunks are disjoint and within each array.
        let part = |p: SharedMut, len: usize| unsafe {
            if len == 0 {
                core::slice::from_raw_parts_mut(p.get(), 0)
            } else {
                core::slice::from_raw_parts_mut(p.get().add(start), count)
            }
        };
        work(part(a, length), &gradient[start..][..count], part(b, b_len), part(c, c_len));
    });
}

impl AdamW {
    /// Updates a parameter and its two moments in place.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn update(&self, parameter: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        assert!(first.len() == parameter.len() && second.len() == parameter.len(), "all are equally long");
        let correction1 = 1.0 - f64::from(self.beta1).powf(self.step as f64);
        let correction2 = 1.0 - f64::from(self.beta2).powf(self.step as f64);
        let step_size = (f64::from(self.learning_rate) / correction1) as f32;
        let root_scale = (1.0 / correction2.sqrt()) as f32;
        let keep = 1.0 - self.learning_rate * self.weight_decay;
        let Self { beta1, beta2, epsilon, gradient_scale, .. } = *self;
        for_each_part(parameter, gradient, first, second, |p, g, m, v| {
            vectorized(
                #[inline(always)]
                || {
                    for (((p, g), m), v) in p.iter_mut().zip(g).zip(&mut *m).zip(&mut *v) {
                        let g = g * gradient_scale;
                        let moment = *m + (1.0 - beta1) * (g - *m);
                        let square = *v * beta2 + (1.0 - beta2) * g * g;
                        *m = moment;
                        *v = square;
                        *p = *p * keep - step_size * moment / (square.sqrt() * root_scale + epsilon);
                    }
                },
            );
        });
    }
}

/// One step of stochastic gradient descent with momentum, with PyTorch's conventions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Step size.
    pub learning_rate: f32,
    /// Decay of the velocity; 0 is plain gradient descent.
    pub momentum: f32,
    /// Whether to look ahead along the velocity (Nesterov).
    pub nesterov: bool,
    /// Added to the gradient: `weight_decay * parameter`.
    pub weight_decay: f32,
}

impl Sgd {
    /// Updates a parameter and its velocity in place. The velocity starts at zero.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn update(&self, parameter: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
        assert_eq!(velocity.len(), parameter.len(), "all are equally long");
        let Self { learning_rate, momentum, nesterov, weight_decay } = *self;
        for_each_part(parameter, gradient, velocity, &mut [], |p, g, v, _| {
            vectorized(
                #[inline(always)]
                || {
                    for ((p, g), v) in p.iter_mut().zip(g).zip(&mut *v) {
                        let g = g + weight_decay * *p;
                        let velocity = momentum * *v + g;
                        *v = velocity;
                        *p -= learning_rate * if nesterov { g + momentum * velocity } else { velocity };
                    }
                },
            );
        });
    }
}

/// The sum of squares of all elements, in an order that does not depend on threads.
#[must_use]
pub fn squared_norm(x: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut parts = vec![0.0f64; x.len().div_ceil(CHUNK)];
    let target = SharedMut(parts.as_mut_ptr());
    for_each_task(parts.len(), x.len() <= 2 * CHUNK, |task| {
        let x = &x[task * CHUNK..x.len().min((task + 1) * CHUNK)];
        let sum = vectorized(
            #[inline(always)]
            || {
                let mut lanes = [0.0f32; LANES];
                let (chunks, rest) = x.as_chunks::<LANES>();
                for chunk in chunks {
                    for (lane, x) in lanes.iter_mut().zip(chunk) {
                        *lane += x * x;
                    }
                }
                lanes.iter().map(|&x| f64::from(x)).sum::<f64>()
                    + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
            },
        );
        // SAFETY: each task has its own place.
        unsafe { target.slice(task, 1)[0] = sum };
    });
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{assert_close, values};

    #[test]
    fn squares_are_summed() {
        for count in [0, 1, 17, 100_003] {
            let x = values(count, 1);
            let exact: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((squared_norm(&x) - exact).abs() <= 1e-6 * exact, "{count} elements");
        }
    }

    #[test]
    fn adamw_matches_its_definition_over_several_steps() {
        let count = 40_000;
        let mut p = values(count, 1);
        let (mut m, mut v) = (vec![0.0; count], vec![0.0; count]);
        let mut exact: Vec<[f64; 3]> = p.iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect();
        for step in 1..=3 {
            let g = values(count, 10 + step);
            let rule = AdamW {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.1,
                step,
                gradient_scale: 0.5,
            };
            rule.update(&mut p, &g, &mut m, &mut v);
            for ([p, m, v], g) in exact.iter_mut().zip(&g) {
                let g = 0.5 * f64::from(*g);
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                let (mean, square) =
                    (*m / (1.0 - 0.9f64.powf(step as f64)), *v / (1.0 - 0.999f64.powf(step as f64)));
                *p -= 0.01 * 0.1 * *p + 0.01 * mean / (square.sqrt() + 1e-8);
            }
        }
        assert_close(&p, &exact.iter().map(|e| e[0] as f32).collect::<Vec<_>>(), 1e-5);
    }

    #[test]
    fn sgd_matches_its_definition_over_several_steps() {
        for nesterov in [false, true] {
            let mut p = values(100, 1);
            let mut v = vec![0.0; 100];
            let mut exact: Vec<[f32; 2]> = p.iter().map(|&p| [p, 0.0]).collect();
            for step in 0..3 {
                let g = values(100, 10 + step);
                Sgd { learning_rate: 0.1, momentum: 0.9, nesterov, weight_decay: 0.01 }
                    .update(&mut p, &g, &mut v);
                for ([p, v], g) in exact.iter_mut().zip(&g) {
                    let g = g + 0.01 * *p;
                    *v = 0.9 * *v + g;
                    *p -= 0.1 * if nesterov { g + 0.9 * *v } else { *v };
                }
            }
            assert_close(&p, &exact.iter().map(|e| e[0]).collect::<Vec<_>>(), 1e-6);
        }
    }
}
