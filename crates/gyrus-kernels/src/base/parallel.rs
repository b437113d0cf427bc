//! Threads, scratch memory and denormals.
//!
//! Work is cut into tasks by its shape alone, never by the number of threads, so results do not depend on it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::error::{Error, Result};

/// Floats per task of an element-wise pass: a chunk that fits in the cache.
pub(crate) const CHUNK: usize = 1 << 14;

/// A raw pointer that tasks may share because each of them writes a different part.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<T = f32>(pub(crate) *mut T);

// SAFETY: every user cuts the target into disjoint parts, one per task.
unsafe impl<T> Send for SharedMut<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for SharedMut<T> {}

impl<T: Copy> SharedMut<T> {
    /// The pointer; a method, so that closures capture the whole wrapper.
    pub(crate) fn get(self) -> *mut T {
        self.0
    }

    /// The `length` elements from `start` on.
    ///
    /// # Safety
    /// They lie within the target, and nothing else uses them while the slice lives.
    pub(crate) unsafe fn slice<'a>(self, start: usize, length: usize) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(self.0.add(start), length) }
    }
}

/// Prefetches the cache line of a float that is needed soon. The rows of successive steps lie pages apart, and the
/// hardware prefetcher works within a page, so the first lines of each row would stall.
#[inline(always)]
pub(crate) fn prefetch(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has this instruction; it only affects caches, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// [`prefetch`] into the second-level cache.
#[inline(always)]
pub(crate) fn prefetch_far(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: as in [`prefetch`].
        unsafe { _mm_prefetch::<_MM_HINT_T1>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

thread_local! {
    static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends a buffer of at least `length` floats with unspecified contents; the next caller reuses the same memory.
pub(crate) fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    // The buffer is taken out while in use: a waiting task may run another one on this thread that also needs scratch.
    let mut buffer = SCRATCH.with(|pool| pool.borrow_mut().pop()).unwrap_or_default();
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    let result = work(&mut buffer[..length]);
    SCRATCH.with(|pool| pool.borrow_mut().push(buffer));
    result
}

/// [`with_scratch`] for bit patterns.
pub(crate) fn with_words<R>(length: usize, work: impl FnOnce(&mut [u32]) -> R) -> R {
    with_scratch(length, |scratch| {
        // SAFETY: same length and alignment, and every bit pattern is valid for both types.
        work(unsafe { core::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast(), length) })
    })
}

/// [`with_scratch`] for indices.
pub(crate) fn with_indices<R>(length: usize, work: impl FnOnce(&mut [u16]) -> R) -> R {
    with_scratch(length.div_ceil(2), |scratch| {
        // SAFETY: at least as long, more strictly aligned, and every bit pattern is valid for both types.
        work(unsafe { core::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast(), length) })
    })
}

/// [`with_scratch`] aligned to a cache line, so that no vector straddles two lines.
pub(crate) fn with_aligned_scratch<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    const LINE: usize = 16;
    with_scratch(length + LINE, |scratch| {
        let start = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        work(&mut scratch[start..][..length])
    })
}

/// Runs `work`, a closure marked `#[inline(always)]`, with the widest vector instructions of this machine.
///
/// Dispatching the closure directly is slower: it is then called as `FnOnce` through an intermediate function, and
/// whatever is too large to be inlined there is compiled for the baseline instruction set.
pub(crate) fn vectorized<R>(work: impl FnMut() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnMut() -> R> pulp::WithSimd for Work<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(mut self, _: S) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Work(work))
}

/// Runs `work(task)` for each task, on all threads of the current pool unless `serial`.
pub(crate) fn for_each_task(tasks: usize, serial: bool, work: impl Fn(usize) + Sync + Send) {
    if serial || tasks <= 1 {
        (0..tasks).for_each(work);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(work);
    }
}

/// Runs `work` and keeps the pool's other threads looking for its tasks instead of going to sleep between two kernels.
///
/// A network is a chain of kernels of about a tenth of a millisecond, and waking a thread takes a good part of that.
/// The price is that all threads are busy until `work` returns, so this is for chains of kernels, not for waiting.
pub fn keep_awake<R>(work: impl FnOnce() -> R) -> R {
    /// Also ends the waiting if `work` panics.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    let helpers = rayon::current_num_threads() - 1;
    if helpers == 0 || rayon::current_thread_index().is_none() {
        return work();
    }
    let done = AtomicBool::new(false);
    rayon::in_place_scope(|scope| {
        let guard = Done(&done);
        for _ in 0..helpers {
            scope.spawn(|_| {
                let mut idle = 0u32;
                while !done.load(Ordering::Acquire) {
                    if rayon::yield_now() == Some(rayon::Yield::Executed) {
                        idle = 0;
                        continue;
                    }
                    idle += 1;
                    // Let other programs have the core.
                    if idle.is_multiple_of(64) {
                        std::thread::yield_now();
                    } else {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        let result = work();
        drop(guard);
        result
    })
}

/// Runs `work(start, chunk)` for each cache-sized chunk of `target`.
pub(crate) fn for_each_chunk(target: &mut [f32], work: impl Fn(usize, &mut [f32]) + Sync + Send) {
    if target.len() <= 2 * CHUNK {
        work(0, target);
    } else {
        target.par_chunks_mut(CHUNK).enumerate().for_each(|(i, chunk)| work(i * CHUNK, chunk));
    }
}

/// Runs `work(first row, rows)` for chunks of whole rows.
pub(crate) fn for_each_rows(x: &mut [f32], columns: usize, work: impl Fn(usize, &mut [f32]) + Sync + Send) {
    let rows = (CHUNK / columns).max(1);
    if x.len() <= 2 * CHUNK {
        work(0, x);
    } else {
        x.par_chunks_mut(rows * columns).enumerate().for_each(|(i, part)| work(i * rows, part));
    }
}

/// Makes the calling thread flush denormal numbers to zero, both inputs and results.
///
/// Underflowing gradients otherwise cost about a hundred cycles per operation. The setting belongs to the thread: call
/// this in each worker's start handler and in the main thread.
pub fn flush_denormals() {
    #[cfg(target_arch = "x86_64")]
    {
        const FLUSH_TO_ZERO: u32 = 1 << 15;
        const DENORMALS_ARE_ZERO: u32 = 1 << 6;
        let mut control: u32 = 0;
        // SAFETY: reads and writes MXCSR, which every x86-64 processor has; only the handling of denormals changes.
        unsafe {
            core::arch::asm!("stmxcsr [{}]", in(reg) &mut control, options(nostack));
            control |= FLUSH_TO_ZERO | DENORMALS_ARE_ZERO;
            core::arch::asm!("ldmxcsr [{}]", in(reg) &control, options(nostack));
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: only sets the FZ bit of FPCR.
        unsafe {
            let mut control: u64;
            core::arch::asm!("mrs {}, fpcr", out(reg) control, options(nomem, nostack));
            control |= 1 << 24;
            core::arch::asm!("msr fpcr, {}", in(reg) control, options(nomem, nostack));
        }
    }
}

/// Runs `work` on a pool of `threads` threads (0: one per core) that flush denormals. Everything inside uses that pool.
///
/// # Errors
/// If the threads cannot be started.
pub fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> Result<R> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("gyrus-{index}"))
        .start_handler(|_| flush_denormals())
        .build()
        .map_err(|error| Error::Threads { threads, reason: error.to_string() })?;
    Ok(pool.install(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_kept_awake_share_the_work_and_end_with_it() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for _ in 0..100 {
            let sum = std::sync::atomic::AtomicUsize::new(0);
            let inner = || {
                for_each_task(50, false, |task| {
                    sum.fetch_add(task, Ordering::Relaxed);
                })
            };
            pool.install(|| keep_awake(|| (0..4).for_each(|_| keep_awake(inner))));
            assert_eq!(sum.into_inner(), 4 * 49 * 50 / 2);
        }
        let panics = std::panic::AssertUnwindSafe(|| pool.install(|| keep_awake(|| panic!("as it should"))));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(keep_awake(|| 7), 7);
    }

    #[test]
    fn denormals_become_zero() {
        std::thread::spawn(|| {
            let tiny = std::hint::black_box(f32::MIN_POSITIVE);
            assert!(std::hint::black_box(tiny * 0.5) > 0.0, "denormals are on by default");
            flush_denormals();
            assert_eq!(std::hint::black_box(tiny * 0.5), 0.0);
        })
        .join()
        .unwrap();
    }
}
